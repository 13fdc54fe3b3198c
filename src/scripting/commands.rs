//! The way out of a script: what `redis.call` and its like do with the running engine.
//!
//! The engine lends itself to the functions of the interpreter through a scoped thread-local for as
//! long as a script runs on its thread ([`lend`]); outside there is nothing to reach.

use scoped_tls_hkt::scoped_thread_local;

use super::raise::Raise;
use crate::resp::{Args, Reply};

/// The levels of `redis.log`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    Debug,
    Verbose,
    Notice,
    Warning,
}

/// What a script can ask of whoever runs it.
pub trait Commands {
    /// Runs a command and appends its reply. `Err`: it was refused, in the words for the script.
    fn call(&mut self, args: &Args, reply: &mut Reply) -> Result<(), String>;
    /// The protocol in which replies come to the script from now on.
    fn set_resp3(&mut self, resp3: bool);
    /// Whether that is RESP3.
    fn resp3(&self) -> bool;
    /// What `redis.set_repl` was given: bit 0 the log, bit 1 the replicas.
    fn set_replication(&mut self, flags: u8);
    /// `redis.log`.
    fn log(&mut self, level: LogLevel, text: &str);
    /// Whether the user may run a command; `None` when there is no such command.
    fn permits(&mut self, args: &Args) -> Option<bool>;
    /// Called every now and then while the script runs; the reason why it must end, if it must.
    fn pulse(&mut self) -> Option<&'static str>;
    /// Why the script must end, if somebody said so.
    fn killed(&self) -> Option<&'static str>;
}

scoped_thread_local!(static mut RUNNING: for<'a> &'a mut (dyn Commands + 'a));

/// Runs `f` while the interpreter's functions can reach `commands`.
pub(super) fn lend<R>(commands: &mut dyn Commands, f: impl FnOnce() -> R) -> R {
    RUNNING.set(commands, f)
}

/// Runs `f` with whoever runs the script; `None` when no script runs.
pub(super) fn with<R>(f: impl FnOnce(&mut dyn Commands) -> R) -> Option<R> {
    RUNNING.is_set().then(|| RUNNING.with(f))
}

/// Raises the script's end again if it was killed.
pub(super) fn check_killed() -> mlua::Result<()> {
    match with(|commands| commands.killed()).flatten() {
        Some(reason) => Err(Raise::Killed(reason).into()),
        None => Ok(()),
    }
}

//! What the subcommands about backups have in common: opening, progress, errors, words for sizes.

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::Value;

use crate::backup::repository::Repository;
use crate::backup::server::{Address, Connection, PASSWORD_VARIABLES};
use crate::backup::{BackupError, store};
use crate::disk::SharedDisk;
use crate::disk::os::OsDisk;

/// The machine's file system, for paths as they are given.
pub(crate) fn anywhere() -> SharedDisk {
    Arc::new(OsDisk::new(std::env::current_dir().unwrap_or_default()))
}

/// Where files go that are not kept.
pub(crate) fn temporary_folder() -> String {
    std::env::temp_dir().to_string_lossy().into_owned()
}

/// The repository at a URL; refused when there is none.
pub(crate) fn repository(url: &str) -> Result<Repository, BackupError> {
    Repository::open(store::open(url, anywhere())?)
}

/// The server that `text` names, with the password of the environment if it has none; `None`: a path.
pub(crate) fn address(text: &str) -> Result<Option<Address>, BackupError> {
    let variables = PASSWORD_VARIABLES.iter();
    let password = variables.filter_map(|name| std::env::var(name).ok()).next();
    Address::parse(text, password)
        .map_err(|why| BackupError::refused(why, "write redis://[user:password@]host[:port]"))
}

/// Connects to a server.
pub(crate) fn connect(address: &Address) -> Result<Connection, BackupError> {
    Connection::open(address)
}

/// Ends a subcommand: what it found as JSON or text, or why it failed.
pub(crate) fn finish(json: bool, outcome: Result<(Value, String, u8), BackupError>) -> ExitCode {
    let mut out = std::io::stdout().lock();
    // A closed pipe has nobody to tell.
    match outcome {
        Ok((value, text, code)) => {
            let _ = match json {
                true => writeln!(out, "{value:#}"),
                false => write!(out, "{text}"),
            };
            ExitCode::from(code)
        }
        Err(error) => {
            let next = error.next_step();
            if json {
                let value = serde_json::json!({ "error": error.to_string(), "next": next });
                let _ = writeln!(out, "{value:#}");
            } else {
                eprintln!("fastness: {error}");
                if !next.is_empty() {
                    eprintln!("  next: {next}");
                }
            }
            ExitCode::from(error.exit_code())
        }
    }
}

/// A line on standard error that tells how far something is, if that is a terminal.
#[derive(Debug)]
pub(crate) struct ProgressLine {
    what: &'static str,
    shown: bool,
    last: Mutex<u64>,
}

impl ProgressLine {
    /// A line about `what`.
    pub(crate) fn new(what: &'static str) -> Self {
        Self { what, shown: std::io::stderr().is_terminal(), last: Mutex::new(u64::MAX) }
    }

    /// So much of all is done; `all` is 0 when nobody knows.
    pub(crate) fn note(&self, done: u64, all: u64) {
        if !self.shown {
            return;
        }
        let step = (done * 200).checked_div(all).unwrap_or(done >> 22);
        let mut last = self.last.lock();
        if *last == step {
            return;
        }
        *last = step;
        let text = match (done * 100).checked_div(all) {
            Some(percent) => format!("{percent:3} % of {}", bytes(all)),
            None => bytes(done),
        };
        let _ = write!(std::io::stderr(), "\r{}: {text}   ", self.what);
    }
}

impl Drop for ProgressLine {
    fn drop(&mut self) {
        if self.shown && *self.last.lock() != u64::MAX {
            let _ = write!(std::io::stderr(), "\r{:60}\r", "");
        }
    }
}

/// A size as people read it.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    let mut unit = 0;
    let mut whole = count;
    let mut rest = 0;
    while whole >= 1024 && unit + 1 < UNITS.len() {
        rest = whole % 1024;
        whole /= 1024;
        unit += 1;
    }
    let name = UNITS.get(unit).copied().unwrap_or_default();
    if unit == 0 {
        format!("{whole} {name}")
    } else {
        format!("{whole}.{} {name}", rest * 10 / 1024)
    }
}

/// Notes, one a line.
pub(crate) fn notes(notes: &[String]) -> String {
    notes.iter().map(|note| format!("note: {note}\n")).collect()
}

//! The process towards whoever started it: in the background, under a supervisor, its process id in a file.
//!
//! `daemonize yes`: the process starts itself again in a session of its own, waits until that one serves,
//! and leaves with 0; if it cannot serve its reason is printed here and the exit code is 1. The two
//! talk through the new one's standard input, a socket: one way what was read there (a config file given as `-`), the
//! other way one line, `started` or why not. No thread exists before, and nothing is forked.

use std::cell::RefCell;
use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
#[cfg(target_os = "linux")]
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixStream};
use std::process::{Command, Stdio};

use rustix::process::Signal;

use crate::config::{Config, Files, Supervised};
use crate::disk::os::OsDisk;
use crate::disk::{Disk as _, OpenMode, durable};
use crate::logger::Logger;

/// Set in the environment of the process that runs in the background.
const MARK: &str = "FASTNESS_DETACHED";
/// A pidfile is no longer than this.
const PID_BYTES_MAX: usize = 32;
/// What it says when it serves.
const STARTED: &str = "started";

/// Whether this is the process in the background.
pub(super) fn is_detached() -> bool {
    std::env::var_os(MARK).is_some()
}

/// Files, and what was read, so that it can be handed on.
pub(super) struct Remembering<'a, F> {
    files: &'a F,
    stdin: RefCell<Vec<u8>>,
    /// The paths of those that were not empty.
    read: RefCell<Vec<String>>,
}

impl<'a, F: Files> Remembering<'a, F> {
    /// Nothing is read yet.
    pub(super) fn new(files: &'a F) -> Self {
        Self { files, stdin: RefCell::default(), read: RefCell::default() }
    }

    /// The paths that gave something and are empty by now: pipes, as of `<(...)`.
    pub(super) fn read_what_is_gone(&self, disk: &OsDisk) -> Vec<String> {
        let mut read = self.read.borrow().clone();
        read.retain(|path| disk.file_len(path).is_ok_and(|len| len.unwrap_or(0) == 0));
        read
    }

    /// What standard input held.
    pub(super) fn into_stdin(self) -> Vec<u8> {
        self.stdin.into_inner()
    }
}

impl<F: Files> Files for Remembering<'_, F> {
    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        let content = self.files.read(path)?;
        if !content.is_empty() {
            self.read.borrow_mut().push(path.to_owned());
        }
        Ok(content)
    }
    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        self.files.list(dir)
    }
    fn stdin(&self) -> io::Result<Vec<u8>> {
        let content = self.files.stdin()?;
        self.stdin.replace(content.clone());
        Ok(content)
    }
}

/// Starts the process in the background and waits until it serves. `Err`: why it does not.
pub(super) fn detach(words: &[Vec<u8>], stdin: &[u8]) -> Result<(), String> {
    let text = |error: io::Error| format!("cannot start in the background: {error}");
    let (mut ours, theirs) = UnixStream::pair().map_err(text)?;
    let args = words.iter().map(|word| OsString::from_vec(word.clone()));
    let mut child = Command::new(std::env::current_exe().map_err(text)?)
        .arg("serve")
        .args(args)
        .env(MARK, "1")
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(text)?;
    ours.write_all(stdin).and_then(|()| ours.shutdown(Shutdown::Write)).map_err(text)?;
    let mut line = String::new();
    BufReader::new(ours).read_line(&mut line).map_err(text)?;
    match line.trim_end() {
        STARTED => Ok(()),
        "" => {
            let status = child.wait().map_err(text)?;
            Err(format!(
                "the process in the background ended before it served ({status}); see its logfile"
            ))
        }
        why => Err(why.to_owned()),
    }
}

/// In the process in the background: leaves the session of the terminal.
pub(super) fn leave_session() {
    if is_detached() {
        // It fails for a leader of a process group only, which a process just started is not.
        let _ = rustix::process::setsid();
    }
}

/// In the process in the background: tells the one that waits how the start went.
pub(super) fn tell_starter(outcome: Result<(), &str>) {
    if !is_detached() {
        return;
    }
    let line = match outcome {
        Ok(()) => STARTED.to_owned(),
        Err(why) => why.replace('\n', " "),
    };
    if let Ok(socket) = io::stdin().as_fd().try_clone_to_owned() {
        // Nobody listening any more is no reason not to serve.
        let _ = UnixStream::from(socket).write_all(format!("{line}\n").as_bytes());
    }
}

/// The supervisor that the configuration means, as Redis finds it: `auto` asks the environment.
pub(super) fn supervisor(config: &Config) -> Supervised {
    let asks = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    match config.supervised {
        Supervised::Auto if asks("UPSTART_JOB") => Supervised::Upstart,
        Supervised::Auto if asks("NOTIFY_SOCKET") => Supervised::Systemd,
        Supervised::Upstart if asks("UPSTART_JOB") => Supervised::Upstart,
        Supervised::Systemd if asks("NOTIFY_SOCKET") => Supervised::Systemd,
        _ => Supervised::No,
    }
}

/// Tells the supervisor that the server serves.
pub(super) fn tell_ready(supervisor: Supervised, logger: &Logger) {
    match supervisor {
        Supervised::Systemd => notify("READY=1\nSTATUS=Ready to accept connections\n", logger),
        // Upstart expects the process to stop itself, and wakes it.
        Supervised::Upstart => {
            let itself = rustix::process::getpid();
            if let Err(error) = rustix::process::kill_process(itself, Signal::STOP) {
                logger.warning(format!("Cannot tell upstart that the server is ready: {error}"));
            }
        }
        Supervised::Auto | Supervised::No => {}
    }
}

/// Tells the supervisor that the server is about to end.
pub(super) fn tell_stopping(supervisor: Supervised, logger: &Logger) {
    if supervisor == Supervised::Systemd {
        notify("STOPPING=1\n", logger);
    }
}

fn notify(message: &str, logger: &Logger) {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let sent = (|| {
        let address = match path.as_bytes().strip_prefix(b"@") {
            #[cfg(target_os = "linux")]
            Some(name) => SocketAddr::from_abstract_name(name)?,
            _ => SocketAddr::from_pathname(&path)?,
        };
        UnixDatagram::unbound()?.send_to_addr(message.as_bytes(), &address)
    })();
    if let Err(error) = sent {
        logger.warning(format!("Cannot notify systemd at {}: {error}", path.display()));
    }
}

/// The file that holds the process id while the server runs.
pub(super) struct PidFile(Option<String>);

impl PidFile {
    /// Writes it where the configuration says; without it the server runs all the same, as Redis does.
    pub(super) fn write(config: &Config, logger: &Logger) -> Self {
        let path = match config.pidfile.as_str() {
            "" if config.daemonize => "/var/run/fastness.pid".to_owned(),
            "" => return Self(None),
            path => config.path(path),
        };
        let pid = format!("{}\n", std::process::id());
        let written = OsDisk::new("/")
            .open(&path, OpenMode::CreateOrTruncate)
            .and_then(|file| file.write_all_at(0, pid.as_bytes()));
        match written {
            Ok(()) => Self(Some(path)),
            Err(error) => {
                logger.warning(format!("Failed to write PID file: {error}"));
                Self(None)
            }
        }
    }
}

impl PidFile {
    /// Takes it away, before the end of the process, unless it is another's by now.
    pub(super) fn remove(&self) {
        let Some(path) = &self.0 else { return };
        let disk = OsDisk::new("/");
        let found = durable::read_small(&disk, path, PID_BYTES_MAX).ok().flatten();
        if found.is_some_and(|text| text.trim_ascii() == std::process::id().to_string().as_bytes())
        {
            // One that is left behind names a process that is gone; so be it.
            let _ = disk.remove(path);
        }
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        self.remove();
    }
}

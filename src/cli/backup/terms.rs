//! What the subcommands about backups have in common: opening, progress, errors, words for sizes.

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::Value;

use super::passphrase;
use super::tls::TlsArgs;
use crate::backup::BackupError;
use crate::backup::repository::Repository;
use crate::backup::server::{Address, Connection, PASSWORD_VARIABLES};
use crate::backup::store::patient::{Patience, Patient};
use crate::backup::store::{self, Store};
use crate::clock::{Clock as _, SystemClock};
use crate::disk::os::OsDisk;
use crate::disk::{DiskError, SharedDisk, durable};

/// The machine's file system, for paths as they are given.
pub(crate) fn anywhere() -> SharedDisk {
    Arc::new(OsDisk::new(std::env::current_dir().unwrap_or_default()))
}

/// Where files go that are not kept.
pub(crate) fn temporary_folder() -> String {
    std::env::temp_dir().to_string_lossy().into_owned()
}

/// One call of a store has to end within so long.
const ANSWER_WITHIN: Duration = Duration::from_secs(180);
/// What a store fails to do is tried again for so long, once it has done something.
const RETRY_FOR: Duration = Duration::from_secs(300);

/// The store at a URL, with patience for what passes.
pub(crate) fn open_store(url: &str) -> Result<Arc<dyn Store>, BackupError> {
    let inner = store::open(url, anywhere())?;
    let patience = Patience { answer_within: ANSWER_WITHIN, retry_for: RETRY_FOR };
    let notice = |error: &store::StoreError| {
        if std::io::stderr().is_terminal() {
            let _ = writeln!(std::io::stderr(), "\r{error}; it is tried again");
        }
    };
    let patient = Patient::new(inner, Arc::new(SystemClock::new()), patience);
    Ok(Arc::new(patient.telling(Box::new(notice))))
}

/// The repository at a URL; refused when there is none.
pub(crate) fn repository(url: &str) -> Result<Repository, BackupError> {
    Repository::open(open_store(url)?)
}

/// What opens an encrypted repository.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct IdentityArgs {
    /// A file with an identity (age-keygen makes one), for an encrypted repository; may be given several times.
    ///
    /// Without it the variable FASTNESS_IDENTITY names one.
    #[arg(long = "identity", value_name = "FILE")]
    files: Vec<String>,
    /// A file with the passphrase of a repository that is encrypted by one.
    ///
    /// Without it the variable FASTNESS_PASSPHRASE has the passphrase, or it is asked for at the terminal.
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<String>,
}

impl IdentityArgs {
    /// The repository at a URL, with what opens it. `reads`: it is of no use otherwise, so a passphrase is asked for.
    pub(crate) fn open(&self, url: &str, reads: bool) -> Result<Repository, BackupError> {
        let mut files = self.files.clone();
        let is_named = !files.is_empty();
        if files.is_empty() {
            files.extend(std::env::var("FASTNESS_IDENTITY").ok().filter(|name| !name.is_empty()));
        }
        let disk = anywhere();
        let read = |path: &String| {
            let text = durable::read_small(disk.as_ref(), path, FILE_BYTES_MAX)?;
            let text = text.ok_or_else(|| {
                BackupError::refused(format!("there is no {path}"), "name an identity file")
            })?;
            Ok(String::from_utf8_lossy(&text).into_owned())
        };
        let texts = files.iter().map(read).collect::<Result<Vec<_>, BackupError>>()?;
        let closed = repository(url)?;
        let opened = closed.clone().opened_with(&texts)?;
        let right = !texts.is_empty() && opened.has_right_identity();
        if is_named && !right {
            // Its recipients may be those of another repository.
            if let Some(error) = closed.first_key_damage()? {
                return Err(error);
            }
            return Err(BackupError::refused(
                format!("{} is encrypted, and not for this identity", closed.place()),
                "name the identity of one of its recipients, or give the passphrase that it was made with",
            ));
        }
        // A variable may be meant for another repository.
        let repository = if right { opened } else { closed };
        let asked_for = self.passphrase_file.is_some();
        let is_plain = repository.recipients().is_empty() && !repository.has_passphrase()?;
        if is_plain || (right && !asked_for) {
            return Ok(repository);
        }
        // So may a passphrase; a file is meant for this one.
        if !asked_for && !repository.has_passphrase()? {
            return Ok(repository);
        }
        match passphrase::given(self.passphrase_file.as_ref())? {
            Some(passphrase) => repository.opened_by(&passphrase),
            None if reads && std::io::stdin().is_terminal() => {
                repository.opened_by(&passphrase::ask("passphrase of the repository: ")?)
            }
            None => Ok(repository),
        }
    }
}

/// Files with identities and passphrases are short.
pub(crate) const FILE_BYTES_MAX: usize = 1 << 20;

/// The server that `text` names, with the password of the environment if it has none; `None`: a path.
pub(crate) fn address(text: &str) -> Result<Option<Address>, BackupError> {
    let variables = PASSWORD_VARIABLES.iter();
    let password = variables.filter_map(|name| std::env::var(name).ok()).next();
    Address::parse(text, password).map_err(|why| {
        BackupError::refused(why, "write redis://[user:password@]host[:port], or rediss:// for TLS")
    })
}

/// Connects to a server.
pub(crate) fn connect(address: &Address, tls: &TlsArgs) -> Result<Connection, BackupError> {
    Connection::open(address, &tls.options()?)
}

/// Ends a subcommand: what it found as JSON or text, or why it failed.
pub(crate) fn finish(json: bool, outcome: Result<(Value, String, u8), BackupError>) -> ExitCode {
    match outcome {
        Ok((value, _, code)) if json => print(&format!("{value:#}\n"), code),
        Ok((_, text, code)) => print(&text, code),
        Err(error) => {
            let next = error.next_step();
            if json {
                let value = serde_json::json!({ "error": error.to_string(), "next": next });
                return print(&format!("{value:#}\n"), error.exit_code());
            }
            eprintln!("fastness: {error}");
            if !next.is_empty() {
                eprintln!("  next: {next}");
            }
            ExitCode::from(error.exit_code())
        }
    }
}

/// Ends a subcommand with its text on standard output, and with this exit code: with 1 instead of 0 when the text does
/// not get there. Whoever closed the pipe wanted no more of it.
pub(crate) fn print(text: &str, code: u8) -> ExitCode {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            eprintln!("fastness: standard output cannot be written: {error}");
            eprintln!("  next: see that there is room where it goes, and run it again");
            ExitCode::from(code.max(1))
        }
        _ => ExitCode::from(code),
    }
}

/// Why a directory's lock is not to be had: somebody has it, or it cannot be taken at all.
pub(crate) fn not_locked(dir: &str, error: &DiskError) -> String {
    match error.source.kind() {
        std::io::ErrorKind::WouldBlock => {
            format!("{dir} is in use by another process: {}", error.source)
        }
        _ => format!(
            "{dir} cannot be locked ({error}); see that this user may write there, or run it as the owner of the files"
        ),
    }
}

/// A line on standard error that tells how far something is, if that is a terminal.
#[derive(Debug)]
pub(crate) struct ProgressLine {
    what: &'static str,
    /// What is counted; empty: bytes.
    unit: &'static str,
    shown: bool,
    clock: SystemClock,
    began: Duration,
    /// The step and the time of what is shown.
    last: Mutex<(u64, Duration)>,
}

/// A line that stands still looks dead: it is written anew at least so often.
const SHOW_EVERY: Duration = Duration::from_millis(500);

impl ProgressLine {
    /// A line about `what`.
    pub(crate) fn new(what: &'static str) -> Self {
        Self::of(what, "")
    }

    /// A line about `what`, counted in `unit`.
    pub(crate) fn of(what: &'static str, unit: &'static str) -> Self {
        let clock = SystemClock::new();
        let (began, shown) = (clock.monotonic(), std::io::stderr().is_terminal());
        Self { what, unit, shown, clock, began, last: Mutex::new((u64::MAX, began)) }
    }

    /// So much of all is done; `all` is 0 when nobody knows.
    pub(crate) fn note(&self, done: u64, all: u64) {
        if !self.shown {
            return;
        }
        let now = self.clock.monotonic();
        let step = (done * 200).checked_div(all).unwrap_or(done >> 22);
        let mut last = self.last.lock();
        if last.0 == step && now.saturating_sub(last.1) < SHOW_EVERY {
            return;
        }
        *last = (step, now);
        let text = self.text(done, all, now.saturating_sub(self.began));
        let _ = write!(std::io::stderr(), "\r{}: {text}   ", self.what);
    }

    /// A bar, how much of how much, how fast, and how long it will take.
    fn text(&self, done: u64, all: u64, took: Duration) -> String {
        let shown = |count: u64| match self.unit {
            "" => bytes(count),
            unit => format!("{count} {unit}"),
        };
        let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX).max(1);
        let speed = shown(done.saturating_mul(1000) / ms);
        if all == 0 {
            return format!("{}, {speed}/s", shown(done));
        }
        let full = usize::try_from(done.min(all) * 20 / all).unwrap_or(0);
        let bar = format!("[{}{}]", "#".repeat(full), " ".repeat(20_usize.saturating_sub(full)));
        let percent = done.min(all) * 100 / all;
        let left = match ms.saturating_mul(all.saturating_sub(done)).checked_div(done) {
            Some(ms) => format!(", {} s left", ms.div_ceil(1000)),
            None => String::new(),
        };
        format!("{bar} {percent:3} % of {}, {speed}/s{left}", shown(all))
    }
}

impl Drop for ProgressLine {
    fn drop(&mut self) {
        if self.shown && self.last.lock().0 != u64::MAX {
            let _ = write!(std::io::stderr(), "\r{:90}\r", "");
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_progress_line_tells_how_far_how_fast_and_how_long() {
        let line = ProgressLine::of("keys", "keys");
        let text = line.text(250, 1000, Duration::from_secs(5));
        assert_eq!(text, "[#####               ]  25 % of 1000 keys, 50 keys/s, 15 s left");
        assert_eq!(
            line.text(0, 10, Duration::ZERO),
            "[                    ]   0 % of 10 keys, 0 keys/s"
        );
        let line = ProgressLine::new("snapshot");
        assert_eq!(line.text(4096, 0, Duration::from_secs(2)), "4.0 KiB, 2.0 KiB/s");
    }
}

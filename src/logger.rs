//! The server's log: lines in Redis' format, to standard output or a file, and to syslog.
//!
//! ```text
//! 4711:M 22 Nov 2026 10:00:00.000 * Ready to accept connections tcp
//! pid:role time (UTC) level message        level: . debug  - verbose  * notice  # warning
//! ```
//!
//! `log-format` and `log-timestamp-format` choose other forms (`style`).
//!
//! A [`Logger`] is a handle: clone it into every thread; there is no global one. The level can change at any
//! time (CONFIG SET loglevel) and is looked at without a lock. The file is opened for each line, as Redis
//! does, so that it may be moved away by log rotation. A line that cannot be written to the file goes to
//! standard error; the log never stops the server. Times are UTC: they need no time zone data and are the
//! same in a simulation.

mod style;

use std::fmt::{self, Display};
use std::io::{ErrorKind, Write as _};
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use parking_lot::Mutex;

use crate::clock::{Clock, UnixMillis};
use crate::config::{Config, LogLevel, SyslogFacility};
use crate::disk::{DiskError, OpenMode, SharedDisk};
use style::Style;

/// A handle of the log.
#[derive(Clone)]
pub struct Logger(Arc<Shared>);

struct Shared {
    level: AtomicU8,
    clock: Arc<dyn Clock>,
    pid: u32,
    style: Mutex<Style>,
    sink: Mutex<Sink>,
    syslog: Option<Syslog>,
}

/// Where lines go.
enum Sink {
    Stdout,
    File(SharedDisk, String),
    Memory(Vec<String>),
    Nowhere,
}

struct Syslog {
    path: &'static str,
    /// `None` while there is nobody.
    socket: Mutex<Option<UnixDatagram>>,
    facility: u8,
    ident: String,
}

/// Where the local syslog listens.
const SYSLOG: &str = "/dev/log";

impl Logger {
    /// The log that the configuration asks for. A relative `logfile` is inside `dir`.
    pub fn from_config(config: &Config, clock: Arc<dyn Clock>, disk: SharedDisk) -> Self {
        let sink = match config.logfile.as_str() {
            "" => Sink::Stdout,
            path => Sink::File(disk, config.path(path)),
        };
        let syslog = config.syslog_enabled.then(|| Syslog::of(config, SYSLOG));
        let log = Self::new(config.loglevel, clock, sink, syslog);
        log.set_style(config);
        log
    }

    /// Opens the file that lines go to, and makes it, so that a start can be refused when it cannot be. Lines that it does not
    /// take later go to standard error.
    pub fn open(&self) -> Result<(), DiskError> {
        match &*self.0.sink.lock() {
            Sink::File(disk, path) => append(disk, path, b""),
            _ => Ok(()),
        }
    }

    /// A log to standard output, for command line tools and until the configuration is known.
    pub fn to_stdout(clock: Arc<dyn Clock>) -> Self {
        Self::new(LogLevel::Notice, clock, Sink::Stdout, None)
    }

    /// A log that is kept in memory, every level of it; see [`Logger::lines`].
    pub fn to_memory(clock: Arc<dyn Clock>) -> Self {
        Self::new(LogLevel::Debug, clock, Sink::Memory(Vec::new()), None)
    }

    /// A log of nothing.
    pub fn silent(clock: Arc<dyn Clock>) -> Self {
        Self::new(LogLevel::Nothing, clock, Sink::Nowhere, None)
    }

    fn new(level: LogLevel, clock: Arc<dyn Clock>, sink: Sink, syslog: Option<Syslog>) -> Self {
        let pid = std::process::id();
        let level = AtomicU8::new(level as u8);
        let (style, sink) = (Mutex::default(), Mutex::new(sink));
        Self(Arc::new(Shared { level, clock, pid, style, sink, syslog }))
    }

    /// Changes the form of lines to what the configuration says.
    pub fn set_style(&self, config: &Config) {
        *self.0.style.lock() = Style::of(config);
    }

    /// Changes the least important level that is logged.
    pub fn set_level(&self, level: LogLevel) {
        self.0.level.store(level as u8, Ordering::Relaxed);
    }

    /// Whether messages of this level are logged; worth asking before costly ones are made.
    pub fn logs(&self, level: LogLevel) -> bool {
        level != LogLevel::Nothing && level as u8 >= self.0.level.load(Ordering::Relaxed)
    }

    /// Logs at level debug.
    pub fn debug(&self, message: impl Display) {
        self.log(LogLevel::Debug, message);
    }

    /// Logs at level verbose.
    pub fn verbose(&self, message: impl Display) {
        self.log(LogLevel::Verbose, message);
    }

    /// Logs at level notice: what an operator wants to see once.
    pub fn notice(&self, message: impl Display) {
        self.log(LogLevel::Notice, message);
    }

    /// Logs at level warning: what an operator must act on.
    pub fn warning(&self, message: impl Display) {
        self.log(LogLevel::Warning, message);
    }

    /// Logs a message, `format_args!(...)` for instance, at a level.
    pub fn log(&self, level: LogLevel, message: impl Display) {
        if !self.logs(level) {
            return;
        }
        let shared = &*self.0;
        let message = message.to_string();
        let message = message.trim_end_matches('\n');
        if let Some(syslog) = &shared.syslog {
            syslog.send(level, message, shared.pid);
        }
        let style = *shared.style.lock();
        let mut line = style.line(shared.pid, shared.clock.wall(), level, message);
        line.push('\n');
        shared.sink.lock().write(line);
    }

    /// The lines that a log in memory has so far, without their ends.
    pub fn lines(&self) -> Vec<String> {
        match &*self.0.sink.lock() {
            Sink::Memory(lines) => lines.clone(),
            _ => Vec::new(),
        }
    }
}

impl fmt::Debug for Logger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Logger").finish_non_exhaustive()
    }
}

impl Sink {
    fn write(&mut self, mut line: String) {
        match self {
            Self::Stdout => {
                // A closed standard output is no reason to stop.
                let _ = std::io::stdout().lock().write_all(line.as_bytes());
            }
            Self::File(disk, path) => {
                if append(disk, path, line.as_bytes()).is_err() {
                    let _ = std::io::stderr().lock().write_all(line.as_bytes());
                }
            }
            Self::Memory(lines) => {
                line.pop();
                lines.push(line);
            }
            Self::Nowhere => {}
        }
    }
}

fn append(disk: &SharedDisk, path: &str, bytes: &[u8]) -> Result<(), DiskError> {
    let file = disk.open(path, OpenMode::CreateOrOpen)?;
    file.write_all_at(file.len()?, bytes)
}

impl Syslog {
    fn of(config: &Config, path: &'static str) -> Self {
        let facility = match config.syslog_facility {
            SyslogFacility::User => 1,
            local => 15 + local as u8, // local0 is 16, and 1 in the enum.
        };
        Self { path, socket: Mutex::default(), facility, ident: config.syslog_ident.clone() }
    }

    fn connect(&self) -> Option<UnixDatagram> {
        let socket = UnixDatagram::unbound().ok()?;
        socket.connect(self.path).ok()?;
        socket.set_nonblocking(true).ok()?;
        Some(socket)
    }

    fn send(&self, level: LogLevel, message: &str, pid: u32) {
        let datagram = syslog_datagram(self.facility, level, &self.ident, pid, message);
        let mut socket = self.socket.lock();
        // The first time, and when syslog was started anew: its old socket is nobody's then.
        for _ in 0..2 {
            if socket.is_none() {
                *socket = self.connect();
            }
            match socket.as_ref().map(|socket| socket.send(datagram.as_bytes())) {
                // A full or absent syslog loses lines; waiting for it would stop the server.
                Some(Err(error)) if error.kind() != ErrorKind::WouldBlock => *socket = None,
                _ => return,
            }
        }
    }
}

/// `<facility and severity>ident[pid]: message`, which syslog stamps with the time itself.
fn syslog_datagram(facility: u8, level: LogLevel, ident: &str, pid: u32, message: &str) -> String {
    let severity = match level {
        LogLevel::Debug => 7,
        LogLevel::Verbose => 6,
        LogLevel::Notice => 5,
        LogLevel::Warning | LogLevel::Nothing => 4,
    };
    format!("<{}>{ident}[{pid}]: {message}", u32::from(facility) * 8 + severity)
}

/// `22 Nov 2026 10:00:00.000`.
pub(crate) struct Timestamp(pub(crate) UnixMillis);

impl Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MONTHS: [&str; 12] =
            ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        let (days, ms) = (self.0.div_euclid(86_400_000), self.0.rem_euclid(86_400_000));
        let (year, month, day) = civil(days);
        let month = usize::try_from(month - 1).ok().and_then(|at| MONTHS.get(at)).unwrap_or(&"???");
        let (seconds, ms) = (ms / 1000, ms % 1000);
        let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        write!(f, "{day:02} {month} {year} {hours:02}:{minutes:02}:{seconds:02}.{ms:03}")
    }
}

/// Year, month and day of a number of days since 1 January 1970 in the Gregorian calendar.
///
/// Years are counted from March, so that the leap day is the last of its year, in eras of 400 years,
/// which all have the same number of days.
pub fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468; // From 1 March of year 0.
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SimClock;

    const NOV_22: UnixMillis = 1_795_341_600_123; // 22 November 2026, 10:00:00.123 UTC.

    #[test]
    fn lines_are_in_the_format_of_redis() {
        let log = Logger::to_memory(Arc::new(SimClock::at(NOV_22)));
        log.debug("a");
        log.verbose("b");
        log.clone().notice(format_args!("c {}", 3));
        log.warning("d\n");
        let pid = std::process::id();
        let time = "22 Nov 2026 10:00:00.123";
        let expected =
            [". a", "- b", "* c 3", "# d"].map(|message| format!("{pid}:M {time} {message}"));
        assert_eq!(log.lines(), expected);
    }

    #[test]
    fn the_level_decides_for_all_handles() {
        let log = Logger::to_memory(Arc::new(SimClock::at(0)));
        let other = log.clone();
        log.set_level(LogLevel::Notice);
        other.verbose("no");
        other.notice("yes");
        log.set_level(LogLevel::Nothing);
        other.warning("no");
        assert!(!log.logs(LogLevel::Nothing));
        assert_eq!(log.lines().len(), 1);
    }

    #[test]
    fn dates_are_right_around_leap_days() {
        for (ms, expected) in [
            (0, "01 Jan 1970 00:00:00.000"),
            (-1, "31 Dec 1969 23:59:59.999"),
            (951_782_400_000, "29 Feb 2000 00:00:00.000"),
            (951_868_800_000, "01 Mar 2000 00:00:00.000"),
            (4_107_542_399_999, "28 Feb 2100 23:59:59.999"),
            (4_107_542_400_000, "01 Mar 2100 00:00:00.000"),
        ] {
            assert_eq!(Timestamp(ms).to_string(), expected);
        }
    }

    #[test]
    fn a_syslog_that_comes_later_or_again_gets_its_lines() {
        let dir = tempfile::tempdir().unwrap();
        // A logger lives as long as its process.
        let path: &'static str = dir.path().join("log").to_str().unwrap().to_owned().leak();
        let syslog = Syslog::of(&Config::default(), path);
        syslog.send(LogLevel::Notice, "nobody hears it", 7);
        for round in ["first", "second"] {
            let listener = UnixDatagram::bind(path).unwrap();
            listener.set_read_timeout(Some(std::time::Duration::from_secs(5))).unwrap();
            syslog.send(LogLevel::Notice, round, 7);
            let mut line = [0; 100];
            let len = listener.recv(&mut line).unwrap();
            assert_eq!(line[..len], *format!("<133>redis[7]: {round}").as_bytes());
            rustix::fs::unlink(path).unwrap();
        }
    }

    #[test]
    fn syslog_gets_facility_and_severity() {
        let line = syslog_datagram(16, LogLevel::Notice, "redis", 7, "hello");
        assert_eq!(line, "<133>redis[7]: hello");
        assert_eq!(SyslogFacility::Local7 as u8 + 15, 23);
    }
}

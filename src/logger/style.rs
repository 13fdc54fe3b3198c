//! How a line of the log looks: `log-format` and `log-timestamp-format`.
//!
//! ```text
//! legacy  4711:M 22 Nov 2026 10:00:00.000 * Ready to accept connections tcp
//! logfmt  pid=4711 role=primary timestamp="..." level=notice message="Ready to accept connections tcp"
//! json    {"pid":4711,"role":"primary","timestamp":"...","level":"notice","message":"Ready to ..."}
//! ```

use std::fmt::{self, Display, Write};

use super::{Timestamp, civil};
use crate::clock::UnixMillis;
use crate::config::{Config, LogFormat, LogLevel, LogTimestampFormat};

/// The form of lines and of the times in them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Style {
    format: LogFormat,
    times: LogTimestampFormat,
}

impl Style {
    pub(super) fn of(config: &Config) -> Self {
        Self { format: config.log_format, times: config.log_timestamp_format }
    }

    /// The line of a message, without its end.
    pub(super) fn line(self, pid: u32, now: UnixMillis, level: LogLevel, message: &str) -> String {
        let time = Time(self.times, now);
        let (sign, word) = signs(level);
        match self.format {
            LogFormat::Legacy => format!("{pid}:M {time} {sign} {message}"),
            LogFormat::Logfmt => format!(
                "pid={pid} role=primary timestamp=\"{time}\" level={word} message=\"{}\"",
                // The form has no escapes.
                message.replace('"', "'").replace(['\n', '\r'], " ")
            ),
            LogFormat::Json => format!(
                "{{\"pid\":{pid},\"role\":\"primary\",\"timestamp\":\"{time}\",\"level\":\"{word}\",\
                 \"message\":{}}}",
                Quoted(message)
            ),
        }
    }
}

/// The sign and the word of a level.
fn signs(level: LogLevel) -> (char, &'static str) {
    match level {
        LogLevel::Debug => ('.', "debug"),
        LogLevel::Verbose => ('-', "info"),
        LogLevel::Notice => ('*', "notice"),
        LogLevel::Warning | LogLevel::Nothing => ('#', "warning"),
    }
}

/// A time in one of the forms; it is UTC.
struct Time(LogTimestampFormat, UnixMillis);

impl Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let now = self.1;
        match self.0 {
            LogTimestampFormat::Legacy => Timestamp(now).fmt(f),
            LogTimestampFormat::Milliseconds => now.fmt(f),
            LogTimestampFormat::Iso8601 => {
                let (year, month, day) = civil(now.div_euclid(86_400_000));
                let ms = now.rem_euclid(86_400_000);
                let (hours, minutes) = (ms / 3_600_000, ms / 60_000 % 60);
                let (seconds, ms) = (ms / 1000 % 60, ms % 1000);
                write!(
                    f,
                    "{year:04}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}.{ms:03}+00:00"
                )
            }
        }
    }
}

/// A text as a string of JSON.
struct Quoted<'a>(&'a str);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for char in self.0.chars() {
            match char {
                '"' | '\\' => write!(f, "\\{char}")?,
                '\n' => f.write_str("\\n")?,
                '\r' => f.write_str("\\r")?,
                '\t' => f.write_str("\\t")?,
                '\u{8}' => f.write_str("\\b")?,
                '\u{c}' => f.write_str("\\f")?,
                '\0'..='\u{1f}' => write!(f, "\\u{:04x}", u32::from(char))?,
                char => f.write_char(char)?,
            }
        }
        f.write_char('"')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOV_22: UnixMillis = 1_795_341_600_123; // 22 November 2026, 10:00:00.123 UTC.
    const TOLD: &str = "a \"b\"\n\u{1}\\";

    fn line(format: LogFormat, times: LogTimestampFormat) -> String {
        Style { format, times }.line(7, NOV_22, LogLevel::Verbose, TOLD)
    }

    #[test]
    fn lines_are_in_the_forms_of_valkey() {
        assert_eq!(
            line(LogFormat::Legacy, LogTimestampFormat::Iso8601),
            "7:M 2026-11-22T10:00:00.123+00:00 - a \"b\"\n\u{1}\\"
        );
        assert_eq!(
            line(LogFormat::Logfmt, LogTimestampFormat::Legacy),
            "pid=7 role=primary timestamp=\"22 Nov 2026 10:00:00.123\" level=info \
             message=\"a 'b' \u{1}\\\""
        );
        assert_eq!(
            line(LogFormat::Json, LogTimestampFormat::Milliseconds),
            r#"{"pid":7,"role":"primary","timestamp":"1795341600123","level":"info","message":"a \"b\"\n\u0001\\"}"#
        );
    }
}

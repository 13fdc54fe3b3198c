//! Instants as people write them: `2026-11-22T10:00:00Z`, `2026-11-22 10:00`, `10 minutes ago`, `now`.
//!
//! All in UTC unless an offset says otherwise. To the millisecond, the resolution of the log.

use std::fmt;

use crate::clock::UnixMillis;
use crate::logger::civil;

/// Clocks of two machines may differ by so much without anything being wrong.
pub const CLOCKS_DIFFER_MS: i64 = 60_000;

/// An instant in ISO 8601, UTC, with milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Iso(pub UnixMillis);

impl fmt::Display for Iso {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, ms) = (self.0.div_euclid(86_400_000), self.0.rem_euclid(86_400_000));
        let (year, month, day) = civil(days);
        let (seconds, ms) = (ms / 1000, ms % 1000);
        let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}.{ms:03}Z")
    }
}

/// The instant as part of a name: `20261122T100000Z`.
pub fn compact(at: UnixMillis) -> String {
    let text = Iso(at).to_string();
    let kept: String = text.chars().filter(|next| !matches!(next, '-' | ':')).collect();
    format!("{}Z", kept.split('.').next().unwrap_or_default())
}

/// The instant that such a part of a name means.
pub(super) fn of_compact(text: &str) -> Option<UnixMillis> {
    let (date, clock) = text.strip_suffix('Z')?.split_once('T')?;
    let (year, rest) = date.split_at_checked(4)?;
    let (month, day) = rest.split_at_checked(2)?;
    let (hours, rest) = clock.split_at_checked(2)?;
    let (minutes, seconds) = rest.split_at_checked(2)?;
    absolute(&format!("{year}-{month}-{day}T{hours}:{minutes}:{seconds}"))
}

/// The instant that `text` means at `now`; an error says what is understood.
pub fn parse(text: &str, now: UnixMillis) -> Result<UnixMillis, String> {
    let trimmed = text.trim();
    let found = match trimmed {
        "now" => Some(now),
        _ => trimmed.strip_suffix(" ago").map_or_else(
            || absolute(trimmed),
            |span| duration(span).and_then(|span| now.checked_sub(span)),
        ),
    };
    found.ok_or_else(|| {
        format!(
            "{text:?} is no time: write 2026-11-22T10:00:00Z, 2026-11-22T10:00:00.250+01:00, \
             2026-11-22, or \"10 minutes ago\""
        )
    })
}

/// Milliseconds of `10 minutes`, `1h 30m`, `2 days`, `90s`.
pub fn duration(text: &str) -> Option<i64> {
    let mut rest = text.trim();
    let mut total = 0i64;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|next: char| next.is_ascii_digit()).len();
        let number: i64 = rest.get(..digits)?.parse().ok()?;
        rest = rest.get(digits..)?.trim_start();
        let letters =
            rest.len() - rest.trim_start_matches(|next: char| next.is_ascii_alphabetic()).len();
        let unit = match rest.get(..letters)? {
            "ms" | "millisecond" | "milliseconds" => 1,
            "s" | "sec" | "second" | "seconds" => 1000,
            "m" | "min" | "minute" | "minutes" => 60_000,
            "h" | "hour" | "hours" => 3_600_000,
            "d" | "day" | "days" => 86_400_000,
            "w" | "week" | "weeks" => 7 * 86_400_000,
            _ => return None,
        };
        total = total.checked_add(number.checked_mul(unit)?)?;
        rest = rest.get(letters..)?.trim_start_matches([' ', ',']);
    }
    Some(total)
}

fn absolute(text: &str) -> Option<UnixMillis> {
    let (date, time) = text.split_once(['T', 't', ' ']).unwrap_or((text, "00:00"));
    let mut numbers = date.split('-');
    let year: i64 = fixed(numbers.next()?, 4)?;
    let (month, day) = (fixed(numbers.next()?, 2)?, fixed(numbers.next()?, 2)?);
    if numbers.next().is_some() || !(1..=12).contains(&month) {
        return None;
    }
    let days = days_of(year, month, day);
    // A 30 February would be another day.
    if civil(days) != (year, month, day) {
        return None;
    }
    let (clock, offset) = split_offset(time)?;
    Some(days * 86_400_000 + time_of_day(clock)? - offset)
}

fn fixed(text: &str, digits: usize) -> Option<i64> {
    let right = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    right.then(|| text.parse().ok()).flatten()
}

/// The time without its offset, and the offset in milliseconds.
fn split_offset(time: &str) -> Option<(&str, i64)> {
    if let Some(clock) = time.strip_suffix(['Z', 'z']) {
        return Some((clock, 0));
    }
    let Some(at) = time.rfind(['+', '-']) else { return Some((time, 0)) };
    let (clock, offset) = time.split_at_checked(at)?;
    let (sign, digits) = offset.split_at_checked(1)?;
    let (hours, minutes) = digits.split_once(':').unwrap_or((digits.get(..2)?, digits.get(2..)?));
    let minutes = if minutes.is_empty() { 0 } else { fixed(minutes, 2)? };
    let ms = (fixed(hours, 2)? * 60 + minutes) * 60_000;
    Some((clock, if sign == "-" { -ms } else { ms }))
}

fn time_of_day(clock: &str) -> Option<i64> {
    let mut parts = clock.split(':');
    let (hours, minutes) = (fixed(parts.next()?, 2)?, fixed(parts.next()?, 2)?);
    let (seconds, fraction) = parts
        .next()
        .unwrap_or("00")
        .split_once('.')
        .unwrap_or((clock.split(':').nth(2).unwrap_or("00"), "0"));
    let seconds = fixed(seconds, 2)?;
    let digits = fraction.bytes().all(|byte| byte.is_ascii_digit()) && fraction.len() <= 9;
    let in_range = hours < 24 && minutes < 60 && seconds < 60 && parts.next().is_none();
    if !digits || !in_range {
        return None;
    }
    let ms: i64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
    Some((hours * 3600 + minutes * 60 + seconds) * 1000 + ms)
}

/// Days since 1 January 1970; the inverse of [`civil`].
fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let shifted = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (shifted.div_euclid(400), shifted.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = 1_795_341_600_123;

    #[test]
    fn instants_are_read_as_they_are_written() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2026-11-22T10:00:00Z", 1_795_341_600_000),
            ("2026-11-22T10:00:00.25Z", 1_795_341_600_250),
            ("2026-11-22 10:00", 1_795_341_600_000),
            ("2026-11-22T11:00:00+01:00", 1_795_341_600_000),
            ("2026-11-22T05:00:00-0500", 1_795_341_600_000),
            ("2026-11-22", 1_795_305_600_000),
            ("2024-02-29", 1_709_164_800_000),
            ("now", NOW),
            ("10 minutes ago", NOW - 600_000),
            ("1h 30m ago", NOW - 5_400_000),
            ("2 days, 3 hours ago", NOW - 183_600_000),
        ] {
            assert_eq!(parse(text, NOW), Ok(expected), "{text}");
        }
        for at in [0, -1, NOW, 951_782_400_000, 4_102_444_800_999] {
            assert_eq!(parse(&Iso(at).to_string(), NOW), Ok(at), "{}", Iso(at));
        }
        assert_eq!(compact(NOW), "20261122T100000Z");
        assert_eq!(of_compact(&compact(NOW)), Some(NOW - 123));
        for bad in
            ["", "20261122T100000", "20261322T100000Z", "2026112T2100000Z", "\u{e9}0261122T100000Z"]
        {
            assert_eq!(of_compact(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "yesterday",
            "10 minutes",
            "10 parsecs ago",
            "2026-13-01",
            "2026-02-30",
            "2026-1-1",
            "2026-11-22T25:00Z",
            "2026-11-22T10:00:00.xZ",
            "2026-11-22T10:00:00+1",
            "ago",
            " ago",
            "99999999999999999999 s ago",
            "2026-11-22T10:00:00:00Z",
        ] {
            assert!(parse(text, NOW).is_err(), "{text}");
        }
    }
}

//! Times as people and programs write them.

use crate::clock::UnixMillis;

/// Numbers from here on are milliseconds, below seconds: 1973 in one, 5138 in the other.
const MILLIS_FROM: i64 = 100_000_000_000;

/// Unix seconds, Unix milliseconds, or `2026-11-22T18:30:00.250Z` (with a space for the T, without parts at the end).
pub(super) fn parse(text: &str) -> Result<UnixMillis, String> {
    if let Ok(number) = text.parse::<i64>() {
        return Ok(if number < MILLIS_FROM { number.saturating_mul(1000) } else { number });
    }
    date(text).ok_or_else(|| {
        format!("\"{text}\" is no time: Unix seconds, milliseconds, or 2026-11-22T18:30:00 in UTC")
    })
}

fn date(text: &str) -> Option<UnixMillis> {
    let text = text.strip_suffix('Z').unwrap_or(text);
    let (date, time) = text.split_once(['T', ' ']).unwrap_or((text, "0:0:0"));
    let mut parts = date.split('-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    let mut parts = time.split(':');
    let (hours, minutes) = (parts.next()?.parse::<i64>().ok()?, parts.next()?.parse::<i64>().ok()?);
    let seconds: f64 = parts.next().unwrap_or("0").parse().ok()?;
    let sane = (1970..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && (0..24).contains(&hours)
        && (0..60).contains(&minutes)
        && (0.0..61.0).contains(&seconds);
    #[allow(clippy::cast_possible_truncation, reason = "it is below 61 000")]
    let millis = (seconds * 1000.0).round() as i64;
    sane.then(|| ((days(year, month, day) * 24 + hours) * 60 + minutes) * 60_000 + millis)
}

/// Days since 1 January 1970; years are counted from March, so that the leap day is the last of its year.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn all_forms_of_one_instant() {
        for text in [
            "1795372200",
            "1795372200000",
            "2026-11-22T18:30:00Z",
            "2026-11-22 18:30",
            "2026-11-22T18:30:00.000",
        ] {
            assert_eq!(parse(text), Ok(1_795_372_200_000), "{text}");
        }
        assert_eq!(parse("2024-02-29"), Ok(1_709_164_800_000));
        assert_eq!(parse("1970-01-01T00:00:00.250"), Ok(250));
        for text in ["", "now", "2026-13-01", "2026-11-22T25:00", "18:30"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}

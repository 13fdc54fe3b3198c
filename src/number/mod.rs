//! Numbers as text: what Redis accepts, what it prints.
//!
//! Clients see every corner of this: which spellings are refused, how 1e20 is printed, what
//! INCRBYFLOAT makes of 0.1 + 0.2. Integers are here; doubles (sorted set scores, replies) are in
//! [`double`], the 80-bit arithmetic of INCRBYFLOAT in [`extended`].
//!
//! Parsers take bytes from clients, so they never panic and never allocate by a length they read.
//! `None` means "not a number of this kind"; the caller knows the error's text.

pub mod double;
pub mod extended;

#[cfg(test)]
mod tests;

pub use double::{DoubleText, fixed_point, parse_double, parse_range_bound, seventeen_digits};
pub use extended::Extended;

/// Longest text of an `i64`: "-9223372036854775808".
pub const I64_TEXT_MAX: usize = 20;

/// Parses canonical decimal: the one text that printing the integer gives. No plus sign, no leading
/// zero, no "-0", no space.
#[inline]
pub fn parse_i64(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    match digits {
        [b'0'] if !negative => return Some(0),
        [b'1'..=b'9', ..] if digits.len() <= 19 => {}
        _ => return None,
    }
    // Nineteen digits cannot overflow a u64.
    let mut value = 0u64;
    for &byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + u64::from(digit);
    }
    if negative { 0i64.checked_sub_unsigned(value) } else { i64::try_from(value).ok() }
}

/// Parses an unsigned integer as Redis reads stream id parts and SCAN cursors: leading white space,
/// a plus sign and leading zeros are let through.
pub fn parse_u64(text: &[u8]) -> Option<u64> {
    let start = text.iter().position(|byte| !is_c_space(*byte))?;
    let digits = text.get(start..)?;
    let digits = digits.strip_prefix(b"+").unwrap_or(digits);
    if digits.is_empty() {
        return None;
    }
    let mut value = 0u64;
    for &byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(u64::from(digit))?;
    }
    Some(value)
}

/// What C's isspace() says of ASCII.
fn is_c_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// Parses a size in bytes as configuration files write it: `1k` is 1000, `1kb` 1024, and so on for
/// m, mb, g, gb, in any case; `b` or nothing are bytes. A size beyond 64 bits is refused (Redis
/// lets it wrap around).
pub fn parse_memory(text: &[u8]) -> Option<u64> {
    let unit_at = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(unit_at);
    let factor = match unit.to_ascii_lowercase().as_slice() {
        b"" | b"b" => 1,
        b"k" => 1000,
        b"kb" => 1 << 10,
        b"m" => 1_000_000,
        b"mb" => 1 << 20,
        b"g" => 1_000_000_000,
        b"gb" => 1 << 30,
        _ => return None,
    };
    // No digits at all is zero, as in Redis.
    let amount = if digits.is_empty() { 0 } else { parse_u64(digits)? };
    amount.checked_mul(factor)
}

/// A size in bytes for people, as INFO's `*_human` fields show it: `1.50M`.
pub fn human_bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["K", "M", "G", "T", "P"];
    if bytes < 1024 {
        return format!("{bytes}B");
    }
    let mut scaled = bytes as f64 / 1024.0;
    let mut unit = 0;
    // By the integer, not by the quotient: 1048575 bytes are 1024.00K.
    while unit + 1 < UNITS.len() && bytes >> (10 * (unit + 2)) > 0 {
        scaled /= 1024.0;
        unit += 1;
    }
    if bytes >> 60 > 0 {
        // Redis has no unit for exbibytes.
        return format!("{bytes}B");
    }
    format!("{scaled:.2}{}", UNITS[unit])
}

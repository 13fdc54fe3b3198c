//! What the test binaries share: a client of the wire protocol, servers started and killed by
//! pid on free loopback ports, the real servers to compare with, and a text form of everything a
//! server holds.
//!
//! Each binary takes this folder in with `#[path]`, and none uses all of it.

pub(crate) mod client;
pub(crate) mod dataset;
pub(crate) mod peers;
pub(crate) mod reply;
pub(crate) mod rng;
pub(crate) mod server;

/// Reads a number from an environment variable, decimal or `0x` hexadecimal.
pub(crate) fn number_from_env(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(parse_number(&text).unwrap_or_else(|| panic!("{name}={text} is not a number")))
}

/// A decimal or `0x` hexadecimal number.
pub(crate) fn parse_number(text: &str) -> Option<u64> {
    let text = text.trim();
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

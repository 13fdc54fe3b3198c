//! A data set as text: one JSON object a line, for people, scripts and other databases.
//!
//! Nothing is lost: what `write` makes, `read` takes back to the same keys, values, times and groups. The form is
//! specified in format-spec/ndjson.md; in short, a line is a key or a function library, and bytes that are
//! no UTF-8 are `{"base64":"..."}` wherever a text may stand.

pub mod read;
pub mod write;

#[cfg(test)]
mod tests;

/// What the first line of a file says.
pub const FORMAT: &str = "fastness-ndjson";
/// The version of the form.
pub const VERSION: u64 = 1;

//! Listpack: a sequence of short strings and integers packed into one block of bytes.
//!
//! Small sorted sets and lists and the nodes of long lists are listpacks. The bytes are exactly Redis' (RDB stores
//! them as they are), so a value goes to a snapshot, and comes back from one, with a single copy. Small hashes and sets
//! ([`Tight`]) and the nodes of streams are listpacks to everybody else, and smaller in memory.
//!
//! ```text
//! total: u32 LE | count: u16 LE | entry* | FF        count 65535 = "65535 or more: walk it"
//! entry = encoding and data | its size again, readable from right to left (the "backlen")
//! ```
//!
//! Integers are stored as integers: `Element::from(bytes)` turns text that is a canonical decimal
//! `i64` into `Element::Int`, so equal text has one encoding only. Readers do not rely on that (a
//! file written by somebody else may hold the string "5"): [`ListpackRef::find`] compares text.
//!
//! Bytes from a file go through [`take_in`] before they become a `Listpack`. Even without it the
//! readers here neither panic nor loop for ever: an impossible entry reads as the end.

mod element;
mod entry;
mod owned;
mod tight;
mod unique;
mod validate;
mod view;

#[cfg(test)]
mod tests;

pub use element::{Element, IntText};
pub use entry::{Encoded, append, backlen_size, body_size, read_backlen, write_backlen};
pub use owned::Listpack;
pub use tight::{Tight, TightIter, TightRef, finish};
pub use validate::{InvalidListpack, take_in, validate};
pub use view::{Cursor, Iter, ListpackRef};

/// Bytes before the first entry: total size and count.
pub const HEADER_BYTES: usize = 6;
/// The byte after the last entry.
const END: u8 = 0xFF;
/// The count that stands for "walk it".
const COUNT_UNKNOWN: u16 = u16::MAX;
/// No listpack grows beyond this (Redis has the same bound); see [`Listpack::has_room`].
pub const BYTES_MAX: usize = 1 << 30;

//! A running log in a repository, to the second: pieces of its segments, each stored as soon as it is durable.
//!
//! data directory -> `frames` (whole frames of a segment, up to what is synced) -> `piece` (an object whose name
//! tells which bytes of which segment it holds) -> store. `base` sends a new base of the log beside that. On the
//! way back `chain` puts pieces together to the segments that follow a backup, so that a restore reaches what was
//! archived last. `owner` keeps a second server out. `format-spec/backup.md`, section 5.
//!
//! The archive is never ahead of what a power loss would leave on the server's disk, so that the log that goes
//! on after one continues what is archived. Pieces may overlap (after a list that was stale); nothing is
//! ever stored over anything. Whatever fails is tried again from what is stored, and concerns nobody else.

mod base;
pub mod chain;
pub mod frames;
pub mod owner;
pub mod piece;
pub mod ship;

pub use base::{BaseId, BaseJob};

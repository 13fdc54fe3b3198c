//! The data structures behind the value types: plain containers that know nothing of commands,
//! replies, files or clocks.
//!
//! `blob` is the block of a listpack or intset.
//! `hash64` is the one hash and `table` the one hash table, of the keyspace and of collections.

pub mod blob;
pub mod hash;
pub mod hash64;
pub mod intset;
pub mod limits;
pub mod list;
pub mod listpack;
pub mod near;
mod sample;
pub mod set;
pub mod stream;
pub mod table;
pub mod thin;
pub mod ziplist;
pub mod zset;

pub use hash::Hash;
pub use list::List;
pub use set::Set;
pub use stream::Stream;
pub use zset::ZSet;

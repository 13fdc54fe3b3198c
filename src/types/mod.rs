//! The data structures behind the value types: plain containers that know nothing of commands.

pub mod listpack;

//! String commands.
//!
//! A string is an integer or bytes (`StrRef`); clients see bytes either way. `set` holds the one
//! way in which a string is stored under conditions and with an expiry; `value` the ways to read
//! its text and to change it in place, which the bitmap and HyperLogLog families use too. Relative
//! times reach the log as absolute ones (format-spec/aof.md).

mod conditional;
mod counter;
mod get;
mod increx;
mod lcs;
mod multi;
pub(super) mod options;
mod range;
mod set;
pub(super) mod value;

#[cfg(test)]
mod tests;

use super::Command;
pub(super) use get::expire_at;

pub const COMMANDS: &[Command] = &[
    range::APPEND,
    counter::DECR,
    counter::DECRBY,
    conditional::DELEX,
    conditional::DELIFEQ,
    conditional::DIGEST,
    get::GET,
    get::GETDEL,
    get::GETEX,
    range::GETRANGE,
    set::GETSET,
    counter::INCR,
    counter::INCRBY,
    counter::INCRBYFLOAT,
    increx::INCREX,
    lcs::LCS,
    multi::MGET,
    multi::MSET,
    multi::MSETEX,
    multi::MSETNX,
    set::PSETEX,
    set::SET,
    set::SETEX,
    set::SETNX,
    range::SETRANGE,
    get::STRLEN,
    range::SUBSTR,
];

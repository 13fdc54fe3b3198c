//! Server commands: data set as a whole, persistence, configuration, facts.

pub mod config;
pub mod debug;
pub mod flush;
pub mod info;
pub mod latency;
pub mod memory;
pub mod monitor;
pub mod save;
pub mod slowlog;

use super::Command;

pub const COMMANDS: &[Command] = &[
    save::BGREWRITEAOF,
    save::BGSAVE,
    config::CONFIG,
    info::DBSIZE,
    debug::DEBUG,
    flush::FLUSHALL,
    flush::FLUSHDB,
    info::INFO,
    save::LASTSAVE,
    latency::LATENCY,
    info::LOLWUT,
    memory::MEMORY,
    monitor::MONITOR,
    info::ROLE,
    save::SAVE,
    save::SHUTDOWN,
    slowlog::SLOWLOG,
    flush::SWAPDB,
    info::TIME,
];

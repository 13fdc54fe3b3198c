//! Server commands: data set as a whole, persistence, configuration, facts.

pub mod backup;
pub mod commandlog;
pub mod config;
pub mod debug;
mod debug_tools;
pub mod flush;
pub mod info;
pub mod latency;
pub mod memory;
pub mod module;
pub mod monitor;
pub mod save;
pub mod slowlog;

use super::Command;

pub const COMMANDS: &[Command] = &[
    backup::BACKUP,
    save::BGREWRITEAOF,
    save::BGSAVE,
    commandlog::COMMANDLOG,
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
    module::MODULE,
    monitor::MONITOR,
    info::ROLE,
    save::SAVE,
    save::SHUTDOWN,
    slowlog::SLOWLOG,
    flush::SWAPDB,
    info::TIME,
];

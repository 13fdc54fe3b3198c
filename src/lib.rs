#![doc = include_str!("../ARCHITECTURE.md")]

pub mod clock;
pub mod disk;
pub mod memory;
pub mod rng;

pub mod glob;
pub mod logger;
pub mod number;
pub mod raw_text;

pub mod resp;
pub mod types;

pub mod keyspace;
pub mod session;

pub mod config;

pub mod acl;
pub mod command;

pub mod scripting;

pub mod aof;
pub mod snapshot;

pub mod engine;

pub mod recovery;

pub mod backup;
pub mod exchange;

pub mod metrics;
pub mod server;

pub mod cli;

/// The Redis version whose behaviour is offered, as INFO and HELLO report it.
pub const REDIS_VERSION: &str = "7.4.0";

//! Fastness: a Redis-compatible store whose acknowledged writes survive.

pub mod aof;
pub mod clock;
pub mod config;
pub mod disk;
pub mod glob;
pub mod keyspace;
pub mod logger;
pub mod number;
pub mod rng;
pub mod snapshot;
pub mod types;

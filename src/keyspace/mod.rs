//! All databases: keys with their values and expiry times.

pub mod entry;

//! The room with Tokio: sockets in, sockets out. (`backup::store::remote` has a small one of its own.)
//!
//! N reactor threads, each with a current-thread runtime that owns its connections for life. A turn of a
//! reactor: every readable connection is read once, decoded, and executed under the engine's lock; when
//! all have had their turn the log gets this turn's records in one write, and the replies leave in one
//! send each. Replies whose log position is not reached yet stay in the connection's [`outbox`]; the log
//! thread wakes the reactors when it has moved on.

mod accept;
mod archive_thread;
pub mod connection;
mod desk;
pub mod listener;
pub mod log_thread;
mod log_view;
mod metrics;
pub mod outbox;
mod pace;
pub mod persist_thread;

pub mod reactor;
mod reclaim;
mod relisten;
mod replica_thread;
pub mod run;
mod scheduling;
pub mod shared;
pub mod stream;
mod vital;

pub use shared::Shared;

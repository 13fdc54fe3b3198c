//! CONFIG SET `bind` and `port`: other listening sockets while the server runs.
//!
//! An address that stays is left alone, with the connections that wait at it. The others are stopped
//! before new ones are bound, since `*` and an address of this machine exclude each other. When a new one
//! cannot be bound the old ones are bound again, and CONFIG SET fails.

use std::sync::Arc;

use super::Shared;
use super::listener::{self, ListenOptions};
use crate::config::Config;
use crate::logger::Logger;

/// Lets the engine change the sockets of these threads.
pub(super) fn install(shared: &Arc<Shared>) {
    let weak = Arc::downgrade(shared);
    let mut engine = shared.lock();
    let logger = engine.logger.clone();
    let relisten = move |old: &Config, new: &Config| match weak.upgrade() {
        Some(shared) => change(&shared, &logger, old, new),
        None => Ok(()),
    };
    engine.relisten = Some(Box::new(relisten));
}

fn change(shared: &Shared, logger: &Logger, old: &Config, new: &Config) -> Result<(), String> {
    let (old, new) = (ListenOptions::of(old), ListenOptions::of(new));
    switch(shared, logger, &new).map_err(|error| {
        // What was free a moment ago and was ours: if it is lost now, the caller's log says which.
        match switch(shared, logger, &old) {
            Ok(()) => error.to_string(),
            Err(lost) => format!("{error}; and no longer {lost}"),
        }
    })
}

fn switch(shared: &Shared, logger: &Logger, options: &ListenOptions) -> std::io::Result<()> {
    let wanted = listener::tcp_addresses(options);
    let kept = shared.stop_tcp_listeners(|address| wanted.contains(&address));
    let new = listener::bind_tcp(options, &kept, logger)?;
    shared.add_listeners(new);
    Ok(())
}

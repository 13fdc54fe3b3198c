//! Being told to end while an output is written: SIGINT and SIGTERM take along what has a temporary name.
//!
//! The thread that hears them ends the process itself: whoever reads a pipe or waits for a server looks at no flag.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::backup::BackupError;
use crate::exchange::leavings;

/// Listens from now on, in a thread that nobody waits for.
pub(super) fn listen() -> Result<(), BackupError> {
    let failed = |error: std::io::Error| BackupError::Output {
        what: format!("cannot listen to signals, which would leave half an output: {error}"),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
    let runtime = runtime.map_err(failed)?;
    let (interrupt, terminate) = {
        let _inside = runtime.enter();
        let of = |kind: SignalKind| signal(kind).map_err(failed);
        (of(SignalKind::interrupt())?, of(SignalKind::terminate())?)
    };
    let thread = std::thread::Builder::new().name("signals".to_owned());
    let listening = thread.spawn(move || {
        // As a shell counts those that a signal ended.
        let number = runtime.block_on(first_of(interrupt, terminate));
        eprintln!("fastness: ended by signal {number}; nothing half written is left behind");
        leavings::end(128 + number)
    });
    listening.map(drop).map_err(failed)
}

async fn first_of(mut interrupt: Signal, mut terminate: Signal) -> u8 {
    tokio::select! {
        _ = interrupt.recv() => 2,
        _ = terminate.recv() => 15,
    }
}

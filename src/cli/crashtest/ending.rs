//! Being told to end: SIGINT, SIGTERM or SIGHUP end the test, and with it the server that it started, the file
//! system that it mounted and the folder that it made. A signal that just ended the process would leave all three.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::clock::Clock;

/// How soon it is noticed.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Says whether this process was told to end, and by which signal.
#[derive(Clone, Debug, Default)]
pub(super) struct Ending(Arc<AtomicU8>);

impl Ending {
    /// Listens from now on, in a thread that nobody waits for.
    pub(super) fn listen() -> Result<Self, String> {
        let ending = Self::default();
        let told = ending.clone();
        let failed = |error: std::io::Error| format!("cannot listen to signals: {error}");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
        let runtime = runtime.map_err(failed)?;
        let wanted = {
            let _inside = runtime.enter();
            let of = |kind: SignalKind| Ok((signal(kind)?, kind.as_raw_value()));
            let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
            kinds.into_iter().map(of).collect::<Result<Vec<_>, _>>().map_err(failed)?
        };
        let thread = std::thread::Builder::new().name("signals".to_owned());
        let listening = thread.spawn(move || runtime.block_on(first_of(wanted, &told.0)));
        listening.map_err(failed)?;
        Ok(ending)
    }

    /// The signal that came.
    pub(super) fn signal(&self) -> Option<u8> {
        Some(self.0.load(Ordering::SeqCst)).filter(|number| *number > 0)
    }

    /// An error if one came.
    pub(super) fn check(&self) -> Result<(), String> {
        match self.signal() {
            None => Ok(()),
            Some(number) => Err(format!("ended by signal {number}; the server has ended, too")),
        }
    }

    /// Sleeps, but not on when a signal comes.
    pub(super) fn sleep(&self, clock: &dyn Clock, duration: Duration) {
        let end = clock.monotonic() + duration;
        while self.signal().is_none() {
            let left = end.saturating_sub(clock.monotonic());
            if left.is_zero() {
                return;
            }
            clock.sleep(left.min(LOOK_EVERY));
        }
    }
}

async fn first_of(signals: Vec<(Signal, i32)>, told: &AtomicU8) {
    let mut tasks = tokio::task::JoinSet::new();
    for (mut signal, number) in signals {
        tasks.spawn(async move { signal.recv().await.map(|()| number) });
    }
    while let Some(ended) = tasks.join_next().await {
        if let Ok(Some(number)) = ended {
            told.store(u8::try_from(number).unwrap_or(u8::MAX), Ordering::SeqCst);
            return;
        }
    }
}

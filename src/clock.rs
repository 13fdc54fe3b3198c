//! Time, behind a trait so that a simulated run is repeatable.
//!
//! Everything that asks for the time is given an `Arc<dyn Clock>`; a command sees one sample, taken
//! when it starts (`Ctx::now`), so all of its effects agree. Wall time may jump; monotonic time may not.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Milliseconds since the Unix epoch. Signed, as in RDB: a key may carry a time before 1970.
pub type UnixMillis = i64;

/// An instant to measure from.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mark {
    /// Monotonic time.
    pub at: Duration,
    /// The processor's own count, where there is one.
    ticks: u64,
}

/// A source of wall-clock and monotonic time.
pub trait Clock: Send + Sync {
    /// Wall-clock time in microseconds since the Unix epoch.
    fn wall_us(&self) -> i64;

    /// Time since some fixed point in the past; never goes back.
    fn monotonic(&self) -> Duration;

    /// Now, to measure from.
    fn mark(&self) -> Mark {
        Mark { at: self.monotonic(), ticks: 0 }
    }

    /// Nanoseconds since `mark`. For spans of seconds: over days it may drift from `monotonic`, but it costs a third
    /// of it.
    fn nanos_since(&self, mark: &Mark) -> u64 {
        u64::try_from(self.monotonic().saturating_sub(mark.at).as_nanos()).unwrap_or(u64::MAX)
    }

    /// Blocks the calling thread (the simulated clock advances instead).
    fn sleep(&self, duration: Duration);

    /// Wall-clock time in milliseconds since the Unix epoch.
    fn wall(&self) -> UnixMillis {
        self.wall_us() / 1000
    }
}

/// The machine's clocks, and its processor's counter for short spans (the first one that is made needs a millisecond to
/// learn how fast that counts; where it cannot be relied on the monotonic clock takes its place).
#[derive(Debug)]
pub struct SystemClock {
    started: std::time::Instant,
    counter: quanta::Clock,
}

impl SystemClock {
    /// A clock whose monotonic time starts at zero now.
    #[allow(clippy::disallowed_methods, reason = "this is the Clock seam")]
    pub fn new() -> Self {
        Self { started: std::time::Instant::now(), counter: quanta::Clock::new() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "this is the Clock seam")]
    fn wall_us(&self) -> i64 {
        match std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
            Err(before) => -i64::try_from(before.duration().as_micros()).unwrap_or(i64::MAX),
        }
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }

    fn mark(&self) -> Mark {
        Mark { at: self.monotonic(), ticks: self.counter.raw() }
    }

    fn nanos_since(&self, mark: &Mark) -> u64 {
        self.counter.delta_as_nanos(mark.ticks, self.counter.raw())
    }

    #[allow(clippy::disallowed_methods, reason = "this is the Clock seam")]
    fn sleep(&self, duration: Duration) {
        std::thread::sleep(duration);
    }
}

/// A clock that moves only when told to; wall time can be set back to simulate a jump.
#[derive(Debug)]
pub struct SimClock {
    wall_us: AtomicU64,
    monotonic_us: AtomicU64,
}

impl SimClock {
    /// A clock that starts at `wall` (Unix milliseconds) and monotonic zero.
    pub fn at(wall: UnixMillis) -> Self {
        Self {
            wall_us: AtomicU64::new((wall * 1000).cast_unsigned()),
            monotonic_us: AtomicU64::new(0),
        }
    }

    /// Moves both clocks forward.
    pub fn advance(&self, duration: Duration) {
        let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.wall_us.fetch_add(us, Ordering::SeqCst);
        self.monotonic_us.fetch_add(us, Ordering::SeqCst);
    }

    /// Sets the wall clock, as an operator or NTP would; monotonic time is untouched.
    pub fn set_wall(&self, wall: UnixMillis) {
        self.wall_us.store((wall * 1000).cast_unsigned(), Ordering::SeqCst);
    }
}

impl Clock for SimClock {
    fn wall_us(&self) -> i64 {
        self.wall_us.load(Ordering::SeqCst).cast_signed()
    }

    fn monotonic(&self) -> Duration {
        Duration::from_micros(self.monotonic_us.load(Ordering::SeqCst))
    }

    fn sleep(&self, duration: Duration) {
        self.advance(duration);
    }
}

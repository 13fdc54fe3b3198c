//! Threads that work while clients are served, on what clients leave of the cores.
//!
//! A thread of the idle policy gives its core up the moment a thread of a client's request wakes up; one that is
//! merely nice may keep it for a slice of some milliseconds, which a request then waits (benches/RESULTS.md, "Snapshots
//! and who waits for them"). Where cores are never idle such a thread hardly gets on. Whoever waits for it notices
//! ([`STARVED`]) and has the work go on in threads that are nice only. A thread cannot leave the idle policy without
//! privileges, and threads inherit it: what is to be nice must be started by a thread that is neither.

use std::thread::JoinHandle;
use std::time::Duration;

/// Who waits this long for a thread of the idle policy has others go on. A slow disk looks the same, and then it
/// makes no difference.
pub(super) const STARVED: Duration = Duration::from_secs(1);

/// What a thread takes of the cores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Share {
    /// As much as any other thread.
    Equal,
    /// What nobody else wants.
    Leftover,
    /// So much less as `nice` says: 5 is a third of an equal's share, 19 a seventieth.
    Nice(i32),
}

impl Share {
    /// Starts a thread that takes this share.
    pub(super) fn spawn(
        self,
        name: &str,
        work: impl FnOnce() + Send + 'static,
    ) -> std::io::Result<JoinHandle<()>> {
        std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            self.take();
            work();
        })
    }

    /// Has the calling thread take no more. What the system does not allow is done without.
    fn take(self) {
        use thread_priority::{
            NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy,
            set_thread_priority_and_policy, thread_native_id,
        };
        let nice = match self {
            Self::Equal => return,
            Self::Nice(nice) => nice,
            Self::Leftover => {
                let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
                let set =
                    set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, idle);
                if set.is_ok() {
                    return;
                }
                19
            }
        };
        let _ = rustix::process::nice(nice);
    }
}

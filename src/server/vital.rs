//! Threads without which the server serves nobody: if one panics, the process ends.
//!
//! What the thread was changing may be half done, and clients would wait for its answers for ever. A start recovers all
//! that was acknowledged, and whoever watches the process sees that one is needed.

/// Does a thread's work; a panic in it ends the process, after the message that tells of it.
pub(super) fn vital<T>(work: impl FnOnce() -> T) -> T {
    struct Ends;
    impl Drop for Ends {
        fn drop(&mut self) {
            if std::thread::panicking() {
                std::process::abort();
            }
        }
    }
    let _ends = Ends;
    work()
}

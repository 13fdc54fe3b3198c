//! The limit of open files of this process: raised until `maxclients` clients find room beside the server's own files.
//!
//! Most systems start a process with 1024. A server that ran into that with clients alone could not open the files of
//! its next save, rewrite or log segment; so the limit is raised up to the hard one, and where that is too low
//! `maxclients` is lowered, as in Redis.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Config;
use crate::logger::Logger;

/// What the server itself may have open at once: standard streams, listening sockets, the lock, the log's segments and
/// manifest (8), a save or rewrite with its threads (8), BACKUP (4), the archive with its base and the connections to
/// its store (24), snapshots that replicas read (8); and as much again, for this is the dearest place to be sparing.
const OWN: u64 = 128;
/// What it cannot do without at all, as in Redis.
const LEAST: u64 = 32;
/// A reactor's runtime: epoll, its waker, its share of the signals' pipe.
const OF_A_REACTOR: u64 = 4;

/// Descriptors that are not for clients.
fn kept(config: &Config) -> u64 {
    OWN + OF_A_REACTOR * u64::from(config.io_threads)
}

/// What the limit is, and was.
struct Limit {
    now: u64,
    before: u64,
    /// Why it is no higher, when the kernel refused.
    refused: Option<String>,
}

fn raise_to(needed: u64) -> Limit {
    let limits = getrlimit(Resource::Nofile);
    let before = limits.current.unwrap_or(u64::MAX);
    let wanted = needed.min(limits.maximum.unwrap_or(u64::MAX));
    if before >= wanted {
        return Limit { now: before, before, refused: None };
    }
    let raised = Rlimit { current: Some(wanted), maximum: limits.maximum };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => Limit { now: wanted, before, refused: None },
        Err(errno) => Limit { now: before, before, refused: Some(errno.to_string()) },
    }
}

/// For how many clients a limit is enough. Where it is not even for the server's own files, being sparing is all that is left.
fn room_for(limit: u64, kept: u64) -> u64 {
    match limit.saturating_sub(kept) {
        0 => limit.saturating_sub(LEAST),
        most => most,
    }
}

/// Makes room for `maxclients`. `Err`: how many clients there is room for.
pub(super) fn make_room(config: &Config) -> Result<(), u64> {
    let kept = kept(config);
    let limit = raise_to(u64::from(config.maxclients) + kept);
    let most = room_for(limit.now, kept);
    if most >= u64::from(config.maxclients) { Ok(()) } else { Err(most) }
}

/// The same at start, where `maxclients` is lowered to what there is room for. `Err`: there is none at all.
pub fn make_room_at_start(config: &mut Config, logger: &Logger) -> Result<(), String> {
    let kept = kept(config);
    let needed = u64::from(config.maxclients) + kept;
    let limit = raise_to(needed);
    if limit.now >= needed {
        if limit.now > limit.before {
            logger.notice(format!(
                "Increased maximum number of open files to {} (it was originally set to {}).",
                limit.now, limit.before
            ));
        }
        return Ok(());
    }
    let most = room_for(limit.now, kept);
    if most == 0 {
        return Err(format!(
            "the limit of {} open files is not enough to start: {} are needed at least",
            limit.now,
            LEAST + 1
        ));
    }
    let why = limit.refused.map(|why| format!(" ({why})")).unwrap_or_default();
    logger.warning(format!(
        "maxclients {} needs a limit of {needed} open files, and no more than {} are allowed{why}: maxclients is \
         {most} now. Raise the limit with ulimit -n, or LimitNOFILE= of systemd, for more.",
        config.maxclients, limit.now
    ));
    config.maxclients = u32::try_from(most).unwrap_or(config.maxclients);
    Ok(())
}

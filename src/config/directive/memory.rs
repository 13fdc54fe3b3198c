//! Rows: how much memory, what goes when it is full, and when memory is freed.

use super::super::settings::MaxmemoryPolicy;
use super::*;

/// The rows of this area.
pub(super) const ROWS: &[Directive] = &[
    bytes("maxmemory", at!(maxmemory), SIZE64, "0", "Most memory for data; 0 is no limit."),
    one_of(
        "maxmemory-policy",
        at!(maxmemory_policy),
        MaxmemoryPolicy::NAMES,
        "noeviction",
        "Which keys go when memory is full: any (`allkeys`) or those with a time to live (`volatile`), the \
         longest or least used first, at random, or the soonest to expire.",
    ),
    integer(
        "maxmemory-samples",
        at!(maxmemory_samples),
        (1, 64),
        "5",
        "Keys that are compared to find one to give up.",
    ),
    integer(
        "maxmemory-eviction-tenacity",
        at!(maxmemory_eviction_tenacity),
        (0, 100),
        "10",
        "How long eviction may hold up a command: 0 is shortest, 100 is until memory suffices.",
    ),
    integer(
        "lfu-log-factor",
        at!(lfu_log_factor),
        U31,
        "10",
        "How many uses it takes to raise a key's use counter; more saturates later.",
    ),
    integer(
        "lfu-decay-time",
        at!(lfu_decay_time),
        U31,
        "1",
        "Minutes after which an unused key's use counter is lowered; 0 is never.",
    ),
    yes_no(
        "lazyfree-lazy-eviction",
        at!(lazyfree_lazy_eviction),
        "no",
        "Free evicted keys on another thread.",
    ),
    yes_no(
        "lazyfree-lazy-expire",
        at!(lazyfree_lazy_expire),
        "no",
        "Count expired keys that are dear to free as freed lazily; large ones are, always.",
    ),
    yes_no(
        "lazyfree-lazy-server-del",
        at!(lazyfree_lazy_server_del),
        "no",
        "The same of values that a command replaces or removes on the way.",
    ),
    yes_no(
        "lazyfree-lazy-user-del",
        at!(lazyfree_lazy_user_del),
        "no",
        "DEL frees as UNLINK does.",
    ),
    yes_no(
        "lazyfree-lazy-user-flush",
        at!(lazyfree_lazy_user_flush),
        "no",
        "FLUSHALL and FLUSHDB without an option work as with ASYNC.",
    ),
    integer(
        "active-expire-effort",
        at!(active_expire_effort),
        (1, 10),
        "1",
        "How hard to look for keys that have expired; more uses more CPU and leaves less behind.",
    ),
    yes_no(
        "import-mode",
        at!(import_mode),
        "no",
        "While data is imported, no key is evicted, and one that has expired stays, seen by the client that \
         imports (CLIENT IMPORT-SOURCE) only, until a command writes to it.",
    ),
];

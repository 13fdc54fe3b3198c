//! Rows: the process, its start, its end and its rhythm.

use super::super::rules::{OOM_VALUES, ShutdownOptions};
use super::super::settings::{OomScoreAdj, Supervised};
use super::*;

/// The rows of this area.
pub(super) const ROWS: &[Directive] = &[
    integer("databases", at!(databases), (1, i32::MAX as i64), "16", "Number of databases for SELECT.").immutable(),
    integer("hz", at!(hz), U31, "10", "Runs of background work a second, from 1 to 500.").checked(hz_in_reason),
    yes_no("daemonize", at!(daemonize), "no", "Run in the background.").immutable(),
    one_of(
        "supervised",
        at!(supervised),
        Supervised::NAMES,
        "no",
        "Tell a supervisor that the server is ready; `auto` asks the environment for which.",
    )
    .immutable(),
    one_of(
        "oom-score-adj",
        at!(oom_score_adj),
        OomScoreAdj::NAMES,
        "no",
        "Tell the kernel how soon to kill this process when memory runs out: `yes` adds to the score that it was \
         started with, `absolute` replaces it.",
    )
    .checked(relative_is_yes),
    Directive::new(
        "oom-score-adj-values",
        Kind::Words(&OOM_VALUES),
        at!(oom_score_adj_values),
        "0 200 800",
        "The scores for that: of a server, which is the one used here, of a replica, of a forked child.",
    ),
    text("pidfile", at!(pidfile), "", "File that holds the process id while the server runs.").immutable(),
    Directive::new(
        "shutdown-on-sigint",
        Kind::Flags(ShutdownOptions::NAMES),
        at!(shutdown_on_sigint),
        "default",
        "How SIGINT shuts down.",
    )
    .checked(save_or_nosave),
    Directive::new(
        "shutdown-on-sigterm",
        Kind::Flags(ShutdownOptions::NAMES),
        at!(shutdown_on_sigterm),
        "default",
        "How SIGTERM shuts down.",
    )
    .checked(save_or_nosave),
    Directive::new(
        "notify-keyspace-events",
        Kind::Events,
        at!(notify_keyspace_events),
        "",
        "Which changes are published: `K` and `E` choose the channels, the others the classes of events.",
    ),
    yes_no(
        "lua-enable-deprecated-api",
        at!(lua_enable_deprecated_api),
        "no",
        "Scripts may call `getfenv`, `setfenv` (on their own functions) and `newproxy`.",
    )
    .hidden()
    .immutable(),
    integer(
        "busy-reply-threshold",
        at!(busy_reply_threshold),
        U63,
        "5000",
        "Milliseconds after which other clients are told that a script is running; 0 is never.",
    )
    .alias(&["lua-time-limit"]),
    Directive::new(
        "include",
        Kind::Line,
        Place::Line,
        "",
        "Reads another file at this point; the path may be a pattern. Relative to the working directory.",
    ),
];

/// Redis takes any number and keeps the nearest that makes sense.
fn hz_in_reason(value: Value) -> Result<Value, String> {
    match value {
        Value::Number(hz) => Ok(Value::Number(hz.clamp(1, 500))),
        other => Ok(other),
    }
}

fn save_or_nosave(value: Value) -> Result<Value, String> {
    match value {
        Value::Flags(bits) if bits & 3 == 3 => {
            Err("shutdown options SAVE and NOSAVE can't be used simultaneously".to_owned())
        }
        other => Ok(other),
    }
}

/// Redis prints `relative` as `yes`.
fn relative_is_yes(value: Value) -> Result<Value, String> {
    if value == Value::Name(2) { Ok(Value::Name(1)) } else { Ok(value) }
}

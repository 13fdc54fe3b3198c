//! DEBUG: what test suites and people who hunt faults need. Allowed by `enable-debug-command`.

use std::time::Duration;

use super::super::help::reply_help;
use super::super::{
    Args, Command, CommandError, CommandResult, Ctx, Flags, Group, Handler, Outcome, Task, doc,
};
use super::debug_tools;
use crate::command::error::told;
use crate::keyspace::{Entry, ValueRef, digest};
use crate::number;
use crate::snapshot::dump;
use crate::snapshot::view::with_view;

pub const DEBUG: Command = Command {
    name: "DEBUG",
    arity: -2,
    flags: Flags::ADMIN
        .or(Flags::NOSCRIPT)
        .or(Flags::LOADING)
        .or(Flags::STALE)
        .or(Flags::PROTECTED),
    group: Group::Server,
    args: "subcommand [argument ...]",
    doc: doc("1.0.0", "Depends on subcommand.", "A container for debugging commands."),
    handler: Handler::Extended(debug),
    ..Command::BASE
};

/// A subcommand: its name, how many arguments it takes (with DEBUG and itself), what runs.
type Row = (&'static str, std::ops::RangeInclusive<usize>, Run);
type Run = fn(&mut Ctx, &Args) -> Result<Outcome, CommandError>;

const ROWS: &[Row] = &[
    ("SLEEP", 3..=3, sleep),
    ("CRASH-AFTER", 4..=4, |ctx, args| plain(crash_after(ctx, args))),
    ("OBJECT", 3..=4, |ctx, args| plain(object(ctx, args))),
    ("RELOAD", 2..=5, reload),
    ("LOADAOF", 2..=2, |_, _| Ok(Outcome::Task(Task::DebugLoadLog))),
    ("DIGEST", 2..=2, |ctx, _| plain(dataset_digest(ctx))),
    ("DIGEST-VALUE", 2..=usize::MAX, |ctx, args| plain(value_digests(ctx, args))),
    ("SET-ACTIVE-EXPIRE", 3..=3, |ctx, args| plain(set_active_expire(ctx, args))),
    ("JMAP", 2..=2, |ctx, _| plain(ok(ctx))),
    ("POPULATE", 3..=5, |ctx, args| plain(debug_tools::populate(ctx, args))),
    ("PROTOCOL", 3..=3, |ctx, args| plain(debug_tools::protocol(ctx, args))),
    ("ERROR", 3..=3, |ctx, args| plain(debug_tools::error(ctx, args))),
    ("LOG", 3..=3, log),
    ("SDSLEN", 3..=3, |ctx, args| plain(debug_tools::string_sizes(ctx, args))),
    ("LISTPACK", 3..=3, |ctx, args| {
        plain(debug_tools::encoded_as(ctx, args, &["listpack", "listpackex"], "Listpack"))
    }),
    ("QUICKLIST", 3..=4, |ctx, args| {
        plain(debug_tools::encoded_as(ctx, args, &["quicklist"], "Quicklist"))
    }),
    ("STRUCTSIZE", 2..=2, |ctx, _| plain(debug_tools::structure_sizes(ctx))),
    ("HTSTATS", 3..=4, |ctx, args| plain(debug_tools::table_figures(ctx, args))),
    ("HTSTATS-KEY", 3..=4, |ctx, args| plain(debug_tools::value_table_figures(ctx, args))),
    ("CHANGE-REPL-ID", 2..=2, |ctx, _| {
        ctx.server.observed.replication_id = crate::rng::random_hex(40);
        plain(ok(ctx))
    }),
    ("QUICKLIST-PACKED-THRESHOLD", 3..=3, |ctx, args| {
        plain(debug_tools::packed_threshold(ctx, args))
    }),
    ("REPLYBUFFER", 4..=4, |ctx, args| plain(debug_tools::reply_buffer(ctx, args))),
    ("CLIENT-EVICTION", 2..=2, |ctx, _| plain(debug_tools::client_memory(ctx))),
    ("PAUSE-CRON", 3..=3, |ctx, args| {
        ctx.server.observed.cron_paused = number::parse_i64(args.at(2)).unwrap_or(0) != 0;
        plain(ok(ctx))
    }),
    ("SET-SKIP-CHECKSUM-VALIDATION", 3..=3, |ctx, args| {
        ctx.server.observed.skip_checksums = number::parse_i64(args.at(2)).unwrap_or(0) != 0;
        plain(ok(ctx))
    }),
    ("SET-DISABLE-DENY-SCRIPTS", 3..=3, |ctx, args| {
        ctx.server.observed.scripts_may_all = number::parse_i64(args.at(2)).unwrap_or(0) != 0;
        plain(ok(ctx))
    }),
    ("CONFIG-REWRITE-FORCE-ALL", 2..=2, |_, _| {
        Ok(Outcome::Task(Task::ConfigRewrite { all: true }))
    }),
    // Without replicas, forks and tables that are resized as a whole there is nothing to do.
    ("REPLICATE", 3..=usize::MAX, |ctx, _| plain(ok(ctx))),
    ("DICT-RESIZING", 3..=3, |ctx, _| plain(ok(ctx))),
    ("REPL-PAUSE", 3..=3, |ctx, _| plain(ok(ctx))),
    ("LEAK", 3..=3, |ctx, args| {
        std::mem::forget(args.at(2).to_vec());
        plain(ok(ctx))
    }),
    // Each ends the process at once, as the fault it stands for would.
    ("SEGFAULT", 2..=2, |_, _| std::process::abort()),
    ("PANIC", 2..=2, |_, _| std::process::abort()),
    ("ASSERT", 2..=2, |_, _| std::process::abort()),
    ("OOM", 2..=2, |_, _| std::process::abort()),
    ("HELP", 2..=2, |ctx, _| plain(help(ctx))),
];

fn log(_ctx: &mut Ctx, args: &Args) -> Result<Outcome, CommandError> {
    let text = String::from_utf8_lossy(args.at(2)).into_owned();
    Ok(Outcome::Task(Task::DebugLog(text)))
}

fn plain(result: CommandResult) -> Result<Outcome, CommandError> {
    result.map(|()| Outcome::Replied)
}

pub(super) fn ok(ctx: &mut Ctx) -> CommandResult {
    ctx.reply.ok();
    Ok(())
}

fn debug(ctx: &mut Ctx, args: &Args) -> Result<Outcome, CommandError> {
    let row = ROWS.iter().find(|(name, ..)| args.is(1, name));
    match row {
        Some((_, arity, run)) if arity.contains(&args.len()) => run(ctx, args),
        _ => Err(CommandError::owned(format!(
            "ERR unknown subcommand or wrong number of arguments for '{}'. Try DEBUG HELP.",
            told(args.at(1))
        ))),
    }
}

/// The process ends itself after so many bytes, commands or syncs.
fn crash_after(ctx: &mut Ctx, args: &Args) -> Result<(), CommandError> {
    let word = |at| String::from_utf8_lossy(args.at(at)).into_owned();
    let armed = crate::disk::crash_point::arm(&word(2), &word(3));
    armed.map_err(|why| CommandError::owned(format!("ERR {why}")))?;
    ok(ctx)
}

/// The part of DEBUG SLEEP's argument in which a number is looked for.
const SECONDS_TEXT_MAX: usize = 64;

fn sleep(_ctx: &mut Ctx, args: &Args) -> Result<Outcome, CommandError> {
    // As strtod reads it: what follows the number does not matter, and no number is 0.
    let text = args.at(2).trim_ascii_start();
    let numbers = (1..=text.len().min(SECONDS_TEXT_MAX)).rev();
    let seconds = numbers.filter_map(|end| number::parse_double(text.get(..end)?)).next();
    let seconds = seconds.filter(|seconds| !seconds.is_nan()).unwrap_or(0.0).clamp(0.0, 1e6);
    Ok(Outcome::Task(Task::DebugSleep(Duration::from_secs_f64(seconds))))
}

fn reload(_ctx: &mut Ctx, args: &Args) -> Result<Outcome, CommandError> {
    let (mut flush, mut save, mut merge) = (true, true, false);
    for at in 2..args.len() {
        if args.is(at, "NOFLUSH") {
            flush = false;
        } else if args.is(at, "NOSAVE") {
            save = false;
        } else if args.is(at, "MERGE") {
            merge = true;
        } else {
            return Err(CommandError::text(
                "ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.",
            ));
        }
    }
    Ok(Outcome::Task(Task::DebugReload { flush, save, merge }))
}

fn object(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let clock = ctx.ks.use_clock.clone();
    ctx.ks.rest_on_key(ctx.db, args.at(2));
    // Also of a key whose time is over, which stays.
    let entry = ctx.ks.again(ctx.db, args.at(2)).ok_or(CommandError::NoSuchKey)?;
    let used = entry.used_at();
    let (lru, idle) = if clock.counts() {
        (used & 0xFF_FFFF, 0)
    } else {
        let idle = clock.idle_ms(used) / 1000;
        let idle = u32::try_from(idle).unwrap_or(u32::MAX);
        (clock.redis_seconds().wrapping_sub(idle) & 0xFF_FFFF, idle)
    };
    let length = {
        let mut payload = Vec::new();
        with_view(entry.value(), |view| dump::dump(&mut payload, view));
        // Without the type byte in front and the footer behind.
        payload.len().saturating_sub(11)
    };
    let mut text = format!(
        "Value at:0x{:x} refcount:1 encoding:{} serializedlength:{length} lru:{lru} lru_seconds_idle:{idle}",
        std::ptr::from_ref::<Entry>(entry).addr(),
        entry.encoding_name(),
    );
    if let ValueRef::List(list) = entry.value()
        && entry.encoding_name() == "quicklist"
    {
        text.push_str(&debug_tools::list_nodes(list, &ctx.server.limits));
    }
    ctx.reply.simple(&text);
    Ok(())
}

fn dataset_digest(ctx: &mut Ctx) -> CommandResult {
    // It tells of every write, as DBSIZE does.
    ctx.ks.need = ctx.ks.need.max(ctx.server.persistence.appended);
    let digest = digest::dataset(ctx.ks);
    ctx.reply.simple(&digest::hex(&digest));
    Ok(())
}

fn value_digests(ctx: &mut Ctx, args: &Args) -> CommandResult {
    ctx.reply.array(args.len() - 2);
    for key in args.iter().skip(2) {
        // As of DIGEST, a key whose time is over is a key until something looks at it.
        let digest = ctx.ks.look_at_held(ctx.db, key).map(digest::value).unwrap_or_default();
        ctx.reply.simple(&digest::hex(&digest));
    }
    Ok(())
}

fn set_active_expire(ctx: &mut Ctx, args: &Args) -> CommandResult {
    ctx.server.active_expire = number::parse_i64(args.at(2)).unwrap_or(0) != 0;
    ok(ctx)
}

fn help(ctx: &mut Ctx) -> CommandResult {
    reply_help(ctx, "DEBUG", HELP)
}

const HELP: &[&str] = &[
    "ASSERT",
    "    Crash by assertion failed.",
    "CHANGE-REPL-ID",
    "    Change the replication IDs of the instance.",
    "CLIENT-EVICTION",
    "    Show what clients hold (maxmemory-clients).",
    "CONFIG-REWRITE-FORCE-ALL",
    "    Like CONFIG REWRITE but writes all configuration options, also those at their defaults.",
    "DICT-RESIZING <0|1>",
    "    Accepted for compatibility; tables grow a segment at a time.",
    "DIGEST",
    "    Output a hex signature representing the current DB content.",
    "DIGEST-VALUE <key> [<key> ...]",
    "    Output a hex signature of the values of all the specified keys.",
    "ERROR <string>",
    "    Return a Redis protocol error with <string> as message.",
    "HTSTATS <dbid> [full]",
    "    Return hash table statistics of the specified Redis database.",
    "HTSTATS-KEY <key> [full]",
    "    Like HTSTATS but for the hash table stored at <key>'s value.",
    "JMAP",
    "    Accepted for compatibility; does nothing.",
    "LEAK <string>",
    "    Create a memory leak of the input string.",
    "LISTPACK <key>",
    "    Say whether <key> is encoded as a listpack.",
    "LOADAOF",
    "    Flush the AOF buffers on disk and reload the AOF in memory.",
    "LOG <message>",
    "    Write <message> to the server log.",
    "OBJECT <key>",
    "    Show low level info about `key` and associated value.",
    "OOM",
    "    Crash the server simulating an out-of-memory error.",
    "PANIC",
    "    Crash the server simulating a panic.",
    "PAUSE-CRON <0|1>",
    "    Stop periodic cron job processing.",
    "POPULATE <count> [<prefix>] [<size>]",
    "    Create <count> string keys named key:<num>. If <prefix> is specified then",
    "    it is used instead of the 'key' prefix.",
    "PROTOCOL <type>",
    "    Reply with a test value of the specified type.",
    "QUICKLIST <key> [<0|1>]",
    "    Say whether <key> is encoded as a quicklist.",
    "QUICKLIST-PACKED-THRESHOLD <size>",
    "    Accepted for compatibility.",
    "RELOAD [option ...]",
    "    Save the RDB on disk and reload it back to memory. Valid <option> values:",
    "    * MERGE: conflicting keys will be loaded from RDB.",
    "    * NOFLUSH: the existing database will not be removed before load.",
    "    * NOSAVE: the database will be loaded from an existing RDB file.",
    "REPLICATE <string>",
    "    Accepted for compatibility; there are no replicas.",
    "REPLYBUFFER <PEAK-RESET-TIME|RESIZING> <value>",
    "    Accepted for compatibility.",
    "SDSLEN <key>",
    "    Show lengths of a string and its key.",
    "SEGFAULT",
    "    Crash the server.",
    "SET-ACTIVE-EXPIRE <0|1>",
    "    Setting it to 0 disables expiring keys (and hash-fields) in background.",
    "SET-DISABLE-DENY-SCRIPTS <0|1>",
    "    Whether scripts may call commands that are not for them.",
    "SET-SKIP-CHECKSUM-VALIDATION <0|1>",
    "    Enables or disables checksum checks for RESTORE's payloads.",
    "SLEEP <seconds>",
    "    Stop the server for <seconds>. Decimals allowed.",
    "STRUCTSIZE",
    "    Return the size of different core structures.",
];

//! DEBUG: what test suites and people who hunt faults need. Allowed by `enable-debug-command`.

use std::time::Duration;

use super::super::help::reply_help;
use super::super::{
    Args, Command, CommandError, CommandResult, Ctx, Flags, Group, Handler, Outcome, Task, doc,
};
use crate::keyspace::{Entry, digest};
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
    ("OBJECT", 3..=4, |ctx, args| plain(object(ctx, args))),
    ("RELOAD", 2..=5, reload),
    ("LOADAOF", 2..=2, |_, _| Ok(Outcome::Task(Task::DebugLoadLog))),
    ("DIGEST", 2..=2, |ctx, _| plain(dataset_digest(ctx))),
    ("DIGEST-VALUE", 2..=usize::MAX, |ctx, args| plain(value_digests(ctx, args))),
    ("SET-ACTIVE-EXPIRE", 3..=3, |ctx, args| plain(set_active_expire(ctx, args))),
    ("JMAP", 2..=2, |ctx, _| plain(ok(ctx))),
    ("HELP", 2..=2, |ctx, _| plain(help(ctx))),
];

fn plain(result: CommandResult) -> Result<Outcome, CommandError> {
    result.map(|()| Outcome::Replied)
}

fn ok(ctx: &mut Ctx) -> CommandResult {
    ctx.reply.ok();
    Ok(())
}

fn debug(ctx: &mut Ctx, args: &Args) -> Result<Outcome, CommandError> {
    let row = ROWS.iter().find(|(name, ..)| args.is(1, name));
    match row {
        Some((_, arity, run)) if arity.contains(&args.len()) => run(ctx, args),
        _ => Err(CommandError::owned(format!(
            "ERR unknown subcommand or wrong number of arguments for '{}'. Try DEBUG HELP.",
            String::from_utf8_lossy(args.at(1))
        ))),
    }
}

fn sleep(_ctx: &mut Ctx, args: &Args) -> Result<Outcome, CommandError> {
    let seconds = number::parse_double(args.at(2)).filter(|seconds| seconds.is_finite());
    let seconds = seconds.ok_or(CommandError::NotFloat)?.clamp(0.0, 1e6);
    Ok(Outcome::Task(Task::DebugSleep(Duration::from_secs_f64(seconds))))
}

fn reload(_ctx: &mut Ctx, args: &Args) -> Result<Outcome, CommandError> {
    let (mut flush, mut save) = (true, true);
    for at in 2..args.len() {
        if args.is(at, "NOFLUSH") {
            flush = false;
        } else if args.is(at, "NOSAVE") {
            save = false;
        } else if !args.is(at, "MERGE") {
            return Err(CommandError::text(
                "ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.",
            ));
        }
    }
    Ok(Outcome::Task(Task::DebugReload { flush, save }))
}

fn object(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let clock = ctx.ks.use_clock.clone();
    let entry = ctx.ks.peek(ctx.db, args.at(2)).ok_or(CommandError::NoSuchKey)?;
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
    let text = format!(
        "Value at:0x{:x} refcount:1 encoding:{} serializedlength:{length} lru:{lru} lru_seconds_idle:{idle}",
        std::ptr::from_ref::<Entry>(entry).addr(),
        entry.encoding_name(),
    );
    ctx.reply.simple(&text);
    Ok(())
}

fn dataset_digest(ctx: &mut Ctx) -> CommandResult {
    let digest = digest::dataset(ctx.ks);
    ctx.reply.simple(&digest::hex(&digest));
    Ok(())
}

fn value_digests(ctx: &mut Ctx, args: &Args) -> CommandResult {
    ctx.reply.array(args.len() - 2);
    for key in args.iter().skip(2) {
        let digest = ctx.ks.peek(ctx.db, key).map(digest::value).unwrap_or_default();
        ctx.reply.simple(&digest::hex(&digest));
    }
    Ok(())
}

fn set_active_expire(ctx: &mut Ctx, args: &Args) -> CommandResult {
    ctx.server.active_expire = number::parse_i64(args.at(2)).unwrap_or(0) != 0;
    ok(ctx)
}

fn help(ctx: &mut Ctx) -> CommandResult {
    reply_help(
        ctx,
        "DEBUG",
        &[
            "DIGEST",
            "    Output a hex signature representing the current DB content.",
            "DIGEST-VALUE <key> [<key> ...]",
            "    Output a hex signature of the values of all the specified keys.",
            "JMAP",
            "    Accepted for compatibility; does nothing.",
            "LOADAOF",
            "    Flush the AOF buffers on disk and reload the AOF in memory.",
            "OBJECT <key>",
            "    Show low level info about `key` and associated value.",
            "RELOAD [option ...]",
            "    Save the RDB on disk and reload it back to memory. Valid <option> values:",
            "    * MERGE: conflicting keys will be loaded from RDB.",
            "    * NOFLUSH: the existing database will not be removed before load.",
            "    * NOSAVE: the database will be loaded from an existing RDB file.",
            "SET-ACTIVE-EXPIRE <0|1>",
            "    Setting it to 0 disables expiring keys in background.",
            "SLEEP <seconds>",
            "    Stop the server for <seconds>. Decimals allowed.",
        ],
    )
}

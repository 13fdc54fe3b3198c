//! MEMORY: what keys and the server take.

use super::super::help::reply_help;
use super::super::{
    Access, Args, Command, CommandError, CommandResult, Ctx, Doc, Flags, Group, Handler, KeySpec,
    doc,
};
use crate::memory::{ALLOCATOR_NAME, active_and_resident_bytes, allocated_bytes};
use crate::number;

const SUB: Command = Command { arity: 2, group: Group::Server, ..Command::BASE };
const SPECIAL: &[&str] =
    &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"];

pub const MEMORY: Command = Command {
    name: "MEMORY",
    arity: -2,
    group: Group::Server,
    doc: doc("4.0.0", "Depends on subcommand.", "A container for memory diagnostics commands."),
    subcommands: &[
        Command {
            name: "DOCTOR",
            tips: SPECIAL,
            doc: doc("4.0.0", "O(1)", "Outputs a memory problems report."),
            handler: Handler::Plain(doctor),
            ..SUB
        },
        Command {
            name: "HELP",
            flags: Flags::LOADING.or(Flags::STALE),
            doc: doc("4.0.0", "O(1)", "Returns helpful text about the different subcommands."),
            handler: Handler::Plain(help),
            ..SUB
        },
        Command {
            name: "MALLOC-STATS",
            tips: SPECIAL,
            doc: doc(
                "4.0.0",
                "Depends on how much memory is allocated, could be slow",
                "Returns the allocator statistics.",
            ),
            handler: Handler::Plain(allocator),
            ..SUB
        },
        Command {
            name: "PURGE",
            tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
            doc: doc(
                "4.0.0",
                "Depends on how much memory is allocated, could be slow",
                "Asks the allocator to release memory.",
            ),
            // The allocator gives unused pages back by itself, after some seconds.
            handler: Handler::Plain(|ctx, _| {
                ctx.reply.ok();
                Ok(())
            }),
            ..SUB
        },
        Command {
            name: "STATS",
            tips: SPECIAL,
            doc: doc("4.0.0", "O(1)", "Returns details about memory usage."),
            handler: Handler::Plain(stats),
            ..SUB
        },
        Command {
            name: "USAGE",
            arity: -3,
            flags: Flags::READONLY,
            keys: &[KeySpec::at(2, Access::Read, &[])],
            args: "key [SAMPLES count:integer]",
            doc: Doc {
                ..doc(
                    "4.0.0",
                    "O(N) where N is the number of elements",
                    "Estimates the memory usage of a key.",
                )
            },
            handler: Handler::Plain(usage),
            ..SUB
        },
    ],
    ..Command::BASE
};

/// Bytes of a key with its value; SAMPLES is taken and not needed, for nothing is estimated.
fn usage(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let mut at = 3;
    while at < args.len() {
        if !args.is(at, "SAMPLES") || at + 1 >= args.len() {
            return Err(CommandError::Syntax);
        }
        let samples = number::parse_i64(args.at(at + 1)).ok_or(CommandError::NotInteger)?;
        if samples < 0 {
            return Err(CommandError::Syntax);
        }
        at += 2;
    }
    match ctx.ks.peek(ctx.db, args.at(2)) {
        // Its place in the table is a pointer.
        Some(entry) => ctx.reply.count(entry.memory_bytes() + size_of::<usize>()),
        None => ctx.reply.null(),
    }
    Ok(())
}

fn doctor(ctx: &mut Ctx, _args: &Args) -> CommandResult {
    let allocated = allocated_bytes();
    let (active, _) = active_and_resident_bytes();
    let text = if allocated < 5 << 20 {
        "This server holds almost nothing: there is nothing to say about its memory.\n"
    } else if active > allocated + allocated / 2 && active - allocated > 10 << 20 {
        "High fragmentation: pages in use are more than 1.5 times what is allocated. Keys of other \
         sizes than before fill the gaps; a restart removes them.\n"
    } else if ctx.server.used_memory_peak > allocated.saturating_mul(3) / 2 {
        "The peak was more than 1.5 times what is in use now. That is no problem: the memory is given \
         back or used again.\n"
    } else {
        "No problems found.\n"
    };
    ctx.reply.verbatim("txt", text.as_bytes());
    Ok(())
}

fn allocator(ctx: &mut Ctx, _args: &Args) -> CommandResult {
    let allocated = allocated_bytes();
    let (active, resident) = active_and_resident_bytes();
    let text = format!(
        "{ALLOCATOR_NAME}\nallocated: {allocated}\nactive: {active}\nresident: {resident}\n"
    );
    ctx.reply.verbatim("txt", text.as_bytes());
    Ok(())
}

fn stats(ctx: &mut Ctx, _args: &Args) -> CommandResult {
    let allocated = allocated_bytes();
    let (active, resident) = active_and_resident_bytes();
    let server = &*ctx.server;
    let peak = server.used_memory_peak.max(allocated);
    let overhead = server.memory_overhead;
    let dataset = allocated.saturating_sub(overhead);
    let keys: u64 = (0..ctx.ks.databases()).map(|db| ctx.ks.len(db) as u64).sum();
    let net = allocated.saturating_sub(server.memory_at_start);
    let whole = [
        ("peak.allocated", peak),
        ("total.allocated", allocated),
        ("startup.allocated", server.memory_at_start),
        ("overhead.total", overhead),
        ("keys.count", keys),
        ("keys.bytes-per-key", net.checked_div(keys).unwrap_or(0)),
        ("dataset.bytes", dataset),
        ("allocator.allocated", allocated),
        ("allocator.active", active),
        ("allocator.resident", resident),
        ("allocator-fragmentation.bytes", active.saturating_sub(allocated)),
        ("allocator-rss.bytes", resident.saturating_sub(active)),
    ];
    let ratio = |part: u64, of: u64| if of == 0 { 0.0 } else { part as f64 / of as f64 };
    let fractions = [
        ("dataset.percentage", ratio(dataset, net).min(1.0) * 100.0),
        ("peak.percentage", ratio(allocated, peak) * 100.0),
        ("allocator-fragmentation.ratio", ratio(active, allocated)),
        ("allocator-rss.ratio", ratio(resident, active)),
        ("fragmentation", ratio(resident, allocated)),
    ];
    ctx.reply.map(whole.len() + fractions.len());
    for (name, value) in whole {
        ctx.reply.bulk(name.as_bytes());
        ctx.reply.int(value.cast_signed());
    }
    for (name, value) in fractions {
        ctx.reply.bulk(name.as_bytes());
        ctx.reply.double(value);
    }
    Ok(())
}

fn help(ctx: &mut Ctx, _args: &Args) -> CommandResult {
    reply_help(
        ctx,
        "MEMORY",
        &[
            "DOCTOR",
            "    Return memory problems reports.",
            "MALLOC-STATS",
            "    Return internal statistics report from the memory allocator.",
            "PURGE",
            "    Attempt to purge dirty pages for reclamation by the allocator.",
            "STATS",
            "    Return information about the memory usage of the server.",
            "USAGE <key> [SAMPLES <count>]",
            "    Return memory in bytes used by <key> and its value. Nested values are",
            "    sampled up to <count> times (default: 5, 0 means sample all).",
        ],
    )
}

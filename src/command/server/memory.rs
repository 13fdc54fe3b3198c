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
            handler: Handler::Plain(|ctx, _| {
                crate::memory::drop_thread_cache();
                crate::memory::purge();
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
    // Also of a key whose time is over, for as long as it takes memory, and without ending it: as Redis does.
    match ctx.ks.look_at_held(ctx.db, args.at(2)) {
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
    ctx.reply.verbatim(b"txt", text.as_bytes());
    Ok(())
}

fn allocator(ctx: &mut Ctx, _args: &Args) -> CommandResult {
    let allocated = allocated_bytes();
    let (active, resident) = active_and_resident_bytes();
    let text = format!(
        "{ALLOCATOR_NAME}\nallocated: {allocated}\nactive: {active}\nresident: {resident}\n"
    );
    ctx.reply.verbatim(b"txt", text.as_bytes());
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
    let ratio = |part: u64, of: u64| if of == 0 { 0.0 } else { part as f64 / of as f64 };
    let resident_bytes = crate::memory::process_resident_bytes();
    let log_buffer = server.persistence.appended.saturating_sub(server.persistence.written);
    let filled = (0..ctx.ks.databases()).filter(|db| ctx.ks.len(*db) > 0);
    let tables: Vec<_> = filled.map(|db| (db, ctx.ks.table_figures(db).1)).collect();
    let table_bytes: usize = tables.iter().map(|(_, bytes)| bytes).sum();
    let clients = ctx.sessions.memory_bytes() as u64;
    let interpreters = server.scripts.interpreter_bytes() + server.libraries.interpreter_bytes();
    let before = [
        ("peak.allocated", peak),
        ("total.allocated", allocated),
        ("startup.allocated", server.memory_at_start),
        ("replication.backlog", 0),
        ("replica.fullsync.buffer", 0),
        ("clients.slaves", 0),
        ("clients.normal", clients),
        ("cluster.links", 0),
        ("aof.buffer", log_buffer),
        ("lua.caches", server.scripts.cache_bytes() as u64),
        ("functions.caches", server.libraries.library_bytes() as u64),
        ("script.VMs", interpreters as u64),
    ];
    let behind: [(&str, Figure); 23] = [
        ("overhead.db.hashtable.lut", Figure::Count(table_bytes as u64)),
        ("overhead.db.hashtable.rehashing", Figure::Count(0)),
        ("overhead.total", Figure::Count(overhead)),
        ("db.dict.rehashing.count", Figure::Count(0)),
        ("keys.count", Figure::Count(keys)),
        ("keys.bytes-per-key", Figure::Count(net.checked_div(keys).unwrap_or(0))),
        ("dataset.bytes", Figure::Count(dataset)),
        ("dataset.percentage", Figure::Ratio(ratio(dataset, net).min(1.0) * 100.0)),
        ("peak.percentage", Figure::Ratio(ratio(allocated, peak) * 100.0)),
        ("allocator.allocated", Figure::Count(allocated)),
        ("allocator.active", Figure::Count(active)),
        ("allocator.resident", Figure::Count(resident)),
        ("allocator.muzzy", Figure::Count(0)),
        ("allocator-fragmentation.ratio", Figure::Ratio(ratio(active, allocated))),
        ("allocator-fragmentation.bytes", Figure::difference(active, allocated)),
        ("allocator-rss.ratio", Figure::Ratio(ratio(resident, active))),
        ("allocator-rss.bytes", Figure::difference(resident, active)),
        ("rss-overhead.ratio", Figure::Ratio(ratio(resident_bytes, resident))),
        ("rss-overhead.bytes", Figure::difference(resident_bytes, resident)),
        ("fragmentation", Figure::Ratio(ratio(resident_bytes, allocated))),
        ("fragmentation.bytes", Figure::difference(resident_bytes, allocated)),
        ("reclaiming.bytes", Figure::Count(server.eviction.reclaiming)),
        ("snapshot.bytes", Figure::Count(server.persistence.snapshot_bytes)),
    ];
    ctx.reply.map(before.len() + tables.len() + behind.len());
    for (name, value) in before {
        ctx.reply.bulk(name.as_bytes());
        ctx.reply.int(value.cast_signed());
    }
    write_tables(ctx, &tables);
    for (name, figure) in behind {
        ctx.reply.bulk(name.as_bytes());
        match figure {
            Figure::Count(value) => ctx.reply.int(value.cast_signed()),
            Figure::Difference(value) => ctx.reply.int(value),
            Figure::Ratio(value) => ctx.reply.double(value),
        }
    }
    Ok(())
}

/// The `db.N` members of MEMORY STATS: database and bytes of its table.
fn write_tables(ctx: &mut Ctx, tables: &[(usize, usize)]) {
    for &(db, bytes) in tables {
        ctx.reply.bulk(format!("db.{db}").as_bytes());
        ctx.reply.map(2);
        ctx.reply.bulk(b"overhead.hashtable.main");
        ctx.reply.count(bytes);
        // A time to live stands in the entry itself.
        ctx.reply.bulk(b"overhead.hashtable.expires");
        ctx.reply.int(0);
    }
}

/// A value of MEMORY STATS.
enum Figure {
    Count(u64),
    Difference(i64),
    Ratio(f64),
}

impl Figure {
    fn difference(more: u64, less: u64) -> Self {
        Self::Difference(more.cast_signed() - less.cast_signed())
    }
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

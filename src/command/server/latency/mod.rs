//! LATENCY: what held clients up (`monitor`), and how long the calls of each command took (`histogram`).

mod histogram;
mod monitor;

pub use histogram::Histogram;
pub use monitor::{LatencyMonitor, event};

use std::fmt::Write as _;

use super::super::help::reply_help;
use super::super::table::table;
use super::super::{Args, Command, CommandError, CommandResult, Ctx, Flags, Group, Handler, doc};

const SUB: Command = Command {
    flags: Flags::ADMIN.or(Flags::NOSCRIPT).or(Flags::LOADING).or(Flags::STALE),
    group: Group::Server,
    tips: &["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"],
    ..Command::BASE
};

pub const LATENCY: Command = Command {
    name: "LATENCY",
    arity: -2,
    group: Group::Server,
    doc: doc("2.8.13", "Depends on subcommand.", "A container for latency diagnostics commands."),
    subcommands: &[
        Command {
            name: "DOCTOR",
            arity: 2,
            doc: doc("2.8.13", "O(1)", "Returns a human-readable latency analysis report."),
            handler: Handler::Plain(doctor),
            ..SUB
        },
        Command {
            name: "GRAPH",
            arity: 3,
            args: "event",
            doc: doc("2.8.13", "O(1)", "Returns a latency graph for an event."),
            handler: Handler::Plain(graph),
            ..SUB
        },
        Command {
            name: "HELP",
            arity: 2,
            flags: Flags::LOADING.or(Flags::STALE),
            tips: &[],
            doc: doc("2.8.13", "O(1)", "Returns helpful text about the different subcommands."),
            handler: Handler::Plain(help),
            ..SUB
        },
        Command {
            name: "HISTOGRAM",
            arity: -2,
            args: "[command ...]",
            doc: doc(
                "7.0.0",
                "O(N) where N is the number of commands with latency information being retrieved.",
                "Returns the cumulative distribution of latencies of a subset or all commands.",
            ),
            handler: Handler::Plain(histogram),
            ..SUB
        },
        Command {
            name: "HISTORY",
            arity: 3,
            args: "event",
            doc: doc("2.8.13", "O(1)", "Returns timestamp-latency samples for an event."),
            handler: Handler::Plain(history),
            ..SUB
        },
        Command {
            name: "LATEST",
            arity: 2,
            doc: doc("2.8.13", "O(1)", "Returns the latest latency samples for all events."),
            handler: Handler::Plain(latest),
            ..SUB
        },
        Command {
            name: "RESET",
            arity: -2,
            args: "[event ...]",
            tips: &["request_policy:all_nodes", "response_policy:agg_sum"],
            doc: doc("2.8.13", "O(1)", "Resets the latency data for one or more events."),
            handler: Handler::Plain(reset),
            ..SUB
        },
    ],
    ..Command::BASE
};

fn latest(ctx: &mut Ctx, _args: &Args) -> CommandResult {
    let monitor = &ctx.server.observed.latency;
    ctx.reply.array(monitor.classes().len());
    for (name, class) in monitor.classes() {
        let last = class.latest();
        ctx.reply.array(4);
        ctx.reply.bulk(name.as_bytes());
        ctx.reply.int(last.map_or(0, |last| last.at_s));
        ctx.reply.int(last.map_or(0, |last| last.took_ms).cast_signed());
        ctx.reply.int(class.longest_ms.cast_signed());
    }
    Ok(())
}

fn history(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let Some(class) = ctx.server.observed.latency.class(args.at(2)) else {
        ctx.reply.array(0);
        return Ok(());
    };
    ctx.reply.array(class.samples().len());
    for sample in class.samples() {
        ctx.reply.array(2);
        ctx.reply.int(sample.at_s);
        ctx.reply.int(sample.took_ms.cast_signed());
    }
    Ok(())
}

fn graph(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let name = String::from_utf8_lossy(args.at(2));
    let Some(class) = ctx.server.observed.latency.class(args.at(2)) else {
        return Err(CommandError::owned(format!("ERR No samples available for event '{name}'")));
    };
    let graph = class.graph(&name, ctx.now / 1000);
    ctx.reply.verbatim(b"txt", graph.as_bytes());
    Ok(())
}

fn reset(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let monitor = &mut ctx.server.observed.latency;
    let count = if args.len() == 2 {
        monitor.forget_all()
    } else {
        args.iter().skip(2).filter(|name| monitor.forget(name)).count()
    };
    ctx.reply.count(count);
    Ok(())
}

fn histogram(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let table = table();
    let mut rows: Vec<usize> = Vec::new();
    if args.len() == 2 {
        rows.extend(table.rows().iter().map(|row| row.index));
    }
    for name in args.iter().skip(2) {
        let Some(row) = table.by_full_name(name) else { continue };
        rows.push(row.index);
        rows.extend(table.subcommands(row).map(|sub| sub.index));
    }
    let stats = &ctx.server.command_stats;
    let told: Vec<_> = rows
        .into_iter()
        .filter_map(|at| Some((table.rows().get(at)?, &stats.get(at)?.histogram)))
        .filter(|(_, histogram)| histogram.total() > 0)
        .collect();
    ctx.reply.map(told.len());
    for (row, histogram) in told {
        let levels = histogram.levels();
        ctx.reply.bulk(row.full_name.as_bytes());
        ctx.reply.map(2);
        ctx.reply.bulk(b"calls");
        ctx.reply.int(histogram.total().cast_signed());
        ctx.reply.bulk(b"histogram_usec");
        ctx.reply.map(levels.len());
        for (microseconds, calls) in levels {
            ctx.reply.int(microseconds.cast_signed());
            ctx.reply.int(calls.cast_signed());
        }
    }
    Ok(())
}

fn doctor(ctx: &mut Ctx, _args: &Args) -> CommandResult {
    let config = &ctx.server.config;
    let monitor = &ctx.server.observed.latency;
    let threshold_ms = config.latency_monitor_threshold;
    let mut text = String::new();
    if threshold_ms == 0 && monitor.classes().len() == 0 {
        text.push_str(
            "Latency monitoring is disabled in this instance. Use \"CONFIG SET \
             latency-monitor-threshold <milliseconds>\" to enable it.\n",
        );
    } else if monitor.classes().len() == 0 {
        text.push_str("No latency spike was observed while monitoring was on.\n");
    }
    for (number, (name, class)) in monitor.classes().enumerate() {
        let figures = class.figures(ctx.now / 1000);
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{}. {name}: {} latency spikes (average {}ms, mean deviation {}ms, period {:.2} sec). \
             Worst all time event {}ms.",
            number + 1,
            figures.samples,
            figures.average_ms,
            figures.mean_deviation_ms,
            figures.period_s,
            class.longest_ms
        );
    }
    let seen = |name: &str| monitor.class(name.as_bytes()).is_some();
    let mut advise = |advice: &str| {
        let _ = write!(text, "\n- {advice}\n");
    };
    if seen(event::COMMAND) || seen(event::FAST_COMMAND) {
        let slow_us = config.slowlog_log_slower_than;
        if slow_us < 0 || slow_us.unsigned_abs() > threshold_ms.saturating_mul(1000) {
            advise(&format!(
                "The slow log does not see all of these commands. CONFIG SET \
                 slowlog-log-slower-than {} makes it.",
                threshold_ms.saturating_mul(1000)
            ));
        }
        advise("SLOWLOG GET shows which commands they were and with which arguments.");
    }
    if seen(event::AOF_FSYNC_ALWAYS) || seen(event::AOF_WRITE) {
        advise(
            "The disk takes long. Replies wait for it as far as appendfsync and CLIENT DURABILITY \
             ask; reads of keys that nobody is writing do not.",
        );
    }
    if seen(event::EVICTION_CYCLE) {
        advise("Eviction holds commands up: maxmemory-eviction-tenacity bounds it for each.");
    }
    ctx.reply.verbatim(b"txt", text.as_bytes());
    Ok(())
}

fn help(ctx: &mut Ctx, _args: &Args) -> CommandResult {
    reply_help(
        ctx,
        "LATENCY",
        &[
            "DOCTOR",
            "    Return a human readable latency analysis report.",
            "GRAPH <event>",
            "    Return an ASCII latency graph for the <event> class.",
            "HISTORY <event>",
            "    Return time-latency samples for the <event> class.",
            "LATEST",
            "    Return the latest latency samples for all events.",
            "RESET [<event> ...]",
            "    Reset latency data of one or more <event> classes.",
            "    (default: reset all data for all event classes)",
            "HISTOGRAM [COMMAND ...]",
            "    Return a cumulative distribution of latencies in the format of a histogram for the \
             specified command names.",
            "    If no commands are specified then all histograms are replied.",
        ],
    )
}

//! INFO, DBSIZE, TIME, ROLE, LOLWUT.

use super::super::{Args, Command, CommandResult, Ctx, Flags, Group, Handler, Outcome, Task, doc};

pub const INFO: Command = Command {
    name: "INFO",
    arity: -1,
    flags: Flags::LOADING.or(Flags::STALE).or(Flags::SENTINEL),
    group: Group::Server,
    args: "[section ...]",
    categories: &["dangerous"],
    tips: &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"],
    doc: super::super::Doc {
        history: &[("7.0.0", "Added support for taking multiple section arguments.")],
        ..doc("1.0.0", "O(1)", "Returns information and statistics about the server.")
    },
    handler: Handler::Extended(|_, args| {
        let text = |arg: &[u8]| String::from_utf8_lossy(arg).into_owned();
        Ok(Outcome::Task(Task::Info { sections: args.iter().skip(1).map(text).collect() }))
    }),
    ..Command::BASE
};

pub const DBSIZE: Command = Command {
    name: "DBSIZE",
    flags: Flags::READONLY.or(Flags::FAST).or(Flags::WHOLE_KEYSPACE),
    group: Group::Server,
    categories: &["keyspace"],
    tips: &["request_policy:all_shards", "response_policy:agg_sum"],
    doc: doc("1.0.0", "O(1)", "Returns the number of keys in the database."),
    handler: Handler::Plain(|ctx, _| {
        ctx.reply.count(ctx.ks.len(ctx.db));
        Ok(())
    }),
    ..Command::BASE
};

pub const TIME: Command = Command {
    name: "TIME",
    flags: Flags::LOADING.or(Flags::STALE).or(Flags::FAST),
    group: Group::Server,
    tips: &["nondeterministic_output"],
    doc: doc("2.6.0", "O(1)", "Returns the server time."),
    handler: Handler::Plain(time),
    ..Command::BASE
};

fn time(ctx: &mut Ctx, _args: &Args) -> CommandResult {
    let us = ctx.wall_us;
    ctx.reply.array(2);
    ctx.reply.bulk_int(us / 1_000_000);
    ctx.reply.bulk_int(us % 1_000_000);
    Ok(())
}

pub const ROLE: Command = Command {
    name: "ROLE",
    flags: Flags::NOSCRIPT.or(Flags::LOADING).or(Flags::STALE).or(Flags::FAST).or(Flags::SENTINEL),
    group: Group::Server,
    categories: &["admin", "dangerous"],
    doc: doc("2.8.12", "O(1)", "Returns the replication role."),
    handler: Handler::Plain(role),
    ..Command::BASE
};

/// A primary, where its stream is, and the replicas that get it.
fn role(ctx: &mut Ctx, _args: &Args) -> CommandResult {
    let replicas = &ctx.sessions.replicas;
    let online = || replicas.iter().filter(|replica| replica.link.is_online());
    ctx.reply.array(3);
    ctx.reply.bulk(b"master");
    ctx.reply.int(replicas.offset(ctx.server.persistence.appended).cast_signed());
    ctx.reply.array(online().count());
    for replica in online() {
        ctx.reply.array(3);
        ctx.reply.bulk(replica.ip.as_bytes());
        ctx.reply.bulk(replica.port.to_string().as_bytes());
        ctx.reply.bulk(replica.acked.to_string().as_bytes());
    }
    Ok(())
}

pub const LOLWUT: Command = Command {
    name: "LOLWUT",
    arity: -1,
    flags: Flags::READONLY.or(Flags::FAST),
    group: Group::Server,
    args: "[VERSION version:integer]",
    doc: doc("5.0.0", "O(1)", "Displays computer art and the Redis version"),
    handler: Handler::Plain(lolwut),
    ..Command::BASE
};

/// A small stronghold; the version line at the end is what scripts look for.
fn lolwut(ctx: &mut Ctx, _args: &Args) -> CommandResult {
    let art = format!(
        "  _   _   _\n | |_| |_| |\n |  _   _  |\n | |_| |_| |   Fastness {}\n |_________|\n\nRedis ver. {}\n",
        env!("CARGO_PKG_VERSION"),
        crate::REDIS_VERSION
    );
    ctx.reply.verbatim(b"txt", art.as_bytes());
    Ok(())
}

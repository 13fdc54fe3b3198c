//! Walking over keys: KEYS, SCAN, RANDOMKEY.

use super::super::scan_args::{ScanOptions, ScanReply, Scanned, parse_cursor};
use super::super::{Args, Command, CommandResult, Ctx, Doc, Flags, Group, Handler, doc};
use crate::glob;

pub(super) const KEYS: Command = Command {
    name: "KEYS",
    arity: 2,
    flags: Flags::READONLY.or(Flags::WHOLE_KEYSPACE),
    group: Group::Generic,
    args: "pattern:pattern",
    categories: &["dangerous"],
    tips: &["request_policy:all_shards", "nondeterministic_output_order"],
    doc: doc(
        "1.0.0",
        "O(N) with N being the number of keys in the database, under the assumption that the key names in the database and the given pattern have limited length.",
        "Returns all key names that match a pattern.",
    ),
    handler: Handler::Plain(keys),
    ..Command::BASE
};

fn keys(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let pattern = args.at(1);
    let at = ctx.reply.defer();
    let mut count = 0;
    if glob::is_literal(pattern) {
        // Such a pattern names one key.
        if ctx.ks.contains(ctx.db, pattern) {
            ctx.reply.bulk(pattern);
            count = 1;
        }
    } else {
        let all = glob::matches_all(pattern);
        for entry in ctx.ks.entries(ctx.db) {
            let wanted = all || glob::matches(pattern, entry.key(), false);
            if wanted && !ctx.ks.is_expired(entry) {
                ctx.reply.bulk(entry.key());
                count += 1;
            }
        }
    }
    ctx.reply.end_array(at, count);
    Ok(())
}

pub(super) const SCAN: Command = Command {
    name: "SCAN",
    arity: -2,
    flags: Flags::READONLY.or(Flags::TOUCHES_ARBITRARY_KEYS).or(Flags::WHOLE_KEYSPACE),
    group: Group::Generic,
    args: "cursor:integer [MATCH pattern:pattern] [COUNT count:integer] [TYPE type]",
    tips: &["nondeterministic_output", "request_policy:special", "response_policy:special"],
    doc: Doc {
        history: &[("6.0.0", "Added the `TYPE` subcommand.")],
        ..doc(
            "2.8.0",
            "O(1) for every call. O(N) for a complete iteration, including enough command calls for the cursor to return back to 0. N is the number of elements inside the collection.",
            "Iterates over the key names in the database.",
        )
    },
    handler: Handler::Plain(scan),
    ..Command::BASE
};

fn scan(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let cursor = parse_cursor(args.at(1))?;
    let options = ScanOptions::parse(args, 2, Scanned::Keys)?;
    let mut scan = ScanReply::begin(ctx.reply);
    let (ks, reply) = (&*ctx.ks, &mut *ctx.reply);
    let mut expired = Vec::new();
    let next = ks.scan(ctx.db, cursor, options.count, |entry| {
        if !options.matches(entry.key()) {
            return;
        }
        if ks.is_expired(entry) {
            expired.push(entry.key().to_vec());
            return;
        }
        let of_type = options
            .type_name
            .is_none_or(|name| name.eq_ignore_ascii_case(entry.kind().name().as_bytes()));
        if of_type {
            scan.push(reply, entry.key());
        }
    });
    scan.end(reply, next);
    for key in &expired {
        // A look at a key whose time is over removes it.
        ctx.ks.contains(ctx.db, key);
    }
    Ok(())
}

pub(super) const RANDOMKEY: Command = Command {
    name: "RANDOMKEY",
    arity: 1,
    flags: Flags::READONLY.or(Flags::TOUCHES_ARBITRARY_KEYS).or(Flags::WHOLE_KEYSPACE),
    group: Group::Generic,
    tips: &["request_policy:all_shards", "response_policy:special", "nondeterministic_output"],
    doc: doc("1.0.0", "O(1)", "Returns a random key name from the database."),
    handler: Handler::Plain(randomkey),
    ..Command::BASE
};

fn randomkey(ctx: &mut Ctx, _args: &Args) -> CommandResult {
    let key = ctx.ks.random_key(ctx.db, ctx.rng);
    ctx.reply.bulk_or_null(key.as_deref());
    Ok(())
}

//! ZREM and ZREMRANGEBY...

use super::bounds::{Bounds, By};
use super::{
    Access, Args, Command, CommandResult, Ctx, Doc, Flags, Group, Handler, KeySpec, Propagate, doc,
};
use crate::command::store::remove_if_void;
use crate::keyspace::event;
use crate::types::ZSet;

pub(super) const ZREM: Command = Command {
    name: "ZREM",
    arity: -3,
    flags: Flags::WRITE.or(Flags::FAST),
    group: Group::SortedSet,
    keys: &[KeySpec::at(1, Access::ReadWrite, &["delete"])],
    args: "key member ...",
    propagate: Propagate::AsSent,
    doc: Doc {
        since: "1.2.0",
        complexity: "O(M*log(N)) with N being the number of elements in the sorted set and M the number of elements to be removed.",
        summary: "Takes members out of a sorted set. The set goes with its last member.",
        history: &[("2.4.0", "Accepts multiple elements.")],
        deprecated: None,
    },
    handler: Handler::Plain(zrem),
    ..Command::BASE
};

fn zrem(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let removed = match ctx.ks.write::<ZSet>(ctx.db, args.at(1))? {
        None => 0,
        Some(set) => args.tail(2).iter().filter(|member| set.remove(member).is_some()).count(),
    };
    finish(ctx, args.at(1), removed, "zrem");
    Ok(())
}

pub(super) const ZREMRANGEBYRANK: Command = Command {
    name: "ZREMRANGEBYRANK",
    arity: 4,
    flags: Flags::WRITE,
    group: Group::SortedSet,
    keys: &[KeySpec::at(1, Access::ReadWrite, &["delete"])],
    args: "key start:integer stop:integer",
    propagate: Propagate::AsSent,
    doc: doc(
        "2.0.0",
        "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements removed by the operation.",
        "Takes the members within bounds of rank out of a sorted set.",
    ),
    handler: Handler::Plain(zremrangebyrank),
    ..Command::BASE
};

fn zremrangebyrank(ctx: &mut Ctx, args: &Args) -> CommandResult {
    remove_range(ctx, args, By::Rank, "zremrangebyrank")
}

pub(super) const ZREMRANGEBYSCORE: Command = Command {
    name: "ZREMRANGEBYSCORE",
    arity: 4,
    flags: Flags::WRITE,
    group: Group::SortedSet,
    keys: &[KeySpec::at(1, Access::ReadWrite, &["delete"])],
    args: "key min:double max:double",
    propagate: Propagate::AsSent,
    doc: doc(
        "1.2.0",
        "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements removed by the operation.",
        "Takes the members whose scores are within bounds out of a sorted set.",
    ),
    handler: Handler::Plain(zremrangebyscore),
    ..Command::BASE
};

fn zremrangebyscore(ctx: &mut Ctx, args: &Args) -> CommandResult {
    remove_range(ctx, args, By::Score, "zremrangebyscore")
}

pub(super) const ZREMRANGEBYLEX: Command = Command {
    name: "ZREMRANGEBYLEX",
    arity: 4,
    flags: Flags::WRITE,
    group: Group::SortedSet,
    keys: &[KeySpec::at(1, Access::ReadWrite, &["delete"])],
    args: "key min max",
    propagate: Propagate::AsSent,
    doc: doc(
        "2.8.9",
        "O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements removed by the operation.",
        "Takes the members within lexicographic bounds out of a sorted set.",
    ),
    handler: Handler::Plain(zremrangebylex),
    ..Command::BASE
};

fn zremrangebylex(ctx: &mut Ctx, args: &Args) -> CommandResult {
    remove_range(ctx, args, By::Lex, "zremrangebylex")
}

fn remove_range(ctx: &mut Ctx, args: &Args, by: By, name: &'static str) -> CommandResult {
    let bounds = Bounds::parse(by, args.at(2), args.at(3))?;
    let removed = match ctx.ks.write::<ZSet>(ctx.db, args.at(1))? {
        None => 0,
        Some(set) => set.remove_ranks(bounds.ranks(set, false), &mut |_, _| {}),
    };
    finish(ctx, args.at(1), removed, name);
    Ok(())
}

fn finish(ctx: &mut Ctx, key: &[u8], removed: usize, name: &'static str) {
    if removed > 0 {
        ctx.changed_by(key, removed, event::ZSET, name);
        remove_if_void::<ZSet>(ctx, key);
    }
    ctx.reply.count(removed);
}

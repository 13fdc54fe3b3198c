//! Deleting keys, and asking for them.

use super::super::{
    Access, Args, Command, CommandResult, Ctx, Doc, Flags, Group, Handler, KeySpec, Propagate, doc,
};
use super::inspect;
use crate::keyspace::event;

const TIPS: &[&str] = &["request_policy:multi_shard", "response_policy:agg_sum"];

pub(super) const DEL: Command = Command {
    name: "DEL",
    arity: -2,
    flags: Flags::WRITE,
    group: Group::Generic,
    keys: &[KeySpec::range(1, -1, 1, Access::Remove, &["delete"])],
    args: "key:key ...",
    propagate: Propagate::AsSent,
    tips: TIPS,
    doc: doc(
        "1.0.0",
        "O(N) where N is the number of keys that will be removed. When a key to remove holds a value other than a string, the individual complexity for this key is O(M) where M is the number of elements in the list, set, sorted set or hash. Removing a single key that holds a string value is O(1).",
        "Deletes one or more keys.",
    ),
    handler: Handler::Plain(del),
    ..Command::BASE
};

pub(super) const UNLINK: Command = Command {
    name: "UNLINK",
    flags: Flags::WRITE.or(Flags::FAST),
    doc: doc(
        "4.0.0",
        "O(1) for each key removed regardless of its size. Then the command does O(N) work in a different thread in order to reclaim memory, where N is the number of allocations the deleted objects where composed of.",
        "Deletes one or more keys without waiting for their memory to be reclaimed.",
    ),
    ..DEL
};

fn del(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let mut deleted = 0;
    for key in args.iter().skip(1) {
        // An expired key is not there: asking for it removes it and says so.
        if ctx.ks.contains(ctx.db, key)
            && let Some(entry) = ctx.ks.remove(ctx.db, key)
        {
            // DEL too: nobody is to wait for millions of elements to be freed.
            if ctx.command == "UNLINK" || ctx.server.config.lazyfree_lazy_user_del {
                ctx.server.release(entry);
            } else {
                ctx.server.release_uncounted(entry);
            }
            ctx.changed(key, event::GENERIC, "del");
            deleted += 1;
        }
    }
    ctx.reply.int(deleted);
    Ok(())
}

pub(super) const EXISTS: Command = Command {
    name: "EXISTS",
    arity: -2,
    flags: Flags::READONLY.or(Flags::FAST),
    group: Group::Generic,
    keys: &[KeySpec::range(1, -1, 1, Access::Read, &[])],
    args: "key:key ...",
    tips: TIPS,
    doc: Doc {
        history: &[("3.0.3", "Accepts multiple `key` arguments.")],
        ..doc(
            "1.0.0",
            "O(N) where N is the number of keys to check.",
            "Counts how many of the keys are there.",
        )
    },
    handler: Handler::Plain(exists),
    ..Command::BASE
};

fn exists(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let found = args.iter().skip(1).filter(|key| inspect(ctx, key).is_some()).count();
    ctx.reply.count(found);
    Ok(())
}

pub(super) const TOUCH: Command = Command {
    name: "TOUCH",
    arity: -2,
    flags: Flags::READONLY.or(Flags::FAST),
    group: Group::Generic,
    keys: &[KeySpec::range(1, -1, 1, Access::Read, &[])],
    args: "key:key ...",
    tips: TIPS,
    doc: doc(
        "3.2.1",
        "O(N) where N is the number of keys that will be touched.",
        "Marks keys as just used and counts how many of them are there.",
    ),
    handler: Handler::Plain(touch),
    ..Command::BASE
};

fn touch(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let found = args.iter().skip(1).filter(|key| ctx.ks.lookup(ctx.db, key).is_some()).count();
    ctx.reply.count(found);
    Ok(())
}

//! ZRANDMEMBER.

use super::{
    Access, Args, Command, CommandError, CommandResult, Ctx, Flags, Group, Handler, KeySpec, Shape,
    bulk, doc,
};
use crate::command::set::{ends_here, repeats_end, signed};
use crate::types::ZSet;

pub(super) const ZRANDMEMBER: Command = Command {
    name: "ZRANDMEMBER",
    arity: -2,
    flags: Flags::READONLY,
    group: Group::SortedSet,
    keys: &[KeySpec::at(1, Access::Read, &["access"])],
    args: "key [count:integer [WITHSCORES]]",
    doc: doc(
        "6.2.0",
        "O(N) where N is the number of members returned",
        "Returns members of a sorted set chosen by chance.",
    ),
    tips: &["nondeterministic_output"],
    handler: Handler::Plain(zrandmember),
    ..Command::BASE
};

fn zrandmember(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let key = args.at(1);
    let Some(count) = args.get(2) else {
        let set = ctx.ks.read::<ZSet>(ctx.db, key)?;
        match set.and_then(|set| set.random(&mut *ctx.rng)) {
            Some((member, _)) => bulk(ctx.reply, member),
            None => ctx.reply.null(),
        }
        return Ok(());
    };
    let count = signed(count)?;
    let with_scores = args.is(3, "WITHSCORES");
    if args.len() > 4 || (args.len() == 4 && !with_scores) {
        return Err(CommandError::Syntax);
    }
    let half = i64::MAX / 2;
    if with_scores && !(-half..=half).contains(&count) {
        return Err(CommandError::text("ERR value is out of range"));
    }
    let end = if count < 0 { repeats_end(ctx, count.unsigned_abs())? } else { 0 };
    let Some(set) = ctx.ks.read::<ZSet>(ctx.db, key)? else {
        ctx.reply.array(0);
        return Ok(());
    };
    let shape = if with_scores { Shape::Scores } else { Shape::Members };
    let wanted = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
    if count < 0 {
        shape.begin(ctx.reply, wanted);
        for _ in 0..wanted {
            if ends_here(ctx.reply, end) {
                break;
            }
            if let Some((member, score)) = set.random(&mut *ctx.rng) {
                shape.push(ctx.reply, member, score);
            }
        }
    } else if wanted >= set.len() {
        shape.begin(ctx.reply, set.len());
        set.iter().for_each(|(member, score)| shape.push(ctx.reply, member, score));
    } else {
        shape.begin(ctx.reply, wanted);
        set.sample(wanted, &mut *ctx.rng, |member, score| shape.push(ctx.reply, member, score));
    }
    Ok(())
}

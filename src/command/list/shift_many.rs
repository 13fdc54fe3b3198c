//! LMOVEM, and what BLMOVEM shares with it: several elements from the end of one list to the end of another.
//!
//! Redis 8.10 has them. The log gets the push and the pop that have the same effect, which every server
//! loads, and which are loaded both or not at all.

use super::{
    Args, Command, CommandError, CommandResult, Ctx, End, Flags, Group, Handler, Propagate, doc,
    event, node_limit, popped, shift,
};
use crate::number;
use crate::types::List;

pub(super) const LMOVEM: Command = Command {
    name: "LMOVEM",
    arity: -5,
    flags: Flags::WRITE.or(Flags::DENYOOM),
    group: Group::List,
    keys: shift::KEYS,
    args: "source:key destination:key <LEFT | RIGHT> <LEFT | RIGHT> [<COUNT count:integer | EXACTLY exactly:integer> <OBO | BULK>]",
    propagate: Propagate::Effect,
    doc: doc(
        "8.10.0",
        "O(N) where N is the number of elements moved.",
        "Moves several elements from one list to another and returns them.",
    ),
    handler: Handler::Plain(lmovem),
    ..Command::BASE
};

fn lmovem(ctx: &mut Ctx, args: &Args) -> CommandResult {
    if !MultiMove::parse(args, 5)?.run(ctx)? {
        ctx.reply.null_array();
    }
    Ok(())
}

/// What LMOVEM and BLMOVEM ask for.
pub(super) struct MultiMove<'a> {
    source: &'a [u8],
    destination: &'a [u8],
    from: End,
    to: End,
    count: usize,
    /// Nothing is moved when there are less than `count`.
    exactly: bool,
    /// BULK: the elements keep their order; else they are moved one by one (OBO).
    keeps_order: bool,
}

impl<'a> MultiMove<'a> {
    /// Reads the request; how many to move is said from argument `at` on, or it is one.
    pub(super) fn parse(args: &Args<'a>, at: usize) -> Result<Self, CommandError> {
        let mut request = Self {
            source: args.at(1),
            destination: args.at(2),
            from: End::parse(args, 3)?,
            to: End::parse(args, 4)?,
            count: 1,
            exactly: false,
            keeps_order: true,
        };
        match args.len().saturating_sub(at) {
            0 => return Ok(request),
            3 => {}
            _ => return Err(CommandError::Syntax),
        }
        request.exactly = args.is(at, "EXACTLY");
        if !request.exactly && !args.is(at, "COUNT") {
            return Err(CommandError::Syntax);
        }
        // A wrong count is reported before what stands behind it.
        request.count = number::parse_i64(args.at(at + 1))
            .and_then(|count| usize::try_from(count).ok())
            .filter(|count| *count > 0)
            .ok_or(CommandError::text("ERR count should be greater than 0"))?;
        request.keeps_order = args.is(at + 2, "BULK");
        if !request.keeps_order && !args.is(at + 2, "OBO") {
            return Err(CommandError::Syntax);
        }
        Ok(request)
    }

    /// Moves the elements and writes the reply; false if there are too few.
    pub(super) fn run(&self, ctx: &mut Ctx) -> Result<bool, CommandError> {
        let Some(list) = ctx.ks.read::<List>(ctx.db, self.source)? else { return Ok(false) };
        let len = list.len();
        if len == 0 || self.exactly && len < self.count {
            return Ok(false);
        }
        let block = self.block(list);
        // The destination is made before anything is taken, so that a wrong type changes nothing.
        ctx.ks.write_or_create(ctx.db, self.destination, List::new)?;
        let is_same = self.source == self.destination;
        self.take(ctx, block.len(), len)?;
        self.put(ctx, &block)?;
        if is_same {
            popped(ctx, self.source, self.from, block.len(), false);
            ctx.changed_along(self.destination, event::LIST, self.to.push_event());
        } else {
            ctx.changed_along(self.destination, event::LIST, self.to.push_event());
            popped(ctx, self.source, self.from, block.len(), block.len() == len);
        }
        self.record(ctx, &block, len);
        ctx.reply.array(block.len());
        block.iter().for_each(|text| ctx.reply.bulk(text));
        Ok(true)
    }

    /// The elements to move, as they will stand in the destination.
    fn block(&self, list: &List) -> Vec<Vec<u8>> {
        let (len, count) = (list.len(), self.count.min(list.len()));
        let mut block: Vec<Vec<u8>> = match self.from {
            End::Left => list.iter().take(count).map(|element| element.to_vec()).collect(),
            End::Right => {
                list.iter_back_from(len - 1).take(count).map(|element| element.to_vec()).collect()
            }
        };
        // They are in the order in which they are popped.
        let turns = if self.keeps_order { self.from == End::Right } else { self.to == End::Left };
        if turns {
            block.reverse();
        }
        block
    }

    fn take(&self, ctx: &mut Ctx, count: usize, len: usize) -> CommandResult {
        let limit = node_limit(ctx);
        if let Some(list) = ctx.ks.write::<List>(ctx.db, self.source)? {
            let at = if self.from == End::Left { 0 } else { len - count };
            list.remove_range(at, count, limit);
        }
        Ok(())
    }

    fn put(&self, ctx: &mut Ctx, block: &[Vec<u8>]) -> CommandResult {
        let limit = node_limit(ctx);
        if let Some(list) = ctx.ks.write::<List>(ctx.db, self.destination)? {
            match self.to {
                End::Right => list.extend_back(block, limit),
                End::Left => {
                    let texts: Vec<&[u8]> = block.iter().rev().map(Vec::as_slice).collect();
                    list.extend_front(&texts, limit);
                }
            }
        }
        Ok(())
    }

    /// Adds what was done to the log, of a source that had `len` elements.
    fn record(&self, ctx: &mut Ctx, block: &[Vec<u8>], len: usize) {
        if block.len() == 1 {
            let ends = (self.from.word(), self.to.word());
            ctx.effect(&[b"LMOVE", self.source, self.destination, ends.0, ends.1]);
            return;
        }
        let is_same = self.source == self.destination;
        let moves_all = block.len() == len;
        if is_same && moves_all {
            // Behind the old elements, and those away: a list that were empty between would lose its expiry.
            self.record_push(ctx, End::Right, block);
            Self::record_pop(ctx, End::Left, self.source, len);
        } else if is_same {
            Self::record_pop(ctx, self.from, self.source, block.len());
            self.record_push(ctx, self.to, block);
        } else {
            self.record_push(ctx, self.to, block);
            Self::record_pop(ctx, self.from, self.source, block.len());
        }
    }

    fn record_push(&self, ctx: &mut Ctx, to: End, block: &[Vec<u8>]) {
        let texts = block.iter().map(Vec::as_slice);
        let (head, count) = ([to.push_command(), self.destination], block.len() + 2);
        let (db, effects) = (ctx.db, &mut ctx.ks.effects);
        match to {
            End::Left => effects.record_words(db, count, head.into_iter().chain(texts.rev())),
            End::Right => effects.record_words(db, count, head.into_iter().chain(texts)),
        }
    }

    fn record_pop(ctx: &mut Ctx, from: End, key: &[u8], count: usize) {
        ctx.effect(&[from.pop_command(), key, count.to_string().as_bytes()]);
    }
}

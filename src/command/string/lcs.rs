//! LCS: the longest common subsequence of two strings.
//!
//! The table of lengths takes the product of both lengths in 32-bit numbers. It may not be larger
//! than a string may (`proto-max-bulk-len`), so a request cannot ask for more than that.

use super::super::{
    Access, Args, Command, CommandError, CommandResult, Ctx, Flags, Group, Handler, KeySpec, doc,
};
use super::value;
use crate::keyspace::{Entry, ValueRef};
use crate::number;

pub(super) const LCS: Command = Command {
    name: "LCS",
    arity: -3,
    flags: Flags::READONLY,
    group: Group::String,
    keys: &[KeySpec::range(1, 1, 1, Access::Read, &["access"])],
    args: "key1:key key2:key [LEN] [IDX] [MINMATCHLEN min-match-len:integer] [WITHMATCHLEN]",
    doc: doc(
        "7.0.0",
        "O(N*M) where N and M are the lengths of s1 and s2, respectively",
        "Finds the longest common subsequence of two strings.",
    ),
    handler: Handler::Plain(lcs),
    ..Command::BASE
};

/// What the reply is to have.
#[derive(Clone, Copy, Debug, Default)]
struct Options {
    len: bool,
    indices: bool,
    with_match_len: bool,
    min_match_len: usize,
}

fn lcs(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let first = load(ctx, args.at(1))?;
    let second = load(ctx, args.at(2))?;
    let options = parse(args)?;
    if options.len && options.indices {
        return Err(CommandError::text(
            "ERR If you want both the length and indexes, please just use IDX.",
        ));
    }
    let cells = (first.len() + 1).checked_mul(second.len() + 1);
    let bytes = cells.and_then(|cells| cells.checked_mul(size_of::<u32>()));
    if bytes.is_none_or(|bytes| bytes > ctx.limits().string_max_bytes) {
        return Err(CommandError::text(
            "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len",
        ));
    }
    let table = Lengths::new(&first, &second);
    if options.len {
        ctx.reply.count(table.total());
        return Ok(());
    }
    if !options.indices {
        ctx.reply.bulk(&table.subsequence(&first, &second));
        return Ok(());
    }
    let matches = table.matches(&first, &second);
    let shown = matches.iter().filter(|found| found.len >= options.min_match_len);
    ctx.reply.map(2);
    ctx.reply.bulk(b"matches");
    ctx.reply.array(shown.clone().count());
    for found in shown {
        ctx.reply.array(if options.with_match_len { 3 } else { 2 });
        for start in [found.first, found.second] {
            ctx.reply.array(2);
            ctx.reply.count(start);
            ctx.reply.count(start + found.len - 1);
        }
        if options.with_match_len {
            ctx.reply.count(found.len);
        }
    }
    ctx.reply.bulk(b"len");
    ctx.reply.count(table.total());
    Ok(())
}

fn load(ctx: &mut Ctx, key: &[u8]) -> Result<Vec<u8>, CommandError> {
    match ctx.ks.lookup(ctx.db, key).map(Entry::value) {
        None => Ok(Vec::new()),
        Some(ValueRef::Str(string)) => Ok(value::text(string, &mut itoa::Buffer::new()).to_vec()),
        Some(_) => Err(CommandError::text("ERR The specified keys must contain string values")),
    }
}

fn parse(args: &Args) -> Result<Options, CommandError> {
    let mut options = Options::default();
    let mut at = 3;
    while at < args.len() {
        if args.is(at, "IDX") {
            options.indices = true;
        } else if args.is(at, "LEN") {
            options.len = true;
        } else if args.is(at, "WITHMATCHLEN") {
            options.with_match_len = true;
        } else if args.is(at, "MINMATCHLEN") && at + 1 < args.len() {
            at += 1;
            let len = number::parse_i64(args.at(at)).ok_or(CommandError::NotInteger)?;
            options.min_match_len = usize::try_from(len).unwrap_or(0);
        } else {
            return Err(CommandError::Syntax);
        }
        at += 1;
    }
    Ok(options)
}

/// A run that both strings have, and where it starts in each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Match {
    pub(super) first: usize,
    pub(super) second: usize,
    pub(super) len: usize,
}

/// The length of the longest common subsequence of every pair of prefixes.
pub(super) struct Lengths {
    cells: Vec<u32>,
    width: usize,
    height: usize,
}

impl Lengths {
    pub(super) fn new(first: &[u8], second: &[u8]) -> Self {
        let (height, width) = (first.len() + 1, second.len() + 1);
        let mut cells = vec![0u32; height * width];
        for (row, a) in first.iter().enumerate() {
            let (above, below) = cells.split_at_mut((row + 1) * width);
            let above = above.get(row * width..).unwrap_or_default();
            let below = below.get_mut(..width).unwrap_or_default();
            let mut left = 0;
            for ((b, over), cell) in second.iter().zip(above.windows(2)).zip(&mut below[1..]) {
                left = if a == b { over[0] + 1 } else { left.max(over[1]) };
                *cell = left;
            }
        }
        Self { cells, width, height }
    }

    fn at(&self, row: usize, column: usize) -> u32 {
        self.cells.get(row * self.width + column).copied().unwrap_or(0)
    }

    /// The length of the longest common subsequence.
    pub(super) fn total(&self) -> usize {
        self.at(self.height - 1, self.width - 1) as usize
    }

    /// The runs of the subsequence, the last one first. Among equals the walk goes back in the
    /// second string, as Redis does.
    pub(super) fn matches(&self, first: &[u8], second: &[u8]) -> Vec<Match> {
        let mut matches: Vec<Match> = Vec::new();
        let (mut row, mut column) = (first.len(), second.len());
        let mut in_run = false;
        while row > 0 && column > 0 {
            if first.get(row - 1) == second.get(column - 1) {
                row -= 1;
                column -= 1;
                match matches.last_mut() {
                    Some(run) if in_run => {
                        *run = Match { first: row, second: column, len: run.len + 1 };
                    }
                    _ => matches.push(Match { first: row, second: column, len: 1 }),
                }
                in_run = true;
            } else {
                in_run = false;
                if self.at(row - 1, column) > self.at(row, column - 1) {
                    row -= 1;
                } else {
                    column -= 1;
                }
            }
        }
        matches
    }

    /// The subsequence itself.
    pub(super) fn subsequence(&self, first: &[u8], second: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.total());
        for run in self.matches(first, second).iter().rev() {
            bytes.extend_from_slice(first.get(run.first..run.first + run.len).unwrap_or_default());
        }
        bytes
    }
}

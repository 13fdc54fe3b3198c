//! BITOP: a new string from the bits of others.

use super::super::string::value;
use super::super::{
    Access, Args, Command, CommandError, CommandResult, Ctx, Doc, Flags, Group, Handler, KeySpec,
    Propagate, doc,
};
use crate::keyspace::entry::SHARED_BYTES_MIN;
use crate::keyspace::{Entry, ValueRef, event};

pub(super) const BITOP: Command = Command {
    name: "BITOP",
    arity: -4,
    flags: Flags::WRITE.or(Flags::DENYOOM),
    group: Group::Bitmap,
    keys: &[
        KeySpec::at(2, Access::Overwrite, &["update"]),
        KeySpec::range(3, -1, 1, Access::Read, &["access"]),
    ],
    args: "<AND|OR|XOR|NOT|DIFF|DIFF1|ANDOR|ONE> destkey:key key:key ...",
    propagate: Propagate::AsSent,
    doc: Doc {
        history: &[("8.2.0", "Added the `DIFF`, `DIFF1`, `ANDOR` and `ONE` operations.")],
        ..doc(
            "2.6.0",
            "O(N)",
            "Performs bitwise operations on multiple strings, and stores the result.",
        )
    },
    handler: Handler::Plain(bitop),
    ..Command::BASE
};

/// What is done with the bits of the sources X, Y1, Y2...
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    And,
    Or,
    Xor,
    Not,
    /// In X but in no Y.
    Diff,
    /// In some Y but not in X.
    Diff1,
    /// In X and in some Y.
    AndOr,
    /// In exactly one source.
    One,
}

const NAMES: [(&str, Operation); 8] = [
    ("AND", Operation::And),
    ("OR", Operation::Or),
    ("XOR", Operation::Xor),
    ("NOT", Operation::Not),
    ("DIFF", Operation::Diff),
    ("DIFF1", Operation::Diff1),
    ("ANDOR", Operation::AndOr),
    ("ONE", Operation::One),
];

fn bitop(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let named = NAMES.iter().find(|(name, _)| args.is(1, name));
    let &(name, operation) = named.ok_or(CommandError::Syntax)?;
    let sources = args.len() - 3;
    if operation == Operation::Not && sources != 1 {
        return Err(CommandError::text("ERR BITOP NOT must be called with a single source key."));
    }
    let compares = matches!(operation, Operation::Diff | Operation::Diff1 | Operation::AndOr);
    if compares && sources < 2 {
        return Err(CommandError::owned(format!(
            "ERR BITOP {name} must be called with at least two source keys."
        )));
    }
    let mut total = Combined::new(operation);
    let mut buffer = itoa::Buffer::new();
    for key in args.iter().skip(3) {
        match ctx.ks.lookup(ctx.db, key).map(Entry::value) {
            None => total.add(&[]),
            Some(ValueRef::Str(string)) => total.add(value::text(string, &mut buffer)),
            Some(_) => return Err(CommandError::WrongType),
        }
    }
    let result = total.finish();
    let (target, len) = (args.at(2), result.len());
    if result.is_empty() {
        if ctx.ks.contains(ctx.db, target) {
            ctx.ks.discard(ctx.db, target);
            ctx.changed(target, event::GENERIC, "del");
        }
    } else {
        set_bits(ctx, target, result)?;
        ctx.changed(target, event::STRING, "set");
    }
    ctx.reply.count(len);
    Ok(())
}

/// Makes the key a string of these bytes, which is no integer whatever they are.
fn set_bits(ctx: &mut Ctx, key: &[u8], mut bytes: Vec<u8>) -> CommandResult {
    if bytes.len() < SHARED_BYTES_MIN {
        ctx.ks.set_string(ctx.db, key, b"", None);
        return value::replace_bytes(ctx, key, &bytes);
    }
    bytes.shrink_to_fit();
    ctx.ks.set_shared_string(ctx.db, key, bytes.into());
    Ok(())
}

/// The sources so far. A source that is shorter than another goes on with zeros.
pub(super) struct Combined {
    operation: Operation,
    first: Option<Vec<u8>>,
    /// The other sources (of ONE: all of them) joined by what the operation needs.
    others: Vec<u8>,
    /// For ONE: bits that occur more than once.
    repeated: Vec<u8>,
}

impl Combined {
    pub(super) fn new(operation: Operation) -> Self {
        Self { operation, first: None, others: Vec::new(), repeated: Vec::new() }
    }

    pub(super) fn add(&mut self, source: &[u8]) {
        if self.operation == Operation::One {
            return self.add_one(source);
        }
        let Some(first) = self.first.as_mut() else {
            // There is one only, and it is gone through once.
            let negated = self.operation == Operation::Not;
            self.first = Some(match negated {
                true => source.iter().map(|byte| !byte).collect(),
                false => source.to_vec(),
            });
            return;
        };
        match self.operation {
            Operation::And => {
                lengthen(first, source.len());
                let rest = source.len().min(first.len());
                first[rest..].fill(0);
                join(first, source, |a, b| a & b);
            }
            Operation::Xor => {
                lengthen(first, source.len());
                join(first, source, |a, b| a ^ b);
            }
            Operation::Or => {
                lengthen(first, source.len());
                join(first, source, |a, b| a | b);
            }
            _ => {
                lengthen(&mut self.others, source.len());
                join(&mut self.others, source, |a, b| a | b);
            }
        }
    }

    fn add_one(&mut self, source: &[u8]) {
        lengthen(&mut self.others, source.len());
        lengthen(&mut self.repeated, source.len());
        for ((seen, repeated), byte) in self.others.iter_mut().zip(&mut self.repeated).zip(source) {
            *repeated |= *seen & byte;
            *seen |= byte;
        }
    }

    pub(super) fn finish(self) -> Vec<u8> {
        let mut first = self.first.unwrap_or_default();
        let others = self.others;
        match self.operation {
            Operation::And | Operation::Or | Operation::Xor | Operation::Not => return first,
            Operation::Diff => {
                lengthen(&mut first, others.len());
                join(&mut first, &others, |x, y| x & !y);
            }
            Operation::Diff1 => {
                lengthen(&mut first, others.len());
                join(&mut first, &others, |x, y| !x & y);
                first.get_mut(others.len()..).unwrap_or_default().fill(0);
            }
            Operation::AndOr => {
                lengthen(&mut first, others.len());
                join(&mut first, &others, |x, y| x & y);
                first.get_mut(others.len()..).unwrap_or_default().fill(0);
            }
            Operation::One => {
                first = others;
                join(&mut first, &self.repeated, |seen, repeated| seen & !repeated);
            }
        }
        first
    }
}

fn lengthen(bytes: &mut Vec<u8>, len: usize) {
    if bytes.len() < len {
        bytes.resize(len, 0);
    }
}

fn join(into: &mut [u8], from: &[u8], f: impl Fn(u8, u8) -> u8) {
    for (a, b) in into.iter_mut().zip(from) {
        *a = f(*a, *b);
    }
}

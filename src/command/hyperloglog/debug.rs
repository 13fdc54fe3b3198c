//! PFDEBUG and PFSELFTEST: looking into a HyperLogLog, for tests.

use super::super::{
    Access, Args, Command, CommandError, CommandResult, Ctx, Flags, Group, Handler, KeySpec,
    Propagate, doc,
};
use super::registers::{self, REGISTERS, Run, Values};
use super::{estimate, load, store};
use crate::command::error::told;
use crate::rng::Rng;
use crate::rng::SeededRng;

pub(super) const PFDEBUG: Command = Command {
    name: "PFDEBUG",
    arity: 3,
    flags: Flags::WRITE.or(Flags::DENYOOM).or(Flags::ADMIN),
    group: Group::HyperLogLog,
    keys: &[KeySpec::at(2, Access::ReadWrite, &["access"])],
    args: "subcommand key",
    propagate: Propagate::AsSent,
    doc: doc("2.8.9", "N/A", "Internal commands for debugging HyperLogLog values."),
    handler: Handler::Plain(pfdebug),
    ..Command::BASE
};

fn pfdebug(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let key = args.at(2);
    if args.is(1, "SIMD") {
        if !args.is(2, "ON") && !args.is(2, "OFF") {
            return Err(CommandError::text("ERR Argument must be ON or OFF"));
        }
        // There is one way to count here, which the compiler has made of wide instructions or not: what Redis
        // says where it was built without them.
        ctx.reply.simple("disabled");
        return Ok(());
    }
    let Some(mut bytes) = load(ctx, key)? else {
        return Err(CommandError::text("ERR The specified key does not exist"));
    };
    if args.is(1, "GETREG") || args.is(1, "TODENSE") {
        let converted = !registers::is_dense(&bytes);
        registers::to_dense(&mut bytes)?;
        if converted {
            store(ctx, key, &bytes)?;
            // Nobody is told: the value is the same.
            ctx.ks.changed_quietly(ctx.db, key);
        }
        if args.is(1, "TODENSE") {
            ctx.reply.flag(converted);
            return Ok(());
        }
        let mut values: Values = [0; REGISTERS];
        registers::merge_into(&mut values, &bytes)?;
        ctx.reply.array(values.len());
        values.iter().for_each(|value| ctx.reply.int(i64::from(*value)));
    } else if args.is(1, "ENCODING") {
        ctx.reply.simple(if registers::is_dense(&bytes) { "dense" } else { "sparse" });
    } else if args.is(1, "DECODE") {
        if registers::is_dense(&bytes) {
            return Err(CommandError::text("ERR HLL encoding is not sparse"));
        }
        let runs = registers::runs(&bytes).map(|(_, run)| match run {
            Run::Zeros { len, long } => format!("{}:{len}", if long { 'Z' } else { 'z' }),
            Run::Values { value, len } => format!("v:{value},{len}"),
        });
        ctx.reply.bulk(runs.collect::<Vec<_>>().join(" ").as_bytes());
    } else {
        let word = told(args.at(1)).into_owned();
        return Err(CommandError::owned(format!("ERR Unknown PFDEBUG subcommand '{word}'")));
    }
    Ok(())
}

pub(super) const PFSELFTEST: Command = Command {
    name: "PFSELFTEST",
    arity: 1,
    flags: Flags::ADMIN,
    group: Group::HyperLogLog,
    doc: doc("2.8.9", "N/A", "An internal command for testing HyperLogLog values."),
    handler: Handler::Plain(pfselftest),
    ..Command::BASE
};

fn pfselftest(ctx: &mut Ctx, _args: &Args) -> CommandResult {
    self_test().map_err(|failure| CommandError::owned(format!("TESTFAILED {failure}")))?;
    ctx.reply.ok();
    Ok(())
}

/// Registers hold what was put into them, and the estimate's error is within bounds.
pub(super) fn self_test() -> Result<(), String> {
    let mut rng = SeededRng::new(0x5EED);
    let mut values: Values = [0; REGISTERS];
    for value in &mut values {
        *value = u8::try_from(rng.below(51)).unwrap_or(0);
    }
    let dense = registers::dense_from(&registers::empty(), &values);
    let mut read: Values = [0; REGISTERS];
    let merged = registers::merge_into(&mut read, &dense);
    if merged.is_err() || read != values {
        return Err("Register holds another value than was set".to_owned());
    }
    let (mut sparse, mut dense) = (registers::empty(), registers::empty());
    registers::to_dense(&mut dense).map_err(|_| "empty object is corrupt".to_owned())?;
    let mut checkpoint = 1u64;
    for count in 1..=100_000u64 {
        let (index, rank) = registers::locate(&rng.next_u64().to_le_bytes());
        registers::raise_dense(&mut dense, index, rank);
        registers::raise(&mut sparse, index, rank, 3000).map_err(|_| "corrupt".to_owned())?;
        if count == checkpoint {
            checkpoint *= 10;
            check_estimate(&dense, &sparse, count)?;
        }
    }
    Ok(())
}

fn check_estimate(dense: &[u8], sparse: &[u8], count: u64) -> Result<(), String> {
    let (mut values, mut other): (Values, Values) = ([0; REGISTERS], [0; REGISTERS]);
    let merged =
        registers::merge_into(&mut values, dense).and(registers::merge_into(&mut other, sparse));
    if merged.is_err() || values != other {
        return Err(format!("dense and sparse disagree at {count}"));
    }
    let estimate = estimate::cardinality(&values);
    // Six standard errors of 1.04 / sqrt(m), and room for the rounding of small numbers.
    let bound = (count as f64 * 6.0 * 1.04 / (REGISTERS as f64).sqrt()).ceil() + 1.0;
    if estimate.abs_diff(count) as f64 > bound {
        return Err(format!("Too big error. card:{count} estimated:{estimate}"));
    }
    Ok(())
}

//! MULTI, EXEC, DISCARD, WATCH, UNWATCH.
//!
//! Queueing itself is done by the dispatcher (`engine::execute`), which sees that a transaction is
//! open; EXEC is checked here and run there, because it executes commands.

use super::ctx::Task;
use super::{
    Access, Args, Command, CommandError, CommandResult, Ctx, Flags, Group, Handler, KeySpec,
    Outcome, doc,
};
use crate::session::Transaction;

pub const COMMANDS: &[Command] = &[DISCARD, EXEC, MULTI, UNWATCH, WATCH];

const COMMON: Flags =
    Flags::NOSCRIPT.or(Flags::LOADING).or(Flags::STALE).or(Flags::FAST).or(Flags::ALLOW_BUSY);

pub const MULTI: Command = Command {
    name: "MULTI",
    arity: 1,
    flags: COMMON,
    group: Group::Transactions,
    doc: doc("1.2.0", "O(1)", "Starts a transaction."),
    handler: Handler::Plain(multi),
    ..Command::BASE
};

fn multi(ctx: &mut Ctx, _args: &Args) -> CommandResult {
    let client = ctx.session()?;
    if client.transaction.is_some() {
        return Err(CommandError::text("ERR MULTI calls can not be nested"));
    }
    client.transaction = Some(Transaction::default());
    ctx.reply.ok();
    Ok(())
}

pub const EXEC: Command = Command {
    name: "EXEC",
    arity: 1,
    flags: Flags::NOSCRIPT.or(Flags::LOADING).or(Flags::STALE).or(Flags::SKIP_SLOWLOG),
    group: Group::Transactions,
    doc: doc(
        "1.2.0",
        "Depends on commands in the transaction",
        "Executes all commands in a transaction.",
    ),
    handler: Handler::Extended(exec),
    ..Command::BASE
};

fn exec(ctx: &mut Ctx, _args: &Args) -> Result<Outcome, CommandError> {
    let id = ctx.client;
    let now = ctx.now;
    let watched = ctx.session()?.watched.clone();
    // A watched key whose time is over counts as changed, unless it was over when WATCH was called.
    for watch in watched.iter().filter(|watch| !watch.expired) {
        let gone = ctx.ks.peek_expired(watch.db, &watch.key, now);
        if gone {
            ctx.session()?.watch_broken = true;
        }
    }
    let client = ctx.session()?;
    let Some(transaction) = client.transaction.as_ref() else {
        return Err(CommandError::text("ERR EXEC without MULTI"));
    };
    let (failed, broken) = (transaction.failed, client.watch_broken);
    if failed || broken {
        end_transaction(ctx, id);
        // That it is broken tells of what was written.
        for watch in watched.iter().filter(|_| !failed) {
            ctx.ks.rest_on_key(watch.db, &watch.key);
        }
        if failed {
            return Err(CommandError::text(
                "EXECABORT Transaction discarded because of previous errors.",
            ));
        }
        ctx.reply.null_array();
        return Ok(Outcome::Replied);
    }
    Ok(Outcome::Task(Task::Exec))
}

pub const DISCARD: Command = Command {
    name: "DISCARD",
    arity: 1,
    flags: COMMON,
    group: Group::Transactions,
    doc: doc("2.0.0", "O(N), when N is the number of queued commands", "Discards a transaction."),
    handler: Handler::Plain(discard),
    ..Command::BASE
};

fn discard(ctx: &mut Ctx, _args: &Args) -> CommandResult {
    if ctx.session()?.transaction.is_none() {
        return Err(CommandError::text("ERR DISCARD without MULTI"));
    }
    let id = ctx.client;
    end_transaction(ctx, id);
    ctx.reply.ok();
    Ok(())
}

fn end_transaction(ctx: &mut Ctx, id: crate::session::ClientId) {
    ctx.sessions.unwatch(id);
    if let Some(client) = ctx.sessions.client_mut(id) {
        client.transaction = None;
        client.watch_broken = false;
    }
}

pub const WATCH: Command = Command {
    name: "WATCH",
    arity: -2,
    flags: COMMON,
    group: Group::Transactions,
    keys: &[KeySpec::range(1, -1, 1, Access::Read, &[])],
    args: "key ...",
    doc: doc(
        "2.2.0",
        "O(1) for every key.",
        "Monitors changes to keys to determine the execution of a transaction.",
    ),
    handler: Handler::Plain(watch),
    ..Command::BASE
};

fn watch(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let client = ctx.session()?;
    if client.transaction.is_some() {
        return Err(CommandError::text("ERR WATCH inside MULTI is not allowed"));
    }
    // Once a watch is broken EXEC fails anyway: nothing more needs watching.
    if !client.watch_broken {
        for key in args.iter().skip(1) {
            let expired = ctx.ks.peek_expired(ctx.db, key, ctx.now);
            ctx.sessions.watch(ctx.client, ctx.db, key, expired);
        }
    }
    ctx.reply.ok();
    Ok(())
}

pub const UNWATCH: Command = Command {
    name: "UNWATCH",
    arity: 1,
    flags: COMMON,
    group: Group::Transactions,
    doc: doc("2.2.0", "O(1)", "Forgets about watched keys of a transaction."),
    handler: Handler::Plain(unwatch),
    ..Command::BASE
};

fn unwatch(ctx: &mut Ctx, _args: &Args) -> CommandResult {
    let id = ctx.client;
    ctx.sessions.unwatch(id);
    ctx.session()?.watch_broken = false;
    ctx.reply.ok();
    Ok(())
}

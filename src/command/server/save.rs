//! SAVE, BGSAVE, BGREWRITEAOF, LASTSAVE, SHUTDOWN: parsed here, done by the engine.

use super::super::{Args, Command, CommandError, Ctx, Flags, Group, Handler, Outcome, Task, doc};

const ADMIN: Flags = Flags::NO_ASYNC_LOADING.or(Flags::ADMIN).or(Flags::NOSCRIPT);
const BASE: Command = Command { flags: ADMIN, group: Group::Server, ..Command::BASE };

pub const SAVE: Command = Command {
    name: "SAVE",
    flags: ADMIN.or(Flags::NO_MULTI),
    doc: doc(
        "1.0.0",
        "O(N) where N is the total number of keys in all databases",
        "Synchronously saves the database(s) to disk.",
    ),
    handler: Handler::Extended(|_, _| Ok(Outcome::Task(Task::Save))),
    ..BASE
};

pub const BGSAVE: Command = Command {
    name: "BGSAVE",
    arity: -1,
    args: "[<SCHEDULE | CANCEL>]",
    doc: super::super::Doc {
        history: &[
            ("3.2.2", "Added the `SCHEDULE` option."),
            ("8.1.0", "Added the `CANCEL` option."),
        ],
        ..doc("1.0.0", "O(1)", "Asynchronously saves the database(s) to disk.")
    },
    handler: Handler::Extended(|_, args| match args.get(1) {
        None => Ok(Outcome::Task(Task::BackgroundSave { schedule: false })),
        Some(word) if args.len() == 2 && word.eq_ignore_ascii_case(b"schedule") => {
            Ok(Outcome::Task(Task::BackgroundSave { schedule: true }))
        }
        Some(word) if args.len() == 2 && word.eq_ignore_ascii_case(b"cancel") => {
            Ok(Outcome::Task(Task::CancelSave))
        }
        Some(_) => Err(CommandError::Syntax),
    }),
    ..BASE
};

pub const BGREWRITEAOF: Command = Command {
    name: "BGREWRITEAOF",
    doc: doc("1.0.0", "O(1)", "Asynchronously rewrites the append-only file to disk."),
    handler: Handler::Extended(|_, _| Ok(Outcome::Task(Task::RewriteLog))),
    ..BASE
};

pub const LASTSAVE: Command = Command {
    name: "LASTSAVE",
    flags: Flags::LOADING.or(Flags::STALE).or(Flags::FAST),
    group: Group::Server,
    categories: &["admin", "dangerous"],
    tips: &["nondeterministic_output"],
    doc: doc("1.0.0", "O(1)", "Returns the Unix timestamp of the last successful save to disk."),
    handler: Handler::Plain(|ctx, _| {
        ctx.reply.int(ctx.server.persistence.last_save_at / 1000);
        Ok(())
    }),
    ..Command::BASE
};

pub const SHUTDOWN: Command = Command {
    name: "SHUTDOWN",
    arity: -1,
    flags: Flags::ADMIN
        .or(Flags::NOSCRIPT)
        .or(Flags::LOADING)
        .or(Flags::STALE)
        .or(Flags::NO_MULTI)
        .or(Flags::SENTINEL)
        .or(Flags::ALLOW_BUSY),
    group: Group::Server,
    args: "[<NOSAVE | SAVE>] [NOW] [FORCE] [ABORT]",
    doc: super::super::Doc {
        history: &[("7.0.0", "Added the `NOW`, `FORCE` and `ABORT` modifiers.")],
        ..doc(
            "1.0.0",
            "O(N) when saving, where N is the total number of keys in all databases when saving \
             data, otherwise O(1)",
            "Synchronously saves the database(s) to disk and shuts down the Redis server.",
        )
    },
    handler: Handler::Extended(shutdown),
    ..Command::BASE
};

fn shutdown(ctx: &mut Ctx, args: &Args) -> Result<Outcome, CommandError> {
    let (mut save, mut now, mut force, mut abort) = (None, false, false, false);
    for at in 1..args.len() {
        if args.is(at, "NOSAVE") && save.is_none() {
            save = Some(false);
        } else if args.is(at, "SAVE") && save.is_none() {
            save = Some(true);
        } else if args.is(at, "NOW") {
            now = true;
        } else if args.is(at, "FORCE") {
            force = true;
        } else if args.is(at, "ABORT") {
            abort = true;
        } else {
            return Err(CommandError::Syntax);
        }
    }
    if abort {
        if save.is_some() || now || force {
            return Err(CommandError::Syntax);
        }
        // Nothing is waited for before exiting, so there is never a shutdown to abort.
        return Err(CommandError::text("ERR No shutdown in progress."));
    }
    if let Some(running) = ctx.server.running_script.as_ref().filter(|_| save != Some(false)) {
        return Err(running.busy_error());
    }
    Ok(Outcome::Task(Task::Shutdown { save, now, force }))
}

//! XGROUP: making, moving and removing consumer groups and their consumers.

use super::id;
use super::no_such_group;
use super::{
    Access, Args, Command, CommandError, CommandResult, Ctx, Doc, Flags, Group, Handler, KeySpec,
    Propagate, doc,
};
use crate::command::error::told;
use crate::command::help::reply_help;
use crate::keyspace::event;
use crate::number::parse_i64;
use crate::types::Stream;
use crate::types::stream;

const SUB: Command = Command {
    arity: 5,
    flags: Flags::WRITE,
    group: Group::Stream,
    propagate: Propagate::AsSent,
    ..Command::BASE
};

pub(super) const XGROUP: Command = Command {
    name: "XGROUP",
    arity: -2,
    group: Group::Stream,
    doc: doc("5.0.0", "Depends on subcommand.", "A container for consumer groups commands."),
    subcommands: &[CREATE, CREATECONSUMER, DELCONSUMER, DESTROY, HELP, SETID],
    ..Command::BASE
};

const CREATE: Command = Command {
    name: "CREATE",
    arity: -5,
    flags: Flags::WRITE.or(Flags::DENYOOM),
    keys: &[KeySpec::at(2, Access::ReadWrite, &["insert"])],
    args: "key group <id | $> [MKSTREAM] [ENTRIESREAD entries-read:integer]",
    doc: Doc {
        history: &[("7.0.0", "Added the `entries_read` named argument.")],
        ..doc("5.0.0", "O(1)", "Creates a consumer group.")
    },
    handler: Handler::Plain(create),
    ..SUB
};

const CREATECONSUMER: Command = Command {
    name: "CREATECONSUMER",
    flags: Flags::WRITE.or(Flags::DENYOOM),
    keys: &[KeySpec::at(2, Access::ReadWrite, &["insert"])],
    args: "key group consumer",
    doc: doc("6.2.0", "O(1)", "Creates a consumer in a consumer group."),
    handler: Handler::Plain(create_consumer),
    ..SUB
};

const DELCONSUMER: Command = Command {
    name: "DELCONSUMER",
    keys: &[KeySpec::at(2, Access::ReadWrite, &["delete"])],
    args: "key group consumer",
    doc: doc("5.0.0", "O(1)", "Deletes a consumer from a consumer group."),
    handler: Handler::Plain(delete_consumer),
    ..SUB
};

const DESTROY: Command = Command {
    name: "DESTROY",
    arity: 4,
    keys: &[KeySpec::at(2, Access::ReadWrite, &["delete"])],
    args: "key group",
    doc: doc(
        "5.0.0",
        "O(N) where N is the number of entries in the group's pending entries list (PEL).",
        "Destroys a consumer group.",
    ),
    handler: Handler::Plain(destroy),
    ..SUB
};

const HELP: Command = Command {
    name: "HELP",
    arity: 2,
    flags: Flags::LOADING.or(Flags::STALE),
    propagate: Propagate::Never,
    doc: doc("5.0.0", "O(1)", "Returns helpful text about the different subcommands."),
    handler: Handler::Plain(help),
    ..SUB
};

const SETID: Command = Command {
    name: "SETID",
    arity: -5,
    keys: &[KeySpec::at(2, Access::ReadWrite, &["update"])],
    args: "key group <id | $> [ENTRIESREAD entries-read:integer]",
    doc: Doc {
        history: &[("7.0.0", "Added the optional `entries_read` argument.")],
        ..doc("5.0.0", "O(1)", "Sets the last-delivered ID of a consumer group.")
    },
    handler: Handler::Plain(set_id),
    ..SUB
};

const NO_KEY: CommandError = CommandError::text(
    "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use \
     the MKSTREAM option to create an empty stream automatically.",
);

/// What may follow the id.
struct Options {
    make_stream: bool,
    entries_read: i64,
}

impl Options {
    fn parse(args: &Args, create: bool) -> Result<Self, CommandError> {
        let mut options = Self { make_stream: false, entries_read: -1 };
        let mut at = 5;
        while at < args.len() {
            if create && args.is(at, "MKSTREAM") {
                options.make_stream = true;
                at += 1;
            } else if args.is(at, "ENTRIESREAD") && at + 1 < args.len() {
                let read = parse_i64(args.at(at + 1)).ok_or(CommandError::NotInteger)?;
                if read < -1 {
                    return Err(CommandError::text(
                        "ERR value for ENTRIESREAD must be positive or -1",
                    ));
                }
                options.entries_read = read;
                at += 2;
            } else {
                return Err(wrong_subcommand(args));
            }
        }
        Ok(options)
    }
}

fn wrong_subcommand(args: &Args) -> CommandError {
    CommandError::owned(format!(
        "ERR unknown subcommand or wrong number of arguments for '{}'. Try XGROUP HELP.",
        told(args.at(1))
    ))
}

fn create(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let options = Options::parse(args, true)?;
    let (key, name) = (args.at(2), args.at(3));
    let last_id = ctx.ks.read::<Stream>(ctx.db, key)?.map(Stream::last_id);
    if last_id.is_none() && !options.make_stream {
        return Err(NO_KEY);
    }
    if args.len() > 8 {
        return Err(wrong_subcommand(args));
    }
    let id = match args.at(4) {
        b"$" => last_id.unwrap_or_default(),
        text => id::parse(text)?,
    };
    let stream = ctx.ks.write_or_create(ctx.db, key, Stream::new)?;
    if !stream.create_group(name, stream::Group::new(id, options.entries_read)) {
        return Err(CommandError::text("BUSYGROUP Consumer Group name already exists"));
    }
    // A key that is new is news to whoever watches it; a group is not.
    if last_id.is_none() {
        ctx.changed(key, event::STREAM, "xgroup-create");
    } else {
        changed(ctx, key, "xgroup-create");
    }
    ctx.reply.ok();
    Ok(())
}

/// A group or a counter changed: an event, but nothing that WATCH looks at.
pub(super) fn changed(ctx: &mut Ctx, key: &[u8], event: &'static str) {
    ctx.ks.changed_quietly(ctx.db, key);
    ctx.ks.effects.event(ctx.db, event::STREAM, event, key);
}

/// The stream at a key, to change a group of it that must be there.
fn stream_with_group<'c>(ctx: &'c mut Ctx, args: &Args) -> Result<&'c mut Stream, CommandError> {
    let (key, name) = (args.at(2), args.at(3));
    let stream = ctx.ks.write::<Stream>(ctx.db, key)?.ok_or(NO_KEY)?;
    if stream.group(name).is_none() {
        return Err(no_such_group(key, name));
    }
    Ok(stream)
}

fn set_id(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let options = Options::parse(args, false)?;
    let stream = stream_with_group(ctx, args)?;
    if args.len() > 7 {
        return Err(wrong_subcommand(args));
    }
    let id = match args.at(4) {
        b"$" => stream.last_id(),
        text => id::parse_any(text, 0)?,
    };
    if let Some(group) = stream.group_mut(args.at(3)) {
        group.last_id = id;
        group.entries_read = options.entries_read;
    }
    // Who waits for new entries waits on, as in Redis, although older ones are new to the group now.
    ctx.ks.changed_unseen(ctx.db, args.at(2));
    ctx.ks.effects.event(ctx.db, event::STREAM, "xgroup-setid", args.at(2));
    ctx.reply.ok();
    Ok(())
}

fn destroy(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let (key, name) = (args.at(2), args.at(3));
    let stream = ctx.ks.write::<Stream>(ctx.db, key)?.ok_or(NO_KEY)?;
    let destroyed = stream.destroy_group(name);
    if destroyed {
        changed(ctx, key, "xgroup-destroy");
    }
    ctx.reply.flag(destroyed);
    Ok(())
}

fn create_consumer(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let now = ctx.now;
    let stream = stream_with_group(ctx, args)?;
    let group = stream.group_mut(args.at(3));
    let created = group.and_then(|group| group.create_consumer(args.at(4), now)).is_some();
    if created {
        changed(ctx, args.at(2), "xgroup-createconsumer");
    }
    ctx.reply.flag(created);
    Ok(())
}

fn delete_consumer(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let stream = stream_with_group(ctx, args)?;
    let group = stream.group_mut(args.at(3));
    let pending = group.and_then(|group| group.delete_consumer(args.at(4)));
    if pending.is_some() {
        changed(ctx, args.at(2), "xgroup-delconsumer");
    }
    ctx.reply.count(pending.unwrap_or(0));
    Ok(())
}

fn help(ctx: &mut Ctx, _args: &Args) -> CommandResult {
    reply_help(
        ctx,
        "XGROUP",
        &[
            "CREATE <key> <groupname> <id|$> [option]",
            "    Create a new consumer group. Options are:",
            "    * MKSTREAM",
            "      Create the empty stream if it does not exist.",
            "    * ENTRIESREAD entries_read",
            "      Set the group's entries_read counter (internal use).",
            "CREATECONSUMER <key> <groupname> <consumer>",
            "    Create a new consumer in the specified group.",
            "DELCONSUMER <key> <groupname> <consumer>",
            "    Remove the specified consumer.",
            "DESTROY <key> <groupname>",
            "    Remove the specified group.",
            "SETID <key> <groupname> <id|$> [ENTRIESREAD entries_read]",
            "    Set the current group ID and entries_read counter.",
        ],
    )
}

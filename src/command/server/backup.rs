//! BACKUP: a consistent copy of the log's files in a directory beside it, by hard links, as in Redis 8.10.
//!
//! The commands read and change [`BackupFacts`]; the work is the engine's (`engine::backup`).

use super::super::ctx::Task;
use super::super::help::reply_help;
use super::super::{
    Args, Command, CommandError, CommandResult, Ctx, Flags, Group, Handler, Outcome, doc,
};
use crate::clock::UnixMillis;

/// What the commands ask the engine for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackupRequest {
    Start,
    Seal,
    Abort,
    Cleanup,
}

/// How far a backup is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BackupState {
    #[default]
    Idle,
    /// It waits for another job to end.
    Pending,
    Snapshotting,
    /// The base is there, and the log behind it grows.
    Incrementing,
    Sealed,
    Failed,
}

impl BackupState {
    /// As STATUS shows it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Pending => "pending",
            Self::Snapshotting => "snapshotting",
            Self::Incrementing => "incrementing",
            Self::Sealed => "sealed",
            Self::Failed => "failed",
        }
    }

    /// Whether it has begun and is neither whole nor given up.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Pending | Self::Snapshotting | Self::Incrementing)
    }
}

/// What is known of the last backup.
#[derive(Clone, Debug, Default)]
pub struct BackupFacts {
    pub state: BackupState,
    pub error: String,
    /// When it was started and sealed; 0: it was not.
    pub started_at: UnixMillis,
    pub sealed_at: UnixMillis,
    /// Its files as far as they do not change any more, inside the data directory.
    pub files: Vec<String>,
}

const FLAGS: Flags = Flags::ADMIN.or(Flags::NOSCRIPT);
/// Not inside MULTI: EXEC does not wait, and OK means that the files are whole, or gone.
const FLAGS_ALONE: Flags = FLAGS.or(Flags::NO_MULTI);

const fn subcommand(
    name: &'static str,
    summary: &'static str,
    handler: fn(&mut Ctx, &Args) -> Result<Outcome, CommandError>,
) -> Command {
    Command {
        name,
        arity: 2,
        flags: FLAGS,
        doc: doc("8.10.0", "O(1)", summary),
        handler: Handler::Extended(handler),
        ..Command::BASE
    }
}

pub const BACKUP: Command = Command {
    name: "BACKUP",
    arity: -2,
    group: Group::Server,
    doc: doc("8.10.0", "Depends on subcommand.", "A container for backup commands."),
    subcommands: &[
        Command {
            flags: FLAGS_ALONE,
            ..subcommand("ABORT", "Gives a backup up that is not sealed yet.", |_, _| {
                Ok(Outcome::Task(Task::Backup(BackupRequest::Abort)))
            })
        },
        Command {
            flags: FLAGS_ALONE,
            ..subcommand("CLEANUP", "Removes the files of a sealed or failed backup.", |_, _| {
                Ok(Outcome::Task(Task::Backup(BackupRequest::Cleanup)))
            })
        },
        Command {
            name: "HELP",
            arity: 2,
            flags: Flags::LOADING.or(Flags::STALE),
            doc: doc("8.10.0", "O(1)", "Returns helpful text about the different subcommands."),
            handler: Handler::Plain(help),
            ..Command::BASE
        },
        Command {
            name: "LIST",
            arity: 2,
            flags: FLAGS.or(Flags::STALE),
            doc: doc(
                "8.10.0",
                "O(1)",
                "Lists the files of the backup that do not change any more.",
            ),
            handler: Handler::Plain(list),
            ..Command::BASE
        },
        Command {
            flags: FLAGS_ALONE,
            ..subcommand(
                "SEAL",
                "Ends the backup at this moment; its files are whole then.",
                |_, _| Ok(Outcome::Task(Task::Backup(BackupRequest::Seal))),
            )
        },
        subcommand("START", "Starts a backup into the directory `backupdirname`.", |_, _| {
            Ok(Outcome::Task(Task::Backup(BackupRequest::Start)))
        }),
        Command {
            name: "STATUS",
            arity: 2,
            flags: FLAGS.or(Flags::STALE),
            doc: doc("8.10.0", "O(1)", "Tells how far the backup is."),
            handler: Handler::Plain(status),
            ..Command::BASE
        },
    ],
    ..Command::BASE
};

fn status(ctx: &mut Ctx, _args: &Args) -> CommandResult {
    let facts = &ctx.server.backup;
    ctx.reply.map(4);
    for (name, value) in [
        ("state", facts.state.name()),
        ("error", &facts.error),
        ("start_time", &(facts.started_at / 1000).to_string()),
        ("end_time", &(facts.sealed_at / 1000).to_string()),
    ] {
        ctx.reply.bulk(name.as_bytes());
        ctx.reply.bulk(value.as_bytes());
    }
    Ok(())
}

fn list(ctx: &mut Ctx, _args: &Args) -> CommandResult {
    let files = &ctx.server.backup.files;
    let dir = ctx.server.config.dir.trim_end_matches('/');
    ctx.reply.array(files.len());
    for file in files {
        ctx.reply.bulk(format!("{dir}/{file}").as_bytes());
    }
    Ok(())
}

fn help(ctx: &mut Ctx, _args: &Args) -> CommandResult {
    reply_help(
        ctx,
        "BACKUP",
        &[
            "ABORT",
            "    Give the backup up that is under way.",
            "CLEANUP",
            "    Remove the files of a sealed or failed backup.",
            "LIST",
            "    Return the paths of the backup's files that do not change any more.",
            "SEAL",
            "    End the backup at this moment: its files are whole then.",
            "START",
            "    Start a backup into the directory that `backupdirname` names.",
            "STATUS",
            "    Return state, error, start time and end time of the backup.",
        ],
    )
}

//! SLOWLOG: the commands that took longer than `slowlog-log-slower-than`, newest first.
//!
//! `engine::execute` notes each command once its time is known. Entries are cut as Redis cuts them, so that
//! the log stays small whatever clients send, and secrets never get in.

use std::collections::VecDeque;

use super::super::help::reply_help;
use super::super::{
    Args, Command, CommandError, CommandResult, Ctx, Doc, Flags, Group, Handler, doc,
};
use crate::command::error::told;
use crate::config::is_secret;
use crate::number;
use crate::resp::Reply;

const ARGUMENTS_MAX: usize = 32;
const ARGUMENT_BYTES_MAX: usize = 128;
const REDACTED: &[u8] = b"(redacted)";

/// The log itself.
#[derive(Clone, Debug, Default)]
pub struct SlowLog {
    /// Newest first.
    entries: VecDeque<SlowEntry>,
    /// Numbers go on after a reset.
    next_id: i64,
}

/// One slow command.
#[derive(Clone, Debug, PartialEq, Eq)]
struct SlowEntry {
    id: i64,
    /// Unix seconds when it ended.
    at: i64,
    took_us: i64,
    args: Vec<Vec<u8>>,
    address: String,
    name: Vec<u8>,
}

impl SlowLog {
    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Drops all entries; numbers go on.
    pub fn clear(&mut self) {
        self.entries.clear();
    }

    /// Writes the newest `count` entries.
    pub fn write(&self, count: usize, reply: &mut Reply) {
        reply.array(self.entries.len().min(count));
        for entry in self.entries.iter().take(count) {
            reply.array(6);
            reply.int(entry.id);
            reply.int(entry.at);
            reply.int(entry.took_us);
            reply.array(entry.args.len());
            for arg in &entry.args {
                reply.bulk(arg);
            }
            reply.bulk(entry.address.as_bytes());
            reply.bulk(&entry.name);
        }
    }

    /// Adds a command, and drops the oldest entries beyond `len_max`.
    pub fn note(
        &mut self,
        args: &Args,
        (at, took_us): (i64, u64),
        (address, name): (&str, &[u8]),
        len_max: u64,
    ) {
        let entry = SlowEntry {
            id: self.next_id,
            at,
            took_us: took_us.cast_signed(),
            args: cut(args),
            address: address.to_owned(),
            name: name.to_vec(),
        };
        self.next_id += 1;
        self.entries.push_front(entry);
        self.entries.truncate(usize::try_from(len_max).unwrap_or(usize::MAX));
    }
}

/// The arguments as they are kept: not too many, not too long, no secrets.
fn cut(args: &Args) -> Vec<Vec<u8>> {
    let kept = args.len().min(ARGUMENTS_MAX);
    let cut_one = |at: usize| {
        if kept < args.len() && at == kept - 1 {
            return format!("... ({} more arguments)", args.len() - kept + 1).into_bytes();
        }
        if holds_secret(args, at) {
            return REDACTED.to_vec();
        }
        let arg = args.at(at);
        let mut shown = arg.get(..ARGUMENT_BYTES_MAX).unwrap_or(arg).to_vec();
        if arg.len() > ARGUMENT_BYTES_MAX {
            let more = arg.len() - ARGUMENT_BYTES_MAX;
            shown.extend_from_slice(format!("... ({more} more bytes)").as_bytes());
        }
        shown
    };
    (0..kept).map(cut_one).collect()
}

/// Whether argument `at` is a password or names a user together with one.
pub(super) fn holds_secret(args: &Args, at: usize) -> bool {
    if args.is(0, "AUTH") {
        return at > 0;
    }
    if args.is(0, "HELLO") {
        return at > 2 && (args.is(at - 1, "AUTH") || args.is(at - 2, "AUTH"));
    }
    if args.is(0, "ACL") {
        return at > 1 && ["SETUSER", "GETUSER", "DELUSER"].iter().any(|sub| args.is(1, sub));
    }
    if args.is(0, "MIGRATE") {
        return is_migrate_secret(args, at);
    }
    let value = at > 2 && at % 2 == 1;
    value && args.is(0, "CONFIG") && args.is(1, "SET") && is_secret(args.at(at - 1))
}

/// Whether argument `at` of MIGRATE belongs to AUTH or AUTH2. Behind KEYS there are only keys.
fn is_migrate_secret(args: &Args, at: usize) -> bool {
    let mut option = 6;
    while option < at && !args.is(option, "KEYS") {
        let secrets = if args.is(option, "AUTH") {
            1
        } else if args.is(option, "AUTH2") {
            2
        } else {
            0
        };
        if at <= option + secrets {
            return true;
        }
        option += 1 + secrets;
    }
    false
}

const SUB: Command = Command {
    flags: Flags::ADMIN.or(Flags::LOADING).or(Flags::STALE),
    group: Group::Server,
    ..Command::BASE
};

pub const SLOWLOG: Command = Command {
    name: "SLOWLOG",
    arity: -2,
    group: Group::Server,
    doc: doc("2.2.12", "Depends on subcommand.", "A container for slow log commands."),
    subcommands: &[
        Command {
            name: "GET",
            arity: -2,
            args: "[count:integer]",
            tips: &["request_policy:all_nodes", "nondeterministic_output"],
            doc: Doc {
                history: &[("4.0.0", "Added client IP address, port and name to the reply.")],
                ..doc(
                    "2.2.12",
                    "O(N) where N is the number of entries returned",
                    "Returns the slow log's entries.",
                )
            },
            handler: Handler::Plain(get),
            ..SUB
        },
        Command {
            name: "HELP",
            arity: 2,
            flags: Flags::LOADING.or(Flags::STALE),
            doc: doc("6.2.0", "O(1)", "Show helpful text about the different subcommands"),
            handler: Handler::Plain(help),
            ..SUB
        },
        Command {
            name: "LEN",
            arity: 2,
            tips: &[
                "request_policy:all_nodes",
                "response_policy:agg_sum",
                "nondeterministic_output",
            ],
            doc: doc("2.2.12", "O(1)", "Returns the number of entries in the slow log."),
            handler: Handler::Plain(|ctx, _| {
                ctx.reply.count(ctx.server.slow_log.len());
                Ok(())
            }),
            ..SUB
        },
        Command {
            name: "RESET",
            arity: 2,
            tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
            doc: doc(
                "2.2.12",
                "O(N) where N is the number of entries in the slowlog",
                "Clears all entries from the slow log.",
            ),
            handler: Handler::Plain(|ctx, _| {
                ctx.server.slow_log.clear();
                ctx.reply.ok();
                Ok(())
            }),
            ..SUB
        },
    ],
    ..Command::BASE
};

fn get(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let count = match args.get(2) {
        _ if args.len() > 3 => {
            return Err(CommandError::owned(format!(
                "ERR unknown subcommand or wrong number of arguments for '{}'. Try SLOWLOG HELP.",
                told(args.at(1))
            )));
        }
        None => 10,
        Some(count) => match number::parse_i64(count) {
            Some(-1) => usize::MAX,
            count => count
                .and_then(|count| usize::try_from(count).ok())
                .ok_or(CommandError::text("ERR count should be greater than or equal to -1"))?,
        },
    };
    ctx.server.slow_log.write(count, ctx.reply);
    Ok(())
}

fn help(ctx: &mut Ctx, _args: &Args) -> CommandResult {
    reply_help(
        ctx,
        "SLOWLOG",
        &[
            "GET [<count>]",
            "    Return top <count> entries from the slowlog (default: 10, -1 mean all).",
            "    Entries are made of:",
            "    id, timestamp, time in microseconds, arguments array, client IP and port,",
            "    client name",
            "LEN",
            "    Return the length of the slowlog.",
            "RESET",
            "    Reset the slowlog.",
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::OwnedArgs;

    fn kept(args: &[&[u8]]) -> Vec<String> {
        let owned = OwnedArgs::from_slices(args.iter().copied());
        let kept = cut(&owned.as_args());
        kept.iter().map(|arg| String::from_utf8_lossy(arg).into_owned()).collect()
    }

    #[test]
    fn entries_are_cut_as_redis_cuts_them() {
        let long = vec![b'v'; 129];
        let mut args: Vec<&[u8]> = vec![b"mset"];
        args.resize(81, &long);
        let kept = kept(&args);
        assert_eq!(kept.len(), 32);
        assert!(kept[1].ends_with("v... (1 more bytes)"));
        assert_eq!(kept[31], "... (50 more arguments)");
    }

    #[test]
    fn secrets_are_not_kept() {
        assert_eq!(kept(&[b"auth", b"u", b"p"]), ["auth", "(redacted)", "(redacted)"]);
        assert_eq!(
            kept(&[b"hello", b"3", b"AUTH", b"u", b"p", b"SETNAME", b"n"]),
            ["hello", "3", "AUTH", "(redacted)", "(redacted)", "SETNAME", "n"]
        );
        assert_eq!(
            kept(&[b"config", b"set", b"requirepass", b"p", b"port", b"1"]),
            ["config", "set", "requirepass", "(redacted)", "port", "1"]
        );
        let migrate = |rest: &[&'static [u8]]| {
            let mut args: Vec<&[u8]> = vec![b"migrate", b"h", b"1", b"", b"0", b"5"];
            args.extend(rest);
            kept(&args).split_off(6)
        };
        assert_eq!(
            migrate(&[b"COPY", b"AUTH", b"p", b"KEYS", b"AUTH", b"k"]),
            ["COPY", "AUTH", "(redacted)", "KEYS", "AUTH", "k"]
        );
        assert_eq!(
            migrate(&[b"AUTH2", b"AUTH", b"p", b"REPLACE"]),
            ["AUTH2", "(redacted)", "(redacted)", "REPLACE"]
        );
    }

    #[test]
    fn the_oldest_entries_leave() {
        let mut log = SlowLog::default();
        let owned = OwnedArgs::from_slices([b"ping".as_slice()]);
        for _ in 0..5 {
            log.note(&owned.as_args(), (1, 2), ("a", b""), 3);
        }
        assert_eq!(log.entries.iter().map(|entry| entry.id).collect::<Vec<_>>(), [4, 3, 2]);
    }
}

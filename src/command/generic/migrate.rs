//! MIGRATE: keys go to another server, and leave this one when they are there.
//!
//! The handler collects what is to be sent, in the form of DUMP; the engine sends it (`engine::migrate`).

use std::collections::HashSet;
use std::time::Duration;

use super::super::ctx::Task;
use super::super::keyspec::{Begin, Find};
use super::super::{
    Access, Args, Command, CommandError, Ctx, Doc, Flags, Group, Handler, KeySpec, Outcome,
    Propagate, doc,
};
use crate::clock::UnixMillis;
use crate::number;
use crate::snapshot::dump;
use crate::snapshot::view::with_view;

/// What MIGRATE has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migration {
    pub host: String,
    pub port: String,
    /// The database on the other server, and here.
    pub target_db: i64,
    pub db: usize,
    /// For connecting, and for each time that the other server is waited for.
    pub timeout: Duration,
    /// The keys stay here.
    pub copy: bool,
    /// Keys that are there already are replaced.
    pub replace: bool,
    /// The password, behind the user's name if there is one.
    pub credentials: Vec<Vec<u8>>,
    pub keys: Vec<MigratedKey>,
    /// The client waits, and others are served meanwhile; not inside transactions and scripts.
    pub in_background: bool,
}

/// A key on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigratedKey {
    pub name: Vec<u8>,
    pub expire: Option<UnixMillis>,
    /// As DUMP has it.
    pub payload: Vec<u8>,
}

impl MigratedKey {
    /// One that was sent and is gone here since: it is to go there as well.
    pub fn gone(name: &[u8]) -> Self {
        Self { name: name.to_vec(), expire: None, payload: Vec::new() }
    }

    /// Whether it is such a one; DUMP never gives nothing.
    pub fn is_gone(&self) -> bool {
        self.payload.is_empty()
    }
}

pub(super) const MIGRATE: Command = Command {
    name: "MIGRATE",
    arity: -6,
    flags: Flags::WRITE.or(Flags::MOVABLE_KEYS),
    group: Group::Generic,
    keys: &[
        KeySpec::at(3, Access::ReadWrite, &["access", "delete"]),
        KeySpec {
            begin: Begin::Keyword("KEYS", -2),
            find: Find::Range { last: -1, step: 1, limit: 0 },
            access: Access::ReadWrite,
            notes: &["access", "delete", "incomplete"],
        },
    ],
    key_finder: Some(|args| match keyword(args) {
        Some(at) => (at + 1..args.len()).collect(),
        None => vec![3],
    }),
    args: "host:string port:integer <key:key | empty-string:string> destination-db:integer timeout:integer [COPY] [REPLACE] [<AUTH auth:string | AUTH2 <username:string password:string>>] [KEYS keys:key ...]",
    propagate: Propagate::Effect,
    categories: &["keyspace", "dangerous"],
    tips: &["nondeterministic_output"],
    doc: Doc {
        history: &[
            ("3.0.0", "Added the `COPY` and `REPLACE` options."),
            ("3.0.6", "Added the `KEYS` option."),
            ("4.0.7", "Added the `AUTH` option."),
            ("6.0.0", "Added the `AUTH2` option."),
        ],
        ..doc(
            "2.6.0",
            "This command actually executes a DUMP+DEL in the source instance, and a RESTORE in the target instance. See the pages of these commands for time complexity. Also an O(N) data transfer between the two instances is performed.",
            "Moves keys to another server.",
        )
    },
    handler: Handler::Extended(migrate),
    ..Command::BASE
};

/// Where KEYS is, when the key itself is empty.
fn keyword(args: &Args) -> Option<usize> {
    let mut at = 6;
    while at < args.len() && args.at(3).is_empty() {
        if args.is(at, "KEYS") {
            return Some(at);
        }
        at += match () {
            () if args.is(at, "AUTH") => 2,
            () if args.is(at, "AUTH2") => 3,
            () => 1,
        };
    }
    None
}

fn migrate(ctx: &mut Ctx, args: &Args) -> Result<Outcome, CommandError> {
    let (mut copy, mut replace) = (false, false);
    let mut credentials = Vec::new();
    let mut names = 3..4;
    let mut at = 6;
    while at < args.len() {
        let left = args.len() - at - 1;
        if args.is(at, "COPY") {
            copy = true;
        } else if args.is(at, "REPLACE") {
            replace = true;
        } else if args.is(at, "AUTH") && left >= 1 {
            credentials = vec![args.at(at + 1).to_vec()];
            at += 1;
        } else if args.is(at, "AUTH2") && left >= 2 {
            credentials = vec![args.at(at + 1).to_vec(), args.at(at + 2).to_vec()];
            at += 2;
        } else if args.is(at, "KEYS") {
            if !args.at(3).is_empty() {
                return Err(CommandError::text(
                    "ERR When using MIGRATE KEYS option, the key argument must be set to the empty \
                     string",
                ));
            }
            names = at + 1..args.len();
            break;
        } else {
            return Err(CommandError::Syntax);
        }
        at += 1;
    }
    let timeout = number::parse_i64(args.at(5)).ok_or(CommandError::NotInteger)?;
    let target_db = number::parse_i64(args.at(4)).ok_or(CommandError::NotInteger)?;
    let timeout_ms = if timeout <= 0 { 1000 } else { timeout.unsigned_abs() };
    // One that is named twice goes once.
    let mut seen = HashSet::new();
    let names = names.map(|at| args.at(at)).filter(|name| seen.insert(*name));
    let keys: Vec<MigratedKey> = names.filter_map(|name| collect(ctx, name)).collect();
    if keys.is_empty() {
        ctx.reply.simple("NOKEY");
        return Ok(Outcome::Replied);
    }
    let text = |at| String::from_utf8_lossy(args.at(at)).into_owned();
    Ok(Outcome::Task(Task::Migrate(Box::new(Migration {
        host: text(1),
        port: text(2),
        target_db,
        db: ctx.db,
        timeout: Duration::from_millis(timeout_ms),
        copy,
        replace,
        credentials,
        keys,
        in_background: ctx.may_wait(),
    }))))
}

fn collect(ctx: &mut Ctx, name: &[u8]) -> Option<MigratedKey> {
    let entry = ctx.ks.lookup(ctx.db, name)?;
    let mut payload = Vec::new();
    with_view(entry.value(), |view| dump::dump(&mut payload, view));
    Some(MigratedKey { name: name.to_vec(), expire: entry.expire_at(), payload })
}

//! The line of CLIENT LIST and CLIENT INFO, and the filters that CLIENT LIST and KILL share.

use super::super::{Args, CommandError};
use crate::acl::Acl;
use crate::clock::UnixMillis;
use crate::command::error::told;
use crate::number;
use crate::session::{Client, ClientId, Durability, UserId};

/// One client as CLIENT LIST shows it; `arguments`: the bytes of the request that it is served
/// with, if it is.
pub fn describe(client: &Client, now: UnixMillis, arguments: usize) -> String {
    let (age, idle) = client.age_and_idle(now);
    let text = |bytes: &[u8]| told(bytes).into_owned();
    let command = match (client.last_command, client.last_subcommand) {
        ("NULL", _) => "NULL".to_owned(),
        (command, "") => command.to_lowercase(),
        (command, sub) => format!("{}|{}", command.to_lowercase(), sub.to_lowercase()),
    };
    let queued = client
        .transaction
        .as_ref()
        .map_or(-1, |transaction| i64::try_from(transaction.queue.len()).unwrap_or(i64::MAX));
    let output = Output::of(client);
    let arguments = arguments + client.waiting_bytes;
    // Only where a connection chose it: others have the line that every tool knows.
    let durability = match client.durability {
        Durability::Default => String::new(),
        chosen => format!(" durability={}", chosen.name()),
    };
    format!(
        "id={} addr={} laddr={} fd={} name={} age={age} idle={idle} flags={} db={} sub={} psub={} \
         ssub={} multi={queued} watch={} qbuf={} qbuf-free={} argv-mem={arguments} multi-mem={} rbs={OUTPUT_BLOCK} rbp={} \
         obl={} oll={} omem={} tot-mem={} events=r cmd={command} user={} redir={} resp={} lib-name={} \
         lib-ver={} io-thread={} tot-net-in={} tot-net-out={} tot-cmds={}{durability}",
        client.id.0,
        client.address,
        client.local_address,
        client.fd,
        text(&client.name),
        flags(client),
        client.db,
        client.subscriptions,
        client.pattern_subscriptions,
        client.shard_subscriptions,
        client.watched.len(),
        client.buffers.query(),
        client.buffers.query_memory().saturating_sub(client.buffers.query()),
        client.queued_bytes(),
        output.first,
        output.first,
        output.blocks,
        output.memory,
        client.memory_bytes(),
        client.user.as_deref().unwrap_or("default"),
        super::tracking::redirection(client.tracking.as_deref()),
        if client.resp3 { 3 } else { 2 },
        text(&client.library_name),
        text(&client.library_version),
        client.reactor,
        client.input_bytes,
        client.output_bytes,
        client.commands,
    )
}

/// Bytes of output that count as the first buffer (`obl`); what is beyond counts as a list (`oll`, `omem`).
const OUTPUT_BLOCK: usize = 16 * 1024;

/// The unsent output of a client in the terms of CLIENT LIST. It is one buffer here.
struct Output {
    first: usize,
    blocks: usize,
    memory: usize,
}

impl Output {
    fn of(client: &Client) -> Self {
        let (bytes, memory) = (client.buffers.output(), client.buffers.output_memory());
        let beyond = bytes.saturating_sub(OUTPUT_BLOCK);
        Self {
            first: bytes.min(OUTPUT_BLOCK),
            blocks: beyond.div_ceil(OUTPUT_BLOCK),
            memory: if beyond == 0 { 0 } else { memory.saturating_sub(OUTPUT_BLOCK) },
        }
    }
}

fn flags(client: &Client) -> String {
    let mut shown = String::new();
    let tracking = client.tracking.as_deref();
    for (set, letter) in [
        (client.flags.replica, 'S'),
        (client.flags.monitor, 'O'),
        (client.is_subscribed(), 'P'),
        (client.transaction.is_some(), 'x'),
        (client.blocked, 'b'),
        (tracking.is_some(), 't'),
        (tracking.is_some_and(|on| on.redirect_broken), 'R'),
        (tracking.is_some_and(|on| on.prefixes().is_some()), 'B'),
        (client.watch_broken, 'd'),
        (client.flags.close_after_reply, 'c'),
        (client.flags.unix_socket, 'U'),
        (client.flags.readonly, 'r'),
        (client.flags.no_evict, 'e'),
        (client.flags.no_touch, 'T'),
    ] {
        if set {
            shown.push(letter);
        }
    }
    if shown.is_empty() {
        shown.push('N');
    }
    shown
}

/// Which clients CLIENT LIST shows or CLIENT KILL ends.
#[derive(Clone, Debug, Default)]
pub struct ClientFilter {
    ids: Vec<ClientId>,
    address: Option<Vec<u8>>,
    local_address: Option<Vec<u8>>,
    class: Option<ClientClass>,
    user: Option<UserId>,
    min_age_s: Option<u64>,
    /// KILL leaves the caller alone unless told otherwise.
    pub skip_me: bool,
}

/// Client classes, as TYPE names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientClass {
    Normal,
    PubSub,
    /// There are none here, but the name is known.
    Master,
    Replica,
}

impl ClientClass {
    /// By its name.
    pub fn parse(name: &[u8]) -> Option<Self> {
        const NAMES: &[(&str, ClientClass)] = &[
            ("normal", ClientClass::Normal),
            ("pubsub", ClientClass::PubSub),
            ("master", ClientClass::Master),
            ("replica", ClientClass::Replica),
            ("slave", ClientClass::Replica),
        ];
        let same = |(known, _): &&(&str, Self)| name.eq_ignore_ascii_case(known.as_bytes());
        NAMES.iter().find(same).map(|(_, class)| *class)
    }

    fn of(client: &Client) -> Self {
        match client.flags.replica {
            true => Self::Replica,
            false if client.is_subscribed() => Self::PubSub,
            false => Self::Normal,
        }
    }
}

impl ClientFilter {
    /// Reads `NAME value` pairs from argument `at` on.
    pub fn parse(args: &Args, mut at: usize, acl: &Acl) -> Result<Self, CommandError> {
        let mut filter = Self { skip_me: true, ..Self::default() };
        while at < args.len() {
            let value = args.get(at + 1).ok_or(CommandError::Syntax)?;
            if args.is(at, "ID") {
                let id = number::parse_i64(value)
                    .filter(|id| *id > 0)
                    .ok_or(CommandError::text("ERR client-id should be greater than 0"))?;
                filter.ids.push(ClientId(id.unsigned_abs()));
            } else if args.is(at, "TYPE") {
                let class = ClientClass::parse(value).ok_or_else(|| unknown_type(value))?;
                filter.class = Some(class);
            } else if args.is(at, "ADDR") {
                filter.address = Some(value.to_vec());
            } else if args.is(at, "LADDR") {
                filter.local_address = Some(value.to_vec());
            } else if args.is(at, "USER") {
                let user = acl.handle(value).ok_or_else(|| {
                    let name = String::from_utf8_lossy(value);
                    CommandError::owned(format!("ERR No such user '{name}'"))
                })?;
                filter.user = Some(user.id);
            } else if args.is(at, "MAXAGE") {
                let age = number::parse_i64(value)
                    .ok_or(CommandError::text("ERR maxage is not an integer or out of range"))?;
                if age <= 0 {
                    return Err(CommandError::text("ERR maxage should be greater than 0"));
                }
                filter.min_age_s = Some(age.unsigned_abs());
            } else if args.is(at, "SKIPME") {
                filter.skip_me = if value.eq_ignore_ascii_case(b"yes") {
                    true
                } else if value.eq_ignore_ascii_case(b"no") {
                    false
                } else {
                    return Err(CommandError::Syntax);
                };
            } else {
                return Err(CommandError::Syntax);
            }
            at += 2;
        }
        Ok(filter)
    }

    /// Only these ids.
    pub fn only(ids: Vec<ClientId>) -> Self {
        Self { ids, ..Self::default() }
    }

    /// Only clients of a class.
    pub fn class(class: ClientClass) -> Self {
        Self { class: Some(class), ..Self::default() }
    }

    /// Only the client at an address.
    pub fn address(address: &[u8]) -> Self {
        Self { address: Some(address.to_vec()), ..Self::default() }
    }

    /// Whether a client is meant.
    pub fn matches(&self, client: &Client, now: UnixMillis) -> bool {
        let is = |wanted: &Option<Vec<u8>>, actual: &str| {
            wanted.as_ref().is_none_or(|wanted| wanted == actual.as_bytes())
        };
        !client.flags.internal
            && !client.flags.ended
            && (self.ids.is_empty() || self.ids.contains(&client.id))
            && is(&self.address, &client.address)
            && is(&self.local_address, &client.local_address)
            && self.class.is_none_or(|class| class == ClientClass::of(client))
            && self.user.is_none_or(|user| {
                user == client.user.as_ref().map_or(UserId::DEFAULT, |user| user.id)
            })
            && self.min_age_s.is_none_or(|age| client.age_and_idle(now).0 >= age)
    }
}

/// The error of an unknown class.
pub fn unknown_type(name: &[u8]) -> CommandError {
    CommandError::owned(format!("ERR Unknown client type '{}'", String::from_utf8_lossy(name)))
}

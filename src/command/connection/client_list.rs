//! The line of CLIENT LIST and CLIENT INFO.

use crate::clock::UnixMillis;
use crate::command::error::told_lossy;
use crate::session::{Client, Durability};

/// One client as CLIENT LIST shows it; `arguments`: the bytes of the request that it is served
/// with, if it is.
pub fn describe(client: &Client, now: UnixMillis, arguments: usize) -> Vec<u8> {
    let (age, idle) = client.age_and_idle(now);
    let text = |bytes: &[u8]| told_lossy(bytes).into_owned();
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
    let capabilities = if client.flags.follows_redirects { " capa=r" } else { "" };
    let durability = match client.durability {
        Durability::Default => String::new(),
        chosen => format!(" durability={}", chosen.name()),
    };
    let mut line = format!(
        "id={} addr={} laddr={} fd={} name={} age={age} idle={idle} flags={}{capabilities} db={} sub={} psub={} \
         ssub={} multi={queued} watch={} qbuf={} qbuf-free={} argv-mem={arguments} multi-mem={} rbs={OUTPUT_BLOCK} rbp={} \
         obl={} oll={} omem={} tot-mem={} events=r cmd={command} user=",
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
    )
    .into_bytes();
    // The one field that need not be text.
    line.extend_from_slice(client.user.as_deref().unwrap_or(b"default"));
    let rest = format!(
        " redir={} resp={} lib-name={} lib-ver={} io-thread={} tot-net-in={} tot-net-out={} \
         tot-cmds={}{durability}",
        super::tracking::redirection(client.tracking.as_deref()),
        if client.resp3 { 3 } else { 2 },
        text(&client.library_name),
        text(&client.library_version),
        client.reactor,
        client.input_bytes,
        client.output_bytes,
        client.commands,
    );
    line.extend_from_slice(rest.as_bytes());
    line
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

/// The flags of a client, a letter each.
pub(super) fn flags(client: &Client) -> String {
    let mut shown = String::new();
    let tracking = client.tracking.as_deref();
    for (set, letter) in [
        (client.flags.replica, 'S'),
        (client.flags.monitor, 'O'),
        (client.is_subscribed(), 'P'),
        (client.transaction.is_some(), 'x'),
        (client.blocked || client.postponed, 'b'),
        (tracking.is_some(), 't'),
        (tracking.is_some_and(|on| on.redirect_broken), 'R'),
        (tracking.is_some_and(|on| on.prefixes().is_some()), 'B'),
        (client.watch_broken, 'd'),
        (client.flags.close_after_reply, 'c'),
        (client.flags.unix_socket, 'U'),
        (client.flags.readonly, 'r'),
        (client.flags.no_evict, 'e'),
        (client.flags.no_touch, 'T'),
        (client.flags.import_source, 'I'),
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

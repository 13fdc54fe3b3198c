//! Which arguments of a request name channels. (Keys: `command::keyspec`.)

use crate::command::table::Row;
use crate::resp::Args;

/// Whether the arguments are patterns, and where they end: one channel, or all that follow.
struct Channels {
    command: &'static str,
    patterns: bool,
    only_one: bool,
}

/// Leaving a channel needs no permission.
const CHANNELS: &[Channels] = &[
    Channels { command: "PUBLISH", patterns: false, only_one: true },
    Channels { command: "SPUBLISH", patterns: false, only_one: true },
    Channels { command: "SUBSCRIBE", patterns: false, only_one: false },
    Channels { command: "SSUBSCRIBE", patterns: false, only_one: false },
    Channels { command: "PSUBSCRIBE", patterns: true, only_one: false },
];

/// The places of the channels that a request sends to or listens to, and whether they are patterns.
pub fn channels(row: &Row, args: &Args) -> Option<(std::ops::Range<usize>, bool)> {
    // Only these commands have a channel among their arguments, and all are of this group.
    if row.container.is_some() || row.command.group != crate::command::Group::PubSub {
        return None;
    }
    let known = CHANNELS.iter().find(|known| known.command == row.command.name)?;
    let end = if known.only_one { 2 } else { args.len() };
    Some((1..end, known.patterns))
}

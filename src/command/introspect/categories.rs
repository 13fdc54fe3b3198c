//! ACL categories of a command: from its group, its flags, and what its declaration adds.

use crate::command::table::Row;
use crate::command::{Flags, Group, Handler};

/// All categories, in the order in which ACL CAT and COMMAND INFO show them.
pub const CATEGORIES: &[&str] = &[
    "keyspace",
    "read",
    "write",
    "set",
    "sortedset",
    "list",
    "hash",
    "string",
    "bitmap",
    "hyperloglog",
    "geo",
    "stream",
    "pubsub",
    "admin",
    "fast",
    "slow",
    "blocking",
    "dangerous",
    "connection",
    "transaction",
    "scripting",
];

/// The categories of a command, in the order of [`CATEGORIES`].
pub fn categories(row: &Row) -> Vec<&'static str> {
    CATEGORIES.iter().copied().filter(|category| belongs(row, category)).collect()
}

/// Whether a command is in a category.
pub fn belongs(row: &Row, category: &str) -> bool {
    let command = row.command;
    let flags = command.flags;
    let extra = command.categories.contains(&category);
    // A container does nothing itself: only its subcommands are in the category of the group.
    let container = matches!(command.handler, Handler::Container);
    let from_group = !container && group_category(row) == Some(category);
    let from_flags = match category {
        "read" => flags.has(Flags::READONLY) && command.group != Group::Scripting,
        "write" => flags.has(Flags::WRITE),
        "admin" => flags.has(Flags::ADMIN),
        "dangerous" => flags.has(Flags::ADMIN),
        "pubsub" => flags.has(Flags::PUBSUB),
        "fast" => flags.has(Flags::FAST),
        "slow" => !flags.has(Flags::FAST),
        "blocking" => flags.has(Flags::BLOCKING),
        _ => false,
    };
    extra || from_group || from_flags
}

fn group_category(row: &Row) -> Option<&'static str> {
    // SORT belongs to the types that it sorts, WAIT to the connection: they name those themselves.
    let names_its_own =
        row.command.categories.iter().any(|own| matches!(*own, "set" | "connection"));
    match row.command.group {
        Group::Generic if names_its_own => None,
        Group::Generic => Some("keyspace"),
        Group::Bitmap => Some("bitmap"),
        Group::Connection => Some("connection"),
        Group::Geo => Some("geo"),
        Group::Hash => Some("hash"),
        Group::HyperLogLog => Some("hyperloglog"),
        Group::List => Some("list"),
        Group::Scripting => Some("scripting"),
        Group::Set => Some("set"),
        Group::SortedSet => Some("sortedset"),
        Group::Stream => Some("stream"),
        Group::String => Some("string"),
        Group::Transactions => Some("transaction"),
        // Commands of publish and subscribe have a flag that says so.
        Group::Cluster | Group::PubSub | Group::Server => None,
    }
}

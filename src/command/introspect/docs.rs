//! COMMAND DOCS: prose, history and the argument tree of a command.

use crate::command::args_tree::{Argument, parse};
use crate::command::table::{Row, table};
use crate::resp::Reply;

/// Writes the documentation of one command and its subcommands.
pub(super) fn write(reply: &mut Reply, row: &Row) {
    let command = row.command;
    let doc = &command.doc;
    let place = reply.defer();
    let mut fields = 4;
    for (name, text) in [
        ("summary", doc.summary),
        ("since", doc.since),
        ("group", command.group.name()),
        ("complexity", doc.complexity),
    ] {
        reply.bulk(name.as_bytes());
        reply.bulk(text.as_bytes());
    }
    if let Some((since, replacement)) = doc.deprecated {
        fields += 3;
        reply.bulk(b"doc_flags");
        reply.set(1);
        reply.simple("deprecated");
        reply.bulk(b"deprecated_since");
        reply.bulk(since.as_bytes());
        reply.bulk(b"replaced_by");
        reply.bulk(replacement.as_bytes());
    }
    if !doc.history.is_empty() {
        fields += 1;
        reply.bulk(b"history");
        reply.set(doc.history.len());
        for (version, change) in doc.history {
            reply.array(2);
            reply.bulk(version.as_bytes());
            reply.bulk(change.as_bytes());
        }
    }
    let tree = parse(command.args);
    if !tree.is_empty() {
        fields += 1;
        reply.bulk(b"arguments");
        let mut keys = 0;
        arguments(reply, &tree, command.keys.len(), &mut keys);
    }
    if !command.subcommands.is_empty() {
        fields += 1;
        reply.bulk(b"subcommands");
        reply.map(command.subcommands.len());
        for sub in table().subcommands(row) {
            reply.bulk(sub.full_name.as_bytes());
            write(reply, sub);
        }
    }
    reply.end_map(place, fields);
}

/// Writes a list of arguments; `keys` counts those that are keys, each of which has a specification.
fn arguments(reply: &mut Reply, list: &[Argument], specs: usize, keys: &mut usize) {
    reply.array(list.len());
    for argument in list {
        let place = reply.defer();
        let mut fields = 2;
        reply.bulk(b"name");
        reply.bulk(argument.name.as_bytes());
        reply.bulk(b"type");
        reply.bulk(argument.kind.as_bytes());
        if argument.children.is_empty() {
            fields += 1;
            reply.bulk(b"display_text");
            reply.bulk(argument.name.as_bytes());
        }
        if argument.kind == "key" && specs > 0 {
            fields += 1;
            reply.bulk(b"key_spec_index");
            reply.count((*keys).min(specs - 1));
            *keys += 1;
        }
        if let Some(token) = &argument.token {
            fields += 1;
            reply.bulk(b"token");
            reply.bulk(token.as_bytes());
        }
        let flags = argument.flags();
        if !flags.is_empty() {
            fields += 1;
            reply.bulk(b"flags");
            reply.set(flags.len());
            for flag in flags {
                reply.simple(flag);
            }
        }
        if !argument.children.is_empty() {
            fields += 1;
            reply.bulk(b"arguments");
            arguments(reply, &argument.children, specs, keys);
        }
        reply.end_map(place, fields);
    }
}

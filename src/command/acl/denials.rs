//! ACL LOG and DRYRUN: what was denied, and what would be.

use super::super::table::table;
use super::super::{Args, CommandError, CommandResult, Ctx};
use crate::acl::Place;
use crate::acl::permit::Refusal;
use crate::command::error::told_bytes;
use crate::number;

/// Entries that LOG shows when not told how many.
const ENTRIES: usize = 10;

pub(super) fn log(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let count = match args.get(2) {
        _ if args.len() > 3 => return Err(super::wrong_arguments(args)),
        None => ENTRIES,
        Some(word) if word.eq_ignore_ascii_case(b"reset") => {
            ctx.server.acl.log.reset();
            ctx.reply.ok();
            return Ok(());
        }
        Some(count) => {
            let count = number::parse_i64(count).ok_or(CommandError::NotInteger)?;
            usize::try_from(count).unwrap_or(0)
        }
    };
    let entries = ctx.server.acl.log.entries();
    let reply = &mut *ctx.reply;
    reply.array(entries.len().min(count));
    for entry in entries.iter().take(count) {
        reply.map(10);
        reply.bulk(b"count");
        reply.int(entry.count.cast_signed());
        reply.bulk(b"reason");
        reply.bulk(entry.reason.name().as_bytes());
        reply.bulk(b"context");
        reply.bulk(entry.context.name().as_bytes());
        reply.bulk(b"object");
        reply.bulk(&entry.object);
        reply.bulk(b"username");
        reply.bulk(&entry.username);
        reply.bulk(b"age-seconds");
        reply.double((ctx.now - entry.updated_at) as f64 / 1000.0);
        reply.bulk(b"client-info");
        reply.bulk(&entry.client);
        reply.bulk(b"entry-id");
        reply.int(entry.id.cast_signed());
        reply.bulk(b"timestamp-created");
        reply.int(entry.created_at);
        reply.bulk(b"timestamp-last-updated");
        reply.int(entry.updated_at);
    }
    Ok(())
}

pub(super) fn dry_run(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let not_found = |what: &[u8], at: usize| {
        CommandError::bytes(
            [b"ERR ", what, b" '", told_bytes(args.at(at)), b"' not found"].concat(),
        )
    };
    let Some(handle) = ctx.server.acl.handle(args.at(2)) else {
        return Err(not_found(b"User", 2));
    };
    let request = args.tail(3);
    let row = table().find(&request).map_err(|error| match error {
        // A container without its subcommand.
        CommandError::Arity(_) => error,
        _ => not_found(b"Command", 3),
    })?;
    if !row.command.accepts(request.len()) {
        return Err(CommandError::Arity(row.full_name.clone()));
    }
    // As if who asks were that user: in the database that is selected.
    let place = Place { db: ctx.db, databases: ctx.ks.databases() };
    match ctx.server.acl.check(handle.id, (row, &request), place) {
        Ok(()) => ctx.reply.ok(),
        Err(denied) => {
            let (user, command) = (args.at(2).to_vec(), row.full_name.clone());
            let refusal = Refusal { denied, user, command };
            ctx.reply.bulk(&refusal.verbose_text(&request));
        }
    }
    Ok(())
}

//! ACL SETUSER, GETUSER, DELUSER, LIST, USERS, WHOAMI.

use super::super::{Args, CommandError, CommandResult, Ctx};
use crate::acl::selector::{Selector, has_spaces};
use crate::acl::user::join_selectors;
use crate::acl::{User, disconnect_listeners};
use crate::command::error::told_bytes;
use crate::config::AclPubsubDefault;
use crate::resp::Reply;

pub(super) fn set(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let name = args.at(2);
    if has_spaces(name) {
        return Err(CommandError::text("ERR Usernames can't contain spaces or null characters"));
    }
    let rules = join_selectors(args.iter().skip(3)).map_err(|open| {
        let start = b"ERR Unmatched parenthesis in acl selector starting at '";
        CommandError::bytes([start, told_bytes(&open), b"'."].concat())
    })?;
    let all_channels = ctx.server.config.acl_pubsub_default == AclPubsubDefault::Allchannels;
    let known = ctx.server.acl.by_name(name).cloned();
    let mut user = known.unwrap_or_else(|| User::new(name, all_channels));
    for rule in &rules {
        user.apply(rule, all_channels).map_err(|error| {
            let start = b"ERR Error in ACL SETUSER modifier '";
            let error = format!("': {error}");
            CommandError::bytes([start, told_bytes(rule), error.as_bytes()].concat())
        })?;
    }
    if let (Some(former), Some(handle)) =
        (ctx.server.acl.put(user.clone()), ctx.server.acl.handle(name))
    {
        disconnect_listeners(ctx.sessions, handle.id, (&former, &user), ctx.client);
    }
    ctx.reply.ok();
    Ok(())
}

pub(super) fn get(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let Some(user) = ctx.server.acl.by_name(args.at(2)) else {
        ctx.reply.null();
        return Ok(());
    };
    let reply = &mut *ctx.reply;
    let Some((own, others)) = user.selectors().split_first() else { return Ok(()) };
    reply.map(3 + fields(own));
    reply.bulk(b"flags");
    reply.set(user.flags().count());
    for flag in user.flags() {
        reply.bulk(flag.as_bytes());
    }
    reply.bulk(b"passwords");
    reply.array(user.passwords().len());
    for hash in user.passwords() {
        reply.bulk(hash.hex().as_bytes());
    }
    permissions(reply, own);
    reply.bulk(b"selectors");
    reply.array(others.len());
    for selector in others {
        reply.map(fields(selector));
        permissions(reply, selector);
    }
    Ok(())
}

/// How many fields say what a selector allows: clients of Redis know three.
fn fields(selector: &Selector) -> usize {
    if selector.databases().is_some() { 4 } else { 3 }
}

/// Those fields.
fn permissions(reply: &mut Reply, selector: &Selector) {
    reply.bulk(b"commands");
    reply.bulk(selector.commands.describe().as_bytes());
    reply.bulk(b"keys");
    reply.bulk(&selector.describe_keys());
    reply.bulk(b"channels");
    reply.bulk(&selector.describe_channels());
    if let Some(databases) = selector.databases() {
        reply.bulk(b"databases");
        reply.bulk(databases.describe().as_bytes());
    }
}

pub(super) fn delete(ctx: &mut Ctx, args: &Args) -> CommandResult {
    if args.iter().skip(2).any(|name| name == b"default") {
        return Err(CommandError::text("ERR The 'default' user cannot be removed"));
    }
    let mut deleted = 0;
    for name in args.iter().skip(2) {
        if let Some(id) = ctx.server.acl.remove(name) {
            deleted += 1;
            ctx.sessions.disconnect_users(&[id], ctx.client);
        }
    }
    ctx.reply.count(deleted);
    Ok(())
}

pub(super) fn list(ctx: &mut Ctx, _args: &Args) -> CommandResult {
    ctx.reply.array(ctx.server.acl.iter().count());
    for user in ctx.server.acl.iter() {
        ctx.reply.bulk(&[b"user ", user.describe().as_slice()].concat());
    }
    Ok(())
}

pub(super) fn names(ctx: &mut Ctx, _args: &Args) -> CommandResult {
    ctx.reply.array(ctx.server.acl.iter().count());
    for user in ctx.server.acl.iter() {
        ctx.reply.bulk(&user.name);
    }
    Ok(())
}

pub(super) fn who_am_i(ctx: &mut Ctx, _args: &Args) -> CommandResult {
    let handle = ctx.sessions.client(ctx.client).and_then(|client| client.user.as_ref());
    let user = ctx.server.acl.user_of(handle);
    ctx.reply.bulk_or_null(user.map(|user| user.name.as_slice()));
    Ok(())
}

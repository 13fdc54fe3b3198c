//! HELLO and AUTH: the protocol and the user of a connection.

use super::super::{Args, Command, CommandError, CommandResult, Ctx, Flags, Group, Handler, doc};
use super::client::valid_client_text;
use crate::acl::{Context, Reason, permit};
use crate::command::ctx::Origin;
use crate::command::error::told;
use crate::number;
use crate::session::UserId;

const OPEN: Flags = Flags::NOSCRIPT
    .or(Flags::LOADING)
    .or(Flags::STALE)
    .or(Flags::FAST)
    .or(Flags::NO_AUTH)
    .or(Flags::SENTINEL)
    .or(Flags::ALLOW_BUSY);

pub const AUTH: Command = Command {
    name: "AUTH",
    arity: -2,
    flags: OPEN,
    group: Group::Connection,
    args: "[username] password",
    doc: super::super::Doc {
        history: &[("6.0.0", "Added ACL style (username and password).")],
        ..doc(
            "1.0.0",
            "O(N) where N is the number of passwords defined for the user",
            "Authenticates the connection.",
        )
    },
    handler: Handler::Plain(auth),
    ..Command::BASE
};

fn auth(ctx: &mut Ctx, args: &Args) -> CommandResult {
    if args.len() > 3 {
        return Err(CommandError::Syntax);
    }
    let (user, password) = match args.get(2) {
        Some(password) => (args.at(1), password),
        None => {
            if ctx.server.acl.user(UserId::DEFAULT).is_some_and(|user| user.nopass) {
                return Err(CommandError::text(
                    "ERR AUTH <password> called without any password configured for the default \
                     user. Are you sure your configuration is correct?",
                ));
            }
            (b"default".as_slice(), args.at(1))
        }
    };
    authenticate(ctx, args.at(0), user, password)?;
    ctx.reply.ok();
    Ok(())
}

/// Makes the connection a user's, if the password is right.
fn authenticate(ctx: &mut Ctx, sent_as: &[u8], user: &[u8], password: &[u8]) -> CommandResult {
    let Some(handle) = ctx.server.acl.authenticate(user, password) else {
        let context = match ctx.origin {
            Origin::Transaction => Context::Multi,
            _ => Context::TopLevel,
        };
        // As it was sent: `auth`, `HELLO`.
        let denied = (Reason::Auth, context);
        permit::note(ctx.server, ctx.sessions, ctx.client, denied, (sent_as, user), ctx.now);
        return Err(CommandError::text(
            "WRONGPASS invalid username-password pair or user is disabled.",
        ));
    };
    ctx.session()?.user = Some(handle);
    Ok(())
}

pub const HELLO: Command = Command {
    name: "HELLO",
    arity: -1,
    flags: OPEN,
    group: Group::Connection,
    args: "[protover:integer [AUTH username password] [SETNAME clientname]]",
    doc: doc("6.0.0", "O(1)", "Handshakes with the server."),
    handler: Handler::Plain(hello),
    ..Command::BASE
};

fn hello(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let version = match args.get(1) {
        None => None,
        Some(text) => {
            let version = number::parse_i64(text).ok_or(CommandError::text(
                "ERR Protocol version is not an integer or out of range",
            ))?;
            if !(2..=3).contains(&version) {
                return Err(CommandError::text("NOPROTO unsupported protocol version"));
            }
            Some(version == 3)
        }
    };
    let (mut credentials, mut name) = (None, None);
    let mut at = 2;
    while at < args.len() {
        let left = args.len() - at - 1;
        if args.is(at, "AUTH") && left >= 2 {
            credentials = Some((args.at(at + 1), args.at(at + 2)));
            at += 3;
        } else if args.is(at, "SETNAME") && left >= 1 {
            valid_client_text(args.at(at + 1), "Client names")?;
            name = Some(args.at(at + 1));
            at += 2;
        } else {
            let option = told(args.at(at)).into_owned();
            return Err(CommandError::owned(format!(
                "ERR Syntax error in HELLO option '{option}'"
            )));
        }
    }
    if let Some((user, password)) = credentials {
        authenticate(ctx, args.at(0), user, password)?;
    }
    if ctx.session()?.user.is_none() && ctx.server.acl.needs_auth() {
        return Err(CommandError::text(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the \
             HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and \
             select the RESP protocol version at the same time",
        ));
    }
    if let Some(name) = name {
        ctx.session()?.name = name.to_vec();
    }
    if let Some(resp3) = version {
        ctx.session()?.resp3 = resp3;
        ctx.reply.resp3 = resp3;
    }
    let (id, zone) = (ctx.client, ctx.server.config.availability_zone.as_bytes());
    let reply = &mut *ctx.reply;
    reply.map(7 + usize::from(!zone.is_empty()));
    reply.bulk(b"server");
    reply.bulk(b"redis");
    reply.bulk(b"version");
    reply.bulk(crate::REDIS_VERSION.as_bytes());
    reply.bulk(b"proto");
    reply.int(if reply.resp3 { 3 } else { 2 });
    reply.bulk(b"id");
    reply.int(id.0.cast_signed());
    reply.bulk(b"mode");
    reply.bulk(b"standalone");
    reply.bulk(b"role");
    reply.bulk(b"master");
    reply.bulk(b"modules");
    reply.array(0);
    if !zone.is_empty() {
        reply.bulk(b"availability_zone");
        reply.bulk(zone);
    }
    Ok(())
}

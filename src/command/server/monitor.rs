//! MONITOR: shows every request that is run, as it was sent.
//!
//! `engine::notify` feeds it after each command. Commands for operators are not shown, and neither are
//! passwords.

use super::super::{Args, Command, CommandError, CommandResult, Ctx, Flags, Group, Handler, doc};
use super::slowlog::holds_secret;
use crate::command::ctx::Origin;

pub const MONITOR: Command = Command {
    name: "MONITOR",
    arity: 1,
    flags: Flags::ADMIN.or(Flags::NOSCRIPT).or(Flags::LOADING).or(Flags::STALE),
    group: Group::Server,
    doc: doc("1.0.0", "", "Shows all requests that the server receives, as they come."),
    handler: Handler::Plain(monitor),
    ..Command::BASE
};

fn monitor(ctx: &mut Ctx, _args: &Args) -> CommandResult {
    if ctx.origin != Origin::Client {
        return Err(CommandError::text("ERR MONITOR isn't allowed for DENY BLOCKING client"));
    }
    // A monitor that asks again is not even answered.
    if ctx.sessions.monitor(ctx.client) {
        ctx.reply.ok();
    }
    Ok(())
}

/// One request as monitors see it, ready to be sent: time, database and address, arguments in quotes.
pub fn line(args: &Args, wall_us: i64, db: usize, source: &str) -> Vec<u8> {
    let (seconds, micros) = (wall_us.div_euclid(1_000_000), wall_us.rem_euclid(1_000_000));
    let mut line = format!("+{seconds}.{micros:06} [{db} {source}]").into_bytes();
    for (at, arg) in args.iter().enumerate() {
        line.push(b' ');
        let arg = if holds_secret(args, at) { b"(redacted)" } else { arg };
        quote(&mut line, arg);
    }
    line.extend_from_slice(b"\r\n");
    line
}

/// Adds bytes in double quotes; what is not printable ASCII is escaped.
fn quote(line: &mut Vec<u8>, bytes: &[u8]) {
    line.push(b'"');
    for &byte in bytes {
        match byte {
            b'"' | b'\\' => line.extend_from_slice(&[b'\\', byte]),
            b'\n' => line.extend_from_slice(b"\\n"),
            b'\r' => line.extend_from_slice(b"\\r"),
            b'\t' => line.extend_from_slice(b"\\t"),
            0x07 => line.extend_from_slice(b"\\a"),
            0x08 => line.extend_from_slice(b"\\b"),
            b' '..=b'~' => line.push(byte),
            _ => line.extend_from_slice(format!("\\x{byte:02x}").as_bytes()),
        }
    }
    line.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::OwnedArgs;

    #[test]
    fn a_line_is_quoted_and_keeps_secrets() {
        let shown = |parts: &[&[u8]]| {
            let args = OwnedArgs::from_slices(parts.iter().copied());
            let line = line(&args.as_args(), 1_700_000_000_000_042, 3, "127.0.0.1:5");
            String::from_utf8(line).unwrap()
        };
        assert_eq!(
            shown(&[b"SET", b"a\"\\ b", b"\r\n\t\x07\x08\x00\xff"]),
            "+1700000000.000042 [3 127.0.0.1:5] \"SET\" \"a\\\"\\\\ b\" \
             \"\\r\\n\\t\\a\\b\\x00\\xff\"\r\n"
        );
        assert!(shown(&[b"AUTH", b"secret"]).ends_with("\"AUTH\" \"(redacted)\"\r\n"));
    }
}

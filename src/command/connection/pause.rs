//! CLIENT PAUSE and UNPAUSE: clients are held back, for a failover or a consistent look from outside.
//!
//! Here only the state is set; `engine::pause` holds requests back and gives them back in order.

use std::time::Duration;

use super::super::state::Pause;
use super::super::{Args, CommandError, CommandResult, Ctx};
use crate::number;

/// CLIENT PAUSE milliseconds [WRITE|ALL]
pub(super) fn pause(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let writes_only = match args.get(3) {
        None => false,
        Some(mode) if mode.eq_ignore_ascii_case(b"write") => true,
        Some(mode) if mode.eq_ignore_ascii_case(b"all") => false,
        Some(_) => return Err(CommandError::text("ERR CLIENT PAUSE mode must be WRITE or ALL")),
    };
    if args.len() > 4 {
        return Err(CommandError::Syntax);
    }
    let timeout = number::parse_i64(args.at(2))
        .ok_or(CommandError::text("ERR timeout is not an integer or out of range"))?;
    let timeout =
        u64::try_from(timeout).map_err(|_| CommandError::text("ERR timeout is negative"))?;
    let ends = timeout.checked_add(ctx.now.cast_unsigned());
    let until = ends
        .filter(|ends| i64::try_from(*ends).is_ok())
        .and_then(|_| ctx.monotonic.checked_add(Duration::from_millis(timeout)))
        .ok_or(CommandError::text("ERR timeout is out of range"))?;
    // A pause on top of another one never shortens or weakens it; one that is over may not have been noticed yet.
    let other = ctx.server.pause.filter(|other| other.until > ctx.monotonic);
    ctx.server.pause = Some(match other {
        Some(other) => {
            Pause { until: other.until.max(until), writes_only: other.writes_only && writes_only }
        }
        None => Pause { until, writes_only },
    });
    ctx.reply.ok();
    Ok(())
}

/// CLIENT UNPAUSE
pub(super) fn unpause(ctx: &mut Ctx, _args: &Args) -> CommandResult {
    // The engine finds the pause over and lets everybody go on.
    if let Some(pause) = ctx.server.pause.as_mut() {
        pause.until = Duration::ZERO;
    }
    ctx.reply.ok();
    Ok(())
}

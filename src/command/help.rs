//! HELP of container commands: a fixed list of lines between a headline and the line for HELP itself.

use super::{CommandResult, Ctx};

/// Writes the help text of `container`.
pub fn reply_help(ctx: &mut Ctx, container: &str, lines: &[&str]) -> CommandResult {
    ctx.reply.array(lines.len() + 3);
    let headline = format!("{container} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:");
    ctx.reply.simple(&headline);
    for line in lines {
        ctx.reply.simple(line);
    }
    ctx.reply.simple("HELP");
    ctx.reply.simple("    Print this help.");
    Ok(())
}

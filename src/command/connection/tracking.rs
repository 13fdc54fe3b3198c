//! CLIENT TRACKING, CACHING, GETREDIR, TRACKINGINFO: client-side caching as the client asks for it.

use std::collections::BTreeSet;
use std::ops::Bound;

use super::super::{Args, CommandError, CommandResult, Ctx};
use crate::command::error::told;
use crate::number;
use crate::session::tracking::{Tracking, TrackingMode};
use crate::session::{ClientId, Sessions};

/// About what a prefix takes besides its bytes: here and in the table of all clients' prefixes.
const PREFIX_BYTES: usize = 160;

/// Options of CLIENT TRACKING ON, as given.
#[derive(Default)]
struct Options {
    redirect: Option<ClientId>,
    broadcast: bool,
    opt_in: bool,
    opt_out: bool,
    no_loop: bool,
    prefixes: Vec<Vec<u8>>,
}

impl Options {
    fn parse(ctx: &Ctx, args: &Args) -> Result<Self, CommandError> {
        let mut options = Self::default();
        let mut at = 3;
        while at < args.len() {
            let has_value = at + 1 < args.len();
            if args.is(at, "REDIRECT") && has_value {
                at += 1;
                if options.redirect.is_some() {
                    return Err(CommandError::text(
                        "ERR A client can only redirect to a single other client",
                    ));
                }
                let id = number::parse_i64(args.at(at)).ok_or(CommandError::NotInteger)?;
                let id = ClientId(id.cast_unsigned());
                if ctx.sessions.client(id).is_none() {
                    return Err(CommandError::text(
                        "ERR The client ID you want redirect to does not exist",
                    ));
                }
                options.redirect = Some(id);
            } else if args.is(at, "BCAST") {
                options.broadcast = true;
            } else if args.is(at, "OPTIN") {
                options.opt_in = true;
            } else if args.is(at, "OPTOUT") {
                options.opt_out = true;
            } else if args.is(at, "NOLOOP") {
                options.no_loop = true;
            } else if args.is(at, "PREFIX") && has_value {
                at += 1;
                options.prefixes.push(args.at(at).to_vec());
            } else {
                return Err(CommandError::Syntax);
            }
            at += 1;
        }
        Ok(options)
    }

    /// Refuses what does not go together, or not with what is on already.
    fn check(&self, current: Option<&Tracking>) -> CommandResult {
        if !self.broadcast && !self.prefixes.is_empty() {
            return Err(CommandError::text("ERR PREFIX option requires BCAST mode to be enabled"));
        }
        if current.is_some_and(|current| current.prefixes().is_some() != self.broadcast) {
            return Err(CommandError::text(
                "ERR You can't switch BCAST mode on/off before disabling tracking for this client, \
                 and then re-enabling it with a different mode.",
            ));
        }
        if self.broadcast && (self.opt_in || self.opt_out) {
            return Err(CommandError::text("ERR OPTIN and OPTOUT are not compatible with BCAST"));
        }
        if self.opt_in && self.opt_out {
            return Err(CommandError::text(
                "ERR You can't specify both OPTIN mode and OPTOUT mode",
            ));
        }
        let switches = current.is_some_and(|current| {
            (self.opt_in && current.mode == TrackingMode::OptOut)
                || (self.opt_out && current.mode == TrackingMode::OptIn)
        });
        if switches {
            return Err(CommandError::text(
                "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, \
                 and then re-enabling it with a different mode.",
            ));
        }
        self.check_prefixes(current.and_then(Tracking::prefixes))
    }

    /// A key may belong to one prefix of a client only.
    fn check_prefixes(&self, existing: Option<&BTreeSet<Vec<u8>>>) -> CommandResult {
        let refuse = |new: &[u8], what: &str, old: &[u8]| {
            Err(CommandError::owned(format!(
                "ERR Prefix '{}' overlaps with {what} prefix '{}'. Prefixes for a single client \
                 must not overlap.",
                told(new),
                told(old)
            )))
        };
        // From the last to the first, so that each meets those that come after it. Of several that overlap the
        // shortest is kept: it overlaps with whatever they do.
        let (mut later, mut first) = (BTreeSet::new(), None);
        for (index, new) in self.prefixes.iter().enumerate().rev() {
            let at_prefix = overlapping(&later, new);
            first = if at_prefix.is_some() { Some(index) } else { first };
            if at_prefix.is_none_or(|old| !new.starts_with(old)) {
                while let Some(longer) = overlapping(&later, new).cloned() {
                    later.remove(&longer);
                }
                later.insert(new.clone());
            }
        }
        for (index, new) in self.prefixes.iter().enumerate() {
            if let Some(old) = existing.and_then(|existing| overlapping(existing, new)) {
                return refuse(new, "an existing", old);
            }
            if first == Some(index) {
                let overlaps = |other: &&Vec<u8>| new.starts_with(other) || other.starts_with(new);
                let other = self.prefixes.iter().skip(index + 1).find(overlaps);
                return refuse(new, "another provided", other.unwrap_or(new));
            }
        }
        Ok(())
    }
}

/// The first of some prefixes, none of which begins with another, that begins with `new` or that `new` begins with.
fn overlapping<'a>(prefixes: &'a BTreeSet<Vec<u8>>, new: &[u8]) -> Option<&'a Vec<u8>> {
    // All between a prefix of `new` and `new` begin with that prefix.
    let up_to = (Bound::Unbounded, Bound::Included(new));
    let shorter = prefixes.range::<[u8], _>(up_to).next_back().filter(|old| new.starts_with(old));
    let from = (Bound::Excluded(new), Bound::Unbounded);
    let longer = || prefixes.range::<[u8], _>(from).next().filter(|old| old.starts_with(new));
    shorter.or_else(longer)
}

/// CLIENT TRACKING ON|OFF [option ...]
pub(super) fn tracking(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let options = Options::parse(ctx, args)?;
    let (on, off) = (args.is(2, "ON"), args.is(2, "OFF"));
    if off {
        ctx.sessions.stop_tracking(ctx.client);
    } else if on {
        options.check(ctx.session()?.tracking.as_deref())?;
        enable(ctx.sessions, ctx.client, options);
    } else {
        return Err(CommandError::Syntax);
    }
    ctx.reply.ok();
    Ok(())
}

fn enable(sessions: &mut Sessions, id: ClientId, options: Options) {
    let Some(client) = sessions.client_mut(id) else { return };
    let old = client.tracking.take();
    let was_off = old.is_none();
    let old_bytes = old.as_ref().map_or(0, |old| old.prefix_bytes);
    let old_mode = old.map(|old| old.mode);
    let (mut added, mut prefix_bytes) = (options.prefixes, 0);
    let mode = if options.broadcast {
        let mut prefixes = match old_mode {
            Some(TrackingMode::Broadcast(prefixes)) => prefixes,
            _ => BTreeSet::new(),
        };
        if prefixes.is_empty() && added.is_empty() {
            added.push(Vec::new());
        }
        prefix_bytes = added.iter().map(|prefix| 2 * prefix.len() + PREFIX_BYTES).sum();
        prefixes.extend(added.iter().cloned());
        TrackingMode::Broadcast(prefixes)
    } else if options.opt_in {
        TrackingMode::OptIn
    } else if options.opt_out {
        TrackingMode::OptOut
    } else {
        TrackingMode::Default
    };
    client.tracking = Some(Box::new(Tracking {
        mode,
        no_loop: options.no_loop,
        redirect: options.redirect,
        redirect_broken: false,
        caching: false,
        prefix_bytes: old_bytes + prefix_bytes,
    }));
    sessions.tracked.clients += usize::from(was_off);
    for prefix in added {
        sessions.tracked.add_prefix(&prefix, id);
    }
}

/// CLIENT CACHING YES|NO
pub(super) fn caching(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let tracking = ctx.session()?.tracking.as_mut();
    let tracking = tracking.ok_or(CommandError::text(
        "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or \
             OPTOUT mode enabled",
    ))?;
    if args.is(2, "YES") {
        if tracking.mode != TrackingMode::OptIn {
            return Err(CommandError::text(
                "ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.",
            ));
        }
    } else if args.is(2, "NO") {
        if tracking.mode != TrackingMode::OptOut {
            return Err(CommandError::text(
                "ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.",
            ));
        }
    } else {
        return Err(CommandError::Syntax);
    }
    tracking.caching = true;
    ctx.reply.ok();
    Ok(())
}

/// CLIENT GETREDIR: -1 without tracking, 0 without redirection.
pub(super) fn getredir(ctx: &mut Ctx, _args: &Args) -> CommandResult {
    let shown = redirection(ctx.session()?.tracking.as_deref());
    ctx.reply.int(shown);
    Ok(())
}

/// What GETREDIR, TRACKINGINFO and CLIENT LIST show.
pub fn redirection(tracking: Option<&Tracking>) -> i64 {
    tracking.map_or(-1, |on| on.redirect.map_or(0, |id| id.0.cast_signed()))
}

/// CLIENT TRACKINGINFO
pub(super) fn trackinginfo(ctx: &mut Ctx, _args: &Args) -> CommandResult {
    let tracking = ctx.session()?.tracking.clone();
    let flags = flags(tracking.as_deref());
    ctx.reply.map(3);
    ctx.reply.bulk(b"flags");
    ctx.reply.set(flags.len());
    for flag in flags {
        ctx.reply.bulk(flag.as_bytes());
    }
    ctx.reply.bulk(b"redirect");
    ctx.reply.int(redirection(tracking.as_deref()));
    ctx.reply.bulk(b"prefixes");
    let prefixes = tracking.as_ref().and_then(|on| on.prefixes());
    let shown: Vec<&Vec<u8>> = prefixes.into_iter().flatten().collect();
    ctx.reply.array(shown.len());
    for prefix in shown {
        ctx.reply.bulk(prefix);
    }
    Ok(())
}

fn flags(tracking: Option<&Tracking>) -> Vec<&'static str> {
    let Some(on) = tracking else { return vec!["off"] };
    let mut flags = vec!["on"];
    match on.mode {
        TrackingMode::Default => {}
        TrackingMode::Broadcast(_) => flags.push("bcast"),
        TrackingMode::OptIn => {
            flags.push("optin");
            flags.extend(on.caching.then_some("caching-yes"));
        }
        TrackingMode::OptOut => {
            flags.push("optout");
            flags.extend(on.caching.then_some("caching-no"));
        }
    }
    flags.extend(on.no_loop.then_some("noloop"));
    flags.extend(on.redirect_broken.then_some("broken_redirect"));
    flags
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Rng as _, SeededRng};

    /// What each pair says, one after the other.
    fn pair_by_pair(new: &[Vec<u8>], existing: &BTreeSet<Vec<u8>>) -> Option<(usize, Vec<u8>)> {
        let overlap = |a: &[u8], b: &[u8]| a.starts_with(b) || b.starts_with(a);
        new.iter().enumerate().find_map(|(index, one)| {
            let old = existing.iter().find(|old| overlap(one, old));
            let other = || new.iter().skip(index + 1).find(|other| overlap(one, other));
            old.or_else(other).map(|other| (index, other.clone()))
        })
    }

    #[test]
    fn overlaps_are_those_of_all_pairs() {
        let mut rng = SeededRng::new(5);
        let mut refused = 0;
        for _ in 0..20_000 {
            let mut word = || -> Vec<u8> {
                let len = rng.below(4);
                (0..len).map(|_| b"abc"[rng.index(3)]).collect()
            };
            let mut existing: BTreeSet<Vec<u8>> = BTreeSet::new();
            for _ in 0..3 {
                let new: Vec<u8> = word();
                if overlapping(&existing, &new).is_none() {
                    existing.insert(new);
                }
            }
            let prefixes: Vec<Vec<u8>> = (0..4).map(|_| word()).collect();
            let expected = pair_by_pair(&prefixes, &existing);
            refused += usize::from(expected.is_some());
            let said = Options { prefixes: prefixes.clone(), ..Options::default() }
                .check_prefixes(Some(&existing))
                .err()
                .map(|error| error.to_string());
            let named = expected.map(|(index, other)| {
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                (text(&prefixes[index]), text(&other))
            });
            match (&said, &named) {
                (None, None) => {}
                (Some(said), Some((new, other))) => {
                    assert!(said.contains(&format!("Prefix '{new}' overlaps")), "{said} {new}");
                    assert!(said.contains(&format!("prefix '{other}'.")), "{said} {other}");
                }
                _ => panic!("{said:?} but {named:?} of {prefixes:?} beside {existing:?}"),
            }
        }
        assert!(refused > 1000 && refused < 20_000);
    }
}

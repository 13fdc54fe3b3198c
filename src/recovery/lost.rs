//! Does the manifest list all that it listed once? A manifest of Redis has no checksum; the files beside it, and the order
//! in which a server makes and lists them, show a line that is missing or that calls a segment history.

use super::LoadError;
use super::inspect::{Facts, view};
use crate::aof::filename::FileKind;
use crate::aof::manifest::{Entry, MANIFEST_LEN_MAX};
use crate::aof::record::HEADER_START;
use crate::disk::{Disk, durable};

/// Calls the manifest damaged when it does not list what it must have listed.
pub(super) fn look_for_lost_lines(disk: &dyn Disk, facts: &mut Facts) -> Result<(), LoadError> {
    if !facts.situation.manifest {
        return Ok(());
    }
    let lost = match needed_history(facts) {
        Some(name) => {
            let why =
                format!("{name} is listed as history, and nothing that is listed replaces it");
            Some((name, why))
        }
        None => unlisted_segment(disk, facts)?,
    };
    let Some((name, why)) = lost else { return Ok(()) };
    let path = facts.names.path(&facts.names.manifest());
    let bytes = durable::read_small(disk, &path, MANIFEST_LEN_MAX)?.unwrap_or_default();
    // The line that names it, or where one is missing.
    let found = memchr::memmem::find(&bytes, name.as_bytes());
    let before = bytes.get(..found.unwrap_or(bytes.len())).unwrap_or_default();
    let line = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    facts.manifest_error_at = line as u64;
    facts.situation.manifest_damaged = true;
    facts.manifest_error = Some(why);
    Ok(())
}

/// A segment that is called history and cannot be: what is loaded would have a hole there, and the segment would be
/// removed. A rewrite makes history of all segments but the newest, together with the base before; one of
/// Redis with its log off of all of them. A name that is listed as a segment, too, is loaded.
fn needed_history(facts: &Facts) -> Option<String> {
    if facts.manifest_checked {
        return None;
    }
    let manifest = &facts.manifest;
    let oldest = manifest.incrs.first().map(|entry| entry.seq);
    let is_segment = |entry: &&Entry| matches!(facts.names.kind(&entry.name), FileKind::Incr(_));
    let rewritten = manifest.history.iter().any(|entry| !is_segment(&entry));
    let needed = |entry: &&Entry| match oldest {
        Some(oldest) => {
            entry.seq >= oldest && manifest.incrs.iter().all(|incr| incr.name != entry.name)
        }
        None => !rewritten,
    };
    manifest.history.iter().filter(is_segment).find(needed).map(|entry| entry.name.clone())
}

/// Nothing is written to a segment before a manifest that lists it is durable, and those that come later list a newer
/// one. So a segment that has content and is newer than all that are listed was in the manifest once: this one has
/// lost its end, or is an older one.
///
/// With one exception, and no frames: while Redis switches its log on, it gives the new base and the segment behind it
/// their names first. When it is killed there, the base is newer than the listed one, too.
fn unlisted_segment(disk: &dyn Disk, facts: &Facts) -> Result<Option<(String, String)>, LoadError> {
    let newest = facts.manifest.incrs.iter().map(|entry| entry.seq).max().unwrap_or(0);
    let base = facts.manifest.base.as_ref().map_or(0, |entry| entry.seq);
    let newer_base =
        |name: &String| matches!(facts.names.kind(name), FileKind::Base(seq, _) if seq > base);
    let switched_on = facts.stray.iter().any(newer_base);
    for name in &facts.stray {
        let FileKind::Incr(seq) = facts.names.kind(name) else { continue };
        if seq <= newest {
            continue;
        }
        if switched_on && !view(disk, &facts.names.path(name))?.starts_with(HEADER_START) {
            continue;
        }
        let what = match facts.manifest_checked {
            true => "this manifest is an older one",
            false => "lines are missing at the end",
        };
        let why = format!("{name} is newer than everything that is listed, and is not: {what}");
        return Ok(Some((name.clone(), why)));
    }
    Ok(None)
}

//! `fastness backup diff`: exit code 0 when both states are equal, 1 when they differ or it failed.

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::gather::gather;
use super::terms::{self, ProgressLine};
use crate::backup::cut::Target;
use crate::backup::diff::{DbKey, Difference, diff};
use crate::backup::load::{self, Filter, LoadedState};
use crate::backup::plan::plan;
use crate::backup::repository::Repository;
use crate::backup::{BackupError, restore};
use crate::clock::SystemClock;

/// See `--help`.
#[derive(Debug, Args)]
pub struct DiffArgs {
    /// The repository: a path or URL.
    url: String,
    /// The backup to compare with; the newest one if none is given.
    backup: Option<String>,
    /// Another backup, or the address of a server.
    other: Option<String>,
    /// Instead of another backup: redis://[user:password@]host[:port], a data directory, or an RDB file.
    #[arg(long, value_name = "FROM", conflicts_with = "other")]
    live: Option<String>,
    /// Only keys that match this pattern; may be given several times.
    #[arg(long = "match", value_name = "PATTERN")]
    patterns: Vec<String>,
    /// Only keys of this database; may be given several times.
    #[arg(long = "db", value_name = "N")]
    databases: Vec<usize>,
    /// Show at most so many keys of each kind.
    #[arg(long, default_value_t = 20)]
    limit: usize,
    #[command(flatten)]
    identity: terms::IdentityArgs,
    #[command(flatten)]
    tls: super::tls::TlsArgs,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Runs it.
pub(super) fn run(args: &DiffArgs) -> ExitCode {
    let outcome = compare(args).map(|(names, found)| {
        (as_json(&names, &found, args), text(&names, &found, args), u8::from(!found.is_empty()))
    });
    terms::finish(args.json, outcome)
}

/// The names of both states, and how the second differs from the first.
fn compare(args: &DiffArgs) -> Result<([String; 2], Difference), BackupError> {
    let repository = args.identity.open(&args.url, true)?;
    let mut ids = repository.ids_by_age()?;
    let none = || {
        BackupError::refused("there are no two states to compare", "name two backups, or --live")
    };
    let newest = ids.pop();
    // A server may stand where a backup could, too.
    let is_server = |word: &&String| word.contains("://");
    let named = [&args.backup, &args.other].into_iter().flatten();
    let live = args.live.as_ref().or_else(|| named.clone().find(is_server));
    let mut backups = named.filter(|word| !is_server(word)).cloned();
    let (first, second) = match (backups.next(), backups.next(), live) {
        (Some(first), Some(second), _) => (first, Some(second)),
        (first, _, Some(_)) => (first.or(newest).ok_or_else(none)?, None),
        (Some(first), None, None) => (first, Some(newest.ok_or_else(none)?)),
        (None, _, None) => (ids.pop().ok_or_else(none)?, newest),
    };
    let before = of_backup(&repository, &first)?;
    let (name, after) = match (second, live) {
        (Some(second), _) => {
            let state = of_backup(&repository, &second)?;
            (second, state)
        }
        (None, Some(live)) => {
            let gathered = gather(live, &SystemClock::new(), &args.tls)?;
            (gathered.origin.address.clone(), load::of_source(&gathered.source)?)
        }
        (None, None) => return Err(none()),
    };
    let patterns = args.patterns.iter().map(|pattern| pattern.clone().into_bytes()).collect();
    let filter = Filter { patterns, databases: args.databases.clone() };
    Ok(([first, name], diff(&before, &after, &filter)))
}

fn of_backup(repository: &Repository, id: &str) -> Result<LoadedState, BackupError> {
    let progress = ProgressLine::new("load");
    let plan = plan(repository, Some(id), &Target::Latest)?;
    restore::to_memory(repository, &plan, 2, &|done, all| progress.note(done, all))
}

fn shown(key: &DbKey) -> String {
    key.key.escape_ascii().to_string()
}

fn as_json(names: &[String; 2], found: &Difference, args: &DiffArgs) -> Value {
    let list = |keys: &[DbKey]| -> Value {
        let shown =
            keys.iter().take(args.limit).map(|key| json!({ "db": key.db, "key": shown(key) }));
        json!({ "count": keys.len(), "keys": shown.collect::<Vec<_>>() })
    };
    json!({
        "first": names[0],
        "second": names[1],
        "equal": found.is_empty(),
        "same": found.same,
        "added": list(&found.added),
        "changed": list(&found.changed),
        "removed": list(&found.removed),
    })
}

fn text(names: &[String; 2], found: &Difference, args: &DiffArgs) -> String {
    let mut out = format!("from {} to {}\n", names[0], names[1]);
    for (mark, keys) in [('+', &found.added), ('~', &found.changed), ('-', &found.removed)] {
        for key in keys.iter().take(args.limit) {
            out.push_str(&format!("{mark} db {}: {}\n", key.db, shown(key)));
        }
        if let Some(more) = keys.len().checked_sub(args.limit).filter(|more| *more > 0) {
            out.push_str(&format!("{mark} and {more} more (--limit shows them)\n"));
        }
    }
    out.push_str(&format!(
        "{} keys added, {} changed, {} removed, {} the same\n",
        found.added.len(),
        found.changed.len(),
        found.removed.len(),
        found.same
    ));
    out
}

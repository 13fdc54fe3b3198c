//! `fastness restore`: a backup, as it was at some instant, into a directory or an RDB file.
//!
//! Exit codes: 0 restored and verified, 1 it failed or something read was damaged, 2 refused: no backup fits,
//! or the place is not empty. A refusal changes nothing.

mod into;

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::backup::gather::{Gathered, gather};
use super::backup::terms::{self, ProgressLine};
use super::backup::tls::TlsArgs;
use super::convert::rdb_version;
use crate::backup::chosen::RdbFile;
use crate::backup::cut::Target;
use crate::backup::load::Filter;
use crate::backup::manifest::Manifest;
use crate::backup::plan::{Plan, plan};
use crate::backup::repository::Repository;
use crate::backup::restore::{self, Restored};
use crate::backup::time::{self, CLOCKS_DIFFER_MS, Iso};
use crate::backup::{BackupError, chosen, files, source};
use crate::clock::{Clock, SystemClock};
use crate::disk::os::OsDisk;
use crate::snapshot::target::Target as Version;

/// See `--help`.
#[derive(Debug, Args)]
#[group(id = "restore")]
pub struct RestoreArgs {
    /// The repository, a path or URL; or a data directory, the directory of a sealed BACKUP, or an RDB file.
    #[arg(long)]
    from: String,
    /// The backup to restore; without it, the one that fits the target best.
    #[arg(long)]
    backup: Option<String>,
    /// Everything up to this instant: 2026-11-22T10:00:00Z, or "10 minutes ago".
    #[arg(long, group = "target")]
    to_time: Option<String>,
    /// Everything before this position of the log.
    #[arg(long, group = "target")]
    to_position: Option<u64>,
    /// Everything before the last command of this name, or the first one after --after.
    #[arg(long, group = "target", value_name = "NAME")]
    before_command: Option<String>,
    /// With --before-command: the first such command from this instant on.
    #[arg(long, requires = "before_command", value_name = "TIME")]
    after: Option<String>,
    /// The directory to restore into; it must be empty or not there. An interrupted restore goes on where it was
    /// when the same command is given again.
    #[arg(long, required_unless_present_any = ["output", "to", "dry_run"], conflicts_with_all = ["output", "to"])]
    dir: Option<String>,
    /// Write one RDB file, for Redis and Valkey, instead.
    #[arg(long, value_name = "FILE.rdb")]
    output: Option<String>,
    /// The RDB version of --output: 6 (Redis 2.6), 7 (3.2), 8 (4.0), 9 (5.0), 10 (7.0), 11 (7.2, every Valkey), 12 (7.4)
    /// or 80 (Valkey 9). Otherwise 11, or 12 where fields expire.
    #[arg(long, value_name = "N", value_parser = rdb_version, requires = "output")]
    rdb_version: Option<Version>,
    /// Restore into this running server, redis://[user:password@]host[:port], of Fastness, Redis or Valkey.
    ///
    /// It must be empty, or have nothing but keys that are restored (an interrupted restore is gone on with when the same
    /// command is given again), unless --replace is given. A password is better given in the environment, as
    /// FASTNESS_PASSWORD or REDISCLI_AUTH.
    #[arg(long, value_name = "ADDRESS", conflicts_with = "output")]
    to: Option<String>,
    /// With --to: replace keys of the same names; others stay.
    #[arg(long, requires = "to")]
    replace: bool,
    /// Read at most so many bytes a second from the repository; 0 is no bound.
    #[arg(long, default_value_t = 0)]
    rate: u64,
    /// Only keys that match this pattern (as KEYS takes it); may be given several times.
    #[arg(long = "match", value_name = "PATTERN")]
    patterns: Vec<String>,
    /// Only keys of this database; may be given several times.
    #[arg(long = "db", value_name = "N")]
    databases: Vec<usize>,
    /// Show what would be done, and do nothing.
    #[arg(long)]
    dry_run: bool,
    /// Threads that fetch and unpack.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    #[command(flatten)]
    identity: terms::IdentityArgs,
    #[command(flatten)]
    tls: TlsArgs,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Runs it.
pub fn run(args: &RestoreArgs) -> ExitCode {
    terms::finish(args.json, restore(args))
}

fn restore(args: &RestoreArgs) -> Result<(Value, String, u8), BackupError> {
    let target = target(args)?;
    let repository = open(args)?.slowed_to(args.rate);
    let mut plan = plan(&repository, args.backup.as_deref(), &target)?;
    plan.notes.extend(of_the_future(&plan.manifest, &SystemClock::new()));
    let mut value = plan_json(&plan);
    let mut text = plan_text(&plan);
    if args.dry_run {
        text.push_str("nothing was changed: this was a dry run\n");
        return Ok((value, text, 0));
    }
    let clock = SystemClock::new();
    let started = clock.monotonic();
    let restored = carry_out(args, &repository, &plan)?;
    let took = clock.monotonic().saturating_sub(started);
    let place = match &args.to {
        Some(text) => terms::address(text)?.map(|address| address.to_string()).unwrap_or_default(),
        None => args.output.clone().or(args.dir.clone()).unwrap_or_default(),
    };
    if let Value::Object(map) = &mut value {
        map.insert("restored_to".to_owned(), json!(place));
        map.insert("keys".to_owned(), json!(restored.keys));
        map.insert("digest".to_owned(), json!(restored.digest));
        map.insert("digest_compared".to_owned(), json!(restored.digest_compared));
        map.insert("files_kept".to_owned(), json!(restored.files_kept));
        map.insert("bytes_kept".to_owned(), json!(restored.bytes_kept));
        map.insert("keys_kept".to_owned(), json!(restored.keys_kept));
        let notes = plan.notes.iter().chain(&restored.notes).collect::<Vec<_>>();
        map.insert("notes".to_owned(), json!(notes));
        map.insert("seconds".to_owned(), json!(took.as_secs_f64()));
    }
    text.push_str(&format!(
        "restored to {place}: {}{} in {:.2} s; every byte was verified",
        // Into a server go keys.
        if restored.files > 0 { format!("{} files, ", restored.files) } else { String::new() },
        terms::bytes(restored.bytes),
        took.as_secs_f64()
    ));
    if restored.bytes_kept > 0 {
        let kept = terms::bytes(restored.bytes_kept);
        text.push_str(&format!(", {kept} of them there already"));
    }
    if let Some(keys) = restored.keys {
        text.push_str(&format!(", {keys} keys"));
    }
    if restored.keys_kept > 0 {
        text.push_str(&format!(", {} of them there already", restored.keys_kept));
    }
    if restored.digest_compared {
        text.push_str(", the digest is that of the backup");
    }
    text.push('\n');
    text.push_str(&terms::notes(&restored.notes));
    if args.dir.is_some() {
        text.push_str(&format!("  next: fastness serve --dir {place}\n"));
    }
    Ok((value, text, 0))
}

/// What to know of a backup that was made later than now. By its time alone it would be taken for the newest one.
fn of_the_future(backup: &Manifest, clock: &dyn Clock) -> Option<String> {
    let Manifest { id, created_at, .. } = backup;
    (*created_at > clock.wall() + CLOCKS_DIFFER_MS).then(|| {
        format!(
            "{id} was made at {}, which is yet to come: a clock was wrong, and a backup that is listed before it may \
             be newer (fastness backup list; restore takes the one that --backup names)",
            Iso(*created_at)
        )
    })
}

/// The repository, or the files that stand for one.
fn open(args: &RestoreArgs) -> Result<Repository, BackupError> {
    if let Some(server) = terms::address(&args.from)? {
        return Err(BackupError::refused(
            format!("{server} is a server, and a restore is from a repository or from files"),
            "fastness backup create --from the server --to a repository, or fastness convert, reads servers",
        ));
    }
    let path = args.from.strip_prefix("file://").unwrap_or(&args.from);
    // What the disk says is said again where the repository is opened.
    let is_file = terms::anywhere().file_len(path).is_ok_and(|len| len.is_some());
    if !is_file {
        match args.identity.open(&args.from, true) {
            Err(BackupError::NoRepository { .. }) if source::is_data(&OsDisk::new(path)) => {}
            other => return other,
        }
    }
    let Gathered { source, origin, .. } = gather(path, &SystemClock::new(), &args.tls)?;
    let here = std::env::current_dir().unwrap_or_default();
    let place = here.join(path).to_string_lossy().trim_end_matches('/').to_owned();
    files::repository(source, origin, &place)
}

fn target(args: &RestoreArgs) -> Result<Target, BackupError> {
    let now = SystemClock::new().wall();
    let instant = |text: &String| {
        time::parse(text, now)
            .map_err(|why| BackupError::refused(why, "see fastness restore --help"))
    };
    if let Some(text) = &args.to_time {
        return Ok(Target::Time(instant(text)?));
    }
    if let Some(position) = args.to_position {
        return Ok(Target::Position(position));
    }
    if let Some(command) = &args.before_command {
        let after = args.after.as_ref().map(instant).transpose()?;
        return Ok(Target::Before { command: command.clone(), after });
    }
    Ok(Target::Latest)
}

fn carry_out(
    args: &RestoreArgs,
    repository: &Repository,
    plan: &Plan,
) -> Result<Restored, BackupError> {
    let progress = ProgressLine::new("restore");
    let note = |done, all| progress.note(done, all);
    let patterns = args.patterns.iter().map(|pattern| pattern.clone().into_bytes()).collect();
    let filter = Filter { patterns, databases: args.databases.clone() };
    if let Some(to) = &args.to {
        return into::server(&into::Into { args, repository, plan, filter: &filter, to });
    }
    let threads = args.threads;
    if let Some(path) = &args.output {
        let file = RdbFile { path, target: args.rdb_version.unwrap_or_default() };
        let place = (&*terms::anywhere(), file);
        return chosen::to_rdb(repository, plan, &filter, place, threads, &note);
    }
    let disk = OsDisk::new(args.dir.as_deref().unwrap_or_default());
    if filter.is_empty() {
        return restore::to_directory(repository, plan, &disk, threads, &note);
    }
    chosen::keys_to_directory(repository, plan, &filter, &disk, threads, &note)
}

fn plan_json(plan: &Plan) -> Value {
    let files = plan.files.iter().map(|planned| {
        json!({
            "name": planned.file.name,
            "bytes": planned.size(),
            "of_bytes": planned.file.size,
            "base": planned.is_base,
        })
    });
    json!({
        "backup": plan.manifest.id,
        "instant": plan.instant,
        "position": plan.position,
        "next_time": plan.next_time,
        "whole": plan.whole,
        "bytes": plan.size(),
        "files": files.collect::<Vec<_>>(),
        "notes": plan.notes,
    })
}

fn plan_text(plan: &Plan) -> String {
    let Manifest { id, origin, .. } = &plan.manifest;
    let mut out = match files::are(&plan.manifest) {
        true => format!("from {}, as it is\n", origin.address),
        false => format!("from backup {id}\n"),
    };
    for planned in &plan.files {
        let what = if planned.is_base { "base" } else { "log" };
        let size = match planned.content.is_some() {
            true => {
                format!("{} of {}", terms::bytes(planned.size()), terms::bytes(planned.file.size))
            }
            false => terms::bytes(planned.size()),
        };
        out.push_str(&format!("  {what:5} {}, {size}\n", planned.file.name));
    }
    let instant = plan.instant.map_or("an unknown time".to_owned(), |at| Iso(at).to_string());
    out.push_str(&format!("  state of {instant}"));
    if let Some(position) = plan.position {
        out.push_str(&format!(", position {position}"));
    }
    if let Some(next) = plan.next_time {
        out.push_str(&format!("; the next change, at {}, is left out", Iso(next)));
    }
    out.push('\n');
    out.push_str(&terms::notes(&plan.notes));
    out
}

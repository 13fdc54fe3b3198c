//! `fastness backup create`: from a directory, a snapshot file or a server into a repository.

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::gather::{Gathered, gather};
use super::terms::{self, ProgressLine};
use crate::backup::create::{CreateOptions, Created, create};
use crate::backup::repository::Repository;
use crate::backup::time::Iso;
use crate::backup::{BackupError, store};
use crate::clock::SystemClock;
use crate::rng::random_hex;

/// See `--help`.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// redis://[user:password@]host[:port], a data directory, or an RDB file; of Fastness, Redis or Valkey.
    ///
    /// A password is better given in the environment, as FASTNESS_PASSWORD or REDISCLI_AUTH.
    #[arg(long)]
    from: String,
    /// The repository: a path or URL.
    #[arg(long)]
    to: String,
    /// Threads that compress and send.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Read at most so many bytes a second; 0 is no bound.
    #[arg(long, default_value_t = 0)]
    rate: u64,
    /// Read what the repository has already, and replace what is damaged.
    #[arg(long)]
    recheck: bool,
    /// Load the data set and note its keys and digest, which restore compares. Takes the memory of the data.
    #[arg(long)]
    digest: bool,
    /// Encrypt for this age recipient (age1...); may be given several times. Later backups into the same place are
    /// encrypted as the first one, and refused if other recipients are named.
    #[arg(long = "recipient", value_name = "RECIPIENT")]
    recipients: Vec<String>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Runs it.
pub(super) fn run(args: &CreateArgs) -> ExitCode {
    let outcome = make(args).map(|created| {
        let value = json(&created, args);
        let text = text(&created, args);
        (value, text, 0)
    });
    terms::finish(args.json, outcome)
}

fn make(args: &CreateArgs) -> Result<Created, BackupError> {
    let clock = SystemClock::new();
    let random = random_hex(8);
    let store = store::open(&args.to, terms::anywhere())?;
    let gathered = gather(&args.from, &clock)?;
    let repository =
        Repository::open_or_make(store, &random_hex(32))?.sealed_for(&args.recipients)?;
    let progress = ProgressLine::new("backup");
    let options = CreateOptions {
        threads: args.threads,
        rate: args.rate,
        recheck: args.recheck,
        digest: args.digest,
    };
    let Gathered { source, origin, .. } = &gathered;
    let origin = origin.clone();
    create(&repository, source, origin, options, &clock, &random, &|done, all| {
        progress.note(done, all);
    })
}

fn json(created: &Created, args: &CreateArgs) -> Value {
    let manifest = &created.manifest;
    json!({
        "backup": manifest.id,
        "repository": args.to,
        "from": manifest.origin.kind,
        "producer": manifest.origin.producer,
        "instant": manifest.instant,
        "position": manifest.position,
        "files": manifest.files().count(),
        "bytes": manifest.size(),
        "bytes_sent": created.sent,
        "objects_sent": created.objects_sent,
        "objects_there": created.objects_there,
        "keys": manifest.keys,
        "digest": manifest.digest,
        "notes": created.notes,
    })
}

fn text(created: &Created, args: &CreateArgs) -> String {
    let manifest = &created.manifest;
    let mut out = format!("backup {} in {}\n", manifest.id, args.to);
    out.push_str(&format!(
        "  {} in {} files; {} sent as {} objects, {} were there\n",
        terms::bytes(manifest.size()),
        manifest.files().count(),
        terms::bytes(created.sent),
        created.objects_sent,
        created.objects_there
    ));
    if let Some(instant) = manifest.instant {
        out.push_str(&format!("  state of {}", Iso(instant)));
        match manifest.position {
            Some(position) => out.push_str(&format!(", position {position}\n")),
            None => out.push('\n'),
        }
    }
    if let Some(keys) = manifest.keys {
        out.push_str(&format!("  {keys} keys\n"));
    }
    if let Some(digest) = &manifest.digest {
        out.push_str(&format!("  digest {digest}\n"));
    }
    out.push_str(&terms::notes(&created.notes));
    out
}

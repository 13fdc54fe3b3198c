//! `fastness backup create`: from a directory, a snapshot file or a server into a repository.

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::gather::{Gathered, gather};
use super::passphrase;
use super::terms::{self, ProgressLine};
use super::tls::TlsArgs;
use crate::backup::BackupError;
use crate::backup::create::{CreateOptions, Created, create};
use crate::backup::passphrase::WORK_FACTOR;
use crate::backup::repository::Repository;
use crate::backup::time::Iso;
use crate::clock::SystemClock;
use crate::rng::random_hex;

/// See `--help`.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// redis://[user:password@]host[:port] (rediss:// for TLS), a data directory, or an RDB file; of Fastness, Redis or Valkey.
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
    /// Encrypt by a passphrase, which is asked for at the terminal, twice. Only the first backup into a place asks for it.
    ///
    /// It is taken from the variable FASTNESS_PASSPHRASE, if that is set, which also stands for this option.
    #[arg(long)]
    passphrase: bool,
    /// Encrypt by the passphrase in this file.
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<String>,
    #[command(flatten)]
    tls: TlsArgs,
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
    let store = terms::open_store(&args.to)?;
    let gathered = gather(&args.from, &clock, &args.tls)?;
    let repository = sealed(Repository::open_or_make(store, &random_hex(32))?, args)?;
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

/// The repository, encrypted as it is to be.
fn sealed(repository: Repository, args: &CreateArgs) -> Result<Repository, BackupError> {
    let is_new = repository.recipients().is_empty();
    let given = passphrase::given(args.passphrase_file.as_ref())?;
    let passphrase = match given {
        // A variable may be meant for another repository.
        Some(_) if !is_new && args.passphrase_file.is_none() && !repository.has_passphrase()? => {
            None
        }
        None if args.passphrase && is_new => Some(passphrase::ask_new()?),
        given => given,
    };
    match passphrase {
        Some(passphrase) => repository.sealed_by(&passphrase, &args.recipients, WORK_FACTOR),
        None => repository.sealed_for(&args.recipients),
    }
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

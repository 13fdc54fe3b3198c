//! `fastness backup create`: from a directory, a snapshot file or a server into a repository.

use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use serde_json::{Value, json};

use super::terms::{self, ProgressLine};
use crate::backup::create::{CreateOptions, Created, create};
use crate::backup::manifest::Origin;
use crate::backup::repository::Repository;
use crate::backup::server::{Address, Facts};
use crate::backup::source::{self, Source};
use crate::backup::time::Iso;
use crate::backup::{BackupError, store};
use crate::clock::{Clock, SystemClock};
use crate::disk::os::OsDisk;
use crate::disk::{Disk, OpenMode, durable};
use crate::recovery::inspect::view;
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
    let server = terms::address(&args.from)?;
    let random = random_hex(8);
    let store = store::open(&args.to, terms::anywhere())?;
    let gathered = match &server {
        Some(address) => of_server(address, &clock)?,
        None => of_path(&args.from)?,
    };
    let repository = Repository::open_or_make(store, &random_hex(32))?;
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

/// A source, and the temporary file that it may be in.
struct Gathered {
    source: Source,
    origin: Origin,
    _temporary: Option<Temporary>,
}

/// A file that goes when it is not needed any more.
struct Temporary {
    disk: Arc<dyn Disk>,
    path: String,
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // Nothing but room is lost when it stays.
        let _ = self.disk.remove(&self.path);
    }
}

fn of_path(path: &str) -> Result<Gathered, BackupError> {
    let disk = OsDisk::new(path);
    let (source, address) = match disk.list("") {
        Ok(_) => (source::of_directory(&disk)?, path),
        Err(error) if error.source.kind() == std::io::ErrorKind::NotADirectory => {
            let name = path.rsplit('/').next().unwrap_or(path);
            (source::of_snapshot(name, view(terms::anywhere().as_ref(), path)?)?, path)
        }
        Err(error) => {
            return Err(BackupError::refused(
                format!("{path}: {}", error.source),
                "name a data directory, an RDB file, or redis://host:port",
            ));
        }
    };
    let origin =
        Origin { kind: "directory".to_owned(), address: address.to_owned(), ..Origin::default() };
    Ok(Gathered { source, origin, _temporary: None })
}

fn of_server(address: &Address, clock: &dyn Clock) -> Result<Gathered, BackupError> {
    let mut connection = terms::connect(address)?;
    let facts = connection.facts()?;
    let origin = |kind: &str| Origin {
        kind: kind.to_owned(),
        address: address.to_string(),
        ..Origin::default()
    };
    if facts.is_fastness() {
        let pid_in = |dir: &str| {
            let found = durable::read_small(&OsDisk::new(dir), "fastness.lock", 64).ok()??;
            String::from_utf8(found).ok()
        };
        if let Some(files) = connection.local_files(&facts, clock, &pid_in)? {
            let disk = OsDisk::new(&files.dir);
            let mut source = match &files.snapshot {
                Some(name) => source::of_snapshot(name, view(&disk, name)?)?,
                None => source::of_directory(&disk)?,
            };
            source.producer = facts.producer();
            return Ok(Gathered { source, origin: origin("server"), _temporary: None });
        }
    }
    let gathered = of_replication(address, connection, &facts)?;
    Ok(Gathered { origin: origin("replication"), ..gathered })
}

/// Any other server: the snapshot that it sends to a replica, by way of a temporary file.
fn of_replication(
    address: &Address,
    mut connection: crate::backup::server::Connection,
    facts: &Facts,
) -> Result<Gathered, BackupError> {
    let path = std::env::temp_dir().join(format!("fastness-backup-{}.rdb", random_hex(16)));
    let path = path.to_string_lossy().into_owned();
    let disk = terms::anywhere();
    let file = disk.open(&path, OpenMode::CreateOrTruncate)?;
    let temporary = Temporary { disk: Arc::clone(&disk), path: path.clone() };
    let progress = ProgressLine::new("snapshot");
    let sent = connection.synchronize(file.as_ref(), &|done, all| progress.note(done, all));
    if let Err(BackupError::Server { what }) = &sent
        && facts.is_fastness()
    {
        return Err(BackupError::refused(
            format!("{what} ({address} is a Fastness whose files are not on this machine)"),
            "run fastness backup create on its machine",
        ));
    }
    sent?;
    drop((progress, file));
    let mut source = source::of_snapshot("dump.rdb", view(disk.as_ref(), &path)?)?;
    if source.producer.is_empty() {
        source.producer = facts.producer();
    }
    Ok(Gathered { source, origin: Origin::default(), _temporary: Some(temporary) })
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

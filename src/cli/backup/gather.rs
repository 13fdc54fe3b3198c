//! What `--from` names: a directory, a snapshot file, a server whose files are here, any other server.

use super::terms::{self, ProgressLine};
use super::tls::TlsArgs;
use crate::backup::BackupError;
use crate::backup::manifest::Origin;
use crate::backup::server::{Address, Facts};
use crate::backup::source::{self, Source};
use crate::clock::Clock;
use crate::disk::os::OsDisk;
use crate::disk::{Disk, durable};
use crate::exchange::source::Temporary;
use crate::recovery::inspect::view;

/// The data set that `from` names, opened and checked.
pub(crate) fn gather(
    from: &str,
    clock: &dyn Clock,
    tls: &TlsArgs,
) -> Result<Gathered, BackupError> {
    match terms::address(from)? {
        Some(address) => of_server(&address, clock, tls),
        None => of_path(from),
    }
}

/// A source, and the temporary file that it may be in.
pub(crate) struct Gathered {
    pub(crate) source: Source,
    pub(crate) origin: Origin,
    pub(crate) temporary: Option<Temporary>,
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
    Ok(Gathered { source, origin, temporary: None })
}

fn of_server(address: &Address, clock: &dyn Clock, tls: &TlsArgs) -> Result<Gathered, BackupError> {
    let mut connection = terms::connect(address, tls)?;
    let facts = connection.facts()?;
    let origin = |kind: &str| Origin {
        kind: kind.to_owned(),
        address: address.to_string(),
        ..Origin::default()
    };
    if facts.is_fastness()
        && let Some(files) = connection.local_files(&facts, clock, &is_locked_by)?
    {
        let disk = OsDisk::new(&files.dir);
        let mut source = match &files.snapshot {
            Some(name) => source::of_snapshot(name, view(&disk, name)?)?,
            None => source::of_directory(&disk)?,
        };
        source.producer = facts.producer();
        return Ok(Gathered { source, origin: origin("server"), temporary: None });
    }
    let gathered = of_replication(connection, &facts)?;
    Ok(Gathered { origin: origin("replication"), ..gathered })
}

/// Whether the run of a server holds the lock of a directory. Servers of before wrote no run into it: what they have is
/// taken from their stream.
fn is_locked_by(dir: &str, run_id: &str) -> bool {
    let (disk, name) = (OsDisk::new(dir), "fastness.lock");
    let Ok(Some(found)) = durable::read_small(&disk, name, 256) else { return false };
    let found = String::from_utf8_lossy(&found);
    // A copy of the directory has the same words in it, and nobody holds those.
    found.split_ascii_whitespace().nth(1) == Some(run_id) && disk.is_locked(name)
}

/// Any other server, and a Fastness whose files are not here: the snapshot that it sends to a replica, by way
/// of a temporary file.
fn of_replication(
    mut connection: crate::backup::server::Connection,
    facts: &Facts,
) -> Result<Gathered, BackupError> {
    let disk = terms::anywhere();
    let (temporary, file) = Temporary::create(&disk, &terms::temporary_folder())?;
    let progress = ProgressLine::new("snapshot");
    let sent = connection.synchronize(file.as_ref(), &|done, all| progress.note(done, all));
    sent?;
    drop((progress, file));
    let mut source = source::of_snapshot("dump.rdb", view(disk.as_ref(), &temporary.path)?)?;
    if source.producer.is_empty() {
        source.producer = facts.producer();
    }
    Ok(Gathered { source, origin: Origin::default(), temporary: Some(temporary) })
}

//! What a subcommand reads a data set from, and what of it is wanted.

use std::io::Read as _;
use std::sync::Arc;

use clap::Args;

use crate::backup::BackupError;
use crate::backup::cut::Target as Instant;
use crate::backup::load::Filter;
use crate::backup::plan::plan;
use crate::backup::repository::Repository;
use crate::backup::{restore, store, time};
use crate::cli::backup::gather::gather;
use crate::cli::backup::terms::{self, ProgressLine};
use crate::cli::backup::tls::TlsArgs;
use crate::clock::{Clock, SystemClock};
use crate::disk::Disk;
use crate::disk::os::OsDisk;
use crate::engine::persist::{FileForm, Manner, Table};
use crate::exchange::rdb::{RdbWriter, Wanted};
use crate::exchange::source::{DataSet, Temporary};
use crate::exchange::{Selection, ndjson, scan};
use crate::keyspace::Kind;
use crate::snapshot::encode::Header;
use crate::snapshot::target::Target;

/// Sections of snapshot files.
pub(super) const SECTION_BYTES: usize = 1 << 20;

/// Which keys, and of which state.
#[derive(Debug, Default, Args)]
#[group(skip)]
pub struct InputArgs {
    /// Only keys that match this pattern (as KEYS takes it); may be given several times.
    #[arg(long = "match", value_name = "PATTERN", help_heading = "What is read")]
    patterns: Vec<String>,
    /// Only keys of this database; may be given several times.
    #[arg(long = "db", value_name = "N", help_heading = "What is read")]
    databases: Vec<usize>,
    /// Only keys of this type: string, list, set, zset, hash, stream; may be given several times.
    #[arg(long = "type", value_name = "TYPE", value_parser = kind, help_heading = "What is read")]
    kinds: Vec<Kind>,
    /// Leave out function libraries; they are anyway where keys are chosen.
    #[arg(long, help_heading = "What is read")]
    no_functions: bool,
    /// Of a repository: this backup instead of the newest.
    #[arg(long, value_name = "ID", help_heading = "What is read")]
    backup: Option<String>,
    /// Of a repository: the state at this instant (2026-11-22T10:00:00Z, or "10 minutes ago").
    #[arg(long, value_name = "TIME", help_heading = "What is read")]
    to_time: Option<String>,
    /// Of a server: ask for each key with SCAN and DUMP, instead of its files or its replication stream. The result is
    /// no single instant.
    #[arg(long, help_heading = "What is read")]
    pub scan: bool,
    #[command(flatten)]
    pub(in crate::cli) tls: TlsArgs,
}

fn kind(name: &str) -> Result<Kind, String> {
    ndjson::write::kind_of(&name.to_ascii_lowercase())
        .ok_or_else(|| "it is string, list, set, zset, hash or stream".to_owned())
}

impl InputArgs {
    /// Which keys are wanted.
    pub fn selection(&self) -> Selection {
        let patterns = self.patterns.iter().map(|pattern| pattern.clone().into_bytes()).collect();
        let filter = Filter { patterns, databases: self.databases.clone() };
        Selection { filter, kinds: self.kinds.clone(), no_functions: self.no_functions }
    }

    /// Opens and checks what `input` names.
    pub fn open(&self, input: &str) -> Result<DataSet, BackupError> {
        let clock = SystemClock::new();
        if input == "-" {
            return of_standard_input();
        }
        if terms::address(input)?.is_some() {
            return self.of_server(input, &clock);
        }
        if input.contains("://") || is_repository(input) {
            return self.of_repository(input, &clock);
        }
        if self.backup.is_some() || self.to_time.is_some() {
            return Err(BackupError::refused(
                format!("{input} is no backup repository, so it has one state only"),
                "leave out --backup and --to-time",
            ));
        }
        let disk = OsDisk::new(input);
        match disk.list("") {
            Ok(_) => DataSet::of_directory(&disk),
            Err(error) if error.source.kind() == std::io::ErrorKind::NotADirectory => {
                DataSet::of_file(terms::anywhere().as_ref(), input)
            }
            Err(error) => Err(BackupError::refused(
                format!("{input}: {}", error.source),
                "name a file, a data directory, a backup repository, redis://host:port or -",
            )),
        }
    }

    fn of_repository(&self, url: &str, clock: &dyn Clock) -> Result<DataSet, BackupError> {
        let repository = terms::IdentityArgs::default().open(url, true)?;
        let target = match &self.to_time {
            Some(text) => Instant::Time(
                time::parse(text, clock.wall())
                    .map_err(|why| BackupError::refused(why, "write it as --help shows"))?,
            ),
            None => Instant::Latest,
        };
        let plan = plan(&repository, self.backup.as_deref(), &target)?;
        let progress = ProgressLine::new("fetched");
        let note = |done, all| progress.note(done, all);
        restore::to_memory(&repository, &plan, 2, &note).map(DataSet::of_memory)
    }

    fn of_server(&self, input: &str, clock: &dyn Clock) -> Result<DataSet, BackupError> {
        if !self.scan {
            match gather(input, clock, &self.tls) {
                Ok(gathered) => {
                    let data = DataSet::of_source(gathered.source)?;
                    return Ok(match gathered.temporary {
                        Some(temporary) => data.keeping(temporary),
                        None => data,
                    });
                }
                // It may still answer to SCAN: files elsewhere, or no right to replicate.
                Err(BackupError::Refused { .. } | BackupError::Server { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let mut data = self.scanned(input, clock)?;
        if !self.scan {
            data.notes
                .push("the server was read key by key: the result is no single instant".to_owned());
        }
        Ok(data)
    }

    /// What SCAN and DUMP give, by way of a temporary snapshot.
    fn scanned(&self, input: &str, clock: &dyn Clock) -> Result<DataSet, BackupError> {
        let address = terms::address(input)?
            .ok_or_else(|| BackupError::refused("it is no server", "write redis://host:port"))?;
        let mut connection = terms::connect(&address, &self.tls)?;
        let facts = connection.facts()?;
        let disk = terms::anywhere();
        let (temporary, file) = Temporary::create(&disk, &terms::temporary_folder())?;
        drop(file);
        let manner = Manner {
            form: FileForm::Zstd { level: 1 },
            checksum: true,
            threads: 1,
            beside_clients: false,
            section_bytes: SECTION_BYTES,
            incremental_sync: false,
            durable: true,
            target: Target::Newest,
            table: Table::None,
        };
        let wanted = Wanted {
            target: Target::Redis(12),
            manner,
            header: Header { field_expiry: true, ..Header::default() },
        };
        let mut writer = RdbWriter::new(&disk, &temporary.path, wanted);
        let progress = ProgressLine::new("read");
        scan::each(
            &mut connection,
            &facts,
            clock,
            &self.selection(),
            &mut writer,
            &mut |done, all| progress.note(done, all),
        )?;
        writer.finish().map_err(|what| BackupError::Output { what })?;
        Ok(DataSet::of_file(disk.as_ref(), &temporary.path)?.keeping(temporary))
    }
}

/// The keys that a running server has.
pub(in crate::cli) fn of_running(address: &str, tls: &TlsArgs) -> Result<DataSet, BackupError> {
    InputArgs { tls: tls.clone(), no_functions: true, ..InputArgs::default() }.open(address)
}

fn is_repository(path: &str) -> bool {
    store::open(path, terms::anywhere()).is_ok_and(|store| Repository::open(store).is_ok())
}

/// Standard input can be read once, and a snapshot's checksum stands at its end: it goes to a file first.
fn of_standard_input() -> Result<DataSet, BackupError> {
    let disk = terms::anywhere();
    let (temporary, file) = Temporary::create(&disk, &terms::temporary_folder())?;
    let mut input = std::io::stdin().lock();
    let mut buffer = vec![0; 1 << 18];
    let mut at = 0;
    loop {
        let taken = input.read(&mut buffer).map_err(|error| BackupError::Source {
            what: format!("standard input cannot be read: {error}"),
        })?;
        if taken == 0 {
            break;
        }
        file.write_all_at(at, buffer.get(..taken).unwrap_or_default())?;
        at += taken as u64;
    }
    drop(file);
    if at == 0 {
        return Err(BackupError::refused("standard input is empty", "pipe a data set into it"));
    }
    let disk: Arc<dyn Disk> = disk;
    Ok(DataSet::of_file(disk.as_ref(), &temporary.path)?.keeping(temporary))
}

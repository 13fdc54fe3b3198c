//! From an opened input to an output: written beside its name, read back, compared, renamed.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::ending;
use super::input::{InputArgs, SECTION_BYTES};
use crate::aof::filename::{BaseFormat, FileNames};
use crate::aof::manifest::{Entry, Manifest};
use crate::backup::BackupError;
use crate::cli::backup::terms::{self, ProgressLine};
use crate::clock::{Clock as _, SystemClock};
use crate::disk::{OpenMode, SharedDisk, durable};
use crate::engine::persist::{FileForm, Manner, Table};
use crate::exchange::commands::CommandWriter;
use crate::exchange::ndjson::write::NdjsonWriter;
use crate::exchange::output::ByteOutput;
use crate::exchange::rdb::{RdbWriter, Wanted};
use crate::exchange::source::{DataSet, Temporary};
use crate::exchange::sum::Sum;
use crate::exchange::{Item, Passed, Selection, Sink, leavings};
use crate::recovery::inspect::view;
use crate::snapshot::encode::Header;
use crate::snapshot::target::Target;

/// A form of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// A snapshot that Redis and Valkey load.
    Rdb,
    /// A snapshot in a container of zstd frames, for Fastness; `zstd -d` makes an RDB of it.
    Zstd,
    /// One file of commands, which every server replays.
    Aof,
    /// A data directory with a log whose base is an RDB, as Redis 7 and later have it.
    AofDir,
    /// One JSON object a line.
    Ndjson,
}

/// How the output is written.
#[derive(Debug, Args)]
#[group(skip)]
pub(super) struct OutputArgs {
    /// RDB version: 6 (Redis 2.6), 7 (3.2), 8 (4.0), 9 (5.0), 10 (7.0), 11 (7.2, every Valkey), 12 (7.4) or 80
    /// (Valkey 9, with expiring fields). Otherwise 11, or 12 where fields expire.
    #[arg(long, value_name = "N", value_parser = rdb_version, help_heading = "What is written")]
    rdb_version: Option<Target>,
    /// How an RDB is compressed.
    #[arg(long, value_enum, default_value = "lzf", help_heading = "What is written")]
    compression: Compression,
    /// Replace the output if it is there.
    #[arg(long, help_heading = "What is written")]
    force: bool,
}

/// How strings of an RDB are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Compression {
    /// Long strings one by one, as Redis does.
    Lzf,
    /// Not at all.
    None,
}

pub(in crate::cli) fn rdb_version(text: &str) -> Result<Target, String> {
    let number = text.parse().ok().and_then(Target::of_number);
    number.ok_or_else(|| "versions 6 to 12 and 80 are written".to_owned())
}

/// What was done.
struct Done {
    passed: Passed,
    sum: Sum,
    bytes: u64,
    /// Whether it was read back and is the same.
    verified: bool,
}

/// Runs it and says what was done.
pub(super) fn run(
    input: &str,
    output: &str,
    format: Option<Format>,
    from: &InputArgs,
    to: &OutputArgs,
    as_json: bool,
) -> ExitCode {
    let outcome = transfer(input, output, format, from, to);
    if output != "-" || outcome.is_err() {
        return terms::finish(as_json, outcome.map(|(value, text)| (value, text, 0)));
    }
    if let (true, Ok((value, _))) = (as_json, &outcome) {
        eprintln!("{value:#}");
    }
    ExitCode::SUCCESS
}

fn transfer(
    input: &str,
    output: &str,
    format: Option<Format>,
    from: &InputArgs,
    to: &OutputArgs,
) -> Result<(Value, String), BackupError> {
    let format = format.map_or_else(|| format_of(output), Ok)?;
    let place = Place::new(output, format, to.force)?;
    ending::listen()?;
    let clock = SystemClock::new();
    let started = clock.monotonic();
    let data = from.open(input)?;
    let job = Job { data: &data, selection: from.selection(), to, now: clock.wall() };
    let written = place.begin().and_then(|()| job.write(format, &place));
    if written.is_err() {
        place.give_up();
    }
    let done = written?;
    let took = clock.monotonic().saturating_sub(started).as_secs_f64();
    let Done { passed, sum, bytes, verified } = done;
    let digest = sum.digest();
    // Without a password.
    let input = terms::address(input)?.map_or_else(|| input.to_owned(), |place| place.to_string());
    let name = format.to_possible_value().map(|value| value.get_name().to_owned());
    let value = json!({
        "input": input,
        "output": output,
        "format": name,
        "keys": passed.keys,
        "left_out": passed.left_out,
        "functions": passed.functions,
        "bytes": bytes,
        "digest": digest,
        "verified": verified,
        "seconds": took,
        "notes": data.notes,
    });
    let mut text = format!(
        "{input} -> {output}: {} keys, {}, digest {digest}, {took:.2} s{}\n",
        passed.keys,
        terms::bytes(bytes),
        if verified { "; read back, and the same" } else { "" }
    );
    if passed.left_out > 0 {
        text.push_str(&format!("{} keys were not asked for\n", passed.left_out));
    }
    text.push_str(&terms::notes(&data.notes));
    Ok((value, text))
}

fn format_of(output: &str) -> Result<Format, BackupError> {
    let ends = |endings: &[&str]| endings.iter().any(|ending| output.ends_with(ending));
    if ends(&[".rdb"]) {
        Ok(Format::Rdb)
    } else if ends(&[".zst", ".zstd"]) {
        Ok(Format::Zstd)
    } else if ends(&[".aof"]) {
        Ok(Format::Aof)
    } else if ends(&[".ndjson", ".jsonl", ".json"]) {
        Ok(Format::Ndjson)
    } else if ends(&["/"]) {
        Ok(Format::AofDir)
    } else {
        Err(BackupError::refused(
            format!("the name {output} does not tell the form of the output"),
            "say it: --format rdb, zstd, aof, aof-dir or ndjson",
        ))
    }
}

/// The folder of the log in a data directory, as Redis has it.
const LOG_FOLDER: &str = "appendonlydir";

/// Where the output goes.
struct Place {
    disk: SharedDisk,
    /// `None`: standard output.
    path: Option<String>,
    /// The name that it has while it is written.
    temp: String,
    /// The folder of the log while it is written: the directory `temp` itself, or one in it. `None`: a file.
    log_folder: Option<String>,
}

impl Place {
    fn new(output: &str, format: Format, force: bool) -> Result<Self, BackupError> {
        let disk = terms::anywhere();
        let is_directory = format == Format::AofDir;
        if output == "-" {
            if is_directory {
                return Err(BackupError::refused(
                    "a directory does not go to standard output",
                    "name a directory",
                ));
            }
            let is_text = format == Format::Ndjson;
            if !is_text && std::io::stdout().is_terminal() {
                return Err(BackupError::refused(
                    "a terminal does not show such a file",
                    "name a file, or pipe it somewhere",
                ));
            }
            return Ok(Self { disk, path: None, temp: String::new(), log_folder: None });
        }
        let path = match output.trim_end_matches('/') {
            "" => "/".to_owned(),
            path => path.to_owned(),
        };
        if is_directory {
            return Self::directory(disk, path);
        }
        if disk.list(&path).is_ok() {
            return Err(BackupError::refused(format!("{path} is a directory"), "name a file"));
        }
        if !force && disk.file_len(&path)?.is_some() {
            return Err(BackupError::refused(
                format!("{path} is there already"),
                "name another file, or replace it with --force",
            ));
        }
        Ok(Self { disk, temp: beside(&path), path: Some(path), log_folder: None })
    }

    /// A data directory, which may be there when nothing is in it. Then it stays as it is, with its owner and rights
    /// and maybe with a file system of its own, and what gets its name last is the folder of the log in it.
    fn directory(disk: SharedDisk, path: String) -> Result<Self, BackupError> {
        let there = disk.list(&path).ok();
        if there.as_ref().is_some_and(|names| !names.is_empty())
            || disk.file_len(&path).ok().flatten().is_some()
        {
            return Err(BackupError::refused(
                format!("{path} is there already"),
                "name a directory that is not there",
            ));
        }
        if there.is_some() {
            let path = durable::join(&path, LOG_FOLDER);
            let temp = beside(&path);
            return Ok(Self { disk, log_folder: Some(temp.clone()), temp, path: Some(path) });
        }
        let temp = beside(&path);
        let log_folder = Some(durable::join(&temp, LOG_FOLDER));
        Ok(Self { disk, temp, path: Some(path), log_folder })
    }

    /// Makes what has the temporary name.
    fn begin(&self) -> Result<(), BackupError> {
        if self.path.is_none() {
            return Ok(());
        }
        let Some(log_folder) = &self.log_folder else {
            leavings::file(&self.disk, &self.temp, OpenMode::CreateOrTruncate)?;
            return Ok(());
        };
        leavings::directory(&self.disk, &self.temp)?;
        if *log_folder != self.temp {
            leavings::within(|| durable::create_dir(self.disk.as_ref(), log_folder))?;
        }
        Ok(())
    }

    /// Gives what is whole and durable its name.
    fn put_in_place(&self) -> Result<(), BackupError> {
        let Some(path) = &self.path else { return Ok(()) };
        leavings::keep(self.disk.as_ref(), &self.temp, path)?;
        let parent = match durable::parent(path) {
            "" if path.starts_with('/') => "/",
            parent => parent,
        };
        Ok(self.disk.sync_dir(parent)?)
    }

    /// Leaves nothing behind that has no meaning.
    fn give_up(&self) {
        if self.path.is_some() {
            leavings::remove(self.disk.as_ref(), &self.temp);
        }
    }

    fn bytes(&self) -> Result<ByteOutput, BackupError> {
        match &self.path {
            Some(_) => Ok(leavings::within(|| ByteOutput::file(&self.disk, &self.temp))?),
            None => Ok(ByteOutput::standard()),
        }
    }
}

/// A temporary name in the same directory.
fn beside(path: &str) -> String {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let temp = format!("temp-{}-{name}", std::process::id());
    match (folder, path.starts_with('/')) {
        ("", true) => format!("/{temp}"),
        (folder, _) => durable::join(folder, &temp),
    }
}

/// Hands everything to a writer and sums it up.
struct Tee<'t> {
    sum: Sum,
    writer: &'t mut dyn Sink,
}

impl Sink for Tee<'_> {
    fn function(&mut self, source: &[u8]) -> Result<(), String> {
        self.sum.function(source)?;
        self.writer.function(source)
    }

    fn key(&mut self, item: &Item<'_>) -> Result<(), String> {
        self.sum.key(item)?;
        self.writer.key(item)
    }
}

struct Job<'j> {
    data: &'j DataSet,
    selection: Selection,
    to: &'j OutputArgs,
    now: i64,
}

impl Job<'_> {
    fn write(&self, format: Format, place: &Place) -> Result<Done, BackupError> {
        let mut done = match format {
            Format::Ndjson => {
                let mut writer = NdjsonWriter::new(place.bytes()?);
                let (passed, sum) = self.pass(&mut writer)?;
                Done { passed, sum, bytes: finished(writer.finish())?, verified: false }
            }
            Format::Aof => {
                let mut writer = CommandWriter::new(place.bytes()?);
                let (passed, sum) = self.pass(&mut writer)?;
                Done { passed, sum, bytes: finished(writer.finish())?, verified: false }
            }
            Format::AofDir => return self.directory(place),
            Format::Rdb | Format::Zstd => self.snapshot(format, place)?,
        };
        if place.path.is_none() {
            return Ok(done);
        }
        // A log would have to be replayed to be compared.
        if format != Format::Aof {
            self.verify(place, &place.temp, &done.sum)?;
            done.verified = true;
        }
        place.put_in_place()?;
        Ok(done)
    }

    fn pass(&self, writer: &mut dyn Sink) -> Result<(Passed, Sum), BackupError> {
        let mut tee = Tee { sum: Sum::default(), writer };
        let progress = ProgressLine::new("written");
        let passed =
            self.data.each(&self.selection, &mut tee, &mut |done, all| progress.note(done, all))?;
        Ok((passed, tee.sum))
    }

    fn wanted(&self, format: Format, aof_base: bool) -> Wanted {
        let field_expiry = self.data.has_field_expiry();
        let newest = if field_expiry { Target::Redis(12) } else { Target::Redis(11) };
        let form = match (format, self.to.compression) {
            (Format::Zstd, _) => FileForm::Zstd { level: 1 },
            (_, Compression::Lzf) => FileForm::Lzf,
            (_, Compression::None) => FileForm::Plain,
        };
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(16);
        let manner = Manner {
            form,
            checksum: true,
            threads,
            beside_clients: false,
            section_bytes: SECTION_BYTES,
            incremental_sync: false,
            durable: true,
            target: Target::Newest,
            table: if aof_base { Table::Lines } else { Table::None },
        };
        let header =
            Header { field_expiry, created_at: self.now / 1000, aof_base, ..Header::default() };
        Wanted { target: self.to.rdb_version.unwrap_or(newest), manner, header }
    }

    /// A snapshot; one for standard output goes by way of a file, since its parts are packed in parallel.
    fn snapshot(&self, format: Format, place: &Place) -> Result<Done, BackupError> {
        let wanted = self.wanted(format, false);
        if place.path.is_some() {
            return self.snapshot_file(place, &place.temp, wanted);
        }
        let (temporary, file) = Temporary::create(&place.disk, &terms::temporary_folder())?;
        drop(file);
        let done = self.snapshot_file(place, &temporary.path, wanted)?;
        let mut out = ByteOutput::standard();
        for part in view(place.disk.as_ref(), &temporary.path)?.chunks(1 << 18) {
            out.buffer().extend_from_slice(part);
            out.pass().map_err(|what| BackupError::Output { what })?;
        }
        finished(out.finish())?;
        Ok(done)
    }

    fn snapshot_file(
        &self,
        place: &Place,
        path: &str,
        wanted: Wanted,
    ) -> Result<Done, BackupError> {
        let mut writer = RdbWriter::new(&place.disk, path, wanted);
        let (passed, sum) = self.pass(&mut writer)?;
        Ok(Done { passed, sum, bytes: finished(writer.finish())?, verified: false })
    }

    /// A data directory: base, an empty segment, the manifest, and last its name. Redis would start empty on one that
    /// has no manifest yet.
    fn directory(&self, place: &Place) -> Result<Done, BackupError> {
        let disk = place.disk.as_ref();
        let folder = place.log_folder.as_deref().unwrap_or_default();
        let names = FileNames::new(folder, "appendonly.aof");
        let (base, incr) = (names.base(1, BaseFormat::Rdb), names.incr(1));
        let path = names.path(&base);
        let mut done = self.snapshot_file(place, &path, self.wanted(Format::AofDir, true))?;
        self.verify(place, &path, &done.sum)?;
        done.verified = true;
        leavings::within(|| {
            disk.open(&names.path(&incr), OpenMode::CreateOrTruncate)?.sync_all()?;
            let manifest = Manifest {
                base: Some(Entry::new(base, 1)),
                incrs: vec![Entry::new(incr, 1)],
                ..Manifest::default()
            };
            let (temp, last) = (names.path(&names.temp_manifest()), names.path(&names.manifest()));
            durable::replace_file(disk, &temp, &last, &manifest.encode())
                .map_err(|error| BackupError::Disk(error.into_inner()))
        })?;
        place.put_in_place()?;
        Ok(done)
    }

    /// Reads what was written, and compares.
    fn verify(&self, place: &Place, path: &str, expected: &Sum) -> Result<(), BackupError> {
        let mut sum = Sum::default();
        let progress = ProgressLine::new("read back");
        let written = DataSet::of_file(place.disk.as_ref(), path)?;
        written.each(&Selection::default(), &mut sum, &mut |done, all| progress.note(done, all))?;
        if sum.same(expected) {
            return Ok(());
        }
        Err(BackupError::Output {
            what: "what was written does not hold the same: is the disk sound?".to_owned(),
        })
    }
}

fn finished(result: Result<u64, String>) -> Result<u64, BackupError> {
    result.map_err(|what| BackupError::Output { what })
}

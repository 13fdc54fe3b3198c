//! `fastness convert DIR --for`: a directory's snapshots from one form to the other, offline.
//!
//! With `--for redis` the base of the log and the snapshot become files that Redis and Valkey load, with
//! `--for fastness` containers that are checked and loaded in parts. Segments of the log are the same for
//! both. First every file is read and its content summed; then each is written anew beside itself, read
//! back, compared, made durable and renamed. So at any instant, also after a crash, each name holds
//! the whole content in one form or the other, and nothing is taken away that is not there again.
//!
//! Exit codes: 0 the directory has the form asked for, 1 something in it is not sound or the work failed, 2
//! it cannot be looked at or is in use.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::ValueEnum;
use serde_json::{Value, json};

use super::content::{Content, read_content};
use crate::aof::filename;
use crate::aof::manifest::{Content as Listed, Entry};
use crate::cli::backup::terms;
use crate::disk::os::OsDisk;
use crate::disk::{Disk, SharedDisk, durable};
use crate::engine::persist::{FileForm, Manner, SnapshotFile, TEMP_CONVERT, Table};
use crate::recovery::find::{config_for, sole_snapshot};
use crate::recovery::inspect::{Facts, inspect, view};
use crate::snapshot::container::{Kind, is_container, is_foreign_zstd};
use crate::snapshot::transcode::sections;

/// Who is to load the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Reader {
    /// Redis, Valkey and every tool that reads RDB.
    Redis,
    /// Fastness.
    Fastness,
}

/// A file that is asked about.
#[derive(Debug)]
struct File {
    path: String,
    temp: String,
    is_container: bool,
    /// What a form of Redis has behind it.
    table: Table,
    bytes: u64,
    content: Content,
    /// Its size in the new form, when it was written anew.
    bytes_after: Option<u64>,
}

/// Why a directory is not converted, and the exit code that says so.
struct Failure(u8, String);

/// Converts the directory and says what was done.
pub(super) fn run(dir: &str, reader: Reader, as_json: bool) -> ExitCode {
    let mut notes = Vec::new();
    let outcome = convert(dir, reader, as_json, &mut notes);
    let (code, text) = match &outcome {
        Ok(files) if as_json => (0, format!("{:#}\n", report(dir, reader, files, &notes))),
        Err(Failure(code, why)) if as_json => {
            (*code, format!("{:#}\n", json!({ "path": dir, "error": why, "notes": notes })))
        }
        Ok(files) => (0, lines(reader, files, &notes)),
        Err(Failure(code, why)) => {
            eprintln!("fastness: {why}");
            eprintln!("  next: nothing was lost; run `fastness check {dir}` to see what is there");
            (*code, String::new())
        }
    };
    terms::print(&text, code)
}

fn convert(
    dir: &str,
    reader: Reader,
    quiet: bool,
    notes: &mut Vec<String>,
) -> Result<Vec<File>, Failure> {
    let disk: SharedDisk = std::sync::Arc::new(OsDisk::new(dir));
    let names = disk.list("").map_err(|error| Failure(2, format!("{dir}: {}", error.source)))?;
    let pid = std::process::id();
    let _lock = disk
        .lock("fastness.lock", &format!("{pid}\n"))
        .map_err(|error| Failure(2, terms::not_locked(dir, &error)))?;
    let config = config_for(disk.as_ref(), &names);
    let facts = inspect(disk.as_ref(), &config).map_err(|error| Failure(1, error.to_string()))?;
    let progress = Progress { shown: !quiet && std::io::stderr().is_terminal() };
    let mut files = find(disk.as_ref(), &facts, &names, notes, &progress)?;
    for file in &mut files {
        if file.is_container != (reader == Reader::Fastness) {
            let written = write_anew(&disk, file, reader, &config, &progress)
                .and_then(|written| put_in_place(disk.as_ref(), &facts, file, written));
            progress.end();
            file.bytes_after = Some(written.map_err(|why| {
                // What it leaves behind does no harm: the next start removes it.
                let _ = durable::remove_if_there(disk.as_ref(), &file.temp);
                Failure(1, format!("{}: {why}", file.path))
            })?);
        }
    }
    Ok(files)
}

/// The snapshots of a directory, each read whole.
fn find(
    disk: &dyn Disk,
    facts: &Facts,
    names: &[String],
    notes: &mut Vec<String>,
    progress: &Progress,
) -> Result<Vec<File>, Failure> {
    if let Some(error) = &facts.manifest_error {
        return Err(Failure(1, format!("the manifest is damaged: {error}")));
    }
    if let Some(missing) = facts.missing.first() {
        return Err(Failure(1, format!("{missing} is missing, and the manifest lists it")));
    }
    let base = facts.manifest.base.as_ref().or(facts.lone_base.as_ref());
    let base = base.map(|base| {
        (facts.names.path(&base.name), facts.names.path(filename::TEMP_CONVERT), Table::Lines)
    });
    let snapshot = sole_snapshot(names).map(|name| (name, TEMP_CONVERT.to_owned(), Table::None));
    let mut files = Vec::new();
    for (path, temp, table) in base.into_iter().chain(snapshot) {
        if disk.file_len(&path).ok().flatten().is_none() {
            continue;
        }
        let bytes = view(disk, &path).map_err(|error| Failure(1, error.to_string()))?;
        if !crate::aof::reader::starts_with_snapshot(&bytes) {
            notes.push(format!("{path} holds commands, which every server loads: left as it is"));
            continue;
        }
        let total = bytes.len() as u64;
        let read = read_content(&bytes, &mut |done| progress.show(&path, "read", done, total));
        progress.end();
        let (content, end) = read.map_err(|error| Failure(1, format!("{path}: {error}")))?;
        if end < total {
            notes.push(format!("{path} goes on behind the snapshot: left as it is"));
            continue;
        }
        let is_container = is_container(&bytes) || is_foreign_zstd(&bytes);
        let (bytes, bytes_after) = (total, None);
        files.push(File { path, temp, is_container, table, bytes, content, bytes_after });
    }
    Ok(files)
}

/// Writes a file in its other form beside it, and compares.
fn write_anew(
    disk: &SharedDisk,
    file: &File,
    reader: Reader,
    config: &crate::config::Config,
    progress: &Progress,
) -> Result<Listed, String> {
    let source = view(disk.as_ref(), &file.path).map_err(|error| error.to_string())?;
    let plain;
    let bytes: &[u8] = if is_foreign_zstd(&source) {
        plain = crate::snapshot::container::read::unpack_foreign(&source)
            .map_err(|error| error.to_string())?;
        &plain
    } else {
        &source
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(16);
    let manner = Manner { threads, ..crate::engine::persist::manner_of(config) };
    let mut target: Option<SnapshotFile> = None;
    let total = bytes.len() as u64;
    sections(bytes, manner.section_bytes, &mut |section, offset| {
        progress.show(&file.path, "written", offset, total);
        if section.kind == Kind::Head {
            let form = form_for(reader, &section.bytes, manner.form);
            let manner = Manner { form, table: file.table, ..manner };
            target = Some(SnapshotFile::create(disk, &file.temp, manner, section.bytes)?);
            return Ok(());
        }
        target.as_mut().ok_or("no head")?.put_section(section)
    })?;
    let written = target.ok_or("no head")?.finish()?;
    let copy = view(disk.as_ref(), &file.temp).map_err(|error| error.to_string())?;
    let (content, _) = read_content(&copy, &mut |_| ()).map_err(|error| error.to_string())?;
    drop(copy);
    if content != file.content {
        return Err("what was written does not hold the same; the file stays as it was".to_owned());
    }
    Ok(written)
}

/// Gives what was written the name of the old form. Its size. A manifest that says what its base holds says so of
/// neither form in between: at every instant it fits what is there.
fn put_in_place(
    disk: &dyn Disk,
    facts: &Facts,
    file: &File,
    written: Listed,
) -> Result<u64, String> {
    let is_base = |base: &Entry| facts.names.path(&base.name) == file.path;
    let is_base = facts.manifest.base.as_ref().is_some_and(is_base);
    let list = |content: Option<Listed>| {
        let mut manifest = facts.manifest.clone();
        let Some(base) = manifest.base.as_mut().filter(|_| is_base) else { return Ok(()) };
        base.set_content(content);
        let names = &facts.names;
        let (temp, path) = (names.path(&names.temp_manifest()), names.path(&names.manifest()));
        durable::replace_file(disk, &temp, &path, &manifest.encode())
            .map_err(|error| error.into_inner().to_string())
    };
    // What Redis wrote stays as it is.
    let ours = facts.manifest_checked;
    if ours {
        list(None)?;
    }
    disk.rename(&file.temp, &file.path).map_err(|error| error.to_string())?;
    disk.sync_dir(durable::parent(&file.path)).map_err(|error| error.to_string())?;
    if ours {
        list(Some(written))?;
    }
    Ok(written.size)
}

fn form_for(reader: Reader, head: &[u8], container: FileForm) -> FileForm {
    match reader {
        Reader::Fastness => container,
        // What Valkey alone writes is not taken apart for compression.
        Reader::Redis if head.starts_with(b"VALKEY") => FileForm::Plain,
        Reader::Redis => FileForm::Lzf,
    }
}

/// A line on standard error that says how far the work is, for somebody who looks.
struct Progress {
    shown: bool,
}

impl Progress {
    fn show(&self, path: &str, what: &str, done: u64, total: u64) {
        if self.shown {
            eprint!("\r\x1b[K{path}: {} % {what}", done.saturating_mul(100) / total.max(1));
        }
    }

    fn end(&self) {
        if self.shown {
            eprint!("\r\x1b[K");
        }
    }
}

fn lines(reader: Reader, files: &[File], notes: &[String]) -> String {
    let whom = match reader {
        Reader::Redis => "Redis and Valkey",
        Reader::Fastness => "Fastness",
    };
    let mut out = String::new();
    for file in files {
        let Content { keys, digest } = &file.content;
        out.push_str(&match file.bytes_after {
            Some(after) => format!(
                "{}: {} -> {after} bytes, {keys} keys, content {digest} before and after\n",
                file.path, file.bytes
            ),
            None => format!("{}: has the form already, {keys} keys, content {digest}\n", file.path),
        });
    }
    for note in notes {
        out.push_str(&format!("note: {note}\n"));
    }
    out.push_str(&format!("{whom} can start on this directory now\n"));
    if reader == Reader::Redis {
        out.push_str(
            "To stay so, start Fastness with rdbcompression yes; Redis before 7.2 does not read RDB version 11.\n",
        );
    }
    out
}

fn report(dir: &str, reader: Reader, files: &[File], notes: &[String]) -> Value {
    let files = files.iter().map(|file| {
        json!({
            "path": file.path,
            "converted": file.bytes_after.is_some(),
            "bytes": file.bytes,
            "bytes_after": file.bytes_after.unwrap_or(file.bytes),
            "keys": file.content.keys,
            "content": file.content.digest,
        })
    });
    let reader = if reader == Reader::Redis { "redis" } else { "fastness" };
    json!({ "path": dir, "for": reader, "files": files.collect::<Vec<_>>(), "notes": notes })
}

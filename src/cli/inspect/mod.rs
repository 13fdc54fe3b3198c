//! `fastness inspect`: what a data set consists of, as text, JSON or a page to look at.
//!
//! Any input that `convert` reads; a server is asked key by key, so that it neither forks nor blocks. Everything is
//! counted in one pass (`statistics`, `prefix`, `pattern`), in room that does not grow with the number of keys. `memory` is
//! what a key and its value take in this server with the default thresholds for compact encodings.
//!
//! Exit codes: 0 done, 1 something is not sound or the page cannot be written, 2 it cannot be looked at.

mod html;
mod pattern;
mod prefix;
mod report;
mod statistics;
mod text;

use std::process::ExitCode;

use clap::Args;

use super::backup::terms::{self, ProgressLine};
use super::convert::input::InputArgs;
use crate::backup::BackupError;
use crate::clock::{Clock as _, SystemClock};
use crate::disk::durable;
use crate::exchange::scan;
use statistics::Statistics;

/// Prefixes below each in the report.
const PREFIXES: usize = 50;

/// See `--help`.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// What to look at: an RDB, container, log or NDJSON file, a data directory, a backup repository, a server
    /// (redis://[user:password@]host[:port]), or - for standard input.
    input: String,
    /// Print one JSON object.
    #[arg(long, conflicts_with = "html")]
    json: bool,
    /// Write a page with charts and a map of the memory; it needs nothing but a browser.
    #[arg(long, value_name = "FILE.html")]
    html: Option<String>,
    /// Replace the page if it is there.
    #[arg(long, requires = "html")]
    force: bool,
    /// Biggest keys shown of each type.
    #[arg(long, value_name = "N", default_value_t = 10)]
    top: usize,
    /// What ends a prefix of a key.
    #[arg(long, value_name = "TEXT", default_value = ":", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    delimiter: String,
    /// Parts that the longest prefix has.
    #[arg(long, value_name = "N", default_value_t = 6)]
    depth: usize,
    #[command(flatten)]
    from: InputArgs,
}

/// Runs it.
pub fn run(args: &InspectArgs) -> ExitCode {
    terms::finish(args.json, inspect(args))
}

fn inspect(args: &InspectArgs) -> Result<(serde_json::Value, String, u8), BackupError> {
    let disk = terms::anywhere();
    if let Some(path) = &args.html
        && !args.force
        && disk.file_len(path)?.is_some()
    {
        return Err(BackupError::refused(
            format!("{path} is there already"),
            "name another file, or replace it with --force",
        ));
    }
    let clock = SystemClock::new();
    let mut counted =
        Statistics::new(clock.wall(), args.top, args.delimiter.as_bytes(), args.depth);
    let progress = ProgressLine::new("counted");
    let mut note = |done, all| progress.note(done, all);
    let selection = args.from.selection();
    let mut notes = Vec::new();
    match terms::address(&args.input)? {
        Some(address) => {
            let mut connection = terms::connect(&address, &args.from.tls)?;
            let facts = connection.facts()?;
            scan::each(&mut connection, &facts, &clock, &selection, &mut counted, &mut note)?;
        }
        None => {
            let data = args.from.open(&args.input)?;
            notes.clone_from(&data.notes);
            data.each(&selection, &mut counted, &mut note)?;
        }
    }
    drop(progress);
    // Without a password.
    let input = match terms::address(&args.input)? {
        Some(address) => address.to_string(),
        None => args.input.clone(),
    };
    let mut report = report::report(&input, &counted, PREFIXES);
    if let serde_json::Value::Object(map) = &mut report {
        map.insert("notes".to_owned(), serde_json::json!(notes));
    }
    let Some(path) = &args.html else {
        let text = text::text(&input, &counted) + &terms::notes(&notes);
        return Ok((report, text, 0));
    };
    let temp = format!("{path}.temp-{}", std::process::id());
    durable::replace_file(disk.as_ref(), &temp, path, html::page(&report).as_bytes())
        .map_err(|error| BackupError::Disk(error.into_inner()))?;
    Ok((report, format!("{path} is written: open it in a browser\n"), 0))
}

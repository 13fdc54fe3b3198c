//! `fastness convert` and `fastness export`: data sets from one form to another, and directories in place.
//!
//! `input` opens and checks what is named, `transfer` writes it anew beside its place, reads that back,
//! compares, and gives it its name: so a file with the name is always whole, and so is a directory. `ending` hears
//! signals meanwhile. `directory` gives the files of a directory the form that another server loads.
//!
//! Exit codes: 0 done, 1 something is not sound or cannot be held by the output, 2 it cannot be looked at, is
//! in use or would be written over; 130 or 143 when SIGINT or SIGTERM ended it.

mod content;
mod directory;
mod ending;
pub mod input;
mod transfer;

use std::process::ExitCode;

use clap::Args;

use input::InputArgs;
use transfer::{Format, OutputArgs};

pub use directory::Reader;
pub(super) use input::of_running;
pub(super) use transfer::rdb_version;

/// See `--help`.
#[derive(Debug, Args)]
pub struct ConvertArgs {
    /// What to convert: an RDB, container, log or NDJSON file, a data directory, a backup repository, a
    /// server (redis://[user:password@]host[:port]), or - for standard input.
    input: String,
    /// Where to: a file, or - for standard output.
    #[arg(required_unless_present = "reader")]
    output: Option<String>,
    /// Instead of writing an output, give the snapshots of the data directory INPUT the form that this server
    /// loads; no server may use it.
    #[arg(
        long = "for",
        value_enum,
        id = "reader",
        value_name = "SERVER",
        conflicts_with = "output"
    )]
    reader: Option<Reader>,
    /// The form of the output; otherwise its name tells (.rdb, .zst, .aof, .ndjson).
    #[arg(long, value_enum, conflicts_with = "reader")]
    format: Option<Format>,
    #[command(flatten)]
    from: InputArgs,
    #[command(flatten)]
    to: OutputArgs,
    /// Print one JSON object about it (on standard error when the output is standard output).
    #[arg(long)]
    json: bool,
}

/// See `--help`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// What to export: an RDB, container, log or NDJSON file, a data directory, a backup repository, a server
    /// (redis://[user:password@]host[:port]), or - for standard input.
    input: String,
    /// Where to: a file, or - for standard output.
    #[arg(default_value = "-")]
    output: String,
    /// The form of the output.
    #[arg(long, value_enum, default_value = "ndjson")]
    format: Format,
    #[command(flatten)]
    from: InputArgs,
    #[command(flatten)]
    to: OutputArgs,
    /// Print one JSON object about it (on standard error when the output is standard output).
    #[arg(long)]
    json: bool,
}

/// Runs `convert`.
pub fn run(args: &ConvertArgs) -> ExitCode {
    match (args.reader, &args.output) {
        (Some(reader), _) => directory::run(&args.input, reader, args.json),
        (None, output) => {
            let output = output.as_deref().unwrap_or("-");
            transfer::run(&args.input, output, args.format, &args.from, &args.to, args.json)
        }
    }
}

/// Runs `export`.
pub fn export(args: &ExportArgs) -> ExitCode {
    let format = Some(args.format);
    transfer::run(&args.input, &args.output, format, &args.from, &args.to, args.json)
}

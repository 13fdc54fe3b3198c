//! The command line: one file per subcommand, each the source of its own `--help`.
//!
//! Exit codes: 0 all is well, 1 what was looked at is not sound or the server failed, 2 the command line
//! or a path is wrong; `repair` and `crashtest` say in their help what else there is.

mod background;
pub mod backup;
pub mod check;
pub mod convert;
mod crashtest;
mod repair;
pub mod restore;
pub mod serve;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// A Redis-compatible store whose acknowledged writes survive.
#[derive(Debug, Parser)]
#[command(name = "fastness", version, about, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server: serve [REDIS.CONF] [--directive value ...], as redis-server takes them.
    #[command(disable_help_flag = true)]
    Serve {
        /// A configuration file and directives.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Show what a data directory or file holds and whether every byte is sound; changes nothing.
    ///
    /// Exit code: 0 sound, 1 torn or damaged, 2 it could not be looked at or holds no data.
    Check {
        /// A data directory, an append-only file, a manifest or an RDB file, of Fastness, Redis or Valkey.
        #[arg(default_value = "./data")]
        path: String,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Give the snapshots of a data directory the form that Redis and Valkey load, or ours; no server may use it.
    ///
    /// The content of each file is summed before and after and must be the same; a file is replaced only
    /// when the new one is whole and durable. Exit code: 0 done, 1 not sound or failed, 2 not found or in use.
    Convert {
        /// A data directory.
        dir: String,
        /// Who is to load it.
        #[arg(long = "for", value_enum)]
        reader: convert::Reader,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Make backups of data directories and servers, and look after them.
    #[command(subcommand)]
    Backup(backup::BackupCommand),
    /// Restore a backup, as it was at any instant that its log covers.
    ///
    /// Exit code: 0 restored and verified, 1 it failed or something read was damaged, 2 refused.
    Restore(restore::RestoreArgs),
    /// Make a damaged directory or file loadable again, losing as little as can be; nothing is ever removed.
    ///
    /// Without --apply it shows what it would do. Exit code: 0 nothing to do, or done and sound; 1 there is something
    /// to do; 2 it cannot be done; 3 done, and the result is not sound.
    Repair(repair::RepairArgs),
    /// Kill a server while clients write to it, again and again, and check that nothing acknowledged is lost.
    ///
    /// Exit code: 0 nothing is lost, 1 something is or it does not start again, 2 the test could not be run.
    #[command(name = "crashtest")]
    CrashTest(crashtest::CrashTestArgs),
}

/// Runs the subcommand that the command line asks for.
pub fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Serve { args } => serve::run(&args),
        Command::Check { path, json } => check::run(&path, json),
        Command::Convert { dir, reader, json } => convert::run(&dir, reader, json),
        Command::Backup(command) => backup::run(&command),
        Command::Restore(args) => restore::run(&args),
        Command::Repair(args) => repair::run(&args),
        Command::CrashTest(args) => crashtest::run(&args),
    }
}

//! The command line: one file per subcommand, each the source of its own `--help`.
//!
//! Exit codes: 0 all is well, 1 what was looked at is not sound or the server failed, 2 the command line
//! or a path is wrong; `repair` and `crashtest` say in their help what else there is.

mod background;
pub mod backup;
mod bench;
pub mod check;
pub mod convert;
mod crashtest;
mod help;
pub mod inspect;
mod manual;
mod repair;
pub mod restore;
pub mod serve;
mod server_options;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

/// A Redis-compatible store whose acknowledged writes survive.
#[derive(Debug, Parser)]
#[command(name = "fastness", version, about, arg_required_else_help = true, after_help = help::TOP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server: serve [REDIS.CONF] [--directive value ...], as redis-server takes them.
    ///
    /// It recovers what is in the data directory, says what a reply promises, and serves until SHUTDOWN, SIGTERM or SIGINT.
    #[command(disable_help_flag = true, after_help = help::SERVE_HELP)]
    Serve {
        /// A configuration file and directives.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Show what a data directory or file holds and whether every byte is sound; changes nothing.
    #[command(after_help = help::CHECK_HELP)]
    Check {
        /// A data directory, an append-only file, a manifest or an RDB file, of Fastness, Redis or Valkey.
        #[arg(default_value = "./data")]
        path: String,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Write a data set in another form: RDB of any version, zstd container, log, NDJSON; from any of them, a
    /// directory, a backup or a server.
    ///
    /// The output is written beside its name, read back and compared, and renamed when it is whole; it is not
    /// written over without --force. With --for it changes the snapshots of a data directory in place.
    #[command(after_help = help::CONVERT_HELP)]
    Convert(convert::ConvertArgs),
    /// Write a data set as text, one JSON object a line, to a file or standard output.
    #[command(after_help = help::EXPORT_HELP)]
    Export(convert::ExportArgs),
    /// Show what a data set consists of: types, times to live, sizes, encodings, biggest keys, memory by prefix.
    ///
    /// Of a file, a directory, a backup or a running server (asked key by key, without a fork). As text, as JSON, or
    /// as a page with charts and a map of the memory.
    #[command(after_help = help::INSPECT_HELP)]
    Inspect(inspect::InspectArgs),
    /// Make backups of data directories and servers, and look after them.
    #[command(subcommand, after_help = help::BACKUP_HELP)]
    Backup(backup::BackupCommand),
    /// Restore a backup, as it was at any instant that its log covers.
    #[command(after_help = help::RESTORE_HELP)]
    Restore(restore::RestoreArgs),
    /// Make a damaged directory or file loadable again, losing as little as can be; nothing is ever removed.
    ///
    /// Without --apply it shows what it would do.
    #[command(after_help = help::REPAIR_HELP)]
    Repair(repair::RepairArgs),
    /// Kill a server while clients write to it, again and again, and check that nothing acknowledged is lost.
    ///
    /// Exit code: 0 nothing is lost, 1 something is or it does not start again, 2 the test could not be run;
    /// 129, 130 or 143 when SIGHUP, SIGINT or SIGTERM ended it, and with it the server that it had started.
    #[command(name = "crashtest")]
    CrashTest(crashtest::CrashTestArgs),
    /// Measure a server, or several side by side: rate, latency and the server's CPU time per request.
    ///
    /// Any server that speaks Redis' protocol will do.
    #[command(after_help = help::BENCH_HELP)]
    Bench(bench::BenchArgs),
    /// Print what a shell needs to complete commands and options.
    #[command(after_help = help::COMPLETIONS_HELP)]
    Completions {
        /// The shell.
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Write man pages, one for every subcommand.
    #[command(after_help = help::MAN_HELP)]
    Man {
        /// Where to; made if it is not there.
        dir: String,
    },
}

/// Runs the subcommand that the command line asks for.
pub fn main() -> ExitCode {
    match Cli::parse_from(words(std::env::args_os().collect())).command {
        Command::Serve { args } if asks_for_help(&args) => serve_help(),
        Command::Serve { args } => server_options::run(&args).unwrap_or_else(|| serve::run(&args)),
        Command::Check { path, json } => check::run(&path, json),
        Command::Convert(args) => convert::run(&args),
        Command::Export(args) => convert::export(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Backup(command) => backup::run(&command),
        Command::Restore(args) => restore::run(&args),
        Command::Repair(args) => repair::run(&args),
        Command::CrashTest(args) => crashtest::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Completions { shell } => manual::completions(Cli::command(), shell),
        Command::Man { dir } => manual::pages(Cli::command(), &dir),
    }
}

/// The command line; a link to the binary with the name of another server is that server.
fn words(mut words: Vec<OsString>) -> Vec<OsString> {
    let name = words.first().map(std::path::Path::new).and_then(std::path::Path::file_name);
    if name.is_some_and(|name| name == "redis-server" || name == "valkey-server") {
        words.insert(1, "serve".into());
    }
    words
}

/// Options of `serve` are directives, so that this one is not clap's.
fn asks_for_help(args: &[OsString]) -> bool {
    matches!(args, [only] if only == "--help" || only == "-h")
}

fn serve_help() -> ExitCode {
    let mut command = Cli::command();
    command.build();
    let Some(serve) = command.find_subcommand_mut("serve") else { return ExitCode::FAILURE };
    // A closed pipe has nobody to tell.
    let _ = serve.print_long_help();
    ExitCode::SUCCESS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_named_like_a_server_serves() {
        let of = |line: &[&str]| words(line.iter().map(OsString::from).collect());
        assert_eq!(of(&["/usr/bin/redis-server", "--port", "1"])[1..], ["serve", "--port", "1"]);
        assert_eq!(of(&["valkey-server"]), ["valkey-server", "serve"]);
        assert_eq!(of(&["fastness", "check"]), ["fastness", "check"]);
        assert!(of(&[]).is_empty());
    }
}

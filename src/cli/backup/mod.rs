//! `fastness backup`: make, list, look into, verify, thin out and compare backups.
//!
//! What is done is `crate::backup`'s; here are the command line, the words for people and the JSON for
//! programs. Progress goes to standard error, and only when that is a terminal.
//!
//! Exit codes: 0 done, 1 it failed or what was looked at is damaged, 2 it was refused or nothing is there.

mod create;
mod diff;
pub(super) mod gather;
mod list;
mod owner;
mod passphrase;
mod prune;
pub(super) mod terms;
pub(super) mod tls;
mod verify;

use std::process::ExitCode;

use clap::Subcommand;

/// What is to be done with backups.
#[derive(Debug, Subcommand)]
pub enum BackupCommand {
    /// Back up a data directory or a running server, incrementally.
    ///
    /// The first backup into an empty place makes the repository. What it has already is not sent again.
    Create(create::CreateArgs),
    /// List the backups of a repository.
    List(list::ListArgs),
    /// Show one backup: files, times, positions, sizes.
    Info(list::InfoArgs),
    /// Read every byte of every backup, and on demand load each one on trial.
    Verify(verify::VerifyArgs),
    /// Show which backups would go under rules of retention; with --apply, remove them.
    Prune(prune::PruneArgs),
    /// Show whose archive a repository holds.
    Owner(owner::OwnerArgs),
    /// Show which keys two backups, or a backup and a live server, do not have in common.
    Diff(diff::DiffArgs),
}

/// Runs the subcommand.
pub fn run(command: &BackupCommand) -> ExitCode {
    match command {
        BackupCommand::Create(args) => create::run(args),
        BackupCommand::List(args) => list::run(args),
        BackupCommand::Info(args) => list::info(args),
        BackupCommand::Verify(args) => verify::run(args),
        BackupCommand::Prune(args) => prune::run(args),
        BackupCommand::Owner(args) => owner::run(args),
        BackupCommand::Diff(args) => diff::run(args),
    }
}

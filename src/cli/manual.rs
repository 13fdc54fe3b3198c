//! `fastness completions` and `fastness man`: what shells and man(1) know, made from the command line's own declaration.
//!
//! Exit codes: 0 written, 1 it cannot be written, 2 the command line is wrong.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;

use super::backup::terms;
use crate::disk::{Disk, durable};

/// Prints the completions for a shell.
pub(super) fn completions(mut command: Command, shell: Shell) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, "fastness", &mut script);
    match std::io::stdout().lock().write_all(&script) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Writes a page for the command and one for every subcommand into a directory.
pub(super) fn pages(command: Command, dir: &str) -> ExitCode {
    let disk = terms::anywhere();
    let mut command = command.disable_help_subcommand(true);
    command.build();
    match write(disk.as_ref(), &command, dir.trim_end_matches('/')) {
        Ok(pages) => {
            let _ = writeln!(std::io::stdout(), "{pages} pages are written to {dir}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("fastness: {why}");
            eprintln!("  next: name a directory that can be written to");
            ExitCode::FAILURE
        }
    }
}

fn write(disk: &dyn Disk, command: &Command, dir: &str) -> Result<usize, String> {
    disk.create_dir(dir).map_err(|error| error.to_string())?;
    let mut pages = 1;
    for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
        pages += write(disk, below, dir)?;
    }
    let man = Man::new(command.clone());
    let mut page = Vec::new();
    man.render(&mut page).map_err(|error| error.to_string())?;
    let path = format!("{dir}/{}", man.get_filename());
    durable::replace_file(disk, &format!("{path}.temp"), &path, &page)
        .map_err(|error| error.to_string())?;
    Ok(pages)
}

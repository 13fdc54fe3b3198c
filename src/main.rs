//! The `fastness` binary: parses the command line and runs one subcommand.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: fastness::memory::Allocator = fastness::memory::Allocator;

fn main() -> ExitCode {
    fastness::cli::main()
}

//! The `fastness` binary: parses the command line and runs one subcommand.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: fastness::memory::Allocator = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    fastness::cli::main()
}

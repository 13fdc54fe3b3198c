//! `fastness check`: what is in a data directory or file, and whether every byte of it is sound.
//!
//! `look` reads, `report` is what was found, `print` shows it to people and `report::json` to programs.
//! Nothing is changed, not even a lock is taken (I5): a directory may be looked at while a server uses it,
//! and then its last bytes may be on their way. Files of Redis and Valkey have no or few checksums; where
//! they parse they are reported as unchecked, which is not damage.
//!
//! Exit codes: 0 sound, 1 torn or damaged, 2 it could not be looked at or nothing is there. A torn tail is 1
//! although the next start repairs it by itself: its bytes are not sound.

mod log;
pub mod look;
mod print;
pub mod report;

use std::io::IsTerminal as _;
use std::process::ExitCode;

use crate::cli::backup::terms;
use report::Verdict;

/// Looks at `path` and prints what is there.
pub fn run(path: &str, json: bool) -> ExitCode {
    let report = match look::look(path) {
        Ok(report) => report,
        Err(why) if json => {
            let error = serde_json::json!({ "path": path, "error": why });
            return terms::print(&format!("{error}\n"), 2);
        }
        Err(why) => {
            eprintln!("fastness: {why}");
            eprintln!(
                "  next: pass a data directory, an append-only file, a manifest or an RDB file"
            );
            return ExitCode::from(2);
        }
    };
    let text = if json {
        format!("{:#}\n", report::json(&report))
    } else {
        print::text(&report, std::io::stdout().is_terminal())
    };
    let code = match report.verdict() {
        Verdict::Sound => 0,
        Verdict::Torn | Verdict::Damaged => 1,
        Verdict::Nothing => 2,
    };
    terms::print(&text, code)
}

//! `fastness backup verify`: exit code 0 when every byte is sound, 1 when something is damaged.

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::terms::{self, ProgressLine};
use crate::backup::BackupError;
use crate::backup::verify::{Damage, Verified, verify};

/// See `--help`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The repository: a path or URL.
    url: String,
    /// Only this backup.
    backup: Option<String>,
    /// Load every backup on trial, in memory, and compare keys and digest.
    #[arg(long)]
    full: bool,
    /// Threads that fetch and unpack.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    #[command(flatten)]
    identity: terms::IdentityArgs,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Runs it.
pub(super) fn run(args: &VerifyArgs) -> ExitCode {
    let progress = ProgressLine::new("verify");
    let note = |done, all| progress.note(done, all);
    let look = || -> Result<Verified, BackupError> {
        let repository = args.identity.open(&args.url, args.full)?;
        verify(&repository, args.backup.as_deref(), args.full, args.threads, &note)
    };
    let outcome = look().map(|found| {
        let code = match found.backups {
            0 => 2,
            _ => u8::from(!found.damage.is_empty()),
        };
        (as_json(&found, args), text(&found), code)
    });
    drop(progress);
    terms::finish(args.json, outcome)
}

fn as_json(found: &Verified, args: &VerifyArgs) -> Value {
    let damage = found.damage.iter().map(
        |damage| json!({ "object": damage.object, "what": damage.what, "backups": damage.backups }),
    );
    json!({
        "repository": args.url,
        "sound": found.damage.is_empty(),
        "backups": found.backups,
        "objects": found.objects,
        "bytes": found.bytes,
        "loaded": found.loaded,
        "unnamed_objects": found.unnamed,
        "damage": damage.collect::<Vec<_>>(),
    })
}

fn text(found: &Verified) -> String {
    let mut out = String::new();
    for damage in &found.damage {
        out.push_str(&format!("damaged: {}\n", damage.what));
        out.push_str(&format!("  backups that need it: {}\n", damage.backups.join(", ")));
    }
    out.push_str(&format!(
        "{} backups, {} objects, {} read",
        found.backups,
        found.objects,
        terms::bytes(found.bytes)
    ));
    if found.loaded > 0 {
        out.push_str(&format!(", {} loaded on trial", found.loaded));
    }
    if found.unnamed > 0 {
        out.push_str(&format!(
            "; {} objects belong to no backup (prune sweeps them)",
            found.unnamed
        ));
    }
    if let Some(next) = found.damage.iter().find_map(Damage::next_step) {
        out.push_str(&format!("\ndamaged\n  next: {next}\n"));
        return out;
    }
    out.push_str(match (found.backups, found.damage.is_empty()) {
        (0, _) => "\nno backup is here\n",
        (_, true) => "\nsound: every byte is what was stored\n",
        (_, false) => {
            "\ndamaged\n  next: fastness backup create --recheck sends what is damaged again, if the data is still there\n"
        }
    });
    out
}

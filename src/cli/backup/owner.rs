//! `fastness backup owner`: exit code 0 when a server owns the archive, 2 when none does.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::terms;
use crate::backup::archive::owner::current;
use crate::backup::time::Iso;

/// See `--help`.
#[derive(Debug, Args)]
pub struct OwnerArgs {
    /// The repository: a path or URL.
    url: String,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Runs it.
pub(super) fn run(args: &OwnerArgs) -> ExitCode {
    let found = terms::repository(&args.url).and_then(|repository| current(&repository));
    let outcome = found.map(|(owner, _)| match owner {
        None => {
            let value = json!({ "repository": args.url, "server": null });
            (value, "no server archives here\n".to_owned(), 2)
        }
        Some(owner) => {
            let value = json!({
                "repository": args.url,
                "server": owner.server,
                "host": owner.host,
                "directory": owner.directory,
                "since": owner.since,
                "renewed": owner.renewed,
                "stopped": owner.ended,
            });
            let text = format!(
                "{owner}\n  it owns the archive since {}; another one takes over with the directive archive-takeover {}\n",
                Iso(owner.since),
                owner.server
            );
            (value, text, 0)
        }
    });
    terms::finish(args.json, outcome)
}

//! `fastness backup prune`: a dry run unless `--apply` is given.

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::terms;
use crate::backup::prune::{Pruned, Retention, prune};
use crate::backup::{BackupError, time};
use crate::clock::{Clock as _, SystemClock};
use crate::rng::random_hex;

/// See `--help`.
#[derive(Debug, Args)]
pub struct PruneArgs {
    /// The repository: a path or URL.
    url: String,
    /// Keep the newest N.
    #[arg(long, value_name = "N", default_value_t = 0)]
    keep_last: usize,
    /// Keep the newest of each day (UTC), for N days that have one.
    #[arg(long, value_name = "N", default_value_t = 0)]
    keep_daily: usize,
    /// Keep the newest of each week, for N weeks.
    #[arg(long, value_name = "N", default_value_t = 0)]
    keep_weekly: usize,
    /// Keep the newest of each month, for N months.
    #[arg(long, value_name = "N", default_value_t = 0)]
    keep_monthly: usize,
    /// Keep everything that is younger, as in "7 days".
    #[arg(long, value_name = "TIME")]
    keep_within: Option<String>,
    /// Remove what no rule keeps. Without it nothing is changed.
    #[arg(long)]
    apply: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Runs it.
pub(super) fn run(args: &PruneArgs) -> ExitCode {
    let outcome = carry_out(args).map(|pruned| (as_json(&pruned, args), text(&pruned, args), 0));
    terms::finish(args.json, outcome)
}

fn carry_out(args: &PruneArgs) -> Result<Pruned, BackupError> {
    let within = args.keep_within.as_ref().map(|text| {
        time::duration(text).ok_or_else(|| {
            BackupError::refused(format!("{text:?} is no span of time"), "write \"7 days\" or 36h")
        })
    });
    let retention = Retention {
        last: args.keep_last,
        daily: args.keep_daily,
        weekly: args.keep_weekly,
        monthly: args.keep_monthly,
        within_ms: within.transpose()?,
    };
    let repository = terms::repository(&args.url)?;
    prune(&repository, &retention, SystemClock::new().wall(), &random_hex(8), args.apply)
}

fn as_json(pruned: &Pruned, args: &PruneArgs) -> Value {
    let kept = pruned.kept.iter().map(|(id, rules)| json!({ "backup": id, "rules": rules }));
    json!({
        "repository": args.url,
        "applied": args.apply,
        "kept": kept.collect::<Vec<_>>(),
        "removed": pruned.removed,
        "objects": pruned.objects,
        "bytes": pruned.bytes,
        "notes": pruned.notes,
    })
}

fn text(pruned: &Pruned, args: &PruneArgs) -> String {
    let mut out = String::new();
    for (id, rules) in &pruned.kept {
        out.push_str(&format!("keep    {id}  ({})\n", rules.join(", ")));
    }
    let verb = if args.apply { "removed" } else { "remove" };
    for id in &pruned.removed {
        out.push_str(&format!("{verb:7} {id}\n"));
    }
    out.push_str(&terms::notes(&pruned.notes));
    let size = terms::bytes(pruned.bytes);
    out.push_str(&match args.apply {
        true => format!("{} objects, {size}, are gone\n", pruned.objects),
        false => format!(
            "{} objects, {size}, would go; nothing was changed: --apply removes them\n",
            pruned.objects
        ),
    });
    out
}

//! `fastness restore --to`: into a running server.
//!
//! What the server has is looked at first: nothing, or an interrupted restore of the same state, which is gone on
//! with. Afterwards it is read back and compared.

use super::RestoreArgs;
use crate::backup::into_server::{self, Manner, target_of};
use crate::backup::load::{Filter, LoadedState};
use crate::backup::plan::Plan;
use crate::backup::repository::Repository;
use crate::backup::restore::{self, Restored};
use crate::backup::{BackupError, server};
use crate::cli::backup::terms::{self, ProgressLine};
use crate::cli::convert::of_running;
use crate::clock::{Clock as _, SystemClock};
use crate::exchange::present::Present;
use crate::exchange::{Selection, scan};

/// What is restored, and where to.
pub(super) struct Into<'i> {
    pub(super) args: &'i RestoreArgs,
    pub(super) repository: &'i Repository,
    pub(super) plan: &'i Plan,
    pub(super) filter: &'i Filter,
    pub(super) to: &'i str,
}

/// Carries it out.
pub(super) fn server(job: &Into<'_>) -> Result<Restored, BackupError> {
    let Into { args, repository, plan, filter, to } = *job;
    let address = terms::address(to)?.ok_or_else(|| {
        BackupError::refused(format!("{to} is no server"), "write redis://host:port, or pass --dir")
    })?;
    let facts = terms::connect(&address, &args.tls)?.facts()?;
    let progress = ProgressLine::new("restore");
    let fetched = |done, all| progress.note(done, all);
    let mut loaded = restore::to_memory(repository, plan, args.threads, &fetched)?;
    loaded.keep(filter);
    drop(progress);
    let present = match args.replace || facts.databases().is_empty() {
        true => Present::of(&loaded),
        false => present(job, &loaded, &facts)?,
    };
    // Only now: it may have taken long, and servers close connections that say nothing.
    let mut connection = terms::connect(&address, &args.tls)?;
    let libraries = match loaded.libraries().next() {
        Some(_) => scan::functions(&mut connection)?,
        // A user that may not ask for them need not.
        None => Vec::new(),
    };
    let manner = Manner {
        replace: args.replace,
        target: target_of(&facts),
        is_there: &|db, key| present.has(db, key),
        libraries: &libraries,
    };
    let progress = ProgressLine::of("keys", "keys");
    let note = |done, all| progress.note(done, all);
    let sent = into_server::send(&loaded, &mut connection, &manner, &note)?;
    drop((progress, connection));
    let notes = compare(job, &loaded)?;
    Ok(Restored {
        keys: Some(sent.keys + sent.kept),
        keys_kept: sent.kept,
        bytes: sent.bytes,
        notes,
        ..Restored::default()
    })
}

/// What the server has, which must be of the same state.
fn present<'s>(
    job: &Into<'_>,
    loaded: &'s LoadedState,
    facts: &server::Facts,
) -> Result<Present<'s>, BackupError> {
    let found = read(job, loaded)?;
    if found.others == 0 {
        return Ok(found);
    }
    let filled: Vec<String> =
        facts.databases().iter().map(|(db, keys)| format!("{keys} in database {db}")).collect();
    let others = found.others;
    let first = found.first_other.clone().unwrap_or_default();
    Err(BackupError::refused(
        format!(
            "the server is not empty (keys: {}): {others} of them are not of this state, such as {first}",
            filled.join(", ")
        ),
        "name an empty server, or pass --replace to replace keys of the same names",
    ))
}

fn read<'s>(job: &Into<'_>, loaded: &'s LoadedState) -> Result<Present<'s>, BackupError> {
    let mut found = Present::of(loaded);
    let data = of_running(job.to, &job.args.tls)?;
    let progress = ProgressLine::new("read back");
    data.each(&Selection::default(), &mut found, &mut |done, all| progress.note(done, all))?;
    Ok(found)
}

/// Whether everything is there. Where clients may write meanwhile it is only noted if not.
fn compare(job: &Into<'_>, loaded: &LoadedState) -> Result<Vec<String>, BackupError> {
    // What ends while it is looked for is not missed.
    const SOON_MS: i64 = 60_000;
    let (missing, first) = read(job, loaded)?.missing(SystemClock::new().wall() + SOON_MS);
    let Some(first) = first else { return Ok(Vec::new()) };
    let what = format!(
        "{missing} keys are not as they were sent, {first} for one: clients have changed them, or the server \
         has no room (maxmemory)"
    );
    match job.args.replace {
        true => Ok(vec![what]),
        false => Err(BackupError::Unfinished {
            what,
            next: "keep clients away and give the same command again".to_owned(),
        }),
    }
}

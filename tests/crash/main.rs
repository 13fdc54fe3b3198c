//! The whole engine on a disk that loses power, in one thread, from one number.
//!
//! Commands, log, rewrite, snapshot and recovery are the real ones; sockets and threads are not there: a plan
//! (`plan.rs`, drawn from a seed and from the command forms) says which client asks for what and
//! when the log's driver, the persistence worker and the cron have their turn (`sim.rs`). What the log was
//! given is replayed, unit by unit, into a model (`model.rs`), so that the state at each position is
//! known. Then the power goes, at each disk operation or at a random one, and `verdict.rs` asks:
//! does it start without a person; is the state that of a position; is everything there that any client
//! was told of, or was shown; do a second start, and a start that loses power itself, find the same?
//!
//! `make crash` runs it; `SEED=.. ROUNDS=..` look further or again; `seeds.txt` keeps what once failed.

#![cfg(feature = "sim")]
#![allow(clippy::disallowed_methods, reason = "a test is outside the seams it tests")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

#[path = "../support/mod.rs"]
#[allow(dead_code, reason = "shared by several test binaries")]
mod support;

#[path = "../commands/generate/mod.rs"]
#[allow(dead_code, reason = "shared with the differential test, which also compares replies")]
mod generate;

mod backups;
mod damage;
mod lies;
mod model;
mod plan;
mod promises;
mod saves;
mod sim;
mod starts;
mod verdict;

use fastness::disk::sim::Fault;
use fastness::disk::sim::canary::{Canary, plant};
use plan::Plan;
use support::number_from_env;
use verdict::{Trouble, check_round, cut_everywhere, fault_everywhere};

/// Equal keys of the hash in every run: the order of a walk is part of the story.
pub(crate) fn fix_hashes() {
    let _ = fastness::types::hash64::seed(7);
}

fn fail_with(seed: u64, trouble: &Trouble) -> ! {
    panic!("{trouble}\n\nrepeat with: SEED={seed:#x} ROUNDS=1 make crash\n");
}

#[test]
fn power_loss_at_every_operation() {
    fix_hashes();
    let mut looked = 0;
    for seed in 1..=number_from_env("SCENARIOS").unwrap_or(5) {
        let plan = Plan::small(seed);
        looked +=
            cut_everywhere(&plan).unwrap_or_else(|trouble| panic!("scenario {seed}: {trouble}"));
    }
    assert!(looked > 500, "{looked} disks looked at");
}

#[test]
fn every_fault_at_every_operation_is_healed() {
    fix_hashes();
    let mut healed = 0;
    let faults = [Fault::SyncDropsPages, Fault::SyncKeepsPages, Fault::Eio, Fault::ShortWrite(1)];
    for (seed, fault) in (1..).zip(faults) {
        let plan = Plan::small(seed);
        healed += fault_everywhere(&plan, fault)
            .unwrap_or_else(|trouble| panic!("scenario {seed}, {fault:?}: {trouble}"));
    }
    assert!(healed > 20, "{healed} times writes were refused for a while");
}

/// Seeds that once failed, then some new ones.
#[test]
fn seeds() {
    fix_hashes();
    let kept = include_str!("seeds.txt").lines();
    let kept = kept.filter_map(|line| support::parse_number(line.split('#').next()?));
    let rounds = number_from_env("ROUNDS").unwrap_or(100);
    let (first, kept): (u64, Vec<u64>) = match number_from_env("SEED") {
        Some(seed) => (seed, Vec::new()),
        None => (0x1000, kept.collect()),
    };
    let (mut refusals, mut lies) = (0, lies::Tally::default());
    for seed in kept.into_iter().chain((0..rounds).map(|round| first.wrapping_add(round))) {
        match check_round(seed, true) {
            Ok(round) => {
                refusals += round.refusals;
                lies.add(&round.lies);
            }
            Err(trouble) => fail_with(seed, &trouble),
        }
    }
    println!("{rounds} rounds, writes were refused {refusals} times; lies of the disk: {lies:?}");
    if rounds >= 100 {
        assert!(refusals > 10 && lies.refused > 100 && lies.exact > 10, "{refusals}, {lies:?}");
    }
}

/// Each deliberate fault is found within so many seeds, and the seed that finds it finds nothing without it.
fn must_be_noticed(canary: Canary) {
    const SEEDS_MAX: u64 = 400;
    fix_hashes();
    // What a planted fault breaks may well panic; that is one way to be noticed.
    let noticed = (0xCA_0000..0xCA_0000 + SEEDS_MAX).find(|seed| {
        plant(Some(canary));
        let round = check_round(*seed, false);
        plant(None);
        round.is_err()
    });
    let seed = noticed.unwrap_or_else(|| panic!("{canary:?} was not noticed"));
    println!("{canary:?} was noticed by seed {seed:#x}");
    if let Err(trouble) = check_round(seed, true) {
        fail_with(seed, &trouble);
    }
}

#[test]
fn a_directory_that_is_not_synced_is_noticed() {
    must_be_noticed(Canary::ForgottenDirectorySync);
}

#[test]
fn a_file_renamed_before_its_sync_is_noticed() {
    must_be_noticed(Canary::ForgottenFileSync);
}

#[test]
fn a_checksum_not_looked_at_is_noticed() {
    must_be_noticed(Canary::UncheckedFrames);
}

#[test]
fn a_reply_sent_early_is_noticed() {
    must_be_noticed(Canary::EarlyReplies);
}

#[test]
fn a_failed_sync_forgotten_is_noticed() {
    must_be_noticed(Canary::ForgottenFailure);
}

#[test]
fn a_snapshot_that_comes_late_is_noticed() {
    must_be_noticed(Canary::LateSnapshot);
}

/// What fails is made short, and still fails.
#[test]
fn a_failure_is_minimised() {
    fix_hashes();
    plant(Some(Canary::ForgottenFileSync));
    let failing = (0..400).find_map(|seed| {
        let scenario = verdict::Scenario::of(0xCA_0000 + seed).ok()?;
        let trouble = scenario.check().err()?;
        Some((scenario.steps(), scenario.minimised(trouble)))
    });
    plant(None);
    let (steps, trouble) = failing.expect("the planted fault is noticed");
    let shortest = trouble.story_steps();
    assert!(shortest <= 12 && shortest < steps, "{shortest} of {steps} steps are left: {trouble}");
}

/// A directory without a log gets one: cut off anywhere, the next start has all of it.
#[test]
fn a_snapshot_that_becomes_a_log() {
    fix_hashes();
    for seed in 1..=8 {
        let plan = Plan::small(seed);
        verdict::convert_everywhere(&plan).unwrap_or_else(|trouble| panic!("{seed}: {trouble}"));
    }
}

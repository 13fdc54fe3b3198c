//! What a test of crashes came to, for people and for machines.

use std::time::Duration;

use serde_json::{Value, json};

use super::CrashTestArgs;
use super::ledger::Finding;
use crate::disk::sim::CrashMode;

const EXAMPLES_MAX: usize = 5;

/// What one round came to.
#[derive(Debug, Default)]
pub(super) struct Round {
    pub(super) killed_after: Duration,
    pub(super) started_in: Duration,
    /// How the drive lost what was not synced.
    pub(super) loss: Option<CrashMode>,
    pub(super) finding: Finding,
    /// From the oldest write that is lost to the last that was acknowledged.
    pub(super) lost_span: Option<Duration>,
    /// Why the server did not start on what was left.
    pub(super) refused: Option<String>,
}

/// All rounds, and how much may be lost.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) rounds: Vec<Round>,
    may_lose: Option<Duration>,
}

impl Report {
    /// Nothing yet; `None`: no write needs to be there.
    pub(super) fn new(may_lose: Option<Duration>) -> Self {
        Self { rounds: Vec::new(), may_lose }
    }

    pub(super) fn total(&self, of: fn(&Finding) -> u64) -> u64 {
        self.rounds.iter().map(|round| of(&round.finding)).sum()
    }

    /// The longest span of acknowledged writes that one round lost.
    fn lost_span(&self) -> Option<Duration> {
        self.rounds.iter().filter_map(|round| round.lost_span).max()
    }

    fn refusals(&self) -> impl Iterator<Item = &String> {
        self.rounds.iter().filter_map(|round| round.refused.as_ref())
    }

    /// What makes the test fail, in words.
    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut count = |number: u64, what: &str| {
            if number > 0 {
                faults.push(format!("{number} {what}"));
            }
        };
        count(self.refusals().count() as u64, "times it did not start again");
        if self.loses_too_much() {
            count(self.total(|f| f.lost), "acknowledged writes are lost");
        }
        count(self.total(|f| f.torn), "transactions or sequences are there in part");
        count(self.total(|f| f.strange), "writes are there that nobody sent");
        count(self.total(|f| f.shown), "values that were shown to a client are gone");
        faults
    }

    fn loses_too_much(&self) -> bool {
        match (self.may_lose, self.lost_span()) {
            (Some(most), _) if most.is_zero() => self.total(|f| f.lost) > 0,
            (Some(most), Some(span)) => span > most,
            _ => false,
        }
    }

    pub(super) fn is_clean(&self) -> bool {
        self.faults().is_empty()
    }

    pub(super) fn text(&self, args: &CrashTestArgs, seed: u64) -> String {
        let mut out = format!(
            "{}, policy {}, {}, seed {seed}\n\n round  killed after  the drive keeps    acknowledged   lost  in part  \
             from nowhere  shown  started in\n",
            command(args),
            args.policy,
            if args.power { "power cuts" } else { "kill -9" },
        );
        for (number, round) in self.rounds.iter().enumerate() {
            let Finding { acknowledged, lost, torn, strange, shown, .. } = &round.finding;
            out += &format!(
                "{:>6}{:>11} ms  {:<16}{acknowledged:>14}",
                number + 1,
                round.killed_after.as_millis(),
                kept(round.loss)
            );
            out += &match &round.refused {
                Some(_) => "  DOES NOT START\n".to_owned(),
                None => format!(
                    "{lost:>7}{torn:>9}{strange:>14}{shown:>7}{:>9} ms\n",
                    round.started_in.as_millis()
                ),
            };
        }
        let examples = self.rounds.iter().filter_map(|round| round.finding.example.as_ref());
        for example in examples.chain(self.refusals()).take(EXAMPLES_MAX) {
            out += &format!("  {example}\n");
        }
        out + &self.verdict()
    }

    fn verdict(&self) -> String {
        let (written, lost) = (self.total(|f| f.acknowledged), self.total(|f| f.lost));
        let span = match self.lost_span() {
            Some(span) => format!(", the longest stretch being {} ms", span.as_millis()),
            None => String::new(),
        };
        let allowed = match self.may_lose {
            Some(most) if most.is_zero() => "nothing".to_owned(),
            Some(most) => format!("{} ms", most.as_millis()),
            None => "everything that was not synced".to_owned(),
        };
        match self.faults().as_slice() {
            [] if lost == 0 => {
                format!("\nPASSED: none of {written} acknowledged writes is lost\n")
            }
            [] => format!(
                "\nPASSED: {lost} of {written} acknowledged writes are lost{span}; this policy may lose {allowed}\n"
            ),
            faults => format!(
                "\nFAILED: {}; of {written} acknowledged writes {lost} are lost{span}; this policy may lose {allowed}\n",
                faults.join("; ")
            ),
        }
    }

    pub(super) fn json(&self, args: &CrashTestArgs, seed: u64) -> Value {
        json!({
            "command": command(args),
            "policy": args.policy,
            "mode": if args.power { "power" } else { "kill" },
            "filesystem": args.filesystem,
            "sync_ms": args.power.then_some(args.sync_ms),
            "seed": seed,
            "rounds": self.rounds.iter().map(round_json).collect::<Vec<_>>(),
            "acknowledged": self.total(|f| f.acknowledged),
            "lost": self.total(|f| f.lost),
            "lost_span_ms": self.lost_span().map(millis),
            "may_lose_ms": self.may_lose.map(millis),
            "torn": self.total(|f| f.torn),
            "strange": self.total(|f| f.strange),
            "shown": self.total(|f| f.shown),
            "refused": self.refusals().next(),
            "refusals": self.refusals().count(),
            "passed": self.is_clean(),
        })
    }
}

fn round_json(round: &Round) -> Value {
    json!({
        "killed_after_ms": millis(round.killed_after),
        "started_in_ms": millis(round.started_in),
        "drive_keeps": round.loss.map(|loss| kept(Some(loss))),
        "acknowledged": round.finding.acknowledged,
        "lost": round.finding.lost,
        "lost_span_ms": round.lost_span.map(millis),
        "torn": round.finding.torn,
        "strange": round.finding.strange,
        "shown": round.finding.shown,
        "example": round.finding.example,
        "refused": round.refused,
    })
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn command(args: &CrashTestArgs) -> &str {
    args.command.as_deref().unwrap_or("fastness serve")
}

/// What the drive keeps of what was not synced.
fn kept(loss: Option<CrashMode>) -> &'static str {
    match loss {
        None => "all",
        Some(CrashMode::Everything) => "all",
        Some(CrashMode::NothingUnsynced) => "synced only",
        Some(CrashMode::OrderedPrefix) => "up to an instant",
        Some(CrashMode::SectorSubset) => "some sectors",
        Some(CrashMode::TornSector) => "a torn sector",
        Some(CrashMode::NamesWithoutContent) => "names only",
        Some(CrashMode::ContentWithoutNames) => "bytes only",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(may_lose: Option<u64>, lost: u64, span_ms: u64) -> Report {
        let mut report = Report::new(may_lose.map(Duration::from_millis));
        let finding = Finding { acknowledged: 9, lost, ..Finding::default() };
        let lost_span = (lost > 0).then(|| Duration::from_millis(span_ms));
        report.rounds.push(Round { finding, lost_span, ..Round::default() });
        report
    }

    #[test]
    fn what_may_be_lost_depends_on_what_was_promised() {
        assert!(report(Some(0), 0, 0).is_clean());
        assert!(!report(Some(0), 1, 0).is_clean());
        assert!(report(Some(2000), 5, 2000).is_clean());
        assert!(!report(Some(2000), 5, 2001).is_clean());
        assert!(report(None, 9, 99_999).is_clean());
    }

    #[test]
    fn a_refused_start_fails_whatever_was_promised() {
        let mut report = report(None, 0, 0);
        report.rounds[0].refused = Some("why".to_owned());
        assert!(!report.is_clean());
        assert!(
            report.verdict().contains("1 times it did not start again"),
            "{}",
            report.verdict()
        );
    }
}

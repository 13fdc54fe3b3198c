//! What the latency monitor has seen: for each class of events the last 160 that took too long.
//!
//! Whoever does something that may hold clients up measures it and says so (`note`); nothing is kept
//! while `latency-monitor-threshold` is 0. One second keeps one sample of a class, its longest.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;

/// Samples kept for each class.
const SAMPLES_MAX: usize = 160;
/// Columns and rows of a graph.
const COLUMNS: usize = 80;
const ROWS: usize = 4;

/// The names of the classes, as Redis has them.
pub mod event {
    pub const COMMAND: &str = "command";
    pub const FAST_COMMAND: &str = "fast-command";
    pub const AOF_WRITE: &str = "aof-write";
    pub const AOF_FSYNC_ALWAYS: &str = "aof-fsync-always";
    pub const EXPIRE_CYCLE: &str = "expire-cycle";
    pub const EVICTION_CYCLE: &str = "eviction-cycle";
}

/// All classes.
#[derive(Clone, Debug, Default)]
pub struct LatencyMonitor {
    classes: BTreeMap<&'static str, Class>,
}

/// The samples of one class, oldest first.
#[derive(Clone, Debug, Default)]
pub struct Class {
    samples: VecDeque<Sample>,
    /// The longest since the last reset, in ms.
    pub longest_ms: u64,
}

/// Something that took long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Unix time in seconds.
    pub at_s: i64,
    pub took_ms: u64,
}

/// A class in figures, for the doctor.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Figures {
    pub samples: usize,
    pub average_ms: u64,
    pub mean_deviation_ms: u64,
    pub period_s: f64,
}

impl LatencyMonitor {
    /// Keeps a sample.
    pub fn note(&mut self, class: &'static str, at_s: i64, took_ms: u64) {
        let class = self.classes.entry(class).or_default();
        class.longest_ms = class.longest_ms.max(took_ms);
        if let Some(last) = class.samples.back_mut().filter(|last| last.at_s == at_s) {
            last.took_ms = last.took_ms.max(took_ms);
            return;
        }
        if class.samples.len() >= SAMPLES_MAX {
            class.samples.pop_front();
        }
        class.samples.push_back(Sample { at_s, took_ms });
    }

    /// Every class that has samples, by name.
    pub fn classes(&self) -> impl ExactSizeIterator<Item = (&'static str, &Class)> {
        self.classes.iter().map(|(name, class)| (*name, class))
    }

    /// One class.
    pub fn class(&self, name: &[u8]) -> Option<&Class> {
        self.classes.get(std::str::from_utf8(name).ok()?)
    }

    /// Forgets a class. False if there was none.
    pub fn forget(&mut self, name: &[u8]) -> bool {
        std::str::from_utf8(name).is_ok_and(|name| self.classes.remove(name).is_some())
    }

    /// Forgets everything; how many classes there were.
    pub fn forget_all(&mut self) -> usize {
        let count = self.classes.len();
        self.classes.clear();
        count
    }
}

impl Class {
    /// The samples, oldest first.
    pub fn samples(&self) -> impl ExactSizeIterator<Item = Sample> {
        self.samples.iter().copied()
    }

    /// The newest sample.
    pub fn latest(&self) -> Option<Sample> {
        self.samples.back().copied()
    }

    /// Its samples in sum.
    pub fn figures(&self, now_s: i64) -> Figures {
        let samples = self.samples.len();
        let count = samples.max(1) as u64;
        let average_ms = self.samples().map(|sample| sample.took_ms).sum::<u64>() / count;
        let off = self.samples().map(|sample| sample.took_ms.abs_diff(average_ms)).sum::<u64>();
        let since = self.samples.front().map_or(1, |first| (now_s - first.at_s).max(1));
        let period_s = since as f64 / count as f64;
        Figures { samples, average_ms, mean_deviation_ms: off / count, period_s }
    }

    /// The samples as a picture: a line of figures, a ruler, four rows of marks, and below each column
    /// how long ago it was, written downwards.
    pub fn graph(&self, name: &str, now_s: i64) -> String {
        let times = || self.samples().map(|sample| sample.took_ms);
        let (low, high) = (times().min().unwrap_or(0), times().max().unwrap_or(0));
        let mut out = format!(
            "{name} - high {high} ms, low {low} ms (all time high {} ms)\n{}\n",
            self.longest_ms,
            "-".repeat(COLUMNS)
        );
        let columns: Vec<Sample> = self.samples().collect();
        for columns in columns.chunks(COLUMNS) {
            draw(&mut out, columns, (low, high), now_s);
        }
        out
    }
}

fn draw(out: &mut String, columns: &[Sample], (low, high): (u64, u64), now_s: i64) {
    const MARKS: [char; 3] = ['_', 'o', '#'];
    let steps = (MARKS.len() * ROWS) as u64;
    let height = |sample: &Sample| {
        let step = (sample.took_ms - low) * steps / (high - low).max(1);
        usize::try_from(step.min(steps - 1)).unwrap_or(0)
    };
    for row in 0..ROWS {
        let floor = (ROWS - 1 - row) * MARKS.len();
        out.extend(columns.iter().map(|sample| match height(sample).checked_sub(floor) {
            None => ' ',
            Some(above) => MARKS.get(above).copied().unwrap_or('|'),
        }));
        out.push('\n');
    }
    let ages: Vec<String> = columns.iter().map(|sample| age(now_s - sample.at_s)).collect();
    let deepest = ages.iter().map(String::len).max().unwrap_or(0);
    out.extend(columns.iter().map(|_| ' '));
    out.push('\n');
    for at in 0..deepest {
        out.extend(ages.iter().map(|age| age.as_bytes().get(at).map_or(' ', |c| char::from(*c))));
        out.push('\n');
    }
}

fn age(seconds: i64) -> String {
    let seconds = seconds.max(0);
    let mut text = String::new();
    let (count, unit) = match seconds {
        0..60 => (seconds, 's'),
        60..3_600 => (seconds / 60, 'm'),
        3_600..86_400 => (seconds / 3_600, 'h'),
        _ => (seconds / 86_400, 'd'),
    };
    // Writing to a string cannot fail.
    let _ = write!(text, "{count}{unit}");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_keeps_its_longest_and_a_class_its_last_160() {
        let mut monitor = LatencyMonitor::default();
        for at in 0..200 {
            monitor.note("command", at, 5);
            monitor.note("command", at, 9);
            monitor.note("command", at, 7);
        }
        let class = monitor.class(b"command").unwrap();
        assert_eq!(class.samples().len(), SAMPLES_MAX);
        assert_eq!(class.samples().next(), Some(Sample { at_s: 40, took_ms: 9 }));
        assert_eq!(class.latest(), Some(Sample { at_s: 199, took_ms: 9 }));
        assert_eq!(class.figures(200).average_ms, 9);
        assert!(monitor.forget(b"command") && !monitor.forget(b"command"));
    }

    #[test]
    fn a_graph_stands_on_its_lowest_and_reaches_its_highest() {
        let mut monitor = LatencyMonitor::default();
        for (at, took) in [(0, 10), (940, 20), (995, 30), (1000, 130)] {
            monitor.note("aof-write", at, took);
        }
        let class = monitor.class(b"aof-write").unwrap();
        let graph = class.graph("aof-write", 1000);
        let rows: Vec<&str> = graph.lines().skip(2).collect();
        assert_eq!(rows, ["   #", "   |", "   |", "_o#|", "    ", "1150", "6mss", "m   "]);
        assert!(
            graph.starts_with("aof-write - high 130 ms, low 10 ms (all time high 130 ms)\n---")
        );
    }
}

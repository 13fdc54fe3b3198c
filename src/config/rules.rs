//! Directives of several arguments: their rules ([`WordsRule`]) and the types of their fields.
//!
//! A rule turns what was given into canonical words, which the field takes over; thus `CONFIG GET`,
//! `CONFIG REWRITE` and the field agree on one form.

use super::kind::{WordsRule, integer, memory};
use super::value::{Setting, Value, mismatch, utf8};
use super::words::{Word, join};
use crate::session::Durability;

/// `bind`: addresses; a `-` in front of one means that it may be missing on this machine.
pub(super) static BIND: WordsRule = WordsRule {
    syntax: "addresses",
    parse: |given, _, _| {
        if given.len() > 16 {
            return Err("Too many bind addresses specified.".to_owned());
        }
        Ok(none_if_empty(given).to_vec())
    },
    lines: one_line,
};

/// `rdma-bind`.
pub(super) static ADDRESSES: WordsRule = WordsRule {
    syntax: "addresses",
    parse: |given, _, _| Ok(none_if_empty(given).to_vec()),
    lines: one_line,
};

/// `save`: pairs of seconds and changes.
pub(super) static SAVE: WordsRule =
    WordsRule { syntax: "seconds changes ...", parse: save, lines: save_lines };

/// `client-output-buffer-limit`: class, hard limit, soft limit, seconds.
pub(super) static BUFFER_LIMITS: WordsRule = WordsRule {
    syntax: "class hard soft seconds ...",
    parse: buffer_limits,
    lines: buffer_limit_lines,
};

/// `user-durability`: users and policies.
pub(super) static USER_DURABILITY: WordsRule =
    WordsRule { syntax: "user policy ...", parse: user_durability, lines: one_line };

/// `latency-tracking-info-percentiles`.
pub(super) static PERCENTILES: WordsRule =
    WordsRule { syntax: "percentages", parse: percentiles, lines: one_line };

/// `oom-score-adj-values`.
pub(super) static OOM_VALUES: WordsRule =
    WordsRule { syntax: "three integers -2000 to 2000", parse: oom_values, lines: one_line };

/// `replicaof`: host and port.
pub(super) static REPLICA_OF: WordsRule = WordsRule {
    syntax: "host port",
    parse: replica_of,
    lines: |value, default| {
        if value.is_empty() { Vec::new() } else { vec![(value.to_vec(), value != default)] }
    },
};

/// One rule of `save`: a snapshot is due after `seconds` when at least `changes` keys changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SavePoint {
    /// Seconds since the last snapshot, at least 1.
    pub seconds: u64,
    /// Changes since the last snapshot.
    pub changes: u64,
}

/// When a client that does not read its replies is cut off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutputLimit {
    /// At this many bytes at once; 0 is never.
    pub hard_bytes: u64,
    /// At this many bytes for longer than `soft_seconds`; 0 is never.
    pub soft_bytes: u64,
    /// How long it may stay above `soft_bytes`.
    pub soft_seconds: u64,
}

/// `client-output-buffer-limit` by class of client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutputLimits {
    /// Clients that neither replicate nor subscribe.
    pub normal: OutputLimit,
    /// Replicas.
    pub replica: OutputLimit,
    /// Clients with a subscription.
    pub pubsub: OutputLimit,
}

/// What SHUTDOWN does on a signal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShutdownOptions(u32);

impl ShutdownOptions {
    /// The words; the first means none of the others.
    pub const NAMES: &'static [&'static str] =
        &["default", "save", "nosave", "now", "force", "safe", "failover"];

    /// Write a snapshot even without save points.
    pub const fn save(self) -> bool {
        self.0 & 1 != 0
    }
    /// Write no snapshot even with save points.
    pub const fn nosave(self) -> bool {
        self.0 & 2 != 0
    }
    /// Do not wait for lagging replicas.
    pub const fn now(self) -> bool {
        self.0 & 4 != 0
    }
    /// Stop even when the data could not be saved.
    pub const fn force(self) -> bool {
        self.0 & 8 != 0
    }
}

impl Setting for ShutdownOptions {
    fn value(&self) -> Value {
        Value::Flags(self.0)
    }
    fn assign(&mut self, value: &Value) -> Result<(), String> {
        let Value::Flags(bits) = value else { return Err(mismatch()) };
        self.0 = *bits;
        Ok(())
    }
}

impl Setting for Vec<SavePoint> {
    fn value(&self) -> Value {
        let numbers = self.iter().flat_map(|point| [point.seconds, point.changes]);
        Value::Words(numbers.map(|number| number.to_string().into_bytes()).collect())
    }
    fn assign(&mut self, value: &Value) -> Result<(), String> {
        let Value::Words(words) = value else { return Err(mismatch()) };
        let (pairs, _) = words.as_chunks::<2>();
        let point = |[seconds, changes]: &[Word; 2]| {
            Ok(SavePoint { seconds: number(seconds)?, changes: number(changes)? })
        };
        *self = pairs.iter().map(point).collect::<Result<_, String>>()?;
        Ok(())
    }
}

impl Setting for OutputLimits {
    fn value(&self) -> Value {
        let classes = [("normal", self.normal), ("slave", self.replica), ("pubsub", self.pubsub)];
        let words = classes.into_iter().flat_map(|(class, limit)| {
            let numbers = [limit.hard_bytes, limit.soft_bytes, limit.soft_seconds];
            let numbers = numbers.map(|number| number.to_string().into_bytes());
            std::iter::once(class.as_bytes().to_vec()).chain(numbers)
        });
        Value::Words(words.collect())
    }
    fn assign(&mut self, value: &Value) -> Result<(), String> {
        let Value::Words(words) = value else { return Err(mismatch()) };
        let (classes, _) = words.as_chunks::<4>();
        for [class, hard, soft, seconds] in classes {
            let limit = OutputLimit {
                hard_bytes: number(hard)?,
                soft_bytes: number(soft)?,
                soft_seconds: number(seconds)?,
            };
            match class.as_slice() {
                b"normal" => self.normal = limit,
                b"slave" => self.replica = limit,
                _ => self.pubsub = limit,
            }
        }
        Ok(())
    }
}

fn number(word: &[u8]) -> Result<u64, String> {
    utf8(word)?.parse().map_err(|_| mismatch())
}

/// `""` stands for no argument at all.
fn none_if_empty(given: &[Word]) -> &[Word] {
    match given {
        [one] if one.is_empty() => &[],
        _ => given,
    }
}

/// All words on one line; a pair of quotes when there are none.
fn one_line(value: &[Word], default: &[Word]) -> Vec<(Vec<Word>, bool)> {
    let words = if value.is_empty() { vec![Word::new()] } else { value.to_vec() };
    vec![(words, value != default)]
}

fn save(given: &[Word], current: &[Word], append: bool) -> Result<Vec<Word>, String> {
    let invalid = || "Invalid save parameters".to_owned();
    let empties = matches!(given, [one] if one.is_empty());
    let given = none_if_empty(given);
    if !given.len().is_multiple_of(2) {
        return Err(invalid());
    }
    let mut points = if append && !empties { current.to_vec() } else { Vec::new() };
    for (at, word) in given.iter().enumerate() {
        let least = i64::from(at % 2 == 0); // Seconds are at least 1, changes at least 0.
        let number = integer(word).filter(|number| *number >= least).ok_or_else(invalid)?;
        points.push(number.to_string().into_bytes());
    }
    Ok(points)
}

/// Always written: a file without `save` means the default points, not none.
fn save_lines(value: &[Word], _: &[Word]) -> Vec<(Vec<Word>, bool)> {
    if value.is_empty() {
        return vec![(vec![Word::new()], true)];
    }
    value.as_chunks::<2>().0.iter().map(|pair| (pair.to_vec(), true)).collect()
}

fn buffer_limits(given: &[Word], current: &[Word], _: bool) -> Result<Vec<Word>, String> {
    let (classes, rest) = given.as_chunks::<4>();
    if !rest.is_empty() {
        return Err("Wrong number of arguments in buffer limit configuration.".to_owned());
    }
    let mut limits = OutputLimits::default();
    limits.assign(&Value::Words(current.to_vec()))?;
    for [class, hard, soft, seconds] in classes {
        let limit = match class.to_ascii_lowercase().as_slice() {
            b"normal" => &mut limits.normal,
            b"slave" | b"replica" => &mut limits.replica,
            b"pubsub" => &mut limits.pubsub,
            _ => {
                return Err(
                    "Invalid client class specified in buffer limit configuration.".to_owned()
                );
            }
        };
        let seconds = integer(seconds).and_then(|seconds| u64::try_from(seconds).ok());
        let (Some(hard_bytes), Some(soft_bytes), Some(soft_seconds)) =
            (memory(hard), memory(soft), seconds)
        else {
            let error =
                "Error in hard, soft or soft_seconds setting in buffer limit configuration.";
            return Err(error.to_owned());
        };
        *limit = OutputLimit { hard_bytes, soft_bytes, soft_seconds };
    }
    match limits.value() {
        Value::Words(words) => Ok(words),
        _ => Err(mismatch()),
    }
}

fn buffer_limit_lines(value: &[Word], default: &[Word]) -> Vec<(Vec<Word>, bool)> {
    let defaults = default.as_chunks::<4>().0.iter();
    let classes =
        value.as_chunks::<4>().0.iter().zip(defaults.map(Some).chain(std::iter::repeat(None)));
    let lines = classes.map(|(limit, default)| {
        let [class, hard, soft, seconds] = limit;
        let class = if class == b"slave" { b"replica".to_vec() } else { class.clone() };
        let line = vec![class, with_unit(hard), with_unit(soft), seconds.clone()];
        (line, Some(limit) != default)
    });
    lines.collect()
}

fn with_unit(bytes: &[u8]) -> Word {
    let Some(bytes) = memory(bytes).filter(|bytes| *bytes > 0) else { return b"0".to_vec() };
    for (unit, name) in [(1 << 30, "gb"), (1 << 20, "mb"), (1 << 10, "kb")] {
        if bytes % unit == 0 {
            return format!("{}{name}", bytes / unit).into_bytes();
        }
    }
    bytes.to_string().into_bytes()
}

fn percentiles(given: &[Word], _: &[Word], _: bool) -> Result<Vec<Word>, String> {
    let mut canonical = Vec::new();
    for word in none_if_empty(given) {
        let number = std::str::from_utf8(word).ok().and_then(|text| text.parse::<f64>().ok());
        let number = number.filter(|number| !number.is_nan());
        let number = number.ok_or("Invalid latency-tracking-info-percentiles parameters")?;
        if !(0.0..=100.0).contains(&number) {
            let error =
                "latency-tracking-info-percentiles parameters should sit between [0.0,100.0]";
            return Err(error.to_owned());
        }
        canonical.push(number.abs().to_string().into_bytes()); // -0 is 0.
    }
    Ok(canonical)
}

fn user_durability(given: &[Word], _: &[Word], _: bool) -> Result<Vec<Word>, String> {
    let given = none_if_empty(given);
    let (pairs, rest) = given.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(super::kind::WRONG_COUNT.to_owned());
    }
    let mut canonical: Vec<Word> = Vec::new();
    for [user, policy] in pairs {
        let policy = match Durability::of_word(policy) {
            None | Some(Durability::Default) => {
                return Err("user-durability takes always, everysec or no for each user".to_owned());
            }
            Some(policy) => policy.name().as_bytes().to_vec(),
        };
        if canonical.chunks(2).any(|pair| pair.first() == Some(user)) {
            return Err("user-durability names a user twice".to_owned());
        }
        canonical.extend([user.clone(), policy]);
    }
    Ok(canonical)
}

fn oom_values(given: &[Word], _: &[Word], _: bool) -> Result<Vec<Word>, String> {
    if given.len() != 3 {
        return Err(super::kind::WRONG_COUNT.to_owned());
    }
    let in_range = |word: &Word| integer(word).is_some_and(|value| (-2000..=2000).contains(&value));
    if !given.iter().all(in_range) {
        let error = "Invalid oom-score-adj-values, elements must be between -2000 and 2000.";
        return Err(error.to_owned());
    }
    Ok(given.to_vec())
}

fn replica_of(given: &[Word], _: &[Word], _: bool) -> Result<Vec<Word>, String> {
    let [host, port] = given else { return Err(super::kind::WRONG_COUNT.to_owned()) };
    if join(given).eq_ignore_ascii_case(b"no one") {
        return Ok(Vec::new());
    }
    match integer(port) {
        Some(0..=65_535) => Ok(vec![host.clone(), port.clone()]),
        _ => Err("Invalid master port".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::words::split_line;
    use super::*;

    fn apply(rule: &WordsRule, line: &str, current: &str, append: bool) -> Result<String, String> {
        let given = split_line(line.as_bytes()).unwrap();
        let current = split_line(current.as_bytes()).unwrap();
        (rule.parse)(&given, &current, append).map(|words| String::from_utf8(join(&words)).unwrap())
    }

    #[test]
    fn save_points_replace_or_append() {
        assert_eq!(apply(&SAVE, "900 1", "60 5", false).unwrap(), "900 1");
        assert_eq!(apply(&SAVE, "900 1", "60 5", true).unwrap(), "60 5 900 1");
        assert_eq!(apply(&SAVE, "''", "60 5", true).unwrap(), "");
        assert_eq!(apply(&SAVE, "1 0", "", true).unwrap(), "1 0");
        for bad in ["900", "0 1", "-1 1", "1 -1", "a 1", "900 1 ''"] {
            assert_eq!(
                apply(&SAVE, bad, "", false),
                Err("Invalid save parameters".into()),
                "{bad}"
            );
        }
    }

    #[test]
    fn buffer_limits_change_only_the_named_classes() {
        let before = "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60";
        assert_eq!(
            apply(&BUFFER_LIMITS, "replica 1kb 2 3 NORMAL 5 5 5", before, false).unwrap(),
            "normal 5 5 5 slave 1024 2 3 pubsub 33554432 8388608 60"
        );
        assert_eq!(apply(&BUFFER_LIMITS, "", before, false).unwrap(), before);
        for (bad, error) in [
            ("pubsub 1 1", "Wrong number of arguments in buffer limit configuration."),
            ("master 1 1 1", "Invalid client class specified in buffer limit configuration."),
            (
                "normal 1 1 x",
                "Error in hard, soft or soft_seconds setting in buffer limit configuration.",
            ),
        ] {
            assert_eq!(apply(&BUFFER_LIMITS, bad, before, false), Err(error.into()));
        }
    }

    #[test]
    fn buffer_limits_are_written_one_class_a_line() {
        let words = |line: &str| split_line(line.as_bytes()).unwrap();
        let default = words("normal 0 0 0 slave 1 1 1 pubsub 9 9 9");
        let lines =
            buffer_limit_lines(&words("normal 0 0 0 slave 1 1 1 pubsub 2048 9 9"), &default);
        let lines: Vec<_> = lines.into_iter().map(|(line, needed)| (join(&line), needed)).collect();
        assert_eq!(
            lines,
            [
                (b"normal 0 0 0".to_vec(), false),
                (b"replica 1 1 1".to_vec(), false),
                (b"pubsub 2kb 9 9".to_vec(), true)
            ]
        );
    }

    #[test]
    fn percentiles_are_numbers_up_to_100() {
        assert_eq!(apply(&PERCENTILES, "50 99.99 1e1", "", false).unwrap(), "50 99.99 10");
        assert_eq!(apply(&PERCENTILES, "''", "1", false).unwrap(), "");
        assert!(apply(&PERCENTILES, "nan", "", false).unwrap_err().starts_with("Invalid"));
        assert!(apply(&PERCENTILES, "100.1", "", false).unwrap_err().contains("between"));
    }

    #[test]
    fn each_user_has_one_policy() {
        let good = apply(&USER_DURABILITY, "a ALWAYS b no", "", false);
        assert_eq!(good.unwrap(), "a always b no");
        for bad in ["a", "a sometimes", "a default", "a no a always"] {
            assert!(apply(&USER_DURABILITY, bad, "", false).is_err(), "{bad}");
        }
    }

    #[test]
    fn other_rules_check_their_arguments() {
        assert!(apply(&BIND, &"a ".repeat(17), "", false).is_err());
        assert_eq!(apply(&BIND, "''", "*", false).unwrap(), "");
        assert_eq!(apply(&OOM_VALUES, "1 2", "", false), Err("wrong number of arguments".into()));
        assert!(apply(&OOM_VALUES, "1 2 2001", "", false).unwrap_err().contains("-2000"));
        assert_eq!(apply(&REPLICA_OF, "NO one", "a 1", false).unwrap(), "");
        assert_eq!(apply(&REPLICA_OF, "host x", "", false), Err("Invalid master port".into()));
    }
}

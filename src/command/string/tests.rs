use super::lcs::{Lengths, Match};
use super::options::{Condition, Expiry, SetOptions, digest};
use super::range::part;
use crate::command::CommandError;
use crate::keyspace::StrRef;
use crate::resp::args::OwnedArgs;

fn parse(words: &[&str]) -> Result<(bool, String), CommandError> {
    let owned = OwnedArgs::from_slices(words.iter().map(|word| word.as_bytes()));
    let args = owned.as_args();
    SetOptions::parse(&args, 0, true).map(|options| {
        (options.returns_old, format!("{:?} {:?}", options.condition, options.expiry))
    })
}

#[test]
fn options_of_set_exclude_one_another() {
    for words in [
        &["NX", "XX"][..],
        &["XX", "NX"],
        &["NX", "IFEQ", "a"],
        &["EX", "1", "PX", "1"],
        &["KEEPTTL", "EX", "1"],
        &["EX", "1", "KEEPTTL"],
        &["EX"],
        &["IFEQ"],
        &["HUH"],
        &["HUH", "HUH"],
    ] {
        assert_eq!(parse(words), Err(CommandError::Syntax), "{words:?}");
    }
    let (returns_old, _) = parse(&["get", "nx", "ex", "10"]).unwrap();
    assert!(returns_old);
    let (_, text) = parse(&["EX", "1", "NX", "EX", "2", "NX"]).unwrap();
    assert!(text.contains("[50]"), "the last one counts: {text}");
    assert!(parse(&["KEEPTTL", "KEEPTTL"]).is_ok());
    assert!(parse(&["IFDEQ", "0123456789abcdef"]).is_ok());
    assert!(matches!(parse(&["IFDEQ", "0123"]), Err(CommandError::Text(_))));
    assert!(matches!(parse(&["IFDEQ", "+123456789abcdef"]), Err(CommandError::Text(_))));
    assert_eq!(SetOptions::PLAIN.expiry, Expiry::Clear);
}

#[test]
fn comparisons_treat_something_absent_as_different() {
    let equal = Condition::Value { equal: true, to: b"12" };
    let different = Condition::Value { equal: false, to: b"12" };
    let digested = Condition::Digest { equal: true, to: digest(b"12") };
    assert!(!equal.holds(None) && different.holds(None) && !digested.holds(None));
    assert!(equal.holds(Some(StrRef::Int(12))) && digested.holds(Some(StrRef::Int(12))));
    assert!(equal.holds(Some(StrRef::Bytes(b"12"))) && !different.holds(Some(StrRef::Int(12))));
    assert!(!equal.holds(Some(StrRef::Bytes(b"012"))));
    // XXH3 of nothing, as its specification has it.
    assert_eq!(digest(b""), 0x2d06_8005_38d3_94c2);
}

#[test]
fn parts_are_cut_as_getrange_cuts_them() {
    let bytes = b"This is a string";
    for (start, end, expected) in [
        (0, 3, &b"This"[..]),
        (-3, -1, b"ing"),
        (0, -1, bytes),
        (10, 100, b"string"),
        (5, 3, b""),
        (-1, -3, b""),
        (-100, 3, b"This"),
        (-100, -100, b"T"),
        (100, 200, b""),
        (0, i64::MAX, bytes),
        (i64::MIN, i64::MAX, bytes),
    ] {
        assert_eq!(part(bytes, start, end), expected, "{start} {end}");
    }
    assert_eq!(part(b"", 0, -1), b"");
}

#[test]
fn the_longest_common_subsequence_and_its_runs() {
    let (first, second) = (b"ohmytext", b"mynewtext");
    let table = Lengths::new(first, second);
    assert_eq!(table.total(), 6);
    assert_eq!(table.subsequence(first, second), b"mytext");
    let runs = table.matches(first, second);
    let expected = [Match { first: 4, second: 5, len: 4 }, Match { first: 2, second: 0, len: 2 }];
    assert_eq!(runs, expected);
    assert_eq!(Lengths::new(b"", b"abc").total(), 0);
    assert!(Lengths::new(b"", b"abc").matches(b"", b"abc").is_empty());
}

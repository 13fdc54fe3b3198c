//! When two replies count as equal: exactly, or but for what is random in them.

use super::generate::Check;
use crate::support::reply::{Reply, escape};

const TIME_DRIFT_MS: i64 = 5000;

pub(crate) fn same(check: Check, left: &Reply, right: &Reply) -> bool {
    if left == right {
        return true;
    }
    match check {
        Check::Exact => false,
        Check::Unordered => sorted(left) == sorted(right),
        Check::Pairs => pairs(left).is_some() && pairs(left) == pairs(right),
        Check::Shape | Check::CopyEffect | Check::Dump | Check::Functions => {
            shape(left) == shape(right)
        }
        Check::Failure => !left.is_error() && !right.is_error(),
        Check::Time => match (left, right) {
            (Reply::Int(left), Reply::Int(right)) => {
                *left > 0 && *right > 0 && (left - right).abs() <= TIME_DRIFT_MS
            }
            (Reply::Array(left), Reply::Array(right)) => {
                left.len() == right.len()
                    && left.iter().zip(right).all(|(left, right)| same(check, left, right))
            }
            _ => false,
        },
        Check::Page | Check::PageOfPairs => match (left.items(), right.items()) {
            ([from, left], [to, right]) if from == to => match check {
                Check::Page => sorted(left) == sorted(right),
                _ => pairs(left).is_some() && pairs(left) == pairs(right),
            },
            _ => false,
        },
    }
}

fn sorted(reply: &Reply) -> Option<Vec<Reply>> {
    match reply {
        Reply::Array(items) | Reply::Set(items) => {
            let mut items = items.clone();
            items.sort();
            Some(items)
        }
        _ => None,
    }
}

fn pairs(reply: &Reply) -> Option<Vec<(Reply, Reply)>> {
    let mut pairs: Vec<(Reply, Reply)> = match reply {
        Reply::Map(pairs) => pairs.clone(),
        Reply::Array(items) if items.len().is_multiple_of(2) => {
            items.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect()
        }
        _ => return None,
    };
    pairs.sort();
    Some(pairs)
}

/// The kind of a reply, and of what is in it, without the contents.
fn shape(reply: &Reply) -> String {
    match reply {
        Reply::Error(text) => format!("error {}", escape(text)),
        Reply::Int(_) => "integer".into(),
        Reply::Double(_) => "double".into(),
        Reply::Bulk(_) => "string".into(),
        Reply::Array(items) => format!("[{}]", items.iter().map(shape).collect::<String>()),
        Reply::Set(items) => format!("~[{}]", items.iter().map(shape).collect::<String>()),
        Reply::Map(pairs) => {
            let pair = |(key, value): &(Reply, Reply)| format!("{key} => {}, ", shape(value));
            format!("{{{}}}", pairs.iter().map(pair).collect::<String>())
        }
        other => other.to_string(),
    }
}

/// The comparison itself can see: a server that answers otherwise is found out.
#[test]
fn what_is_random_is_compared_by_its_shape_only() {
    let text = |text: &str| Reply::Bulk(text.as_bytes().to_vec());
    let list = |items: &[&str]| Reply::Array(items.iter().map(|item| text(item)).collect());
    let error = Reply::Error(b"ERR x".to_vec());
    let cases = [
        (Check::Exact, list(&["a", "b"]), list(&["b", "a"]), false),
        (Check::Unordered, list(&["a", "b"]), list(&["b", "a"]), true),
        (Check::Unordered, list(&["a", "b"]), list(&["b", "c"]), false),
        (Check::Pairs, list(&["a", "1", "b", "2"]), list(&["b", "2", "a", "1"]), true),
        (Check::Pairs, list(&["a", "1", "b", "2"]), list(&["a", "2", "b", "1"]), false),
        (Check::Shape, list(&["a"]), list(&["b"]), true),
        (Check::Shape, list(&["a"]), list(&["b", "c"]), false),
        (Check::Shape, error.clone(), Reply::Error(b"ERR y".to_vec()), false),
        (Check::Time, Reply::Int(5000), Reply::Int(5001), true),
        (Check::Time, Reply::Int(-1), Reply::Int(-2), false),
        (Check::Time, Reply::Int(100_000), Reply::Int(1), false),
    ];
    for (check, left, right, expected) in cases {
        assert_eq!(same(check, &left, &right), expected, "{check:?} {left} {right}");
    }
}

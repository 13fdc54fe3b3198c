//! Name patterns of `CONFIG GET` and of `include`: `*`, `?`, `[a-z]`, `[^a]`, `\x`; ASCII case is ignored
//! on demand.
//!
//! Matching keeps one place to fall back to (the last `*`), so its time is at most the product of the
//! two lengths whatever the pattern; no pattern can make it recurse or hang.

/// Whether `name` matches `pattern` as a whole.
pub fn matches(pattern: &[u8], name: &[u8], ignore_case: bool) -> bool {
    let (mut at_pattern, mut at_name) = (pattern, name);
    let mut fallback: Option<(&[u8], &[u8])> = None;
    loop {
        if let [b'*', after @ ..] = at_pattern {
            at_pattern = after;
            fallback = Some((after, at_name));
            continue;
        }
        match (step(at_pattern, at_name.first().copied(), ignore_case), at_name) {
            (Some(after), [_, rest @ ..]) => {
                at_pattern = after;
                at_name = rest;
                continue;
            }
            (_, []) if at_pattern.is_empty() => return true,
            _ => {}
        }
        // Let the last star take one byte more.
        match fallback {
            Some((after_star, [_, rest @ ..])) => {
                at_pattern = after_star;
                at_name = rest;
                fallback = Some((after_star, rest));
            }
            _ => return false,
        }
    }
}

/// Whether the text has any byte that makes it a pattern.
pub fn is_pattern(text: &[u8]) -> bool {
    text.iter().any(|byte| matches!(byte, b'*' | b'?' | b'['))
}

/// The pattern behind its first element when that element matches `byte`.
fn step(pattern: &[u8], byte: Option<u8>, ignore_case: bool) -> Option<&[u8]> {
    let byte = byte?;
    match pattern {
        [] => None,
        [b'?', after @ ..] => Some(after),
        [b'[', set @ ..] => in_set(set, fold(byte, ignore_case), ignore_case),
        [b'\\', literal, after @ ..] | [literal, after @ ..] => {
            (fold(*literal, ignore_case) == fold(byte, ignore_case)).then_some(after)
        }
    }
}

/// The pattern behind `set]` when `byte` is in the set. A set that is never closed ends with the pattern.
fn in_set(set: &[u8], byte: u8, ignore_case: bool) -> Option<&[u8]> {
    let (negated, mut rest) = match set {
        [b'^', rest @ ..] => (true, rest),
        _ => (false, set),
    };
    let mut found = false;
    let after = loop {
        match rest {
            [] => break rest,
            [b']', after @ ..] => break after,
            [b'\\', literal, after @ ..] => {
                found |= fold(*literal, ignore_case) == byte;
                rest = after;
            }
            [low, b'-', high, after @ ..] => {
                let (low, high) = (fold(*low, ignore_case), fold(*high, ignore_case));
                found |= (low.min(high)..=low.max(high)).contains(&byte);
                rest = after;
            }
            [literal, after @ ..] => {
                found |= fold(*literal, ignore_case) == byte;
                rest = after;
            }
        }
    };
    (found != negated).then_some(after)
}

fn fold(byte: u8, ignore_case: bool) -> u8 {
    if ignore_case { byte.to_ascii_lowercase() } else { byte }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_redis() {
        for (pattern, name) in [
            ("*", ""),
            ("max*", "maxmemory"),
            ("MAX*y", "maxmemory"),
            ("*-*-*", "hash-max-listpack-entries"),
            ("h?", "hz"),
            ("[a-h]z", "hz"),
            ("[^a-g]z", "hz"),
            ("h\\z", "hz"),
            ("*a*b", "xaxbab"),
            ("h[z", "hz"),
        ] {
            assert!(matches(pattern.as_bytes(), name.as_bytes(), true), "{pattern} {name}");
        }
        for (pattern, name) in
            [("", "a"), ("h", "hz"), ("h?z", "hz"), ("*x", "hz"), ("[^h]z", "hz"), ("h\\?", "hz")]
        {
            assert!(!matches(pattern.as_bytes(), name.as_bytes(), true), "{pattern} {name}");
        }
        assert!(!matches(b"HZ", b"hz", false));
    }

    #[test]
    fn many_stars_take_no_exponential_time() {
        let pattern = "*a".repeat(50) + "b";
        assert!(!matches(pattern.as_bytes(), "a".repeat(2000).as_bytes(), false));
    }
}

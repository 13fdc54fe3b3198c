//! Glob patterns as KEYS, SCAN, PSUBSCRIBE, CONFIG GET and ACL rules use them.
//!
//! `*` any run, `?` any byte, `[a-z]` and `[^a-z]` classes, `\x` the byte itself. The corners are
//! Redis' (a backslash at the very end is itself, an unclosed class reaches to the end of the
//! pattern, `[a-]` is a range up to `]`, range bounds compare as signed bytes, no star but a lone
//! one matches the empty string): clients and ACL files depend on them.
//!
//! Every element but `*` takes exactly one byte, so when the part after a star fails, only the last
//! star needs to give a byte back. That makes the work at most pattern times text, whatever the
//! pattern: `a*a*a*...b` from a hostile client cannot hold the lock for long.

/// Redis matches no pattern that needs more stars than this one after the other.
const STARS_MAX: usize = 1000;

/// Whether `text` as a whole matches `pattern`; `nocase` ignores the case of ASCII letters.
pub fn matches(pattern: &[u8], text: &[u8], nocase: bool) -> bool {
    if text.is_empty() {
        // As Redis has it: with no text, a star is not even looked at. (Commands take a lone one
        // for "all" before they match.)
        return pattern.is_empty() || matches_all(pattern);
    }
    let (mut p, mut t) = (0, 0);
    let mut stars = 0;
    // Pattern after the last star, and where the text was when that part was last tried.
    let mut retry: Option<(usize, usize)> = None;
    loop {
        if pattern.get(p) == Some(&b'*') {
            while pattern.get(p) == Some(&b'*') {
                p += 1;
            }
            if p == pattern.len() {
                return true;
            }
            stars += 1;
            if stars > STARS_MAX {
                return false;
            }
            retry = Some((p, t));
            continue;
        }
        if t == text.len() {
            // More text is no help: a longer star would only leave less.
            return p == pattern.len();
        }
        if let Some(next) = step(pattern, p, text[t], nocase) {
            p = next;
            t += 1;
            continue;
        }
        let Some((after_star, started)) = retry else { return false };
        t = started + 1;
        if let Some(literal) = pattern.get(after_star)
            && !nocase
            && !matches!(literal, b'?' | b'[' | b'\\')
        {
            // Only where this byte is can the part begin.
            let rest = text.get(t..).unwrap_or_default();
            let Some(skipped) = rest.iter().position(|byte| byte == literal) else { return false };
            t += skipped;
        }
        retry = Some((after_star, t));
        p = after_star;
    }
}

/// Whether the pattern is `*`, which needs no matching.
pub fn matches_all(pattern: &[u8]) -> bool {
    pattern == b"*"
}

/// Whether the pattern has no special byte: it then matches its own text only.
pub fn is_literal(pattern: &[u8]) -> bool {
    !pattern.iter().any(|byte| matches!(byte, b'*' | b'?' | b'[' | b'\\'))
}

/// Matches one byte against the element at `p`, which is not a star; returns where the next begins.
fn step(pattern: &[u8], p: usize, byte: u8, nocase: bool) -> Option<usize> {
    match *pattern.get(p)? {
        b'?' => Some(p + 1),
        b'[' => {
            let (hit, next) = class(pattern, p + 1, byte, nocase);
            hit.then_some(next)
        }
        b'\\' if p + 1 < pattern.len() => same(pattern[p + 1], byte, nocase).then_some(p + 2),
        literal => same(literal, byte, nocase).then_some(p + 1),
    }
}

fn same(a: u8, b: u8, nocase: bool) -> bool {
    a == b || nocase && a.eq_ignore_ascii_case(&b)
}

/// Matches one byte against the class whose content begins at `p`; returns where the next element
/// begins.
fn class(pattern: &[u8], mut p: usize, byte: u8, nocase: bool) -> (bool, usize) {
    let negated = pattern.get(p) == Some(&b'^');
    if negated {
        p += 1;
    }
    let mut hit = false;
    loop {
        match *pattern.get(p..).unwrap_or_default() {
            [] => return (hit != negated, pattern.len()),
            [b'\\', escaped, ..] => {
                // An escaped byte in a class keeps its case even when the rest does not.
                hit |= escaped == byte;
                p += 2;
            }
            [b']', ..] => return (hit != negated, p + 1),
            [start, b'-', end, ..] => {
                hit |= in_range(start, end, byte, nocase);
                p += 3;
            }
            [literal, ..] => {
                hit |= same(literal, byte, nocase);
                p += 1;
            }
        }
    }
}

fn in_range(start: u8, end: u8, byte: u8, nocase: bool) -> bool {
    // C's char is signed where Redis runs, and the bounds are swapped before their case is folded.
    let (low, high) = if start as i8 > end as i8 { (end, start) } else { (start, end) };
    let fold = |byte: u8| if nocase { byte.to_ascii_lowercase() as i8 } else { byte as i8 };
    (fold(low)..=fold(high)).contains(&fold(byte))
}

#[cfg(test)]
mod tests;

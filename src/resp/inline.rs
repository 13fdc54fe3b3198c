//! Splits one line into words with the shell-like quoting of Redis (`sdssplitargs`).
//!
//! Used for inline requests and, with the same rules, wherever Redis reads such lines. In double
//! quotes `\xHH`, `\n`, `\r`, `\t`, `\b`, `\a` and any escaped byte; in single quotes only `\'`.
//! A closing quote must be followed by white space or the end.

/// The words of `line`, or `None` when its quotes are not balanced.
pub fn split_words(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut words = Vec::new();
    let mut rest = line;
    loop {
        while let [first, tail @ ..] = rest {
            if !is_space(*first) {
                break;
            }
            rest = tail;
        }
        if rest.is_empty() || rest.first() == Some(&0) {
            return Some(words);
        }
        let (word, tail) = one_word(rest)?;
        words.push(word);
        rest = tail;
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

fn one_word(mut rest: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut word = Vec::new();
    loop {
        match rest {
            [] => return Some((word, rest)),
            [b'"', tail @ ..] => {
                rest = double_quoted(tail, &mut word)?;
                return ends_word(rest).then_some((word, rest));
            }
            [b'\'', tail @ ..] => {
                rest = single_quoted(tail, &mut word)?;
                return ends_word(rest).then_some((word, rest));
            }
            [byte, ..] if is_space(*byte) || *byte == 0 => return Some((word, rest)),
            [byte, tail @ ..] => {
                word.push(*byte);
                rest = tail;
            }
        }
    }
}

fn ends_word(rest: &[u8]) -> bool {
    rest.first().is_none_or(|&byte| is_space(byte))
}

fn double_quoted<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        match rest {
            [] => return None,
            [b'"', tail @ ..] => return Some(tail),
            [b'\\', b'x', high, low, tail @ ..]
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                word.push(hex_value(*high) << 4 | hex_value(*low));
                rest = tail;
            }
            [b'\\', escaped, tail @ ..] => {
                word.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 0x08,
                    b'a' => 0x07,
                    other => *other,
                });
                rest = tail;
            }
            [byte, tail @ ..] => {
                word.push(*byte);
                rest = tail;
            }
        }
    }
}

fn single_quoted<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        match rest {
            [] => return None,
            [b'\\', b'\'', tail @ ..] => {
                word.push(b'\'');
                rest = tail;
            }
            [b'\'', tail @ ..] => return Some(tail),
            [byte, tail @ ..] => {
                word.push(*byte);
                rest = tail;
            }
        }
    }
}

fn hex_value(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        b'A'..=b'F' => digit - b'A' + 10,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Option<Vec<String>> {
        let words = split_words(line.as_bytes())?;
        Some(words.into_iter().map(|word| String::from_utf8(word).unwrap()).collect())
    }

    #[test]
    fn plain_and_quoted_words() {
        assert_eq!(words("  set k  v \t").unwrap(), ["set", "k", "v"]);
        assert_eq!(words(r#"set "a b" 'c "d' "#).unwrap(), ["set", "a b", "c \"d"]);
        assert_eq!(words(r#"x "\x41\n\q""#).unwrap(), ["x", "A\nq"]);
        assert_eq!(words(r"x 'it\'s'").unwrap(), ["x", "it's"]);
        assert_eq!(words("\"\"").unwrap(), [""]);
        assert_eq!(words("").unwrap(), Vec::<String>::new());
    }

    #[test]
    fn unbalanced_quotes_are_refused() {
        for line in ["\"abc", "'abc", "\"a\"b", "'a'b", "x \"\\"] {
            assert_eq!(words(line), None, "{line}");
        }
    }
}

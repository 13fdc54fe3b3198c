//! Words: how a line of a config file becomes arguments, and how arguments become a line again.
//!
//! A line is words between blanks. `"..."` knows the escapes `\n \r \t \b \a \xHH` (a backslash before
//! anything else gives that byte); `'...'` knows only `\'`. A closing quote ends the word, so anything
//! but a blank after it is an error, as is a quote that is never closed. Words are bytes, not text:
//! passwords may be anything.

/// One argument.
pub type Word = Vec<u8>;

/// The words of a line, or `None` when its quotes do not balance.
pub fn split_line(line: &[u8]) -> Option<Vec<Word>> {
    let mut words = Vec::new();
    let mut rest = line;
    loop {
        rest = trim_start(rest);
        if rest.is_empty() {
            return Some(words);
        }
        let (word, after) = one_word(rest)?;
        words.push(word);
        rest = after;
    }
}

/// Splits at single spaces, as `CONFIG SET` does with the value of a directive of several arguments.
pub fn split_spaces(value: &[u8]) -> Vec<Word> {
    if value.is_empty() {
        return Vec::new();
    }
    value.split(|byte| *byte == b' ').map(<[u8]>::to_vec).collect()
}

/// Words as one line, each quoted only where it would not be read back as it is.
pub fn join(words: &[Word]) -> Vec<u8> {
    let mut line = Vec::new();
    for (at, word) in words.iter().enumerate() {
        if at > 0 {
            line.push(b' ');
        }
        if is_plain(word) { line.extend_from_slice(word) } else { quote_into(&mut line, word) }
    }
    line
}

/// Appends `word` in double quotes, readable by [`split_line`].
pub fn quote_into(line: &mut Vec<u8>, word: &[u8]) {
    line.push(b'"');
    for byte in word {
        match byte {
            b'\\' | b'"' => line.extend_from_slice(&[b'\\', *byte]),
            b'\n' => line.extend_from_slice(b"\\n"),
            b'\r' => line.extend_from_slice(b"\\r"),
            b'\t' => line.extend_from_slice(b"\\t"),
            0x07 => line.extend_from_slice(b"\\a"),
            0x08 => line.extend_from_slice(b"\\b"),
            b' '..=b'~' => line.push(*byte),
            _ => line.extend_from_slice(format!("\\x{byte:02x}").as_bytes()),
        }
    }
    line.push(b'"');
}

/// The bytes that separate words; the same as C's `isspace`.
pub fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

/// Removes blanks from the front.
pub fn trim_start(mut bytes: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = bytes
        && is_blank(*first)
    {
        bytes = rest;
    }
    bytes
}

/// Removes the blanks that Redis trims from both ends of a config line.
pub fn trim(bytes: &[u8]) -> &[u8] {
    let mut bytes = trim_start(bytes);
    while let [rest @ .., last] = bytes
        && is_blank(*last)
    {
        bytes = rest;
    }
    bytes
}

/// Reads one word at the front of `rest` (which does not start with a blank).
fn one_word(mut rest: &[u8]) -> Option<(Word, &[u8])> {
    let mut word = Word::new();
    loop {
        match rest {
            [] | [0, ..] => return Some((word, &[])), // A NUL ends the line, as it does in C.
            [b'"', inside @ ..] => return double_quoted(word, inside),
            [b'\'', inside @ ..] => return single_quoted(word, inside),
            [byte, after @ ..] if is_blank(*byte) => return Some((word, after)),
            [byte, after @ ..] => {
                word.push(*byte);
                rest = after;
            }
        }
    }
}

fn double_quoted(mut word: Word, mut rest: &[u8]) -> Option<(Word, &[u8])> {
    loop {
        match rest {
            [b'\\', b'x', high, low, after @ ..] if both_hex(*high, *low) => {
                word.push(hex_digit(*high) << 4 | hex_digit(*low));
                rest = after;
            }
            [b'\\', escaped, after @ ..] => {
                word.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 0x08,
                    b'a' => 0x07,
                    other => *other,
                });
                rest = after;
            }
            [b'"', after @ ..] => return ends_word(after).then_some((word, after)),
            [byte, after @ ..] => {
                word.push(*byte);
                rest = after;
            }
            [] => return None,
        }
    }
}

fn single_quoted(mut word: Word, mut rest: &[u8]) -> Option<(Word, &[u8])> {
    loop {
        match rest {
            [b'\\', b'\'', after @ ..] => {
                word.push(b'\'');
                rest = after;
            }
            [b'\'', after @ ..] => return ends_word(after).then_some((word, after)),
            [byte, after @ ..] => {
                word.push(*byte);
                rest = after;
            }
            [] => return None,
        }
    }
}

fn ends_word(after: &[u8]) -> bool {
    after.first().is_none_or(|byte| is_blank(*byte) || *byte == 0)
}

fn both_hex(high: u8, low: u8) -> bool {
    high.is_ascii_hexdigit() && low.is_ascii_hexdigit()
}

fn hex_digit(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => digit.wrapping_sub(b'A').wrapping_add(10),
    }
}

fn is_plain(word: &[u8]) -> bool {
    !word.is_empty()
        && word.iter().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\'' | b'\\'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(line: &str) -> Option<Vec<String>> {
        let words = split_line(line.as_bytes())?;
        Some(words.into_iter().map(|word| String::from_utf8(word).unwrap()).collect())
    }

    #[test]
    fn blanks_separate_and_quotes_protect() {
        assert_eq!(split("  a\tb  c ").unwrap(), ["a", "b", "c"]);
        assert_eq!(split(r#"save "" '' "a b"c"#), None);
        assert_eq!(split(r#"save "" '' "a b" x"y""#).unwrap(), ["save", "", "", "a b", "xy"]);
        assert_eq!(split(r#""\x41\n\"\\\q" '\'\n'"#).unwrap(), ["A\n\"\\q", "'\\n"]);
        assert_eq!(split("").unwrap(), [""; 0]);
    }

    #[test]
    fn open_quotes_are_refused() {
        for line in ["\"a", "'a", "\"a\"b", "'a'b", "\"a\\", "a \"b\\\""] {
            assert_eq!(split(line), None, "{line}");
        }
    }

    #[test]
    fn joined_words_read_back_as_they_were() {
        let every_byte: Word = (0..=255).collect();
        let words =
            vec![b"plain".to_vec(), Word::new(), b"a b".to_vec(), every_byte, b"it's".to_vec()];
        assert_eq!(split_line(&join(&words)), Some(words));
        assert_eq!(join(&[b"a".to_vec(), b"-::*".to_vec()]), b"a -::*");
    }

    #[test]
    fn spaces_split_one_by_one() {
        assert_eq!(split_spaces(b""), Vec::<Word>::new());
        assert_eq!(split_spaces(b"a  b"), [b"a".to_vec(), Word::new(), b"b".to_vec()]);
    }
}

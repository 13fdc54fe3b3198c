//! Bytes that are no text, carried by a `String`.
//!
//! An error tells a client its own words, which may be any bytes, and is put together as text. A byte that is no part of
//! UTF-8 is carried by one of the last 128 characters of Unicode's private use, and becomes itself again where the error is
//! made ([`crate::command::CommandError::owned`]). Where such a character was sent its own four bytes are carried.

use std::borrow::Cow;

/// Stands for the byte 0x80; the bytes up to 0xFF follow.
const FIRST: u32 = 0x10_FF80;

/// The bytes as text, every one of them kept.
pub fn mark(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(is_mark) => return Cow::Borrowed(text),
        _ => {}
    }
    let mut marked = String::with_capacity(bytes.len() * 2);
    for chunk in bytes.utf8_chunks() {
        for symbol in chunk.valid().chars() {
            if is_mark(symbol) {
                symbol.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| push(&mut marked, byte));
            } else {
                marked.push(symbol);
            }
        }
        chunk.invalid().iter().for_each(|byte| push(&mut marked, *byte));
    }
    Cow::Owned(marked)
}

/// The bytes that this text carries.
pub fn unmark(text: &str) -> Cow<'_, [u8]> {
    if !text.contains(is_mark) {
        return Cow::Borrowed(text.as_bytes());
    }
    let mut bytes = Vec::with_capacity(text.len());
    for symbol in text.chars() {
        if is_mark(symbol) {
            bytes.push(0x80 | (u32::from(symbol) & 0x7F) as u8);
        } else {
            bytes.extend_from_slice(symbol.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
    Cow::Owned(bytes)
}

fn is_mark(symbol: char) -> bool {
    u32::from(symbol) >= FIRST
}

fn push(marked: &mut String, byte: u8) {
    marked.push(
        char::from_u32(FIRST + u32::from(byte & 0x7F)).unwrap_or(char::REPLACEMENT_CHARACTER),
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn text_is_carried_as_it_is() {
        assert!(matches!(mark("k\u{E4}se".as_bytes()), Cow::Borrowed("k\u{E4}se")));
        assert_eq!(mark(b"a\xff\xc3").chars().count(), 3);
        assert_eq!(*unmark("plain"), *b"plain");
    }

    #[test]
    fn the_marks_themselves_come_back() {
        let symbols = "\u{10FF7F}\u{10FF80}\u{10FFFF}";
        assert_eq!(*unmark(&mark(symbols.as_bytes())), *symbols.as_bytes());
    }

    proptest! {
        #[test]
        fn every_byte_comes_back(bytes in proptest::collection::vec(any::<u8>(), 0..40), tail in "\\PC{0,4}") {
            let bytes = [bytes.as_slice(), tail.as_bytes()].concat();
            let marked = mark(&bytes);
            prop_assert_eq!(&*unmark(&marked), &*bytes);
            // Between other texts, too.
            let text = format!("'{marked}' \u{E4}");
            let expected = [b"'", bytes.as_slice(), "' \u{E4}".as_bytes()].concat();
            prop_assert_eq!(&*unmark(&text), &*expected);
        }
    }
}

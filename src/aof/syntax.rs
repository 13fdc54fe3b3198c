//! One RESP record of a log file: `*<argc>\r\n` and argc times `$<len>\r\n<bytes>\r\n`.
//!
//! Inside a frame the spelling is the writer's own and is parsed strictly. In files that Redis wrote, or a person
//! edited, what Redis' loader accepts is accepted: numbers as atoi reads them, lines that end in a bare
//! newline, any two bytes behind a bulk string. `format-spec/aof.md`, section 5.
//!
//! Nothing is allocated from a number in the file: arguments are slices of it, and each costs the file
//! at least six bytes.

/// Redis reads lines into a buffer of this size less one.
const LINE_LEN_MAX: usize = 1023;

/// Why there is no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordFault {
    /// The bytes ran out before its end.
    Truncated,
    /// It does not start with `*`.
    NotARecord,
    /// The number of arguments is none, or less than one.
    BadCount,
    /// An argument does not start with `$`, or its length is none.
    BadLength,
    /// No newline where a line must end, or another end of line than CRLF in a frame.
    BadLineEnd,
}

/// How closely a record must keep to the grammar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spelling {
    /// As the writer of frames spells it.
    Strict,
    /// As Redis' loader reads it.
    Sloppy,
}

/// Parses the record at `start`, appends its arguments to `args`, returns where it ends.
///
/// After an error `args` holds the arguments before it; the caller cuts them off.
pub(super) fn record<'a>(
    bytes: &'a [u8],
    start: usize,
    spelling: Spelling,
    args: &mut Vec<&'a [u8]>,
) -> Result<usize, RecordFault> {
    use RecordFault as Fault;
    let (count, mut at) = number_line(bytes, start, (b'*', Fault::NotARecord), spelling)?;
    let count = count.filter(|count| (1..=i64::from(i32::MAX)).contains(count));
    for _ in 0..count.ok_or(Fault::BadCount)? {
        let (len, data) = number_line(bytes, at, (b'$', Fault::BadLength), spelling)?;
        let len = len.and_then(|len| usize::try_from(len).ok()).ok_or(Fault::BadLength)?;
        let rest = bytes.get(data..).ok_or(Fault::Truncated)?;
        let arg = rest.get(..len).ok_or(Fault::Truncated)?;
        let end = rest.get(len..).and_then(|rest| rest.get(..2)).ok_or(Fault::Truncated)?;
        // Zeros are no sloppy spelling but a file that was extended before its bytes came.
        if end != b"\r\n" && (spelling == Spelling::Strict || end.contains(&0)) {
            return Err(Fault::BadLineEnd);
        }
        args.push(arg);
        at = data + len + 2;
    }
    Ok(at)
}

/// The number in the line at `at`, which must start with `mark`, and where the next line starts.
///
/// The number is `None` when there is none in it.
fn number_line(
    bytes: &[u8],
    at: usize,
    (mark, fault): (u8, RecordFault),
    spelling: Spelling,
) -> Result<(Option<i64>, usize), RecordFault> {
    let rest = bytes.get(at..).unwrap_or_default();
    let first = rest.first().ok_or(RecordFault::Truncated)?;
    if *first != mark {
        return Err(fault);
    }
    let window = rest.get(..rest.len().min(LINE_LEN_MAX)).unwrap_or_default();
    let Some(end) = window.iter().position(|byte| *byte == b'\n') else {
        let ran_out = window.len() == rest.len();
        return Err(if ran_out { RecordFault::Truncated } else { RecordFault::BadLineEnd });
    };
    let line = window.get(1..end).unwrap_or_default();
    let number = match spelling {
        Spelling::Strict => canonical(line.strip_suffix(b"\r").ok_or(RecordFault::BadLineEnd)?),
        Spelling::Sloppy => leading_number(line),
    };
    Ok((number, at + end + 1))
}

/// A number without sign or leading zeros.
fn canonical(digits: &[u8]) -> Option<i64> {
    match digits {
        [b'0'] | [b'1'..=b'9', ..] if digits.iter().all(u8::is_ascii_digit) => {
            leading_number(digits)
        }
        _ => None,
    }
}

/// The number that text starts with, as atoi finds it; `None` where atoi would make one up.
fn leading_number(text: &[u8]) -> Option<i64> {
    let text = text.trim_ascii_start();
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    let digits = digits.iter().take_while(|byte| byte.is_ascii_digit());
    let mut any = false;
    let number = digits.into_iter().try_fold(0i64, |number, digit| {
        any = true;
        number.checked_mul(10)?.checked_add(i64::from(digit - b'0'))
    })?;
    any.then_some(if negative { -number } else { number })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str, spelling: Spelling) -> Result<(usize, Vec<&[u8]>), RecordFault> {
        let mut args = Vec::new();
        record(text.as_bytes(), 0, spelling, &mut args).map(|end| (end, args))
    }

    #[test]
    fn strict_takes_what_a_writer_makes() {
        let (end, args) = parse("*2\r\n$3\r\nGET\r\n$0\r\n\r\n*1", Spelling::Strict).unwrap();
        assert_eq!((end, args), (19, vec![&b"GET"[..], b""]));
        for (text, fault) in [
            ("*02\r\n$1\r\na\r\n", RecordFault::BadCount),
            ("*+1\r\n$1\r\na\r\n", RecordFault::BadCount),
            ("*0\r\n", RecordFault::BadCount),
            ("*1\n$1\r\na\r\n", RecordFault::BadLineEnd),
            ("*1\r\n$1\r\na\n\n", RecordFault::BadLineEnd),
            ("*1\r\n$01\r\na\r\n", RecordFault::BadLength),
            ("*1\r\n$-1\r\n", RecordFault::BadLength),
            ("*1\r\n*1\r\n", RecordFault::BadLength),
            ("GET a\r\n", RecordFault::NotARecord),
            ("\r\n", RecordFault::NotARecord),
        ] {
            assert_eq!(parse(text, Spelling::Strict), Err(fault), "{text:?}");
        }
    }

    #[test]
    fn sloppy_takes_what_redis_takes() {
        for text in ["*1\n$1\nx??", "*+1junk\r\n$ 1 \r\nx\r\n", "*01\r\n$1\r\nx\n\n"] {
            let (end, args) = parse(text, Spelling::Sloppy).unwrap();
            assert_eq!((end, args), (text.len(), vec![&b"x"[..]]));
        }
        for (text, fault) in [
            ("*0\r\n", RecordFault::BadCount),
            ("*-1\r\n", RecordFault::BadCount),
            ("*x\r\n", RecordFault::BadCount),
            ("*9999999999\r\n", RecordFault::BadCount),
            ("*1\r\nGET\r\n", RecordFault::BadLength),
            ("*1\r\n$-5\r\n", RecordFault::BadLength),
            ("*1\r\n$99999999999999999999\r\n", RecordFault::BadLength),
            ("\n", RecordFault::NotARecord),
        ] {
            assert_eq!(parse(text, Spelling::Sloppy), Err(fault), "{text:?}");
        }
        let long = format!("*1{}\n", " ".repeat(1022));
        assert_eq!(parse(&long, Spelling::Sloppy), Err(RecordFault::BadLineEnd));
    }

    #[test]
    fn every_prefix_is_truncated_and_huge_numbers_allocate_nothing() {
        let text = "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n";
        for len in 0..text.len() {
            for spelling in [Spelling::Strict, Spelling::Sloppy] {
                assert_eq!(parse(&text[..len], spelling), Err(RecordFault::Truncated), "{len}");
            }
        }
        assert_eq!(
            parse("*2147483647\r\n$1\r\nk\r\n", Spelling::Strict),
            Err(RecordFault::Truncated)
        );
        let huge = format!("*1\r\n${}\r\nx", i64::MAX);
        assert_eq!(parse(&huge, Spelling::Sloppy), Err(RecordFault::Truncated));
    }
}

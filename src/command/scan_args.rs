//! What SCAN, HSCAN, SSCAN and ZSCAN have in common: cursor, options, shape of the reply.
//!
//! The order matters: a bad cursor is reported before the key is looked up, a bad option only when
//! the key is there. So a handler reads the cursor, looks the key up, then reads the options.

use super::{Args, CommandError};
use crate::glob;
use crate::number;
use crate::resp::Reply;

/// Which command scans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scanned {
    /// SCAN: knows TYPE.
    Keys,
    /// HSCAN: knows NOVALUES.
    Fields,
    /// SSCAN.
    Members,
    /// ZSCAN: knows NOSCORES.
    Scored,
}

/// The options of a scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScanOptions<'a> {
    /// About how many elements to visit.
    pub count: usize,
    /// Only what matches; `None`: everything.
    pub pattern: Option<&'a [u8]>,
    /// Only keys of this type.
    pub type_name: Option<&'a [u8]>,
    /// Names alone: fields without values, members without scores.
    pub names_only: bool,
}

impl<'a> ScanOptions<'a> {
    /// Reads the options from argument `at` on.
    pub fn parse(args: &Args<'a>, mut at: usize, of: Scanned) -> Result<Self, CommandError> {
        let mut options = Self { count: 10, pattern: None, type_name: None, names_only: false };
        while at < args.len() {
            let operand = args.get(at + 1);
            if args.is(at, "NOVALUES") {
                if of != Scanned::Fields {
                    return Err(CommandError::text(
                        "ERR NOVALUES option can only be used in HSCAN",
                    ));
                }
                options.names_only = true;
                at += 1;
                continue;
            }
            if args.is(at, "NOSCORES") {
                if of != Scanned::Scored {
                    return Err(CommandError::text(
                        "ERR NOSCORES option can only be used in ZSCAN",
                    ));
                }
                options.names_only = true;
                at += 1;
                continue;
            }
            let operand = operand.ok_or(CommandError::Syntax)?;
            if args.is(at, "COUNT") {
                let count = number::parse_i64(operand).ok_or(CommandError::NotInteger)?;
                if count < 1 {
                    return Err(CommandError::Syntax);
                }
                options.count = usize::try_from(count).unwrap_or(usize::MAX);
            } else if args.is(at, "MATCH") {
                options.pattern = (!glob::matches_all(operand)).then_some(operand);
            } else if args.is(at, "TYPE") && of == Scanned::Keys {
                options.type_name = Some(operand);
            } else {
                return Err(CommandError::Syntax);
            }
            at += 2;
        }
        Ok(options)
    }

    /// Whether the pattern lets an element through.
    pub fn matches(&self, element: &[u8]) -> bool {
        self.pattern.is_none_or(|pattern| glob::matches(pattern, element, false))
    }
}

/// Reads a cursor.
pub fn parse_cursor(text: &[u8]) -> Result<u64, CommandError> {
    number::parse_u64(text).ok_or(CommandError::text("ERR invalid cursor"))
}

/// A scan's reply under way: the elements are written first, the cursor is put in front of them.
#[derive(Debug)]
#[must_use = "the reply must be ended"]
pub struct ScanReply {
    start: usize,
    count: usize,
}

impl ScanReply {
    /// Starts a reply.
    pub fn begin(reply: &Reply) -> Self {
        Self { start: reply.buffer.len(), count: 0 }
    }

    /// Writes one element of the flat array.
    pub fn push(&mut self, reply: &mut Reply, element: &[u8]) {
        reply.bulk(element);
        self.count += 1;
    }

    /// Ends the reply with the cursor to go on with.
    pub fn end(self, reply: &mut Reply, cursor: u64) {
        let mut head = Reply::new(reply.resp3);
        head.array(2);
        head.bulk(cursor.to_string().as_bytes());
        head.array(self.count);
        reply.buffer.splice(self.start..self.start, head.buffer);
    }
}

/// The reply of a scan of something that is not there.
pub fn reply_empty(reply: &mut Reply) {
    ScanReply::begin(reply).end(reply, 0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::args::OwnedArgs;

    fn parse(words: &[&str], of: Scanned) -> Result<(usize, bool, bool), CommandError> {
        let owned = OwnedArgs::from_slices(words.iter().map(|word| word.as_bytes()));
        let args = owned.as_args();
        ScanOptions::parse(&args, 0, of)
            .map(|options| (options.count, options.pattern.is_some(), options.names_only))
    }

    #[test]
    fn options_are_known_where_they_belong() {
        assert_eq!(parse(&[], Scanned::Keys), Ok((10, false, false)));
        assert_eq!(parse(&["match", "*", "Count", "5"], Scanned::Members), Ok((5, false, false)));
        assert_eq!(parse(&["MATCH", "a*"], Scanned::Keys), Ok((10, true, false)));
        assert_eq!(parse(&["NOVALUES"], Scanned::Fields), Ok((10, false, true)));
        assert_eq!(parse(&["NOSCORES"], Scanned::Scored), Ok((10, false, true)));
        assert!(parse(&["TYPE", "list"], Scanned::Keys).is_ok());
        assert_eq!(parse(&["TYPE", "list"], Scanned::Members), Err(CommandError::Syntax));
        assert!(matches!(parse(&["NOVALUES"], Scanned::Keys), Err(CommandError::Text(_))));
        assert!(matches!(parse(&["NOSCORES"], Scanned::Members), Err(CommandError::Text(_))));
        assert_eq!(parse(&["COUNT", "0"], Scanned::Keys), Err(CommandError::Syntax));
        assert_eq!(parse(&["COUNT", "x"], Scanned::Keys), Err(CommandError::NotInteger));
        assert_eq!(parse(&["COUNT"], Scanned::Keys), Err(CommandError::Syntax));
    }

    #[test]
    fn the_cursor_stands_in_front() {
        let mut reply = Reply::new(false);
        reply.int(1);
        let mut scan = ScanReply::begin(&reply);
        scan.push(&mut reply, b"a");
        scan.push(&mut reply, b"bc");
        scan.end(&mut reply, u64::MAX);
        let expected = b":1\r\n*2\r\n$20\r\n18446744073709551615\r\n*2\r\n$1\r\na\r\n$2\r\nbc\r\n";
        assert_eq!(reply.buffer, expected);
    }
}

//! Finds requests in a connection's bytes.
//!
//! [`Decoder`] belongs to a connection and remembers where in an unfinished request it stopped, so a
//! request that arrives one byte at a time, or a value of 500 MB, is looked at once. [`Batch`] is the
//! reusable list of the requests found in one read: spans into the read buffer, nothing is copied
//! (inline requests excepted: they are rewritten as RESP into `scratch`).
//!
//! Limits are checked before anything is allocated: a length of a bulk string reserves nothing here.

use std::fmt;

use bytes::Bytes;

use super::args::{Args, Span, as_u32};
use super::inline::split_words;

/// Longest line: an inline request, or a `*` or `$` header (Redis' PROTO_INLINE_MAX_SIZE).
const LINE_BYTES_MAX: usize = 64 * 1024;
/// Before authentication, a request may have this many arguments of this many bytes.
const UNAUTHENTICATED_ARGS_MAX: i64 = 10;
const UNAUTHENTICATED_BULK_MAX: i64 = 16 * 1024;

/// A violation of the protocol: the text is what the client gets before its connection is closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProtocolError {
    /// A `*` count that is not a number or too large.
    InvalidMultibulkLength,
    /// A `$` length that is not a number, negative or too large.
    InvalidBulkLength,
    /// Something else where a `$` header must be.
    ExpectedBulk(u8),
    /// A `*` header of more than 64 KiB.
    HeaderTooLong,
    /// A `$` header of more than 64 KiB.
    BulkHeaderTooLong,
    /// An inline request of more than 64 KiB.
    InlineTooLong,
    /// Quotes of an inline request that do not end.
    UnbalancedQuotes,
    /// Too many arguments before AUTH.
    UnauthenticatedMultibulk,
    /// Too long an argument before AUTH.
    UnauthenticatedBulk,
}

impl ProtocolError {
    /// Whether the same request would be taken from a client that has said who it is: an AUTH before it may be what
    /// is missing.
    pub fn is_of_strangers(&self) -> bool {
        matches!(self, Self::UnauthenticatedMultibulk | Self::UnauthenticatedBulk)
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Protocol error: ")?;
        match self {
            Self::InvalidMultibulkLength => f.write_str("invalid multibulk length"),
            Self::InvalidBulkLength => f.write_str("invalid bulk length"),
            Self::ExpectedBulk(got) => {
                let shown = if got.is_ascii_graphic() || *got == b' ' { *got } else { b'?' };
                write!(f, "expected '$', got '{}'", char::from(shown))
            }
            Self::HeaderTooLong => f.write_str("too big mbulk count string"),
            Self::BulkHeaderTooLong => f.write_str("too big bulk count string"),
            Self::InlineTooLong => f.write_str("too big inline request"),
            Self::UnbalancedQuotes => f.write_str("unbalanced quotes in request"),
            Self::UnauthenticatedMultibulk => f.write_str("unauthenticated multibulk length"),
            Self::UnauthenticatedBulk => f.write_str("unauthenticated bulk length"),
        }
    }
}

/// What the decoder enforces for this connection.
#[derive(Clone, Copy, Debug)]
pub struct DecodeLimits {
    /// `proto-max-bulk-len`: longest argument in bytes.
    pub bulk_bytes_max: i64,
    /// Whether the client may send large requests already.
    pub authenticated: bool,
}

/// One decoded request of a batch.
#[derive(Clone, Copy, Debug)]
struct Found {
    spans: (usize, usize),
    raw: Span,
    /// Where it ends in the read buffer.
    end: usize,
    /// Whether `raw` is in the form that the log may take as it is.
    canonical: bool,
    /// Whether the spans point into `scratch` rather than into the read buffer.
    inline: bool,
}

/// The requests found in one buffer.
#[derive(Debug, Default)]
pub struct Batch {
    spans: Vec<Span>,
    found: Vec<Found>,
    scratch: Vec<u8>,
    /// The buffer they were found in, when long arguments may be kept without a copy.
    pub owner: Option<Bytes>,
}

impl Batch {
    /// How many requests there are.
    pub fn len(&self) -> usize {
        self.found.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Forgets the requests, keeps the memory (but not that of an unusual burst).
    pub fn clear(&mut self) {
        self.found.clear();
        self.spans.clear();
        self.scratch.clear();
        self.scratch.shrink_to(64 * 1024);
        self.spans.shrink_to(64 * 1024);
        self.found.shrink_to(16 * 1024);
    }

    /// Keeps no more memory than a few requests need.
    pub fn keep_little(&mut self) {
        self.found.shrink_to(8);
        self.spans.shrink_to(64);
        self.scratch.shrink_to(4096);
    }

    /// Request `index` of the batch that was decoded from `buffer`.
    pub fn request<'a>(&'a self, index: usize, buffer: &'a [u8]) -> Option<Args<'a>> {
        let found = self.found.get(index)?;
        let source = if found.inline { self.scratch.as_slice() } else { buffer };
        let spans = self.spans.get(found.spans.0..found.spans.1)?;
        let raw = source.get(found.raw.0 as usize..found.raw.1 as usize);
        let owner = self.owner.as_ref().filter(|_| !found.inline);
        Some(Args::new(source, spans, raw.filter(|_| found.canonical)).owned_by(owner))
    }

    /// Finds a request that is all there and whose headers are short and canonical, as nearly all are, in a third of the instructions.
    /// `None`: it has to be looked at closely.
    fn find_short(&mut self, rest: &[u8], offset: usize, limits: DecodeLimits) -> Option<usize> {
        let (count, mut at) = short_header(rest, b'*')?;
        let is_allowed = limits.authenticated && limits.bulk_bytes_max >= SHORT_MAX;
        if count == 0 || !is_allowed {
            return None;
        }
        let first = self.spans.len();
        let shift = as_u32(offset);
        for _ in 0..count {
            let argument = rest.get(at..).and_then(|rest| {
                let (len, used) = short_header(rest, b'$')?;
                (rest.get(used + len..)?.first_chunk() == Some(b"\r\n")).then_some((len, used))
            });
            let Some((len, used)) = argument else {
                self.spans.truncate(first);
                return None;
            };
            let start = as_u32(at + used) + shift;
            self.spans.push((start, start + as_u32(len)));
            at += used + len + 2;
        }
        let spans = (first, self.spans.len());
        let raw = (shift, as_u32(offset + at));
        self.found.push(Found { spans, raw, end: offset + at, canonical: true, inline: false });
        Some(at)
    }

    /// Where the input goes on behind the first `count` requests.
    pub fn ends_at(&self, count: usize) -> usize {
        count.checked_sub(1).and_then(|last| self.found.get(last)).map_or(0, |found| found.end)
    }
}

/// Where a connection is in the request that it is sending.
#[derive(Debug, Default)]
pub struct Decoder {
    /// Arguments still to come of the request being read; `None` between requests.
    remaining: Option<usize>,
    /// The length of the argument being read, its header seen.
    bulk: Option<usize>,
    /// Spans of the arguments seen, relative to the start of the request.
    spans: Vec<Span>,
    /// How far the request has been looked at, relative to its start.
    position: usize,
    /// Whether every header so far was written as we would write it.
    canonical: bool,
}

impl Decoder {
    /// Bytes of the unfinished argument that are still missing, as a hint for how much to read.
    pub fn missing(&self, have: usize) -> usize {
        self.bulk.map_or(0, |len| (self.position + len + 2).saturating_sub(have))
    }

    /// Decodes as many requests as `buffer` holds into `batch` and returns how many bytes they took.
    /// The rest is the start of an unfinished request: the caller keeps it and calls again with it
    /// at the start of the buffer once there is more. On an error the requests before it stand.
    pub fn decode(
        &mut self,
        buffer: &[u8],
        limits: DecodeLimits,
        batch: &mut Batch,
    ) -> (usize, Result<(), ProtocolError>) {
        let mut start = 0;
        while let Some(rest) = buffer.get(start..).filter(|rest| !rest.is_empty()) {
            let begins = self.remaining.is_none();
            if begins && let Some(used) = batch.find_short(rest, start, limits) {
                start += used;
                continue;
            }
            let step = if begins && rest.first() != Some(&b'*') {
                self.inline(rest, start, batch)
            } else {
                self.multibulk(rest, start, limits, batch)
            };
            match step {
                Ok(Some(used)) => start += used,
                Ok(None) => return (start, Ok(())),
                Err(error) => return (start, Err(error)),
            }
        }
        (start, Ok(()))
    }

    fn inline(
        &self,
        rest: &[u8],
        offset: usize,
        batch: &mut Batch,
    ) -> Result<Option<usize>, ProtocolError> {
        let Some(newline) = rest.iter().position(|&byte| byte == b'\n') else {
            return if rest.len() > LINE_BYTES_MAX {
                Err(ProtocolError::InlineTooLong)
            } else {
                Ok(None)
            };
        };
        if newline > LINE_BYTES_MAX {
            return Err(ProtocolError::InlineTooLong);
        }
        let line = rest.get(..newline).unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let words = split_words(line).ok_or(ProtocolError::UnbalancedQuotes)?;
        if !words.is_empty() {
            let raw_start = batch.scratch.len();
            let first = batch.spans.len();
            super::encode::header(&mut batch.scratch, b'*', words.len());
            for word in &words {
                super::encode::header(&mut batch.scratch, b'$', word.len());
                let start = batch.scratch.len();
                batch.scratch.extend_from_slice(word);
                batch.spans.push((as_u32(start), as_u32(batch.scratch.len())));
                batch.scratch.extend_from_slice(b"\r\n");
            }
            batch.found.push(Found {
                spans: (first, batch.spans.len()),
                raw: (as_u32(raw_start), as_u32(batch.scratch.len())),
                end: offset + newline + 1,
                canonical: true,
                inline: true,
            });
        }
        Ok(Some(newline + 1))
    }

    fn multibulk(
        &mut self,
        rest: &[u8],
        offset: usize,
        limits: DecodeLimits,
        batch: &mut Batch,
    ) -> Result<Option<usize>, ProtocolError> {
        let mut remaining = match self.remaining {
            Some(remaining) => remaining,
            None => match self.multibulk_header(rest, limits)? {
                Some(0) => return Ok(Some(self.finish())),
                Some(count) => count,
                None => return Ok(None),
            },
        };
        while remaining > 0 {
            let Some(len) = self.bulk_header(rest, limits)? else {
                self.remaining = Some(remaining);
                return Ok(None);
            };
            let end = self.position + len;
            if rest.len() < end + 2 {
                self.bulk = Some(len);
                self.remaining = Some(remaining);
                return Ok(None);
            }
            self.bulk = None;
            self.canonical &= rest.get(end..end + 2) == Some(b"\r\n");
            self.spans.push((as_u32(self.position), as_u32(end)));
            self.position = end + 2;
            remaining -= 1;
        }
        let first = batch.spans.len();
        let shift = as_u32(offset);
        batch.spans.extend(self.spans.iter().map(|&(start, end)| (start + shift, end + shift)));
        batch.found.push(Found {
            spans: (first, batch.spans.len()),
            raw: (shift, as_u32(offset + self.position)),
            end: offset + self.position,
            canonical: self.canonical,
            inline: false,
        });
        Ok(Some(self.finish()))
    }

    fn finish(&mut self) -> usize {
        self.remaining = None;
        self.bulk = None;
        self.spans.clear();
        self.spans.shrink_to(1024);
        std::mem::take(&mut self.position)
    }

    /// Reads `*<count>\r\n`; a count of zero or less is a request of nothing.
    fn multibulk_header(
        &mut self,
        rest: &[u8],
        limits: DecodeLimits,
    ) -> Result<Option<usize>, ProtocolError> {
        let Some(header) = line(rest, ProtocolError::HeaderTooLong)? else {
            return Ok(None);
        };
        let (count, canonical) =
            parse_header(header.digits).ok_or(ProtocolError::InvalidMultibulkLength)?;
        if count > i64::from(i32::MAX) {
            return Err(ProtocolError::InvalidMultibulkLength);
        }
        if count > UNAUTHENTICATED_ARGS_MAX && !limits.authenticated {
            return Err(ProtocolError::UnauthenticatedMultibulk);
        }
        self.position = header.used;
        self.canonical = canonical && header.ends_well;
        Ok(Some(usize::try_from(count).unwrap_or(0)))
    }

    /// Reads `$<length>\r\n` unless it was read before, and leaves `position` at the content.
    fn bulk_header(
        &mut self,
        rest: &[u8],
        limits: DecodeLimits,
    ) -> Result<Option<usize>, ProtocolError> {
        if let Some(len) = self.bulk {
            return Ok(Some(len));
        }
        let Some(rest) = rest.get(self.position..).filter(|rest| !rest.is_empty()) else {
            return Ok(None);
        };
        let Some(header) = line(rest, ProtocolError::BulkHeaderTooLong)? else {
            return Ok(None);
        };
        if let Some(&first) = rest.first().filter(|&&first| first != b'$') {
            return Err(ProtocolError::ExpectedBulk(first));
        }
        let (len, canonical) =
            parse_header(header.digits).ok_or(ProtocolError::InvalidBulkLength)?;
        if len < 0 || len > limits.bulk_bytes_max {
            return Err(ProtocolError::InvalidBulkLength);
        }
        if len > UNAUTHENTICATED_BULK_MAX && !limits.authenticated {
            return Err(ProtocolError::UnauthenticatedBulk);
        }
        self.position += header.used;
        self.canonical &= canonical && header.ends_well;
        Ok(Some(usize::try_from(len).unwrap_or(0)))
    }
}

/// The largest number that [`short_header`] reads.
const SHORT_MAX: i64 = 999;

/// Reads `<marker><number>\r\n` of one to three digits, canonically written: the number, and the bytes of the line.
#[inline]
fn short_header(bytes: &[u8], marker: u8) -> Option<(usize, usize)> {
    let digit = |byte: u8| usize::from(byte - b'0');
    match *bytes {
        [first, a @ b'0'..=b'9', b'\r', b'\n', ..] if first == marker => Some((digit(a), 4)),
        [first, a @ b'1'..=b'9', b @ b'0'..=b'9', b'\r', b'\n', ..] if first == marker => {
            Some((digit(a) * 10 + digit(b), 5))
        }
        [first, a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', b'\r', b'\n', ..]
            if first == marker =>
        {
            Some((digit(a) * 100 + digit(b) * 10 + digit(c), 6))
        }
        _ => None,
    }
}

/// What a header says.
struct Header<'a> {
    /// The text between the type byte and the `\r`.
    digits: &'a [u8],
    /// Bytes that the whole line takes.
    used: usize,
    /// It ends as a line does. What follows a `\r` is not looked at otherwise, as in Redis.
    ends_well: bool,
}

/// The header that `rest` begins with; `None`: its end has not come yet.
fn line(rest: &[u8], too_long: ProtocolError) -> Result<Option<Header<'_>>, ProtocolError> {
    // Headers are a few digits: looking at each byte beats a vectorised search.
    for (index, &byte) in rest.iter().enumerate().take(LINE_BYTES_MAX + 1) {
        if byte == b'\r' {
            if rest.len() < index + 2 {
                return Ok(None);
            }
            return Ok(Some(Header {
                digits: rest.get(1..index).unwrap_or_default(),
                used: index + 2,
                ends_well: rest.get(index + 1) == Some(&b'\n'),
            }));
        }
    }
    if rest.len() > LINE_BYTES_MAX { Err(too_long) } else { Ok(None) }
}

/// A strict decimal number, and whether it is written the way we write it.
fn parse_header(digits: &[u8]) -> Option<(i64, bool)> {
    let (negative, body) = match digits {
        [b'-', body @ ..] => (true, body),
        body => (false, body),
    };
    if body.is_empty() || body.len() > 18 || !body.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let leading_zero = body.len() > 1 && body.first() == Some(&b'0');
    if leading_zero || (negative && body == b"0") {
        return None;
    }
    let value = body.iter().fold(0i64, |value, digit| value * 10 + i64::from(digit - b'0'));
    Some((if negative { -value } else { value }, !negative))
}

/// Decodes arbitrary bytes in one piece and byte by byte: both must find the same requests. What is said to be in the form
/// that the log takes as it is must be in that form.
pub fn fuzz_resp(bytes: &[u8]) {
    let limits = DecodeLimits { bulk_bytes_max: 512 << 20, authenticated: true };
    let mut whole = Batch::default();
    let (_, outcome) = Decoder::default().decode(bytes, limits, &mut whole);
    let mut pieces = Vec::new();
    let mut decoder = Decoder::default();
    let mut carry: Vec<u8> = Vec::new();
    let mut failed = false;
    for byte in bytes {
        carry.push(*byte);
        let mut batch = Batch::default();
        let (used, outcome) = decoder.decode(&carry, limits, &mut batch);
        pieces.extend(
            (0..batch.len())
                .filter_map(|index| batch.request(index, &carry).map(|args| args.to_owned_args())),
        );
        carry.drain(..used);
        if outcome.is_err() {
            failed = true;
            break;
        }
    }
    let whole: Vec<_> = (0..whole.len())
        .filter_map(|index| {
            let args = whole.request(index, bytes)?;
            let owned = args.to_owned_args();
            assert!(args.raw().is_none() || args.raw() == owned.as_args().raw());
            Some(owned)
        })
        .collect();
    assert_eq!(whole, pieces);
    assert_eq!(outcome.is_err(), failed);
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: DecodeLimits = DecodeLimits { bulk_bytes_max: 1 << 20, authenticated: true };

    fn decode(bytes: &[u8]) -> (Vec<Vec<String>>, usize, Result<(), ProtocolError>) {
        let mut batch = Batch::default();
        let (used, outcome) = Decoder::default().decode(bytes, LIMITS, &mut batch);
        let text = |arg: &[u8]| String::from_utf8_lossy(arg).into_owned();
        let requests = (0..batch.len())
            .map(|index| batch.request(index, bytes).unwrap().iter().map(text).collect())
            .collect();
        (requests, used, outcome)
    }

    #[test]
    fn pipelines_of_both_forms() {
        let (requests, used, outcome) =
            decode(b"*2\r\n$3\r\nGET\r\n$1\r\na\r\nPING  x\r\n\r\n*0\r\n*-1\r\n*1\r\n$4\r\nPI");
        assert_eq!(requests, [vec!["GET", "a"], vec!["PING", "x"]]);
        assert_eq!((used, outcome), (40, Ok(())));
    }

    #[test]
    fn raw_form_only_when_canonical() {
        let bytes = b"*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nPINGxx";
        let mut batch = Batch::default();
        let (_, outcome) = Decoder::default().decode(bytes, LIMITS, &mut batch);
        assert_eq!(outcome, Ok(()));
        assert_eq!(batch.request(0, bytes).unwrap().raw(), bytes.get(..14));
        assert_eq!(batch.request(1, bytes).unwrap().raw(), None);
    }

    /// The byte behind a `\r` is not looked at, as in Redis; but such a line is none that the log can be read by.
    #[test]
    fn a_line_that_ends_otherwise_is_not_for_the_log_as_it_is() {
        for bytes in [
            &b"*2\rx$3\r\nGET\r\n$1\r\na\r\n"[..],
            b"*2\r\n$3\rxGET\r\n$1\r\na\r\n",
            b"*2\r\n$3\r\nGET\r\n$1\r\ra\r\n",
            b"*2\r\n$3\r\nGET\rx$1\r\na\r\n",
            b"*2\r\n$3\r\nGET\r\n$1\r\naxx",
        ] {
            assert_eq!(decode(bytes).0, [["GET", "a"]]);
            let mut batch = Batch::default();
            let (_, outcome) = Decoder::default().decode(bytes, LIMITS, &mut batch);
            assert_eq!((outcome, batch.request(0, bytes).unwrap().raw()), (Ok(()), None));
            fuzz_resp(bytes);
        }
    }

    #[test]
    fn one_byte_at_a_time_is_the_same() {
        fuzz_resp(b"*2\r\n$3\r\nGET\r\n$1\r\na\r\nPING \"q\\x41\"\r\n*1\r\n$4\r\nPING\r\n*x\r\n");
        fuzz_resp(b"*3\r\n$3\r\nSET\r\n$0\r\n\r\n$5\r\n12345\r\n$");
    }

    #[test]
    fn violations_have_their_texts() {
        for (bytes, text) in [
            (&b"*abc\r\n"[..], "invalid multibulk length"),
            (b"*3000000000\r\n", "invalid multibulk length"),
            (b"*1\r\n$abc\r\n", "invalid bulk length"),
            (b"*1\r\n$-1\r\n", "invalid bulk length"),
            (b"*1\r\n$9999999\r\n", "invalid bulk length"),
            (b"*1\r\n:1\r\n", "expected '$', got ':'"),
            (b"a \"b\r\n", "unbalanced quotes in request"),
        ] {
            let outcome = decode(bytes).2;
            assert_eq!(outcome.unwrap_err().to_string(), format!("Protocol error: {text}"));
        }
        let long = vec![b'a'; LINE_BYTES_MAX + 1];
        assert_eq!(decode(&long).2, Err(ProtocolError::InlineTooLong));
        let mut header = vec![b'1'; LINE_BYTES_MAX + 1];
        header.insert(0, b'*');
        assert_eq!(decode(&header).2, Err(ProtocolError::HeaderTooLong));
    }

    #[test]
    fn before_authentication_requests_are_small() {
        let limits = DecodeLimits { authenticated: false, ..LIMITS };
        let mut batch = Batch::default();
        let many = Decoder::default().decode(b"*11\r\n", limits, &mut batch).1;
        assert_eq!(many, Err(ProtocolError::UnauthenticatedMultibulk));
        let long = Decoder::default().decode(b"*1\r\n$16385\r\n", limits, &mut batch).1;
        assert_eq!(long, Err(ProtocolError::UnauthenticatedBulk));
    }

    #[test]
    fn what_only_strangers_may_not_send_is_told_apart() {
        let limits = DecodeLimits { authenticated: false, ..LIMITS };
        let mut batch = Batch::default();
        let input = b"AUTH p\r\n*2\r\n$4\r\nECHO\r\n$16385\r\n";
        let (used, outcome) = Decoder::default().decode(input, limits, &mut batch);
        assert!(outcome.unwrap_err().is_of_strangers());
        // The request begins anew once its client is known.
        assert_eq!((batch.len(), used), (1, 8));
        assert!(!decode(b"*1\r\n$-1\r\n").2.unwrap_err().is_of_strangers());
    }
}

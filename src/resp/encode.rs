//! Replies, written straight into the connection's buffer in RESP2 or RESP3.
//!
//! One method per shape a command can answer with; each knows what the older protocol makes of it
//! (a map becomes a flat array, a double a bulk string, ...). Shapes: redis.io/docs/reference/protocol-spec.

use bytes::Bytes;

use super::left_out::LeftOut;
use crate::number::DoubleText;

/// A growing reply buffer and the protocol it is written in.
#[derive(Debug, Default)]
pub struct Reply {
    /// The bytes so far; several replies of a pipeline follow one another.
    pub buffer: Vec<u8>,
    /// Long strings that are not copied into `buffer`.
    pub left_out: LeftOut,
    /// Whether there may be any.
    pub leaves_out: bool,
    /// Whether the client said HELLO 3.
    pub resp3: bool,
    /// It ends early, as nobody will see it: it is over the limit of its client's output. The client is to be closed.
    pub cut: bool,
}

/// Where a header is to be put once the number of elements is known.
#[derive(Debug)]
#[must_use = "a deferred header must be ended"]
pub struct Deferred(usize);

impl Reply {
    /// An empty reply in RESP2 or RESP3.
    pub fn new(resp3: bool) -> Self {
        Self { resp3, ..Self::default() }
    }

    /// Bytes so far, those included that are left out of the buffer.
    pub fn len(&self) -> usize {
        self.buffer.len() + self.left_out.len()
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// Takes back what was written since the buffer had `len` bytes.
    pub fn truncate(&mut self, len: usize) {
        self.buffer.truncate(len);
        self.left_out.truncate(len);
    }

    /// `+OK`
    pub fn ok(&mut self) {
        self.buffer.extend_from_slice(b"+OK\r\n");
    }

    /// A simple string: one line.
    pub fn simple(&mut self, text: &str) {
        self.line(b'+', text.as_bytes());
    }

    /// An error, its code included (`ERR ...`). Line ends inside become spaces.
    pub fn error(&mut self, text: &str) {
        self.line(b'-', text.as_bytes());
    }

    /// A status that a script made: any bytes.
    pub fn simple_bytes(&mut self, text: &[u8]) {
        self.line(b'+', text);
    }

    /// An error that names bytes of a client's or a script's.
    pub fn error_bytes(&mut self, text: &[u8]) {
        self.line(b'-', text);
    }

    /// An integer.
    pub fn int(&mut self, value: i64) {
        self.buffer.push(b':');
        self.buffer.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
        self.buffer.extend_from_slice(b"\r\n");
    }

    /// A count or a length.
    pub fn count(&mut self, value: usize) {
        self.int(i64::try_from(value).unwrap_or(i64::MAX));
    }

    /// A boolean as RESP2 has it: 1 or 0.
    pub fn flag(&mut self, value: bool) {
        self.buffer.extend_from_slice(if value { b":1\r\n" } else { b":0\r\n" });
    }

    /// A RESP3 boolean, 1 or 0 in RESP2.
    pub fn boolean(&mut self, value: bool) {
        if self.resp3 {
            self.buffer.extend_from_slice(if value { b"#t\r\n" } else { b"#f\r\n" });
        } else {
            self.flag(value);
        }
    }

    /// A binary-safe string.
    pub fn bulk(&mut self, bytes: &[u8]) {
        header(&mut self.buffer, b'$', bytes.len());
        self.buffer.extend_from_slice(bytes);
        self.buffer.extend_from_slice(b"\r\n");
    }

    /// A long binary-safe string that others hold as well: it is copied only where nothing can be left out.
    pub fn bulk_shared(&mut self, bytes: &Bytes) {
        if !self.leaves_out {
            return self.bulk(bytes);
        }
        header(&mut self.buffer, b'$', bytes.len());
        self.left_out.push(self.buffer.len(), bytes.clone());
        self.buffer.extend_from_slice(b"\r\n");
    }

    /// The decimal text of an integer, as a bulk string.
    pub fn bulk_int(&mut self, value: i64) {
        self.bulk(itoa::Buffer::new().format(value).as_bytes());
    }

    /// A bulk string, or null.
    pub fn bulk_or_null(&mut self, bytes: Option<&[u8]>) {
        match bytes {
            Some(bytes) => self.bulk(bytes),
            None => self.null(),
        }
    }

    /// A double: `,1.5` in RESP3, a bulk string in RESP2.
    pub fn double(&mut self, value: f64) {
        self.double_text(DoubleText::new(value).as_bytes());
    }

    /// A double that is given as decimal text: `,1.5` in RESP3, a bulk string in RESP2.
    pub fn double_text(&mut self, text: &[u8]) {
        if self.resp3 {
            self.line(b',', text);
        } else {
            self.bulk(text);
        }
    }

    /// A number of any size, given as decimal text; a bulk string in RESP2.
    pub fn big_number(&mut self, digits: &[u8]) {
        if self.resp3 {
            self.line(b'(', digits);
        } else {
            self.bulk(digits);
        }
    }

    /// Text with a format of three letters (`txt`, `mkd`); a bulk string in RESP2.
    pub fn verbatim(&mut self, format: &[u8; 3], text: &[u8]) {
        if self.resp3 {
            header(&mut self.buffer, b'=', text.len() + 4);
            self.buffer.extend_from_slice(format);
            self.buffer.push(b':');
            self.buffer.extend_from_slice(text);
            self.buffer.extend_from_slice(b"\r\n");
        } else {
            self.bulk(text);
        }
    }

    /// Nothing: `_` or `$-1`.
    pub fn null(&mut self) {
        self.buffer.extend_from_slice(if self.resp3 { b"_\r\n" } else { b"$-1\r\n" });
    }

    /// Nothing where an array was expected: `_` or `*-1`.
    pub fn null_array(&mut self) {
        self.buffer.extend_from_slice(if self.resp3 { b"_\r\n" } else { b"*-1\r\n" });
    }

    /// The start of an array of `len` elements.
    pub fn array(&mut self, len: usize) {
        header(&mut self.buffer, b'*', len);
    }

    /// The start of a map of `pairs` keys with values; a flat array in RESP2.
    pub fn map(&mut self, pairs: usize) {
        if self.resp3 {
            header(&mut self.buffer, b'%', pairs);
        } else {
            header(&mut self.buffer, b'*', pairs * 2);
        }
    }

    /// The start of a set; an array in RESP2.
    pub fn set(&mut self, len: usize) {
        header(&mut self.buffer, if self.resp3 { b'~' } else { b'*' }, len);
    }

    /// The start of an out-of-band message; an array in RESP2.
    pub fn push(&mut self, len: usize) {
        header(&mut self.buffer, if self.resp3 { b'>' } else { b'*' }, len);
    }

    /// Leaves a place for a header whose count is not known yet.
    pub fn defer(&mut self) -> Deferred {
        Deferred(self.buffer.len())
    }

    /// Puts an array header in front of what was written since.
    pub fn end_array(&mut self, at: Deferred, len: usize) {
        self.end(at, b'*', len);
    }

    /// Puts a map header in front of what was written since (`pairs` keys with values).
    pub fn end_map(&mut self, at: Deferred, pairs: usize) {
        if self.resp3 { self.end(at, b'%', pairs) } else { self.end(at, b'*', pairs * 2) }
    }

    /// Puts a set header in front of what was written since.
    pub fn end_set(&mut self, at: Deferred, len: usize) {
        self.end(at, if self.resp3 { b'~' } else { b'*' }, len);
    }

    fn end(&mut self, Deferred(at): Deferred, kind: u8, len: usize) {
        let mut head = Vec::with_capacity(24);
        header(&mut head, kind, len);
        self.left_out.make_room(at, head.len());
        self.buffer.splice(at..at, head);
    }

    fn line(&mut self, kind: u8, text: &[u8]) {
        self.buffer.push(kind);
        if text.iter().any(|byte| matches!(byte, b'\r' | b'\n')) {
            self.buffer.extend(text.iter().map(|&byte| match byte {
                b'\r' | b'\n' => b' ',
                other => other,
            }));
        } else {
            self.buffer.extend_from_slice(text);
        }
        self.buffer.extend_from_slice(b"\r\n");
    }
}

/// Writes `kind`, a decimal count, and the line end.
#[inline]
pub fn header(buffer: &mut Vec<u8>, kind: u8, count: usize) {
    let digit = |number: usize| b'0' + (number % 10) as u8;
    match count {
        0..10 => return buffer.extend_from_slice(&[kind, digit(count), b'\r', b'\n']),
        10..100 => {
            let text = [kind, digit(count / 10), digit(count), b'\r', b'\n'];
            return buffer.extend_from_slice(&text);
        }
        _ => {}
    }
    buffer.push(kind);
    buffer.extend_from_slice(itoa::Buffer::new().format(count).as_bytes());
    buffer.extend_from_slice(b"\r\n");
}

/// Appends one request in canonical RESP: an array of bulk strings.
pub fn request<'a>(
    buffer: &mut Vec<u8>,
    args: impl IntoIterator<Item = &'a [u8], IntoIter: ExactSizeIterator>,
) {
    let args = args.into_iter();
    header(buffer, b'*', args.len());
    for arg in args {
        header(buffer, b'$', arg.len());
        buffer.extend_from_slice(arg);
        buffer.extend_from_slice(b"\r\n");
    }
}

//! The arguments of one request, as ranges of a buffer that somebody else owns.
//!
//! The common case is a slice of the connection's read buffer: nothing is copied between the socket
//! and the handler. `raw` is the request exactly as a RESP array of bulk strings, where the client
//! sent it so: the log then takes these bytes as they are.

use std::ops::Index;

use bytes::Bytes;

/// A byte range of a buffer: start and end.
pub type Span = (u32, u32);

/// The name and arguments of one request. Index 0 is the command name.
#[derive(Clone, Copy, Debug)]
pub struct Args<'a> {
    buffer: &'a [u8],
    spans: &'a [Span],
    raw: Option<&'a [u8]>,
    /// The buffer as something that can be kept, if it is that.
    owner: Option<&'a Bytes>,
}

impl<'a> Args<'a> {
    /// Arguments at `spans` of `buffer`. `raw`: the canonical RESP form of the same request.
    pub fn new(buffer: &'a [u8], spans: &'a [Span], raw: Option<&'a [u8]>) -> Self {
        Self { buffer, spans, raw, owner: None }
    }

    /// The same arguments, known to lie in `owner` from its beginning on.
    pub fn owned_by(self, owner: Option<&'a Bytes>) -> Self {
        Self { owner, ..self }
    }

    /// Argument `index` to keep without a copy: only if it is most of the buffer, which is kept with it.
    pub fn kept(&self, index: usize) -> Option<Bytes> {
        let owner = self.owner?;
        let &(start, end) = self.spans.get(index)?;
        let (start, end) = (start as usize, end as usize);
        let fits = start <= end && end <= owner.len() && end - start >= owner.len() / 16 * 15;
        fits.then(|| owner.slice(start..end))
    }

    /// How many there are, the name included.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there is not even a name.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Argument `index`, if there is one.
    pub fn get(&self, index: usize) -> Option<&'a [u8]> {
        let &(start, end) = self.spans.get(index)?;
        self.buffer.get(start as usize..end as usize)
    }

    /// Argument `index`; empty where there is none. For handlers, behind the arity check.
    pub fn at(&self, index: usize) -> &'a [u8] {
        self.get(index).unwrap_or_default()
    }

    /// The request in canonical RESP, when the client sent it that way.
    pub fn raw(&self) -> Option<&'a [u8]> {
        self.raw
    }

    /// The arguments from `start` on, without the raw form.
    pub fn tail(&self, start: usize) -> Self {
        Self::new(self.buffer, self.spans.get(start..).unwrap_or_default(), None)
    }

    /// The arguments in `range` (cut to what there is), without the raw form.
    pub fn slice(&self, range: std::ops::Range<usize>) -> Self {
        let end = range.end.min(self.spans.len());
        let spans = self.spans.get(range.start.min(end)..end).unwrap_or_default();
        Self::new(self.buffer, spans, None)
    }

    /// All arguments in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &'a [u8]> + Clone + use<'a> {
        let buffer = self.buffer;
        self.spans
            .iter()
            .map(move |&(start, end)| buffer.get(start as usize..end as usize).unwrap_or_default())
    }

    /// Whether argument `index` is `word`, whatever the case.
    pub fn is(&self, index: usize, word: &str) -> bool {
        self.get(index).is_some_and(|arg| arg.eq_ignore_ascii_case(word.as_bytes()))
    }

    /// A copy that lives on its own.
    pub fn to_owned_args(&self) -> OwnedArgs {
        OwnedArgs::from_slices(self.iter())
    }
}

impl Index<usize> for Args<'_> {
    type Output = [u8];
    fn index(&self, index: usize) -> &[u8] {
        self.at(index)
    }
}

/// A request that owns its bytes: queued by MULTI, waiting in a blocked client, built by a script.
/// The bytes are the canonical RESP form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnedArgs {
    buffer: Vec<u8>,
    spans: Vec<Span>,
}

impl OwnedArgs {
    /// Copies arguments from anywhere.
    pub fn from_slices<'s>(
        slices: impl IntoIterator<Item = &'s [u8], IntoIter: ExactSizeIterator + Clone>,
    ) -> Self {
        let slices = slices.into_iter();
        // What is queued may stay for long: neither too much memory nor a step to it.
        let line = |number: usize| number.checked_ilog10().map_or(4, |log| log as usize + 4);
        let bytes: usize = slices.clone().map(|slice| line(slice.len()) + slice.len() + 2).sum();
        let mut owned = Self {
            buffer: Vec::with_capacity(line(slices.len()) + bytes),
            spans: Vec::with_capacity(slices.len()),
        };
        super::encode::header(&mut owned.buffer, b'*', slices.len());
        for slice in slices {
            super::encode::header(&mut owned.buffer, b'$', slice.len());
            let start = owned.buffer.len();
            owned.buffer.extend_from_slice(slice);
            owned.spans.push((as_u32(start), as_u32(owned.buffer.len())));
            owned.buffer.extend_from_slice(b"\r\n");
        }
        owned
    }

    /// Begins another request in the same memory; `count` calls of [`Self::push`] must follow.
    pub fn restart(&mut self, count: usize) {
        self.buffer.clear();
        self.spans.clear();
        super::encode::header(&mut self.buffer, b'*', count);
    }

    /// Adds an argument.
    pub fn push(&mut self, arg: &[u8]) {
        super::encode::header(&mut self.buffer, b'$', arg.len());
        let start = self.buffer.len();
        self.buffer.extend_from_slice(arg);
        self.spans.push((as_u32(start), as_u32(self.buffer.len())));
        self.buffer.extend_from_slice(b"\r\n");
    }

    /// Whether places in it are beyond what a span can say: it must not be run.
    pub fn is_too_long(&self) -> bool {
        u32::try_from(self.buffer.len()).is_err()
    }

    /// Borrows them for a handler.
    pub fn as_args(&self) -> Args<'_> {
        Args::new(&self.buffer, &self.spans, Some(&self.buffer))
    }

    /// Bytes held.
    pub fn memory_bytes(&self) -> usize {
        self.buffer.capacity() + self.spans.capacity() * size_of::<Span>()
    }
}

/// Offsets inside one request buffer: what a client may send ends before 4 GiB (`Config::request_bytes_max`), and of
/// requests that are made otherwise [`OwnedArgs::is_too_long`] tells.
pub(super) fn as_u32(offset: usize) -> u32 {
    u32::try_from(offset).unwrap_or(u32::MAX)
}

//! From a hash to its segment: a two-level extendible directory over an arena of segments.
//!
//!     hash: [ top_bits -> page | page depth bits -> segment id | ... ]
//!
//! A page lists 2^depth segment ids and doubles by itself when one of its segments needs a longer
//! prefix, so no growth step touches the whole directory. A small table has one page; when that
//! grows past `SPREAD_AT` bits it is dealt out once into 2^`TOP_BITS` pages. Segments sit in chunks
//! that never move, and a freed one is reused. Invariant: a segment of depth d is listed under
//! exactly the positions that start with its d-bit prefix.
//!
//! A chunk can be shared with a snapshot; whoever changes one of its segments then copies the chunk,
//! some hundred entries, once. A table of millions of entries is shared under a lock, so that must cost no more
//! than a pointer for each chunk: chunks are behind an `Arc` from the beginning.
//!
//! # Why the unsafe code is sound
//!
//! The `Arc` of a `Chunk::Own` has no other handle: it is new when it is put there, `share` makes it a `Chunk::Shared`
//! before it clones it, `Clone` copies what is inside, and no weak handle is ever made. So `&mut Chunk` is the
//! only way to its segments, and lending them for as long as that is borrowed is what `Arc::get_mut` would do after
//! a look at the counts, which every write would pay for.
#![allow(unsafe_code, reason = "an Arc known to be unique; the proof is in the module's head")]

use std::sync::Arc;

use super::segment::Segment;
use super::{SegmentMeta, Slot};

const TOP_BITS: u8 = 10;
const SPREAD_AT: u8 = 13;
/// Segments of a chunk; the first chunk starts smaller. What a writer copies when it is shared.
const CHUNK: usize = 8;
/// A prefix may be this much longer than evenly spread segments need; more is not chance.
const SKEW_BITS: u8 = 5;
const NO_SLOT: u32 = u32::MAX;
/// Tables of fewer segments are left where they are.
const COMPACTED_FROM: usize = 64;
/// How many are moved, and how many are looked at for that, each time that one is laid out anew.
const COMPACT_MOVES: usize = 2;
const COMPACT_LOOKS: usize = 16;

#[derive(Clone)]
struct Page {
    ids: Vec<u32>,
    depth: u8,
    /// Segments listed only once, which keep the page from being halved.
    single: u32,
}

/// Some segments: the table's own, or shared with a snapshot since the last one was made.
enum Chunk<E, M> {
    Own(Arc<[Segment<E, M>]>),
    Shared(Arc<[Segment<E, M>]>),
}

impl<E: Clone, M: Clone> Clone for Chunk<E, M> {
    fn clone(&self) -> Self {
        match self {
            Self::Own(segments) => Self::Own(segments.iter().cloned().collect()),
            Self::Shared(segments) => Self::Shared(Arc::clone(segments)),
        }
    }
}

impl<E, M> Chunk<E, M> {
    #[inline]
    fn segments(&self) -> &[Segment<E, M>] {
        let (Self::Own(segments) | Self::Shared(segments)) = self;
        segments
    }
}

impl<E: Slot, M: SegmentMeta> Chunk<E, M> {
    fn new(len: usize) -> Self {
        Self::Own((0..len).map(|_| Segment::default()).collect())
    }

    #[inline]
    fn segments_mut(&mut self) -> &mut [Segment<E, M>] {
        match self {
            // SAFETY: the module's head.
            Self::Own(segments) => unsafe { &mut *Arc::as_ptr(segments).cast_mut() },
            Self::Shared(segments) => Arc::make_mut(segments),
        }
    }

    fn share(&mut self) -> Arc<[Segment<E, M>]> {
        let (Self::Own(segments) | Self::Shared(segments)) = self;
        let handle = std::mem::take(segments);
        *self = Self::Shared(Arc::clone(&handle));
        handle
    }

    /// Makes room for twice as many segments.
    fn grow(&mut self) {
        let mut segments: Vec<_> = self.segments_mut().iter_mut().map(std::mem::take).collect();
        let len = (segments.len() * 2).min(CHUNK);
        segments.reserve_exact(len - segments.len());
        segments.resize_with(len, Segment::default);
        *self = Self::Own(segments.into());
    }
}

/// The segments of a table that has more than one.
#[derive(Clone)]
pub(super) struct Directory<E, M> {
    pages: Vec<Page>,
    top_bits: u8,
    chunks: Vec<Chunk<E, M>>,
    /// Places of the chunks that have been used: the last chunk has some more.
    used: usize,
    free: u32,
    live: usize,
    /// Slots of the largest segment there has been: a random entry is drawn among so many of each,
    /// so one that has more would have entries that are never drawn.
    slots_max: usize,
    /// The segment whose buckets are looked at next to be moved.
    compacted: usize,
}

impl<E: Slot, M: SegmentMeta> Directory<E, M> {
    /// A directory over one segment that holds everything.
    pub(super) fn new(segment: Segment<E, M>) -> Self {
        let slots_max = segment.slot_count();
        Self {
            pages: vec![Page { ids: vec![0], depth: 0, single: 0 }],
            top_bits: 0,
            chunks: vec![Chunk::Own(Arc::new([segment]))],
            used: 1,
            free: NO_SLOT,
            live: 1,
            slots_max,
            compacted: 0,
        }
    }

    /// A directory over 2^`depth` empty segments, each planned for `expected` entries.
    pub(super) fn planned(depth: u8, expected: usize, meta: &M) -> Self {
        let mut this = Self::new(Segment::default());
        this.chunks.clear();
        (this.live, this.used) = (0, 0);
        this.top_bits = if depth > SPREAD_AT { TOP_BITS } else { 0 };
        let page_depth = depth - this.top_bits;
        let mut ids = 0u32..;
        this.pages = (0..1usize << this.top_bits)
            .map(|_| Page {
                ids: ids.by_ref().take(1 << page_depth).collect(),
                depth: page_depth,
                single: if page_depth == 0 { 0 } else { 1 << page_depth },
            })
            .collect();
        for _ in 0..1usize << depth {
            let mut segment = Segment::planned(depth, expected);
            segment.meta = meta.clone();
            this.add(segment);
        }
        this
    }

    #[inline]
    fn id(&self, hash: u64) -> usize {
        let page = &self.pages[top(hash, self.top_bits)];
        page.ids[top(hash << self.top_bits, page.depth)] as usize
    }

    #[inline]
    pub(super) fn segment(&self, hash: u64) -> &Segment<E, M> {
        let id = self.id(hash);
        &self.chunks[id / CHUNK].segments()[id % CHUNK]
    }

    #[inline]
    pub(super) fn segment_mut(&mut self, hash: u64) -> &mut Segment<E, M> {
        let id = self.id(hash);
        &mut self.chunks[id / CHUNK].segments_mut()[id % CHUNK]
    }

    /// Splits the segment of `hash` in two.
    pub(super) fn split(&mut self, hash: u64) {
        let lower = self.segment_mut(hash);
        let upper = lower.split();
        let depth = lower.depth;
        self.note_size(hash);
        let upper_id = self.add(upper);
        let upper_start = prefix(hash, depth) | 1 << (64 - depth);
        self.deepen(upper_start, depth);
        self.list(upper_start, depth, upper_id);
        let page = &mut self.pages[top(upper_start, self.top_bits)];
        if page.depth > 0 && depth == self.top_bits + page.depth {
            page.single += 2;
        }
    }

    /// Joins the segment of `hash` with its sibling, and the result with its own, as long as the two
    /// have at most `len_max` entries and their metadata allows it. True if one segment is left.
    pub(super) fn merge(&mut self, hash: u64, len_max: u32) -> bool {
        while self.segment(hash).depth > 0 {
            if !self.merge_once(hash, len_max) {
                return false;
            }
        }
        true
    }

    fn merge_once(&mut self, hash: u64, len_max: u32) -> bool {
        let depth = self.segment(hash).depth;
        let start = prefix(hash, depth - 1);
        let upper_start = start | 1 << (64 - depth);
        let (lower, upper) = (self.segment(start), self.segment(upper_start));
        if lower.depth != upper.depth || lower.len + upper.len > len_max {
            return false;
        }
        let Some(meta) = lower.meta.merged(&upper.meta) else { return false };
        let (lower_id, upper_id) = (self.id(start), self.id(upper_start));
        let upper = self.release(upper_id);
        let lower = &mut self.chunks[lower_id / CHUNK].segments_mut()[lower_id % CHUNK];
        lower.absorb(upper, meta);
        self.list(start, depth - 1, lower_id as u32);
        self.note_size(start);
        let top_bits = self.top_bits;
        let page = &mut self.pages[top(start, top_bits)];
        if page.depth > 0 && depth == top_bits + page.depth {
            page.single -= 2;
            page.halve();
        }
        true
    }

    /// The segment that holds everything, for a directory that has become one.
    pub(super) fn into_single(mut self) -> Segment<E, M> {
        let id = self.id(0);
        self.release(id)
    }

    pub(super) fn live(&self) -> usize {
        self.live
    }

    /// Whether a prefix of more than `depth` bits is within what chance explains.
    pub(super) fn may_deepen(&self, depth: u8) -> bool {
        depth < 40 && u32::from(depth) < self.live.ilog2() + u32::from(SKEW_BITS)
    }

    pub(super) fn chunks(&self) -> impl Iterator<Item = &[Segment<E, M>]> {
        self.chunks.iter().map(Chunk::segments)
    }

    pub(super) fn chunks_mut(&mut self) -> impl Iterator<Item = &mut [Segment<E, M>]> {
        self.chunks.iter_mut().map(Chunk::segments_mut)
    }

    /// All segments as they are now; what is changed afterwards is copied first.
    pub(super) fn share(&mut self) -> Vec<Arc<[Segment<E, M>]>> {
        self.chunks.iter_mut().map(Chunk::share).collect()
    }

    /// The `n`-th segment of the arena, which may be a free one, of `arena_len`.
    pub(super) fn nth(&self, n: usize) -> Option<&Segment<E, M>> {
        self.chunks.get(n / CHUNK)?.segments().get(n % CHUNK)
    }

    pub(super) fn arena_len(&self) -> usize {
        self.used
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let ids: usize = self.pages.iter().map(|page| page.ids.capacity()).sum();
        let arena: usize = self.chunks.iter().map(|chunk| chunk.segments().len()).sum();
        size_of::<Self>()
            + self.pages.capacity() * size_of::<Page>()
            + ids * size_of::<u32>()
            + self.chunks.capacity() * size_of::<Chunk<E, M>>()
            + arena * size_of::<Segment<E, M>>()
    }

    pub(super) fn slots_max(&self) -> usize {
        self.slots_max
    }

    /// Takes the size of the segment of `hash` into account, after whatever may have made it larger.
    pub(super) fn note_size(&mut self, hash: u64) {
        self.slots_max = self.slots_max.max(self.segment(hash).slot_count());
    }

    /// Moves the buckets of some segments that have `left` of them, as many as another one had until it was laid out anew.
    /// All segments grow through the same sizes at about the same time, and each size has pages of its own: without
    /// this the pages of a size that is going out of use would stay, each for the last few arrays in it.
    pub(super) fn compact(&mut self, left: usize) {
        if self.live < COMPACTED_FROM || left == 0 {
            return;
        }
        let mut moves = COMPACT_MOVES;
        for _ in 0..COMPACT_LOOKS {
            let id = self.compacted;
            self.compacted = if id + 1 < self.used { id + 1 } else { 0 };
            let Chunk::Own(_) = &self.chunks[id / CHUNK] else { continue };
            let segment = &mut self.chunks[id / CHUNK].segments_mut()[id % CHUNK];
            if segment.bucket_count() == left {
                segment.relocate();
                moves -= 1;
            }
            if moves == 0 {
                return;
            }
        }
    }

    fn add(&mut self, segment: Segment<E, M>) -> u32 {
        self.live += 1;
        self.slots_max = self.slots_max.max(segment.slot_count());
        if self.free != NO_SLOT {
            let id = self.free as usize;
            let slot = &mut self.chunks[id / CHUNK].segments_mut()[id % CHUNK];
            self.free = std::mem::replace(slot, segment).len;
            return id as u32;
        }
        let id = self.used;
        if id.is_multiple_of(CHUNK) {
            let len = if id == 0 { 1 } else { CHUNK };
            self.chunks.push(Chunk::new(len));
        }
        let chunk = &mut self.chunks[id / CHUNK];
        if chunk.segments().len() == id % CHUNK {
            chunk.grow();
        }
        chunk.segments_mut()[id % CHUNK] = segment;
        self.used += 1;
        id as u32
    }

    fn release(&mut self, id: usize) -> Segment<E, M> {
        self.live -= 1;
        let slot = &mut self.chunks[id / CHUNK].segments_mut()[id % CHUNK];
        let segment = std::mem::take(slot);
        slot.len = self.free;
        self.free = id as u32;
        segment
    }

    /// Gives the page of `start` enough bits for a prefix of `depth`.
    fn deepen(&mut self, start: u64, depth: u8) {
        if depth <= self.top_bits + self.pages[top(start, self.top_bits)].depth {
            return;
        }
        if self.top_bits == 0 && depth > SPREAD_AT {
            self.spread();
        }
        // After the spread the page may have been halved, so more than one doubling can be due.
        let page = &mut self.pages[top(start, self.top_bits)];
        while depth > self.top_bits + page.depth {
            page.ids = page.ids.iter().flat_map(|&id| [id, id]).collect();
            page.depth += 1;
            page.single = 0;
        }
    }

    /// Deals the one page out into 2^`TOP_BITS` pages. Happens once in a table's life.
    fn spread(&mut self) {
        let whole = self.pages.swap_remove(0);
        let depth = whole.depth - TOP_BITS;
        self.pages = whole
            .ids
            .chunks(1 << depth)
            .map(|ids| {
                let mut page = Page { ids: ids.to_vec(), depth, single: 0 };
                page.count_single();
                page.halve();
                page
            })
            .collect();
        self.top_bits = TOP_BITS;
    }

    /// Lists `id` under every position that starts with the prefix.
    fn list(&mut self, start: u64, depth: u8, id: u32) {
        let first = top(start, self.top_bits);
        if depth <= self.top_bits {
            // The segment fills whole pages, which then need no bits of their own.
            for page in &mut self.pages[first..first + (1 << (self.top_bits - depth))] {
                *page = Page { ids: vec![id], depth: 0, single: 0 };
            }
            return;
        }
        let page = &mut self.pages[first];
        let run = 1 << (page.depth - (depth - self.top_bits));
        let from = top(start << self.top_bits, page.depth);
        page.ids[from..from + run].fill(id);
    }
}

impl Page {
    /// Takes bits away that no segment needs.
    fn halve(&mut self) {
        while self.single == 0 && self.depth > 0 {
            self.ids = self.ids.iter().step_by(2).copied().collect();
            self.depth -= 1;
            self.count_single();
        }
    }

    fn count_single(&mut self) {
        let pairs = self.ids.chunks_exact(2);
        self.single = 2 * pairs.filter(|pair| pair[0] != pair[1]).count() as u32;
    }
}

/// The first `bits` (0 to 63) of a hash as an index.
#[inline]
fn top(hash: u64, bits: u8) -> usize {
    ((hash >> 1) >> (63 - bits)) as usize
}

/// The hash with everything after its first `bits` (0 to 63) cleared.
pub(super) fn prefix(hash: u64, bits: u8) -> u64 {
    if bits == 0 { 0 } else { hash & (u64::MAX << (64 - bits)) }
}

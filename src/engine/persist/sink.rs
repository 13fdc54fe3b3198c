//! What a snapshot gathers while the lock is held: small entries encoded, large ones shared.
//!
//! Entries are encoded without compression, a few hundred nanoseconds each; a large value becomes a
//! pointer that is encoded later. So a slice of the walk, and a writer that has to save a segment
//! before it changes it, are short whatever the values are.

use super::Manner;
use crate::keyspace::Entry;
use crate::keyspace::lru::UseClock;
use crate::keyspace::snapshot::SegmentSink;
use crate::snapshot::Attributes;
use crate::snapshot::encode::Encoder;
use crate::snapshot::frozen::Frozen;
use crate::snapshot::view::with_view;

/// Records are gathered in pieces of about this many bytes.
const PIECE_BYTES: usize = 1 << 18;

/// A part of a snapshot, in the order of the file.
#[derive(Debug)]
pub(super) enum Piece {
    /// Whole records, the selection of their database before them.
    Records { bytes: Vec<u8>, keys: u32 },
    /// A record that is yet to be encoded.
    Large { db: u32, value: Frozen },
}

/// Gathers the entries of segments.
#[derive(Debug)]
pub(super) struct GatheringSink {
    encoder: Encoder,
    pieces: Vec<Piece>,
    out: Vec<u8>,
    out_keys: u32,
    selected: Option<usize>,
    pub keys: u64,
    /// The use clock at the start, with a policy that saves what it says.
    uses: Option<UseClock>,
    piece_bytes: usize,
}

impl GatheringSink {
    /// A sink; `uses` is the use clock when the file is to hold what it says. Pieces are no longer than
    /// sections are to be.
    pub(super) fn new(uses: Option<UseClock>, manner: Manner) -> Self {
        Self {
            piece_bytes: PIECE_BYTES.min(manner.section_bytes),
            encoder: Encoder::for_target(false, manner.target),
            pieces: Vec::new(),
            out: Vec::new(),
            out_keys: 0,
            selected: None,
            keys: 0,
            uses,
        }
    }

    /// What was gathered since the last time.
    pub(super) fn take(&mut self) -> Vec<Piece> {
        self.close_piece();
        std::mem::take(&mut self.pieces)
    }

    fn close_piece(&mut self) {
        self.selected = None;
        if !self.out.is_empty() {
            let bytes = std::mem::take(&mut self.out);
            let keys = std::mem::take(&mut self.out_keys);
            self.pieces.push(Piece::Records { bytes, keys });
        }
    }

    fn attributes(&self, entry: &Entry) -> Attributes {
        let mut attributes =
            Attributes { expire_at_ms: entry.expire_at(), ..Attributes::default() };
        match &self.uses {
            Some(uses) if uses.counts() => {
                attributes.frequency = Some(uses.frequency(entry.used_at()));
            }
            Some(uses) => attributes.idle_seconds = Some(uses.idle_ms(entry.used_at()) / 1000),
            None => {}
        }
        attributes
    }
}

impl SegmentSink for GatheringSink {
    fn save(&mut self, db: usize, entries: &mut dyn Iterator<Item = &mut Entry>) {
        let number = u32::try_from(db).unwrap_or(u32::MAX);
        for entry in entries {
            self.keys += 1;
            let attributes = self.attributes(entry);
            if let Some(value) = Frozen::of(entry, attributes) {
                self.pieces.push(Piece::Large { db: number, value });
                continue;
            }
            if self.out.capacity() == 0 {
                self.out.reserve(self.piece_bytes + self.piece_bytes / 4);
            }
            if self.selected != Some(db) {
                self.selected = Some(db);
                self.encoder.select_db(&mut self.out, number);
            }
            let (encoder, out) = (&mut self.encoder, &mut self.out);
            with_view(entry.value(), |view| encoder.key(out, entry.key(), view, attributes));
            self.out_keys += 1;
            if self.out.len() >= self.piece_bytes {
                self.close_piece();
            }
        }
    }

    fn as_any(&mut self) -> &mut dyn std::any::Any {
        self
    }
}

//! What a snapshot holds, as one number: the same for every form of the same keys in any order.

use sha2::{Digest as _, Sha256};

use crate::keyspace::{Entry, ValueRef, digest};
use crate::snapshot::{Attributes, LoadError, LoadOptions, LoadSink, Loaded, Refusal, load};

/// The content of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Content {
    pub keys: u64,
    /// 64 hexadecimal characters.
    pub digest: String,
}

/// Reads a file whole, every checksum verified; its content and where it ends.
pub(super) fn read_content(
    bytes: &[u8],
    progress: &mut dyn FnMut(u64),
) -> Result<(Content, u64), LoadError> {
    let options = LoadOptions { databases: u32::MAX, ..LoadOptions::default() };
    let mut sum = Sum { db: 0, whole: [0; 32], keys: 0, progress };
    let report = load(bytes, &options, &mut sum)?;
    let digest = sum.whole.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok((Content { keys: sum.keys, digest }, report.end))
}

struct Sum<'p> {
    db: u32,
    /// The digests of all keys and functions, added up bit by bit: their order does not matter.
    whole: [u8; 32],
    keys: u64,
    progress: &'p mut dyn FnMut(u64),
}

impl Sum<'_> {
    fn add(&mut self, one: Sha256) {
        xor(&mut self.whole, one);
    }
}

fn xor(whole: &mut [u8; 32], one: Sha256) {
    for (byte, other) in whole.iter_mut().zip(one.finalize()) {
        *byte ^= other;
    }
}

/// Times of fields, which the digest of a value knows only as there or not.
fn field_times(entry: &Entry) -> [u8; 32] {
    let mut times = [0; 32];
    if let ValueRef::Hash(hash) = entry.value() {
        for (field, _, time) in hash.iter_with_expire() {
            if let Some(time) = time {
                let mut one = Sha256::new();
                field.with_bytes(|field| one.update(field));
                one.update(time.to_le_bytes());
                xor(&mut times, one);
            }
        }
    }
    times
}

impl LoadSink for Sum<'_> {
    fn select_db(&mut self, db: u32) {
        self.db = db;
    }

    fn key(
        &mut self,
        key: &[u8],
        value: Loaded<'_>,
        attributes: Attributes,
    ) -> Result<(), Refusal> {
        let entry = value.into_entry(key, attributes.expire_at_ms)?;
        let mut one = Sha256::new();
        one.update([b'k']);
        one.update(self.db.to_le_bytes());
        one.update((key.len() as u64).to_le_bytes());
        one.update(key);
        let Attributes { expire_at_ms, idle_seconds, frequency } = attributes;
        one.update(format!(
            "{expire_at_ms:?} {idle_seconds:?} {frequency:?} {}",
            entry.kind() as u8
        ));
        one.update(digest::value(&entry));
        one.update(field_times(&entry));
        self.add(one);
        self.keys += 1;
        Ok(())
    }

    fn function(&mut self, source: &[u8]) -> Result<(), Refusal> {
        let mut one = Sha256::new();
        one.update([b'f']);
        one.update(source);
        self.add(one);
        Ok(())
    }

    fn progress(&mut self, bytes: u64) {
        (self.progress)(bytes);
    }
}

//! What the engine hands to the log: the records of one execution unit.
//!
//! A command, a script or a transaction yields the records that reproduce its effect; they are logged and
//! loaded all or none. The buffer is the engine's and is used again for each unit, so that logging
//! a command allocates nothing.

/// Room that is kept from unit to unit.
const KEPT_BYTES: usize = 1 << 20;

/// The records of one unit, each with the database it belongs to.
#[derive(Clone, Debug, Default)]
pub struct UnitBuffer {
    /// The records, one behind the other.
    bytes: Vec<u8>,
    /// Database and end in `bytes` of each record; ends increase.
    records: Vec<(u32, usize)>,
}

impl UnitBuffer {
    /// An empty unit.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets everything but the memory, and that too if a unit took much.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.records.clear();
        if self.bytes.capacity() > KEPT_BYTES {
            self.give_back();
        }
    }

    #[cold]
    fn give_back(&mut self) {
        // A record has four bytes at least.
        self.bytes.shrink_to(KEPT_BYTES);
        self.records.shrink_to(KEPT_BYTES / 4);
    }

    /// Whether there is nothing to log.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Adds the record of a command with these arguments in database `db`.
    pub fn push<A: AsRef<[u8]>>(&mut self, db: u32, args: &[A]) {
        self.start(db, args.len());
        for arg in args {
            self.arg(arg.as_ref());
        }
    }

    /// Adds the start of a record; exactly `count` calls of [`arg`](Self::arg) must follow.
    pub fn start(&mut self, db: u32, count: usize) {
        put_number(&mut self.bytes, b'*', count);
        self.records.push((db, self.bytes.len()));
    }

    /// Adds an argument to the last record.
    pub fn arg(&mut self, arg: &[u8]) {
        put_number(&mut self.bytes, b'$', arg.len());
        self.bytes.extend_from_slice(arg);
        self.bytes.extend_from_slice(b"\r\n");
        if let Some((_, end)) = self.records.last_mut() {
            *end = self.bytes.len();
        }
    }

    /// Adds a record that is canonical RESP already.
    pub fn push_raw(&mut self, db: u32, record: &[u8]) {
        self.bytes.extend_from_slice(record);
        self.records.push((db, self.bytes.len()));
    }

    /// All bytes, without SELECT, MULTI and EXEC.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The records with their databases.
    pub fn records(&self) -> impl Iterator<Item = (u32, &[u8])> {
        let mut start = 0;
        self.records.iter().map(move |(db, end)| {
            let record = self.bytes.get(start..*end).unwrap_or_default();
            start = *end;
            (*db, record)
        })
    }

    /// Appends the records as a loader takes them: SELECT where the database changes, MULTI and EXEC around
    /// more than one. `selected` is what the loader has selected so far.
    pub fn frame(&self, out: &mut Vec<u8>, selected: &mut Option<u32>, letters: Letters) {
        let mut select = |out: &mut Vec<u8>, db| {
            if selected.replace(db) != Some(db) {
                put_select(out, db, letters);
            }
        };
        match self.only_db() {
            Some(db) => {
                select(out, db);
                out.extend_from_slice(&self.bytes);
            }
            None if self.is_empty() => {}
            None => {
                // MULTI comes before SELECT, as Redis writes it.
                out.extend_from_slice(match letters {
                    Letters::Small => b"*1\r\n$5\r\nmulti\r\n",
                    Letters::Capital => b"*1\r\n$5\r\nMULTI\r\n",
                });
                for (db, record) in self.records() {
                    select(out, db);
                    out.extend_from_slice(record);
                }
                out.extend_from_slice(b"*1\r\n$4\r\nEXEC\r\n");
            }
        }
    }

    /// The database of the only record, when there is only one.
    #[inline]
    pub(crate) fn only_db(&self) -> Option<u32> {
        match self.records.as_slice() {
            [(db, _)] => Some(*db),
            _ => None,
        }
    }
}

/// How SELECT and MULTI are spelled; loaders take both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Letters {
    /// In our log: what begins there with capitals was appended by another server, and the rest of a frame that
    /// lost its first sector must not look like that (`format-spec/aof.md`, section 4).
    Small,
    /// Towards replicas, as Redis sends it.
    Capital,
}

/// Appends the record that selects `db`.
pub(crate) fn put_select(out: &mut Vec<u8>, db: u32, letters: Letters) {
    let mut digits = itoa::Buffer::new();
    let digits = digits.format(db);
    out.extend_from_slice(match letters {
        Letters::Small => b"*2\r\n$6\r\nselect\r\n",
        Letters::Capital => b"*2\r\n$6\r\nSELECT\r\n",
    });
    put_number(out, b'$', digits.len());
    out.extend_from_slice(digits.as_bytes());
    out.extend_from_slice(b"\r\n");
}

fn put_number(out: &mut Vec<u8>, mark: u8, number: usize) {
    out.push(mark);
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_of_a_large_unit_is_given_back_and_that_of_small_ones_kept() {
        let mut unit = UnitBuffer::new();
        unit.push(0, &["SET", "k", "v"]);
        unit.clear();
        assert!(unit.bytes.capacity() > 0);
        unit.push(0, &["SET", "k", &"x".repeat(3 * KEPT_BYTES)]);
        unit.clear();
        assert!(unit.is_empty() && unit.bytes.capacity() <= KEPT_BYTES);
        for _ in 0..KEPT_BYTES {
            unit.push(0, &["DEL"]);
        }
        unit.clear();
        assert!(unit.records.capacity() <= KEPT_BYTES);
    }
}

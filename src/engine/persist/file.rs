//! The file of a snapshot: pieces in, sections packed by several threads, bytes out in order.
//!
//! One thread feeds pieces and writes (`feeder.rs`); the crew compresses. Sections come back in the order in which they
//! were given, so the file is the same whatever the number of threads, and there are never more under
//! way than a few for each thread. Beside clients the threads take what those leave of the cores (`aside.rs`).
//! Without threads (simulation, a save at start) the feeder packs by itself. Any failure, of the disk or of a thread,
//! ends the save; the threads end with the file.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use parking_lot::Mutex;

use super::aside::Share;
use super::sink::Piece;
use crate::aof::manifest::Content;
use crate::disk::{DiskFile, OpenMode, SharedDisk};
use crate::snapshot::container::write::{Assembly, FileForm, Packed, Packer, Section, Table};
use crate::snapshot::container::{FRAME_BYTES_MAX, Kind};
use crate::snapshot::encode::Encoder;
use crate::snapshot::target::Target;

/// Sections of one thread that are under way.
const IN_FLIGHT: usize = 3;
/// Written bytes are forced to disk in steps of this size, so that the last sync is short.
const SYNC_EVERY: u64 = 32 << 20;

/// How a snapshot file is written.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    pub form: FileForm,
    pub checksum: bool,
    /// Threads that pack; 0 does it in the thread that feeds.
    pub threads: usize,
    /// Clients are served meanwhile: threads take what is left of the cores.
    pub beside_clients: bool,
    /// A section is packed when it has so many bytes.
    pub section_bytes: usize,
    /// Whether to force the file to disk piece by piece.
    pub incremental_sync: bool,
    /// Whether it is on disk when it is finished.
    pub durable: bool,
    /// The version of the file.
    pub target: Target,
    /// Whether a file in the form of Redis has a table behind it: bases of logs do.
    pub table: Table,
}

/// A snapshot file being written.
#[derive(Debug)]
pub struct SnapshotFile {
    file: Box<dyn DiskFile>,
    manner: Manner,
    /// Bytes written, their checksum, and those known to be on disk.
    offset: u64,
    crc: crc32fast::Hasher,
    synced: u64,
    assembly: Assembly,
    packer: Packer,
    crew: Crew,
    encoder: Encoder,
    open: Section,
}

impl SnapshotFile {
    /// Creates the file; `head` is everything of the RDB before the first key.
    pub fn create(
        disk: &SharedDisk,
        path: &str,
        manner: Manner,
        head: Vec<u8>,
    ) -> Result<Self, String> {
        let file =
            disk.open(path, OpenMode::CreateOrTruncate).map_err(|error| error.to_string())?;
        let Manner { form, checksum, threads, .. } = manner;
        let share = if manner.beside_clients { Share::Leftover } else { Share::Equal };
        let assembly = Assembly::new(form, checksum, manner.table);
        let start = assembly.start();
        file.write_all_at(0, start).map_err(|error| error.to_string())?;
        let mut crc = crc32fast::Hasher::new();
        crc.update(start);
        let mut this = Self {
            file,
            manner,
            offset: start.len() as u64,
            crc,
            synced: 0,
            assembly,
            packer: Packer::new(form, checksum),
            crew: Crew::new(threads, share, form, checksum),
            // What is encoded here is in pieces, and not taken apart for compression afterwards.
            encoder: Encoder::for_target(form == FileForm::Lzf, manner.target),
            open: empty(Kind::Keys),
        };
        this.pack(Section { kind: Kind::Head, bytes: head, keys: 0, finished: true })?;
        Ok(this)
    }

    /// Takes the next piece of the snapshot.
    pub(super) fn put(&mut self, piece: Piece) -> Result<(), String> {
        match piece {
            Piece::Records { bytes, keys } => {
                if self.open.bytes.is_empty() {
                    self.open.bytes = bytes;
                } else {
                    self.open.bytes.extend_from_slice(&bytes);
                }
                self.open.keys += keys;
                if self.open.bytes.len() >= self.manner.section_bytes {
                    self.close()?;
                }
                Ok(())
            }
            Piece::Large { db, value } => self.put_large(db, value),
        }
    }

    /// Others leave the threads that pack too little.
    pub(super) fn hurry(&mut self) {
        self.crew.hurry();
    }

    /// Takes a section as it is.
    pub fn put_section(&mut self, section: Section) -> Result<(), String> {
        self.open = section;
        self.close()
    }

    fn put_large(&mut self, db: u32, value: crate::snapshot::frozen::Frozen) -> Result<(), String> {
        // Its strings have their last form; what is open may not have.
        if self.manner.form == FileForm::Lzf {
            self.close()?;
            self.open.finished = true;
        }
        let mut encoder = std::mem::replace(&mut self.encoder, Encoder::new(false));
        let mut out = std::mem::take(&mut self.open.bytes);
        encoder.select_db(&mut out, db);
        self.open.keys += 1;
        let mut split = false;
        let encoded = value.encode(&mut encoder, &mut out, &mut |out| {
            if out.len() < self.manner.section_bytes {
                return Ok(());
            }
            split = true;
            self.open.bytes = std::mem::take(out);
            self.close()?;
            self.open.kind = Kind::More;
            self.open.finished = true;
            Ok(())
        });
        self.encoder = encoder;
        encoded?;
        self.open.bytes = out;
        // The keys behind a value that went on in another frame begin a group of their own.
        if split || self.manner.form == FileForm::Lzf { self.close() } else { Ok(()) }
    }

    /// Packs what is open.
    fn close(&mut self) -> Result<(), String> {
        let mut section = std::mem::replace(&mut self.open, empty(Kind::Keys));
        let is_container = matches!(self.manner.form, FileForm::Zstd { .. });
        // One entry can be longer than a frame may be.
        while is_container && section.bytes.len() > FRAME_BYTES_MAX {
            let rest = section.bytes.split_off(FRAME_BYTES_MAX);
            let first = Section { bytes: std::mem::replace(&mut section.bytes, rest), ..section };
            section = Section { kind: Kind::More, keys: 0, finished: true, bytes: section.bytes };
            self.pack(first)?;
        }
        if section.bytes.is_empty() { Ok(()) } else { self.pack(section) }
    }

    fn pack(&mut self, section: Section) -> Result<(), String> {
        if self.crew.is_empty() {
            let packed = self.packer.pack(section)?;
            return self.write(&packed);
        }
        if let Some(packed) = self.crew.make_room()? {
            self.write(&packed)?;
        }
        self.crew.give(section)
    }

    fn write(&mut self, packed: &Packed) -> Result<(), String> {
        self.assembly.add(packed);
        self.write_bytes(&packed.bytes)
    }

    fn write_bytes(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.file.write_all_at(self.offset, bytes).map_err(|error| error.to_string())?;
        self.offset += bytes.len() as u64;
        self.crc.update(bytes);
        if self.manner.incremental_sync && self.offset - self.synced >= SYNC_EVERY {
            self.file.sync_data().map_err(|error| error.to_string())?;
            self.synced = self.offset;
        }
        Ok(())
    }

    /// Writes what is left and the end, and makes the bytes durable.
    pub fn finish(mut self) -> Result<Content, String> {
        self.close()?;
        while let Some(packed) = self.crew.next()? {
            self.write(&packed)?;
        }
        let nothing = Assembly::new(FileForm::Plain, false, Table::None);
        let end = std::mem::replace(&mut self.assembly, nothing);
        self.write_bytes(&end.end()?)?;
        if self.manner.durable {
            self.file.sync_all().map_err(|error| error.to_string())?;
        }
        Ok(Content { size: self.offset, crc: self.crc.finalize() })
    }
}

fn empty(kind: Kind) -> Section {
    Section { kind, bytes: Vec::new(), keys: 0, finished: false }
}

/// Threads that pack: they take sections from one queue, and what they make is asked for in order.
#[derive(Debug)]
struct Crew {
    work: Option<Sender<Job>>,
    queue: Arc<Mutex<Receiver<Job>>>,
    /// The way back of every section that was given and not taken back.
    under_way: VecDeque<Receiver<Result<Packed, String>>>,
    threads: Vec<JoinHandle<()>>,
    /// Threads that share the work.
    size: usize,
    hurried: bool,
    form: FileForm,
    checksum: bool,
}

/// A section, and where it is wanted.
type Job = (Section, Sender<Result<Packed, String>>);

const ENDED: &str = "a thread that compresses the snapshot has ended";

impl Crew {
    fn new(threads: usize, share: Share, form: FileForm, checksum: bool) -> Self {
        let (work, queue) = channel();
        let mut this = Self {
            work: Some(work),
            queue: Arc::new(Mutex::new(queue)),
            under_way: VecDeque::new(),
            threads: Vec::new(),
            size: threads,
            hurried: false,
            form,
            checksum,
        };
        this.start(share);
        // A thread that cannot be had is done without.
        this.size = this.threads.len();
        this
    }

    fn start(&mut self, share: Share) {
        for number in 0..self.size {
            let (queue, form, checksum) = (Arc::clone(&self.queue), self.form, self.checksum);
            let name = format!("snapshot-{number}");
            let thread = share.spawn(&name, move || pack_all(&queue, Packer::new(form, checksum)));
            let Ok(thread) = thread else { return };
            self.threads.push(thread);
        }
    }

    /// Has as many threads more take part, which others do not keep from working.
    fn hurry(&mut self) {
        if !std::mem::replace(&mut self.hurried, true) {
            self.start(Share::Nice(19));
        }
    }

    fn is_empty(&self) -> bool {
        self.size == 0
    }

    fn give(&mut self, section: Section) -> Result<(), String> {
        let (done, packed) = channel();
        let sent = self.work.as_ref().map(|work| work.send((section, done)));
        if !matches!(sent, Some(Ok(()))) {
            return Err(ENDED.to_owned());
        }
        self.under_way.push_back(packed);
        Ok(())
    }

    /// Waits for the oldest section when too many are under way.
    fn make_room(&mut self) -> Result<Option<Packed>, String> {
        if self.under_way.len() < self.size * IN_FLIGHT { Ok(None) } else { self.next() }
    }

    /// The oldest section that is under way; `None` when none is.
    fn next(&mut self) -> Result<Option<Packed>, String> {
        let Some(packed) = self.under_way.pop_front() else { return Ok(None) };
        packed.recv().map_err(|_| ENDED.to_owned())?.map(Some)
    }
}

fn pack_all(queue: &Mutex<Receiver<Job>>, mut packer: Packer) {
    loop {
        let job = queue.lock().recv();
        let Ok((section, done)) = job else { return };
        // Nobody wants it any more when the save has failed.
        let _ = done.send(packer.pack(section));
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.work = None;
        for thread in self.threads.drain(..) {
            // One that panicked has said so by closing its way out.
            let _ = thread.join();
        }
    }
}

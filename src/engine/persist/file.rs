//! The file of a snapshot: pieces in, sections packed by several threads, bytes out in order.
//!
//! One thread feeds pieces and writes (`feeder.rs`); the crew compresses. Sections go to the threads in turn and come
//! back in turn, so the file is the same whatever the number of threads, and there are never more under
//! way than a few for each thread. Without threads (simulation, a save at start) the feeder packs
//! by itself. Any failure, of the disk or of a thread, ends the save; the threads end with the file.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use super::sink::Piece;
use crate::aof::manifest::Content;
use crate::disk::{DiskFile, OpenMode, SharedDisk};
use crate::snapshot::container::write::{Assembly, FileForm, Packed, Packer, Section};
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
    /// A section is packed when it has so many bytes.
    pub section_bytes: usize,
    /// Whether to force the file to disk piece by piece.
    pub incremental_sync: bool,
    /// Whether it is on disk when it is finished.
    pub durable: bool,
    /// The version of the file.
    pub target: Target,
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
        let assembly = Assembly::new(form, checksum);
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
            crew: Crew::new(threads, form, checksum),
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
        let end = std::mem::replace(&mut self.assembly, Assembly::new(FileForm::Plain, false));
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

/// Threads that pack, each with a way in and a way out.
#[derive(Debug)]
struct Crew {
    threads: Vec<Member>,
    /// Sections given and taken back so far: the turn is that number's remainder.
    given: usize,
    taken: usize,
}

#[derive(Debug)]
struct Member {
    sections: Option<Sender<Section>>,
    packed: Receiver<Result<Packed, String>>,
    thread: Option<JoinHandle<()>>,
}

impl Crew {
    fn new(threads: usize, form: FileForm, checksum: bool) -> Self {
        // A thread that cannot be had is done without.
        let threads =
            (0..threads).map_while(|number| Member::start(number, form, checksum).ok()).collect();
        Self { threads, given: 0, taken: 0 }
    }

    fn is_empty(&self) -> bool {
        self.threads.is_empty()
    }

    fn give(&mut self, section: Section) -> Result<(), String> {
        let turn = self.given % self.threads.len();
        let member = self.threads.get(turn).and_then(|member| member.sections.as_ref());
        let sent = member.map(|sections| sections.send(section));
        if !matches!(sent, Some(Ok(()))) {
            return Err(ENDED.to_owned());
        }
        self.given += 1;
        Ok(())
    }

    /// Waits for the oldest section when too many are under way.
    fn make_room(&mut self) -> Result<Option<Packed>, String> {
        if self.given - self.taken < self.threads.len() * IN_FLIGHT {
            return Ok(None);
        }
        self.next()
    }

    /// The oldest section that is under way; `None` when none is.
    fn next(&mut self) -> Result<Option<Packed>, String> {
        if self.taken == self.given {
            return Ok(None);
        }
        let turn = self.taken % self.threads.len();
        let member = self.threads.get(turn).ok_or(ENDED)?;
        let packed = member.packed.recv().map_err(|_| ENDED.to_owned())??;
        self.taken += 1;
        Ok(Some(packed))
    }
}

const ENDED: &str = "a thread that compresses the snapshot has ended";

impl Member {
    fn start(number: usize, form: FileForm, checksum: bool) -> std::io::Result<Self> {
        let (sections, work) = channel();
        let (done, packed) = channel();
        let name = format!("snapshot-{number}");
        let thread = std::thread::Builder::new().name(name).spawn(move || {
            // Clients come first.
            let _ = rustix::process::nice(19);
            let mut packer = Packer::new(form, checksum);
            for section in work {
                if done.send(packer.pack(section)).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { sections: Some(sections), packed, thread: Some(thread) })
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.sections = None;
        if let Some(thread) = self.thread.take() {
            // One that panicked has said so by closing its way out.
            let _ = thread.join();
        }
    }
}

//! Sections of an RDB on their way into a file: compressed, summed, listed.
//!
//! [`Packer`] does the work of one section and needs nothing else, so several threads have one each;
//! [`Assembly`] takes what they made in the order of the file and knows what follows at the end. With
//! the form of Redis the same sections are written as they are, or with their strings compressed; the table
//! of them can follow in lines.

#![deny(clippy::indexing_slicing, clippy::cast_possible_truncation, clippy::expect_used)]

use zstd::stream::raw::{Encoder, InBuffer, Operation, OutBuffer};

use super::{FRAME_BYTES_MAX, Frame, Kind, MARKER, lines, put_table};
use crate::snapshot::crc64;
use crate::snapshot::record::EOF;
use crate::snapshot::transcode::compress_strings;

/// What is compressed between two looks at who wants the core: a block of zstd, about half a millisecond.
const STEP_BYTES: usize = 128 << 10;

/// The form of a snapshot file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileForm {
    /// A container of zstd frames of this level.
    Zstd { level: i32 },
    /// What Redis writes with `rdbcompression yes`: long strings compressed one by one.
    Lzf,
    /// What Redis writes with `rdbcompression no`.
    Plain,
}

/// A piece of an RDB: whole records, or a part of a large one.
#[derive(Debug)]
pub struct Section {
    pub kind: Kind,
    pub bytes: Vec<u8>,
    /// Keys that begin in it.
    pub keys: u32,
    /// Its strings have the form they should have in the file: it is not to be taken apart.
    pub finished: bool,
}

/// A section as it stands in the file.
#[derive(Debug)]
pub struct Packed {
    pub bytes: Vec<u8>,
    /// One, unless the section is stored as it is and too long for that.
    frames: Vec<Frame>,
    /// Of the RDB's bytes, and how many they are.
    crc64: u64,
    rdb_len: u64,
}

/// Makes file bytes of sections. One per thread.
pub struct Packer {
    form: FileForm,
    /// Whether the checksum of the RDB is asked for.
    checksum: bool,
    encoder: Option<Encoder<'static>>,
}

impl std::fmt::Debug for Packer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Packer").field("form", &self.form).finish_non_exhaustive()
    }
}

impl Packer {
    /// A packer for files of a form.
    pub fn new(form: FileForm, checksum: bool) -> Self {
        Self { form, checksum, encoder: None }
    }

    /// The bytes of a section in the file. An error is one of the compressor's.
    pub fn pack(&mut self, section: Section) -> Result<Packed, String> {
        let Section { kind, mut bytes, keys, finished } = section;
        if self.form == FileForm::Lzf && !finished {
            bytes = compress_strings(&bytes).map_err(|corruption| corruption.to_string())?;
        }
        let crc64 = if self.checksum { crc64::checksum(&bytes) } else { 0 };
        let rdb_len = bytes.len() as u64;
        let too_long = || "a section is too long".to_owned();
        if let FileForm::Zstd { level } = self.form {
            bytes = self.compress(&bytes, level)?;
            let stored = u32::try_from(bytes.len()).map_err(|_| too_long())?;
            let plain = u32::try_from(rdb_len).map_err(|_| too_long())?;
            let frame = Frame { kind, stored, plain, keys, crc: crc32fast::hash(&bytes) };
            return Ok(Packed { bytes, frames: vec![frame], crc64, rdb_len });
        }
        let frames = frames_of(kind, &bytes, keys);
        Ok(Packed { bytes, frames, crc64, rdb_len })
    }

    fn compress(&mut self, bytes: &[u8], level: i32) -> Result<Vec<u8>, String> {
        self.compress_in_steps(bytes, level).map_err(|error| format!("zstd: {error}"))
    }

    /// One frame, made in steps: between two of them a thread that may run only when nobody else wants to says so.
    fn compress_in_steps(&mut self, bytes: &[u8], level: i32) -> std::io::Result<Vec<u8>> {
        let encoder = match &mut self.encoder {
            Some(encoder) => {
                encoder.reinit()?;
                encoder
            }
            none => none.insert(Encoder::new(level)?),
        };
        // With it the frame says how long its content is.
        encoder.set_pledged_src_size(Some(bytes.len() as u64))?;
        let mut out = vec![0; zstd_bound(bytes.len())];
        let mut output = OutBuffer::around(out.as_mut_slice());
        for step in bytes.chunks(STEP_BYTES) {
            let mut input = InBuffer::around(step);
            while input.pos < step.len() {
                let before = (input.pos, output.pos());
                encoder.run(&mut input, &mut output)?;
                if (input.pos, output.pos()) == before {
                    return Err(std::io::Error::other("no room for a frame"));
                }
            }
            give_way();
        }
        if encoder.finish(&mut output, true)? > 0 {
            return Err(std::io::Error::other("no room for the end of a frame"));
        }
        let len = output.pos();
        out.truncate(len);
        Ok(out)
    }
}

/// What incompressible bytes take in a frame (zstd.h, ZSTD_COMPRESSBOUND), and the little that steps add.
fn zstd_bound(len: usize) -> usize {
    len + (len >> 8) + 512
}

/// Lets a thread that waits for this core have it. The scheduler looks who that is only when a clock ticks or somebody
/// wakes up: who is pushed aside at the end of a request by the client that it woke would wait behind a thread of the
/// idle policy until then, for some milliseconds (benches/RESULTS.md, "Snapshots and who waits for them, again").
pub fn give_way() {
    std::thread::yield_now();
}

/// The frames of a section that is stored as it is.
fn frames_of(kind: Kind, bytes: &[u8], keys: u32) -> Vec<Frame> {
    let (mut kind, mut keys) = (kind, keys);
    let frame = |bytes: &[u8]| {
        // Neither is more than a frame may have.
        let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let own = keys.min(len);
        keys -= own;
        let crc = crc32fast::hash(bytes);
        let kind = std::mem::replace(&mut kind, Kind::More);
        Frame { kind, stored: len, plain: len, keys: own, crc }
    };
    bytes.chunks(FRAME_BYTES_MAX).map(frame).collect()
}

/// What a file has so far.
#[derive(Debug)]
pub struct Assembly {
    form: FileForm,
    checksum: bool,
    table: Table,
    frames: Vec<Frame>,
    crc64: u64,
    rdb_len: u64,
}

/// Whether a file in the form of Redis says where its frames are; a container always does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    /// It ends with the RDB, as a `dump.rdb` has to.
    None,
    /// In comment lines behind it, where loaders of logs expect commands.
    Lines,
}

impl Assembly {
    /// A file of nothing.
    pub fn new(form: FileForm, checksum: bool, table: Table) -> Self {
        Self { form, checksum, table, frames: Vec::new(), crc64: 0, rdb_len: 0 }
    }

    /// What stands before the first section.
    pub fn start(&self) -> &'static [u8] {
        if self.is_container() { &MARKER } else { b"" }
    }

    /// Takes note of a section whose bytes follow in the file.
    pub fn add(&mut self, packed: &Packed) {
        self.frames.extend_from_slice(&packed.frames);
        self.crc64 = crc64::combine(self.crc64, packed.crc64, packed.rdb_len);
        self.rdb_len += packed.rdb_len;
    }

    /// What stands behind the last section.
    pub fn end(mut self) -> Result<Vec<u8>, String> {
        let with_mark = crc64::combine(self.crc64, crc64::checksum(&[EOF]), 1);
        let sum = if self.checksum { with_mark } else { 0 };
        let mut bytes = vec![EOF];
        bytes.extend_from_slice(&sum.to_le_bytes());
        let end = Section { kind: Kind::End, bytes, keys: 0, finished: true };
        let packed = Packer::new(self.form, false).pack(end)?;
        self.add(&packed);
        let mut bytes = packed.bytes;
        if self.is_container() {
            put_table(&mut bytes, &self.frames);
        } else if self.table == Table::Lines {
            lines::put(&mut bytes, &self.frames, self.rdb_len);
        }
        Ok(bytes)
    }

    fn is_container(&self) -> bool {
        matches!(self.form, FileForm::Zstd { .. })
    }
}

//! Where bytes of an output go: a file under a temporary name, or standard output.

use std::io::{self, Write};

use crate::disk::{DiskError, DiskFile, OpenMode, SharedDisk};

/// Bytes that are gathered before they are written.
const BUFFER_BYTES: usize = 1 << 18;

/// A stream of bytes into a file or to standard output.
#[derive(Debug)]
pub struct ByteOutput {
    place: Place,
    buffer: Vec<u8>,
    written: u64,
}

#[derive(Debug)]
enum Place {
    File(Box<dyn DiskFile>),
    Standard,
}

impl ByteOutput {
    /// A file, emptied if it is there.
    pub fn file(disk: &SharedDisk, path: &str) -> Result<Self, DiskError> {
        let file = disk.open(path, OpenMode::CreateOrTruncate)?;
        Ok(Self { place: Place::File(file), buffer: Vec::new(), written: 0 })
    }

    /// Standard output.
    pub fn standard() -> Self {
        Self { place: Place::Standard, buffer: Vec::new(), written: 0 }
    }

    /// Where to append.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Writes what was appended when it is enough for one write.
    pub fn pass(&mut self) -> Result<(), String> {
        if self.buffer.len() >= BUFFER_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), String> {
        match &mut self.place {
            Place::File(file) => file
                .write_all_at(self.written, &self.buffer)
                .map_err(|error| format!("the output cannot be written: {error}"))?,
            Place::Standard => {
                let written: io::Result<()> = io::stdout().lock().write_all(&self.buffer);
                written.map_err(|error| format!("standard output cannot be written: {error}"))?;
            }
        }
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Writes the rest and makes a file durable; how many bytes there are.
    pub fn finish(mut self) -> Result<u64, String> {
        self.flush()?;
        match &mut self.place {
            Place::File(file) => file
                .sync_all()
                .map_err(|error| format!("the output cannot be made durable: {error}"))?,
            Place::Standard => io::stdout()
                .lock()
                .flush()
                .map_err(|error| format!("standard output cannot be written: {error}"))?,
        }
        Ok(self.written)
    }
}

//! A data set into a snapshot file: RDB of any version, or a container.

use super::{Item, Sink, leavings};
use crate::disk::SharedDisk;
use crate::engine::persist::{FileForm, Manner, SnapshotFile};
use crate::snapshot::container::Kind;
use crate::snapshot::container::write::Section;
use crate::snapshot::encode::{Encoder, Header};
use crate::snapshot::target::Target;
use crate::snapshot::view::with_view;

/// What a snapshot file is to be.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Its version.
    pub target: Target,
    /// How it is written.
    pub manner: Manner,
    /// What stands at its head.
    pub header: Header,
}

/// Writes a snapshot file.
#[derive(Debug)]
pub struct RdbWriter {
    disk: SharedDisk,
    path: String,
    wanted: Wanted,
    encoder: Encoder,
    /// Everything before the first key; taken when the file is begun.
    head: Vec<u8>,
    file: Option<SnapshotFile>,
    open: Vec<u8>,
    keys: u32,
    db: Option<u32>,
}

impl RdbWriter {
    /// A writer of the file at `path`.
    pub fn new(disk: &SharedDisk, path: &str, wanted: Wanted) -> Self {
        // Valkey's own forms are not taken apart afterwards to compress what is in them.
        let at_once = wanted.manner.form == FileForm::Lzf && wanted.target == Target::Valkey;
        let mut encoder = Encoder::for_target(at_once, wanted.target);
        let mut head = Vec::new();
        encoder.header(&mut head, &wanted.header);
        Self {
            disk: SharedDisk::clone(disk),
            path: path.to_owned(),
            wanted,
            encoder,
            head,
            file: None,
            open: Vec::new(),
            keys: 0,
            db: None,
        }
    }

    fn file(&mut self) -> Result<&mut SnapshotFile, String> {
        if self.file.is_none() {
            let head = std::mem::take(&mut self.head);
            let (disk, path, manner) = (&self.disk, &self.path, self.wanted.manner);
            let made = leavings::within(|| SnapshotFile::create(disk, path, manner, head))?;
            self.file = Some(made);
        }
        self.file.as_mut().ok_or_else(|| "no file".to_owned())
    }

    fn close_section(&mut self) -> Result<(), String> {
        let bytes = std::mem::take(&mut self.open);
        let keys = std::mem::take(&mut self.keys);
        self.db = None;
        let finished = self.encoder.compresses() || self.wanted.manner.form == FileForm::Plain;
        self.file()?.put_section(Section { kind: Kind::Keys, bytes, keys, finished })
    }

    /// Ends the file and makes it durable; its length.
    pub fn finish(mut self) -> Result<u64, String> {
        if self.keys > 0 {
            self.close_section()?;
        }
        self.file()?;
        Ok(self.file.ok_or_else(|| "no file".to_owned())?.finish()?.size)
    }
}

impl Sink for RdbWriter {
    fn function(&mut self, source: &[u8]) -> Result<(), String> {
        if let Some(why) = self.wanted.target.refuses_functions() {
            let name = source.split(|byte| *byte == b'\n').next().unwrap_or_default();
            return Err(format!(
                "the function library \"{}\" cannot be held: {why}; leave it out with --no-functions",
                name.escape_ascii()
            ));
        }
        if self.file.is_some() || self.keys > 0 {
            return Err("a function library stands behind a key: libraries come first".to_owned());
        }
        self.encoder.function(&mut self.head, source);
        Ok(())
    }

    fn key(&mut self, item: &Item<'_>) -> Result<(), String> {
        let value = item.entry.value();
        if let Some(why) = with_view(value, |view| self.wanted.target.refuses(view)) {
            return Err(format!("{} cannot be held: {why}", item.name()));
        }
        if self.db != Some(item.db) {
            self.db = Some(item.db);
            self.encoder.select_db(&mut self.open, item.db);
        }
        let (encoder, out) = (&mut self.encoder, &mut self.open);
        with_view(value, |view| encoder.key(out, item.entry.key(), view, item.attributes));
        self.keys += 1;
        match self.open.len() >= self.wanted.manner.section_bytes {
            true => self.close_section(),
            false => Ok(()),
        }
    }
}

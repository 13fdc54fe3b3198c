//! Loading with several threads: each takes the next group, checks, decodes and allocates; the caller
//! puts what they made into its tables.
//!
//! What is expensive about a load is reading bytes and making blocks of memory out of them; it happens
//! here, off the caller's thread. The receiver gets whole entries with their hashes, so putting one in
//! touches its table and nothing else. An RDB without a table in lines behind it, whose records cannot be found
//! without reading those before them, is loaded by the caller alone. The first error ends the load.

#![deny(clippy::indexing_slicing, clippy::cast_possible_truncation, clippy::expect_used)]

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::read::{Container, Group};
use super::{Kind, is_container};
use crate::keyspace::Prepared;
use crate::snapshot::crc64;
use crate::snapshot::error::{Corruption, CorruptionKind, LoadError, Place};
use crate::snapshot::load::{
    Checksum, LoadOptions, LoadReport, LoadSink, Refusal, Verified, load, load_records,
};
use crate::snapshot::primitives::Reader;
use crate::snapshot::record::{Attributes, Records, Version};
use crate::snapshot::value::Loaded;

/// Entries on their way from one of the threads.
const BATCH: usize = 2048;

/// Receives what a file holds, keys as entries.
pub trait EntrySink: LoadSink {
    /// Keys of database `db`.
    fn entries(&mut self, db: u32, entries: &mut Vec<Prepared>) -> Result<(), Duplicate>;
    /// Makes an entry of a key; `None` leaves it out. Called from several threads.
    fn preparer(&self) -> Box<Preparer>;
    /// So many keys were left out.
    fn left_out(&mut self, keys: u64);
}

/// Makes an entry of key, value and attributes; `None` leaves it out.
pub type Preparer =
    dyn Fn(&[u8], Loaded<'_>, Attributes) -> Result<Option<Prepared>, Refusal> + Send + Sync;

/// A key that is there already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Duplicate(pub Vec<u8>);

/// What a thread says.
enum News {
    Entries(u32, Vec<Prepared>),
    /// A group is done: its number, its checksum, keys, keys left out and empty ones.
    Done {
        group: usize,
        sum: u64,
        keys: u64,
        left_out: u64,
        empty: u64,
    },
    Failed(LoadError),
}

/// Loads what has a table with up to `threads` threads beside the caller's; other files without.
pub fn load_entries(
    bytes: &[u8],
    options: &LoadOptions,
    threads: usize,
    sink: &mut dyn EntrySink,
) -> Result<LoadReport, LoadError> {
    let container = match is_container(bytes) {
        _ if threads == 0 => None,
        true => Some(Container::open(bytes, options.verify)),
        false => Container::open_lines(bytes, options.verify),
    };
    let Some(container) = container.transpose()? else {
        return load(bytes, options, sink);
    };
    let Some((head, groups)) = container.groups.split_first() else {
        return Err(LoadError::NotRdb);
    };
    let records = container.unpack(head)?;
    let mut report = container.head(&records, options, sink)?;
    let groups: Vec<Group> =
        groups.iter().filter(|group| group.kind != Kind::End).copied().collect();
    let mut sums = vec![0; groups.len()];
    let crew = Crew {
        container: &container,
        groups: &groups,
        options,
        version: report.version,
        next: AtomicUsize::new(0),
        stop: AtomicBool::new(false),
        preparer: sink.preparer(),
        spare: Mutex::new(Vec::new()),
    };
    let (sender, news) = sync_channel(threads * 4);
    std::thread::scope(|scope| {
        for _ in 0..threads.min(groups.len()) {
            let (crew, sender) = (&crew, sender.clone());
            scope.spawn(move || crew.work(&sender));
        }
        drop(sender);
        let outcome = crew.receive(&news, sink, &mut report, &mut sums);
        // Whoever waits to hand something over sees that nobody takes it.
        crew.stop.store(true, Ordering::Relaxed);
        drop(news);
        outcome
    })?;
    if options.verify {
        let head_sum = std::iter::once(crc64::checksum(&records));
        container.check_sums(head_sum.chain(sums))?;
    }
    Ok(report)
}

struct Crew<'a> {
    container: &'a Container<'a>,
    groups: &'a [Group],
    options: &'a LoadOptions,
    version: Version,
    next: AtomicUsize,
    stop: AtomicBool,
    preparer: Box<Preparer>,
    /// Empty vectors, to be filled again.
    spare: Mutex<Vec<Vec<Prepared>>>,
}

impl Crew<'_> {
    fn receive(
        &self,
        news: &Receiver<News>,
        sink: &mut dyn EntrySink,
        report: &mut LoadReport,
        sums: &mut [u64],
    ) -> Result<(), LoadError> {
        let mut done = 0;
        let mut progress = 0;
        for message in news {
            match message {
                News::Entries(db, mut entries) => {
                    let taken = sink.entries(db, &mut entries);
                    taken.map_err(|Duplicate(key)| duplicate(db, key))?;
                    entries.clear();
                    if let Ok(mut spare) = self.spare.lock() {
                        spare.push(entries);
                    }
                }
                News::Done { group, sum, keys, left_out, empty } => {
                    if let (Some(place), Some(group)) =
                        (sums.get_mut(group), self.groups.get(group))
                    {
                        *place = sum;
                        progress += group.stored;
                    }
                    report.keys += keys;
                    report.empty_dropped += empty;
                    sink.left_out(left_out);
                    sink.progress(progress);
                    done += 1;
                }
                News::Failed(error) => return Err(error),
            }
        }
        // A thread that ended without a word has panicked; the scope says so.
        if done == self.groups.len() { Ok(()) } else { Err(LoadError::NotRdb) }
    }

    fn work(&self, news: &SyncSender<News>) {
        while !self.stop.load(Ordering::Relaxed) {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(group) = self.groups.get(number) else { return };
            let message = match self.group(number, group, news) {
                Ok(done) => done,
                Err(error) => News::Failed(error),
            };
            if news.send(message).is_err() {
                return;
            }
        }
    }

    fn group(
        &self,
        number: usize,
        group: &Group,
        news: &SyncSender<News>,
    ) -> Result<News, LoadError> {
        let records = self.container.unpack(group)?;
        let sum = if self.options.verify { crc64::checksum(&records) } else { 0 };
        let reader = Reader::at(&records, group.rdb_offset);
        let mut walk = Records::of_section(reader, self.version, self.options.databases);
        let nothing = Verified { end: 0, checksum: Checksum::Ignored, crc32: None };
        let mut report = LoadReport::new(self.version, nothing);
        let mut batches = Batches { crew: self, news, db: 0, batch: self.empty(), left_out: 0 };
        load_records(&mut walk, self.options, &mut batches, &mut report)?;
        batches.send();
        let left_out = batches.left_out;
        self.container.check_keys(group, report.keys + report.empty_dropped)?;
        let empty = report.empty_dropped;
        Ok(News::Done { group: number, sum, keys: report.keys, left_out, empty })
    }

    fn empty(&self) -> Vec<Prepared> {
        let spare = self.spare.lock().ok().and_then(|mut spare| spare.pop());
        spare.unwrap_or_else(|| Vec::with_capacity(BATCH))
    }
}

fn duplicate(db: u32, key: Vec<u8>) -> LoadError {
    let corruption = Corruption::new(0, CorruptionKind::Duplicate("key"));
    LoadError::Damaged { corruption, place: Place { db, key: Some(key), type_byte: None } }
}

/// Collects the entries of one group and sends them in batches.
struct Batches<'c> {
    crew: &'c Crew<'c>,
    news: &'c SyncSender<News>,
    db: u32,
    batch: Vec<Prepared>,
    left_out: u64,
}

impl Batches<'_> {
    fn send(&mut self) {
        if !self.batch.is_empty() {
            let batch = std::mem::replace(&mut self.batch, self.crew.empty());
            // Nobody takes it when the load has ended.
            let _ = self.news.send(News::Entries(self.db, batch));
        }
    }
}

impl LoadSink for Batches<'_> {
    fn select_db(&mut self, db: u32) {
        self.send();
        self.db = db;
    }

    fn key(
        &mut self,
        key: &[u8],
        value: Loaded<'_>,
        attributes: Attributes,
    ) -> Result<(), Refusal> {
        match (self.crew.preparer)(key, value, attributes)? {
            Some(prepared) => self.batch.push(prepared),
            None => self.left_out += 1,
        }
        if self.batch.len() >= BATCH {
            self.send();
        }
        Ok(())
    }

    fn function(&mut self, _: &[u8]) -> Result<(), Refusal> {
        Err(Refusal::Other("a function library among the keys".to_owned()))
    }
}

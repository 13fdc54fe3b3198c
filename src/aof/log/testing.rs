//! A small engine and a small recovery around the log, for its tests.
//!
//! The data set is a list of numbered units; a base holds how many of them it covers. So what a crash
//! left is one number, and right when it is between what was promised and what was appended.

use std::sync::Arc;

use super::super::chain::{LogEnd, ReadError, SegmentFile, read_log};
use super::super::filename::{BaseFormat, FileNames};
use super::super::manifest::Manifest;
use super::super::record::Position;
use super::{CutPoint, GoodEnd, Log, LogError, LogState, Recovered, settle};
use crate::clock::SimClock;
use crate::disk::durable::read_small;
use crate::disk::sim::SimDisk;
use crate::disk::{Disk, OpenMode};
use crate::resp::unit::UnitBuffer;
use crate::rng::SeededRng;

pub(super) fn names() -> FileNames {
    FileNames::new("appendonlydir", "appendonly.aof")
}

/// Starts a log behind what was recovered.
pub(super) fn start(disk: &SimDisk, recovered: Recovered, seed: u64) -> Result<Log, LogError> {
    Log::start(
        Arc::new(disk.clone()),
        Arc::new(SimClock::at(1_700_000_000_000)),
        Box::new(SeededRng::new(seed)),
        names(),
        recovered,
    )
}

/// The log and what was promised about it.
pub(super) struct World {
    pub(super) disk: SimDisk,
    pub(super) log: Log,
    /// The position behind each unit.
    pub(super) ends: Vec<Position>,
    /// How many units were seen to be synced.
    pub(super) promised: usize,
    unit: UnitBuffer,
}

impl World {
    /// A world in which `count` units were recovered.
    pub(super) fn new(disk: &SimDisk, log: Log, count: usize) -> Self {
        let ends = vec![log.appended(); count];
        Self { disk: disk.clone(), log, ends, promised: count, unit: UnitBuffer::new() }
    }

    pub(super) fn fresh(disk: &SimDisk) -> Result<Self, LogError> {
        Ok(Self::new(disk, start(disk, Recovered::default(), 1)?, 0))
    }

    /// The same with filler ahead of the frames.
    pub(super) fn filling(disk: &SimDisk, ahead: usize) -> Result<Self, LogError> {
        let world = Self::fresh(disk)?;
        world.log.fill_ahead(ahead);
        Ok(world)
    }

    /// Appends the next unit. Some are transactions, some longer than a sector, some in another database.
    pub(super) fn append(&mut self) {
        let number = self.ends.len();
        let text = number.to_string();
        let value = "x".repeat(if number % 5 == 3 { 700 } else { number % 7 });
        let db = u32::from(number % 4 == 2);
        self.unit.clear();
        self.unit.push(db, &["UNIT", &text, &value]);
        if number % 3 == 2 {
            self.unit.push(db + 1, &["MORE", &text]);
        }
        let before = self.log.appended();
        let end = self.log.append(&self.unit);
        assert!(end > before && self.log.appended() == end);
        self.ends.push(end);
    }

    pub(super) fn append_many(&mut self, count: usize) {
        for _ in 0..count {
            self.append();
        }
    }

    /// Notes what the log promises now.
    pub(super) fn look(&mut self) {
        let synced = self.log.synced();
        assert!(self.log.appended() >= self.log.written() && self.log.written() >= synced);
        let promised = self.ends.iter().take_while(|end| **end <= synced).count();
        assert!(promised >= self.promised, "synced never goes back");
        self.promised = promised;
    }

    pub(super) fn write(&mut self) -> Result<(), LogError> {
        let result = self.log.write();
        self.look();
        result
    }

    pub(super) fn sync(&mut self) -> Result<(), LogError> {
        let result = self.log.sync();
        self.look();
        result
    }

    pub(super) fn commit(&mut self) -> Result<(), LogError> {
        self.write()?;
        self.sync()
    }

    /// Writes a base of the first `count` units and installs it.
    pub(super) fn install(&mut self, cut: CutPoint, count: usize) -> Result<(), LogError> {
        let base = self.log.new_base(cut, BaseFormat::Rdb);
        let written = || {
            let file = self.disk.open(&base.temp_path, OpenMode::CreateOrTruncate)?;
            file.write_all_at(0, format!("units {count}\n").as_bytes())?;
            file.sync_all()
        };
        written().map_err(|error| LogError::Disk(Arc::new(error)))?;
        let result = self.log.install_base(&base).map(|_| ());
        self.look();
        result
    }

    /// A whole rewrite: rotation, cut, base.
    pub(super) fn rewrite(&mut self) -> Result<(), LogError> {
        self.log.prepare_rotation()?;
        let cut = self.log.cut()?;
        let count = self.ends.len();
        self.install(cut, count)
    }

    /// Tries to get out of a failure, as an engine would.
    pub(super) fn heal(&mut self) {
        for _ in 0..4 {
            if self.log.state() == LogState::Failed {
                let _ = self.rewrite();
            }
        }
    }
}

/// What a start finds: how many units, and what the log goes on from.
pub(super) struct Found {
    pub(super) count: usize,
    pub(super) recovered: Recovered,
    /// What `settle` has to be called with.
    settle: Option<(String, GoodEnd)>,
}

impl Found {
    /// Goes on where the crash left off.
    pub(super) fn restart(self, disk: &SimDisk, seed: u64) -> Result<World, LogError> {
        if let Some((path, end)) = &self.settle {
            let settled = settle(disk, path, end);
            settled.map_err(|error| LogError::Disk(Arc::new(error)))?;
        }
        Ok(World::new(disk, start(disk, self.recovered, seed)?, self.count))
    }
}

/// Reads the data set, as recovery would; an error is one that needs a person.
pub(super) fn recover(disk: &SimDisk) -> Result<Found, String> {
    let names = names();
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let manifest =
        read_small(disk, &names.path(&names.manifest()), 1 << 20).map_err(|e| text(&e))?;
    let Some(manifest) = manifest else {
        return Ok(Found { count: 0, recovered: Recovered::default(), settle: None });
    };
    let parsed = Manifest::parse(&manifest).map_err(|error| text(&error))?;
    assert!(parsed.checked);
    let manifest = parsed.manifest;
    let (mut count, mut base) = (0, Position::ZERO);
    if let Some(entry) = &manifest.base {
        let bytes = disk.bytes(&names.path(&entry.name)).ok_or("the base is missing")?;
        let bytes = String::from_utf8(bytes).map_err(|error| text(&error))?;
        let number = bytes.strip_prefix("units ").and_then(|rest| rest.strip_suffix('\n'));
        count = number.and_then(|n| n.parse().ok()).ok_or(format!("base is torn: {bytes:?}"))?;
        base = entry.position().ok_or("no position")?;
    }
    let mut contents = Vec::new();
    for entry in &manifest.incrs {
        contents.push(
            disk.bytes(&names.path(&entry.name)).ok_or(format!("{} is missing", entry.name))?,
        );
    }
    let segments: Vec<SegmentFile<'_>> = manifest
        .incrs
        .iter()
        .zip(&contents)
        .map(|(entry, bytes)| SegmentFile {
            name: &entry.name,
            bytes,
            salt: Some(entry.salt().unwrap()),
            end: entry.end(),
            records_at: 0,
        })
        .collect();
    let end = read_log(Some(base), &segments, |unit| {
        assert!(unit.checked);
        let mut named = 0;
        for command in unit.commands().filter(|command| !command[0].eq_ignore_ascii_case(b"SELECT"))
        {
            let number: usize = String::from_utf8_lossy(command[1]).parse().unwrap();
            assert_eq!(number, count, "a unit is missing or there twice");
            named += 1;
        }
        assert_eq!(named, if named > 0 && count % 3 == 2 { 2 } else { named.min(1) });
        count += usize::from(named > 0);
        Ok::<(), ()>(())
    });
    let end = end.map_err(|error| match error {
        ReadError::Corrupt(error) => error.to_string(),
        ReadError::Visitor(()) => unreachable!(),
    })?;
    let contents = segments.iter().map(|segment| segment.bytes).collect::<Vec<_>>();
    Ok(found(count, manifest.clone(), end, &contents))
}

fn found(count: usize, manifest: Manifest, end: LogEnd, contents: &[&[u8]]) -> Found {
    let names = names();
    let last = end.content_end.checked_sub(1);
    let settle = last.map(|index| {
        let file = end.files[index];
        let good = GoodEnd::of(contents[index], file.synced_offset, file.offset);
        (names.path(&manifest.incrs[index].name), good)
    });
    let recovered = Recovered {
        manifest,
        incrs_kept: end.content_end,
        position: end.position,
        reached: end.reached,
        link: end.link,
        ..Recovered::default()
    };
    Found { count, recovered, settle }
}

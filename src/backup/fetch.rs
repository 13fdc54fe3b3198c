//! Files out of a repository: parts in parallel, each checked, the whole compared with its hash.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::BackupError;
use super::create::Progress;
use super::manifest::{BackedFile, Part};
use super::object::Sha;
use super::repository::Repository;

/// Takes the content of a part, which belongs at an offset of its file.
pub type Take<'a> = dyn Fn(u64, Vec<u8>) -> Result<(), BackupError> + Sync + 'a;
/// Whether a part is where it belongs already.
pub type IsThere<'a> = dyn Fn(u64, &Part) -> Result<bool, BackupError> + Sync + 'a;

/// Fetches files; counts what it did.
pub struct Fetcher<'a> {
    /// Where from.
    pub repository: &'a Repository,
    /// Threads that fetch and unpack.
    pub threads: usize,
    /// Bytes of content that are to be fetched in all, for the progress.
    pub total: u64,
    /// Bytes of content fetched, and of what was there already.
    pub done: AtomicU64,
    /// Bytes of what was there already.
    pub kept: AtomicU64,
    /// Told after every part.
    pub progress: &'a Progress<'a>,
}

impl<'a> Fetcher<'a> {
    /// A fetcher of `total` bytes.
    pub fn new(
        repository: &'a Repository,
        threads: usize,
        total: u64,
        progress: &'a Progress<'a>,
    ) -> Self {
        Self {
            repository,
            threads,
            total,
            done: AtomicU64::new(0),
            kept: AtomicU64::new(0),
            progress,
        }
    }

    /// Hands every part of a file to `take` with its offset, in any order, from several threads.
    pub fn each_part(&self, file: &BackedFile, take: &Take<'_>) -> Result<(), BackupError> {
        self.each_missing_part(file, &|_, _| Ok(false), take)
    }

    /// The same for those that are not there yet, of which `is_there` decides.
    pub fn each_missing_part(
        &self,
        file: &BackedFile,
        is_there: &IsThere<'_>,
        take: &Take<'_>,
    ) -> Result<(), BackupError> {
        let mut offset = 0;
        let mut places = Vec::with_capacity(file.parts.len());
        for part in &file.parts {
            places.push((offset, part));
            offset += part.size;
        }
        let next = AtomicUsize::new(0);
        let failed: Mutex<Option<BackupError>> = Mutex::default();
        let work = || {
            loop {
                let Some((offset, part)) = places.get(next.fetch_add(1, Ordering::Relaxed)) else {
                    return;
                };
                if failed.lock().is_some() {
                    return;
                }
                let handled = is_there(*offset, part).and_then(|there| {
                    if there {
                        self.kept.fetch_add(part.size, Ordering::Relaxed);
                        return Ok(());
                    }
                    self.repository.part(part).and_then(|content| take(*offset, content))
                });
                match handled {
                    Ok(()) => {
                        let done = self.done.fetch_add(part.size, Ordering::Relaxed) + part.size;
                        (self.progress)(done, self.total);
                    }
                    Err(error) => drop(failed.lock().get_or_insert(error)),
                }
            }
        };
        let threads = self.threads.clamp(1, 64).min(places.len().max(1));
        if threads == 1 {
            work();
        } else {
            std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
        }
        failed.into_inner().map_or(Ok(()), Err)
    }

    /// A whole file, in memory.
    pub fn content(&self, file: &BackedFile) -> Result<Vec<u8>, BackupError> {
        let pieces: Mutex<Vec<(u64, Vec<u8>)>> = Mutex::default();
        self.each_part(file, &|offset, content| {
            pieces.lock().push((offset, content));
            Ok(())
        })?;
        let mut pieces = pieces.into_inner();
        pieces.sort_unstable_by_key(|(offset, _)| *offset);
        let whole: Vec<u8> = pieces.into_iter().flat_map(|(_, content)| content).collect();
        match file.sha.is_none_or(|sha| Sha::of(&whole) == sha) {
            true => Ok(whole),
            false => Err(BackupError::damaged(&file.name, "its parts are not the file")),
        }
    }
}

impl std::fmt::Debug for Fetcher<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fetcher").field("total", &self.total).finish_non_exhaustive()
    }
}

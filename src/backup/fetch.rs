//! Files out of a repository: parts in parallel, each checked, the whole compared with its hash.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::BackupError;
use super::create::Progress;
use super::manifest::BackedFile;
use super::object::Sha;
use super::repository::Repository;

/// Fetches files; counts what it did.
pub struct Fetcher<'a> {
    /// Where from.
    pub repository: &'a Repository,
    /// Threads that fetch and unpack.
    pub threads: usize,
    /// Bytes of content that are to be fetched in all, for the progress.
    pub total: u64,
    /// Bytes of content fetched.
    pub done: AtomicU64,
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
        Self { repository, threads, total, done: AtomicU64::new(0), progress }
    }

    /// Hands every part of a file to `take` with its offset, in any order, from several threads.
    pub fn each_part(
        &self,
        file: &BackedFile,
        take: &(dyn Fn(u64, Vec<u8>) -> Result<(), BackupError> + Sync),
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
                let content = self.repository.part(part);
                match content.and_then(|content| take(*offset, content)) {
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

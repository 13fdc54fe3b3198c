//! The medium below the mounted file system: what it holds, whether it has power, and how long a sync takes.
//!
//! It is the disk of the simulation (`disk::sim`), so that what a cut may leave is decided in one place. An operation
//! that meets a frozen medium waits; when the power is off it fails. So between the instant of the cut and
//! the death of the server nothing more gets through, and nothing is answered that a real cut would not have let out.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::Duration;

use fuser::{Errno, INodeNo};
use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::clock::Clock;
use crate::disk::sim::CrashMode;
use crate::disk::sim::crash::after_power_loss;
use crate::disk::sim::world::{Entry, NodeId, World};
use crate::rng::Rng;

/// Whether operations get through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Power {
    On,
    /// The instant of the cut is over; whoever comes waits until everybody is dead.
    Frozen,
    Off,
}

/// What a number that the kernel knows stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Object {
    File(NodeId),
    Dir(String),
}

/// What is behind the lock.
#[derive(Debug)]
pub(super) struct State {
    pub(super) world: World,
    power: Power,
    /// Paths of directories by number, and back; a number outlives its directory.
    dirs: Vec<String>,
    numbers: BTreeMap<String, u64>,
}

impl State {
    fn new(mut world: World) -> Self {
        world.untold = true;
        let dirs = vec![String::new()];
        Self { world, power: Power::On, dirs, numbers: BTreeMap::from([(String::new(), 0)]) }
    }

    /// The number of a path's entry: odd for directories, the root being 1; even for files.
    pub(super) fn number(&mut self, path: &str) -> Option<INodeNo> {
        if !path.is_empty() {
            match self.world.names.get(path)? {
                Entry::File(id) => return Some(file_number(*id)),
                Entry::Dir => {}
            }
        }
        let next = self.dirs.len() as u64;
        let number = *self.numbers.entry(path.to_owned()).or_insert(next);
        if number == next {
            self.dirs.push(path.to_owned());
        }
        Some(INodeNo(number * 2 + 1))
    }

    pub(super) fn object(&self, number: INodeNo) -> Result<Object, Errno> {
        let index = usize::try_from(number.0 / 2).map_err(|_| Errno::ENOENT)?;
        if number.0.is_multiple_of(2) {
            return Ok(Object::File(index.checked_sub(1).ok_or(Errno::ENOENT)?));
        }
        self.dirs.get(index).cloned().map(Object::Dir).ok_or(Errno::ENOENT)
    }

    pub(super) fn dir(&self, number: INodeNo) -> Result<&str, Errno> {
        let index = usize::try_from(number.0 / 2).map_err(|_| Errno::ENOENT)?;
        match number.0.is_multiple_of(2) {
            true => Err(Errno::ENOTDIR),
            false => self.dirs.get(index).map(String::as_str).ok_or(Errno::ENOENT),
        }
    }

    pub(super) fn file(&self, number: INodeNo) -> Result<NodeId, Errno> {
        match self.object(number)? {
            Object::File(id) => Ok(id),
            Object::Dir(_) => Err(Errno::EISDIR),
        }
    }

    /// Directories that moved keep their numbers.
    pub(super) fn dirs_moved(&mut self, from: &str, to: &str) {
        let inside = format!("{from}/");
        for path in &mut self.dirs {
            if path == from || path.starts_with(&inside) {
                *path = format!("{to}{}", path.get(from.len()..).unwrap_or_default());
            }
        }
        let numbered = self.dirs.iter().zip(0..).map(|(path, number)| (path.clone(), number));
        self.numbers = numbered.collect();
    }
}

pub(super) fn file_number(id: NodeId) -> INodeNo {
    INodeNo(id as u64 * 2 + 2)
}

/// The medium, shared by the file system and whoever cuts its power.
pub(super) struct Medium {
    state: Mutex<State>,
    changed: Condvar,
    clock: Arc<dyn Clock>,
    sync_takes: Duration,
    /// A sync of a file says nothing of its name, as POSIX has it; otherwise as Linux' file systems do it.
    strict_names: bool,
}

impl fmt::Debug for Medium {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Medium").finish_non_exhaustive()
    }
}

impl Medium {
    pub(super) fn new(clock: Arc<dyn Clock>, sync_takes: Duration, strict_names: bool) -> Self {
        let state = Mutex::new(State::new(World::default()));
        Self { state, changed: Condvar::new(), clock, sync_takes, strict_names }
    }

    /// The state, while there is power.
    pub(super) fn running(&self) -> Result<MutexGuard<'_, State>, Errno> {
        let mut state = self.state.lock();
        while state.power == Power::Frozen {
            self.changed.wait(&mut state);
        }
        match state.power {
            Power::On => Ok(state),
            Power::Frozen | Power::Off => Err(Errno::EIO),
        }
    }

    /// A sync: what was written before it began is durable if there is power when it ends.
    pub(super) fn sync(&self, number: INodeNo) -> Result<(), Errno> {
        let until = self.running()?.world.sequence;
        self.clock.sleep(self.sync_takes);
        let mut state = self.running()?;
        match state.object(number)? {
            Object::File(id) => {
                state.world.sync_until(id, until).map_err(errno)?;
                if !self.strict_names {
                    state.world.sync_names_of(id, until);
                }
            }
            Object::Dir(dir) if self.strict_names => state.world.sync_dir(&dir).map_err(errno)?,
            Object::Dir(dir) => state.world.sync_names_in(&dir, until),
        }
        Ok(())
    }

    /// The instant of the cut.
    pub(super) fn freeze(&self) {
        self.state.lock().power = Power::Frozen;
    }

    /// Whoever waited, or comes now, fails.
    pub(super) fn power_off(&self) {
        self.state.lock().power = Power::Off;
        self.changed.notify_all();
    }

    /// What a cut at the frozen instant left is what there is, and the power is on again.
    pub(super) fn lose(&self, mode: CrashMode, rng: &mut dyn Rng) {
        let mut state = self.state.lock();
        let mut left = after_power_loss(&state.world, mode, rng);
        left.drop_nameless();
        *state = State::new(left);
    }

    /// An empty medium with power.
    pub(super) fn wipe(&self) {
        *self.state.lock() = State::new(World::default());
    }
}

/// The number of an error of the simulated disk.
pub(super) fn errno(error: io::Error) -> Errno {
    match error.kind() {
        ErrorKind::NotFound => Errno::ENOENT,
        ErrorKind::AlreadyExists => Errno::EEXIST,
        ErrorKind::NotADirectory => Errno::ENOTDIR,
        ErrorKind::IsADirectory => Errno::EISDIR,
        ErrorKind::DirectoryNotEmpty => Errno::ENOTEMPTY,
        ErrorKind::FileTooLarge => Errno::EFBIG,
        ErrorKind::StorageFull => Errno::ENOSPC,
        _ => Errno::EIO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;
    use crate::disk::OpenMode;
    use crate::rng::SeededRng;

    fn medium(strict: bool) -> Medium {
        Medium::new(Arc::new(SystemClock::new()), Duration::ZERO, strict)
    }

    /// Creates `d/f` with two bytes, of which one is synced; returns what is left of it.
    fn left_of_a_file(strict: bool) -> Option<Vec<u8>> {
        let medium = medium(strict);
        let number = {
            let mut state = medium.running().unwrap();
            state.world.create_dir("d").unwrap();
            let id = state.world.open("d/f", OpenMode::CreateOrOpen).unwrap();
            state.world.write(id, "d/f", 0, b"a").unwrap();
            file_number(id)
        };
        medium.sync(number).unwrap();
        let mut state = medium.running().unwrap();
        let id = state.file(number).unwrap();
        state.world.write(id, "d/f", 1, b"b").unwrap();
        drop(state);
        medium.freeze();
        medium.power_off();
        assert!(medium.sync(number).is_err());
        medium.lose(CrashMode::NothingUnsynced, &mut SeededRng::new(1));
        let state = medium.running().unwrap();
        let id = state.world.file("d/f")?;
        state.world.node(id).map(|node| node.live.clone())
    }

    #[test]
    fn a_cut_leaves_what_was_synced_and_names_as_they_are_meant_to_last() {
        assert_eq!(left_of_a_file(false), Some(b"a".to_vec()));
        assert_eq!(left_of_a_file(true), None);
    }

    #[test]
    fn directories_keep_their_numbers_when_they_move() {
        let medium = medium(false);
        let mut state = medium.running().unwrap();
        state.world.create_dir("a").unwrap();
        state.world.create_dir("a/b").unwrap();
        let (a, b) = (state.number("a").unwrap(), state.number("a/b").unwrap());
        state.world.move_entry("a", "c").unwrap();
        state.dirs_moved("a", "c");
        assert_eq!((state.dir(a).unwrap(), state.dir(b).unwrap()), ("c", "c/b"));
        assert_eq!((state.number("c"), state.number("c/b")), (Some(a), Some(b)));
    }
}

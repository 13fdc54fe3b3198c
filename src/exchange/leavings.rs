//! What this process has of temporary files and directories, so that one that a signal ends takes them along.
//!
//! There is one list for the whole process, as there is one end of it. Whoever makes, renames or removes what is on it
//! does so under its lock, and [`end`] never lets go of that: nothing comes to be behind its back, and what was renamed
//! before is whole and stays.

use parking_lot::Mutex;

use crate::disk::{Disk, DiskError, DiskFile, OpenMode, SharedDisk, durable};

static LEFT: Mutex<Vec<Leaving>> = Mutex::new(Vec::new());

struct Leaving {
    disk: SharedDisk,
    path: String,
}

fn note(left: &mut Vec<Leaving>, disk: &SharedDisk, path: &str) {
    left.push(Leaving { disk: SharedDisk::clone(disk), path: path.to_owned() });
}

/// Opens a temporary file that is to be made.
pub fn file(disk: &SharedDisk, path: &str, mode: OpenMode) -> Result<Box<dyn DiskFile>, DiskError> {
    let mut left = LEFT.lock();
    let file = disk.open(path, mode)?;
    note(&mut left, disk, path);
    Ok(file)
}

/// Makes a temporary directory, without what a process that was killed left behind under that name.
pub fn directory(disk: &SharedDisk, path: &str) -> Result<(), DiskError> {
    let mut left = LEFT.lock();
    remove_whatever(disk.as_ref(), path);
    // Before it is durable: that may fail when it is there.
    note(&mut left, disk, path);
    durable::create_dir(disk.as_ref(), path)
}

/// Does something inside of what is temporary, which must not come to be when that is removed.
pub fn within<T>(work: impl FnOnce() -> T) -> T {
    let _left = LEFT.lock();
    work()
}

/// Gives what is temporary the name that it is to have from now on.
pub fn keep(disk: &dyn Disk, temp: &str, path: &str) -> Result<(), DiskError> {
    let mut left = LEFT.lock();
    disk.rename(temp, path)?;
    left.retain(|leaving| leaving.path != temp);
    Ok(())
}

/// Removes it, as far as that goes: nothing but room is lost when it stays.
pub fn remove(disk: &dyn Disk, path: &str) {
    let mut left = LEFT.lock();
    remove_whatever(disk, path);
    left.retain(|leaving| leaving.path != path);
}

/// Removes everything and ends the process.
pub fn end(code: u8) -> ! {
    let left = LEFT.lock();
    for leaving in left.iter() {
        remove_whatever(leaving.disk.as_ref(), &leaving.path);
    }
    std::process::exit(code.into())
}

/// A file, a link (never what it leads to), or a directory with all that is in it.
fn remove_whatever(disk: &dyn Disk, path: &str) {
    // An empty path is the root of the disk.
    if path.is_empty() || disk.remove(path).is_ok() {
        return;
    }
    for name in disk.list(path).unwrap_or_default() {
        remove_whatever(disk, &durable::join(path, name.trim_end_matches('/')));
    }
    let _ = disk.remove_dir(path);
}

//! The medium as a file system that the kernel asks.
//!
//! Writes reach the medium within write(2), since nothing asks the kernel to hold them back; what is not synced is lost
//! by the medium, not by a cache above it. Owners and modes are not kept: a test has one user. There are no
//! symbolic links, devices or extended attributes.

use std::ffi::OsStr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{
    BsdFileFlags, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation,
    INodeNo, LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory,
    ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};

use super::medium::{Medium, Object, State, errno};
use crate::disk::OpenMode;

/// How long the kernel may believe what it was told: nobody else changes anything.
const BELIEVED: Duration = Duration::from_secs(60);
const BLOCK: u32 = 4096;
/// The room there is said to be.
const FREE_BLOCKS: u64 = 1 << 24;
const NAME_MAX: u32 = 255;
/// fallocate(2): the file keeps its length; the range becomes zeros.
const KEEP_SIZE: i32 = 0x01;
const PUNCH_HOLE: i32 = 0x02;
const ZERO_RANGE: i32 = 0x10;

/// What is mounted.
#[derive(Debug)]
pub(super) struct Files(pub(super) Arc<Medium>);

type Outcome<T> = Result<T, Errno>;

fn attributes(state: &State, number: INodeNo) -> Outcome<FileAttr> {
    let (kind, perm, size) = match state.object(number)? {
        Object::File(id) => (FileType::RegularFile, 0o666, state.world.len(id).map_err(errno)?),
        Object::Dir(_) => (FileType::Directory, 0o777, 0),
    };
    let time = UNIX_EPOCH;
    Ok(FileAttr {
        ino: number,
        size,
        blocks: size.div_ceil(512),
        atime: time,
        mtime: time,
        ctime: time,
        crtime: time,
        kind,
        perm,
        nlink: 1,
        uid: rustix::process::getuid().as_raw(),
        gid: rustix::process::getgid().as_raw(),
        rdev: 0,
        blksize: BLOCK,
        flags: 0,
    })
}

fn below(state: &State, parent: INodeNo, name: &OsStr) -> Outcome<String> {
    let name = name.to_str().ok_or(Errno::EINVAL)?;
    if name.len() > NAME_MAX as usize {
        return Err(Errno::ENAMETOOLONG);
    }
    let dir = state.dir(parent)?;
    Ok(if dir.is_empty() { name.to_owned() } else { format!("{dir}/{name}") })
}

impl Files {
    fn look_up(&self, parent: INodeNo, name: &OsStr) -> Outcome<FileAttr> {
        let mut state = self.0.running()?;
        let path = below(&state, parent, name)?;
        let number = state.number(&path).ok_or(Errno::ENOENT)?;
        attributes(&state, number)
    }

    fn make_file(&self, parent: INodeNo, name: &OsStr) -> Outcome<FileAttr> {
        let mut state = self.0.running()?;
        let path = below(&state, parent, name)?;
        let id = state.world.open(&path, OpenMode::CreateOrOpen).map_err(errno)?;
        attributes(&state, super::medium::file_number(id))
    }

    fn make_dir(&self, parent: INodeNo, name: &OsStr) -> Outcome<FileAttr> {
        let mut state = self.0.running()?;
        let path = below(&state, parent, name)?;
        if state.number(&path).is_some() {
            return Err(Errno::EEXIST);
        }
        state.world.create_dir(&path).map_err(errno)?;
        let number = state.number(&path).ok_or(Errno::EIO)?;
        attributes(&state, number)
    }

    fn second_name(&self, file: INodeNo, parent: INodeNo, name: &OsStr) -> Outcome<FileAttr> {
        let mut state = self.0.running()?;
        let (id, path) = (state.file(file)?, below(&state, parent, name)?);
        state.world.link(id, &path).map_err(errno)?;
        attributes(&state, file)
    }

    fn remove(&self, parent: INodeNo, name: &OsStr, is_dir: bool) -> Outcome<()> {
        let mut state = self.0.running()?;
        let path = below(&state, parent, name)?;
        match is_dir {
            true => state.world.remove_dir(&path).map_err(errno),
            false => state.world.remove(&path).map_err(errno),
        }
    }

    fn move_entry(
        &self,
        from: (INodeNo, &OsStr),
        to: (INodeNo, &OsStr),
        flags: RenameFlags,
    ) -> Outcome<()> {
        let mut state = self.0.running()?;
        let (from, to) = (below(&state, from.0, from.1)?, below(&state, to.0, to.1)?);
        let keep = RenameFlags::RENAME_NOREPLACE;
        if !(flags - keep).is_empty() {
            return Err(Errno::EINVAL);
        }
        if flags.contains(keep) && state.number(&to).is_some() {
            return Err(Errno::EEXIST);
        }
        state.world.move_entry(&from, &to).map_err(errno)?;
        state.dirs_moved(&from, &to);
        Ok(())
    }

    fn set_len(&self, file: INodeNo, len: u64) -> Outcome<()> {
        let mut state = self.0.running()?;
        let id = state.file(file)?;
        state.world.truncate(id, "", len).map_err(errno)
    }

    fn read_at(&self, file: INodeNo, offset: u64, size: u32) -> Outcome<Vec<u8>> {
        let mut state = self.0.running()?;
        let id = state.file(file)?;
        let mut buffer = vec![0; size as usize];
        let taken = state.world.read(id, offset, &mut buffer).map_err(errno)?;
        buffer.truncate(taken);
        Ok(buffer)
    }

    fn write_at(&self, file: INodeNo, offset: u64, bytes: &[u8]) -> Outcome<u32> {
        let mut state = self.0.running()?;
        let id = state.file(file)?;
        let taken = state.world.write(id, "", offset, bytes).map_err(errno)?;
        u32::try_from(taken).map_err(|_| Errno::EIO)
    }

    fn allocate(&self, file: INodeNo, offset: u64, length: u64, mode: i32) -> Outcome<()> {
        let mut state = self.0.running()?;
        let id = state.file(file)?;
        let len = state.world.len(id).map_err(errno)?;
        let end = offset.checked_add(length).ok_or(Errno::EFBIG)?;
        if mode & !(KEEP_SIZE | PUNCH_HOLE | ZERO_RANGE) != 0 {
            return Err(Errno::EOPNOTSUPP);
        }
        if mode & (PUNCH_HOLE | ZERO_RANGE) != 0 {
            let zeros = usize::try_from(end.min(len).saturating_sub(offset));
            let zeros = vec![0; zeros.map_err(|_| Errno::EFBIG)?];
            state.world.write(id, "", offset, &zeros).map_err(errno)?;
        }
        if mode & KEEP_SIZE == 0 && end > len {
            state.world.truncate(id, "", end).map_err(errno)?;
        }
        Ok(())
    }

    /// Name, number and kind of all entries.
    fn entries(&self, dir: INodeNo) -> Outcome<Vec<(String, INodeNo, FileType)>> {
        let mut state = self.0.running()?;
        let path = state.dir(dir)?.to_owned();
        let mut entries = vec![
            (".".to_owned(), dir, FileType::Directory),
            ("..".to_owned(), INodeNo(1), FileType::Directory),
        ];
        for name in state.world.list(&path).map_err(errno)? {
            let (name, kind) = match name.strip_suffix('/') {
                Some(dir) => (dir, FileType::Directory),
                None => (name.as_str(), FileType::RegularFile),
            };
            let full = if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") };
            let number = state.number(&full).ok_or(Errno::EIO)?;
            entries.push((name.to_owned(), number, kind));
        }
        Ok(entries)
    }
}

/// Answers with nothing, or an error.
fn answer(reply: ReplyEmpty, outcome: Outcome<()>) {
    match outcome {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(error),
    }
}

fn answer_entry(reply: ReplyEntry, outcome: Outcome<FileAttr>) {
    match outcome {
        Ok(attributes) => reply.entry(&BELIEVED, &attributes, Generation(0)),
        Err(error) => reply.error(error),
    }
}

impl Filesystem for Files {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        answer_entry(reply, self.look_up(parent, name));
    }

    fn getattr(&self, _: &Request, number: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.0.running().and_then(|state| attributes(&state, number)) {
            Ok(attributes) => reply.attr(&BELIEVED, &attributes),
            Err(error) => reply.error(error),
        }
    }

    fn setattr(
        &self,
        _: &Request,
        number: INodeNo,
        _: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let changed = size.map_or(Ok(()), |size| self.set_len(number, size));
        let seen = changed.and_then(|()| attributes(&*self.0.running()?, number));
        match seen {
            Ok(attributes) => reply.attr(&BELIEVED, &attributes),
            Err(error) => reply.error(error),
        }
    }

    fn mknod(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        _: u32,
        _: u32,
        _: u32,
        reply: ReplyEntry,
    ) {
        answer_entry(reply, self.make_file(parent, name));
    }

    fn mkdir(&self, _: &Request, parent: INodeNo, name: &OsStr, _: u32, _: u32, reply: ReplyEntry) {
        answer_entry(reply, self.make_dir(parent, name));
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        answer(reply, self.remove(parent, name, false));
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        answer(reply, self.remove(parent, name, true));
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        answer(reply, self.move_entry((parent, name), (new_parent, new_name), flags));
    }

    fn link(&self, _: &Request, file: INodeNo, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        answer_entry(reply, self.second_name(file, parent, name));
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), FopenFlags::empty());
    }

    fn read(
        &self,
        _: &Request,
        file: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.read_at(file, offset, size) {
            Ok(bytes) => reply.data(&bytes),
            Err(error) => reply.error(error),
        }
    }

    fn write(
        &self,
        _: &Request,
        file: INodeNo,
        _: FileHandle,
        offset: u64,
        bytes: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        match self.write_at(file, offset, bytes) {
            Ok(taken) => reply.written(taken),
            Err(error) => reply.error(error),
        }
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fsync(&self, _: &Request, file: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        answer(reply, self.0.sync(file));
    }

    fn fsyncdir(&self, _: &Request, dir: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        answer(reply, self.0.sync(dir));
    }

    fn readdir(
        &self,
        _: &Request,
        dir: INodeNo,
        _: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let entries = match self.entries(dir) {
            Ok(entries) => entries,
            Err(error) => return reply.error(error),
        };
        for ((name, number, kind), next) in entries.into_iter().zip(1u64..) {
            if next > offset && reply.add(number, next, kind, &name) {
                break;
            }
        }
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        let (all, free) = (FREE_BLOCKS * 2, FREE_BLOCKS);
        reply.statfs(all, free, free, 1 << 20, 1 << 20, BLOCK, NAME_MAX, BLOCK);
    }

    fn create(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        _: u32,
        _: u32,
        _: i32,
        reply: ReplyCreate,
    ) {
        match self.make_file(parent, name) {
            Ok(attributes) => {
                let (handle, none) = (FileHandle(0), FopenFlags::empty());
                reply.created(&BELIEVED, &attributes, Generation(0), handle, none);
            }
            Err(error) => reply.error(error),
        }
    }

    fn fallocate(
        &self,
        _: &Request,
        file: INodeNo,
        _: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        answer(reply, self.allocate(file, offset, length, mode));
    }
}

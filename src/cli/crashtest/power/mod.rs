//! A directory that loses power: what was not synced is lost, in one of the ways that a drive may lose it.
//!
//! `medium` is the simulated drive, `files` the file system (FUSE) that is mounted over it, `volume` another file system on a
//! file of it. Mounts are in a namespace of this process where that is allowed, so that nothing is left mounted
//! whatever happens to it.

mod files;
mod medium;
mod volume;

use std::sync::Arc;
use std::time::Duration;

use fuser::{BackgroundSession, MountOption, SessionACL};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};

use crate::clock::Clock;
use crate::disk::sim::CrashMode;
use crate::rng::Rng;
use files::Files;
use medium::Medium;
use volume::Volume;

/// Enough for a server that syncs, writes and reads at the same time.
const THREADS: usize = 8;

/// How the drive is to be.
#[derive(Clone, Debug)]
pub(super) struct Drive {
    /// How long a sync takes.
    pub(super) sync_takes: Duration,
    /// Names last only when their directory was synced.
    pub(super) strict_names: bool,
    /// A file system on a file of ours, rather than ours.
    pub(super) filesystem: Option<String>,
}

/// The directory.
#[derive(Debug)]
pub(super) struct PowerDisk {
    medium: Arc<Medium>,
    at: String,
    session: Option<BackgroundSession>,
    volume: Option<Volume>,
}

impl PowerDisk {
    /// Mounts an empty one on `data` (or a file system on it there, with itself on `drive`), which are empty directories.
    pub(super) fn new(
        data: String,
        drive: String,
        how: &Drive,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, String> {
        // Not allowed to everybody; then the mount may still be, by way of fusermount.
        if unshare(CloneFlags::CLONE_NEWNS).is_ok() {
            let none: Option<&str> = None;
            mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
                .map_err(|error| format!("cannot make mounts private: {error}"))?;
        }
        let medium = Arc::new(Medium::new(Arc::clone(clock), how.sync_takes, how.strict_names));
        let (at, volume) = match &how.filesystem {
            None => (data, None),
            Some(kind) => {
                let image = format!("{drive}/image");
                (drive, Some(Volume::new(kind.clone(), image, data)))
            }
        };
        let mut disk = Self { medium, at, session: None, volume };
        disk.mount()?;
        disk.format()?;
        Ok(disk)
    }

    /// The ways to lose what was not synced that this drive has.
    pub(super) fn modes(&self) -> &'static [CrashMode] {
        match self.volume {
            None => &[
                CrashMode::NothingUnsynced,
                CrashMode::OrderedPrefix,
                CrashMode::SectorSubset,
                CrashMode::TornSector,
                CrashMode::NamesWithoutContent,
                CrashMode::ContentWithoutNames,
            ],
            // File systems rely on a sector being written whole.
            Some(_) => {
                &[CrashMode::NothingUnsynced, CrashMode::OrderedPrefix, CrashMode::SectorSubset]
            }
        }
    }

    /// The instant of the cut: from here on nothing reaches the medium, and nobody is answered.
    pub(super) fn freeze(&self) {
        self.medium.freeze();
    }

    /// Lets those who wait for an answer have an error. The server must have been killed.
    pub(super) fn power_off(&self) {
        self.medium.power_off();
    }

    /// Loses what a cut in this way loses, and is there again. Nobody may use the directory.
    pub(super) fn lose(&mut self, mode: CrashMode, rng: &mut dyn Rng) -> Result<(), String> {
        self.unmount()?;
        self.medium.lose(mode, rng);
        self.mount()?;
        self.volume.as_mut().map_or(Ok(()), Volume::mount)
    }

    /// An empty directory again.
    pub(super) fn wipe(&mut self) -> Result<(), String> {
        self.medium.power_off();
        self.unmount()?;
        self.medium.wipe();
        self.mount()?;
        self.format()
    }

    fn format(&mut self) -> Result<(), String> {
        match &mut self.volume {
            Some(volume) => volume.format().and_then(|()| volume.mount()),
            None => Ok(()),
        }
    }

    fn mount(&mut self) -> Result<(), String> {
        let mut options = fuser::Config::default();
        let name = MountOption::FSName("fastness-crashtest".to_owned());
        options.mount_options = vec![name, MountOption::NoDev, MountOption::NoSuid];
        if rustix::process::geteuid().is_root() {
            options.acl = SessionACL::All;
        }
        options.n_threads = Some(THREADS);
        let files = Files(Arc::clone(&self.medium));
        let session = fuser::spawn_mount(files, &self.at, &options).map_err(|error| {
            format!(
                "cannot mount a file system of its own (FUSE) on {}: {error}. --power needs /dev/fuse, and root or \
                 fusermount3; without them use --kill",
                self.at
            )
        })?;
        self.session = Some(session);
        Ok(())
    }

    fn unmount(&mut self) -> Result<(), String> {
        if let Some(volume) = &mut self.volume {
            volume.unmount();
        }
        let Some(session) = self.session.take() else { return Ok(()) };
        // Whatever the server left behind may hold it for another moment.
        let unmounted = match umount2(self.at.as_str(), MntFlags::MNT_DETACH) {
            Ok(()) => session.join(),
            Err(_) => session.umount_and_join(),
        };
        unmounted.map_err(|error| format!("cannot unmount {}: {error}", self.at))
    }
}

impl Drop for PowerDisk {
    fn drop(&mut self) {
        self.medium.power_off();
        // The namespace goes with the process.
        let _ = self.unmount();
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "the kernel's view of it is what is tested")]
mod tests {
    use std::fs::{self, OpenOptions};
    use std::io::Write as _;
    use std::os::unix::fs::FileExt as _;

    use super::*;
    use crate::clock::SystemClock;
    use crate::rng::SeededRng;

    /// A mounted drive in a temporary folder; `None` where there is no FUSE.
    fn mounted(strict_names: bool) -> Option<(PowerDisk, tempfile::TempDir)> {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().to_str().unwrap().to_owned();
        let drive = Drive { sync_takes: Duration::ZERO, strict_names, filesystem: None };
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        match PowerDisk::new(at.clone(), at, &drive, &clock) {
            Ok(disk) => Some((disk, folder)),
            Err(why) => {
                eprintln!("NOT RUN: {why}");
                None
            }
        }
    }

    #[test]
    fn it_is_a_file_system() {
        let Some((_disk, folder)) = mounted(true) else { return };
        let root = folder.path();
        fs::create_dir(root.join("d")).unwrap();
        fs::write(root.join("d/a"), "first").unwrap();
        let mut file = OpenOptions::new().append(true).open(root.join("d/a")).unwrap();
        file.write_all(b" second").unwrap();
        fs::rename(root.join("d/a"), root.join("d/b")).unwrap();
        file.write_all(b" third").unwrap();
        fs::hard_link(root.join("d/b"), root.join("c")).unwrap();
        assert_eq!(fs::read(root.join("c")).unwrap(), b"first second third");
        file.set_len(5).unwrap();
        assert_eq!(fs::metadata(root.join("d/b")).unwrap().len(), 5);
        file.write_at(b"!", 9).unwrap();
        file.sync_all().unwrap();
        fs::rename(root.join("d"), root.join("e")).unwrap();
        let names = |dir| {
            let entries = fs::read_dir(root.join(dir)).unwrap();
            let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
            names.sort();
            names
        };
        assert_eq!((names(""), names("e")), (vec!["c".into(), "e".into()], vec!["b".into()]));
        assert!(fs::remove_dir(root.join("e")).is_err());
        fs::remove_file(root.join("e/b")).unwrap();
        fs::remove_dir(root.join("e")).unwrap();
        assert!(fs::metadata(root.join("e")).is_err());
        assert!(fs::read(root.join("c")).unwrap().starts_with(b"first"));
        fs::write(root.join("c"), "").unwrap();
        assert_eq!(fs::metadata(root.join("c")).unwrap().len(), 0);
    }

    #[test]
    fn a_cut_takes_what_was_not_synced() {
        for strict in [false, true] {
            let Some((mut disk, folder)) = mounted(strict) else { return };
            let path = folder.path().join("file");
            let mut file = fs::File::create(&path).unwrap();
            file.write_all(b"kept").unwrap();
            file.sync_data().unwrap();
            if strict {
                fs::File::open(folder.path()).unwrap().sync_all().unwrap();
            }
            file.write_all(b" lost").unwrap();
            fs::write(folder.path().join("other"), "lost").unwrap();
            disk.freeze();
            disk.power_off();
            assert!(file.write_all(b"too late").is_err());
            drop(file);
            disk.lose(CrashMode::NothingUnsynced, &mut SeededRng::new(1)).unwrap();
            assert_eq!(fs::read(&path).unwrap(), b"kept");
            assert!(fs::metadata(folder.path().join("other")).is_err());
        }
    }
}

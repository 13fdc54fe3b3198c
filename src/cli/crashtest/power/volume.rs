//! A real file system (ext4, XFS, Btrfs) on a file of the medium, by way of a loop device: its journal is what
//! brings it back after a cut. Uses the system's own programs, and needs root.

use std::process::{Command, Stdio};

/// What mkfs.xfs asks for at least is 300 MB; the others are content with less.
const XFS_BYTES: u64 = 320 << 20;
const BYTES: u64 = 128 << 20;

/// The file system: its kind, the file that it is on, and where it is mounted.
#[derive(Debug)]
pub(super) struct Volume {
    kind: String,
    image: String,
    at: String,
    device: Option<String>,
}

impl Volume {
    pub(super) fn new(kind: String, image: String, at: String) -> Self {
        Self { kind, image, at, device: None }
    }

    /// Makes it anew, on a medium that is mounted.
    pub(super) fn format(&self) -> Result<(), String> {
        let bytes = if self.kind == "xfs" { XFS_BYTES } else { BYTES };
        run("truncate", &["-s", &bytes.to_string(), &self.image])?;
        let quiet = if self.kind == "ext4" { "-qF" } else { "-qf" };
        run(&format!("mkfs.{}", self.kind), &[quiet, &self.image])?;
        run("sync", &[&self.image]).map(|_| ())
    }

    /// Mounts what is on the medium; the file system plays its journal.
    pub(super) fn mount(&mut self) -> Result<(), String> {
        let device = run("losetup", &["--find", "--show", &self.image])?;
        self.device = Some(device.clone());
        run("mount", &["-t", &self.kind, &device, &self.at]).map(|_| ())
    }

    /// Lets go of it, whatever it still wants to write.
    pub(super) fn unmount(&mut self) {
        let Some(device) = self.device.take() else { return };
        // What it still had to write fails: the power is off.
        let _ = run("umount", &["--lazy", &self.at]);
        let _ = run("losetup", &["--detach", &device]);
    }
}

fn run(program: &str, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("cannot run {program}: {error}"))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
        false => {
            let said = String::from_utf8_lossy(&output.stderr);
            Err(format!("{program} {} failed: {}", arguments.join(" "), said.trim()))
        }
    }
}

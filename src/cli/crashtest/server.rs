//! The process under test, and the folder it works in. Both are gone when their values are.

use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal};

use super::ending::Ending;
use super::ledger::Connection;
use crate::clock::Clock;
use crate::disk::os::OsDisk;
use crate::disk::{Disk as _, durable};
use crate::rng::random_hex;

const READY_WITHIN: Duration = Duration::from_secs(30);
/// How much of what the server printed is shown when it does not start.
const SHOWN_BYTES: usize = 600;

/// A new folder among the temporary ones.
#[derive(Debug)]
pub(super) struct Folder(String);

impl Folder {
    pub(super) fn new() -> Result<Self, String> {
        let parent = std::env::temp_dir().to_string_lossy().into_owned();
        let path = format!("{parent}/fastness-crashtest-{}", random_hex(8));
        let disk = OsDisk::new(&path);
        disk.create_dir("")
            .and_then(|()| disk.create_dir("data"))
            .and_then(|()| disk.create_dir("drive"))
            .map_err(|error| error.to_string())?;
        Ok(Self(path))
    }

    /// A folder in it: `data` for the server, `drive` for what may be below that.
    pub(super) fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.0)
    }

    /// Empties the server's folder.
    pub(super) fn wipe(&self) -> Result<(), String> {
        let data = self.path("data");
        std::fs::remove_dir_all(&data).map_err(|error| format!("cannot empty {data}: {error}"))?;
        OsDisk::new(&self.0).create_dir("data").map_err(|error| error.to_string())
    }

    fn printed(&self) -> String {
        let bytes = durable::read_small(&OsDisk::new(&self.0), "printed", 1 << 24);
        let bytes = bytes.ok().flatten().unwrap_or_default();
        let from = bytes.len().saturating_sub(SHOWN_BYTES);
        String::from_utf8_lossy(bytes.get(from..).unwrap_or_default()).trim().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed is left to whoever empties that place.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A running server.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) port: u16,
    child: Child,
}

impl Server {
    /// Starts it on what is in the folder, and waits until it answers.
    pub(super) fn start(
        command: Option<&str>,
        policy: &str,
        folder: &Folder,
        clock: &Arc<dyn Clock>,
        ending: &Ending,
    ) -> Result<Self, String> {
        let free = std::net::TcpListener::bind(("127.0.0.1", 0)).and_then(|free| free.local_addr());
        let port = free.map_err(|error| format!("no port: {error}"))?.port();
        let dir = folder.path("data");
        // exec: what is killed is the server, not a shell before it.
        let line = match command {
            Some(command) => format!("exec {command}"),
            None => {
                "exec \"$0\" serve --bind 127.0.0.1 --port {port} --dir '{dir}' --appendonly yes \
                     --appendfsync {policy} --save ''"
                    .to_owned()
            }
        };
        let line = line.replace("{port}", &port.to_string());
        let line = line.replace("{dir}", &dir).replace("{policy}", policy);
        let own = std::env::current_exe().map_err(|error| error.to_string())?;
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", &format!("{line} >'{}/printed' 2>&1", folder.0)]).arg(own);
        shell.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        // Children that write snapshots lose their power with it.
        shell.process_group(0);
        let child = shell.spawn().map_err(|error| format!("cannot start it: {error}"))?;
        let mut server = Self { port, child };
        let deadline = clock.monotonic() + READY_WITHIN;
        loop {
            ending.check()?;
            if let Ok(Some(status)) = server.child.try_wait() {
                return Err(format!("it ended at its start ({status}): {}", folder.printed()));
            }
            if Connection::open(port).is_ok_and(|mut connection| connection.is_ready()) {
                return Ok(server);
            }
            if clock.monotonic() > deadline {
                return Err(format!(
                    "it is not ready after {READY_WITHIN:?}: {}",
                    folder.printed()
                ));
            }
            clock.sleep(Duration::from_millis(5));
        }
    }

    /// kill -9, without waiting for the end.
    pub(super) fn strike(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
    }

    /// kill -9 of it and all its children, without waiting.
    pub(super) fn strike_all(&mut self) {
        if let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = rustix::process::kill_process_group(group, Signal::KILL);
        }
        self.strike();
    }

    /// Waits for the end of what was struck.
    pub(super) fn wait(&mut self) {
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.strike_all();
        self.wait();
    }
}

//! What whoever runs the server relies on: that it ends when told to, where it listens, how many descriptors it takes,
//! its pidfile, its unit for systemd, and settings that are refused rather than half accepted.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use crate::support::client::Client;
use crate::support::peers;
use crate::support::reply::Reply;
use crate::support::server::{Place, Server, free_port, wait_for};

const PATIENCE: Duration = Duration::from_secs(30);

/// A server of this crate with its output in `log`, below a directory of its own.
struct Process {
    child: Child,
    folder: tempfile::TempDir,
}

impl Process {
    /// `before` is a program that runs it, such as `prlimit`.
    fn start(before: &[&str], args: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self::start_in(folder, before, args)
    }

    fn start_in(folder: tempfile::TempDir, before: &[&str], args: &[&str]) -> Self {
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let words = [before, &[env!("CARGO_BIN_EXE_fastness"), "serve"]].concat();
        let child = Command::new(words[0])
            .args(&words[1..])
            .args(args)
            .arg("--dir")
            .arg(folder.path().join("data"))
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { child, folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn printed(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap()
    }

    fn wait_until_ready(&mut self) {
        wait_for("the server", PATIENCE, || {
            assert!(self.child.try_wait().unwrap().is_none(), "{}", self.printed());
            self.printed().contains("Ready to accept connections")
        });
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    /// Its exit code; it ends by itself.
    fn code(&mut self) -> i32 {
        let mut status = None;
        wait_for("the end of the server", PATIENCE, || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap().code().unwrap_or(-1)
    }

    /// Ends it by SIGTERM; returns where its files are.
    fn end(mut self) -> tempfile::TempDir {
        self.signal("TERM");
        assert_eq!(self.code(), 0, "{}", self.printed());
        std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// What the server printed that did not want to start.
fn refused(args: &[&str]) -> String {
    let mut server = Process::start(&[], args);
    assert_eq!(server.code(), 1, "{}", server.printed());
    assert!(!server.printed().contains("Ready to accept"), "{}", server.printed());
    server.printed()
}

#[test]
fn the_limit_of_open_files_is_raised_for_the_clients() {
    let port = free_port();
    let args = ["--port", &port.to_string(), "--bind", "127.0.0.1", "--io-threads", "1"];
    let mut server = Process::start(&["prlimit", "--nofile=256:400"], &args);
    server.wait_until_ready();
    assert!(server.printed().contains("maxclients is 268 now"), "{}", server.printed());
    let mut client = Client::connect(port).unwrap();
    assert_eq!(client.must("CONFIG GET maxclients").to_string(), "[\"maxclients\" \"268\"]");
    let refused = client.line("CONFIG SET maxclients 269").unwrap().to_string();
    assert!(refused.contains("handle the specified number of clients, try with 268"), "{refused}");
    client.must("CONFIG SET maxclients 260");
    client.must("CONFIG SET maxclients 268");
    // As many as there may be: the next is refused in words, and the server does its work.
    let mut others: Vec<Client> = (0..267).map(|_| Client::connect(port).unwrap()).collect();
    assert_eq!(others[266].must("PING").to_string(), "+PONG");
    let mut last = Client::connect(port).unwrap();
    let refused = last.receive().unwrap().to_string();
    assert!(refused.contains("max number of clients reached"), "{refused}");
    client.must("SET a 1");
    client.must("BGSAVE");
    let done = |client: &mut Client, line: &str| {
        let Reply::Bulk(info) = client.must("INFO persistence") else { panic!() };
        String::from_utf8(info).unwrap().contains(line)
    };
    wait_for("the save", PATIENCE, || done(&mut client, "rdb_bgsave_in_progress:0"));
    assert!(done(&mut client, "rdb_last_bgsave_status:ok"), "{}", server.printed());
    client.must("BGREWRITEAOF");
    wait_for("the rewrite", PATIENCE, || {
        done(&mut client, "aof_rewrite_in_progress:0")
            && done(&mut client, "aof_rewrite_scheduled:0")
    });
    assert!(done(&mut client, "aof_last_bgrewrite_status:ok"), "{}", server.printed());
    client.must("SET a 2");
    drop(others);
    server.end();

    let mut server = Process::start(&["prlimit", "--nofile=256:20000"], &args);
    server.wait_until_ready();
    assert!(server.printed().contains("to 10132 (it was originally set to 256)"));
    server.end();
    let mut server = Process::start(&["prlimit", "--nofile=100:100"], &args);
    assert_eq!(server.code(), 1);
    assert!(server.printed().contains("133 are needed at least"), "{}", server.printed());
}

fn run(script: &str) -> Output {
    Command::new("bash").args(["-c", script]).output().unwrap()
}

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
fn a_server_with_a_unix_socket_ends_every_time_and_takes_its_file_along() {
    // A race: the accepting task sleeps or looks when the socket is stopped.
    for round in 0..12 {
        let mut server = Process::start(&[], &["--port", "0", "--unixsocket", "own.sock"]);
        server.wait_until_ready();
        let socket = server.path("data/own.sock");
        let mut client = UnixStream::connect(&socket).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client.write_all(b"PING\r\n").unwrap();
        let mut reply = [0; 7];
        client.read_exact(&mut reply).unwrap();
        assert_eq!(&reply, b"+PONG\r\n");
        std::thread::sleep(Duration::from_millis(20 * (round % 3)));
        if round % 2 == 0 {
            server.signal("TERM");
        } else {
            client.write_all(b"SHUTDOWN\r\n").unwrap();
        }
        assert_eq!(server.code(), 0, "round {round}: {}", server.printed());
        assert!(!socket.exists(), "round {round}");
    }
}

#[test]
fn a_hangup_is_ignored_from_the_beginning() {
    let port = free_port().to_string();
    let mut server = Process::start(&[], &["--port", &port, "--bind", "127.0.0.1"]);
    wait_for("the beginning", PATIENCE, || server.printed().contains("Server initialized"));
    server.signal("HUP");
    server.wait_until_ready();
    server.signal("HUP");
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(Client::connect(port.parse().unwrap()).unwrap().must("PING").to_string(), "+PONG");
    server.end();
}

#[test]
fn a_server_that_listens_nowhere_does_not_start() {
    for args in [
        &["--port", "0"][..],
        &["--port", "0", "--tls-port", "7000"],
        &["--port", "7000", "--bind", "-192.0.2.1"],
        &["--port", "7000", "--bind", ""],
    ] {
        let printed = refused(args);
        assert!(printed.contains("not listen anywhere"), "{args:?}: {printed}");
        assert!(printed.contains("next: pass --port"), "{args:?}: {printed}");
    }
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let printed = refused(&["--port", &port, "--bind", "-127.0.0.1"]);
    assert!(printed.contains("in use"), "{printed}");
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
    server.wait_until_ready();
    assert!(server.printed().contains("maxclients is 68 now"), "{}", server.printed());
    Client::connect(port).unwrap().must("CONFIG SET maxclients 60");
    server.end();
    let mut server = Process::start(&["prlimit", "--nofile=32:32"], &args);
    assert_eq!(server.code(), 1);
    assert!(server.printed().contains("33 are needed at least"), "{}", server.printed());
}

/// Takes the descriptors that the server has left, by a limit that sinks below what it uses.
#[test]
fn connections_that_cannot_be_taken_are_told_of_once() {
    let port = free_port();
    let args = ["--port", &port.to_string(), "--bind", "127.0.0.1"];
    let mut server = Process::start(&[], &args);
    server.wait_until_ready();
    let pid = server.child.id().to_string();
    let limit = |nofile: &str| {
        assert!(Command::new("prlimit").args(["-p", &pid, nofile]).status().unwrap().success());
    };
    limit("--nofile=5:");
    let waiting: Vec<Client> = (0..5).map(|_| Client::connect(port).unwrap()).collect();
    // The log's own file is standard output here, so it can be told.
    wait_for("the warning", PATIENCE, || server.printed().contains("Accepting client connection"));
    std::thread::sleep(Duration::from_millis(200));
    limit("--nofile=1000:");
    for mut client in waiting {
        client.must("PING");
    }
    assert_eq!(server.printed().matches("Accepting client connection").count(), 1);
    server.end();
}

#[test]
fn a_start_that_fails_leaves_the_pidfile_of_the_running_server() {
    let folder = tempfile::tempdir().unwrap();
    let pidfile = folder.path().join("server.pid");
    let path = pidfile.to_str().unwrap();
    let port = free_port().to_string();
    let args = ["--port", &port, "--bind", "127.0.0.1", "--pidfile", path];
    let mut server = Process::start(&[], &args);
    server.wait_until_ready();
    let pid = server.child.id().to_string();
    refused(&args);
    assert_eq!(fs::read_to_string(&pidfile).unwrap().trim(), pid);
    // Another's by now: it stays.
    fs::write(&pidfile, "1\n").unwrap();
    server.end();
    assert!(pidfile.exists());
}

#[test]
fn what_cannot_be_opened_is_named_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("file"), "").unwrap();
    let port = free_port().to_string();
    let start = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fastness"));
        let command = command.args(["serve", "--port", &port, "--bind", "127.0.0.1"]).args(args);
        let output = command.current_dir(folder.path()).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let cases = [
        (start(&["--dir", &path("none/below")]), path("none/below"), "make the directory above it"),
        (start(&["--dir", &path("file")]), path("file"), "pass a directory with --dir"),
        (start(&["--logfile", &path("none/log")]), path("none/log"), "make its directory"),
    ];
    for (printed, name, next) in cases {
        assert!(printed.contains(&name) && printed.contains(next), "{name}: {printed}");
    }
    let background = ["--logfile", &path("none/log"), "--daemonize", "yes"];
    assert!(
        start(&background).contains(&path("none/log")),
        "the one in the background says it too"
    );
}

/// The unit's command with this binary, file and directory; systemd waits for what comes to its socket.
#[test]
fn the_unit_tells_systemd_that_the_server_is_ready() {
    let packaging = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging");
    let unit = fs::read_to_string(packaging.join("fastness.service")).unwrap();
    assert!(unit.contains("Type=notify\n"), "{unit}");
    let line = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (data, port) = (folder.path().join("data"), free_port().to_string());
    let words: Vec<String> = line
        .split(' ')
        .map(|word| match word {
            "/usr/bin/fastness" => env!("CARGO_BIN_EXE_fastness").to_owned(),
            "/etc/fastness/fastness.conf" => packaging.join("fastness.conf").display().to_string(),
            "/var/lib/fastness" => data.display().to_string(),
            other => other.to_owned(),
        })
        .collect();
    let socket = folder.path().join("notify");
    let notify = UnixDatagram::bind(&socket).unwrap();
    notify.set_read_timeout(Some(PATIENCE)).unwrap();
    let child = Command::new(&words[0])
        .args(&words[1..])
        .args(["--port", &port])
        .env("NOTIFY_SOCKET", &socket)
        .stdout(fs::File::create(folder.path().join("log")).unwrap())
        .spawn()
        .unwrap();
    let server = Process { child, folder };
    let mut heard = [0; 200];
    let len =
        notify.recv(&mut heard).unwrap_or_else(|error| panic!("{error}: {}", server.printed()));
    assert!(heard[..len].starts_with(b"READY=1\n"), "{}", server.printed());
    assert!(!server.printed().contains("has no effect"), "{}", server.printed());
    server.end();
}

#[test]
fn the_directory_takes_a_restart_and_the_snapshots_name_does_not() {
    let server = Server::start(&peers::fastness(), &["enable-protected-configs yes", "save "]);
    let mut client = server.client();
    client.must("SET k v");
    let data = server.data().display().to_string();
    let elsewhere = tempfile::tempdir().unwrap();
    let wanted = elsewhere.path().display().to_string();
    let refused = client.line(&format!("CONFIG SET dir {wanted}")).unwrap().to_string();
    assert!(refused.contains("(possibly related to argument 'dir')"), "{refused}");
    assert!(refused.contains(&format!("start it with --dir {wanted}")), "{refused}");
    for same in [&data, &format!("{data}/"), "."] {
        client.must(&format!("CONFIG SET dir {same}"));
        assert!(client.must("CONFIG GET dir").to_string().contains(&format!("\"{data}\"")));
    }
    client.must("CONFIG SET dbfilename other.rdb");
    client.must("SAVE");
    assert!(server.data().join("other.rdb").exists());
}

fn run(script: &str) -> Output {
    Command::new("bash").args(["-c", script]).output().unwrap()
}

#[test]
fn a_configuration_may_come_through_a_pipe() {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let (binary, data) = (env!("CARGO_BIN_EXE_fastness"), folder.path().join("data"));
    let text = format!("port {port}\\nbind 127.0.0.1\\nhz 33\\n");
    let script = format!("exec {binary} serve <(printf '{text}') --dir {}", data.display());
    let log = fs::File::create(folder.path().join("log")).unwrap();
    let child = Command::new("bash").args(["-c", &script]).stdout(log).spawn().unwrap();
    let mut server = Process { child, folder };
    server.wait_until_ready();
    let mut client = Client::connect(port).unwrap();
    assert_eq!(client.must("CONFIG GET hz").to_string(), "[\"hz\" \"33\"]");
    let refused = client.line("CONFIG REWRITE").unwrap().to_string();
    assert!(refused.contains("running without a config file"), "{refused}");
    server.end();
    // The process in the background would find it empty.
    let output = run(&format!("{binary} serve <(printf '{text}') --daemonize yes"));
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("can be read only once"), "{error}");
}

#[test]
fn a_rewrite_keeps_to_what_included_files_leave_it() {
    let place = Place::new();
    let (main, inc) = (place.data().join("main.conf"), place.data().join("inc.conf"));
    fs::write(&inc, "user alice on >pw ~* +@all\nsave 900 1\n").unwrap();
    fs::write(&main, format!("include {}\n", inc.display())).unwrap();
    let file = main.display().to_string();
    let mut server = Server::start_on(&peers::fastness(), &place, &[&file]);
    for _ in 0..2 {
        server.client().must("CONFIG REWRITE");
        server.restart();
        let save = server.client().must("CONFIG GET save").to_string();
        assert_eq!(save, "[\"save\" \"900 1\"]");
    }
    let text = fs::read_to_string(&main).unwrap();
    assert!(!text.contains("alice") && !text.contains("save"), "{text}");
    let mut client = server.client();
    client.must("ACL SETUSER alice off");
    let refused = client.line("CONFIG REWRITE").unwrap().to_string();
    assert!(refused.contains("the user 'alice' is not as") && refused.contains("inc.conf:1"));
    client.must("ACL SETUSER alice on");
    // A file that cannot be read is not one that is empty.
    fs::remove_file(&main).unwrap();
    fs::create_dir(&main).unwrap();
    let refused = client.line("CONFIG REWRITE").unwrap().to_string();
    assert!(refused.starts_with("-ERR Rewriting config file: ") && refused.contains("main.conf"));
}

//! Backups and the archive in object stores: moto for S3, Azurite for Azure, each as a server of its own.
//!
//! Google Cloud Storage has no stand-in of this kind that knows its XML dialect. That dialect is S3's but for
//! signatures and conditions, so moto is asked as `gs://` too; its conditions are not tested.
//! `scripts/stores.sh` brings the stores.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::client::Client;
use crate::support::dataset::{VALUES, assert_same, dump};
use crate::support::peers::{self, Program};
use crate::support::server::{Place, Server};
use crate::{Features, fill};

const SECRET: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
const WITHIN: Duration = Duration::from_secs(60);

/// An object store on this machine. Its process ends with this value.
struct ObjectStore {
    child: Child,
    url: &'static str,
    variables: Vec<(&'static str, String)>,
}

impl Drop for ObjectStore {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl ObjectStore {
    /// The store for addresses of this scheme, with a bucket.
    fn start(scheme: &str) -> Option<Self> {
        let home = peers::cache_folder("FASTNESS_STORES", "fastness-stores");
        let python = home.join("python/bin/python");
        let azurite = home.join("node/node_modules/azurite/dist/src/blob/main.js");
        if !python.is_file() || !azurite.is_file() {
            peers::not_run(&format!("no store for {scheme}: run scripts/stores.sh"));
            return None;
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let number = port.to_string();
        let mut command = if scheme == "az" {
            let mut command = Command::new("node");
            command.arg(azurite).args(["--inMemoryPersistence", "--silent", "--disableTelemetry"]);
            command.args(["--blobHost", "127.0.0.1", "--blobPort", &number]);
            command.arg("--skipApiVersionCheck");
            command
        } else {
            let mut command = Command::new(&python);
            let run = "from moto.server import main; import sys; main(sys.argv[1:])";
            command.args(["-c", run, "-H", "127.0.0.1", "-p", &number]);
            command
        };
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let endpoint = format!("http://127.0.0.1:{port}");
        let (url, variables) = match scheme {
            "s3" => (
                "s3://bucket/shop",
                vec![
                    ("AWS_ENDPOINT_URL", endpoint),
                    ("AWS_ACCESS_KEY_ID", "test".to_owned()),
                    ("AWS_SECRET_ACCESS_KEY", SECRET.to_owned()),
                ],
            ),
            "gs" => ("gs://bucket/shop", vec![("STORAGE_EMULATOR_HOST", endpoint)]),
            _ => {
                let account = format!(
                    "AccountName=devstoreaccount1;AccountKey={SECRET};BlobEndpoint={endpoint}/devstoreaccount1;"
                );
                ("az://bucket/shop", vec![("AZURE_STORAGE_CONNECTION_STRING", account)])
            }
        };
        let store = Self { child, url, variables };
        wait_for_port(port);
        match scheme {
            "az" => {
                let script =
                    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/stores/container.py");
                let made = Command::new(python)
                    .arg(script)
                    .args([&number, "devstoreaccount1", SECRET, "bucket"])
                    .status();
                assert!(made.unwrap().success());
            }
            _ => make_bucket(port),
        }
        Some(store)
    }

    /// Runs `fastness ARGS --json` with the store's variables.
    fn fastness(&self, args: &[&str]) -> (i32, Value) {
        let mut command = Command::new(peers::fastness().path);
        command.args(args).arg("--json").envs(self.variables.iter().cloned());
        let output = command.output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(!text.contains(SECRET), "{text}");
        let value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        (output.status.code().unwrap(), value)
    }

    fn done(&self, args: &[&str]) -> Value {
        let (code, value) = self.fastness(args);
        assert_eq!(code, 0, "{args:?}: {value}");
        value
    }

    /// Fastness with the store's variables, started by a script so that no other process has them.
    fn server(&self, folder: &Path) -> Program {
        let mut program = peers::fastness();
        let variables =
            self.variables.iter().map(|(name, value)| format!("export {name}='{value}'\n"));
        let text = format!(
            "#!/bin/sh\n{}exec {} \"$@\"\n",
            variables.collect::<String>(),
            program.path.display()
        );
        let path = folder.join("fastness");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
        program.path = path;
        program
    }
}

fn wait_for_port(port: u16) {
    let deadline = Instant::now() + WITHIN;
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < deadline, "the store does not start");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn make_bucket(port: u16) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream
        .write_all(b"PUT /bucket HTTP/1.0\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n")
        .unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    assert!(reply.contains(" 200 "), "{reply}");
}

#[test]
fn backups_live_in_every_kind_of_object_store() {
    for scheme in ["s3", "az", "gs"] {
        let Some(store) = ObjectStore::start(scheme) else { return };
        let server = Server::start(&peers::fastness(), &["enable-debug-command yes"]);
        let mut client = server.client();
        fill(&mut client, Features { field_expiry: false, streams: true });
        let expected = dump(&mut client, VALUES).unwrap();
        let from = format!("redis://127.0.0.1:{}", server.port);
        let made =
            store.done(&["backup", "create", "--from", &from, "--to", store.url, "--digest"]);
        assert!(made["objects_sent"].as_u64() > Some(0), "{made}");
        client.must("SET one more");
        let again = store.done(&["backup", "create", "--from", &from, "--to", store.url]);
        assert_eq!(
            store.done(&["backup", "list", store.url])["backups"].as_array().unwrap().len(),
            2
        );
        let verified = store.done(&["backup", "verify", store.url, "--full"]);
        assert_eq!((&verified["sound"], &verified["loaded"]), (&true.into(), &2.into()));
        store.done(&["backup", "prune", store.url, "--keep-last", "1", "--apply"]);
        let left = store.done(&["backup", "list", store.url]);
        assert_eq!(left["backups"][0]["backup"], again["backup"], "{left}");
        let place = Place::new();
        let dir = place.data().to_str().unwrap().to_owned();
        store.done(&["restore", "--from", store.url, "--dir", &dir]);
        let restored = Server::start_on(&peers::fastness(), &place, &["enable-debug-command yes"]);
        let mut restored = restored.client();
        restored.must("DEL one");
        assert_same(scheme, &expected, &dump(&mut restored, VALUES).unwrap());
        // What is not there, and who may not.
        let elsewhere = store.url.replace("bucket", "no-such-bucket");
        let (code, answer) = store.fastness(&["backup", "list", &elsewhere]);
        assert_eq!(code, 1, "{answer}");
        assert!(answer["next"].as_str().unwrap().contains("make the bucket"), "{answer}");
    }
}

#[test]
fn a_log_is_archived_while_it_is_written_and_comes_back_to_its_end() {
    let Some(store) = ObjectStore::start("s3") else { return };
    let folder = tempfile::tempdir().unwrap();
    let program = store.server(folder.path());
    let archive = format!("archive {}", store.url);
    let options = [archive.as_str(), "appendfsync always", "enable-debug-command yes"];
    let mut server = Server::start(&program, &options);
    for round in 0..3 {
        let mut client = server.client();
        for n in 0..200 {
            client.must(&format!("SET key{round}-{n} value{n}"));
        }
        if round == 1 {
            client.must("BGREWRITEAOF");
        }
        client.must("INCR last");
        let expected = dump(&mut client, VALUES).unwrap();
        wait_until_archived(&mut client);
        server.kill();
        let place = Place::new();
        let dir = place.data().to_str().unwrap().to_owned();
        store.done(&["restore", "--from", store.url, "--dir", &dir]);
        let restored = Server::start_on(&peers::fastness(), &place, &["enable-debug-command yes"]);
        let found = dump(&mut restored.client(), VALUES).unwrap();
        assert_same(&format!("round {round}"), &expected, &found);
        server.restart();
    }
    assert!(!server.place().printed().contains(SECRET));
    let verified = store.done(&["backup", "verify", store.url, "--full"]);
    assert_eq!(verified["sound"], true, "{verified}");
}

#[test]
fn every_kind_of_object_store_keeps_a_second_server_out() {
    for scheme in ["s3", "az", "gs"] {
        let Some(store) = ObjectStore::start(scheme) else { return };
        let folder = tempfile::tempdir().unwrap();
        let program = store.server(folder.path());
        let archive = format!("archive {}", store.url);
        let first = Server::start(&program, &[archive.as_str()]);
        first.client().must("SET of first");
        wait_until_archived(&mut first.client());
        let id = field(&mut first.client(), "archive_server_id");
        assert_eq!(store.done(&["backup", "owner", store.url])["server"], id.as_str());
        let second = Server::start(&program, &[archive.as_str()]);
        let mut client = second.client();
        client.must("SET of second");
        let deadline = Instant::now() + WITHIN;
        while field(&mut client, "archive_state") != "taken" {
            assert!(Instant::now() < deadline, "{}", field(&mut client, "archive_last_error"));
            std::thread::sleep(Duration::from_millis(50));
        }
        client.must(&format!("CONFIG SET archive-takeover {id}"));
        wait_until_archived(&mut client);
        let place = Place::new();
        let dir = place.data().to_str().unwrap().to_owned();
        store.done(&["restore", "--from", store.url, "--dir", &dir]);
        let restored = Server::start_on(&peers::fastness(), &place, &[]);
        assert_eq!(restored.client().must("GET of").text().as_deref(), Some("second"), "{scheme}");
    }
}

#[test]
fn a_store_that_is_away_stops_nothing_and_is_caught_up_with() {
    let Some(mut store) = ObjectStore::start("s3") else { return };
    let folder = tempfile::tempdir().unwrap();
    let program = store.server(folder.path());
    store.child.kill().unwrap();
    store.child.wait().unwrap();
    let archive = format!("archive {}", store.url);
    let mut server = Server::start(&program, &[archive.as_str(), "enable-debug-command yes"]);
    let mut client = server.client();
    for n in 0..100 {
        client.must(&format!("SET key{n} value{n}"));
    }
    let lag = |client: &mut Client| field(client, "archive_lag_bytes").parse::<u64>().unwrap();
    assert!(lag(&mut client) > 0);
    client.must("BGREWRITEAOF");
    client.must("SET behind it");
    // The end of the server does not wait for it either.
    server.stop();
}

#[test]
fn a_store_that_says_nothing_for_a_while_holds_up_neither_server_nor_restore_for_good() {
    let Some(store) = ObjectStore::start("s3") else { return };
    let folder = tempfile::tempdir().unwrap();
    let program = store.server(folder.path());
    let archive = format!("archive {}", store.url);
    let mut server = Server::start(&program, &[archive.as_str()]);
    let mut client = server.client();
    client.must("SET before 1");
    wait_until_archived(&mut client);
    let pid = store.child.id().to_string();
    let signal =
        |name: &str| assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    signal("-STOP");
    let began = Instant::now();
    for n in 0..2000 {
        client.must(&format!("SET key{n} value"));
    }
    std::thread::sleep(Duration::from_secs(2));
    assert!(field(&mut client, "archive_lag_bytes").parse::<u64>().unwrap() > 0);
    assert!(field(&mut client, "archive_lag_ms").parse::<u64>().unwrap() > 1000);
    assert!(began.elapsed() < Duration::from_secs(20), "writes waited for the store");
    let place = Place::new();
    let dir = place.data().to_str().unwrap().to_owned();
    std::thread::scope(|scope| {
        let restore = scope.spawn(|| store.done(&["restore", "--from", store.url, "--dir", &dir]));
        std::thread::sleep(Duration::from_secs(3));
        assert!(!restore.is_finished());
        signal("-CONT");
        restore.join().unwrap();
    });
    wait_until_archived(&mut client);
    // Its end does not wait for the store either.
    signal("-STOP");
    client.must("SET behind 1");
    let began = Instant::now();
    server.stop();
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    signal("-CONT");
}

fn field(client: &mut Client, name: &str) -> String {
    let info = client.must("INFO persistence").text().unwrap_or_default();
    let value = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.unwrap_or_else(|| panic!("no {name}: {info}")).trim().to_owned()
}

/// Until everything is archived, and the base that is in use too.
fn wait_until_archived(client: &mut Client) {
    let deadline = Instant::now() + WITHIN;
    loop {
        let well =
            field(client, "archive_state") == "ok" && field(client, "archive_lag_bytes") == "0";
        let rewriting = field(client, "aof_rewrite_in_progress") != "0";
        if well && !rewriting && field(client, "archive_bases") != "0" {
            return;
        }
        let error = field(client, "archive_last_error");
        assert!(Instant::now() < deadline, "the archive lags: {error}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

//! How a server ends that is told to.
//!
//! While it loads: at once, and what it was loading is still there. What clients see meanwhile is an empty keyspace; a
//! shutdown that saved that, as one with save points does, would leave nothing of the data set. Otherwise as the words of
//! `shutdown-on-sigterm` and `shutdown-on-sigint` say, and at a second SIGINT without waiting for the save.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::support::client::Client;
use super::support::peers;
use super::support::reply::Reply;
use super::support::server::{Place, Server, free_port, wait_for};

const KEYS: i64 = 1_500_000;
/// A server on an idle machine may load before it is told anything.
const TRIES: usize = 10;
const PATIENCE: Duration = Duration::from_secs(60);

fn serve(place: &Place, options: &[&str], port: u16) -> Child {
    let log = fs::File::create(place.data().join("../loading.log")).unwrap();
    Command::new(env!("CARGO_BIN_EXE_fastness"))
        .args(["serve", "--bind", "127.0.0.1", "--port", &port.to_string(), "--dir"])
        .arg(place.data())
        .args(options)
        .stdout(log.try_clone().unwrap())
        .stderr(Stdio::from(log))
        .spawn()
        .unwrap()
}

fn signal(server: &Child, name: &str) {
    let pid = server.id().to_string();
    assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
}

/// A connection to a server that answers -LOADING: stopped for longer than it is silent about its loading, it has most of
/// that before it. None where it was done all the same.
fn client_of_a_loading(server: &Child, place: &Place, port: u16) -> Option<Client> {
    wait_for("the beginning", PATIENCE, || printed(place).contains("Server initialized"));
    signal(server, "STOP");
    std::thread::sleep(Duration::from_millis(400));
    signal(server, "CONT");
    let mut client = Client::connect(port).unwrap();
    match client.line("GET key").unwrap() {
        Reply::Error(text) if text.starts_with(b"LOADING") => Some(client),
        Reply::NilBulk => None,
        other => panic!("{other:?}"),
    }
}

fn printed(place: &Place) -> String {
    fs::read_to_string(place.data().join("../loading.log")).unwrap_or_default()
}

/// Whether the server ended while it was loading; either way it ended well.
fn ended_early(server: &mut Child, place: &Place) -> bool {
    let code = exit_code(server);
    let printed = printed(place);
    assert_eq!(code, 0, "{printed}");
    assert!(!printed.contains("DB saved on disk: 0 keys"), "{printed}");
    assert!(!place.data().join("pid").exists());
    printed.contains("during loading, exiting now") && !printed.contains("Ready to accept")
}

fn bytes(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap()
}

/// Tells a server to end while it loads; false if it had loaded before it heard of it.
fn ends_early(place: &Place, appendonly: &str, end: &str) -> bool {
    let options = ["--appendonly", appendonly, "--save", "3600 1", "--pidfile", "pid"];
    let options = [&options[..], &["--enable-debug-command", "yes"]].concat();
    let port = free_port();
    let mut server = serve(place, &options, port);
    let client = client_of_a_loading(&server, place, port);
    match end {
        "TERM" | "INT" => signal(&server, end),
        // The connection ends with the server.
        command => match client {
            Some(mut client) => {
                // It saves what is there too, which is nothing yet.
                for load in ["DEBUG RELOAD", "DEBUG LOADAOF"] {
                    let refused = client.line(load).unwrap();
                    assert!(refused.is_error() || printed(place).contains("Ready to"), "{load}");
                }
                assert!(client.line(command).is_err(), "{command}");
            }
            None => signal(&server, "TERM"),
        },
    }
    ended_early(&mut server, place)
}

#[test]
fn a_shutdown_while_loading_leaves_what_is_loaded() {
    let place = Place::new();
    let filling = ["appendonly no", "save 3600 1", "enable-debug-command yes"];
    let mut server = Server::start_on(&peers::fastness(), &place, &filling);
    let mut client = server.client();
    client.set_timeout(PATIENCE).unwrap();
    client.must(&format!("DEBUG POPULATE {KEYS} key 20"));
    client.must("SAVE");
    // A log of the same: the base is what is loaded then.
    client.must("CONFIG SET appendonly yes");
    wait_for("the log's base", PATIENCE, || {
        let Reply::Bulk(info) = client.must("INFO persistence") else { panic!() };
        info.windows(25).any(|line| line == b"aof_rewrite_in_progress:0")
            && place.data().join("appendonlydir").exists()
    });
    server.stop();
    let snapshot = place.data().join("dump.rdb");
    let before = bytes(&snapshot);
    assert!(before.len() > 1_000_000);
    for (appendonly, end) in [
        ("no", "TERM"),
        ("no", "SHUTDOWN"),
        ("no", "SHUTDOWN SAVE"),
        ("yes", "TERM"),
        ("yes", "INT"),
    ] {
        let seen = (0..TRIES).any(|_| {
            let early = ends_early(&place, appendonly, end);
            if early {
                assert_eq!(bytes(&snapshot), before, "appendonly {appendonly}, {end}");
            }
            fs::write(&snapshot, &before).unwrap();
            early
        });
        assert!(seen, "never seen while loading: appendonly {appendonly}, {end}");
    }
    for appendonly in ["appendonly no", "appendonly yes"] {
        let mut server = Server::start_on(&peers::fastness(), &place, &[appendonly, "save "]);
        assert_eq!(server.client().must("DBSIZE"), Reply::Int(KEYS), "{appendonly}");
        server.stop();
    }
}

/// A server that serves, with `keys` keys, and a connection to it.
fn filled(place: &Place, options: &[&str], keys: u32) -> (Child, Client) {
    let port = free_port();
    let server = serve(place, &[options, &["--enable-debug-command", "yes"]].concat(), port);
    wait_for("the server", PATIENCE, || printed(place).contains("Ready to accept"));
    let mut client = Client::connect(port).unwrap();
    client.set_timeout(PATIENCE).unwrap();
    client.must(&format!("DEBUG POPULATE {keys} key 20"));
    (server, client)
}

fn exit_code(server: &mut Child) -> i32 {
    let mut status = None;
    wait_for("the end of the server", PATIENCE, || {
        status = server.try_wait().unwrap();
        status.is_some()
    });
    status.unwrap().code().unwrap()
}

#[test]
fn signals_shut_down_as_the_configuration_says() {
    let saves = |options: &[&str], name: &str| {
        let place = Place::new();
        let (mut server, _) = filled(&place, &[&["--appendonly", "no"], options].concat(), 10);
        signal(&server, name);
        assert_eq!(exit_code(&mut server), 0, "{}", printed(&place));
        place.data().join("dump.rdb").exists()
    };
    assert!(saves(&["--save", "3600 1"], "TERM"));
    assert!(!saves(&["--save", ""], "TERM"));
    assert!(saves(&["--save", "", "--shutdown-on-sigterm", "save"], "TERM"));
    assert!(!saves(&["--save", "", "--shutdown-on-sigterm", "save"], "INT"));
    assert!(!saves(&["--save", "3600 1", "--shutdown-on-sigint", "nosave now"], "INT"));
    assert!(saves(&["--save", "3600 1", "--shutdown-on-sigint", "nosave now"], "TERM"));
}

#[test]
fn a_failed_save_keeps_the_server_unless_it_is_forced() {
    for forced in [false, true] {
        let place = Place::new();
        let words = if forced { "force" } else { "default" };
        let options = ["--appendonly", "no", "--save", "3600 1", "--shutdown-on-sigterm", words];
        let (mut server, mut client) = filled(&place, &options, 10);
        // Nothing can be saved under the name of a directory with something in it.
        fs::create_dir(place.data().join("dump.rdb")).unwrap();
        fs::write(place.data().join("dump.rdb/file"), "").unwrap();
        signal(&server, "TERM");
        if !forced {
            wait_for("the refusal", PATIENCE, || printed(&place).contains("can't exit"));
            assert_eq!(client.must("DBSIZE"), Reply::Int(10));
            signal(&server, "TERM");
            let refusals = || printed(&place).matches("can't exit").count();
            wait_for("another one", PATIENCE, || refusals() == 2);
            assert!(client.line("SHUTDOWN NOSAVE").is_err());
        }
        assert_eq!(exit_code(&mut server), 0, "{}", printed(&place));
    }
}

#[test]
fn a_failed_save_does_not_keep_a_server_whose_log_has_everything() {
    let place = Place::new();
    let options = ["--appendonly", "yes", "--save", "3600 1"];
    let (mut server, mut client) = filled(&place, &options, 10);
    fs::create_dir(place.data().join("dump.rdb")).unwrap();
    fs::write(place.data().join("dump.rdb/file"), "").unwrap();
    // Who asks for the save in so many words is told that there is none.
    assert!(matches!(client.line("SHUTDOWN SAVE"), Ok(Reply::Error(_))));
    signal(&server, "TERM");
    assert_eq!(exit_code(&mut server), 0, "{}", printed(&place));
    assert!(printed(&place).contains("Error trying to save the DB"), "{}", printed(&place));
    fs::remove_file(place.data().join("dump.rdb/file")).unwrap();
    fs::remove_dir(place.data().join("dump.rdb")).unwrap();
    let mut server = Server::start_on(&peers::fastness(), &place, &["appendonly yes"]);
    assert_eq!(server.client().must("DBSIZE"), Reply::Int(10));
    server.stop();
}

#[test]
fn a_second_interrupt_does_not_wait_for_the_save() {
    let place = Place::new();
    let options = ["--appendonly", "no", "--save", "3600 1"];
    let (mut server, _) = filled(&place, &options, 1_500_000);
    signal(&server, "INT");
    wait_for("the first one's effect", PATIENCE, || {
        printed(&place).contains("User requested shutdown")
    });
    signal(&server, "INT");
    assert_eq!(exit_code(&mut server), 1, "{}", printed(&place));
    assert!(!place.data().join("dump.rdb").exists(), "{}", printed(&place));
    let mut server = Server::start_on(&peers::fastness(), &place, &["appendonly no", "save "]);
    server.stop();
    let names = fs::read_dir(place.data()).unwrap().map(|entry| entry.unwrap().file_name());
    let left: Vec<_> = names.filter(|name| name.to_string_lossy().starts_with("temp-")).collect();
    assert!(left.is_empty(), "{left:?}");
}

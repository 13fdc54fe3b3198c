//! Data directories change hands: what Redis 7.0, Redis 8.0 and Valkey 9.1 wrote starts under
//! Fastness with the same data, and what Fastness wrote starts under them.
//!
//! The data is a fixed mix of every type and encoding. What is compared is values, order and times
//! of expiry, not encodings. `INTEROP=redis8` puts the real Redis in our place: what it can take
//! over is what the test may ask.

#![allow(clippy::disallowed_methods, reason = "a test is outside the seams it tests")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

#[path = "../support/mod.rs"]
#[allow(dead_code, reason = "shared by several test binaries")]
mod support;

mod backup;
mod backup_commands;
mod clients;
mod exchange;
mod owners;
mod polygons;
mod replicas;
mod stores;
mod tls;

use std::fs;
use std::time::Duration;

use support::client::Client;
use support::dataset::{self, Dataset, VALUES, assert_same};
use support::peers::{self, Program};
use support::reply::Reply;
use support::server::{Place, Server, wait_for};

/// What a data directory consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    /// `dump.rdb` alone.
    Snapshot,
    /// Multi-part AOF whose base is an RDB file.
    RdbBase,
    /// Multi-part AOF whose base is a log of commands.
    AofBase,
    /// One `appendonly.aof`, as before Redis 7: with an RDB head or without.
    SingleFile { head: bool },
}

const LAYOUTS: [Layout; 5] = [
    Layout::Snapshot,
    Layout::RdbBase,
    Layout::AofBase,
    Layout::SingleFile { head: true },
    Layout::SingleFile { head: false },
];

impl Layout {
    fn options(self) -> Vec<&'static str> {
        let mut options = vec!["save ", "enable-debug-command yes", "appendfsync everysec"];
        options.push(if self == Self::Snapshot { "appendonly no" } else { "appendonly yes" });
        options.push(match self {
            Self::AofBase | Self::SingleFile { head: false } => "aof-use-rdb-preamble no",
            _ => "aof-use-rdb-preamble yes",
        });
        options
    }
}

/// The server of this crate; with `INTEROP=redis8` Redis stands in for it, to test the tests.
fn ours() -> Option<Program> {
    match std::env::var("INTEROP").as_deref() {
        Ok("redis8") => peers::redis8(),
        _ => Some(peers::fastness()),
    }
}

/// Every type, with small and large values, binary ones, expiries and several databases.
fn fill(client: &mut Client, features: Features) {
    let mut ask = |line: &str| {
        client.must(line);
    };
    ask("SET string value");
    ask("SET integer -12345");
    ask("SET expires later PXAT 9999999999123");
    ask(&format!("SET long {}", "abc".repeat(20_000)));
    ask(&format!("SET random {}", noise(30_000)));
    ask(&format!("RPUSH list:small {}", series(1..=10, |n| format!("{n} v{n}"))));
    ask(&format!("RPUSH list:large {}", series(1..=3000, |n| format!("element-{n}"))));
    ask(&format!("RPUSH list:big-elements {}", series(1..=5, |_| "x".repeat(9000))));
    ask(&format!("HSET hash:small {}", series(1..=5, |n| format!("f{n} {n}"))));
    ask(&format!("HSET hash:large {}", series(1..=2000, |n| format!("f{n} value-{n}"))));
    ask(&format!("SADD set:integers {}", series(1..=100, |n| (n * 70_000).to_string())));
    ask("SADD set:small a b 3");
    ask(&format!("SADD set:large {}", series(1..=2000, |n| format!("member-{n}"))));
    ask("ZADD zset:small 1.5 a -inf b inf c 0.125 d");
    ask(&format!("ZADD zset:large {}", series(1..=2000, |n| format!("{n}.25 m{n}"))));
    ask("EXPIREAT zset:large 9999999999");
    ask("PEXPIREAT list:small 9999999999001");
    if features.field_expiry {
        ask("HSET hash:expiring a 1 b 2 c 3");
        ask("HPEXPIREAT hash:expiring 9999999999123 FIELDS 2 a c");
    }
    if features.streams {
        fill_stream(&mut ask);
    }
    ask("PFADD counted a b c d e");
    ask("SETBIT bits 100000 1");
    ask("SELECT 7");
    ask("SET string other");
    ask("SET temporary gone");
    ask("DEL temporary");
    ask("SELECT 0");
    let binary: Vec<u8> = (0..=255).collect();
    let request: [&[u8]; 3] = [b"SET", b"binary \x00\xff\r\n", &binary];
    assert_eq!(client.call(&request).unwrap(), Reply::Simple(b"OK".to_vec()));
}

fn fill_stream(ask: &mut dyn FnMut(&str)) {
    for id in 1..=150 {
        ask(&format!("XADD stream {id}-1 field {id} other value"));
    }
    for line in [
        "XDEL stream 3-1 77-1",
        "XGROUP CREATE stream readers 0",
        "XGROUP CREATE stream late 100-0",
        "XREADGROUP GROUP readers alice COUNT 5 STREAMS stream >",
        "XREADGROUP GROUP readers bob COUNT 3 STREAMS stream >",
        "XACK stream readers 1-1",
        "XADD stream:empty 5-5 a b",
        "XDEL stream:empty 5-5",
        "XADD stream 1000-1 last entry",
    ] {
        ask(line);
    }
}

fn series(range: std::ops::RangeInclusive<i64>, word: impl Fn(i64) -> String) -> String {
    range.map(word).collect::<Vec<_>>().join(" ")
}

/// Text that no compressor shortens much.
fn noise(length: usize) -> String {
    let mut rng = support::rng::Rng::new(7);
    (0..length).map(|_| char::from(b'!' + rng.below(90) as u8)).collect()
}

/// Writes after the rewrite, so that an increment follows the base.
fn add(client: &mut Client) {
    for line in [
        "INCRBY integer 1000",
        "RPUSH list:small tail",
        "HDEL hash:small f1",
        "SREM set:small b",
        "ZINCRBY zset:small 2.5 a",
        "RENAME string renamed",
        "EXPIRE hash:large 100000",
        "SPOP set:integers 5",
        "MULTI",
        "SET in-transaction 1",
        "INCR in-transaction",
        "EXEC",
        "SELECT 3",
        "SET in-another-database 1",
        "SELECT 0",
    ] {
        client.must(line);
    }
}

fn rewrite(client: &mut Client) {
    client.must("BGREWRITEAOF");
    wait_for("the rewrite", Duration::from_secs(20), || {
        let info = client.must("INFO persistence").text().unwrap_or_default();
        info.contains("aof_rewrite_in_progress:0") && info.contains("aof_rewrite_scheduled:0")
    });
    let info = client.must("INFO persistence").text().unwrap_or_default();
    assert!(info.contains("aof_last_bgrewrite_status:ok"), "{info}");
}

fn dump(server: &Server) -> Dataset {
    dataset::dump(&mut server.client(), VALUES).unwrap()
}

/// Has `program` write a directory of the given layout. Returns what it held at the end.
fn write_directory(
    program: &Program,
    place: &Place,
    layout: Layout,
    options: &[&str],
    features: Features,
) -> Dataset {
    let mut server = Server::start_on(program, place, options);
    let mut client = server.client();
    fill(&mut client, features);
    match layout {
        Layout::Snapshot => {
            add(&mut client);
            client.must("SAVE");
        }
        Layout::RdbBase | Layout::AofBase => {
            rewrite(&mut client);
            add(&mut client);
        }
        // Nothing follows the base that becomes the single file, except what is appended below.
        Layout::SingleFile { .. } => {
            add(&mut client);
            rewrite(&mut client);
        }
    }
    let held = dump(&server);
    server.stop();
    if matches!(layout, Layout::SingleFile { .. }) {
        let folder = place.data().join("appendonlydir");
        let base = fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .find(|path| path.to_string_lossy().contains(".base."))
            .unwrap();
        fs::rename(base, place.data().join("appendonly.aof")).unwrap();
        fs::remove_dir_all(folder).unwrap();
    }
    held
}

/// What not every server has; the data has it when both servers of a test do.
#[derive(Clone, Copy)]
struct Features {
    streams: bool,
    field_expiry: bool,
}

impl Features {
    fn of(program: &Program) -> Self {
        let server = Server::start(program, &["save "]);
        let mut client = server.client();
        let mut knows = |command: &str| {
            let info = client.must(&format!("COMMAND INFO {command}"));
            info.items().iter().any(|item| !item.is_nil())
        };
        // Valkey has fields that expire in an RDB type of its own.
        let field_expiry = program.kind != peers::Kind::Valkey && knows("HPEXPIREAT");
        Self { streams: knows("XADD"), field_expiry }
    }

    fn of_both(one: &Program, other: &Program) -> Self {
        let (one, other) = (Self::of(one), Self::of(other));
        Self {
            streams: one.streams && other.streams,
            field_expiry: one.field_expiry && other.field_expiry,
        }
    }
}

/// Our server on a directory that `writer` made: the same data at once, after a restart, and
/// after a rewrite of our own.
fn takes_over(writer: &Program) {
    let Some(ours) = ours() else { return };
    let features = Features::of_both(writer, &ours);
    for layout in LAYOUTS {
        let what = format!("{} on {layout:?} of {}", ours.name, writer.name);
        eprintln!("interop: {what}");
        let place = Place::new();
        let options = layout.options();
        let held = write_directory(writer, &place, layout, &options, features);
        let mut server = Server::start_on(&ours, &place, &options);
        assert_same(&what, &held, &dump(&server));
        let mut client = server.client();
        client.must("SET written-by-the-next-one 1");
        let held = dump(&server);
        if layout == Layout::Snapshot {
            client.must("SAVE");
        }
        server.restart();
        assert_same(&format!("{what}, started again"), &held, &dump(&server));
        if layout != Layout::Snapshot {
            rewrite(&mut server.client());
            server.crash();
            assert_same(&format!("{what}, rewritten"), &held, &dump(&server));
        }
    }
}

/// `reader` on a directory that our server made.
fn is_taken_over_by(reader: &Program) {
    let Some(ours) = ours() else { return };
    let features = Features::of_both(reader, &ours);
    for layout in LAYOUTS {
        let what = format!("{} on {layout:?} of {}", reader.name, ours.name);
        eprintln!("interop: {what}");
        let place = Place::new();
        let mut options = layout.options();
        // The default compresses snapshots with zstd, which only we read.
        options.push("rdbcompression yes");
        let held = write_directory(&ours, &place, layout, &options, features);
        let mut server = Server::start_on(reader, &place, &options);
        assert_same(&what, &held, &dump(&server));
        if layout != Layout::Snapshot {
            server.client().must("SET written-by-the-next-one 1");
            let held = dump(&server);
            server.restart();
            assert_same(&format!("{what}, started again"), &held, &dump(&server));
            server.client().must("SET and-then 2");
            let held = dump(&server);
            server.stop();
            // Whose manifest says nothing of the base that we wrote, table and all.
            let server = Server::start_on(&ours, &place, &options);
            assert_same(&format!("{what}, and back again"), &held, &dump(&server));
            goes_on(&what, server, &place);
        }
    }
}

/// Our server, started on what another one had gone on with, writes and starts again.
fn goes_on(what: &str, mut server: Server, place: &Place) {
    server.client().must("SET back-again 3");
    let held = dump(&server);
    server.crash();
    assert_same(&format!("{what}, back again and killed"), &held, &dump(&server));
    server.client().must("SET back-again 4");
    let held = dump(&server);
    server.restart();
    assert_same(&format!("{what}, back again and started once more"), &held, &dump(&server));
    assert_eq!(
        backup_commands::check(&place.data()),
        0,
        "{what}: a server that is well calls its files damaged"
    );
}

#[test]
fn directories_of_redis_7_0_are_taken_over() {
    if let Some(writer) = peers::redis_on_path() {
        takes_over(&writer);
    }
}

#[test]
fn directories_of_redis_8_0_are_taken_over() {
    if let Some(writer) = peers::redis8() {
        takes_over(&writer);
    }
}

#[test]
fn directories_of_valkey_9_1_are_taken_over() {
    if let Some(writer) = peers::valkey9() {
        takes_over(&writer);
    }
}

#[test]
fn our_directories_start_under_redis_8_0() {
    if let Some(reader) = peers::redis8() {
        is_taken_over_by(&reader);
    }
}

#[test]
fn our_directories_start_under_valkey_9_1() {
    if let Some(reader) = peers::valkey9() {
        is_taken_over_by(&reader);
    }
}

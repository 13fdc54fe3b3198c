//! Whatever a client hands to RESTORE is refused, or becomes a value with which every command works.
//!
//! The first byte says what the rest is: a whole payload, as it comes from a client, or one to which version
//! and checksum are added, without which hardly any input would get further than to those. What is taken is
//! looked at with every command that reads its type, changed with most that write it, and dumped and restored again
//! before and after that, which must yield the same value. Payloads of FUNCTION RESTORE likewise.

#![no_main]

#[path = "../engine.rs"]
mod engine;
#[path = "../kinds.rs"]
mod kinds;

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use fastness::clock::{Clock, SystemClock};
use fastness::config::Config;
use fastness::snapshot::dump::put_footer;

use engine::Session;
use kinds::{KINDS, Kind};

/// Milliseconds after which code of a library is stopped.
const SCRIPT_MS: i64 = 50;

/// Of Redis 5, 7.0, 7.4, 8, and Valkey 9.
const VERSIONS: [u16; 5] = [9, 10, 12, 13, 80];

/// A bit of the first byte, beside the three for the version.
const WHOLE: u8 = 8;
const FUNCTIONS: u8 = 16;

/// The same instant for every input, so that what expires is the input's doing; to stop code takes real time.
struct Standing(SystemClock);

impl Clock for Standing {
    fn wall_us(&self) -> i64 {
        1_700_000_000_000_000
    }

    fn monotonic(&self) -> Duration {
        self.0.monotonic()
    }

    fn sleep(&self, duration: Duration) {
        self.0.sleep(duration);
    }
}

thread_local! {
    static SESSION: RefCell<Session> = RefCell::new(start());
}

fn start() -> Session {
    let mut config = Config::default();
    config.appendonly = false;
    config.enable_debug_command = fastness::config::Allow::Yes;
    config.busy_reply_threshold = SCRIPT_MS;
    // The least that it may be: long strings by SETRANGE and the like are not the point.
    config.proto_max_bulk_len = 1 << 20;
    Session::start(config, Arc::new(Standing(SystemClock::new())))
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((kind, rest)) = bytes.split_first() else { return };
    let mut payload = rest.to_vec();
    if kind & WHOLE == 0 {
        put_footer(&mut payload, 0, VERSIONS[usize::from(kind & 7) % VERSIONS.len()]);
    }
    SESSION.with_borrow_mut(|session| {
        if kind & FUNCTIONS == 0 {
            value(session, &payload);
        } else {
            functions(session, &payload);
        }
    });
});

fn value(session: &mut Session, payload: &[u8]) {
    if session.send(&[b"RESTORE", b"k", b"0", payload]).starts_with(b"-") {
        return;
    }
    let found = session.send(&[b"TYPE", b"k"]);
    // All fields of a hash may be over.
    if found != b"+none\r\n" {
        let kind = KINDS.iter().find(|kind| found == format!("+{}\r\n", kind.name).as_bytes());
        let kind = kind.expect("a type that this target knows");
        same_again(session);
        read(session, kind);
        for request in kind.writes {
            send(session, request);
            counts_agree(session, kind);
        }
        same_again(session);
        read(session, kind);
    }
    session.send(&[b"FLUSHALL"]);
}

/// Dumps the key and restores it beside: the same value.
fn same_again(session: &mut Session) {
    let dumped = session.send(&[b"DUMP", b"k"]);
    // A command that read the key may have removed it.
    let Some(payload) = bulk(&dumped) else { return };
    let restored = session.send(&[b"RESTORE", b"again", b"0", payload, b"REPLACE"]);
    assert_eq!(restored, b"+OK\r\n", "{}", payload.escape_ascii());
    let [k, again] =
        [&b"k"[..], b"again"].map(|key| session.send(&[b"DEBUG", b"DIGEST-VALUE", key]));
    assert_eq!(k, again, "{}", payload.escape_ascii());
}

fn read(session: &mut Session, kind: &Kind) {
    counts_agree(session, kind);
    for request in kinds::READS.iter().chain(kind.reads) {
        send(session, request);
    }
}

/// What the count of elements says is what a list of them shows.
fn counts_agree(session: &mut Session, kind: &Kind) {
    let [count, listed] = [kind.count, kind.list].map(|request| send(session, request));
    let number = |reply: &[u8]| -> usize {
        let line = reply[1..].split(|byte| *byte == b'\r').next().unwrap_or_default();
        String::from_utf8_lossy(line).parse().expect("a number")
    };
    let (count, listed) = (number(&count), number(&listed) / kind.width);
    // A hash counts fields that are over until something removes them.
    assert!(count == listed || kind.name == "hash" && count > listed, "{count} and {listed}");
}

/// Sends a line of words; `{0}` to `{2}` are an element each: the first, one in the middle, the last.
fn send(session: &mut Session, line: &str) -> Vec<u8> {
    let mut elements = Vec::new();
    if line.contains('{') {
        let found = session.send(&[b"TYPE", b"k"]);
        let kind = KINDS.iter().find(|kind| found == format!("+{}\r\n", kind.name).as_bytes());
        if let Some(kind) = kind {
            elements = bulks(&send(session, kind.list));
        }
    }
    let element = |at: usize| match elements.as_slice() {
        [] => &b""[..],
        all => &all[at * (all.len() - 1) / 2],
    };
    let words: Vec<&[u8]> = line
        .split(' ')
        .map(|word| match word {
            "{0}" => element(0),
            "{1}" => element(1),
            "{2}" => element(2),
            word => word.as_bytes(),
        })
        .collect();
    session.send(&words)
}

fn functions(session: &mut Session, payload: &[u8]) {
    if !session.send(&[b"FUNCTION", b"RESTORE", payload, b"FLUSH"]).starts_with(b"-") {
        let listed = session.send(&[b"FUNCTION", b"LIST", b"WITHCODE"]);
        let dumped = session.send(&[b"FUNCTION", b"DUMP"]);
        let payload = bulk(&dumped).expect("a dump");
        let restored = session.send(&[b"FUNCTION", b"RESTORE", payload, b"FLUSH"]);
        assert_eq!(restored, b"+OK\r\n");
        assert_eq!(listed.len(), session.send(&[b"FUNCTION", b"LIST", b"WITHCODE"]).len());
        session.send(&[b"FUNCTION", b"STATS"]);
    }
    session.send(&[b"FUNCTION", b"FLUSH"]);
}

/// The bytes of a bulk reply; `None` of a null.
fn bulk(reply: &[u8]) -> Option<&[u8]> {
    let at = reply.iter().position(|byte| *byte == b'\n')? + 1;
    reply[0].eq(&b'$').then(|| reply.get(at..reply.len() - 2))?
}

/// All strings in a reply, in their order.
fn bulks(reply: &[u8]) -> Vec<Vec<u8>> {
    let (mut rest, mut found) = (reply, Vec::new());
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let (line, behind) = rest.split_at(end + 1);
        rest = behind;
        let len = std::str::from_utf8(&line[1..end - 1]).ok().and_then(|len| len.parse().ok());
        if let (b'$', Some(len)) = (line[0], len) {
            let len: usize = len;
            found.push(rest[..len].to_vec());
            rest = &rest[len + 2..];
        }
    }
    found
}

//! What the filters of CLIENT LIST and CLIENT KILL can ask of a client.

use std::collections::BTreeSet;

use super::super::CommandError;
use super::client_list::flags;
use crate::clock::UnixMillis;
use crate::command::error::told_bytes;
use crate::session::{Client, ClientId, UserId};

/// Letters that CLIENT LIST may show as flags, those of other servers included.
pub(super) const FLAG_LETTERS: &[u8] = b"OSMPxbtRBdcuAUreTIiEN";
/// Letters of capabilities.
pub(super) const CAPABILITY_LETTERS: &[u8] = b"r";

/// What a client may have or be.
#[derive(Clone, Debug)]
pub(super) enum Property {
    Ids(BTreeSet<ClientId>),
    Address(Vec<u8>),
    LocalAddress(Vec<u8>),
    /// The peer's address without its port.
    Ip(Vec<u8>),
    Class(ClientClass),
    User(UserId),
    /// Seconds at least since it connected, and since it last sent something.
    Age(u64),
    Idle(u64),
    Name(Vec<u8>),
    LibraryName(Vec<u8>),
    LibraryVersion(Vec<u8>),
    /// All of these letters.
    Flags(Vec<u8>),
    Capabilities(Vec<u8>),
    Db(usize),
}

/// Client classes, as TYPE names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClientClass {
    Normal,
    PubSub,
    /// There are none here, but the name is known.
    Master,
    Replica,
}

impl ClientClass {
    /// By its name.
    pub(super) fn parse(name: &[u8]) -> Result<Self, CommandError> {
        const NAMES: &[(&str, ClientClass)] = &[
            ("normal", ClientClass::Normal),
            ("pubsub", ClientClass::PubSub),
            ("master", ClientClass::Master),
            ("primary", ClientClass::Master),
            ("replica", ClientClass::Replica),
            ("slave", ClientClass::Replica),
        ];
        let same = |(known, _): &&(&str, Self)| name.eq_ignore_ascii_case(known.as_bytes());
        NAMES.iter().find(same).map(|(_, class)| *class).ok_or_else(|| {
            let name = told_bytes(name);
            CommandError::bytes([b"ERR Unknown client type '", name, b"'"].concat())
        })
    }

    fn of(client: &Client) -> Self {
        match client.flags.replica {
            true => Self::Replica,
            false if client.is_subscribed() => Self::PubSub,
            false => Self::Normal,
        }
    }
}

impl Property {
    /// Whether a client has or is that.
    pub(super) fn holds(&self, client: &Client, now: UnixMillis) -> bool {
        // What a client has not told equals nothing, not even an empty text.
        let told = |wanted: &Vec<u8>, actual: &Vec<u8>| !actual.is_empty() && wanted == actual;
        match self {
            Self::Ids(ids) => ids.contains(&client.id),
            Self::Address(address) => address == client.address.as_bytes(),
            Self::LocalAddress(address) => address == client.local_address.as_bytes(),
            Self::Ip(ip) => is_from(client.address.as_bytes(), ip),
            Self::Class(class) => *class == ClientClass::of(client),
            Self::User(user) => {
                *user == client.user.as_ref().map_or(UserId::DEFAULT, |user| user.id)
            }
            Self::Age(age) => client.age_and_idle(now).0 >= *age,
            Self::Idle(idle) => client.age_and_idle(now).1 >= *idle,
            Self::Name(name) => told(name, &client.name),
            Self::LibraryName(name) => told(name, &client.library_name),
            Self::LibraryVersion(version) => told(version, &client.library_version),
            Self::Flags(letters) => has_flags(client, letters),
            Self::Capabilities(letters) => client.flags.follows_redirects || letters.is_empty(),
            Self::Db(db) => client.db == *db,
        }
    }
}

/// Whether `address` is `ip:port` or `[ip]:port`. A Unix socket has port 0, which no `ip` has.
fn is_from(address: &[u8], ip: &[u8]) -> bool {
    let rest = address.strip_prefix(b"[").unwrap_or(address).strip_prefix(ip);
    let port = rest.and_then(|rest| rest.strip_prefix(b"]").unwrap_or(rest).strip_prefix(b":"));
    port.is_some_and(|port| !port.starts_with(b"0"))
}

/// Whether a client has all these flags. One that monitors is a kind of replica.
fn has_flags(client: &Client, letters: &[u8]) -> bool {
    let shown = flags(client);
    letters.iter().all(|letter| {
        shown.as_bytes().contains(letter) || (*letter == b'S' && client.flags.monitor)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ip_is_the_whole_address_without_its_port() {
        assert!(is_from(b"127.0.0.1:5000", b"127.0.0.1"));
        assert!(!is_from(b"127.0.0.1:5000", b"127.0.0"));
        assert!(!is_from(b"127.0.0.1:5000", b""));
        assert!(is_from(b"[::1]:5000", b"::1"));
        assert!(!is_from(b"/tmp/a.sock:0", b"/tmp/a.sock"));
    }
}

//! Which version a file is written in, and what that version can hold.
//!
//! Old servers refuse files of newer versions, so a file for one is written in its own. What changed from
//! version to version are forms of values, which are only written differently, and things that older
//! versions have no place for at all: [`Target::refuses`] names those. See format-spec/snapshot.md.

use super::value::ValueView;

/// Oldest version that is written: the first one with today's strings, and what Redis 2.6 reads.
pub const OLDEST: u16 = 6;
/// Valkey's version with expiring fields in hashes.
pub(super) const VALKEY: u16 = 80;

/// The version of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Target {
    /// 11, or 12 where a field of a hash expires.
    #[default]
    Newest,
    /// This version of Redis'.
    Redis(u16),
    /// Version 80, Valkey's own.
    Valkey,
}

/// What a version can hold or how it writes it, by the first version that does.
#[derive(Debug, Clone, Copy)]
enum Since {
    /// Fields about the file, hints about the number of keys.
    Aux = 7,
    BinaryScores = 8,
    /// Streams, last use of keys.
    Streams = 9,
    /// Listpacks instead of ziplists, functions.
    Listpacks = 10,
    /// Listpacks of sets, when consumers were active.
    SetListpacks = 11,
    FieldExpiry = 12,
}

impl Target {
    /// The target with this number; `None` when files of that version are not written.
    pub fn of_number(number: u16) -> Option<Self> {
        match number {
            OLDEST..=12 => Some(Self::Redis(number)),
            VALKEY => Some(Self::Valkey),
            _ => None,
        }
    }

    /// The first nine bytes of a file.
    pub fn magic(self, field_expiry: bool) -> String {
        match (self, field_expiry) {
            (Self::Redis(number), _) => format!("REDIS{number:04}"),
            (Self::Newest, true) => "REDIS0012".to_owned(),
            (Self::Newest, false) => "REDIS0011".to_owned(),
            (Self::Valkey, _) => "VALKEY080".to_owned(),
        }
    }

    /// Why a value cannot be held; `None` when it can.
    pub fn refuses(self, value: ValueView<'_>) -> Option<&'static str> {
        match value {
            ValueView::Hash(hash) if hash.earliest_expire().is_some() && !self.times_fields() => {
                Some("fields of it expire, which needs version 12 (Redis 7.4) or 80 (Valkey 9)")
            }
            ValueView::Stream(_) if !self.has(Since::Streams) => {
                Some("it is a stream, which needs version 9 (Redis 5)")
            }
            _ => None,
        }
    }

    /// Why function libraries cannot be held; `None` when they can.
    pub fn refuses_functions(self) -> Option<&'static str> {
        (!self.has(Since::Listpacks)).then_some("functions need version 10 (Redis 7.0)")
    }

    fn has(self, since: Since) -> bool {
        match self {
            Self::Redis(number) => number >= since as u16,
            Self::Newest | Self::Valkey => true,
        }
    }

    fn times_fields(self) -> bool {
        self.has(Since::FieldExpiry)
    }

    pub(super) fn has_aux(self) -> bool {
        self.has(Since::Aux)
    }

    pub(super) fn has_uses(self) -> bool {
        self.has(Since::Streams)
    }

    pub(super) fn has_binary_scores(self) -> bool {
        self.has(Since::BinaryScores)
    }

    pub(super) fn has_listpacks(self) -> bool {
        self.has(Since::Listpacks)
    }

    pub(super) fn has_set_listpacks(self) -> bool {
        self.has(Since::SetListpacks)
    }

    pub(super) fn is_valkey(self) -> bool {
        self == Self::Valkey
    }
}

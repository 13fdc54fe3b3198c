//! Classes of keyspace notifications (`notify-keyspace-events`).
//!
//! A set of classes is a string of characters; `A` stands for all data classes, which leaves out `m`
//! (missed keys) and `n` (new keys). Nothing is published unless `K` or `E` is among them.

use std::fmt;

use super::value::{Setting, Value, mismatch};

/// A set of notification classes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NotifyFlags(u32);

impl NotifyFlags {
    /// `K`: publish to `__keyspace@<db>__:<key>`.
    pub const KEYSPACE: Self = Self(1);
    /// `E`: publish to `__keyevent@<db>__:<event>`.
    pub const KEYEVENT: Self = Self(1 << 1);
    /// `g`: commands that are not about one type, such as DEL, EXPIRE, RENAME.
    pub const GENERIC: Self = Self(1 << 2);
    /// `$`: strings.
    pub const STRING: Self = Self(1 << 3);
    /// `l`: lists.
    pub const LIST: Self = Self(1 << 4);
    /// `s`: sets.
    pub const SET: Self = Self(1 << 5);
    /// `h`: hashes.
    pub const HASH: Self = Self(1 << 6);
    /// `z`: sorted sets.
    pub const ZSET: Self = Self(1 << 7);
    /// `x`: keys that expired.
    pub const EXPIRED: Self = Self(1 << 8);
    /// `e`: keys that were evicted.
    pub const EVICTED: Self = Self(1 << 9);
    /// `t`: streams.
    pub const STREAM: Self = Self(1 << 10);
    /// `m`: reads of keys that are not there.
    pub const KEY_MISS: Self = Self(1 << 11);
    /// `d`: module types.
    pub const MODULE: Self = Self(1 << 13);
    /// `n`: keys that are new.
    pub const NEW: Self = Self(1 << 14);
    /// `A`: all data classes.
    pub const ALL: Self = Self(0b10_0111_1111_1100);

    const DATA: [(u8, Self); 10] = [
        (b'g', Self::GENERIC),
        (b'$', Self::STRING),
        (b'l', Self::LIST),
        (b's', Self::SET),
        (b'h', Self::HASH),
        (b'z', Self::ZSET),
        (b'x', Self::EXPIRED),
        (b'e', Self::EVICTED),
        (b't', Self::STREAM),
        (b'd', Self::MODULE),
    ];
    const OTHER: [(u8, Self); 4] =
        [(b'n', Self::NEW), (b'K', Self::KEYSPACE), (b'E', Self::KEYEVENT), (b'm', Self::KEY_MISS)];

    /// The set that these characters stand for; `None` when one is unknown.
    pub fn parse(classes: &[u8]) -> Option<Self> {
        let mut set = Self::default();
        for class in classes {
            let known = Self::DATA.iter().chain(&Self::OTHER).chain(&[(b'A', Self::ALL)]);
            set = set.or(known.clone().find(|(name, _)| name == class)?.1);
        }
        Some(set)
    }

    /// Both sets together.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all classes of `other` are in this set.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether an event of this class is published anywhere.
    pub const fn publishes(self, class: Self) -> bool {
        self.0 & class.0 != 0 && self.0 & (Self::KEYSPACE.0 | Self::KEYEVENT.0) != 0
    }

    /// The set as bits.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// The set of these bits; unknown ones are dropped.
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits & 0b110_1111_1111_1111)
    }
}

impl fmt::Display for NotifyFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.has(Self::ALL);
        if all {
            f.write_str("A")?;
        }
        let data = Self::DATA.iter().filter(|_| !all);
        for (name, class) in data.chain(&Self::OTHER) {
            if self.has(*class) {
                write!(f, "{}", char::from(*name))?;
            }
        }
        Ok(())
    }
}

impl Setting for NotifyFlags {
    fn value(&self) -> Value {
        Value::Flags(self.0)
    }
    fn assign(&mut self, value: &Value) -> Result<(), String> {
        let Value::Flags(bits) = value else { return Err(mismatch()) };
        *self = Self::from_bits(*bits);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_come_back_in_order() {
        for (given, printed) in [
            ("", ""),
            ("KEA", "AKE"),
            ("ndtexzhsl$gKE", "AnKE"),
            ("lxKm", "lxKm"),
            ("Elg", "glE"),
            ("AKEmn", "AnKEm"),
        ] {
            let set = NotifyFlags::parse(given.as_bytes()).unwrap();
            assert_eq!(set.to_string(), printed);
            assert_eq!(NotifyFlags::parse(printed.as_bytes()), Some(set));
            assert_eq!(NotifyFlags::from_bits(set.bits()), set);
        }
        assert_eq!(NotifyFlags::parse(b"KQ"), None);
    }

    #[test]
    fn nothing_is_published_without_a_channel() {
        let only_class = NotifyFlags::parse(b"l").unwrap();
        assert!(!only_class.publishes(NotifyFlags::LIST));
        assert!(only_class.or(NotifyFlags::KEYEVENT).publishes(NotifyFlags::LIST));
        assert!(!NotifyFlags::parse(b"KEA").unwrap().publishes(NotifyFlags::KEY_MISS));
    }
}

//! The first line of a script (`#!lua flags=no-writes,allow-oom`) or a library (`#!lua name=mylib`). Errors tell of its
//! words as `raw_text` marks them.

use crate::raw_text::mark;
use crate::resp::inline::split_words;

/// What names of libraries and functions are made of.
pub(super) const NAME_RULE: &str = "Library names can only contain letters, numbers, or \
                                    underscores(_) and must be at least one character long";

/// What a script says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScriptFlags(u8);

impl ScriptFlags {
    pub const NO_WRITES: Self = Self(1);
    pub const ALLOW_OOM: Self = Self(1 << 1);
    pub const ALLOW_STALE: Self = Self(1 << 2);
    pub const NO_CLUSTER: Self = Self(1 << 3);
    pub const ALLOW_CROSS_SLOT_KEYS: Self = Self(1 << 4);

    const NAMES: [(&'static str, Self); 5] = [
        ("no-writes", Self::NO_WRITES),
        ("allow-oom", Self::ALLOW_OOM),
        ("allow-stale", Self::ALLOW_STALE),
        ("no-cluster", Self::NO_CLUSTER),
        ("allow-cross-slot-keys", Self::ALLOW_CROSS_SLOT_KEYS),
    ];

    /// The flag of this name.
    pub fn named(name: &[u8]) -> Option<Self> {
        let found = Self::NAMES.iter().find(|(known, _)| known.as_bytes() == name);
        found.map(|&(_, flag)| flag)
    }

    /// Whether all of `other` is set.
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both sets.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What the first line of an EVAL script says; `None` without such a line, or with a wrong one.
    pub fn stated(source: &[u8]) -> Option<Self> {
        shebang(source).ok().flatten().map(|line| line.flags)
    }

    /// The names of the set flags.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.into_iter().filter(move |&(_, flag)| self.has(flag)).map(|(name, _)| name)
    }
}

/// A script's first line, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shebang {
    pub(super) flags: ScriptFlags,
    /// Length of the line without its end: the code starts there, so that lines count right.
    pub(super) len: usize,
}

/// Reads the first line of an EVAL script; `None` when it has none.
pub(super) fn shebang(body: &[u8]) -> Result<Option<Shebang>, String> {
    if !body.starts_with(b"#!") {
        return Ok(None);
    }
    let len = body.iter().position(|byte| *byte == b'\n').ok_or("Invalid script shebang")?;
    let words = split_words(body.get(..len).unwrap_or_default()).unwrap_or_default();
    let mut words = words.iter().map(|word| mark(word));
    let engine = words.next().ok_or("Invalid engine in script shebang")?;
    if engine != "#!lua" {
        return Err(format!("Unexpected engine in script shebang: {engine}"));
    }
    let mut flags = ScriptFlags::default();
    for word in words {
        let list = word
            .strip_prefix("flags=")
            .ok_or_else(|| format!("Unknown lua shebang option: {word}"))?;
        for name in list.split(',').filter(|_| !list.is_empty()) {
            let flag = ScriptFlags::named(name.as_bytes())
                .ok_or_else(|| format!("Unexpected flag in script shebang: {name}"))?;
            flags = flags.or(flag);
        }
    }
    Ok(Some(Shebang { flags, len }))
}

/// Whether a library or a function may have this name.
pub(super) fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// The name in the first line of a library: `#!lua name=mylib`.
pub(super) fn library_name(source: &[u8]) -> Result<String, String> {
    let line = source.strip_prefix(b"#!").ok_or("Missing library metadata")?;
    let end = line.iter().position(|byte| *byte == b'\n').ok_or("Invalid library metadata")?;
    let words = split_words(source.get(..end + 2).unwrap_or_default());
    let words = words.ok_or("Invalid library metadata")?;
    let mut words = words.iter().map(|word| mark(word));
    let engine = words.next().unwrap_or_default();
    let engine = engine.get(2..).unwrap_or_default();
    let mut name = None;
    for word in words {
        match word.split_at_checked(5) {
            Some((key, value)) if key.eq_ignore_ascii_case("name=") => {
                if name.replace(value.to_owned()).is_some() {
                    return Err(
                        "Invalid metadata value, name argument was given multiple times".to_owned()
                    );
                }
            }
            _ => return Err(format!("Invalid metadata value given: {word}")),
        }
    }
    let name = name.ok_or("Library name was not given")?;
    if !is_name(&name) {
        return Err(NAME_RULE.to_owned());
    }
    if !engine.eq_ignore_ascii_case("lua") {
        return Err(format!("Engine '{engine}' not found"));
    }
    Ok(name)
}

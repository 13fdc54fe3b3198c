//! Configuration: what redis.conf, the command line and `CONFIG SET` say, as typed settings.
//!
//! One table of directives ([`directive`]) drives everything here:
//!
//! ```text
//! config file, stdin, options --> file::load --> Config --> Settings (typed fields, read by all others)
//! CONFIG GET / SET / REWRITE  --> change, rewrite      \--> remembered (known, but without effect)
//! ```
//!
//! Nothing here touches a file system, a clock or a socket: files come through [`Files`], the rewritten
//! file is returned as bytes, and a change is a new `Config` with the names that differ, which the engine
//! applies or drops. Invariants: every directive's value has passed its row's kind and check; what
//! `CONFIG GET` prints is accepted by `CONFIG SET`; a rewritten file loads to the same values.
//! A bad file or option is a [`ConfigError`] with file, line and reason; nothing is guessed.

mod args;
mod change;
pub mod directive;
mod file;
mod kind;
mod notify;
mod reference;
mod rewrite;
mod rules;
mod settings;
#[cfg(test)]
mod tests;
mod value;
pub mod words;

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::sync::OnceLock;

pub use args::CommandLine;
pub use change::{ChangeError, Changed, is_secret};
pub use file::{ConfigError, DiskFiles, Files, Included, Loaded, included, load};
pub use kind::{integer, memory};
pub use notify::NotifyFlags;
pub use reference::reference;
pub use rules::{OutputLimit, OutputLimits, SavePoint, ShutdownOptions};
pub use settings::{
    AclPubsubDefault, Allow, AppendFsync, LogFormat, LogLevel, LogTimestampFormat, MaxmemoryPolicy,
    OomScoreAdj, RdbCompression, Settings, Supervised, SyslogFacility, UserLine,
};
pub use value::MemoryOrPercent;
pub use words::Word;

use directive::{Directive, Place};
use value::Value;

use crate::types::limits::Limits;

/// Places inside a request are numbers of 32 bits (`resp::Args`): longer ones are refused, whatever the directives allow.
const REQUEST_BYTES_MAX: u64 = (4 << 30) - (16 << 20);

/// The whole configuration. Typed settings are read as fields: `config.port`.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    settings: Settings,
    /// Values of directives without effect, where they are not the default.
    remembered: BTreeMap<&'static str, Value>,
}

impl Config {
    /// A path of a setting such as `logfile`: as it is, or inside `dir` when it is relative.
    pub fn path(&self, path: &str) -> String {
        absolute(&self.settings.dir, path)
    }

    /// Whether a client may CONFIG SET protected directives; `local` when it is on this machine.
    pub fn protected_allowed(&self, local: bool) -> bool {
        self.settings.enable_protected_configs.permits(local)
    }

    /// The longest string that a client may send or make.
    pub fn string_bytes_max(&self) -> u64 {
        self.proto_max_bulk_len.min(REQUEST_BYTES_MAX)
    }

    /// The most bytes that a client may send without an end of a request.
    pub fn request_bytes_max(&self) -> u64 {
        self.client_query_buffer_limit.min(REQUEST_BYTES_MAX)
    }

    /// The sizes at which the collection types change their encoding.
    pub fn limits(&self) -> Limits {
        let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        Limits {
            hash_max_listpack_entries: size(self.hash_max_listpack_entries),
            hash_max_listpack_value: size(self.hash_max_listpack_value),
            set_max_intset_entries: size(self.set_max_intset_entries),
            set_max_listpack_entries: size(self.set_max_listpack_entries),
            set_max_listpack_value: size(self.set_max_listpack_value),
            zset_max_listpack_entries: size(self.zset_max_listpack_entries),
            zset_max_listpack_value: size(self.zset_max_listpack_value),
            list_max_listpack_size: self.list_max_listpack_size,
            list_compress_depth: self.list_compress_depth,
            stream_node_max_bytes: size(self.stream_node_max_bytes),
            stream_node_max_entries: size(self.stream_node_max_entries),
            hll_sparse_max_bytes: size(self.hll_sparse_max_bytes),
            string_max_bytes: size(self.string_bytes_max()),
            keeps_zero_sign: false,
        }
    }

    /// The value of a directive; an empty text for lines that have none.
    fn value(&self, directive: &Directive) -> Value {
        match directive.place {
            Place::Field(field, _) => field(&self.settings).value(),
            Place::NoEffect(_) => {
                let value = self.remembered.get(directive.name).cloned();
                value.unwrap_or_else(|| default_of(directive))
            }
            Place::Line => Value::Text(Word::new()),
        }
    }

    /// Gives a directive the value that these arguments stand for. `append` is for lines of a file
    /// that follow another of the same directive.
    fn assign(
        &mut self,
        directive: &Directive,
        given: &[Word],
        append: bool,
    ) -> Result<(), String> {
        let value = directive.kind.parse(given, &self.value(directive), append)?;
        let value = directive.check.map_or(Ok(value.clone()), |check| check(value))?;
        match directive.place {
            Place::Field(_, field) => field(&mut self.settings).assign(&value)?,
            Place::NoEffect(_) if value == default_of(directive) => {
                self.remembered.remove(directive.name);
            }
            Place::NoEffect(_) => {
                self.remembered.insert(directive.name, value);
            }
            Place::Line => return Err(kind::WRONG_COUNT.to_owned()),
        }
        Ok(())
    }
}

impl Default for Config {
    fn default() -> Self {
        static DEFAULT: OnceLock<Config> = OnceLock::new();
        DEFAULT.get_or_init(Self::of_table).clone()
    }
}

impl Config {
    /// Every directive at the default of its row.
    fn of_table() -> Self {
        let mut config = Self { settings: Settings::default(), remembered: BTreeMap::new() };
        for directive in directive::all() {
            if let Place::Field(..) = directive.place {
                let assigned = config.assign(directive, &default_words(directive), false);
                debug_assert!(assigned.is_ok(), "default of {}: {assigned:?}", directive.name);
            }
        }
        // A core is left to the log thread and the kernel: on two cores a second reactor costs more CPU
        // per request than it brings (benches/RESULTS.md).
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        config.settings.io_threads = u32::try_from((cores - 1).clamp(1, 8)).unwrap_or(1);
        config
    }
}

impl Deref for Config {
    type Target = Settings;
    fn deref(&self) -> &Settings {
        &self.settings
    }
}

impl DerefMut for Config {
    fn deref_mut(&mut self) -> &mut Settings {
        &mut self.settings
    }
}

/// For the fuzzer: whatever the text of a config file, loading it either fails or gives a configuration
/// that survives `CONFIG REWRITE` of any old file. What follows a NUL is that old file.
#[doc(hidden)]
pub fn fuzz_config(bytes: &[u8]) {
    struct NoFiles;
    impl Files for NoFiles {
        fn read(&self, _: &str) -> std::io::Result<Vec<u8>> {
            Err(std::io::ErrorKind::NotFound.into())
        }
        fn list(&self, _: &str) -> std::io::Result<Vec<String>> {
            Err(std::io::ErrorKind::NotFound.into())
        }
        fn stdin(&self) -> std::io::Result<Vec<u8>> {
            Err(std::io::ErrorKind::NotFound.into())
        }
    }
    let at = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let (text, old) = bytes.split_at(at);
    let old = old.get(1..).unwrap_or_default();
    let line = CommandLine { options: text.to_vec(), ..CommandLine::default() };
    let _ = CommandLine::parse(&words::split_spaces(old));
    let Ok(loaded) = load(&line, &NoFiles, "/") else { return };
    let rewritten = loaded.config.rewritten(old, &[], &Included::default(), false);
    let again = load(&CommandLine { options: rewritten, ..CommandLine::default() }, &NoFiles, "/");
    let again = again.map(|again| again.config.get(&[b"*"]));
    let includes = old.windows(7).any(|window| window.eq_ignore_ascii_case(b"include"));
    match again {
        Ok(values) => {
            assert_eq!(values, loaded.config.get(&[b"*"]), "rewritten file loads differently")
        }
        Err(_) if includes || !loaded.config.users.is_empty() => {}
        Err(error) => assert!(error.is_line_only(), "rewritten file does not load: {error}"),
    }
}

/// `path` inside `base` unless it is absolute; `./` in front of it is dropped.
fn absolute(base: &str, path: &str) -> String {
    let mut relative = path;
    while let Some(rest) = relative.strip_prefix("./") {
        relative = rest.trim_start_matches('/');
    }
    match relative {
        "" | "." if !path.starts_with('/') => base.to_owned(),
        _ if path.starts_with('/') || base.is_empty() => path.to_owned(),
        _ => format!("{}/{relative}", base.trim_end_matches('/')),
    }
}

fn default_words(directive: &Directive) -> Vec<Word> {
    let default = directive.default.as_bytes();
    match directive.kind.takes_several() {
        true => words::split_line(default).unwrap_or_default(),
        false => vec![default.to_vec()],
    }
}

fn default_of(directive: &Directive) -> Value {
    let words = default_words(directive);
    let none = Value::Words(Vec::new());
    // The only defaults that do not parse are those of lists that are empty by default.
    directive.kind.parse(&words, &none, false).unwrap_or(none)
}

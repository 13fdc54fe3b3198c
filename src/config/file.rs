//! Config files: lines of `directive argument ...`, comments, includes.
//!
//! The order of sources is the order of precedence: file, standard input, command line; the last one to
//! name a directive decides, except that `save` lines add up, as in Redis. Relative includes are found
//! from the working directory, as in Redis too. An include that names one file must be readable; a
//! pattern may match none.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{self, Read};

use super::args::CommandLine;
use super::change::is_pattern;
use super::directive::{self, Directive, Place};
use super::kind::Kind;
use super::settings::UserLine;
use super::words::{self, Word};
use super::{Config, absolute, default_of};
use crate::disk::{Disk, OpenMode};
use crate::glob;

/// Most files that one configuration may include, one inside the other or one after the other.
const INCLUDES_MAX: usize = 256;
/// Deepest nesting of includes; a file that includes itself stops here.
const INCLUDE_DEPTH_MAX: usize = 16;

/// Where config files come from. Paths are absolute.
pub trait Files {
    /// The content of a file.
    fn read(&self, path: &str) -> io::Result<Vec<u8>>;
    /// The names in a directory, subdirectories with a trailing `/`.
    fn list(&self, dir: &str) -> io::Result<Vec<String>>;
    /// All of standard input.
    fn stdin(&self) -> io::Result<Vec<u8>>;
    /// Whether a file can be read again and again, as a pipe cannot.
    fn is_lasting(&self, _path: &str) -> bool {
        true
    }
}

/// Files of a disk, and the process' standard input.
#[derive(Debug)]
pub struct DiskFiles<'a>(pub &'a dyn Disk);

impl Files for DiskFiles<'_> {
    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        let file = self.0.open(path, OpenMode::Read).map_err(|error| error.source)?;
        let mut content = Vec::new();
        let mut buffer = vec![0; 1 << 16];
        loop {
            let offset = content.len() as u64;
            let taken = file.read_at(offset, &mut buffer).map_err(|error| error.source)?;
            match buffer.get(..taken) {
                Some(bytes) if taken > 0 => content.extend_from_slice(bytes),
                _ => return Ok(content),
            }
        }
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        self.0.list(dir).map_err(|error| error.source)
    }

    fn is_lasting(&self, path: &str) -> bool {
        self.0.is_lasting(path)
    }

    fn stdin(&self) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        io::stdin().lock().read_to_end(&mut content)?;
        Ok(content)
    }
}

/// What was loaded.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration; `dir` is absolute.
    pub config: Config,
    /// The absolute path of the config file, for CONFIG REWRITE.
    pub file: Option<String>,
    /// One line for each directive that was set and has no effect.
    pub warnings: Vec<String>,
}

/// Why a configuration was not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The file, or `command line`, or `standard input`.
    pub source: String,
    /// Line from 1; 0 when it is not about a line.
    pub line: usize,
    /// The line, where it may be shown.
    pub text: String,
    /// What is wrong.
    pub reason: String,
}

impl ConfigError {
    /// Whether it is about a line that only a file may have, and not about a value.
    pub(super) fn is_line_only(&self) -> bool {
        self.reason == BAD_LINE
            || self.reason.starts_with("can't open")
            || self.reason.contains("user")
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)?;
        if self.line > 0 && self.source != COMMAND_LINE {
            write!(f, ":{}", self.line)?;
        }
        match self.text.as_str() {
            "" => write!(f, ": {}", self.reason),
            text => write!(f, ": '{text}': {}", self.reason),
        }
    }
}

impl std::error::Error for ConfigError {}

const COMMAND_LINE: &str = "command line";
const STANDARD_INPUT: &str = "standard input";
const BAD_LINE: &str = "Bad directive or wrong number of arguments";

/// Loads what the command line names: its file, standard input when it asks for that, its options.
/// `working_dir` is absolute; relative paths start there.
pub fn load(
    line: &CommandLine,
    files: &dyn Files,
    working_dir: &str,
) -> Result<Loaded, ConfigError> {
    let mut loader = Loader {
        config: Config::default(),
        files,
        working_dir,
        given: BTreeMap::new(),
        includes: 0,
        again: false,
    };
    let file = line.file.as_ref().map(|path| absolute(working_dir, path));
    if let Some(path) = &file {
        let text = files.read(path).map_err(|error| unreadable(path, path, 0, &error))?;
        loader.source(path, &text, 0)?;
    }
    if line.stdin {
        let text =
            files.stdin().map_err(|error| unreadable(STANDARD_INPUT, STANDARD_INPUT, 0, &error))?;
        loader.source(STANDARD_INPUT, &text, 0)?;
    }
    loader.source(COMMAND_LINE, &line.options, 0)?;
    loader.finish(file)
}

/// What the files say that a config file includes.
#[derive(Debug, Default)]
pub struct Included {
    /// The defaults, and what those files change.
    pub(super) config: Config,
    /// The directives that they name.
    pub(super) given: BTreeSet<&'static str>,
}

impl Included {
    /// Their `user` lines.
    pub fn users(&self) -> &[UserLine] {
        &self.config.users
    }
}

/// What the files say now that `text`, the content of the config file at `path`, includes.
pub fn included(
    path: &str,
    text: &[u8],
    files: &dyn Files,
    working_dir: &str,
) -> Result<Included, ConfigError> {
    let config = Config::default();
    let mut loader =
        Loader { config, files, working_dir, given: BTreeMap::new(), includes: 0, again: true };
    for (at, line) in text.split(|byte| *byte == b'\n').enumerate() {
        let line = Line { source: path, number: at + 1, text: words::trim(line) };
        let words = words::split_line(line.text).unwrap_or_default();
        if words.first().is_some_and(|name| name.eq_ignore_ascii_case(b"include")) {
            loader.line(&line, 0)?;
        }
    }
    loader.config.dir = absolute(working_dir, &loader.config.dir);
    Ok(Included { config: loader.config, given: loader.given.into_keys().collect() })
}

struct Loader<'a> {
    config: Config,
    files: &'a dyn Files,
    working_dir: &'a str,
    /// Where each directive was given first.
    given: BTreeMap<&'static str, String>,
    includes: usize,
    /// Under the lock of a running server: nothing is read that may keep it waiting.
    again: bool,
}

/// A line and where it is, for errors.
struct Line<'a> {
    source: &'a str,
    number: usize,
    text: &'a [u8],
}

impl Line<'_> {
    fn error(&self, text: String, reason: &str) -> ConfigError {
        ConfigError {
            source: self.source.to_owned(),
            line: self.number,
            text,
            reason: reason.to_owned(),
        }
    }

    /// An error that shows the line, but not the secrets of `directive`.
    fn wrong(&self, directive: Option<&Directive>, reason: &str) -> ConfigError {
        let text = match directive {
            Some(directive) if directive.secret => format!("{} ...", directive.name),
            _ => String::from_utf8_lossy(self.text).into_owned(),
        };
        self.error(text, reason)
    }

    fn place(&self) -> String {
        match self.source {
            COMMAND_LINE => COMMAND_LINE.to_owned(),
            source => format!("{source}:{}", self.number),
        }
    }
}

impl Loader<'_> {
    fn source(&mut self, source: &str, text: &[u8], depth: usize) -> Result<(), ConfigError> {
        for (at, line) in text.split(|byte| *byte == b'\n').enumerate() {
            let line = Line { source, number: at + 1, text: words::trim(line) };
            if !line.text.is_empty() && line.text.first() != Some(&b'#') {
                self.line(&line, depth)?;
            }
        }
        Ok(())
    }

    fn line(&mut self, line: &Line<'_>, depth: usize) -> Result<(), ConfigError> {
        let words = words::split_line(line.text)
            .ok_or_else(|| line.wrong(None, "Unbalanced quotes in configuration line"))?;
        let Some((name, given)) = words.split_first() else { return Ok(()) };
        let Some((directive, _)) = directive::find(name) else {
            return Err(line.error(String::new(), &unknown(name)));
        };
        let append = self.given.contains_key(directive.name);
        match (&directive.place, directive.kind) {
            (Place::Line, _) => self.special(line, directive, given, depth)?,
            (Place::NoEffect(_), Kind::Line) => {}
            _ => {
                // Several arguments may come as one, in quotes: `save "900 1 300 10"`.
                let split = match given {
                    [one] if directive.kind.takes_several() && !one.is_empty() => {
                        words::split_line(one)
                    }
                    _ => None,
                };
                let given = split.as_deref().unwrap_or(given);
                self.config
                    .assign(directive, given, append)
                    .map_err(|reason| line.wrong(Some(directive), &reason))?;
            }
        }
        self.given.entry(directive.name).or_insert_with(|| line.place());
        Ok(())
    }

    /// Lines that have no value: `include`, `user`, `rename-command`.
    fn special(
        &mut self,
        line: &Line<'_>,
        directive: &Directive,
        given: &[Word],
        depth: usize,
    ) -> Result<(), ConfigError> {
        match (directive.name, given) {
            ("include", [path]) => self.include(line, path, depth),
            ("user", [name, ..]) => {
                if self.config.users.iter().any(|user| user.words.first() == Some(name)) {
                    let name = String::from_utf8_lossy(name);
                    let reason = format!(
                        "Duplicate user '{name}'. A user can only be defined once in config files"
                    );
                    return Err(line.wrong(Some(directive), &reason));
                }
                let words = given.to_vec();
                self.config.users.push(UserLine { words, place: line.place() });
                Ok(())
            }
            ("rename-command", [command, name]) => {
                self.config.renamed_commands.push((command.clone(), name.clone()));
                Ok(())
            }
            _ => Err(line.wrong(Some(directive), BAD_LINE)),
        }
    }

    fn include(&mut self, line: &Line<'_>, path: &[u8], depth: usize) -> Result<(), ConfigError> {
        let Ok(path) = std::str::from_utf8(path) else { return Err(line.wrong(None, BAD_LINE)) };
        let path = absolute(self.working_dir, path);
        let paths = match is_pattern(path.as_bytes()) {
            true => self.expand(&path),
            false => vec![path],
        };
        for path in paths {
            self.includes += 1;
            if depth >= INCLUDE_DEPTH_MAX || self.includes > INCLUDES_MAX {
                return Err(line.wrong(None, "too many includes; does a file include itself?"));
            }
            if self.again && !self.files.is_lasting(&path) {
                return Err(line.wrong(None, "it includes a pipe, which cannot be read again"));
            }
            let read = self.files.read(&path);
            let text = read.map_err(|error| unreadable(line.source, &path, line.number, &error))?;
            self.source(&path, &text, depth + 1)?;
        }
        Ok(())
    }

    /// The files whose path matches the pattern, sorted. A directory that cannot be read has none.
    fn expand(&self, pattern: &str) -> Vec<String> {
        let mut found = vec![String::new()];
        let parts: Vec<&str> = pattern.split('/').filter(|part| !part.is_empty()).collect();
        for (at, part) in parts.iter().enumerate() {
            let last = at + 1 == parts.len();
            let mut next = Vec::new();
            for dir in found {
                if !is_pattern(part.as_bytes()) {
                    next.push(format!("{dir}/{part}"));
                    continue;
                }
                let listed = self.files.list(if dir.is_empty() { "/" } else { &dir });
                let mut names = listed.unwrap_or_default();
                names.sort();
                for name in &names {
                    let plain = name.strip_suffix('/');
                    let fits = plain.is_some() != last && next.len() < INCLUDES_MAX + 1;
                    let plain = plain.unwrap_or(name);
                    let visible = part.starts_with('.') || !plain.starts_with('.');
                    if fits && visible && glob::matches(part.as_bytes(), plain.as_bytes(), false) {
                        next.push(format!("{dir}/{plain}"));
                    }
                }
            }
            found = next;
        }
        found
    }

    fn finish(mut self, file: Option<String>) -> Result<Loaded, ConfigError> {
        if !self.config.aclfile.is_empty() && !self.config.users.is_empty() {
            return Err(ConfigError {
                source: self.given.get("user").cloned().unwrap_or_default(),
                line: 0,
                text: String::new(),
                reason:
                    "'user' lines and 'aclfile' exclude each other: keep the users in one place"
                        .to_owned(),
            });
        }
        self.config.dir = absolute(self.working_dir, &self.config.dir);
        let mut warnings = Vec::new();
        for directive in directive::all() {
            let Some(reason) = directive.no_effect() else { continue };
            let Some(place) = self.given.get(directive.name) else { continue };
            let is_line = matches!(directive.kind, Kind::Line);
            if is_line || self.config.value(directive) != default_of(directive) {
                warnings.push(format!("{place}: '{}' has no effect: {reason}", directive.name));
            }
        }
        Ok(Loaded { config: self.config, file, warnings })
    }
}

fn unknown(name: &[u8]) -> String {
    let text = String::from_utf8_lossy(name);
    match directive::nearest(name) {
        Some(known) => {
            format!("'{text}': Bad directive or wrong number of arguments; did you mean '{known}'?")
        }
        None => format!("'{text}': Bad directive or wrong number of arguments"),
    }
}

fn unreadable(source: &str, path: &str, line: usize, error: &io::Error) -> ConfigError {
    let reason = error.to_string();
    let reason = reason.split(" (os error").next().unwrap_or_default();
    ConfigError {
        source: source.to_owned(),
        line,
        text: String::new(),
        reason: format!("can't open config file '{path}': {reason}"),
    }
}

#[cfg(test)]
#[path = "file_tests.rs"]
pub(super) mod tests;

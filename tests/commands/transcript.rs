//! Reads transcript files: see `README.md` for the notation.
//!
//! A transcript keeps every line of its file, so that blessing can write the file back with
//! nothing changed but the replies.

use std::fs;
use std::path::{Path, PathBuf};

use super::pattern::{Pattern, unescape};

pub(crate) struct Transcript {
    pub(crate) path: PathBuf,
    pub(crate) lines: Vec<String>,
    pub(crate) steps: Vec<Step>,
    /// `! server` lines: configuration directives for the start of the server.
    pub(crate) options: Vec<String>,
    /// `! only resp2`: the file is not run a second time in RESP3.
    pub(crate) resp2_only: bool,
}

pub(crate) struct Step {
    /// Index into `lines`.
    pub(crate) line: usize,
    pub(crate) connection: String,
    pub(crate) action: Action,
    /// `>>`: the reply is read by a later step.
    pub(crate) sent_only: bool,
    /// Who does not know what follows.
    pub(crate) needs: Needs,
    pub(crate) expected: Vec<Expected>,
}

/// Servers that a part of a transcript is not for.
#[derive(Clone, Default)]
pub(crate) struct Needs {
    /// The lowest version of a real server that knows it.
    pub(crate) version: Option<String>,
    /// Fastness does not have it yet.
    pub(crate) missing: bool,
}

pub(crate) enum Action {
    /// A request, as it stands in the file; expanded when it is sent.
    Request(String),
    Raw(Vec<u8>),
    /// Reads replies to what an earlier `>>` sent, or messages.
    Listen,
    Sleep(u64),
    /// Waits until no save and no rewrite runs.
    Settled,
    /// `! let NAME REQUEST`.
    Let(String, String),
    /// Closes all connections.
    Reset,
    Close,
}

/// One reply that is expected, with its other shape in RESP3.
pub(crate) struct Expected {
    pub(crate) line: usize,
    pub(crate) resp2: Pattern,
    pub(crate) resp3: Option<Pattern>,
    pub(crate) resp3_line: Option<usize>,
}

/// All transcripts of this folder, or the one that `TRANSCRIPT` names.
pub(crate) fn all() -> Vec<Transcript> {
    let folder = folder();
    let wanted = std::env::var("TRANSCRIPT").ok();
    let mut paths: Vec<PathBuf> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .filter(|path| path.file_name().is_some_and(|name| name != "seeds.txt"))
        .filter(|path| {
            let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
            wanted.is_none() || wanted == stem
        })
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "no transcript {wanted:?} in {}", folder.display());
    paths.iter().map(|path| Transcript::read(path)).collect()
}

pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/commands")
}

impl Transcript {
    pub(crate) fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap();
        let mut transcript = Self {
            path: path.to_path_buf(),
            lines: text.lines().map(ToOwned::to_owned).collect(),
            steps: Vec::new(),
            options: Vec::new(),
            resp2_only: false,
        };
        let mut needs = Needs::default();
        for (number, line) in text.lines().enumerate() {
            if let Err(why) = transcript.line(number, line.trim_end(), &mut needs) {
                panic!("{}:{}: {why}: {line}", path.display(), number + 1);
            }
        }
        transcript
    }

    pub(crate) fn name(&self) -> String {
        self.path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
    }

    fn line(&mut self, number: usize, line: &str, needs: &mut Needs) -> Result<(), String> {
        if line.is_empty() {
            *needs = Needs::default();
            return Ok(());
        }
        if line.starts_with('#') {
            return Ok(());
        }
        if let Some(directive) = line.strip_prefix("! ") {
            return self.directive(number, directive, needs);
        }
        let at = line.find(['<', '>']).ok_or("neither request nor reply")?;
        let (connection, rest) = line.split_at(at);
        if !connection.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err("a connection is named by letters and digits".into());
        }
        if let Some(request) = rest.strip_prefix(">>") {
            self.step(number, connection, Action::Request(request.trim().into()), needs);
            self.steps.last_mut().ok_or("no step")?.sent_only = true;
            // What follows is not its reply: that comes with a later `<`.
            self.step(number, connection, Action::Sleep(40), needs);
        } else if let Some(request) = rest.strip_prefix('>') {
            self.step(number, connection, Action::Request(request.trim().into()), needs);
        } else if let Some(reply) = rest.strip_prefix("<3") {
            let last = self.steps.last_mut().and_then(|step| step.expected.last_mut());
            let last = last.ok_or("no reply before this one")?;
            last.resp3 = Some(Pattern::parse(reply.trim())?);
            last.resp3_line = Some(number);
        } else {
            let pattern = Pattern::parse(rest[1..].trim())?;
            let same = self.steps.last().is_some_and(|step| {
                step.connection == connection
                    && !matches!(step.action, Action::Sleep(_) | Action::Settled)
            });
            if !same {
                self.step(number, connection, Action::Listen, needs);
            }
            let step = self.steps.last_mut().ok_or("no request before this reply")?;
            let expected = Expected { line: number, resp2: pattern, resp3: None, resp3_line: None };
            step.expected.push(expected);
        }
        Ok(())
    }

    fn directive(&mut self, number: usize, text: &str, needs: &mut Needs) -> Result<(), String> {
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        match word {
            "server" => self.options.push(rest.into()),
            "only" if rest == "resp2" => self.resp2_only = true,
            "needs" => needs.version = Some(rest.into()),
            "missing" => needs.missing = true,
            "sleep" => {
                let millis = rest.parse().map_err(|_| "sleep MILLISECONDS")?;
                self.step(number, "", Action::Sleep(millis), needs);
            }
            "settled" => self.step(number, "", Action::Settled, needs),
            "let" => {
                let (name, request) = rest.split_once(' ').ok_or("let NAME REQUEST")?;
                let (name, connection) = name.split_once('@').unwrap_or((name, ""));
                self.step(number, connection, Action::Let(name.into(), request.into()), needs);
            }
            "raw" => {
                let at = rest.find('"').ok_or("raw \"BYTES\"")?;
                let (bytes, _) = unescape(&rest[at + 1..], Some('"'))?;
                self.step(number, rest[..at].trim(), Action::Raw(bytes), needs);
            }
            "close" => self.step(number, rest, Action::Close, needs),
            "reset" => self.step(number, "", Action::Reset, needs),
            _ => return Err("no such directive".into()),
        }
        Ok(())
    }

    fn step(&mut self, line: usize, connection: &str, action: Action, needs: &Needs) {
        let (connection, needs) = (connection.to_owned(), needs.clone());
        self.steps.push(Step {
            line,
            connection,
            action,
            sent_only: false,
            needs,
            expected: Vec::new(),
        });
    }
}

/// Splits a request into its arguments: quotes and escapes as in redis-cli, `${name}` for what
/// `! let` kept, `{x*1000}` for repetition, `{1..9:$,v$}` for a series of arguments.
pub(crate) fn arguments(
    request: &str,
    kept: &dyn Fn(&str) -> Option<Vec<u8>>,
) -> Result<Vec<Vec<u8>>, String> {
    let mut args = Vec::new();
    let mut rest = request.trim_start();
    while !rest.is_empty() {
        if let Some(text) = rest.strip_prefix('"') {
            let (bytes, after) = unescape(text, Some('"'))?;
            args.push(bytes);
            rest = after;
        } else if let Some(text) = rest.strip_prefix('\'') {
            let (bytes, after) = text.split_once('\'').ok_or("no closing '")?;
            args.push(bytes.as_bytes().to_vec());
            rest = after;
        } else {
            let end = rest.find(' ').unwrap_or(rest.len());
            expand(&rest[..end], kept, &mut args)?;
            rest = &rest[end..];
        }
        rest = rest.trim_start();
    }
    Ok(args)
}

fn expand(
    word: &str,
    kept: &dyn Fn(&str) -> Option<Vec<u8>>,
    args: &mut Vec<Vec<u8>>,
) -> Result<(), String> {
    if let Some(name) = word.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')) {
        args.push(kept(name).ok_or_else(|| format!("nothing kept as {name}"))?);
        return Ok(());
    }
    let Some(inner) = word.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) else {
        args.push(word.as_bytes().to_vec());
        return Ok(());
    };
    let number = |text: &str| text.parse::<usize>().map_err(|_| format!("not a number: {text}"));
    if let Some((low, rest)) = inner.split_once("..") {
        let (high, template) = rest.split_once(':').unwrap_or((rest, "$"));
        for value in number(low)?..=number(high)? {
            for part in template.split(',') {
                args.push(part.replace('$', &value.to_string()).into_bytes());
            }
        }
    } else if let Some((text, count)) = inner.rsplit_once('*') {
        args.push(text.repeat(number(count)?).into_bytes());
    } else {
        args.push(word.as_bytes().to_vec());
    }
    Ok(())
}

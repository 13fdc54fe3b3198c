//! The scripts of EVAL and SCRIPT LOAD: compiled once, found by their SHA-1, the least used forgotten.
//!
//! Scripts that were only ever sent with EVAL are limited in number, as in Redis, so that clients which
//! make a new script per call do not fill memory; loaded ones stay until SCRIPT FLUSH.

use std::collections::HashMap;
use std::sync::Arc;

use mlua::{Function, RegistryKey, Value};

use super::commands::Commands;
use super::flags::{ScriptFlags, shebang};
use super::interpreter::{Calling, Interpreter, Kind};
use super::random::ScriptRandom;
use super::{api, raise, reply};
use crate::raw_text::unmark;
use crate::resp::Reply;

/// Scripts of EVAL that are kept.
const EVAL_SCRIPTS_MAX: usize = 500;

/// The name of a script: 40 hexadecimal digits in lower case.
type Digest = [u8; 40];

#[derive(Debug)]
struct Script {
    /// Held by the interpreter's registry: handles of mlua are few.
    function: RegistryKey,
    source: Arc<[u8]>,
    /// Its digest.
    name: Arc<str>,
    flags: ScriptFlags,
    has_shebang: bool,
    /// Time of the last use; `None` when it was loaded and stays.
    used: Option<u64>,
}

/// All scripts and the interpreter that they are compiled for.
#[derive(Debug, Default)]
pub struct Scripts {
    interpreter: Option<Arc<Interpreter>>,
    scripts: HashMap<Digest, Script, ahash::RandomState>,
    /// How many of them may be forgotten.
    forgettable: usize,
    uses: u64,
    /// What EVAL ran last.
    last: Option<Digest>,
    source_bytes: usize,
    /// The random numbers of all interpreters.
    pub random: ScriptRandom,
    /// Scripts may call what Redis calls deprecated (`lua-enable-deprecated-api`).
    pub deprecated_api: bool,
    /// Scripts forgotten so far (`evicted_scripts`).
    pub evicted: u64,
}

/// A script ready to run, free of the cache it comes from.
#[derive(Debug)]
pub struct Prepared {
    interpreter: Arc<Interpreter>,
    function: Function,
    calling: Calling,
    /// Digest or name of the function, for error texts.
    pub name: Arc<str>,
    pub flags: ScriptFlags,
    /// It states its flags: without any it is taken for one that may do everything.
    pub has_shebang: bool,
}

/// A script that ended with an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptError {
    /// For the client, code included: any bytes.
    pub text: Vec<u8>,
    /// It is in the error statistics already.
    pub counted: bool,
}

impl ScriptError {
    pub(super) fn new(text: String) -> Self {
        Self { text: text.into_bytes(), counted: false }
    }
}

impl Scripts {
    /// No scripts yet; whether they may call what Redis calls deprecated.
    pub fn with(deprecated_api: bool) -> Self {
        Self { deprecated_api, ..Self::default() }
    }

    /// The script that EVAL was sent: from the cache, or compiled and kept.
    pub fn by_source(&mut self, source: &[u8]) -> Result<Prepared, ScriptError> {
        // To compare sources costs less than to digest one.
        let is_last =
            |digest: &Digest| self.scripts.get(digest).is_some_and(|it| *it.source == *source);
        let digest = self.last.filter(is_last).unwrap_or_else(|| digest_of(source));
        self.last = Some(digest);
        if let Some(known) = self.prepare(&digest) {
            return Ok(known);
        }
        self.compile(digest, source, false)?;
        self.prepare(&digest).ok_or_else(no_script)
    }

    /// The script with this digest, in any case of letters.
    pub fn by_digest(&mut self, digest: &[u8]) -> Result<Prepared, ScriptError> {
        normalized(digest).and_then(|digest| self.prepare(&digest)).ok_or_else(no_script)
    }

    /// SCRIPT LOAD: keeps a script until SCRIPT FLUSH; returns its digest.
    pub fn load(&mut self, source: &[u8]) -> Result<String, ScriptError> {
        let digest = digest_of(source);
        match self.scripts.get_mut(&digest) {
            Some(script) => {
                if script.used.take().is_some() {
                    self.forgettable -= 1;
                }
            }
            None => self.compile(digest, source, true)?,
        }
        Ok(String::from_utf8_lossy(&digest).into_owned())
    }

    /// Whether a script with this digest is kept.
    pub fn contains(&self, digest: &[u8]) -> bool {
        normalized(digest).is_some_and(|digest| self.scripts.contains_key(&digest))
    }

    /// The source of a script.
    pub fn source(&self, digest: &[u8]) -> Option<Arc<[u8]>> {
        let script = self.scripts.get(&normalized(digest)?)?;
        Some(Arc::clone(&script.source))
    }

    /// Forgets all scripts and their interpreter, which come back to be dropped.
    pub fn take(&mut self) -> Box<dyn std::any::Any + Send> {
        self.forgettable = 0;
        self.source_bytes = 0;
        Box::new((std::mem::take(&mut self.scripts), self.interpreter.take()))
    }

    /// How many scripts are kept.
    pub fn len(&self) -> usize {
        self.scripts.len()
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.scripts.is_empty()
    }

    /// Bytes that the interpreter has allocated.
    pub fn interpreter_bytes(&self) -> usize {
        self.interpreter.as_ref().map_or(0, |interpreter| interpreter.memory_bytes())
    }

    /// Bytes of the cache beside the interpreter.
    pub fn cache_bytes(&self) -> usize {
        self.source_bytes + self.scripts.capacity() * size_of::<(Digest, Script)>()
    }

    fn compile(&mut self, digest: Digest, source: &[u8], stays: bool) -> Result<(), ScriptError> {
        let refused = |why: String| ScriptError {
            text: [b"ERR ", unmark(&why).as_ref()].concat(),
            counted: false,
        };
        let line = shebang(source).map_err(refused)?;
        let code = source.get(line.map_or(0, |line| line.len)..).unwrap_or_default();
        let interpreter = self.interpreter()?;
        let compiled = interpreter.compile(code, "@user_script");
        let function =
            compiled.and_then(|function| Ok(interpreter.keep(&function)?)).map_err(|text| {
                let text = [b"ERR Error compiling script (new function): ", &*text].concat();
                ScriptError { text, counted: false }
            })?;
        if !stays {
            self.forget_one();
            self.forgettable += 1;
        }
        self.uses += 1;
        self.source_bytes += source.len();
        let script = Script {
            function,
            source: source.into(),
            name: String::from_utf8_lossy(&digest).into(),
            flags: line.map(|line| line.flags).unwrap_or_default(),
            has_shebang: line.is_some(),
            used: (!stays).then_some(self.uses),
        };
        self.scripts.insert(digest, script);
        Ok(())
    }

    /// Makes room for one more script of EVAL.
    fn forget_one(&mut self) {
        if self.forgettable < EVAL_SCRIPTS_MAX {
            return;
        }
        let oldest =
            self.scripts.iter().filter_map(|(digest, script)| Some((script.used?, *digest)));
        if let Some((_, digest)) = oldest.min()
            && let Some(script) = self.scripts.remove(&digest)
        {
            self.source_bytes -= script.source.len();
            self.forgettable -= 1;
            self.evicted += 1;
        }
    }

    fn prepare(&mut self, digest: &Digest) -> Option<Prepared> {
        self.uses += 1;
        let script = self.scripts.get_mut(digest)?;
        if let Some(used) = script.used.as_mut() {
            *used = self.uses;
        }
        let interpreter = self.interpreter.as_ref()?;
        Some(Prepared::new(
            interpreter,
            interpreter.kept(&script.function)?,
            Calling::Script,
            Arc::clone(&script.name),
            (script.flags, script.has_shebang),
        ))
    }

    fn interpreter(&mut self) -> Result<Arc<Interpreter>, ScriptError> {
        if let Some(interpreter) = &self.interpreter {
            return Ok(Arc::clone(interpreter));
        }
        let made = Interpreter::new(&self.random, Kind::Scripts, self.deprecated_api).map_err(
            |error| ScriptError::new(format!("ERR the script interpreter cannot start: {error}")),
        )?;
        let made = Arc::new(made);
        self.interpreter = Some(Arc::clone(&made));
        Ok(made)
    }
}

impl Prepared {
    /// A compiled function of an interpreter, with what it states of itself, if it does.
    pub(super) fn new(
        interpreter: &Arc<Interpreter>,
        function: Function,
        calling: Calling,
        name: Arc<str>,
        (flags, has_shebang): (ScriptFlags, bool),
    ) -> Self {
        Self { interpreter: Arc::clone(interpreter), function, calling, name, flags, has_shebang }
    }

    /// Runs the script and writes its result.
    pub fn run<'a>(
        &self,
        keys: impl Iterator<Item = &'a [u8]>,
        arguments: impl Iterator<Item = &'a [u8]>,
        commands: &mut dyn Commands,
        reply: &mut Reply,
    ) -> Result<(), ScriptError> {
        let run = &self.interpreter;
        let ended = run
            .run(self.calling, &self.function, keys, arguments, commands)
            .map_err(|text| ScriptError::new(format!("ERR {text}")))?;
        if ended.ok {
            let failed = |error: mlua::Error| ScriptError::new(format!("ERR {error}"));
            if let Value::Table(table) = &ended.value
                && reply::write_sequence(table, commands.resp3(), reply, 0).map_err(failed)?
            {
                return Ok(());
            }
            if let Value::Table(table) = &ended.value
                && let Value::String(text) = table.raw_get("err").map_err(failed)?
            {
                return Err(self.error_of(table, raise::shown(&text)));
            }
            return reply::from_lua(&ended.value, commands.resp3(), reply).map_err(failed);
        }
        let text = raise::failure_text(&ended.value);
        Err(match &ended.value {
            Value::Table(table) => self.error_of(table, text),
            _ => ScriptError { text, counted: false },
        })
    }

    /// The error in a table with `err` and perhaps the place where it was raised.
    fn error_of(&self, table: &mlua::Table, mut text: Vec<u8>) -> ScriptError {
        let place = (table.raw_get::<Value>("source"), table.raw_get::<Value>("line"));
        if let (Ok(Value::String(source)), Ok(line @ (Value::Integer(_) | Value::Number(_)))) =
            place
        {
            text.extend_from_slice(format!(" script: {}, on ", self.name).as_bytes());
            text.extend_from_slice(&source.as_bytes());
            text.extend_from_slice(
                format!(":{}.", line.to_string().unwrap_or_default()).as_bytes(),
            );
        }
        let counted = table.raw_get::<bool>("ignore_error_stats_update").unwrap_or(false);
        ScriptError { text, counted }
    }
}

fn no_script() -> ScriptError {
    ScriptError::new("NOSCRIPT No matching script. Please use EVAL.".to_owned())
}

fn digest_of(source: &[u8]) -> Digest {
    api::hex_digest(source)
}

fn normalized(digest: &[u8]) -> Option<Digest> {
    let mut digest = Digest::try_from(digest).ok()?;
    digest.make_ascii_lowercase();
    Some(digest)
}

//! Libraries of functions: loaded once, part of the data set, saved as their source.
//!
//! A library is a Lua chunk that is run when it is loaded and registers functions then. While it runs
//! it sees nothing but `redis.register_function` and the log; its functions see what scripts see. Two
//! libraries never have a function of the same name, in whatever case.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use mlua::Function;

use super::commands::{Commands, LogLevel};
use super::flags::{ScriptFlags, library_name};
use super::interpreter::{Calling, Interpreter, Kind};
use super::random::ScriptRandom;
use super::register::{Registered, Registry};
use super::scripts::{Prepared, ScriptError};
use crate::raw_text::unmark;
use crate::resp::{Args, Reply};

/// Looks at the clock (every 100,000 instructions) before the loading of a library is given up.
const LOAD_PULSES_MAX: u32 = 500;

/// One library.
#[derive(Debug)]
pub struct Library {
    pub name: String,
    pub source: Arc<[u8]>,
    /// In the order of registration.
    functions: Vec<Arc<Registered>>,
}

impl Library {
    /// Its functions: name, description, flags.
    pub fn functions(&self) -> impl ExactSizeIterator<Item = (&str, Option<&[u8]>, ScriptFlags)> {
        self.functions
            .iter()
            .map(|function| (&*function.name, function.description.as_deref(), function.flags))
    }
}

/// What happens to libraries that are there when a dump is restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestorePolicy {
    /// A library of the same name makes it fail.
    Append,
    /// Libraries of the same name are replaced.
    Replace,
    /// All others are forgotten.
    Flush,
}

/// All libraries and the interpreter that they live in.
#[derive(Debug, Default)]
pub struct Libraries {
    interpreter: Option<Arc<Interpreter>>,
    registry: Registry,
    libraries: BTreeMap<String, Arc<Library>>,
    /// By their names in lower case.
    functions: HashMap<String, Arc<Registered>, ahash::RandomState>,
    random: ScriptRandom,
    /// Functions may call what Redis calls deprecated (`lua-enable-deprecated-api`).
    pub deprecated_api: bool,
    /// They changed since the engine last looked: their log position is not known yet.
    pub changed: bool,
    /// Log position behind their last change.
    pub position: u64,
}

impl Libraries {
    /// No libraries yet; whether their functions may call what Redis calls deprecated.
    pub fn with(deprecated_api: bool) -> Self {
        Self { deprecated_api, ..Self::default() }
    }

    /// Uses these random numbers from now on.
    pub fn share_random(&mut self, random: &ScriptRandom) {
        self.random = random.clone();
    }

    /// FUNCTION LOAD: returns the library's name.
    pub fn load(&mut self, source: &[u8], replace: bool) -> Result<String, Vec<u8>> {
        let name = library_name(source).map_err(|why| unmark(&why).into_owned())?;
        if !replace && self.libraries.contains_key(&name) {
            return Err(format!("Library '{name}' already exists").into());
        }
        let library = self.build(name, source)?;
        self.check_names(&library, &[&library.name])?;
        Ok(self.put(library))
    }

    /// FUNCTION RESTORE: all of the sources or none.
    pub fn restore(&mut self, sources: &[Vec<u8>], policy: RestorePolicy) -> Result<(), Vec<u8>> {
        let mut built: Vec<Library> = Vec::with_capacity(sources.len());
        for source in sources {
            let name = library_name(source).map_err(|why| unmark(&why).into_owned())?;
            let library = self.build(name, source)?;
            for other in &built {
                if other.name == library.name {
                    return Err(format!("Library {} already exists", library.name).into());
                }
                let mut taken = other.functions.iter().map(|function| folded(&function.name));
                if let Some(name) = taken
                    .find(|name| library.functions.iter().any(|own| folded(&own.name) == *name))
                {
                    return Err(format!("Function {name} already exists").into());
                }
            }
            built.push(library);
        }
        if policy == RestorePolicy::Flush {
            // The interpreter stays: the new libraries live in it.
            self.libraries.clear();
            self.functions.clear();
        }
        let mut replaced = Vec::new();
        for library in &built {
            if self.libraries.contains_key(&library.name) {
                if policy == RestorePolicy::Append {
                    return Err(format!("Library {} already exists", library.name).into());
                }
                replaced.push(library.name.as_str());
            }
        }
        for library in &built {
            self.check_names(library, &replaced)?;
        }
        let names: Vec<String> = built.iter().map(|library| library.name.clone()).collect();
        for name in &names {
            self.unlink(name);
        }
        for library in built {
            self.put(library);
        }
        self.changed = true;
        Ok(())
    }

    /// FUNCTION DELETE. False when there is no such library.
    pub fn delete(&mut self, name: &[u8]) -> bool {
        let found = std::str::from_utf8(name).is_ok_and(|name| self.unlink(name));
        self.changed |= found;
        found
    }

    /// Forgets all; what is forgotten comes back to be dropped.
    pub fn take(&mut self) -> Box<dyn std::any::Any + Send> {
        let forgotten = (
            std::mem::take(&mut self.libraries),
            std::mem::take(&mut self.functions),
            self.interpreter.take(),
        );
        self.changed = true;
        Box::new(forgotten)
    }

    /// Libraries in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Library> {
        self.libraries.values().map(AsRef::as_ref)
    }

    /// How many libraries there are.
    pub fn len(&self) -> usize {
        self.libraries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.libraries.is_empty()
    }

    /// How many functions there are.
    pub fn function_count(&self) -> usize {
        self.functions.len()
    }

    /// The function of this name, ready to run.
    pub fn function(&self, name: &[u8]) -> Result<Prepared, ScriptError> {
        let found = std::str::from_utf8(name).ok().and_then(|name| {
            // Most callers write the name as it was registered.
            self.functions.get(name).or_else(|| self.functions.get(&folded(name)))
        });
        let (Some(function), Some(interpreter)) = (found, &self.interpreter) else {
            return Err(ScriptError::new("ERR Function not found".to_owned()));
        };
        let callback = interpreter.kept(&function.callback);
        Ok(Prepared::new(
            interpreter,
            callback.ok_or_else(|| ScriptError::new("ERR Function not found".to_owned()))?,
            Calling::Function,
            Arc::clone(&function.name),
            (function.flags, true),
        ))
    }

    /// Whether there is a function of this name.
    pub fn has_function(&self, name: &[u8]) -> bool {
        std::str::from_utf8(name).is_ok_and(|name| {
            self.functions.contains_key(name) || self.functions.contains_key(&folded(name))
        })
    }

    /// Bytes that the interpreter has allocated.
    pub fn interpreter_bytes(&self) -> usize {
        self.interpreter.as_ref().map_or(0, |interpreter| interpreter.memory_bytes())
    }

    /// Bytes of the libraries beside the interpreter.
    pub fn library_bytes(&self) -> usize {
        let of_functions = self.functions.len() * (size_of::<Registered>() + size_of::<String>());
        of_functions + self.iter().map(|library| library.source.len()).sum::<usize>()
    }

    /// Compiles a library and lets it register its functions.
    fn build(&mut self, name: String, source: &[u8]) -> Result<Library, Vec<u8>> {
        let interpreter = self.interpreter()?;
        let line = source.iter().position(|byte| *byte == b'\n').unwrap_or(source.len());
        let code = source.get(line..).unwrap_or_default();
        let chunk: Function = interpreter
            .compile(code, "@user_function")
            .map_err(|text| [b"Error compiling function: ", &*text].concat())?;
        self.registry.open();
        let loaded = interpreter.load_chunk(&chunk, &mut Loading::default());
        let functions = self.registry.close();
        if let Err(text) = loaded {
            return Err([b"Error registering functions: ", &*text].concat());
        }
        if functions.is_empty() {
            return Err("No functions registered".into());
        }
        let functions = functions.into_iter().map(Arc::new).collect();
        Ok(Library { name, source: source.into(), functions })
    }

    /// No function of `library` may be one of another library that stays.
    fn check_names(&self, library: &Library, leaving: &[&str]) -> Result<(), Vec<u8>> {
        let leaves = |name: &str| {
            leaving
                .iter()
                .filter_map(|library| self.libraries.get(*library))
                .any(|library| library.functions.iter().any(|own| folded(&own.name) == name))
        };
        for function in &library.functions {
            let name = folded(&function.name);
            if self.functions.contains_key(&name) && !leaves(&name) {
                return Err(format!("Function {} already exists", function.name).into());
            }
        }
        Ok(())
    }

    fn put(&mut self, library: Library) -> String {
        self.unlink(&library.name);
        for function in &library.functions {
            self.functions.insert(folded(&function.name), Arc::clone(function));
        }
        let name = library.name.clone();
        self.libraries.insert(name.clone(), Arc::new(library));
        self.changed = true;
        name
    }

    fn unlink(&mut self, name: &str) -> bool {
        let Some(library) = self.libraries.remove(name) else { return false };
        for function in &library.functions {
            self.functions.remove(&folded(&function.name));
        }
        true
    }

    fn interpreter(&mut self) -> Result<Arc<Interpreter>, String> {
        if let Some(interpreter) = &self.interpreter {
            return Ok(Arc::clone(interpreter));
        }
        let made = Interpreter::new(
            &self.random,
            Kind::Functions(self.registry.clone()),
            self.deprecated_api,
        )
        .map_err(|error| format!("the function interpreter cannot start: {error}"))?;
        let made = Arc::new(made);
        self.interpreter = Some(Arc::clone(&made));
        Ok(made)
    }
}

fn folded(name: &str) -> String {
    name.to_ascii_lowercase()
}

/// What a library can reach while it is loaded: nothing, and not for long.
#[derive(Debug, Default)]
struct Loading {
    pulses: u32,
}

impl Commands for Loading {
    fn call(&mut self, _: &Args, _: &mut Reply) -> Result<(), String> {
        Err("ERR redis.call/pcall can only be called inside a script invocation".to_owned())
    }

    fn set_resp3(&mut self, _: bool) {}

    fn resp3(&self) -> bool {
        false
    }

    fn set_replication(&mut self, _: u8) {}

    fn log(&mut self, _: LogLevel, _: &str) {}

    fn permits(&mut self, _: &Args) -> Option<bool> {
        None
    }

    fn pulse(&mut self) -> Option<&'static str> {
        self.pulses += 1;
        self.killed()
    }

    fn killed(&self) -> Option<&'static str> {
        (self.pulses > LOAD_PULSES_MAX).then_some("FUNCTION LOAD timeout")
    }
}

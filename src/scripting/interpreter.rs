//! One Lua interpreter: built once, sandboxed by `prelude.lua`, then given compiled functions to run.
//!
//! EVAL and functions have one each, as in Redis. Memory is bounded by a limit on the interpreter's
//! allocator, the C stack by Lua's own limits, time by a hook that asks [`Commands::pulse`] every so
//! many instructions. The limit on memory is off while Rust code makes values, whose size is bounded
//! by what they are made of: mlua need not run each step protected then.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering};

use mlua::{Function, HookTriggers, Lua, LuaOptions, RegistryKey, StdLib, Table, Value, VmState};

use super::commands::{self, Commands};
use super::raise::{self, Raise, raise_of};
use super::random::ScriptRandom;
use super::register::Registry;
use super::{api, bits, json, msgpack, structs};

/// The name of the sandbox's own code in the call stack.
pub(super) const PRELUDE: &str = "=sandbox";
/// Most memory that the scripts of one interpreter may hold.
const MEMORY_BYTES_MAX: usize = 1 << 30;
/// Uses between two looks at the memory. Above the small size the collector is made to take a step then.
const USES_PER_STEP: u32 = 100;
const STEP_KBYTES: i32 = 50;
const SMALL_BYTES: usize = 1 << 20;
/// How large memory grows before the collector begins again, in percent of what it left.
const PAUSE_SMALL: i32 = 300;
const PAUSE: i32 = 200;
/// Instructions between two looks at the clock.
const PULSE_INSTRUCTIONS: u32 = 100_000;

/// What an interpreter is for.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// EVAL.
    Scripts,
    /// Functions, registered here while a library is loaded.
    Functions(Registry),
}

/// A Lua state with the sandbox in place.
pub(super) struct Interpreter {
    lua: Lua,
    /// Compiles a text under a name.
    load_string: Function,
    /// Switches between what a library sees while it is loaded and what its functions see.
    set_loading: Function,
    run_script: Function,
    run_function: Function,
    /// Runs and compilations so far.
    uses: AtomicU32,
}

impl std::fmt::Debug for Interpreter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Interpreter").field("memory", &self.memory_bytes()).finish_non_exhaustive()
    }
}

/// Which of its two ways a compiled function is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Calling {
    /// `KEYS` and `ARGV` are globals.
    Script,
    /// Keys and arguments are parameters.
    Function,
}

/// What a run ended with: the value returned, or the error table.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) ok: bool,
    pub(super) value: Value,
}

impl Interpreter {
    /// A fresh interpreter.
    pub(super) fn new(
        random: &ScriptRandom,
        kind: Kind,
        deprecated_api: bool,
    ) -> mlua::Result<Self> {
        let libraries = StdLib::STRING | StdLib::TABLE | StdLib::MATH | StdLib::OS;
        let lua = Lua::new_with(libraries, LuaOptions::default())?;
        let native = lua.create_table()?;
        native.set("caught", lua.create_function(raise::caught)?)?;
        native.set("caught_text", lua.create_function(raise::caught_text)?)?;
        native.set("handler", lua.create_function(raise::handle)?)?;
        // Lua's own, which names what is wrong in whatever bytes the code has.
        let load_string: Function = lua.globals().get("loadstring")?;
        native.set("loadstring", lua.create_function(loader(load_string.clone()))?)?;
        native.set("random", random.random_function(&lua)?)?;
        native.set("randomseed", random.seed_function(&lua)?)?;
        let shown = lua.create_table()?;
        let redis = api::library(&lua)?;
        let loading = match &kind {
            Kind::Scripts => {
                api::add_for_scripts(&lua, &redis)?;
                None
            }
            Kind::Functions(registry) => Some(api::loading_library(&lua, &redis, registry)?),
        };
        shown.set("server", &redis)?;
        shown.set("redis", redis)?;
        shown.set("bit", bits::library(&lua)?)?;
        shown.set("cjson", json::library(&lua)?)?;
        shown.set("cmsgpack", msgpack::library(&lua)?)?;
        shown.set("struct", structs::library(&lua)?)?;
        let sandbox = lua.load(include_str!("prelude.lua")).set_name(PRELUDE);
        let parts: (Table, Function, Function, Function) =
            sandbox.call((native, shown, loading, deprecated_api))?;
        let (environment, set_loading, run_script, run_function) = parts;
        lua.set_globals(environment)?;
        let triggers = HookTriggers::new().every_nth_instruction(PULSE_INSTRUCTIONS);
        lua.set_global_hook(triggers, |_, _| {
            match commands::with(|commands| commands.pulse()).flatten() {
                Some(reason) => Err(Raise::Killed(reason).into()),
                None => Ok(VmState::Continue),
            }
        })?;
        let uses = AtomicU32::new(0);
        Ok(Self { lua, load_string, set_loading, run_script, run_function, uses })
    }

    /// Bytes that the interpreter has allocated.
    pub(super) fn memory_bytes(&self) -> usize {
        self.lua.used_memory()
    }

    /// Compiles `body`; errors name it `chunk`, which begins with `@`.
    pub(super) fn compile(&self, body: &[u8], chunk: &str) -> Result<Function, Vec<u8>> {
        let _limited = Limited::new(&self.lua);
        compile(&self.lua, &self.load_string, body, chunk.as_bytes())
    }

    /// Collects a bit of garbage every so many uses: the collector alone lets memory double first. Little memory may
    /// grow further before it is walked through again.
    fn tidy(&self) {
        if self.uses.fetch_add(1, Ordering::Relaxed) % USES_PER_STEP != USES_PER_STEP - 1 {
            return;
        }
        if self.memory_bytes() <= SMALL_BYTES {
            self.lua.gc_set_pause(PAUSE_SMALL);
            return;
        }
        self.lua.gc_set_pause(PAUSE);
        // Only a finalizer could fail, and there is none.
        let _ = self.lua.gc_step_kbytes(STEP_KBYTES);
    }

    /// Keeps a function for as long as the key lives.
    pub(super) fn keep(&self, function: &Function) -> Result<RegistryKey, String> {
        self.tidy();
        self.lua.create_registry_value(function).map_err(text_of)
    }

    /// A function that is kept.
    pub(super) fn kept(&self, key: &RegistryKey) -> Option<Function> {
        self.lua.registry_value(key).ok()
    }

    /// Calls a compiled function.
    pub(super) fn run<'a>(
        &self,
        calling: Calling,
        function: &Function,
        keys: impl Iterator<Item = &'a [u8]>,
        arguments: impl Iterator<Item = &'a [u8]>,
        commands: &mut dyn Commands,
    ) -> Result<Ended, String> {
        let keys = self.lua.create_sequence_from(keys.map(mlua::String::wrap));
        let arguments = self.lua.create_sequence_from(arguments.map(mlua::String::wrap));
        let (keys, arguments) = (keys.map_err(text_of)?, arguments.map_err(text_of)?);
        let runner = match calling {
            Calling::Script => &self.run_script,
            Calling::Function => &self.run_function,
        };
        let run = || runner.call::<(bool, Value)>((function, keys, arguments));
        // A panic in a function of ours must not unwind through the engine.
        let limited = Limited::new(&self.lua);
        let ended = catch_unwind(AssertUnwindSafe(|| commands::lend(commands, run)));
        drop(limited);
        self.tidy();
        match ended {
            Ok(Ok((ok, value))) => Ok(Ended { ok, value }),
            Ok(Err(error)) => {
                let _ = self.lua.gc_collect();
                Err(text_of(error))
            }
            Err(_) => Err("a function of the script library failed".to_owned()),
        }
    }

    /// Runs the body of a library; the text of what it raised.
    pub(super) fn load_chunk(
        &self,
        chunk: &Function,
        commands: &mut dyn Commands,
    ) -> Result<(), Vec<u8>> {
        let switch = |on: bool| self.set_loading.call::<()>(on).map_err(text_of);
        switch(true)?;
        let nothing = std::iter::empty;
        let ended = self.run(Calling::Function, chunk, nothing(), nothing(), commands);
        switch(false)?;
        match ended? {
            Ended { ok: true, .. } => Ok(()),
            Ended { value, .. } => Err(raise::failure_text(&value)),
        }
    }
}

/// Limits memory while it lives: while code of others compiles or runs.
struct Limited<'l>(&'l Lua);

impl<'l> Limited<'l> {
    fn new(lua: &'l Lua) -> Self {
        // It only fails for interpreters that belong to a foreign program.
        let _ = lua.set_memory_limit(MEMORY_BYTES_MAX);
        Self(lua)
    }
}

impl Drop for Limited<'_> {
    fn drop(&mut self) {
        let _ = self.0.set_memory_limit(0);
    }
}

/// Lifts the limit on memory while it lives: for functions of ours that code of others calls.
pub(super) struct Unlimited<'l>(&'l Lua);

impl<'l> Unlimited<'l> {
    pub(super) fn new(lua: &'l Lua) -> Self {
        let _ = lua.set_memory_limit(0);
        Self(lua)
    }
}

impl Drop for Unlimited<'_> {
    fn drop(&mut self) {
        let _ = self.0.set_memory_limit(MEMORY_BYTES_MAX);
    }
}

fn text_of(error: mlua::Error) -> String {
    raise_of(&error).to_string()
}

/// What Lua's `loadstring` returns: the function, or nil and what is wrong.
type Compiled = (Option<Function>, Option<mlua::String>);

/// Compiles `body` under the name `chunk`; the text of what is wrong with it.
fn compile(
    lua: &Lua,
    load_string: &Function,
    body: &[u8],
    chunk: &[u8],
) -> Result<Function, Vec<u8>> {
    // It is a C string there.
    let name = chunk.split(|byte| *byte == 0).next().unwrap_or_default();
    // Bytecode is not checked when it is loaded: it could do anything.
    if body.first() == Some(&0x1b) {
        return Err([&*shown_chunk(name), b":1: unexpected symbol near 'char(27)'"].concat());
    }
    // The compiler does not keep the name: somebody else has to hold it.
    let name = lua.create_string(name).map_err(text_of)?;
    let body = lua.create_string(body).map_err(text_of)?;
    let compiled = load_string.call::<Compiled>((body, &name));
    drop(name);
    match compiled.map_err(text_of)? {
        (Some(function), _) => Ok(function),
        (None, text) => Err(text.map(|text| text.as_bytes().to_vec()).unwrap_or_default()),
    }
}

/// A chunk's name as messages show it.
fn shown_chunk(name: &[u8]) -> Vec<u8> {
    if let Some(name) = name.strip_prefix(b"@").or_else(|| name.strip_prefix(b"=")) {
        return name.to_vec();
    }
    // Lua cuts a source that stands for its name at the end of its line, and at 43 bytes.
    let line = name.split(|byte| matches!(byte, b'\n' | b'\r')).next().unwrap_or_default();
    let cut = line.get(..43).unwrap_or(line);
    let more: &[u8] = if cut.len() < name.len() { b"..." } else { b"" };
    [b"[string \"", cut, more, b"\"]"].concat()
}

/// `loadstring(code [, name])` as scripts have it: the function, or nil and what is wrong with it.
fn loader(
    load_string: Function,
) -> impl Fn(&Lua, (mlua::String, Option<mlua::String>)) -> mlua::Result<Compiled> + Send + 'static
{
    move |lua, (code, name)| {
        let code = code.as_bytes().to_vec();
        let name = name.map_or_else(|| code.clone(), |name| name.as_bytes().to_vec());
        match compile(lua, &load_string, &code, &name) {
            Ok(function) => Ok((Some(function), None)),
            Err(message) => Ok((None, Some(lua.create_string(message)?))),
        }
    }
}

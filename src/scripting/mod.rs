//! Lua 5.1 for EVAL and for functions: interpreters, the sandbox, the libraries, the caches.
//!
//! This layer knows nothing of commands and keys: a script reaches them through the trait
//! [`commands::Commands`], which the engine implements for the time a script runs. Scripts are
//! compiled once and kept by their SHA-1 ([`scripts`]); libraries of functions are part of the data
//! set ([`library`]). An interpreter is built when it is first needed.
//!
//! No script can harm the server: memory, stack and nesting are bounded, bytecode is refused, what
//! scripts share is read-only, and a panic of a function written in Rust ends the script only.

mod api;
mod bits;
pub mod commands;
mod flags;
mod interpreter;
mod json;
pub mod library;
mod msgpack;
mod printf;
mod raise;
mod random;
mod register;
mod reply;
pub mod scripts;
mod structs;
#[cfg(test)]
mod tests;

pub use commands::{Commands, LogLevel};
pub use flags::ScriptFlags;
pub use library::{Libraries, Library, RestorePolicy};
pub use scripts::{Prepared, ScriptError, Scripts};

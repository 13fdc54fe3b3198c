//! The argument tree of COMMAND DOCS, parsed on demand from the one-line grammar of a declaration.
//!
//! Grammar: `name`, `name:type`, `TOKEN`, `[optional]`, `<a | b>` for one of, `item ...` for repeated,
//! `TOKEN name` in brackets for a token with a value. Types: key string integer double pattern
//! unix-time pure-token oneof block.

//! EVAL and its relatives, SCRIPT, FUNCTION, FCALL.
//!
//! The handlers check what is sent; scripts themselves are run by `engine::script`, because they run
//! commands.

mod eval;
mod function;
mod script;

use super::{
    Access, Args, Command, CommandError, CommandResult, Ctx, Doc, Flags, Group, Handler, KeySpec,
    Outcome, doc,
};
use crate::scripting::ScriptError;

pub const COMMANDS: &[Command] = &[
    eval::EVAL,
    eval::EVALSHA,
    eval::EVALSHA_RO,
    eval::EVAL_RO,
    function::FCALL,
    function::FCALL_RO,
    function::FUNCTION,
    script::SCRIPT,
];

impl From<ScriptError> for CommandError {
    fn from(error: ScriptError) -> Self {
        Self::bytes(error.text)
    }
}

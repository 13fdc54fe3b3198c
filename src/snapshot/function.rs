//! FUNCTION DUMP and FUNCTION RESTORE: libraries as in a file, with the footer of DUMP.

#![deny(clippy::indexing_slicing, clippy::cast_possible_truncation, clippy::expect_used)]

use super::dump::put_footer;
use super::encode::{Encoder, VERSION};
use super::error::LoadError;
use super::primitives::Reader;
use super::record::FUNCTION2;
use crate::scripting::library::Libraries;

/// The payload of these libraries.
pub fn dump<'a>(sources: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = Encoder::new(true);
    for source in sources {
        encoder.function(&mut out, source);
    }
    put_footer(&mut out, 0, VERSION);
    out
}

/// What a load says of the first of these libraries, each with its offset, that it does not take.
pub fn refused(libraries: &[(u64, Vec<u8>)]) -> Option<LoadError> {
    let mut loaded = Libraries::default();
    libraries.iter().find_map(|(offset, source)| {
        let why = loaded.load(source, false).err()?;
        let reason = String::from_utf8_lossy(&why).into_owned();
        Some(LoadError::Refused { reason, offset: *offset, place: Default::default() })
    })
}

/// The sources in a payload whose footer was checked.
pub fn sources(body: &[u8]) -> Result<Vec<Vec<u8>>, &'static str> {
    let mut reader = Reader::new(body);
    let mut sources = Vec::new();
    while reader.remaining() > 0 {
        let opcode = reader.u8().map_err(|_| "failed parsing functions data")?;
        if opcode != FUNCTION2 {
            return Err("given type is not a function");
        }
        let source = reader.string().map_err(|_| "Failed loading library data")?;
        sources.push(source.into_vec());
    }
    Ok(sources)
}

//! FUNCTION DUMP and FUNCTION RESTORE: libraries as in a file, with the footer of DUMP.

#![deny(clippy::indexing_slicing, clippy::cast_possible_truncation, clippy::expect_used)]

use super::dump::put_footer;
use super::encode::{Encoder, VERSION};
use super::primitives::Reader;
use super::record::FUNCTION2;

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

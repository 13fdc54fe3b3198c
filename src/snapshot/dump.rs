//! DUMP and RESTORE: one value with a version and a checksum behind it.
//!
//! The payload travels between servers, Redis and Valkey of any version among them, so it is read
//! with the same care as a file. See format-spec/snapshot.md, "DUMP".

#![deny(clippy::indexing_slicing, clippy::cast_possible_truncation, clippy::expect_used)]

use super::crc64;
use super::encode::{Encoder, VERSION, VERSION_WITH_FIELD_EXPIRY};
use super::error::{Corruption, LoadError, Place, RestoreError};
use super::primitives::Reader;
use super::record::{Version, is_type, type_name};
use super::target::{Target, VALKEY};
use super::value::{Loaded, ValueError, ValueReader, ValueView};
use crate::types::limits::Limits;

/// Appends the payload of a value.
pub fn dump(out: &mut Vec<u8>, value: ValueView<'_>) {
    dump_for(out, value, Target::Newest);
}

/// The same for servers that read this version; it must not be given what [`Target::refuses`].
pub fn dump_for(out: &mut Vec<u8>, value: ValueView<'_>, target: Target) {
    let start = out.len();
    let mut encoder = Encoder::for_target(true, target);
    out.push(encoder.type_byte(value));
    encoder.value(out, value);
    let version = match (target, encoder.field_expiry_seen()) {
        (Target::Redis(number), _) => number,
        (Target::Valkey, _) => VALKEY,
        (Target::Newest, true) => VERSION_WITH_FIELD_EXPIRY,
        (Target::Newest, false) => VERSION,
    };
    put_footer(out, start, version);
}

/// Appends the footer of a payload that starts at `start` (FUNCTION DUMP has the same).
pub fn put_footer(out: &mut Vec<u8>, start: usize, version: u16) {
    out.extend_from_slice(&version.to_le_bytes());
    let sum = crc64::checksum(out.get(start..).unwrap_or_default());
    out.extend_from_slice(&sum.to_le_bytes());
}

/// Checks the footer of a payload; what is before it, and the version. Its sum only if `checked`.
pub fn check_footer(payload: &[u8], checked: bool) -> Result<(&[u8], Version), RestoreError> {
    let wrong = RestoreError::VersionOrChecksum;
    let (summed, stored) = payload.split_last_chunk::<8>().ok_or(wrong.clone())?;
    let (body, version) = summed.split_last_chunk::<2>().ok_or(wrong.clone())?;
    let version = Version::of_dump(u16::from_le_bytes(*version)).ok_or(wrong.clone())?;
    if !checked || crc64::checksum(summed) == u64::from_le_bytes(*stored) {
        Ok((body, version))
    } else {
        Err(wrong)
    }
}

/// A payload with the checksum that it should have had.
pub fn summed_again(payload: &[u8]) -> Vec<u8> {
    let summed = payload.split_last_chunk::<8>().map_or(payload, |(summed, _)| summed);
    let mut again = summed.to_vec();
    again.extend_from_slice(&crc64::checksum(summed).to_le_bytes());
    again
}

/// The value in a payload.
pub fn restore<'a>(payload: &'a [u8], limits: &Limits) -> Result<Loaded<'a>, RestoreError> {
    restore_if_sound(payload, limits, true)
}

/// The value in a payload; its checksum is looked at only if `checked`, everything else always.
pub fn restore_if_sound<'a>(
    payload: &'a [u8],
    limits: &Limits,
    checked: bool,
) -> Result<Loaded<'a>, RestoreError> {
    let (body, version) = check_footer(payload, checked)?;
    let mut reader = Reader::new(body);
    let damaged = |corruption, type_byte| {
        let place = Place { type_byte, ..Place::default() };
        RestoreError::BadData(LoadError::Damaged { corruption, place })
    };
    let type_byte = reader.u8().map_err(|corruption| damaged(corruption, None))?;
    let unsupported = |what: String| {
        let place = Place { type_byte: Some(type_byte), ..Place::default() };
        let producer = format!("RDB version {}", version.number);
        RestoreError::BadData(LoadError::Unsupported { what, offset: 0, place, producer })
    };
    if !is_type(type_byte, version.dialect) {
        return Err(unsupported(format!("type {type_byte}")));
    }
    let values = ValueReader::new(version.dialect, limits);
    let value = match values.read(&mut reader, type_byte) {
        Ok(Some(value)) => value,
        Ok(None) => {
            let (what, _) = type_name(type_byte, version.dialect);
            let corruption = Corruption::malformed(0, what, "no element");
            return Err(damaged(corruption, Some(type_byte)));
        }
        Err(ValueError::Damaged(corruption)) => {
            return Err(damaged(corruption, Some(type_byte)));
        }
        Err(ValueError::Unsupported(what)) => return Err(unsupported(what.to_owned())),
    };
    reader.finish().map_err(|corruption| damaged(corruption, Some(type_byte)))?;
    Ok(value)
}

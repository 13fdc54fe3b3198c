//! Reading the text of a string and changing it in place.

use super::super::ctx::Origin;
use super::super::{CommandError, Ctx};
use crate::keyspace::{Entry, StrRef, ValueMut, ValueRef};

/// The bytes of a string; an integer is written into `buffer`.
pub(in crate::command) fn text<'v>(value: StrRef<'v>, buffer: &'v mut itoa::Buffer) -> &'v [u8] {
    value.text(buffer)
}

/// The number of bytes in a string.
pub(in crate::command) fn len(value: StrRef) -> usize {
    value.len()
}

/// Writes a string, or null.
pub(in crate::command) fn reply(reply: &mut crate::resp::Reply, value: Option<StrRef>) {
    match value {
        None => reply.null(),
        Some(StrRef::Int(number)) => reply.bulk_int(number),
        Some(StrRef::Bytes(bytes)) => reply.bulk(bytes),
    }
}

/// Writes the string of an entry, or null. A long one is shared with the reply.
pub(in crate::command) fn reply_entry(reply: &mut crate::resp::Reply, entry: Option<&Entry>) {
    match entry.and_then(Entry::shared) {
        Some(bytes) => reply.bulk_shared(bytes),
        None => self::reply(reply, entry.and_then(Entry::string)),
    }
}

/// The length of the string at a key that is about to be changed; zero for a missing key.
pub(in crate::command) fn len_to_change(
    ctx: &mut Ctx,
    key: &[u8],
) -> Result<Option<usize>, CommandError> {
    match ctx.ks.peek(ctx.db, key).map(|entry| entry.value()) {
        None => Ok(None),
        Some(ValueRef::Str(value)) => Ok(Some(len(value))),
        Some(_) => Err(CommandError::WrongType),
    }
}

const TOO_LONG: CommandError =
    CommandError::text("ERR string exceeds maximum allowed size (proto-max-bulk-len)");

/// How long a string may become: `proto-max-bulk-len`, but what is in the log is there already.
fn len_max(ctx: &Ctx) -> usize {
    if ctx.origin == Origin::Log { usize::MAX } else { ctx.limits().string_max_bytes }
}

/// Refuses a string longer than that.
pub(in crate::command) fn check_len(ctx: &Ctx, len: usize) -> Result<(), CommandError> {
    if len > len_max(ctx) { Err(TOO_LONG) } else { Ok(()) }
}

/// Changes the bytes of a string that is there, with one lookup: `len` is told its length and says how long it has to
/// be at least (zeros are added). `None`, and nothing happens: there is none.
pub(in crate::command) fn edit_present<R>(
    ctx: &mut Ctx,
    key: &[u8],
    len: impl FnOnce(usize) -> usize,
    change: impl FnOnce(&mut [u8], usize) -> R,
) -> Result<Option<R>, CommandError> {
    let most = len_max(ctx);
    let Some(entry) = ctx.ks.lookup_mut(ctx.db, key) else { return Ok(None) };
    let ValueRef::Str(value) = entry.value() else { return Err(CommandError::WrongType) };
    let old = self::len(value);
    let wanted = len(old);
    if wanted > most {
        return Err(TOO_LONG);
    }
    let ValueMut::Str(entry) = entry.value_mut() else { return Err(CommandError::WrongType) };
    let bytes = entry.string_buf();
    if bytes.len() < wanted {
        bytes.resize(wanted, 0);
    }
    Ok(Some(change(bytes, old)))
}

/// Changes the bytes of a string in place, which is first made `len` bytes long if it is shorter
/// (zeros are added, a missing key is made). The caller has checked the type and the length.
pub(in crate::command) fn edit<R>(
    ctx: &mut Ctx,
    key: &[u8],
    len: usize,
    change: impl FnOnce(&mut [u8]) -> R,
) -> Result<R, CommandError> {
    if !ctx.ks.contains(ctx.db, key) {
        ctx.ks.set_string(ctx.db, key, b"", None);
    }
    let bytes = buffer(ctx, key)?;
    if bytes.len() < len {
        bytes.resize(len, 0);
    }
    Ok(change(bytes))
}

/// Puts bytes into the string at a key, which is made if it is missing; an expiry stays. Not even
/// digits become an integer: Redis calls such strings `raw`.
pub(in crate::command) fn replace_bytes(
    ctx: &mut Ctx,
    key: &[u8],
    bytes: &[u8],
) -> Result<(), CommandError> {
    if !ctx.ks.contains(ctx.db, key) {
        ctx.ks.set_string(ctx.db, key, b"", None);
    }
    let buffer = buffer(ctx, key)?;
    buffer.clear();
    buffer.extend_from_slice(bytes);
    Ok(())
}

/// The bytes of a string that is there, to be changed; the caller has checked the type.
pub(in crate::command) fn buffer<'c>(
    ctx: &'c mut Ctx,
    key: &[u8],
) -> Result<&'c mut Vec<u8>, CommandError> {
    match ctx.ks.lookup_mut(ctx.db, key).map(Entry::value_mut) {
        Some(ValueMut::Str(entry)) => Ok(entry.string_buf()),
        _ => Err(CommandError::WrongType),
    }
}

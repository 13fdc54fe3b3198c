//! What the commands with `FIELDS numfields field ...` and a time have in common.

use super::{Args, CommandError, Ctx};
use crate::number;

/// The latest time of a field, unix ms: 2^46 - 1, as in Redis.
const TIME_MAX: i64 = (1 << 46) - 1;

/// Unit and origin of a time in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TimeForm {
    pub seconds: bool,
    pub absolute: bool,
}

impl TimeForm {
    /// The form that an option names: EX, PX, EXAT or PXAT.
    pub(super) fn of_option(args: &Args, at: usize) -> Option<Self> {
        let forms = [
            ("EX", true, false),
            ("PX", false, false),
            ("EXAT", true, true),
            ("PXAT", false, true),
        ];
        let found = forms.iter().find(|(word, ..)| args.is(at, word));
        found.map(|&(_, seconds, absolute)| Self { seconds, absolute })
    }

    /// Reads a time as unix ms.
    pub(super) fn parse(self, ctx: &Ctx, text: &[u8]) -> Result<i64, CommandError> {
        let time = number::parse_i64(text).ok_or(CommandError::NotInteger)?;
        if time < 0 {
            return Err(CommandError::text("ERR invalid expire time, must be >= 0"));
        }
        let invalid = || CommandError::invalid_expire(ctx.command);
        let time = if self.seconds { time.checked_mul(1000).ok_or_else(invalid)? } else { time };
        let time =
            if self.absolute { time } else { time.checked_add(ctx.now).ok_or_else(invalid)? };
        if time > TIME_MAX { Err(invalid()) } else { Ok(time) }
    }
}

/// Reads `FIELDS numfields field ...` at argument `at`, the end of the request; returns the fields.
/// `bad_count` is the error of a number that is none.
pub(super) fn parse_fields<'a>(
    args: &Args<'a>,
    at: usize,
    bad_count: &'static str,
) -> Result<Args<'a>, CommandError> {
    if !args.is(at, "FIELDS") {
        return Err(CommandError::text(
            "ERR Mandatory argument FIELDS is missing or not at the right position",
        ));
    }
    let count = number::parse_i64(args.at(at + 1)).and_then(|count| usize::try_from(count).ok());
    let count = count.filter(|count| *count > 0).ok_or(CommandError::text(bad_count))?;
    let fields = args.tail(at + 2);
    if fields.len() != count {
        return Err(CommandError::text(
            "ERR The `numfields` parameter must match the number of arguments",
        ));
    }
    Ok(fields)
}

/// The error of a bad number of fields, of most commands.
pub(super) const BAD_COUNT: &str = "ERR Number of fields must be a positive integer";

/// Records a command on some fields: `words`, FIELDS, their number, and they. Nothing without fields.
pub(super) fn record_fields(ctx: &mut Ctx, words: &[&[u8]], fields: &[&[u8]]) {
    if fields.is_empty() {
        return;
    }
    let count = fields.len().to_string();
    let mut record = words.to_vec();
    record.extend([b"FIELDS".as_slice(), count.as_bytes()]);
    record.extend(fields);
    ctx.effect(&record);
}

/// Records the removal of fields. Nothing without fields.
pub(super) fn record_removal(ctx: &mut Ctx, key: &[u8], fields: &[&[u8]]) {
    if fields.is_empty() {
        return;
    }
    let mut record = vec![b"HDEL".as_slice(), key];
    record.extend(fields);
    ctx.effect(&record);
}

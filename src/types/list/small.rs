//! Small lists: tight while they may be, a listpack from then on.
//!
//! Invariants of the tight form: at most [`BYTES_MAX`] bytes, and each element so short that its size takes one byte
//! in a listpack. So the listpack's size, which decides about the encoding, is known without making it.

use super::chunked::Chunked;
use super::{Form, List};
use crate::types::listpack::{Element, Encoded, Listpack, Tight, TightRef};

/// Up to this size a walk to the last element costs less than what a request costs anyway.
const BYTES_MAX: usize = 1024;
/// The longest element with data whose size a listpack says in one byte.
const BODY_MAX: usize = 127;
/// Taken from the back of so few elements, a list stays tight: one that a queue fills and empties is not made anew.
const FEW: usize = 8;

/// The forms that can be changed anywhere.
pub(super) enum Unfolded<'a> {
    Packed(&'a mut Listpack),
    Chunked(&'a mut Chunked),
}

/// The form of a small list that nobody has changed yet.
pub(super) fn fold(listpack: Listpack) -> Form {
    if listpack.byte_len() > 2 * BYTES_MAX {
        return Form::Packed(listpack);
    }
    let tight = Tight::from_listpack(listpack.view());
    let short = listpack_bytes(tight.view()) == listpack.byte_len();
    if short && tight.byte_len() <= BYTES_MAX { Form::Tight(tight) } else { Form::Packed(listpack) }
}

/// The size of the listpack of these elements.
pub(super) fn listpack_bytes(tight: TightRef<'_>) -> usize {
    tight.byte_len() + tight.len() + 1
}

/// Takes the first or the last element out.
pub(super) fn pop(tight: &mut Tight, back: bool) -> Option<Vec<u8>> {
    let view = tight.view();
    let cursor = if back { view.seek(view.len().checked_sub(1)?)? } else { view.first()? };
    let text = view.get(cursor)?.to_vec();
    tight.remove(cursor, 1);
    Some(text)
}

impl List {
    /// The list, no longer tight.
    pub(super) fn unfolded(&mut self) -> Unfolded<'_> {
        self.unfold_if(|_| true);
        match &mut self.form {
            Form::Packed(listpack) => Unfolded::Packed(listpack),
            Form::Chunked(chunked) => Unfolded::Chunked(chunked),
            Form::Tight(_) => unreachable!("it was unfolded"),
        }
    }

    /// The form that takes this element at one of its ends.
    pub(super) fn unfolded_for(&mut self, element: Element<'_>) -> &mut Form {
        self.unfold_if(|tight| {
            let body = Encoded::new(element).body();
            body > BODY_MAX || tight.byte_len() + body > BYTES_MAX
        });
        &mut self.form
    }

    /// The form that an element is taken from.
    pub(super) fn unfolded_to_pop(&mut self, back: bool) -> &mut Form {
        self.unfold_if(|tight| back && tight.len() > FEW);
        &mut self.form
    }

    #[inline]
    fn unfold_if(&mut self, when: impl FnOnce(&Tight) -> bool) {
        if let Form::Tight(tight) = &self.form
            && when(tight)
        {
            let mut bytes = Vec::new();
            tight.write_listpack(&mut bytes);
            self.form = Form::Packed(Listpack::from_validated(&bytes));
        }
    }
}

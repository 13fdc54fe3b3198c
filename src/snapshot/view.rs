//! From a value of the keyspace to what the encoder takes.

use super::value::ValueView;
use crate::keyspace::{StrRef, ValueRef};

/// Runs `f` on the value as the encoder sees it.
pub fn with_view<R>(value: ValueRef<'_>, f: impl FnOnce(ValueView<'_>) -> R) -> R {
    match value {
        ValueRef::Str(StrRef::Int(number)) => f(ValueView::Int(number)),
        ValueRef::Str(StrRef::Bytes(bytes)) => f(ValueView::Str(bytes)),
        ValueRef::List(list) => f(ValueView::List(list)),
        ValueRef::Set(set) => f(ValueView::Set(set)),
        ValueRef::ZSet(zset) => f(ValueView::ZSet(zset)),
        ValueRef::Hash(hash) => f(ValueView::Hash(hash)),
        ValueRef::Stream(stream) => f(ValueView::Stream(stream)),
    }
}

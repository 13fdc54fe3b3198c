//! A key with its value: one pointer to one block.
//!
//!     clock 4 | form 1 | key len 1 | value len 2 | [key len 8] | [expiry 8] | payload | key | value
//!
//! The payload is the integer of an integer string (8 bytes), the buffer of a string that is long or
//! was changed in place, a collection (16 bytes, a pointer to its listpack or table) or the box of a
//! stream, or nothing for a string whose bytes stand behind the key. So a GET of a small string touches
//! one block, and a key of 16 bytes with a value of 16 takes 40 bytes. Blocks have the sizes that the
//! allocator hands out (`memory::block_size`): a value that changes its length a little stays where it is.
//!
//! The clock (LRU or LFU, its owner decides) is atomic, so that readers can set it.
//!
//! # Why the unsafe code is sound
//!
//! 1. `Entry` owns its block: nobody else has the pointer. `&self` only reads, but for the clock;
//!    `&mut self` writes; references handed out borrow the entry.
//! 2. `Shape` computes every offset and the size from the header's form, expiry flag and lengths.
//!    `Block::new` writes header, expiry and key for a shape before anything reads them, and its
//!    callers write the payload and the inline value that the shape promises. Whatever changes the
//!    shape later either keeps the size (`set_string` of a like length) or makes a new block. So
//!    offsets read are inside the block and initialised, and `free` gets the layout of `alloc`.
//! 3. The payload of each form has one type (`Form`), written with `write`, read by reference, and
//!    either dropped in place once (`drop`) or moved out or over by bits, after which the old block is
//!    freed without dropping it. Nothing between such a move and the free can panic: allocation
//!    failure aborts, and the new block is made first.
//! 4. The block is aligned to 8 and everything before the key is a multiple of 8, so header and
//!    payload accesses are aligned.
//! 5. All payload types are Send and Sync (checked at compile time below), so an entry is too.
#![allow(unsafe_code, reason = "one block per key; the proof is in the module's head")]

#[cfg(test)]
mod tests;
mod value;

pub use value::{Kind, StrRef, Value, ValueMut, ValueRef};

use crate::clock::UnixMillis;
use crate::number::parse_i64;
use crate::types::near;
use crate::types::table::Slot;
use crate::types::{Hash, List, Set, Stream, ZSet};
use bytes::Bytes;
use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::fmt;
use std::mem::ManuallyDrop;
use std::ptr::{NonNull, copy_nonoverlapping};
use std::sync::atomic::{AtomicU32, Ordering};

/// Longest string that stands in the entry's own block.
pub const INLINE_BYTES_MAX: usize = 1024;
/// Strings from this length on are kept where replies and snapshots can share them.
pub const SHARED_BYTES_MIN: usize = 64 * 1024;
/// Longest string that `OBJECT ENCODING` calls "embstr".
const EMBSTR_BYTES_MAX: usize = 44;

/// A key with its value, its expiry time and its clock.
pub struct Entry(NonNull<u8>);

/// What the payload is. The discriminant is the low half of the header's form byte.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Form {
    /// i64
    Int,
    /// Nothing; the bytes are behind the key.
    Inline,
    /// Vec<u8>
    Buffer,
    /// Bytes
    Shared,
    /// List
    List,
    /// Hash
    Hash,
    /// Set
    Set,
    /// ZSet
    ZSet,
    /// Box<Stream>
    Stream,
}

const FORMS: [Form; 16] = {
    use Form::*;
    // The unused ones cannot occur; giving them a meaning keeps the read free of a panic.
    [Int, Inline, Buffer, Shared, List, Hash, Set, ZSet, Stream, Int, Int, Int, Int, Int, Int, Int]
};
const FORM_BITS: u8 = 0x0F;
const HAS_EXPIRY: u8 = 0x10;

const CLOCK_AT: usize = 0;
const FORM_AT: usize = 4;
const KEY_LEN_AT: usize = 5;
const VALUE_LEN_AT: usize = 6;
const HEADER: usize = 8;
/// The key length that says: the real one follows the header.
const KEY_LONG: u8 = 0xFF;
const ALIGN: usize = 8;
/// Size of the collections that are part of the block: a pointer and which form it is of.
const COLLECTION: usize = 16;

const _: () = {
    const fn send_and_sync<T: Send + Sync>() {}
    send_and_sync::<(Vec<u8>, Bytes, List, Hash, Set, ZSet, Stream)>();
    assert!(align_of::<Vec<u8>>() <= ALIGN && align_of::<Bytes>() <= ALIGN);
    assert!(size_of::<Vec<u8>>().is_multiple_of(8) && size_of::<Bytes>().is_multiple_of(8));
    assert!(size_of::<List>() == COLLECTION && size_of::<Hash>() == COLLECTION);
    assert!(size_of::<Set>() == COLLECTION && size_of::<ZSet>() == COLLECTION);
    assert!(align_of::<List>() <= ALIGN && align_of::<Hash>() <= ALIGN);
    assert!(align_of::<Set>() <= ALIGN && align_of::<ZSet>() <= ALIGN);
};

// SAFETY: points 1 and 5 of the module's head.
unsafe impl Send for Entry {}
// SAFETY: as above; the clock is atomic.
unsafe impl Sync for Entry {}

/// Where everything is in a block.
#[derive(Clone, Copy)]
struct Shape {
    form: Form,
    has_expiry: bool,
    key_len: usize,
    /// Length of the inline value; 0 for the other forms.
    value_len: usize,
}

impl Shape {
    #[inline]
    fn expiry_at(self) -> usize {
        HEADER + if self.key_len >= usize::from(KEY_LONG) { 8 } else { 0 }
    }

    #[inline]
    fn payload_at(self) -> usize {
        self.expiry_at() + if self.has_expiry { 8 } else { 0 }
    }

    #[inline]
    fn key_at(self) -> usize {
        self.payload_at() + self.payload_size()
    }

    #[inline]
    fn value_at(self) -> usize {
        self.key_at() + self.key_len
    }

    #[inline]
    fn payload_size(self) -> usize {
        match self.form {
            Form::Inline => 0,
            Form::Buffer => size_of::<Vec<u8>>(),
            Form::Shared => size_of::<Bytes>(),
            Form::List | Form::Hash | Form::Set | Form::ZSet => COLLECTION,
            Form::Int | Form::Stream => 8,
        }
    }

    fn size(self) -> usize {
        crate::memory::block_size(self.value_at() + self.value_len)
    }

    fn layout(self) -> Layout {
        // Keys and inline values exist as slices, so the sum is far from overflowing.
        Layout::from_size_align(self.size(), ALIGN).expect("a block smaller than isize::MAX")
    }

    /// A new block with header, expiry and key; payload and value are the caller's to write.
    fn allocate(self, clock: u32, key: &[u8], expire: Option<UnixMillis>) -> NonNull<u8> {
        let layout = self.layout();
        // SAFETY: the layout has at least the header's size; the writes are where the shape has the
        // parts (point 2), aligned (point 4).
        unsafe {
            let start = alloc(layout);
            let Some(block) = NonNull::new(start) else { handle_alloc_error(layout) };
            start.add(CLOCK_AT).cast::<AtomicU32>().write(AtomicU32::new(clock));
            let expiry_bit = if self.has_expiry { HAS_EXPIRY } else { 0 };
            start.add(FORM_AT).write(self.form as u8 | expiry_bit);
            start.add(KEY_LEN_AT).write(self.key_len.min(usize::from(KEY_LONG)) as u8);
            start.add(VALUE_LEN_AT).cast::<u16>().write(self.value_len as u16);
            if self.key_len >= usize::from(KEY_LONG) {
                start.add(HEADER).cast::<usize>().write(self.key_len);
            }
            if let Some(at) = expire {
                start.add(self.expiry_at()).cast::<UnixMillis>().write(at);
            }
            copy_nonoverlapping(key.as_ptr(), start.add(self.key_at()), key.len());
            block
        }
    }
}

impl Entry {
    /// An entry for a value; a string is stored in whatever form suits it.
    pub fn new(key: &[u8], value: Value, expire: Option<UnixMillis>) -> Self {
        match value {
            Value::Str(bytes) => match form_of(&bytes) {
                Form::Shared => Self::with_payload(Form::Shared, key, Bytes::from(bytes), expire),
                Form::Buffer => {
                    let mut bytes = bytes;
                    bytes.shrink_to_fit();
                    Self::with_payload(Form::Buffer, key, bytes, expire)
                }
                _ => Self::new_string(key, &bytes, expire),
            },
            Value::List(list) => Self::with_payload(Form::List, key, *list, expire),
            Value::Hash(hash) => Self::with_payload(Form::Hash, key, *hash, expire),
            Value::Set(set) => Self::with_payload(Form::Set, key, *set, expire),
            Value::ZSet(zset) => Self::with_payload(Form::ZSet, key, *zset, expire),
            Value::Stream(stream) => Self::with_payload(Form::Stream, key, stream, expire),
        }
    }

    /// An entry for a string.
    pub fn new_string(key: &[u8], value: &[u8], expire: Option<UnixMillis>) -> Self {
        match form_of(value) {
            Form::Int => Self::new_int(key, parse_i64(value).unwrap_or(0), expire),
            Form::Buffer => Self::with_payload(Form::Buffer, key, value.to_vec(), expire),
            Form::Shared => {
                Self::with_payload(Form::Shared, key, Bytes::copy_from_slice(value), expire)
            }
            _ => Self::new_inline(key, value, expire),
        }
    }

    /// An entry for a long string (`SHARED_BYTES_MIN`) that is kept as it is given.
    pub fn new_shared(key: &[u8], value: Bytes) -> Self {
        debug_assert!(value.len() >= SHARED_BYTES_MIN, "short strings have other forms");
        Self::with_payload(Form::Shared, key, value, None)
    }

    /// An entry for a string that is the text of an integer.
    pub fn new_int(key: &[u8], value: i64, expire: Option<UnixMillis>) -> Self {
        Self::with_payload(Form::Int, key, value, expire)
    }

    fn new_inline(key: &[u8], value: &[u8], expire: Option<UnixMillis>) -> Self {
        let shape = Shape {
            form: Form::Inline,
            has_expiry: expire.is_some(),
            key_len: key.len(),
            value_len: value.len(),
        };
        let block = shape.allocate(0, key, expire);
        // SAFETY: the block is new and has room for the value behind the key.
        unsafe {
            copy_nonoverlapping(value.as_ptr(), block.as_ptr().add(shape.value_at()), value.len());
        }
        Self(block)
    }

    /// `T` must be the type that belongs to the form; private, and called with literals only.
    fn with_payload<T>(form: Form, key: &[u8], payload: T, expire: Option<UnixMillis>) -> Self {
        let has_expiry = expire.is_some();
        let shape = Shape { form, has_expiry, key_len: key.len(), value_len: 0 };
        debug_assert_eq!(size_of::<T>(), shape.payload_size());
        let block = shape.allocate(0, key, expire);
        // SAFETY: point 3: the place for a T in a new block.
        unsafe { block.as_ptr().add(shape.payload_at()).cast::<T>().write(payload) };
        Self(block)
    }

    /// The key.
    #[inline]
    pub fn key(&self) -> &[u8] {
        let shape = self.shape();
        self.bytes(shape.key_at(), shape.key_len)
    }

    /// The type of the value.
    #[inline]
    pub fn kind(&self) -> Kind {
        match self.form() {
            Form::Int | Form::Inline | Form::Buffer | Form::Shared => Kind::String,
            Form::List => Kind::List,
            Form::Hash => Kind::Hash,
            Form::Set => Kind::Set,
            Form::ZSet => Kind::ZSet,
            Form::Stream => Kind::Stream,
        }
    }

    /// When the key expires.
    #[inline]
    pub fn expire_at(&self) -> Option<UnixMillis> {
        let shape = self.shape();
        // SAFETY: points 2 and 4: the time is there when the flag says so.
        let at = || unsafe { self.0.as_ptr().add(shape.expiry_at()).cast::<UnixMillis>().read() };
        shape.has_expiry.then(at)
    }

    /// Sets or removes the time at which the key expires.
    pub fn set_expire(&mut self, expire: Option<UnixMillis>) {
        let shape = self.shape();
        match expire {
            // SAFETY: points 1, 2 and 4.
            Some(at) if shape.has_expiry => unsafe {
                self.0.as_ptr().add(shape.expiry_at()).cast::<UnixMillis>().write(at);
            },
            None if !shape.has_expiry => (),
            _ => {
                let has_expiry = expire.is_some();
                let new = Shape { has_expiry, ..shape };
                let block = new.allocate(self.used_at(), self.key(), expire);
                self.move_into(new, block);
            }
        }
    }

    /// The same entry under another key.
    #[must_use]
    pub fn with_key(mut self, key: &[u8]) -> Self {
        let shape = Shape { key_len: key.len(), ..self.shape() };
        let block = shape.allocate(self.used_at(), key, self.expire_at());
        self.move_into(shape, block);
        self
    }

    /// The clock, as `touch` set it last; 0 in a new entry.
    #[inline]
    pub fn used_at(&self) -> u32 {
        self.clock().load(Ordering::Relaxed)
    }

    /// Sets the clock.
    #[inline]
    pub fn touch(&self, clock: u32) {
        self.clock().store(clock, Ordering::Relaxed);
    }

    /// The value, to read.
    #[inline]
    pub fn value(&self) -> ValueRef<'_> {
        let shape = self.shape();
        // SAFETY: point 3: the form names the payload's type; the reference borrows self.
        unsafe {
            match shape.form {
                Form::Int => ValueRef::Str(StrRef::Int(*self.payload::<i64>(shape).as_ref())),
                Form::Inline => {
                    let bytes = self.bytes(shape.value_at(), shape.value_len);
                    ValueRef::Str(StrRef::Bytes(bytes))
                }
                Form::Buffer => {
                    ValueRef::Str(StrRef::Bytes(self.payload::<Vec<u8>>(shape).as_ref()))
                }
                Form::Shared => ValueRef::Str(StrRef::Bytes(self.payload::<Bytes>(shape).as_ref())),
                Form::List => ValueRef::List(self.payload::<List>(shape).as_ref()),
                Form::Hash => ValueRef::Hash(self.payload::<Hash>(shape).as_ref()),
                Form::Set => ValueRef::Set(self.payload::<Set>(shape).as_ref()),
                Form::ZSet => ValueRef::ZSet(self.payload::<ZSet>(shape).as_ref()),
                Form::Stream => ValueRef::Stream(self.payload::<Box<Stream>>(shape).as_ref()),
            }
        }
    }

    /// The value, to change.
    #[inline]
    pub fn value_mut(&mut self) -> ValueMut<'_> {
        let shape = self.shape();
        // SAFETY: point 3; self is borrowed mutably for as long as the reference lives.
        unsafe {
            match shape.form {
                Form::List => ValueMut::List(self.payload::<List>(shape).as_mut()),
                Form::Hash => ValueMut::Hash(self.payload::<Hash>(shape).as_mut()),
                Form::Set => ValueMut::Set(self.payload::<Set>(shape).as_mut()),
                Form::ZSet => ValueMut::ZSet(self.payload::<ZSet>(shape).as_mut()),
                Form::Stream => ValueMut::Stream(self.payload::<Box<Stream>>(shape).as_mut()),
                _ => ValueMut::Str(self),
            }
        }
    }

    /// The string, if it is one.
    #[inline]
    pub fn string(&self) -> Option<StrRef<'_>> {
        if let ValueRef::Str(string) = self.value() { Some(string) } else { None }
    }

    /// Makes the value a string, in place when it fits. Key, expiry and clock stay.
    pub fn set_string(&mut self, value: &[u8]) {
        let shape = self.shape();
        match form_of(value) {
            Form::Int => return self.set_int(parse_i64(value).unwrap_or(0)),
            Form::Inline if shape.form == Form::Inline => {
                let new = Shape { value_len: value.len(), ..shape };
                if new.size() == shape.size() {
                    let start = self.0.as_ptr();
                    // SAFETY: the block has the new shape's size (point 2), and self is borrowed
                    // mutably, so `value` is not part of it.
                    unsafe {
                        start.add(VALUE_LEN_AT).cast::<u16>().write(value.len() as u16);
                        let to = start.add(new.value_at());
                        copy_nonoverlapping(value.as_ptr(), to, value.len());
                    }
                    return;
                }
            }
            _ => (),
        }
        self.replace(|key, expire| Self::new_string(key, value, expire));
    }

    /// Makes the value a string that is kept as text even when it is that of an integer.
    pub fn set_text(&mut self, value: &[u8]) {
        match form_of(value) {
            Form::Int => self.replace(|key, expire| Self::new_inline(key, value, expire)),
            _ => self.set_string(value),
        }
    }

    /// Makes the value a string that is the text of an integer.
    pub fn set_int(&mut self, value: i64) {
        let shape = self.shape();
        if shape.form == Form::Int {
            // SAFETY: point 3, and self is borrowed mutably.
            unsafe { self.payload::<i64>(shape).write(value) };
            return;
        }
        self.replace(|key, expire| Self::new_int(key, value, expire));
    }

    /// Replaces the value, whatever its type. Key, expiry and clock stay.
    pub fn set_value(&mut self, value: Value) {
        self.replace(|key, expire| Self::new(key, value, expire));
    }

    /// The bytes of a string as a buffer to change in place; from then on it is "raw". The buffer
    /// grows as a `Vec` does, so that appending is cheap.
    ///
    /// # Panics
    /// When the value is not a string: `value_mut` tells.
    pub fn string_buf(&mut self) -> &mut Vec<u8> {
        if self.form() != Form::Buffer {
            let bytes = match self.form() {
                Form::Shared => Vec::from(self.take_shared()),
                _ => self.string().expect("the value is a string").to_vec(),
            };
            self.replace(|key, expire| Self::with_payload(Form::Buffer, key, bytes, expire));
        }
        let shape = self.shape();
        // SAFETY: point 3: the form is Buffer now.
        unsafe { self.payload::<Vec<u8>>(shape).as_mut() }
    }

    /// A handle of a string of at least `SHARED_BYTES_MIN` bytes that shares them; None for others.
    /// Whoever changes the string while the handle lives pays for a copy.
    pub fn share(&mut self) -> Option<Bytes> {
        if self.form() == Form::Buffer && self.string_buf().len() >= SHARED_BYTES_MIN {
            let bytes = Bytes::from(std::mem::take(self.string_buf()));
            self.replace(|key, expire| Self::with_payload(Form::Shared, key, bytes, expire));
        }
        self.shared().cloned()
    }

    /// The shared bytes of a string that is in that form already.
    pub fn shared(&self) -> Option<&Bytes> {
        let shape = self.shape();
        // SAFETY: point 3.
        let bytes = || unsafe { self.payload::<Bytes>(shape).as_ref() };
        (shape.form == Form::Shared).then(bytes)
    }

    fn take_shared(&mut self) -> Bytes {
        let shape = self.shape();
        if shape.form != Form::Shared {
            return Bytes::new();
        }
        // SAFETY: point 3; an empty one takes the place of what is moved out.
        unsafe { std::mem::take(self.payload::<Bytes>(shape).as_mut()) }
    }

    /// What `OBJECT ENCODING` says.
    pub fn encoding_name(&self) -> &'static str {
        match self.value() {
            ValueRef::Str(StrRef::Int(_)) => "int",
            ValueRef::Str(StrRef::Bytes(bytes))
                if self.form() == Form::Inline && bytes.len() <= EMBSTR_BYTES_MAX =>
            {
                "embstr"
            }
            ValueRef::Str(_) => "raw",
            ValueRef::List(list) => list.encoding_name(),
            ValueRef::Hash(hash) => hash.encoding_name(),
            ValueRef::Set(set) => set.encoding_name(),
            ValueRef::ZSet(zset) => zset.encoding_name(),
            ValueRef::Stream(_) => "stream",
        }
    }

    /// About how many allocations the value takes in Redis, which frees it at once only when they are few.
    pub fn allocations(&self) -> usize {
        match self.value() {
            ValueRef::List(list) if list.encoding_name() == "quicklist" => list.node_count(),
            ValueRef::Hash(hash) if hash.as_table().is_some() => hash.len(),
            ValueRef::Set(set) if set.as_table().is_some() => set.len(),
            ValueRef::ZSet(zset) if zset.as_listpack().is_none() => zset.len(),
            ValueRef::Stream(stream) => {
                let pending = stream.groups().next().map_or(0, |(_, group)| group.pending_len());
                // Counting the nodes of Redis' tree takes a walk over ours.
                let few = stream.node_count() <= 64;
                let nodes = if few { stream.radix_nodes() } else { stream.node_count() };
                nodes + stream.groups().len() * (1 + pending)
            }
            _ => 1,
        }
    }

    /// The value alone.
    pub fn into_value(self) -> Value {
        let this = ManuallyDrop::new(self);
        let shape = this.shape();
        // SAFETY: point 3: the payload is moved out, then its block freed without dropping it. The
        // entry itself is never dropped.
        unsafe {
            let value = match shape.form {
                Form::Int | Form::Inline => {
                    Value::Str(this.string().map(StrRef::to_vec).unwrap_or_default())
                }
                Form::Buffer => Value::Str(this.payload::<Vec<u8>>(shape).read()),
                Form::Shared => Value::Str(Vec::from(this.payload::<Bytes>(shape).read())),
                Form::List => Value::List(Box::new(this.payload(shape).read())),
                Form::Hash => Value::Hash(Box::new(this.payload(shape).read())),
                Form::Set => Value::Set(Box::new(this.payload(shape).read())),
                Form::ZSet => Value::ZSet(Box::new(this.payload(shape).read())),
                Form::Stream => Value::Stream(this.payload(shape).read()),
            };
            dealloc(this.0.as_ptr(), shape.layout());
            value
        }
    }

    /// A deep copy, with expiry and clock. A string in shared form stays shared until one changes.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        let (key, expire) = (self.key(), self.expire_at());
        let copy = match self.value() {
            ValueRef::Str(StrRef::Int(value)) => Self::new_int(key, value, expire),
            ValueRef::Str(StrRef::Bytes(bytes)) => match (self.form(), self.shared()) {
                (Form::Buffer, _) => Self::with_payload(Form::Buffer, key, bytes.to_vec(), expire),
                (_, Some(shared)) => Self::with_payload(Form::Shared, key, shared.clone(), expire),
                _ => Self::new_inline(key, bytes, expire),
            },
            ValueRef::List(list) => Self::new(key, Value::List(Box::new(list.clone())), expire),
            ValueRef::Hash(hash) => Self::new(key, Value::Hash(Box::new(hash.clone())), expire),
            ValueRef::Set(set) => Self::new(key, Value::Set(Box::new(set.clone())), expire),
            ValueRef::ZSet(zset) => Self::new(key, Value::ZSet(Box::new(zset.clone())), expire),
            ValueRef::Stream(stream) => {
                Self::new(key, Value::Stream(Box::new(stream.clone())), expire)
            }
        };
        copy.touch(self.used_at());
        copy
    }

    /// Bytes of memory that the entry has allocated, the value included.
    pub fn memory_bytes(&self) -> usize {
        let shape = self.shape();
        let value = match self.value() {
            // SAFETY: point 3.
            ValueRef::Str(_) if shape.form == Form::Buffer => unsafe {
                self.payload::<Vec<u8>>(shape).as_ref().capacity()
            },
            ValueRef::Str(StrRef::Bytes(bytes)) if shape.form == Form::Shared => bytes.len(),
            ValueRef::Str(_) => 0,
            ValueRef::List(list) => list.memory_bytes(),
            ValueRef::Hash(hash) => hash.memory_bytes(),
            ValueRef::Set(set) => set.memory_bytes(),
            ValueRef::ZSet(zset) => zset.memory_bytes(),
            ValueRef::Stream(stream) => size_of::<Stream>() + stream.memory_bytes(),
        };
        shape.size() + value
    }

    /// Puts a new entry, made of this one's key and expiry, in its place.
    fn replace(&mut self, make: impl FnOnce(&[u8], Option<UnixMillis>) -> Self) {
        let new = make(self.key(), self.expire_at());
        new.touch(self.used_at());
        *self = new;
    }

    /// Moves payload and inline value into `block`, which has the same form, and frees the old one.
    fn move_into(&mut self, shape: Shape, block: NonNull<u8>) {
        let old = self.shape();
        debug_assert!(old.form == shape.form && old.value_len == shape.value_len);
        let (from, to) = (self.0.as_ptr(), block.as_ptr());
        // SAFETY: points 2 and 3: both blocks have these parts; the payload is moved by bits, and the
        // old block freed without dropping it.
        unsafe {
            let payload = from.add(old.payload_at());
            copy_nonoverlapping(payload, to.add(shape.payload_at()), old.payload_size());
            let value = from.add(old.value_at());
            copy_nonoverlapping(value, to.add(shape.value_at()), old.value_len);
            self.0 = block;
            dealloc(from, old.layout());
        }
    }

    #[inline]
    fn form(&self) -> Form {
        // SAFETY: point 2: every block has a header.
        let byte = unsafe { self.0.as_ptr().add(FORM_AT).read() };
        FORMS[usize::from(byte & FORM_BITS)]
    }

    #[inline]
    fn shape(&self) -> Shape {
        let start = self.0.as_ptr();
        // SAFETY: points 2 and 4: every block has a header, and the long key length when it says so.
        unsafe {
            let byte = start.add(FORM_AT).read();
            let key_len = match start.add(KEY_LEN_AT).read() {
                KEY_LONG => start.add(HEADER).cast::<usize>().read(),
                len => usize::from(len),
            };
            Shape {
                form: FORMS[usize::from(byte & FORM_BITS)],
                has_expiry: byte & HAS_EXPIRY != 0,
                key_len,
                value_len: usize::from(start.add(VALUE_LEN_AT).cast::<u16>().read()),
            }
        }
    }

    #[inline]
    fn clock(&self) -> &AtomicU32 {
        // SAFETY: points 2 and 4; the atomic may be shared.
        unsafe { self.0.add(CLOCK_AT).cast::<AtomicU32>().as_ref() }
    }

    #[inline]
    fn bytes(&self, at: usize, len: usize) -> &[u8] {
        // SAFETY: points 1 and 2: callers pass the place of the key or of the inline value.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().add(at), len) }
    }

    /// The place of the payload; `T` must be the type of the shape's form to be used.
    #[inline]
    fn payload<T>(&self, shape: Shape) -> NonNull<T> {
        // SAFETY: inside the block (point 2).
        unsafe { self.0.add(shape.payload_at()).cast() }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let shape = self.shape();
        // SAFETY: points 2 and 3: the payload is dropped once, as what it is, then the block freed.
        unsafe {
            match shape.form {
                Form::Int | Form::Inline => (),
                Form::Buffer => self.payload::<Vec<u8>>(shape).drop_in_place(),
                Form::Shared => self.payload::<Bytes>(shape).drop_in_place(),
                Form::List => self.payload::<List>(shape).drop_in_place(),
                Form::Hash => self.payload::<Hash>(shape).drop_in_place(),
                Form::Set => self.payload::<Set>(shape).drop_in_place(),
                Form::ZSet => self.payload::<ZSet>(shape).drop_in_place(),
                Form::Stream => self.payload::<Box<Stream>>(shape).drop_in_place(),
            }
            dealloc(self.0.as_ptr(), shape.layout());
        }
    }
}

impl Clone for Entry {
    fn clone(&self) -> Self {
        self.duplicate()
    }
}

impl Slot for Entry {
    #[inline]
    fn bring_near(&self) {
        // A short string of some words is in the second line.
        near::bring(self.0.as_ptr());
        near::bring(self.0.as_ptr().wrapping_add(near::LINE));
    }

    #[inline]
    fn key(&self) -> &[u8] {
        Self::key(self)
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("key", &self.key().escape_ascii().to_string())
            .field("encoding", &self.encoding_name())
            .field("expire_at", &self.expire_at())
            .finish_non_exhaustive()
    }
}

/// The form a string is stored in when it is set as a whole.
#[inline]
fn form_of(value: &[u8]) -> Form {
    match value.len() {
        0 => Form::Inline,
        len if len <= crate::number::I64_TEXT_MAX && parse_i64(value).is_some() => Form::Int,
        len if len <= INLINE_BYTES_MAX => Form::Inline,
        len if len < SHARED_BYTES_MIN => Form::Buffer,
        _ => Form::Shared,
    }
}

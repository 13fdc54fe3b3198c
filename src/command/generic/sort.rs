//! SORT: the elements of a list, set or sorted set in order, or by weights that other keys hold.

use std::cmp::Ordering;

use super::super::ctx::Origin;
use super::super::keyspec::{Begin, Find};
use super::super::{
    Access, Args, Command, CommandError, CommandResult, Ctx, Flags, Group, Handler, KeySpec,
    Propagate, doc,
};
use crate::command::sort_part::sort_part;
use crate::command::string::value;
use crate::keyspace::{Entry, Typed, ValueRef, event};
use crate::number;
use crate::types::zset::Direction;
use crate::types::{List, ZSet};

const COMPLEXITY: &str = "O(N+M*log(M)) where N is the number of elements in the list or set to sort, and M the number of returned elements. When the elements are not sorted, complexity is O(N).";

/// Keys whose names come from the elements.
const PATTERN_KEYS: KeySpec = KeySpec {
    begin: Begin::Unknown,
    find: Find::Unknown,
    access: Access::Read,
    notes: &["access"],
};

pub(super) const SORT: Command = Command {
    name: "SORT",
    arity: -2,
    flags: Flags::WRITE.or(Flags::DENYOOM).or(Flags::MOVABLE_KEYS),
    group: Group::Generic,
    keys: &[
        KeySpec::at(1, Access::Read, &["access"]),
        PATTERN_KEYS,
        KeySpec {
            begin: Begin::Unknown,
            find: Find::Unknown,
            access: Access::Overwrite,
            notes: &["update"],
        },
    ],
    key_finder: Some(sort_keys),
    args: "key [BY by-pattern:pattern] [LIMIT (offset:integer count:integer)] [GET get-pattern:pattern ...] [ASC|DESC] [ALPHA] [STORE destination:key]",
    propagate: Propagate::AsSent,
    categories: &["set", "sortedset", "list", "dangerous"],
    doc: doc(
        "1.0.0",
        COMPLEXITY,
        "Sorts the elements in a list, a set, or a sorted set, optionally storing the result.",
    ),
    handler: Handler::Plain(sort),
    ..Command::BASE
};

pub(super) const SORT_RO: Command = Command {
    name: "SORT_RO",
    flags: Flags::READONLY.or(Flags::MOVABLE_KEYS),
    keys: &[KeySpec::at(1, Access::Read, &["access"]), PATTERN_KEYS],
    key_finder: Some(|_| vec![1]),
    args: "key [BY by-pattern:pattern] [LIMIT (offset:integer count:integer)] [GET get-pattern:pattern ...] [ASC|DESC] [ALPHA]",
    propagate: Propagate::Never,
    doc: doc("7.0.0", COMPLEXITY, "Returns the sorted elements of a list, a set, or a sorted set."),
    handler: Handler::Plain(sort_ro),
    ..SORT
};

/// The sorted key and the target; the last STORE counts.
fn sort_keys(args: &Args) -> Vec<usize> {
    let mut keys = vec![1];
    let mut at = 2;
    while at < args.len() {
        if args.is(at, "LIMIT") {
            at += 2;
        } else if args.is(at, "GET") || args.is(at, "BY") {
            at += 1;
        } else if args.is(at, "STORE") && at + 1 < args.len() {
            // What follows may be another STORE.
            keys.truncate(1);
            keys.push(at + 1);
        }
        at += 1;
    }
    keys
}

#[derive(Clone, Debug, Default)]
pub(super) struct Options<'a> {
    pub(super) descending: bool,
    pub(super) alpha: bool,
    /// Offset and number, if given.
    pub(super) limit: Option<(i64, i64)>,
    pub(super) by: Option<&'a [u8]>,
    pub(super) unsorted: bool,
    pub(super) get: Vec<&'a [u8]>,
    pub(super) store: Option<&'a [u8]>,
}

impl<'a> Options<'a> {
    /// `any_key`: the user may read keys that only the data names.
    pub(super) fn parse(
        args: &Args<'a>,
        may_store: bool,
        any_key: bool,
    ) -> Result<Self, CommandError> {
        let mut options = Self::default();
        let mut at = 2;
        while at < args.len() {
            let operands = args.len() - at - 1;
            if args.is(at, "ASC") {
                options.descending = false;
            } else if args.is(at, "DESC") {
                options.descending = true;
            } else if args.is(at, "ALPHA") {
                options.alpha = true;
            } else if args.is(at, "LIMIT") && operands >= 2 {
                let number = |at| number::parse_i64(args.at(at)).ok_or(CommandError::NotInteger);
                options.limit = Some((number(at + 1)?, number(at + 2)?));
                at += 2;
            } else if args.is(at, "STORE") && operands >= 1 && may_store {
                at += 1;
                options.store = args.get(at);
            } else if args.is(at, "BY") && operands >= 1 {
                at += 1;
                // A pattern that names one key for all elements asks for no order.
                // A later one that does not comes too late.
                let varies = args.at(at).contains(&b'*');
                options.unsorted |= !varies;
                if varies && !any_key {
                    return Err(denied("BY"));
                }
                options.by = args.get(at);
            } else if args.is(at, "GET") && operands >= 1 {
                at += 1;
                if !any_key {
                    return Err(denied("GET"));
                }
                options.get.extend(args.get(at));
            } else {
                return Err(CommandError::Syntax);
            }
            at += 1;
        }
        Ok(options)
    }

    /// The part of `len` elements that is wanted.
    pub(super) fn range(&self, len: usize) -> std::ops::Range<usize> {
        let Some((offset, count)) = self.limit else { return 0..len };
        let start = usize::try_from(offset.max(0)).unwrap_or(usize::MAX).min(len);
        let end = match usize::try_from(count) {
            Ok(count) => start.saturating_add(count).min(len),
            // A negative number is as good as none.
            Err(_) => len,
        };
        start..end
    }
}

fn denied(option: &str) -> CommandError {
    CommandError::owned(format!(
        "ERR {option} option of SORT denied due to insufficient ACL permissions."
    ))
}

fn sort(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let options = Options::parse(args, true, ctx.may_read_any_key(args))?;
    run(ctx, args.at(1), options)
}

fn sort_ro(ctx: &mut Ctx, args: &Args) -> CommandResult {
    let options = Options::parse(args, false, ctx.may_read_any_key(args))?;
    run(ctx, args.at(1), options)
}

/// An element and what it is compared by.
struct Item {
    element: Vec<u8>,
    score: f64,
    /// For ALPHA with BY: the text at the key that the pattern names.
    weight: Option<Vec<u8>>,
}

fn run(ctx: &mut Ctx, key: &[u8], mut options: Options) -> CommandResult {
    let (elements, is_set) = load(ctx, key, &mut options)?;
    unpack(ctx, key)?;
    let mut items = weigh(ctx, elements, &options)?;
    if !options.unsorted {
        let by = options.by.is_some();
        let mut order = |a: &Item, b: &Item| {
            let order = compare(a, b, options.alpha, by);
            // What lies in a set in no order must not be stored in one that depends on chance.
            let order = if is_set { order.then_with(|| a.element.cmp(&b.element)) } else { order };
            if options.descending { order.reverse() } else { order }
        };
        let wanted = options.range(items.len());
        if by && options.alpha && !is_set && wanted.len() < items.len() {
            sort_part(&mut items, &wanted, &mut order);
        } else {
            items.sort_by(order);
        }
    }
    // Without an order `load` brought what is wanted, and no more.
    let range = if options.unsorted { 0..items.len() } else { options.range(items.len()) };
    let items = items.get(range).unwrap_or_default();
    match options.store {
        Some(target) => store(ctx, target, items, &options.get),
        None => reply(ctx, items, &options.get),
    }
    Ok(())
}

/// The elements in the order in which they lie there, all of them or, where nothing is sorted, those that
/// are wanted; whether it is a set.
fn load(
    ctx: &mut Ctx,
    key: &[u8],
    options: &mut Options,
) -> Result<(Vec<Vec<u8>>, bool), CommandError> {
    let fixed = options.store.is_some() || ctx.origin == Origin::Script;
    let Some(entry) = ctx.ks.lookup(ctx.db, key) else { return Ok((Vec::new(), false)) };
    let wanted =
        |len: usize, options: &Options| if options.unsorted { options.range(len) } else { 0..len };
    let backwards = options.unsorted && options.descending;
    Ok(match entry.value() {
        ValueRef::List(list) => {
            let range = wanted(list.len(), options);
            let elements = match backwards {
                false => list.iter_from(range.start),
                true => list.iter_back_from(list.len().saturating_sub(1 + range.start)),
            };
            let elements = elements.take(range.len()).map(|element| element.to_vec());
            (elements.collect(), false)
        }
        ValueRef::Set(set) => {
            if options.unsorted && fixed {
                // A set has no order of its own: what is stored, or a script sees, must not depend on chance.
                options.unsorted = false;
                options.alpha = true;
                options.by = None;
            }
            let range = wanted(set.len(), options);
            let elements = set.iter().skip(range.start).take(range.len());
            (elements.map(|element| element.to_vec()).collect(), true)
        }
        ValueRef::ZSet(zset) => {
            let direction = if backwards { Direction::Reverse } else { Direction::Forward };
            let (len, wanted) = (zset.len(), wanted(zset.len(), options));
            // Ranks are counted from the lowest score, the limit from where the walk begins.
            let ranks = if backwards { len - wanted.end..len - wanted.start } else { wanted };
            let members = zset.range(ranks, direction);
            (members.map(|(member, _)| member.to_vec()).collect(), false)
        }
        _ => return Err(CommandError::WrongType),
    })
}

/// Redis sorts a sorted set in its large form only, and leaves it in that form.
fn unpack(ctx: &mut Ctx, key: &[u8]) -> CommandResult {
    let small = ctx.ks.again(ctx.db, key).is_some_and(
        |entry| matches!(entry.value(), ValueRef::ZSet(zset) if zset.as_listpack().is_some()),
    );
    if small && let Some(zset) = ctx.ks.write::<ZSet>(ctx.db, key)? {
        zset.unpack_now();
    }
    Ok(())
}

fn weigh(
    ctx: &mut Ctx,
    elements: Vec<Vec<u8>>,
    options: &Options,
) -> Result<Vec<Item>, CommandError> {
    let mut items = Vec::with_capacity(elements.len());
    for element in elements {
        let mut item = Item { element, score: 0.0, weight: None };
        if !options.unsorted {
            if let Some(pattern) = options.by {
                item.weight = look_up(ctx, pattern, &item.element);
            }
            let text =
                if options.by.is_some() { item.weight.as_ref() } else { Some(&item.element) };
            if let Some(text) = text.filter(|_| !options.alpha) {
                item.score = number::parse_range_bound(text).ok_or(CommandError::text(
                    "ERR One or more scores can't be converted into double",
                ))?;
            }
        }
        items.push(item);
    }
    Ok(items)
}

fn compare(a: &Item, b: &Item, alpha: bool, by: bool) -> Ordering {
    match (alpha, by) {
        // Equal numbers keep an order that does not depend on where the elements lay.
        // Zeros of both signs are equal.
        (false, _) => a
            .score
            .partial_cmp(&b.score)
            .unwrap_or(Ordering::Equal)
            .then_with(|| a.element.cmp(&b.element)),
        (true, true) => a.weight.cmp(&b.weight),
        (true, false) => a.element.cmp(&b.element),
    }
}

/// The value that a pattern names for an element: the element itself, a string, or a field of a
/// hash.
fn look_up(ctx: &mut Ctx, pattern: &[u8], element: &[u8]) -> Option<Vec<u8>> {
    if pattern == b"#" {
        return Some(element.to_vec());
    }
    let (key, field) = name(pattern, element)?;
    if let Some(field) = field {
        ctx.ks.expire_named_fields(ctx.db, &key, std::iter::once(field));
    }
    let hidden = ctx.ks.fields_hidden_before();
    let found = ctx.ks.lookup(ctx.db, &key).map(Entry::value)?;
    match (found, field) {
        (ValueRef::Str(string), None) => {
            Some(value::text(string, &mut itoa::Buffer::new()).to_vec())
        }
        (ValueRef::Hash(hash), Some(field)) if hash.is_due(field, hidden) => None,
        (ValueRef::Hash(hash), Some(field)) => hash.get(field).map(|value| value.to_vec()),
        _ => None,
    }
}

/// The key, and the field after `->`, that a pattern names for an element.
pub(super) fn name<'p>(pattern: &'p [u8], element: &[u8]) -> Option<(Vec<u8>, Option<&'p [u8]>)> {
    let star = pattern.iter().position(|byte| *byte == b'*')?;
    let (head, tail) = (pattern.get(..star)?, pattern.get(star + 1..)?);
    let arrow = tail.windows(2).position(|pair| pair == b"->");
    // Nothing behind the arrow: it belongs to the name.
    let arrow = arrow.filter(|arrow| arrow + 2 < tail.len());
    let (tail, field) = match arrow {
        Some(arrow) => (tail.get(..arrow)?, tail.get(arrow + 2..)),
        None => (tail, None),
    };
    Some(([head, element, tail].concat(), field))
}

fn reply(ctx: &mut Ctx, items: &[Item], get: &[&[u8]]) {
    ctx.reply.array(items.len() * get.len().max(1));
    for item in items {
        if get.is_empty() {
            ctx.reply.bulk(&item.element);
        }
        for pattern in get {
            let value = look_up(ctx, pattern, &item.element);
            ctx.reply.bulk_or_null(value.as_deref());
        }
    }
}

fn store(ctx: &mut Ctx, target: &[u8], items: &[Item], get: &[&[u8]]) {
    let limit = i64::from(ctx.limits().list_max_listpack_size);
    let list = if get.is_empty() {
        List::from_elements(items.iter().map(|item| item.element.as_slice()), limit)
    } else {
        let pairs = items.iter().flat_map(|item| get.iter().map(move |pattern| (pattern, item)));
        let found = pairs.map(|(pattern, item)| look_up(ctx, pattern, &item.element));
        List::from_elements(found.map(Option::unwrap_or_default), limit)
    };
    let len = list.len();
    if len > 0 {
        // One whose time is over ends before something else takes its name.
        ctx.ks.contains(ctx.db, target);
        if !ctx.ks.replace(ctx.db, Entry::new(target, list.into_value(), None)) {
            ctx.ks.effects.event(ctx.db, event::NEW, "new", target);
        }
        ctx.changed_by(target, len, event::LIST, "sortstore");
    } else if ctx.ks.contains(ctx.db, target) {
        ctx.ks.discard(ctx.db, target);
        ctx.changed(target, event::GENERIC, "del");
    }
    ctx.reply.count(len);
}

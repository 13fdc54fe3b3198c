//! The list type: one listpack while it is small, a deque of bounded nodes when it is not.
//!
//! ```text
//! Tight     [ listpack without sizes to walk back by ]     OBJECT ENCODING "listpack"
//! Packed    [ listpack ]                                   "listpack"
//! Chunked   [ node | node | node | ... ]                   "quicklist"
//!           node = Arc of a listpack within the bound, or of one oversized element
//! ```
//!
//! The bound is `list-max-listpack-size`, handed to every operation that adds or removes (the
//! directive can change while the list lives; nodes keep the bound that the list became chunked
//! with). A list becomes chunked when an addition would pass
//! the bound, and one listpack again when a removal leaves a single node of at most half of it:
//! Redis' rules, because clients read the encoding.
//!
//! A list begins tight. It gets the sizes behind its elements when it is larger than a kilobyte, when an element is
//! longer than they say in one byte, or when it is changed elsewhere than by pushes and from its front: a queue has
//! them after its first RPOP. It loses them again when it is loaded.
//!
//! Cloning a chunked list copies pointers only, and one for 64 nodes at that: the nodes are shared
//! and copied one at a time when either side changes them. That is how a snapshot keeps a long list
//! without copying it.
//!
//! Finding an index walks the node table from the nearer end; the table holds the counts, so the
//! walk does not touch the nodes.

mod chunked;
mod iter;
mod limit;
mod small;
mod table;

#[cfg(test)]
mod tests;

use std::mem;

use super::listpack::{Element, Listpack, ListpackRef, Tight};
use chunked::Chunked;
pub use chunked::{Node, NodeRef};
pub use iter::Iter;
use limit::NodeLimit;
use small::Unfolded;

/// A list of byte strings.
#[derive(Clone, Debug)]
pub struct List {
    form: Form,
}

#[derive(Clone, Debug)]
enum Form {
    Tight(Tight),
    Packed(Listpack),
    Chunked(Box<Chunked>),
}

impl Default for List {
    fn default() -> Self {
        Self::new()
    }
}

impl List {
    /// An empty list.
    pub fn new() -> Self {
        Self { form: Form::Tight(Tight::new()) }
    }

    /// Has a small list on its way.
    #[inline]
    pub fn bring_near(&self) {
        match &self.form {
            Form::Tight(list) => list.bring_near(),
            Form::Packed(list) => list.bring_near(),
            Form::Chunked(_) => {}
        }
    }

    /// A list whose elements come one by one, of which nobody knows yet how many they are (SORT STORE): nodes are
    /// filled as by single pushes to a long list, and what then fits in one node becomes a listpack.
    pub fn from_elements<T: AsRef<[u8]>>(
        texts: impl IntoIterator<Item = T>,
        max_listpack_size: i64,
    ) -> Self {
        let mut list = Self::from_nodes_as_they_are([], NodeLimit::new(max_listpack_size));
        texts.into_iter().for_each(|text| list.append(Element::from(text.as_ref())));
        list.pack(max_listpack_size);
        list
    }

    /// A list of the elements of a listpack that was loaded.
    pub fn from_listpack(listpack: Listpack, list_max_listpack_size: i64) -> Self {
        let limit = NodeLimit::new(list_max_listpack_size);
        if limit.is_exceeded(listpack.byte_len(), listpack.len()) {
            return Self::from_nodes([Node::Packed(listpack)], list_max_listpack_size);
        }
        Self { form: small::fold(listpack) }
    }

    /// A list of nodes that were loaded, as they are; empty ones are left out.
    pub fn from_nodes(nodes: impl IntoIterator<Item = Node>, list_max_listpack_size: i64) -> Self {
        let mut list = Self::from_nodes_as_they_are(nodes, NodeLimit::new(list_max_listpack_size));
        list.pack(list_max_listpack_size);
        list
    }

    fn from_nodes_as_they_are(nodes: impl IntoIterator<Item = Node>, limit: NodeLimit) -> Self {
        Self { form: Form::Chunked(Box::new(Chunked::from_nodes(nodes, limit))) }
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        match &self.form {
            Form::Tight(tight) => tight.len(),
            Form::Packed(listpack) => listpack.len(),
            Form::Chunked(chunked) => chunked.len(),
        }
    }

    /// Whether there is no element (and the key ought to go).
    pub fn is_empty(&self) -> bool {
        match &self.form {
            Form::Tight(tight) => tight.is_empty(),
            Form::Packed(listpack) => listpack.is_empty(),
            Form::Chunked(chunked) => chunked.len() == 0,
        }
    }

    /// What OBJECT ENCODING says.
    pub fn encoding_name(&self) -> &'static str {
        match &self.form {
            Form::Tight(_) | Form::Packed(_) => "listpack",
            Form::Chunked(_) => "quicklist",
        }
    }

    /// Heap bytes held, shared nodes counted in full. Walks the nodes.
    pub fn memory_bytes(&self) -> usize {
        match &self.form {
            Form::Tight(tight) => tight.memory_bytes(),
            Form::Packed(listpack) => listpack.memory_bytes(),
            Form::Chunked(chunked) => size_of::<Chunked>() + chunked.memory_bytes(),
        }
    }

    /// The nodes in order, for a writer of files; a packed list is one node.
    pub fn nodes(&self) -> impl Iterator<Item = NodeRef<'_>> {
        let (packed, chunked) = match &self.form {
            Form::Tight(tight) => (Some(NodeRef::Tight(tight.view())), None),
            Form::Packed(listpack) => (Some(NodeRef::Packed(listpack.bytes())), None),
            Form::Chunked(chunked) => (None, Some(chunked.nodes())),
        };
        packed.into_iter().chain(chunked.into_iter().flatten())
    }

    /// Number of [`List::nodes`].
    pub fn node_count(&self) -> usize {
        match &self.form {
            Form::Tight(_) | Form::Packed(_) => 1,
            Form::Chunked(chunked) => chunked.node_count(),
        }
    }

    /// The position that an index means; negative ones count from the end. `None` outside.
    pub fn position(&self, index: i64) -> Option<usize> {
        let len = self.len();
        let position = match usize::try_from(index) {
            Ok(position) => position,
            Err(_) => len.checked_sub(usize::try_from(index.unsigned_abs()).ok()?)?,
        };
        (position < len).then_some(position)
    }

    /// The element with this index; negative ones count from the end.
    pub fn get(&self, index: i64) -> Option<Element<'_>> {
        match &self.form {
            Form::Tight(tight) => tight.view().element(self.position(index)?),
            Form::Packed(listpack) => listpack.view().element(index),
            Form::Chunked(chunked) => chunked.get(self.position(index)?),
        }
    }

    /// The first element.
    pub fn front(&self) -> Option<Element<'_>> {
        self.get(0)
    }

    /// The last element.
    pub fn back(&self) -> Option<Element<'_>> {
        self.get(-1)
    }

    /// All elements, first to last.
    pub fn iter(&self) -> Iter<'_> {
        self.iter_from(0)
    }

    /// The elements from this position to the end.
    pub fn iter_from(&self, position: usize) -> Iter<'_> {
        Iter::forward(&self.form, position, self.len())
    }

    /// The elements from this position back to the first.
    pub fn iter_back_from(&self, position: usize) -> Iter<'_> {
        Iter::backward(&self.form, position, self.len())
    }

    /// Appends an element.
    pub fn push_back<'e>(&mut self, element: impl Into<Element<'e>>, max_listpack_size: i64) {
        let (element, limit) = (element.into(), NodeLimit::new(max_listpack_size));
        self.chunk_for(element.len(), 1, limit);
        self.append(element);
    }

    /// Inserts an element before all others.
    pub fn push_front<'e>(&mut self, element: impl Into<Element<'e>>, max_listpack_size: i64) {
        let (element, limit) = (element.into(), NodeLimit::new(max_listpack_size));
        self.chunk_for(element.len(), 1, limit);
        self.prepend(element);
    }

    /// Appends elements one after the other. The encoding is chosen for all of them together, as
    /// RPUSH does, so it may differ from that of single pushes.
    pub fn extend_back<T: AsRef<[u8]>>(&mut self, texts: &[T], max_listpack_size: i64) {
        let limit = NodeLimit::new(max_listpack_size);
        self.chunk_for(text_bytes(texts), texts.len(), limit);
        for text in texts {
            self.append(Element::from(text.as_ref()));
        }
    }

    /// Inserts elements one after the other before the first: the last one ends up first (LPUSH).
    pub fn extend_front<T: AsRef<[u8]>>(&mut self, texts: &[T], max_listpack_size: i64) {
        let limit = NodeLimit::new(max_listpack_size);
        self.chunk_for(text_bytes(texts), texts.len(), limit);
        for text in texts {
            self.prepend(Element::from(text.as_ref()));
        }
    }

    /// Removes the first element and returns its text.
    pub fn pop_front(&mut self, max_listpack_size: i64) -> Option<Vec<u8>> {
        self.pop(false, max_listpack_size)
    }

    /// Removes the last element and returns its text.
    pub fn pop_back(&mut self, max_listpack_size: i64) -> Option<Vec<u8>> {
        self.pop(true, max_listpack_size)
    }

    /// Moves an element from one end to the other, or back to where it was, and returns its text. As in
    /// Redis the encoding is looked at when the element is there again, not between.
    pub fn rotate(&mut self, from_back: bool, to_back: bool, max: i64) -> Option<Vec<u8>> {
        let limit = NodeLimit::new(max);
        let text = match &mut self.form {
            Form::Tight(_) | Form::Packed(_) => self.pop(from_back, max)?,
            Form::Chunked(chunked) => chunked.pop(from_back)?,
        };
        self.chunk_for(text.len(), 1, limit);
        let element = Element::from(text.as_slice());
        if to_back {
            self.append(element)
        } else {
            self.prepend(element)
        }
        self.shrink(limit);
        Some(text)
    }

    /// Inserts an element so that it has this position; `false` beyond the end.
    pub fn insert<'e>(
        &mut self,
        position: usize,
        element: impl Into<Element<'e>>,
        max_listpack_size: i64,
    ) -> bool {
        if position > self.len() {
            return false;
        }
        let (element, limit) = (element.into(), NodeLimit::new(max_listpack_size));
        self.chunk_for(element.len(), 1, limit);
        match self.unfolded() {
            Unfolded::Packed(listpack) => listpack.insert_at(position, element),
            Unfolded::Chunked(chunked) => chunked.insert(position, element),
        }
    }

    /// Inserts an element before or after the first one with the text of `pivot` (LINSERT);
    /// `false` if there is none. As in Redis the encoding is chosen before the pivot is looked for.
    pub fn insert_beside<'e>(
        &mut self,
        pivot: &[u8],
        after: bool,
        element: impl Into<Element<'e>>,
        max_listpack_size: i64,
    ) -> bool {
        let (element, limit) = (element.into(), NodeLimit::new(max_listpack_size));
        self.chunk_for(element.len(), 1, limit);
        let Some(position) = self.find(pivot) else { return false };
        match self.unfolded() {
            Unfolded::Packed(listpack) => {
                listpack.insert_at(position + usize::from(after), element)
            }
            Unfolded::Chunked(chunked) => chunked.insert_beside(position, after, element),
        }
    }

    /// Puts another element in the place of the one with this index; `false` if there is none.
    pub fn set<'e>(
        &mut self,
        index: i64,
        element: impl Into<Element<'e>>,
        max_listpack_size: i64,
    ) -> bool {
        let (element, limit) = (element.into(), NodeLimit::new(max_listpack_size));
        // As in Redis, even where there is no such element.
        self.chunk_for(element.len(), 1, limit);
        let Some(position) = self.position(index) else { return false };
        match self.unfolded() {
            Unfolded::Packed(listpack) => {
                if let Some(cursor) = listpack.view().seek(index) {
                    listpack.replace(cursor, element);
                }
            }
            Unfolded::Chunked(chunked) => chunked.set(position, element),
        }
        self.shrink(limit);
        true
    }

    /// Removes up to `count` elements from this position on; returns how many.
    pub fn remove_range(&mut self, position: usize, count: usize, max_listpack_size: i64) -> usize {
        let removed = match self.unfolded() {
            Unfolded::Packed(listpack) => match i64::try_from(position) {
                Ok(index) => listpack.remove_range(index, count),
                Err(_) => 0,
            },
            Unfolded::Chunked(chunked) => chunked.remove_range(position, count),
        };
        self.shrink(NodeLimit::new(max_listpack_size));
        removed
    }

    /// Keeps `count` elements from this position on and removes the rest (LTRIM).
    pub fn keep(&mut self, position: usize, count: usize, max_listpack_size: i64) {
        let len = self.len();
        let start = position.min(len);
        let end = start.saturating_add(count).min(len);
        self.remove_range(end, len - end, max_listpack_size);
        self.remove_range(0, start, max_listpack_size);
    }

    /// Removes elements with this text: the first `count`, or the last ones for a negative count,
    /// or all for zero. Returns how many (LREM).
    pub fn remove_matching(&mut self, text: &[u8], count: i64, max_listpack_size: i64) -> usize {
        let wanted = match usize::try_from(count.unsigned_abs()) {
            Ok(0) | Err(_) => usize::MAX,
            Ok(wanted) => wanted,
        };
        let backward = count < 0;
        let removed = match self.unfolded() {
            Unfolded::Packed(listpack) => {
                chunked::remove_from_listpack(listpack, text, wanted, backward)
            }
            Unfolded::Chunked(chunked) => chunked.remove_matching(text, wanted, backward),
        };
        if removed > 0 {
            self.shrink(NodeLimit::new(max_listpack_size));
        }
        removed
    }

    /// Position of the first element with this text.
    pub fn find(&self, text: &[u8]) -> Option<usize> {
        let number = crate::number::parse_i64(text);
        let mut before = 0;
        for node in self.nodes() {
            let compared = match node {
                NodeRef::Plain(data) if data == text => return Some(before),
                NodeRef::Plain(_) => 1,
                NodeRef::Packed(blob) => match ListpackRef::new(blob).index_of(text, number) {
                    Ok(index) => return Some(before + index),
                    Err(compared) => compared,
                },
                NodeRef::Tight(tight) => return tight.index_of(text),
            };
            before += compared;
        }
        None
    }

    /// Positions of elements with this text (LPOS): from the `rank`th match on (negative: counted
    /// and listed from the end), at most `count` of them (0: all), looking at no more than
    /// `compared_max` elements (0: all).
    pub fn positions(
        &self,
        text: &[u8],
        rank: i64,
        count: usize,
        compared_max: usize,
    ) -> Vec<usize> {
        if rank == 1 && count == 1 && compared_max == 0 {
            return self.find(text).into_iter().collect();
        }
        let len = self.len();
        let unlimited = |bound: usize| if bound == 0 { usize::MAX } else { bound };
        let mut to_skip = rank.unsigned_abs().saturating_sub(1);
        let mut found = Vec::new();
        let elements =
            if rank < 0 { self.iter_back_from(len.saturating_sub(1)) } else { self.iter() };
        let number = crate::number::parse_i64(text);
        for (steps, element) in elements.take(unlimited(compared_max)).enumerate() {
            let hit = match element {
                Element::Int(value) => number == Some(value),
                Element::Str(bytes) => bytes == text,
            };
            if !hit {
                continue;
            }
            if to_skip > 0 {
                to_skip -= 1;
                continue;
            }
            found.push(if rank < 0 { len - 1 - steps } else { steps });
            if found.len() == unlimited(count) {
                break;
            }
        }
        found
    }

    fn pop(&mut self, back: bool, max_listpack_size: i64) -> Option<Vec<u8>> {
        match self.unfolded_to_pop(back) {
            Form::Tight(tight) => small::pop(tight, back),
            Form::Packed(listpack) => {
                let view = listpack.view();
                let cursor = if back { view.last()? } else { view.first()? };
                let text = view.get(cursor)?.to_vec();
                listpack.remove(cursor, 1);
                Some(text)
            }
            Form::Chunked(chunked) => {
                let text = chunked.pop(back)?;
                self.shrink(NodeLimit::new(max_listpack_size));
                Some(text)
            }
        }
    }

    fn append(&mut self, element: Element<'_>) {
        match self.unfolded_for(element) {
            Form::Tight(tight) => tight.push_back(element),
            Form::Packed(listpack) => listpack.push_back(element),
            Form::Chunked(chunked) => chunked.push_back(element),
        }
    }

    fn prepend(&mut self, element: Element<'_>) {
        match self.unfolded_for(element) {
            Form::Tight(tight) => tight.push_front(element),
            Form::Packed(listpack) => listpack.push_front(element),
            Form::Chunked(chunked) => chunked.push_front(element),
        }
    }

    /// Becomes chunked if `count` more elements with this much text together pass the bound.
    fn chunk_for(&mut self, text_bytes: usize, count: usize, limit: NodeLimit) {
        let bytes = match &self.form {
            Form::Tight(tight) => small::listpack_bytes(tight.view()),
            Form::Packed(listpack) => listpack.byte_len(),
            Form::Chunked(_) => return,
        };
        let (bytes, count) = (bytes.saturating_add(text_bytes), self.len().saturating_add(count));
        if limit.is_exceeded(bytes, count)
            && let Unfolded::Packed(listpack) = self.unfolded()
        {
            let node = Node::Packed(mem::take(listpack));
            self.form = Form::Chunked(Box::new(Chunked::from_nodes([node], limit)));
        }
    }

    fn shrink(&mut self, limit: NodeLimit) {
        self.pack_if(|bytes, count| limit.allows_shrinking(bytes, count));
    }

    /// Becomes one listpack if the bound allows it, and tight if it is small.
    fn pack(&mut self, max_listpack_size: i64) {
        let limit = NodeLimit::new(max_listpack_size);
        self.pack_if(|bytes, count| limit.allows_packing(bytes, count));
        if let Form::Packed(listpack) = &mut self.form {
            self.form = small::fold(mem::take(listpack));
        }
    }

    /// Becomes one listpack if there is one node of a size that `fits`, or none.
    fn pack_if(&mut self, fits: impl Fn(usize, usize) -> bool) {
        if let Form::Chunked(chunked) = &mut self.form
            && let Some(listpack) = chunked.take_only_listpack(fits)
        {
            self.form = Form::Packed(listpack);
        }
    }
}

fn text_bytes<T: AsRef<[u8]>>(texts: &[T]) -> usize {
    texts.iter().map(|text| text.as_ref().len()).sum()
}

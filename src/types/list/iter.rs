//! Walking a list, in either direction from any position.

use super::Form;
use super::chunked::{Chunked, NodeRef};
use crate::types::listpack::{self, Element, ListpackRef, TightIter};

/// Elements of a list in one direction.
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    chunked: Option<&'a Chunked>,
    /// The node that follows the current one; `None` when there is none.
    next_node: Option<usize>,
    current: Part<'a>,
    backward: bool,
    remaining: usize,
}

/// What is left of the current node.
#[derive(Clone, Debug)]
enum Part<'a> {
    Packed(listpack::Iter<'a>),
    Tight(TightIter<'a>),
    /// Elements of a tight list on the way back, the next one last.
    Turned(Vec<Element<'a>>),
    Plain(Option<&'a [u8]>),
}

impl<'a> Iter<'a> {
    pub(super) fn forward(form: &'a Form, position: usize, len: usize) -> Self {
        Self::new(form, position, len, false)
    }

    pub(super) fn backward(form: &'a Form, position: usize, len: usize) -> Self {
        Self::new(form, position, len, true)
    }

    fn new(form: &'a Form, position: usize, len: usize, backward: bool) -> Self {
        let mut iter = Self {
            chunked: None,
            next_node: None,
            current: Part::Plain(None),
            backward,
            remaining: 0,
        };
        if position >= len {
            return iter;
        }
        iter.remaining = if backward { position + 1 } else { len - position };
        match form {
            Form::Tight(tight) => iter.enter(NodeRef::Tight(tight.view()), position),
            Form::Packed(listpack) => iter.enter(NodeRef::Packed(listpack.bytes()), position),
            Form::Chunked(chunked) => {
                iter.chunked = Some(chunked);
                if let Some((index, offset)) = chunked.locate(position)
                    && let Some(node) = chunked.node(index)
                {
                    iter.enter(node, offset);
                    iter.follow(index);
                }
            }
        }
        iter
    }

    /// Makes `index`'s neighbour the next node.
    fn follow(&mut self, index: usize) {
        self.next_node = if self.backward { index.checked_sub(1) } else { index.checked_add(1) };
    }

    /// Starts with the element at `offset` of a node.
    fn enter(&mut self, node: NodeRef<'a>, offset: usize) {
        self.current = match node {
            NodeRef::Plain(text) => Part::Plain(Some(text)),
            NodeRef::Tight(tight) if self.backward => {
                Part::Turned(tight.iter().take(offset + 1).collect())
            }
            NodeRef::Tight(tight) => match tight.seek(offset) {
                Some(cursor) => Part::Tight(tight.iter_from(cursor)),
                None => Part::Plain(None),
            },
            NodeRef::Packed(blob) => {
                let view = ListpackRef::new(blob);
                let cursor = i64::try_from(offset).ok().and_then(|offset| view.seek(offset));
                match cursor {
                    Some(cursor) if self.backward => Part::Packed(view.iter_to(cursor)),
                    Some(cursor) => Part::Packed(view.iter_from(cursor)),
                    None => Part::Plain(None),
                }
            }
        };
    }

    /// Starts with the next node's first element in this direction.
    fn enter_next(&mut self) -> Option<()> {
        let index = self.next_node?;
        let node = self.chunked?.node(index)?;
        self.current = match node {
            NodeRef::Plain(text) => Part::Plain(Some(text)),
            NodeRef::Packed(blob) => Part::Packed(ListpackRef::new(blob).iter()),
            NodeRef::Tight(tight) => Part::Tight(tight.iter()),
        };
        self.follow(index);
        Some(())
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = Element<'a>;

    fn next(&mut self) -> Option<Element<'a>> {
        loop {
            let element = match &mut self.current {
                Part::Packed(elements) if self.backward => elements.next_back(),
                Part::Packed(elements) => elements.next(),
                Part::Tight(elements) => elements.next(),
                Part::Turned(elements) => elements.pop(),
                Part::Plain(text) => text.take().map(Element::Str),
            };
            if element.is_some() {
                self.remaining = self.remaining.saturating_sub(1);
                return element;
            }
            self.enter_next()?;
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.remaining, Some(self.remaining))
    }
}

impl ExactSizeIterator for Iter<'_> {}

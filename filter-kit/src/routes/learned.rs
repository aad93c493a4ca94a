//! Routes that are learned: a bounded trie of the segments that were seen.

use super::{
    RouteId,
    kinds::{self, Kind},
};
use std::rc::Rc;

/// The most segments of a learned label; what is deeper is `{**}`.
pub const DEPTH: usize = 10;

/// How many times a word has to be seen, before there are too many in its place, to stay.
pub const PROVEN: u32 = 256;

/// A place where any word may stand, and whatever is deeper than is looked.
const ANY: &str = "{*}";
const REST: &str = "{**}";

/// The node of `/`.
const ROOT: u32 = 0;

/// What was seen, and what it is called.
#[derive(Debug)]
pub(super) struct Learned {
    nodes: Vec<Node>,
    /// Places of `nodes` that are free again.
    free: Vec<u32>,
    node_limit: usize,
    word_limit: usize,
    /// How many labels there are, may be, and may be without `{*}` or `{**}`.
    labels: usize,
    label_limit: usize,
    exact_limit: usize,
}

/// A segment that was seen, at its place in the path.
#[derive(Debug, Default)]
struct Node {
    /// A word, or the name of a kind.
    text: Box<str>,
    parent: u32,
    children: Vec<Child>,
    /// How many of the children are words.
    words: usize,
    /// The node for all words that are no children, once there were too many.
    any: Option<u32>,
    /// How many paths went through.
    hits: u32,
    is_any: bool,
    is_below_any: bool,
    names_people: bool,
    label: Option<RouteId>,
}

#[derive(Debug, Clone, Copy)]
struct Child {
    hash: u32,
    node: u32,
}

/// Where a path ends.
pub(super) enum End {
    /// At a node with a label.
    Labelled(RouteId),
    /// At a node that has none yet.
    Bare(u32),
}

impl Learned {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            nodes: vec![Node::default()],
            free: Vec::new(),
            node_limit: 4 * limit + 64,
            word_limit: (limit / 10).clamp(4, 50),
            labels: 0,
            label_limit: limit,
            exact_limit: limit - limit / 4,
        }
    }

    /// The label of a path, whose first `/` is not there, if it has one.
    pub(super) fn known(&self, path: &[u8]) -> Option<RouteId> {
        let (mut here, mut above) = (ROOT, b"".as_slice());
        for (depth, segment) in Segments(path).enumerate() {
            let node = self.node(here)?;
            if depth == DEPTH {
                here = self.child(node, REST.as_bytes(), kinds::hash(REST.as_bytes()))?;
                break;
            }
            here = match self.found(node, above, &segment) {
                Ok(child) => child,
                Err(None) => node.any?,
                Err(Some(_)) => return None,
            };
            above = segment.text;
        }
        self.node(here)?.label
    }

    /// Where a path ends, and what is new on the way is learned; nothing where there is no room for it.
    pub(super) fn seen(&mut self, path: &[u8]) -> Option<End> {
        let (mut here, mut above) = (ROOT, b"".as_slice());
        for (depth, segment) in Segments(path).enumerate() {
            let node = self.node(here)?;
            if depth == DEPTH {
                let hash = kinds::hash(REST.as_bytes());
                here = match self.child(node, REST.as_bytes(), hash) {
                    Some(child) => child,
                    None => self.insert(here, REST, Some(hash))?,
                };
                break;
            }
            here = match self.found(node, above, &segment) {
                Ok(child) => child,
                Err(Some(kind)) => self.insert(here, kind.text(), Some(kind.hash()))?,
                Err(None) => self.word(here, &segment)?,
            };
            let node = self.nodes.get_mut(here as usize)?;
            node.hits = node.hits.saturating_add(1);
            above = segment.text;
        }
        Some(match self.node(here)?.label {
            Some(label) => End::Labelled(label),
            None => End::Bare(here),
        })
    }

    /// Makes the label of a node, if there is room for one. `fixed` are the labels that are not learned.
    pub(super) fn name(&mut self, at: u32, labels: &mut Vec<Rc<str>>, fixed: usize) -> Option<RouteId> {
        let end = self.node(at)?;
        let is_general = end.is_below_any || &*end.text == REST;
        if self.labels >= if is_general { self.label_limit } else { self.exact_limit } {
            return None;
        }
        let mut parts = Vec::with_capacity(DEPTH + 1);
        let mut here = at;
        while here != ROOT {
            let node = self.node(here)?;
            parts.push(&*node.text);
            here = node.parent;
        }
        let mut text = String::new();
        for part in parts.iter().rev() {
            text.push('/');
            text.push_str(part);
        }
        if text.is_empty() {
            text.push('/');
        }
        let given = labels.iter().take(fixed).position(|label| **label == *text);
        let place = given.unwrap_or(labels.len());
        let id = RouteId(u32::try_from(place).ok()?);
        if given.is_none() {
            labels.push(text.into());
            self.labels += 1;
        }
        self.nodes.get_mut(at as usize)?.label = Some(id);
        Some(id)
    }

    fn node(&self, at: u32) -> Option<&Node> {
        self.nodes.get(at as usize)
    }

    fn child(&self, node: &Node, text: &[u8], hash: u32) -> Option<u32> {
        let is_it = |child: &&Child| {
            child.hash == hash && self.node(child.node).is_some_and(|other| other.text.as_bytes() == text)
        };
        node.children.iter().find(is_it).map(|child| child.node)
    }

    /// The child that a segment is, or else its kind, or nothing where it is a word. `above` is the segment before.
    #[inline]
    fn found(&self, node: &Node, above: &[u8], segment: &Segment<'_>) -> Result<u32, Option<Kind>> {
        let kind = if segment.is_number {
            Some(Kind::Number)
        } else if node.is_any && kinds::names_people(above) {
            kinds::of(segment.text, true)
        } else {
            // The kind depends on the text alone, and on what it stands below: a child of this text is the answer.
            if let Some(child) = self.child(node, segment.text, segment.hash) {
                return Ok(child);
            }
            kinds::of(segment.text, node.names_people)
        };
        let known = match kind {
            Some(kind) => self.child(node, kind.text().as_bytes(), kind.hash()),
            None => self.child(node, segment.text, segment.hash).or(node.any),
        };
        known.ok_or(kind)
    }

    /// The node for a word that is new in its place.
    #[cold]
    fn word(&mut self, parent: u32, segment: &Segment<'_>) -> Option<u32> {
        let is_full = self.free.is_empty() && self.nodes.len() >= self.node_limit;
        if is_full || self.node(parent)?.words >= self.word_limit {
            return self.collapse(parent);
        }
        let text = std::str::from_utf8(segment.text).ok()?;
        self.insert(parent, text, None)
    }

    /// Makes a place one for any word, but for those that were seen often. What was learned below the others goes.
    #[cold]
    fn collapse(&mut self, at: u32) -> Option<u32> {
        let children = std::mem::take(&mut self.nodes.get_mut(at as usize)?.children);
        let (mut kept, mut words) = (Vec::with_capacity(children.len() / 2), 0);
        for child in children {
            let node = self.node(child.node)?;
            let is_word = node.is_word();
            if is_word && node.hits < PROVEN {
                self.forget(child.node);
            } else {
                words += usize::from(is_word);
                kept.push(child);
            }
        }
        let node = self.nodes.get_mut(at as usize)?;
        (node.children, node.words) = (kept, words);
        let any = self.insert(at, ANY, None)?;
        self.nodes.get_mut(at as usize)?.any = Some(any);
        Some(any)
    }

    /// Frees a node and all below it.
    fn forget(&mut self, at: u32) {
        let mut doomed = vec![at];
        while let Some(next) = doomed.pop() {
            let Some(node) = self.nodes.get_mut(next as usize) else { continue };
            let node = std::mem::take(node);
            doomed.extend(node.children.iter().map(|child| child.node).chain(node.any));
            self.free.push(next);
        }
    }

    /// A new node, if there is room for one; a child where it has a hash or is a word.
    #[cold]
    fn insert(&mut self, parent: u32, text: &str, hash: Option<u32>) -> Option<u32> {
        let above = self.node(parent)?;
        let is_any = text == ANY;
        let node = Node {
            text: text.into(),
            parent,
            is_below_any: is_any || above.is_below_any,
            is_any,
            names_people: kinds::names_people(text.as_bytes()),
            ..Node::default()
        };
        let is_word = node.is_word();
        let at = match self.free.pop() {
            Some(at) => at,
            None if self.nodes.len() < self.node_limit => {
                self.nodes.push(Node::default());
                u32::try_from(self.nodes.len() - 1).ok()?
            }
            None => return None,
        };
        *self.nodes.get_mut(at as usize)? = node;
        if !is_any {
            let hash = hash.unwrap_or_else(|| kinds::hash(text.as_bytes()));
            let above = self.nodes.get_mut(parent as usize)?;
            above.children.push(Child { hash, node: at });
            above.words += usize::from(is_word);
        }
        Some(at)
    }

    /// How many nodes are in use, for tests of the bounds.
    #[cfg(test)]
    pub(super) fn size(&self) -> (usize, usize) {
        (self.nodes.len() - self.free.len(), self.node_limit)
    }
}

impl Node {
    fn is_word(&self) -> bool {
        !self.text.starts_with('{')
    }
}

/// A segment of a path, without what stands behind a `;` (RFC 3986, 3.3: parameters of the segment).
struct Segment<'p> {
    text: &'p [u8],
    hash: u32,
    /// Whether there are digits alone.
    is_number: bool,
}

/// The segments of a path that are not empty.
struct Segments<'p>(&'p [u8]);

impl<'p> Iterator for Segments<'p> {
    type Item = Segment<'p>;

    #[inline]
    fn next(&mut self) -> Option<Segment<'p>> {
        loop {
            let path = self.0;
            let (mut length, mut hash, mut is_number) = (0, kinds::SEED, true);
            for &byte in path {
                if byte == b'/' || byte == b';' || length == kinds::LENGTH_LIMIT {
                    break;
                }
                hash = kinds::step(hash, byte);
                is_number &= byte.is_ascii_digit();
                length += 1;
            }
            let (mut text, mut rest) = path.split_at_checked(length)?;
            if let Some(behind) = rest.strip_prefix(b"/") {
                rest = behind;
            } else if let Some(&byte) = rest.first() {
                let end = memchr::memchr(b'/', rest);
                if byte != b';' {
                    // One that is too long: its length says so, and it is no child.
                    text = path.get(..=length).unwrap_or(path);
                    is_number = false;
                } else if length == 0 {
                    text = b";";
                    is_number = false;
                }
                rest = end.and_then(|end| rest.get(end + 1..)).unwrap_or_default();
            } else if length == 0 {
                return None;
            }
            self.0 = rest;
            if !text.is_empty() {
                return Some(Segment { text, hash, is_number });
            }
        }
    }
}

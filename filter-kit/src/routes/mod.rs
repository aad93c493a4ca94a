//! What stands for a path in a metric's label or a log line: `/users/{number}/orders` for `/users/4711/orders`.
//!
//! A route is given, by a [`Template`](crate::Template) of the configuration, or learned from the paths that pass. Learning goes segment by
//! segment: what looks like a value is written as its kind (see [`kinds`]), words stay, and where too many different words have been seen in
//! one place it becomes `{*}`.
//!
//! # Configuration
//!
//! ```json
//! {"given": ["/users/{id}/orders/{*}"], "learn": true, "limit": 500}
//! ```
//!
//! All three may be left out; these are the defaults, but that no template is given. `limit` is 1 to 5,000 learned labels.
//!
//! # Bounds
//!
//! - At most `limit` learned labels are ever made, as a stat of Envoy's never goes; what is beyond is labelled `{other}` and counted. A quarter
//!   of them is kept for labels with `{*}` or `{**}`, of which few are enough, so that a flood of words leaves room for what it collapses to.
//! - A place in a path has at most a tenth of `limit` words, 4 to 50. With the next one the place becomes `{*}` for all words that have not been
//!   seen [`PROVEN`] times there: a scan for what a site may have does not take away the labels of what it has.
//! - A label has at most [`DEPTH`] segments, what is deeper is `{**}`, and a segment at most 64 bytes; of a longer one, 80 are looked at.
//! - The trie of what was seen has at most 4 nodes a label, and 64.
//!
//! - A trie with the default limit takes at most 0.7 MB, labels included, if every segment is as long as it may be.
//!
//! # What depends on order
//!
//! The kind of a segment depends on the segment alone, and on whether it stands below a word such as `users`. Which words stay where there are
//! too many, and which labels fit below the limit, depends on which came first. The same paths in the same order have the same labels after a
//! restart; so have the same paths in any order while neither bound is met. Labels made before a place became `{*}` stay as they are.
//!
//! # Personal data
//!
//! No number, address, date, e-mail, id or long text gets into a label, and whatever mixes letters and digits in an unusual way counts as an id.
//! What is written like any word, as `berlin` or `alice` are, cannot be told from a route: below `users` and the like it is an id, elsewhere it
//! stays until its place becomes `{*}`. Where names stand in a path, give its template.

mod given;
pub mod kinds;
mod learned;
#[cfg(test)]
mod tests;

use crate::settings::Field;
use given::Given;
use learned::Learned;
use std::{
    cell::{Cell, RefCell},
    fmt,
    ops::Deref,
    rc::Rc,
};

pub use learned::{DEPTH, PROVEN};

/// The most templates that a configuration may give.
pub const GIVEN_LIMIT: usize = 1000;

/// The most labels that may be learned.
const LEARNED_LIMIT: i64 = 5000;

/// How many are learned where the configuration does not say.
const LEARNED_DEFAULT: usize = 500;

/// The labels that are there from the start, by their ids.
const FIXED: [&str; 3] = ["{other}", "{invalid}", "*"];

/// A label of a [`Routes`]: a small number, the same for as long as the routes live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteId(u32);

impl RouteId {
    /// `{other}`: what no label is for, since the limit is met or nothing is learned.
    pub const OTHER: Self = Self(0);
    /// `{invalid}`: no path, or one that does not begin with `/`.
    pub const INVALID: Self = Self(1);
    /// `*`: what `OPTIONS *` asks of the server as a whole (RFC 9112, 3.2.4).
    pub const SERVER: Self = Self(2);

    /// The label's place, below [`Routes::capacity`].
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// The text of a label. Only [`Routes`] makes one: what takes a label can hold no path by mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteLabel(Rc<str>);

impl RouteLabel {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Deref for RouteLabel {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RouteLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The labels of paths.
#[derive(Debug)]
pub struct Routes {
    given: Given,
    learned: Option<RefCell<Learned>>,
    labels: RefCell<Vec<Rc<str>>>,
    capacity: usize,
    others: Cell<u64>,
}

impl Default for Routes {
    /// No template is given, and 500 labels are learned.
    fn default() -> Self {
        Self::new(Given::default(), Vec::new(), Some(LEARNED_DEFAULT))
    }
}

impl Routes {
    /// Reads them from a filter's configuration; nothing given is the [`Default`].
    #[inline(never)]
    pub fn read(field: &Field<'_, '_>) -> Self {
        field.only(&["given", "learn", "limit"]);
        let (given, texts) = Given::read(&field.get("given"));
        let limit = field.get("limit").whole(1, LEARNED_LIMIT).and_then(|limit| usize::try_from(limit).ok());
        let limit = limit.unwrap_or(LEARNED_DEFAULT);
        Self::new(given, texts, field.get("learn").flag(true).then_some(limit))
    }

    fn new(given: Given, texts: Vec<Rc<str>>, limit: Option<usize>) -> Self {
        let mut labels: Vec<Rc<str>> = FIXED.iter().map(|&label| label.into()).collect();
        labels.extend(texts);
        Self {
            given,
            capacity: labels.len() + limit.unwrap_or(0),
            learned: limit.map(|limit| RefCell::new(Learned::new(limit))),
            labels: RefCell::new(labels),
            others: Cell::new(0),
        }
    }

    /// The label of a path, which comes without its query: of the first given template that matches, or else a learned one. A path whose label is
    /// known costs no allocation.
    ///
    /// Empty segments do not count when a label is learned, so `//a///b/` is `/a/b`, and a segment ends at `;`.
    pub fn of(&self, path: &[u8]) -> RouteId {
        let found = self.find(path, true);
        found.unwrap_or_else(|| {
            self.others.set(self.others.get().saturating_add(1));
            RouteId::OTHER
        })
    }

    /// As [`of`](Self::of), but nothing is learned and nothing counted: for paths that do not exist, of which whoever looks for holes asks many.
    /// [`RouteId::OTHER`] where the path has no label yet.
    pub fn known(&self, path: &[u8]) -> RouteId {
        self.find(path, false).unwrap_or(RouteId::OTHER)
    }

    /// The text of a label: visible ASCII, at most 660 bytes of a learned one, 256 of a given one. Neither this nor a clone of it allocates.
    pub fn label(&self, id: RouteId) -> RouteLabel {
        let label = self.labels.try_borrow().ok().and_then(|labels| labels.get(id.index()).cloned());
        RouteLabel(label.unwrap_or_default())
    }

    /// How many labels there are now, the given ones and the three fixed ones among them.
    pub fn len(&self) -> usize {
        self.labels.try_borrow().map_or(0, |labels| labels.len())
    }

    /// Never: three labels are fixed.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The most labels that there will ever be.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// How many times [`of`](Self::of) had no label but `{other}`.
    pub fn others(&self) -> u64 {
        self.others.get()
    }

    fn find(&self, path: &[u8], is_learning: bool) -> Option<RouteId> {
        let Some(inside) = path.strip_prefix(b"/") else {
            return Some(if path == b"*" { RouteId::SERVER } else { RouteId::INVALID });
        };
        if let Some(place) = self.given.find(inside) {
            return Some(RouteId(u32::try_from(FIXED.len() + place).unwrap_or(0)));
        }
        let mut learned = self.learned.as_ref()?.try_borrow_mut().ok()?;
        if !is_learning {
            return learned.known(inside);
        }
        let end = match learned.seen(inside)? {
            learned::End::Labelled(id) => return Some(id),
            learned::End::Bare(end) => end,
        };
        let mut labels = self.labels.try_borrow_mut().ok()?;
        learned.name(end, &mut labels, FIXED.len() + self.given.len())
    }
}

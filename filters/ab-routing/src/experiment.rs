//! One experiment, compiled.

use crate::{
    Allocation, Bucket, NewVisitor,
    cookie::{self, VisitorCookie},
};
use filter_kit::{HeaderName, View, matcher::Matcher, metrics::SeriesId};
use std::{borrow::Cow, ops::Index};

/// The longest key that is bucketed, in bytes. It bounds what a client can make a request cost.
pub const KEY_LIMIT: usize = 4096;

/// An experiment.
#[derive(Debug)]
pub(crate) struct Experiment {
    pub(crate) matchers: Box<[Matcher]>,
    pub(crate) sources: Box<[KeySource]>,
    /// The cookie for visitors without a key, by its place among the filter's.
    pub(crate) visitor_cookie: Option<usize>,
    /// The header that the arm is written to, by its place among the filter's.
    pub(crate) header: usize,
    pub(crate) seed: u64,
    pub(crate) coverage: u16,
    pub(crate) allocation: Allocation,
    pub(crate) arms: Box<[Arm]>,
    pub(crate) skipped: Skipped,
}

/// An arm: its name, which is the header's value, and its exposures.
#[derive(Debug)]
pub(crate) struct Arm {
    pub(crate) name: Box<str>,
    pub(crate) exposures: SeriesId,
}

/// Where a key is looked for.
#[derive(Debug)]
pub(crate) enum KeySource {
    Header(HeaderName),
    Cookie(Box<str>),
    Query(Box<str>),
}

/// Why a request that an experiment is for gets no arm of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    NoKey,
    EmptyKey,
    KeyTooLong,
    NotCovered,
    NoRandom,
}

impl Reason {
    /// All reasons with their names in metrics.
    pub(crate) const ALL: [(Self, &'static str); 5] = [
        (Self::NoKey, "no_key"),
        (Self::EmptyKey, "empty_key"),
        (Self::KeyTooLong, "key_too_long"),
        (Self::NotCovered, "not_covered"),
        (Self::NoRandom, "no_random"),
    ];
}

/// The series of each reason, in the order of [`Reason::ALL`].
#[derive(Debug)]
pub(crate) struct Skipped(pub(crate) [SeriesId; 5]);

impl Index<Reason> for Skipped {
    type Output = SeriesId;

    fn index(&self, reason: Reason) -> &SeriesId {
        let [no_key, empty_key, key_too_long, not_covered, no_random] = &self.0;
        match reason {
            Reason::NoKey => no_key,
            Reason::EmptyKey => empty_key,
            Reason::KeyTooLong => key_too_long,
            Reason::NotCovered => not_covered,
            Reason::NoRandom => no_random,
        }
    }
}

impl Experiment {
    /// Whether the experiment is for this request at all.
    #[inline]
    pub(crate) fn is_for(&self, view: &View<'_>) -> bool {
        self.matchers.is_empty() || self.matchers.iter().all(|matcher| matcher.matches(view))
    }

    /// The arm of a request, or why it has none. Its key is the first source that is present, or else the visitor's cookie, or else a new
    /// visitor's id.
    pub(crate) fn arm(
        &self,
        view: &View<'_>,
        cookies: &[VisitorCookie],
        new: &mut Option<NewVisitor>,
    ) -> Result<&Arm, Reason> {
        if let Some(key) = self.sources.iter().find_map(|source| source.read(view)) {
            return match key.len() {
                0 => Err(Reason::EmptyKey),
                1..=KEY_LIMIT => self.assign(&key),
                _ => Err(Reason::KeyTooLong),
            };
        }
        let cookie = self.visitor_cookie.and_then(|index| Some((index, cookies.get(index)?)));
        let (index, cookie) = cookie.ok_or(Reason::NoKey)?;
        // A visitor whose cookie holds nothing, or more than this filter ever gave, is a new one.
        match view.cookie(&cookie.name) {
            Some(key) if (1..=KEY_LIMIT).contains(&key.len()) => self.assign(key),
            _ => self.welcome(index, view, new),
        }
    }

    /// The arm of a new visitor.
    #[cold]
    fn welcome(&self, cookie: usize, view: &View<'_>, new: &mut Option<NewVisitor>) -> Result<&Arm, Reason> {
        if new.is_none() {
            *new = cookie::new_visitor(view).map(|id| NewVisitor { id, cookies: 0 });
        }
        let visitor = new.as_mut().ok_or(Reason::NoRandom)?;
        visitor.cookies |= 1 << cookie;
        self.assign(&visitor.id)
    }

    /// The arm of a key.
    fn assign(&self, key: &[u8]) -> Result<&Arm, Reason> {
        let bucket = Bucket::of(key, self.seed);
        if bucket.place >= self.coverage {
            return Err(Reason::NotCovered);
        }
        self.arms.get(self.allocation.arm(bucket.slot)).ok_or(Reason::NotCovered)
    }
}

impl KeySource {
    /// The request header that it reads.
    pub(crate) fn header(&self) -> &str {
        match self {
            Self::Header(name) => name.as_str(),
            Self::Cookie(_) => "cookie",
            Self::Query(_) => ":path",
        }
    }

    fn read<'a>(&self, view: &'a View<'_>) -> Option<Cow<'a, [u8]>> {
        match self {
            Self::Header(name) => view.request_header(name.as_str()).map(Cow::Borrowed),
            Self::Cookie(name) => view.cookie(name).map(Cow::Borrowed),
            Self::Query(name) => view.query_parameter(name),
        }
    }
}

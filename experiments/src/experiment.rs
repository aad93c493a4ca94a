//! One experiment, compiled.

use crate::{
    SLOTS,
    bucket::{Bucketer, Ranges},
    change::Change,
    cookie::SetCookie,
    health::Health,
    sticky::Versions,
};
use filter_kit::{Bounded, HeaderName, View, matcher::Matcher, metrics::SeriesId};
use std::ops::Index;

/// An experiment.
#[derive(Debug)]
pub struct Experiment {
    /// The name.
    pub name: Box<str>,
    /// The kill switch.
    pub enabled: bool,
    /// Whether a key, a hash and a header are all there is to it.
    pub is_plain: bool,
    /// The request must meet all of these.
    pub matchers: Vec<Matcher>,
    /// Where its key is, by its place among the filter's lists.
    pub keys: usize,
    /// The header that the arm is written to, by its place among the filter's.
    pub header: usize,
    /// The hash of a key.
    pub bucketer: Bucketer,
    /// Which arm owns which values of it.
    pub ranges: Ranges,
    /// How many of 10,000 places take part.
    pub coverage: u16,
    /// The arms.
    pub arms: Vec<Arm>,
    /// What most experiments do not have.
    pub special: Option<Box<Special>>,
    /// What the response tells of the arm.
    pub response: Option<Box<Marks>>,
    /// How its arms do, where that is watched.
    pub health: Option<Box<Health>>,
    /// Counts who gets no arm, and why.
    pub skipped: Skipped,
    /// Counts who gets an arm and is no exposure.
    pub uncounted: Uncounted,
}

impl Experiment {
    /// The name of an arm, by its place; empty where there is none.
    pub fn arm_name(&self, arm: usize) -> &str {
        self.arms.get(arm).map(|arm| &*arm.name).unwrap_or_default()
    }

    /// Whether it writes its header on every request that has a key, as far as that can be told without one.
    pub fn is_for_all(&self) -> bool {
        self.enabled && self.is_plain && self.matchers.is_empty() && self.coverage == SLOTS
    }
}

/// What most experiments do not have.
#[derive(Debug, Default)]
pub struct Special {
    /// From when to before when it runs, in nanoseconds since 1970.
    pub window: Option<(u64, u64)>,
    /// Other experiments, and arms of them that a request must have got.
    pub requires: Vec<Requirement>,
    /// Keys that get an arm whatever their hash, sorted.
    pub forced: Vec<(Box<[u8]>, u8)>,
    /// The versions of kept assignments.
    pub sticky: Option<Versions>,
    /// Hashes that must fall into ranges.
    pub gates: Vec<Gate>,
}

/// A prerequisite: an experiment by its place, and the places of its arms.
#[derive(Debug)]
pub struct Requirement {
    /// The experiment.
    pub experiment: usize,
    /// Its arms.
    pub arms: Vec<u8>,
}

/// A hash that must fall into ranges, or must not.
#[derive(Debug)]
pub struct Gate {
    /// The hash of a key.
    pub bucketer: Bucketer,
    /// The ranges.
    pub ranges: Ranges,
    /// Whether those are in whose hash is in the ranges.
    pub is_inside: bool,
    /// Where its key is, unless it is the experiment's.
    pub keys: Option<usize>,
    /// Why those are out who are.
    pub reason: Reason,
}

impl Gate {
    /// Whether it lets a key in.
    pub fn lets_in(&self, key: &[u8]) -> bool {
        self.ranges.owner(self.bucketer.of(key).value).is_some() == self.is_inside
    }
}

/// An arm: its name, which is the header's value, its exposures, and what else it changes.
#[derive(Debug)]
pub struct Arm {
    /// The name.
    pub name: Box<str>,
    /// Counts its exposures.
    pub exposures: SeriesId,
    /// What else it changes of the request.
    pub change: Option<Box<Change>>,
}

/// What the response tells of the arm.
#[derive(Debug)]
pub struct Marks {
    /// A header with the arm's name.
    pub header: Option<HeaderName>,
    /// A cookie with the arm's name.
    pub cookie: Option<SetCookie>,
    /// What the response depends on, for `vary`; none is said where it is empty.
    pub vary: Bounded<'static>,
    /// Whether no shared cache may keep the response.
    pub is_private: bool,
    /// Whether caches are told also where the experiment is not for the request: what it is for depends on headers.
    pub is_always: bool,
}

/// Why a request that an experiment is for gets no arm of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// There is no key.
    NoKey,
    /// The key is empty.
    EmptyKey,
    /// The key is too long.
    KeyTooLong,
    /// The key is outside of the coverage or of all ranges.
    NotCovered,
    /// The host has no random bytes for a new visitor.
    NoRandom,
    /// The key is in a holdout.
    HeldOut,
    /// The key is in another part of the layer.
    OtherLayer,
    /// The key is outside of the namespace or a filter.
    Filtered,
    /// The request has not the arm of another experiment that it must have.
    Prerequisite,
    /// The user was assigned in a version that is too old.
    OldVersion,
}

impl Reason {
    /// The names of all reasons in metrics, in their order.
    pub const NAMES: [&'static str; 10] = [
        "no_key",
        "empty_key",
        "key_too_long",
        "not_covered",
        "no_random",
        "held_out",
        "other_layer",
        "filtered",
        "prerequisite",
        "old_version",
    ];
}

/// The series of each reason; those that an experiment cannot have are that of another.
#[derive(Debug)]
pub struct Skipped(pub [SeriesId; 10]);

impl Index<Reason> for Skipped {
    type Output = SeriesId;

    fn index(&self, reason: Reason) -> &SeriesId {
        let [
            no_key,
            empty_key,
            key_too_long,
            not_covered,
            no_random,
            held_out,
            other_layer,
            filtered,
            prerequisite,
            old,
        ] = &self.0;
        match reason {
            Reason::NoKey => no_key,
            Reason::EmptyKey => empty_key,
            Reason::KeyTooLong => key_too_long,
            Reason::NotCovered => not_covered,
            Reason::NoRandom => no_random,
            Reason::HeldOut => held_out,
            Reason::OtherLayer => other_layer,
            Reason::Filtered => filtered,
            Reason::Prerequisite => prerequisite,
            Reason::OldVersion => old,
        }
    }
}

/// The series of requests that got an arm and are no exposures, where there can be any.
#[derive(Debug, Clone, Copy, Default)]
pub struct Uncounted {
    /// Those who were forced into it.
    pub forced: Option<SeriesId>,
    /// Those whose arm came with them.
    pub carried: Option<SeriesId>,
    /// Those who are in control since their arm is closed.
    pub closed: Option<SeriesId>,
    /// Those who are in control since their arm has no host.
    pub no_host: Option<SeriesId>,
    /// Bots.
    pub bot: Option<SeriesId>,
    /// Browsers that ask before their user does.
    pub prefetch: Option<SeriesId>,
}

impl Experiment {
    /// Whether the experiment is for this request at all.
    #[inline]
    pub fn is_for(&self, view: &View<'_>) -> bool {
        self.matchers.is_empty() || self.matchers.iter().all(|matcher| matcher.matches(view))
    }

    /// The arm of a key, by its place.
    #[inline]
    pub fn assign(&self, key: &[u8]) -> Result<u8, Reason> {
        let bucket = self.bucketer.of(key);
        if bucket.place >= self.coverage {
            return Err(Reason::NotCovered);
        }
        let arm = self.ranges.owner(bucket.value).and_then(|arm| u8::try_from(arm).ok());
        arm.ok_or(Reason::NotCovered)
    }
}

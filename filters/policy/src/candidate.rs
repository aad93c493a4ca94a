//! A candidate set beside the live one: what would change, counted and shown by examples.

use crate::{
    Policy,
    line::{self, Request},
    policy_set::PolicySet,
    tally::Verdict,
};
use filter_kit::{
    Bounded, Effects, MetricChange, View,
    metrics::{FamilyId, Kind, Metrics, SeriesId},
    settings::Field,
};
use std::cell::RefCell;

/// The most examples of all pairs together, in one VM under one configuration.
const ALL_EXAMPLES: usize = 64;

/// A set that is tried on the live traffic, and decides nothing.
#[derive(Debug)]
pub struct Candidate {
    /// The set.
    pub set: PolicySet,
    /// Requests on which the two sets differ.
    differ: FamilyId,
    /// Those of which no example was written.
    dropped: SeriesId,
    /// The most examples of a pair of rules.
    most: usize,
    /// The pairs of which there are examples, once for each.
    shown: RefCell<Vec<Pair>>,
}

/// What the live set and the candidate say, none where the candidate's verdict cannot be known.
type Pair = (Verdict, Option<Verdict>);

impl Candidate {
    /// A candidate of a configuration.
    pub fn new(set: PolicySet, field: &Field<'_, '_>, metrics: &mut Metrics) -> Self {
        let examples = field.get("examples").whole(0, 16).and_then(|most| usize::try_from(most).ok());
        let dropped = metrics.family(Kind::Counter, "policy_candidate_examples_dropped_total", &[]);
        Self {
            set,
            differ: metrics.family(Kind::Counter, "policy_candidate_total", &["live", "candidate", "result"]),
            dropped: metrics.series(dropped, &[]),
            most: examples.unwrap_or(3),
            shown: RefCell::default(),
        }
    }

    /// Whether there is room for further examples.
    pub fn has_room(&self) -> bool {
        self.most > 0 && self.shown.try_borrow().is_ok_and(|shown| shown.len() < ALL_EXAMPLES)
    }

    /// Whether an example of a pair is to be written, which is then one more.
    fn is_shown(&self, pair: Pair) -> bool {
        let Ok(mut shown) = self.shown.try_borrow_mut() else { return false };
        let known = shown.iter().filter(|other| **other == pair).count();
        let is_shown = known < self.most && shown.len() < ALL_EXAMPLES;
        if is_shown {
            shown.push(pair);
        }
        is_shown
    }
}

impl Policy {
    /// Tells where the two sets differ.
    #[inline]
    pub fn compare(
        &self,
        live: Verdict,
        candidate: Option<Verdict>,
        view: &View<'_>,
        request: Option<&Request<'_>>,
        effects: &mut Effects<'_>,
    ) {
        if candidate.is_none_or(|candidate| candidate.is_allow() != live.is_allow()) {
            self.differ((live, candidate), view, request, effects);
        }
    }

    #[cold]
    fn differ(&self, pair: Pair, view: &View<'_>, request: Option<&Request<'_>>, effects: &mut Effects<'_>) {
        let Some(candidate) = &self.candidate else { return };
        let result = match pair.1.map(Verdict::is_allow) {
            Some(false) => "would_deny",
            Some(true) => "would_allow",
            None => "unknown",
        };
        let names = [self.live.told(pair.0), candidate.set.told(pair.1.unwrap_or_default())];
        let [live, beside] = names.each_ref().map(|name| Bounded::own(name.clone()));
        effects.measure(MetricChange::Labelled(
            candidate.differ,
            vec![live, beside, Bounded::own(result)],
            1,
        ));
        if !candidate.is_shown(pair) {
            effects.count(candidate.dropped);
            return;
        }
        let [live, beside] = names;
        let mut told = String::new();
        for (name, text) in [("result", result), ("live", &live), ("candidate", &beside)] {
            line::member(&mut told, name, text);
        }
        told.push('}');
        self.log("policy_candidate", &told, view, request, effects);
    }
}

impl PolicySet {
    /// What decides: a rule's id, or that no ALLOW policy matches, or `none`.
    pub fn told(&self, verdict: Verdict) -> String {
        match (verdict, verdict.rule()) {
            (_, Some(rule)) => self.id(rule),
            (Verdict::NotAllowed, None) => "no_allow_policy_matched".to_owned(),
            (_, None) => "none".to_owned(),
        }
    }
}

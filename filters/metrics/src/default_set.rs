//! What is counted without a configuration: requests, errors, durations and sizes, and how many are under way.

use crate::{
    Seen,
    catalogue::{Catalogue, Described, Role},
    define::Counts,
    facts::Facts,
    guard::Guard,
    names::{self, CLASSES, Convention, Unit},
};
use filter_kit::{
    Effects,
    MetricChange::Known,
    concat,
    metrics::{FamilyId, Found, Kind, Label, Metrics, SeriesId},
    settings::Field,
};
use pii::Place;
use std::cell::RefCell;

/// The most label sets of those that end, and of those that begin, where the configuration says nothing.
const DEFAULT_BUDGET: usize = 500;
/// The most arms.
const ARM_LIMIT: u32 = 50;

/// The places of the metrics that count requests which are over.
const REQUESTS: u32 = 0;
const ERRORS: u32 = 1;
const DURATION: u32 = 2;
const REQUEST_SIZE: u32 = 3;
const RESPONSE_SIZE: u32 = 4;
/// The places of those that count beginnings and ends.
const STARTED: u32 = 0;
const ENDED: u32 = 1;

/// The set.
#[derive(Debug)]
pub struct DefaultSet {
    /// By route, method and arm.
    begun: FamilyId,
    /// By route, method, class and arm.
    over: FamilyId,
    counts: Counts,
    /// The first series of what is over, by the first one of what had begun and the class: to find them again takes no hash.
    known: RefCell<Vec<[Option<SeriesId>; CLASSES]>>,
}

/// A request that has begun: its first series, and whether they are its own.
pub type Begun = Found;

impl DefaultSet {
    /// Defines the set; `None` where the configuration wants none.
    pub fn read(
        field: &Field<'_, '_>,
        (convention, unit, prefix): (Convention, Unit, &str),
        metrics: &mut Metrics,
        catalogue: &mut Catalogue,
        counts: impl FnOnce(&mut Metrics) -> Counts,
    ) -> Option<Self> {
        field.only(&["on", "budget"]);
        let is_on = field.get("on").flag(true);
        let budget = field.get("budget").whole(1, 20_000).and_then(|budget| usize::try_from(budget).ok());
        if !is_on {
            return None;
        }
        let budget = budget.unwrap_or(DEFAULT_BUDGET);
        let names = convention.names();
        let mut add = |name: &str, kind, labels: &[&str], role, buckets| {
            let name = concat(&[prefix, name]);
            let labels = labels.iter().map(|label| (*label).to_owned()).collect();
            catalogue.add(field, Described { name: name.clone(), kind, labels, buckets, role });
            (kind, name)
        };
        let (counter, histogram) = (Kind::Counter, Kind::Histogram);
        let (begun, over) = (
            [names.route, names.method, names.arm],
            [names.route, names.method, names.status_class, names.arm],
        );
        let duration = concat(&[names.duration, "_", unit.word()]);
        let of_over = [
            add(names.requests, counter, &over, Role::Requests, Vec::new()),
            add(names.errors, counter, &over, Role::Errors, Vec::new()),
            add(&duration, histogram, &over, Role::Duration, convention.duration_buckets(unit)),
            add(names.request_size, histogram, &over, Role::RequestSize, convention.size_buckets()),
            add(names.response_size, histogram, &over, Role::ResponseSize, convention.size_buckets()),
        ];
        let of_begun = [
            add(names.started, counter, &begun, Role::Started, Vec::new()),
            add(names.ended, counter, &begun, Role::Ended, Vec::new()),
        ];
        let borrowed = |(kind, name): &(Kind, String)| (*kind, name.clone());
        let bounded = |label: &'static str| (label, (label == names.arm).then_some(ARM_LIMIT));
        let mut define = |families: Vec<(Kind, String)>, labels: Vec<(&str, Option<u32>)>| {
            let families: Vec<_> = families.iter().map(|(kind, name)| (*kind, name.as_str())).collect();
            metrics.families(&families, &labels, budget)
        };
        let begun = define(of_begun.iter().map(borrowed).collect(), begun.map(bounded).to_vec());
        let over = define(of_over.iter().map(borrowed).collect(), over.map(bounded).to_vec());
        Some(Self { begun, over, counts: counts(metrics), known: RefCell::default() })
    }

    /// A request has begun.
    pub fn begin(
        &self,
        facts: &Facts<'_>,
        metrics: &Metrics,
        guard: &Guard,
        effects: &mut Effects<'_>,
    ) -> Begun {
        let view = facts.view;
        let arm = facts.arm().unwrap_or_default();
        let values =
            [Label::new(facts.route()), Label::new(names::method(view.method()).as_bytes()), Label::new(arm)];
        let found = metrics.find_known(self.begun, &values).unwrap_or_else(|| {
            let [route, method, label] = values;
            let (route, arm) = self.guard((route, label), (facts.route(), arm), guard, effects);
            metrics.find(view, self.begun, &[route, method, arm])
        });
        effects.count(found.first.of(STARTED));
        if found.is_overflow {
            effects.count(self.counts.refused);
        }
        found
    }

    /// An exchange is over.
    pub fn end(
        &self,
        seen: Option<&Seen>,
        facts: &Facts<'_>,
        metrics: &Metrics,
        guard: &Guard,
        effects: &mut Effects<'_>,
    ) {
        if let Some(begun) = seen.and_then(|seen| seen.begun) {
            effects.count(begun.first.of(ENDED));
        }
        let class = names::class(facts.status);
        // Those of a route or an arm that was not known when the request came are looked for by what is known now.
        let was_known = |seen: &&Seen| seen.is_route_known && !facts.is_arm_late;
        let begun = seen.filter(was_known).and_then(|seen| seen.begun);
        let begun = begun.filter(|begun| !begun.is_overflow).map(|begun| begun.first);
        let known = begun.and_then(|begun| self.known(begun, class));
        let first = known.unwrap_or_else(|| self.find(begun, class, facts, metrics, guard, effects));
        effects.count(first.of(REQUESTS));
        if class == 0 || class == 5 {
            effects.count(first.of(ERRORS));
        }
        if let Some(duration) = facts.duration {
            effects.measure(Known(first.of(DURATION), duration));
        }
        effects.measure(Known(first.of(REQUEST_SIZE), facts.request_size));
        effects.measure(Known(first.of(RESPONSE_SIZE), facts.response_size));
    }

    fn known(&self, begun: SeriesId, class: usize) -> Option<SeriesId> {
        let known = self.known.try_borrow().ok()?;
        known.get(begun.index()).and_then(|classes| *classes.get(class)?)
    }

    #[cold]
    #[inline(never)]
    fn find(
        &self,
        begun: Option<SeriesId>,
        class: usize,
        facts: &Facts<'_>,
        metrics: &Metrics,
        guard: &Guard,
        effects: &mut Effects<'_>,
    ) -> SeriesId {
        let view = facts.view;
        let text = Label::new(names::class_text(class).as_bytes());
        if let Some(begun) = begun
            && let Some(values) = metrics.values(begun)
        {
            let mut values = values.split_terminator(';').map(|value| Label::new(value.as_bytes()));
            let mut next = || values.next().unwrap_or(Label::NONE);
            let (route, method, arm) = (next(), next(), next());
            let found = metrics.find(view, self.over, &[route, method, text, arm]);
            if found.is_overflow {
                effects.count(self.counts.refused);
            } else {
                self.remember(begun, class, found.first);
            }
            return found.first;
        }
        let arm = facts.arm().unwrap_or_default();
        let method = Label::new(names::method(view.method()).as_bytes());
        let values = [Label::new(facts.route()), method, text, Label::new(arm)];
        if let Some(found) = metrics.find_known(self.over, &values) {
            return found.first;
        }
        let [route, method, text, label] = values;
        let (route, arm) = self.guard((route, label), (facts.route(), arm), guard, effects);
        let found = metrics.find(view, self.over, &[route, method, text, arm]);
        if found.is_overflow {
            effects.count(self.counts.refused);
        }
        found.first
    }

    fn remember(&self, begun: SeriesId, class: usize, first: SeriesId) {
        let Ok(mut known) = self.known.try_borrow_mut() else { return };
        if known.len() <= begun.index() {
            known.resize(begun.index() + 1, [None; CLASSES]);
        }
        if let Some(place) = known.get_mut(begun.index()).and_then(|classes| classes.get_mut(class)) {
            *place = Some(first);
        }
    }

    /// What stands for a route and an arm in which there is something personal, by their bytes as they came.
    fn guard<'l>(
        &self,
        (route, arm): (Label<'l>, Label<'l>),
        (raw_route, raw_arm): (&[u8], &[u8]),
        guard: &Guard,
        effects: &mut Effects<'_>,
    ) -> (Label<'l>, Label<'l>) {
        let mut or = |guarded: Option<Label<'l>>, label| match guarded {
            Some(guarded) => {
                effects.count(self.counts.redacted);
                guarded
            }
            None => label,
        };
        (or(guard.route(raw_route), route), or(guard.replace(raw_arm, Place::Text), arm))
    }
}

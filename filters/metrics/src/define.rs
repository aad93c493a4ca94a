//! Metrics that the configuration defines.

use crate::{
    catalogue::{Catalogue, Described, Role},
    facts::Facts,
    guard::Guard,
    label::{self, Moment},
    value,
};
use filter_kit::{
    Effects, View, choices,
    matcher::{self, Matcher},
    metrics::{FamilyId, Found, Kind, LABELS_LIMIT, Label, Metrics, MetricsConfig, SeriesId},
    settings::Field,
};
use std::borrow::Cow;

/// The most metrics that a configuration defines, and the most buckets of a histogram.
const DEFINED_LIMIT: usize = 100;
const BUCKET_LIMIT: usize = 64;
/// The most label sets of a metric that says nothing of it.
const DEFAULT_BUDGET: usize = 200;

/// The kind of a metric, as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    Counter,
    Gauge,
    Histogram,
}

choices!(Word { "counter" => Counter, "gauge" => Gauge, "histogram" => Histogram });

/// A metric.
#[derive(Debug)]
pub struct Definition {
    moment: Moment,
    matches: Vec<Matcher>,
    /// The statuses that it counts.
    statuses: Option<(u16, u16)>,
    value: value::Source,
    labels: Vec<label::Source>,
    family: FamilyId,
    counts: Counts,
}

/// What is counted of a metric's own ways.
#[derive(Debug, Clone, Copy)]
pub struct Counts {
    /// Label sets that the budget refused.
    pub refused: SeriesId,
    /// Values of labels that were personal.
    pub redacted: SeriesId,
    /// Values of labels that were too long.
    pub too_long: SeriesId,
    /// Values that were no number.
    pub unread: SeriesId,
}

/// The families of [`Counts`].
#[derive(Debug, Clone, Copy)]
pub struct CountFamilies {
    refused: FamilyId,
    redacted: FamilyId,
    too_long: FamilyId,
    unread: FamilyId,
}

/// Their names, each with the label `metric`.
const COUNTS: [(&str, Role); 4] = [
    ("metrics_refused_total", Role::Refused),
    ("metrics_labels_redacted_total", Role::Own),
    ("metrics_labels_too_long_total", Role::Own),
    ("metrics_values_unread_total", Role::Own),
];

impl CountFamilies {
    /// Defines them.
    pub fn new(metrics: &mut Metrics, catalogue: &mut Catalogue, root: &Field<'_, '_>) -> Self {
        let [refused, redacted, too_long, unread] = COUNTS.map(|(name, role)| {
            let (kind, labels) = (Kind::Counter, vec!["metric".to_owned()]);
            catalogue.add(root, Described { name: name.to_owned(), kind, labels, buckets: Vec::new(), role });
            metrics.family(kind, name, &["metric"])
        });
        Self { refused, redacted, too_long, unread }
    }

    /// Those of a metric.
    pub fn of(&self, metrics: &mut Metrics, metric: &str) -> Counts {
        let values = [filter_kit::Bounded::own(metric)];
        let mut series = |family| metrics.series(family, &values);
        Counts {
            refused: series(self.refused),
            redacted: series(self.redacted),
            too_long: series(self.too_long),
            unread: series(self.unread),
        }
    }
}

/// The labels of a metric that counts when the response comes, as they were when the request came.
#[derive(Debug)]
pub struct Captured {
    /// The definition's place.
    definition: usize,
    labels: Vec<Label<'static>>,
    /// Values that their labels do not have as they came, by the labels' places.
    raw: Vec<(usize, Box<[u8]>)>,
    /// Which of them a client may have written.
    foreign: u32,
    too_long: u64,
}

/// The values of a label set, and what is known of them.
struct Set<'m, 'f> {
    values: &'m mut [Label<'f>],
    /// What a client has written in a label's place, where that is another text.
    raw: &'m dyn Fn(usize) -> Option<Cow<'m, [u8]>>,
    /// Which of them a client may have written.
    foreign: u32,
    too_long: u64,
}

/// The values of labels, in a place of their own: to find a label set takes no memory.
type Labels<'f> = [Label<'f>; LABELS_LIMIT];

/// What definitions need.
pub struct Reading<'c, 'p, 't> {
    /// The configuration's metrics.
    pub metrics: &'c mut Metrics,
    /// Their names.
    pub catalogue: &'c mut Catalogue,
    /// The families of what is counted about them.
    pub counts: CountFamilies,
    /// The encoding of labels.
    pub config: &'c MetricsConfig,
    /// The fields of the body that are read.
    pub body: &'c mut Vec<String>,
    /// Whether the policy's verdict is known.
    pub has_verdict: bool,
    /// The list of definitions.
    pub field: &'c Field<'p, 't>,
}

impl Reading<'_, '_, '_> {
    /// Reads all definitions.
    pub fn all(&mut self) -> Vec<Definition> {
        let items: Vec<_> = self.field.items_up_to(DEFINED_LIMIT).collect();
        items.iter().filter_map(|item| self.one(item)).collect()
    }

    fn one(&mut self, field: &Field<'_, '_>) -> Option<Definition> {
        field.only(&["name", "kind", "when", "value", "labels", "buckets", "budget"]);
        let (name_field, kind, when) = (field.get("name"), field.get("kind"), field.get("when"));
        let name = name_field.text().unwrap_or_default();
        let Some(word) = Word::read(&kind) else {
            kind.refuse("must be one of counter, gauge, histogram, got nothing");
            return None;
        };
        when.only(&["moment", "match", "status"]);
        let moment = Moment::read(&when.get("moment")).unwrap_or(Moment::Log);
        let matches = matcher::compile_all_plain(&when.get("match"));
        let statuses = statuses(&when.get("status"), moment);
        let value_field = field.get("value");
        let value = value::Source::read(&value_field, moment, self.body);
        if word != Word::Counter && value.is_one() {
            value_field.refuse("must be given on a gauge or a histogram, and not be `one`");
        }
        let buckets = buckets(&field.get("buckets"), word);
        let labels = self.labels(&field.get("labels"), moment);
        let kind = match word {
            Word::Counter => Kind::Counter,
            Word::Gauge => Kind::Gauge,
            Word::Histogram => Kind::Histogram,
        };
        let names = labels.iter().map(|label| String::from(&*label.name)).collect();
        let described =
            Described { name: name.to_owned(), kind, labels: names, buckets, role: Role::Defined };
        self.catalogue.add(&name_field, described);
        let budget = field.get("budget").whole(1, 100_000).and_then(|budget| usize::try_from(budget).ok());
        let bounds: Vec<_> = labels.iter().map(|label| (&*label.name, label.bound)).collect();
        let family = self.metrics.families(&[(kind, name)], &bounds, budget.unwrap_or(DEFAULT_BUDGET));
        let counts = self.counts.of(self.metrics, name);
        Some(Definition { moment, matches, statuses, value, labels, family, counts })
    }

    fn labels(&self, list: &Field<'_, '_>, moment: Moment) -> Vec<label::Source> {
        let mut labels: Vec<label::Source> = Vec::new();
        for item in list.items_up_to(LABELS_LIMIT) {
            let Some(label) = label::Source::read(&item, moment, self.has_verdict) else { continue };
            let name = item.get("label");
            self.catalogue.check_label(&name, &label.name, self.config.labels);
            if labels.iter().any(|other| other.name == label.name) {
                name.refuse_text("must be another label than those before it", &label.name);
            }
            // Those of this metric are in no catalogue yet.
            let own = labels.iter().map(|label| &*label.name);
            let clash = |other: &str| other.ends_with(&*label.name) || label.name.ends_with(other);
            if self.config.labels == filter_kit::metrics::Encoding::Istio && own.into_iter().any(clash) {
                let rule = "must not end in another label's name, nor another in it, with Istio's encoding";
                name.refuse_text(rule, &label.name);
            }
            labels.push(label);
        }
        labels
    }
}

fn statuses(field: &Field<'_, '_>, moment: Moment) -> Option<(u16, u16)> {
    if !field.is_given() {
        return None;
    }
    let bounds: Vec<_> =
        field.items().map(|item| item.whole(0, 999).and_then(|status| u16::try_from(status).ok())).collect();
    match *bounds {
        [Some(first), Some(last)] if first <= last && moment != Moment::Request => Some((first, last)),
        _ => {
            field.refuse("must be the first and the last status that count, such as [500, 599], when there is a response");
            None
        }
    }
}

fn buckets(field: &Field<'_, '_>, word: Word) -> Vec<u64> {
    if word != Word::Histogram && field.is_given() {
        field.refuse("must be given on a histogram only");
    }
    let mut bounds: Vec<u64> = Vec::new();
    for item in field.items_up_to(BUCKET_LIMIT) {
        let bound = item.whole(1, i64::MAX).and_then(|bound| u64::try_from(bound).ok()).unwrap_or(0);
        if bounds.last().is_some_and(|last| *last >= bound) {
            item.refuse_got("must be larger than the bucket before it", &bound.to_string());
        }
        bounds.push(bound);
    }
    bounds
}

impl Definition {
    /// When it counts.
    pub fn moment(&self) -> Moment {
        self.moment
    }

    /// Counts an exchange, when the request comes or the exchange is over.
    pub fn count(&self, facts: &Facts<'_>, metrics: &Metrics, guard: &Guard, effects: &mut Effects<'_>) {
        if !self.holds(facts.view) || !self.is_of_status(facts.status) {
            return;
        }
        let Some(value) = self.value(facts, effects) else { return };
        let (mut foreign, mut too_long) = (0_u32, 0);
        let mut values: Labels<'_> = std::array::from_fn(|_| Label::NONE);
        for ((source, value), place) in self.labels.iter().zip(&mut values).zip(0..) {
            let read = source.value(facts);
            foreign |= u32::from(read.is_foreign) << place;
            too_long += u64::from(read.is_too_long);
            *value = read.label;
        }
        let values = values.get_mut(..self.labels.len()).unwrap_or_default();
        let raw = |place: usize| self.labels.get(place)?.raw(facts);
        let set = Set { values, raw: &raw, foreign, too_long };
        self.measure(facts.view, value, set, metrics, guard, effects);
    }

    /// What it must know of the request when the response comes; `None` where it does not count.
    pub fn capture(&self, definition: usize, facts: &Facts<'_>) -> Option<Captured> {
        if !self.holds(facts.view) {
            return None;
        }
        let (mut foreign, mut too_long) = (0, 0);
        let (mut labels, mut raw) = (Vec::with_capacity(self.labels.len()), Vec::new());
        for (source, place) in self.labels.iter().zip(0_u32..) {
            if !source.is_of_request() {
                labels.push(Label::NONE);
                continue;
            }
            let read = source.value(facts);
            foreign |= u32::from(read.is_foreign) << place;
            too_long += u64::from(read.is_too_long);
            let changed = source.raw(facts).filter(|raw| **raw != *read.label.as_str().as_bytes());
            if let Some(changed) = changed.filter(|_| read.is_foreign) {
                raw.push((labels.len(), changed.into()));
            }
            labels.push(read.label.into_owned());
        }
        Some(Captured { definition, labels, raw, foreign, too_long })
    }

    fn holds(&self, view: &View<'_>) -> bool {
        self.matches.iter().all(|condition| condition.matches(view))
    }

    fn is_of_status(&self, status: Option<u16>) -> bool {
        self.statuses.is_none_or(|(first, last)| (first..=last).contains(&status.unwrap_or(0)))
    }

    fn value(&self, facts: &Facts<'_>, effects: &mut Effects<'_>) -> Option<u64> {
        let read = self.value.value(facts);
        if read.is_unread {
            effects.count(self.counts.unread);
        }
        read.value
    }

    fn measure(
        &self,
        view: &View<'_>,
        value: u64,
        Set { values, raw, foreign, too_long }: Set<'_, '_>,
        metrics: &Metrics,
        guard: &Guard,
        effects: &mut Effects<'_>,
    ) {
        use filter_kit::MetricChange::Known;
        if too_long > 0 {
            effects.measure(Known(self.counts.too_long, too_long));
        }
        // A label set that was admitted has been looked through.
        let found = metrics.find_known(self.family, values).unwrap_or_else(|| {
            let mut redacted = 0;
            for ((source, value), place) in self.labels.iter().zip(values.iter_mut()).zip(0..) {
                if foreign >> place & 1 == 0 {
                    continue;
                }
                let raw = raw(place);
                let raw = raw.as_deref().unwrap_or_else(|| value.as_str().as_bytes());
                if let Some(label) = source.guarded(guard, raw) {
                    redacted += 1;
                    *value = label;
                }
            }
            if redacted > 0 {
                effects.measure(Known(self.counts.redacted, redacted));
            }
            metrics.find(view, self.family, values)
        });
        let Found { first, is_overflow } = found;
        if is_overflow {
            effects.count(self.counts.refused);
        }
        effects.measure(Known(first, value));
    }
}

impl Captured {
    /// Counts the response.
    pub fn count(
        mut self,
        all: &[Definition],
        facts: &Facts<'_>,
        metrics: &Metrics,
        guard: &Guard,
        effects: &mut Effects<'_>,
    ) {
        let Some(definition) = all.get(self.definition) else { return };
        if !definition.is_of_status(facts.status) {
            return;
        }
        let Some(value) = definition.value(facts, effects) else { return };
        for ((source, label), place) in definition.labels.iter().zip(&mut self.labels).zip(0..) {
            if !source.is_of_request() {
                let read = source.value(facts);
                self.foreign |= u32::from(read.is_foreign) << place;
                self.too_long += u64::from(read.is_too_long);
                *label = read.label.into_owned();
            }
        }
        let raw = |place: usize| {
            if !definition.labels.get(place)?.is_of_request() {
                return definition.labels.get(place)?.raw(facts);
            }
            self.raw.iter().find(|(other, _)| *other == place).map(|(_, raw)| Cow::Borrowed(&**raw))
        };
        let (foreign, too_long) = (self.foreign, self.too_long);
        let set = Set { values: &mut self.labels, raw: &raw, foreign, too_long };
        definition.measure(facts.view, value, set, metrics, guard, effects);
    }
}

//! Metrics with labels over an ABI that has none.
//!
//! Envoy takes labels out of a stat's full name by the regexes of `stats_tags`. One definition here serves every filter: families with
//! label names, two encodings of the labels into the name, and a budget of series, since Envoy never lets a stat go. The budget is the proxy's: what is
//! admitted to it is agreed over all VMs of one `vm_id` in shared data.

mod agreed;
mod label;
mod places;
mod series;
#[cfg(any(target_arch = "wasm32", test))]
mod table;
#[cfg(test)]
mod tests;

pub use label::{Encoding, LABEL_LIMIT, Label};
#[cfg(target_arch = "wasm32")]
pub(crate) use table::Table;

use crate::{Bounded, Source, View, settings::Field};
use agreed::Agreed;
use series::Series;
use std::cell::RefCell;

/// The label of the series that counts what the budget refused (OpenTelemetry, metrics SDK, overflow attribute).
pub const OVERFLOW: (&str, &str) = ("otel_metric_overflow", "true");

/// The most series that a budget may have.
const BUDGET_LIMIT: i64 = 100_000;

/// The most labels of a metric.
pub const LABELS_LIMIT: usize = Agreed::MOST - 1;

/// The part of a filter's configuration that is about its metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricsConfig {
    /// How labels are written into a stat's name.
    pub labels: Encoding,
    /// The most series that requests bring into being for the filters of one `vm_id`, over all workers, 1 to 100,000; those beyond count as
    /// overflow of their metric.
    pub budget: u32,
}

impl MetricsConfig {
    /// Reads it from a filter's configuration.
    pub fn read(field: &Field<'_, '_>) -> Self {
        Self::default().or_read(field)
    }

    /// Reads it from a filter's configuration, with these defaults.
    #[must_use]
    pub fn or_read(self, field: &Field<'_, '_>) -> Self {
        field.only(&["labels", "budget"]);
        let Self { labels, budget } = self;
        let given = field.get("budget").whole(1, BUDGET_LIMIT).and_then(|budget| u32::try_from(budget).ok());
        Self {
            labels: Encoding::read(&field.get("labels")).unwrap_or(labels),
            budget: given.unwrap_or(budget),
        }
    }
}

impl Default for MetricsConfig {
    /// Envoy's encoding, and OpenTelemetry's limit of 2,000 series.
    fn default() -> Self {
        Self { labels: Encoding::Envoy, budget: 2000 }
    }
}

/// What a metric measures, with its number in the ABI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum Kind {
    /// A sum that only grows.
    Counter = 0,
    /// A value that comes and goes.
    Gauge = 1,
    /// Samples in buckets, whole numbers.
    Histogram = 2,
}

/// Metrics that always have the same labels: one look-up finds the series of all.
#[derive(Debug)]
struct Group {
    /// Who it is in shared data, whatever else a configuration has.
    tag: u32,
    families: Box<[(Kind, Box<str>)]>,
    labels: Box<[Box<str>]>,
    /// The most values of each label.
    bounds: Box<[Option<u32>]>,
    /// The most label sets.
    limit: usize,
}

/// A metric of a [`Metrics`], or several with the same labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FamilyId(usize);

/// A series of a [`Metrics`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SeriesId(u32);

/// Where a label set counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// The set's series of the first metric; [`SeriesId::of`] gives those of the others.
    pub first: SeriesId,
    /// Whether the set was refused, so that these are the metrics' overflow series.
    pub is_overflow: bool,
}

/// The metrics of a filter.
#[derive(Debug)]
pub struct Metrics {
    encoding: Encoding,
    budget: usize,
    groups: Vec<Group>,
    known: Vec<(Kind, Box<str>)>,
    series: RefCell<Series>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new(&MetricsConfig::default())
    }
}

impl Metrics {
    /// No metrics yet.
    pub fn new(config: &MetricsConfig) -> Self {
        Self {
            encoding: config.labels,
            budget: config.budget as usize,
            groups: Vec::new(),
            known: Vec::new(),
            series: RefCell::default(),
        }
    }

    /// Defines a metric. The name and the labels are the filter's own, in Prometheus' alphabet.
    #[inline(never)]
    pub fn family(&mut self, kind: Kind, name: &str, labels: &[&str]) -> FamilyId {
        let labels: Vec<_> = labels.iter().map(|label| (*label, None)).collect();
        self.families(&[(kind, name)], &labels, usize::MAX)
    }

    /// Defines metrics that always have the same labels, each with the most values that it may have, and the most label sets. There are at most
    /// [`LABELS_LIMIT`] labels.
    #[inline(never)]
    pub fn families(
        &mut self,
        families: &[(Kind, &str)],
        labels: &[(&str, Option<u32>)],
        limit: usize,
    ) -> FamilyId {
        let names = families.iter().map(|(_, name)| *name).chain(labels.iter().map(|(name, _)| *name));
        let encoding = match self.encoding {
            Encoding::Envoy => "envoy",
            Encoding::Istio => "istio",
        };
        self.groups.push(Group {
            tag: fnv1a32(names.chain([encoding])),
            families: families.iter().map(|(kind, name)| (*kind, (*name).into())).collect(),
            labels: labels.iter().map(|(label, _)| (*label).into()).collect(),
            bounds: labels.iter().map(|(_, bound)| *bound).collect(),
            limit,
        });
        FamilyId(self.groups.len() - 1)
    }

    /// Defines a series that the configuration names, so that it exists, at 0, before the first request. It is of a metric of its own, and comes before
    /// all that requests bring.
    #[inline(never)]
    pub fn series(&mut self, family: FamilyId, values: &[Bounded<'_>]) -> SeriesId {
        let (kind, name) = self.name(family, values);
        self.known.push((kind, name.into()));
        id(self.known.len() - 1)
    }

    /// The most series that requests bring into being, with those that the configuration names.
    pub fn budget(&self) -> usize {
        self.budget
    }

    /// Refuses a budget that the configuration's own series do not fit in.
    pub fn check_budget(&self, field: &Field<'_, '_>) {
        let (known, budget) = (self.known.len(), self.budget);
        if known > budget {
            let rule = ["must hold the ", &known.to_string(), " series of this configuration"].concat();
            field.get("budget").refuse_got(&rule, &budget.to_string());
        }
    }

    /// The series that were known when the filter was compiled, in the order of their ids.
    pub fn known(&self) -> impl Iterator<Item = (Kind, &str)> {
        self.known.iter().map(|(kind, name)| (*kind, &**name))
    }

    /// What a metric measures.
    pub fn kind(&self, family: FamilyId) -> Option<Kind> {
        self.groups.get(family.0).and_then(|group| group.families.first()).map(|(kind, _)| *kind)
    }

    /// The series of these values, in the order of the metrics' labels: found by their hash, without allocation, or else admitted or refused by the
    /// budget. A value that is missing is `-`.
    pub fn find(&self, view: &View<'_>, family: FamilyId, values: &[Label<'_>]) -> Found {
        self.find_in(view.source(), family, values)
    }

    /// The series of these values, if they were admitted before.
    pub fn find_known(&self, family: FamilyId, values: &[Label<'_>]) -> Option<Found> {
        let first = self.series.try_borrow().ok()?.known(family.0, values)?;
        Some(Found { first: self.after_known(first), is_overflow: false })
    }

    /// The label values of a set by its first series, in the order of the metrics' labels, each with a `;` behind it; `None` of overflow series and of
    /// those that the configuration names.
    pub fn values(&self, first: SeriesId) -> Option<String> {
        let place = first.index().checked_sub(self.known.len())?;
        let all = self.series.try_borrow().ok()?;
        all.named(u32::try_from(place).ok()?)?.values.map(str::to_owned)
    }

    pub(crate) fn find_in(&self, source: &dyn Source, family: FamilyId, values: &[Label<'_>]) -> Found {
        let nowhere = Found { first: SeriesId(u32::MAX), is_overflow: true };
        let (Some(group), Ok(mut series)) = (self.groups.get(family.0), self.series.try_borrow_mut()) else {
            return nowhere;
        };
        let budget = self.budget.saturating_sub(self.known.len());
        let (first, is_overflow) = series.find(source, (family.0, group), budget, values);
        Found { first: self.after_known(first), is_overflow }
    }

    /// As [`find`](Self::find), of texts.
    #[inline(never)]
    pub(crate) fn find_texts(&self, source: &dyn Source, family: FamilyId, values: &[Bounded<'_>]) -> Found {
        let count = self.groups.get(family.0).map_or(0, |group| group.labels.len());
        let none = Bounded::own("");
        let all = values.iter().chain(std::iter::repeat(&none)).take(count);
        self.find_in(source, family, &all.map(Label::of).collect::<Vec<_>>())
    }

    fn after_known(&self, first: u32) -> SeriesId {
        SeriesId(first.wrapping_add(u32::try_from(self.known.len()).unwrap_or(u32::MAX)))
    }

    /// Agrees with the proxy's other VMs on what the budget admits. The shell calls it when the plugin is configured.
    pub(crate) fn prepare(&self, source: &dyn Source) {
        if let Ok(mut series) = self.series.try_borrow_mut() {
            // Values of bounded labels have entries too, at most as many as there are label sets.
            let is_bounded = self.groups.iter().any(|group| group.bounds.iter().any(Option::is_some));
            series.prepare(source, self.budget * if is_bounded { 2 } else { 1 });
        }
    }

    /// What a series measures, and its stat's name.
    #[inline(never)]
    pub(crate) fn named(&self, series: SeriesId) -> Option<(Kind, String)> {
        if let Some((kind, name)) = self.known.get(series.index()) {
            return Some((*kind, String::from(&**name)));
        }
        let all = self.series.try_borrow().ok()?;
        let place = series.index().checked_sub(self.known.len())?;
        let named = all.named(u32::try_from(place).ok()?)?;
        let group = self.groups.get(named.group)?;
        let (kind, name) = group.families.get(named.member)?;
        let name = match named.values {
            Some(values) => self.encode(name, &group.labels, values.split_terminator(';')),
            None => self.encoding.name(name, std::iter::once(OVERFLOW)),
        };
        Some((*kind, name))
    }

    /// The stat's name for a family and the values of its labels, in their order. A value that is missing is written as an empty one is.
    #[inline(never)]
    pub fn name(&self, family: FamilyId, values: &[Bounded<'_>]) -> (Kind, String) {
        let Some(group) = self.groups.get(family.0) else { return (Kind::Counter, String::new()) };
        let Some((kind, name)) = group.families.first() else { return (Kind::Counter, String::new()) };
        let labels: Vec<_> = values.iter().map(Label::of).collect();
        (*kind, self.encode(name, &group.labels, labels.iter().map(Label::as_str)))
    }

    fn encode<'s>(
        &self,
        name: &str,
        labels: &'s [Box<str>],
        values: impl Iterator<Item = &'s str>,
    ) -> String {
        let values = values.chain(std::iter::repeat("-"));
        self.encoding.name(name, labels.iter().map(|label| &**label).zip(values))
    }
}

impl SeriesId {
    /// The series' place.
    pub fn index(self) -> usize {
        self.0 as usize
    }

    /// The series' place among those of several filters in one module.
    #[cfg(any(target_arch = "wasm32", feature = "parts"))]
    pub(crate) fn among(self, part: u32, parts: u32) -> Self {
        Self(self.0.wrapping_mul(parts).wrapping_add(part))
    }

    /// The filter, of so many in one module, and the series among its own.
    #[inline]
    pub(crate) fn split(self, parts: u32) -> (u32, Self) {
        (self.0 % parts, Self(self.0 / parts))
    }

    /// The series of the same label set of the metric that was defined so many places later.
    #[must_use]
    pub fn of(self, member: u32) -> Self {
        Self(self.0.wrapping_add(member))
    }
}

impl FamilyId {
    #[cfg(feature = "parts")]
    pub(crate) fn among(self, part: u32, parts: u32) -> Self {
        Self(self.0.wrapping_mul(parts as usize).wrapping_add(part as usize))
    }

    pub(crate) fn split(self, parts: u32) -> (u32, Self) {
        let parts = parts.max(1) as usize;
        (u32::try_from(self.0 % parts).unwrap_or(0), Self(self.0 / parts))
    }
}

fn id(place: usize) -> SeriesId {
    SeriesId(u32::try_from(place).unwrap_or(u32::MAX))
}

/// FNV-1a of words, each with a NUL behind it.
fn fnv1a32<'w>(words: impl Iterator<Item = &'w str>) -> u32 {
    let bytes = words.flat_map(|word| word.bytes().chain([0]));
    bytes.fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

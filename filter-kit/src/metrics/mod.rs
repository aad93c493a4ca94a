//! Metrics with labels over an ABI that has none.
//!
//! Envoy takes labels out of a stat's full name by the regexes of `stats_tags`. One definition here serves every filter: families with
//! label names, two encodings of the labels into the name, and a budget of series, since Envoy never lets a stat go.

mod table;

pub use table::Table;

use crate::{Bounded, choices, settings::Field};

/// The longest label value, in bytes; the rest of a longer one is cut off.
pub const LABEL_LIMIT: usize = 64;

/// The label of the series that counts what the budget refused (OpenTelemetry, metrics SDK, overflow attribute).
const OVERFLOW: (&str, &str) = ("otel_metric_overflow", "true");

/// The most series that a budget may have.
const BUDGET_LIMIT: i64 = 100_000;

/// The part of a filter's configuration that is about its metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricsConfig {
    /// How labels are written into a stat's name.
    pub labels: Encoding,
    /// The most series that one VM defines for the filter, 1 to 100,000; those beyond count as overflow of their metric.
    pub budget: u32,
}

impl MetricsConfig {
    /// Reads it from a filter's configuration.
    pub fn read(field: &Field<'_, '_>) -> Self {
        field.only(&["labels", "budget"]);
        let Self { labels, budget } = Self::default();
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

/// How labels are written into a stat's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// `ab_exposures_total;experiment=checkout;arm=b`, Graphite's form of tags. A tag's regex is `(;arm=([^;]*))`.
    Envoy,
    /// `experiment=.=checkout;.;arm=.=b;.;ab_exposures_total`, which Istio's `extraStatTags` take apart.
    Istio,
}

choices!(Encoding { "envoy" => Envoy, "istio" => Istio });

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

/// A metric: its name, its kind and the names of its labels.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Family {
    kind: Kind,
    name: Box<str>,
    labels: Box<[Box<str>]>,
}

/// A metric of a [`Metrics`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FamilyId(usize);

/// A series of a [`Metrics`] that was known when the filter was compiled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SeriesId(usize);

/// The metrics of a filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metrics {
    encoding: Encoding,
    budget: usize,
    families: Vec<Family>,
    series: Vec<(Kind, Box<str>)>,
}

impl Default for Metrics {
    fn default() -> Self {
        let MetricsConfig { labels, budget } = MetricsConfig::default();
        Self { encoding: labels, budget: budget as usize, families: Vec::new(), series: Vec::new() }
    }
}

impl Metrics {
    /// No metrics yet.
    pub fn new(config: &MetricsConfig) -> Self {
        Self { encoding: config.labels, budget: config.budget as usize, ..Self::default() }
    }

    /// Defines a metric. The name and the labels are the filter's own, in Prometheus' alphabet.
    #[inline(never)]
    pub fn family(&mut self, kind: Kind, name: &str, labels: &[&str]) -> FamilyId {
        let labels = labels.iter().map(|&label| label.into()).collect();
        self.families.push(Family { kind, name: name.into(), labels });
        FamilyId(self.families.len() - 1)
    }

    /// Defines a series that the configuration names, so that it exists, at 0, before the first request.
    #[inline(never)]
    pub fn series(&mut self, family: FamilyId, values: &[Bounded<'_>]) -> SeriesId {
        let (kind, name) = self.name(family, values);
        self.series.push((kind, name.into()));
        SeriesId(self.series.len() - 1)
    }

    /// The most series that one VM defines.
    pub fn budget(&self) -> usize {
        self.budget
    }

    /// Refuses a budget that the configuration's own series do not fit in.
    pub fn check_budget(&self, field: &Field<'_, '_>) {
        let (known, budget) = (self.series.len(), self.budget);
        if known > budget {
            let rule = ["must hold the ", &known.to_string(), " series of this configuration"].concat();
            field.get("budget").refuse_got(&rule, &budget.to_string());
        }
    }

    /// The series that were known when the filter was compiled, in the order of their ids.
    pub fn known(&self) -> impl Iterator<Item = (Kind, &str)> {
        self.series.iter().map(|(kind, name)| (*kind, &**name))
    }

    /// A known series.
    pub fn get(&self, series: SeriesId) -> Option<(Kind, &str)> {
        self.series.get(series.0).map(|(kind, name)| (*kind, &**name))
    }

    /// What a metric measures.
    pub fn kind(&self, family: FamilyId) -> Option<Kind> {
        self.families.get(family.0).map(|family| family.kind)
    }

    /// The stat's name for a family and the values of its labels, in their order. A value that is missing is written as an empty one is.
    #[inline(never)]
    pub fn name(&self, family: FamilyId, values: &[Bounded<'_>]) -> (Kind, String) {
        let Some(family) = self.families.get(family.0) else { return (Kind::Counter, String::new()) };
        let values = values.iter().map(Bounded::as_str).chain(std::iter::repeat(""));
        let labels = family.labels.iter().map(|label| &**label).zip(values);
        (family.kind, self.encode(&family.name, labels))
    }

    /// The stat's name for what the budget refused of a family.
    pub fn overflow(&self, family: FamilyId) -> (Kind, String) {
        let Some(family) = self.families.get(family.0) else { return (Kind::Counter, String::new()) };
        (family.kind, self.encode(&family.name, std::iter::once(OVERFLOW)))
    }

    fn encode<'s>(&self, name: &str, labels: impl Iterator<Item = (&'s str, &'s str)>) -> String {
        let mut text = String::with_capacity(96);
        match self.encoding {
            Encoding::Envoy => {
                text.push_str(name);
                for (label, value) in labels {
                    text.push(';');
                    text.push_str(label);
                    text.push('=');
                    push_value(&mut text, value);
                }
            }
            Encoding::Istio => {
                for (label, value) in labels {
                    text.push_str(label);
                    text.push_str("=.=");
                    push_value(&mut text, value);
                    text.push_str(";.;");
                }
                text.push_str(name);
            }
        }
        text
    }
}

impl SeriesId {
    /// The series' place among the known ones.
    pub fn index(self) -> usize {
        self.0
    }
}

/// Writes a label's value: at most [`LABEL_LIMIT`] bytes of visible ASCII; `;`, which ends a value in both encodings, spaces and all
/// others become `_`, and an empty value `-`.
fn push_value(text: &mut String, value: &str) {
    if value.is_empty() {
        text.push('-');
    }
    text.extend(value.bytes().take(LABEL_LIMIT).map(|byte| match byte {
        b';' => '_',
        byte if byte.is_ascii_graphic() => char::from(byte),
        _ => '_',
    }));
}

#[cfg(test)]
mod tests {
    use super::{Encoding, Kind, Metrics, MetricsConfig};
    use crate::Bounded;

    #[track_caller]
    fn check(labels: Encoding, values: &[&str], expected: &str) {
        let mut metrics = Metrics::new(&MetricsConfig { labels, budget: 10 });
        let family = metrics.family(Kind::Counter, "hits_total", &["route", "arm"]);
        let values: Vec<_> = values.iter().map(|&value| Bounded::own(value)).collect();
        assert_eq!(metrics.name(family, &values).1, expected);
    }

    #[test]
    fn labels_are_written_in_both_encodings() {
        check(Encoding::Envoy, &["shop", "b"], "hits_total;route=shop;arm=b");
        check(Encoding::Istio, &["shop", "b"], "route=.=shop;.;arm=.=b;.;hits_total");
    }

    #[test]
    fn no_value_can_end_early_or_break_an_exposition() {
        check(Encoding::Envoy, &["a;arm=x", "é\n\u{0}"], "hits_total;route=a_arm=x;arm=____");
        check(Encoding::Istio, &["a;.;arm=.=x", ""], "route=.=a_._arm=.=x;.;arm=.=-;.;hits_total");
        let long = "x".repeat(100);
        check(Encoding::Envoy, &[&long], &format!("hits_total;route={};arm=-", "x".repeat(64)));
    }
}

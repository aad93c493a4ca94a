//! Label sets through metrics, without a filter.

use super::{FamilyId, Kind, Label, Metrics, MetricsConfig};
use crate::{Bounded, fake::Shared};

fn hits(budget: u32) -> (Metrics, FamilyId) {
    let mut metrics = Metrics::new(&MetricsConfig { budget, ..MetricsConfig::default() });
    let family = metrics.family(Kind::Counter, "hits_total", &["user"]);
    (metrics, family)
}

fn name(metrics: &Metrics, shared: &Shared, family: FamilyId, value: &str) -> String {
    let found = metrics.find_in(shared, family, &[Label::new(value.as_bytes())]);
    metrics.named(found.first).unwrap().1
}

#[test]
fn a_series_keeps_its_id_and_the_budget_holds() {
    let (metrics, family) = hits(3);
    let shared = Shared::default();
    metrics.prepare(&shared);
    for round in 0..2 {
        for user in 0..1000 {
            let expected = match user {
                0..3 => format!("hits_total;user=u{user}"),
                _ => "hits_total;otel_metric_overflow=true".to_owned(),
            };
            assert_eq!(name(&metrics, &shared, family, &format!("u{user}")), expected, "{round}");
        }
    }
}

#[test]
fn series_of_the_configuration_are_part_of_the_budget() {
    let (mut metrics, family) = hits(3);
    let named = metrics.family(Kind::Counter, "named_total", &[]);
    let known = metrics.series(named, &[]);
    assert_eq!(metrics.named(known).unwrap().1, "named_total");
    let shared = Shared::default();
    let admitted = (0..10).filter(|user| {
        let text = Bounded::own(format!("u{user}"));
        !metrics.find_texts(&shared, family, &[text]).is_overflow
    });
    assert_eq!(admitted.count(), 2);
}

#[test]
fn a_push_and_another_vm_find_what_was_admitted() {
    let shared = Shared::default();
    let [(one, family), (two, _)] = [hits(2), hits(2)];
    one.prepare(&shared);
    two.prepare(&shared);
    assert_eq!(name(&one, &shared, family, "a"), "hits_total;user=a");
    assert_eq!(name(&two, &shared, family, "b"), "hits_total;user=b");
    assert_eq!(name(&one, &shared, family, "c"), "hits_total;otel_metric_overflow=true");
    assert_eq!(name(&one, &shared, family, "b"), "hits_total;user=b");
    let (pushed, family) = hits(2);
    pushed.prepare(&shared);
    assert_eq!(name(&pushed, &shared, family, "c"), "hits_total;otel_metric_overflow=true");
    assert_eq!(name(&pushed, &shared, family, "a"), "hits_total;user=a");
}

#[test]
fn metrics_of_the_same_labels_are_found_together() {
    let mut metrics = Metrics::new(&MetricsConfig::default());
    let both = metrics.families(
        &[(Kind::Counter, "a_total"), (Kind::Histogram, "b_bytes")],
        &[("route", None), ("arm", Some(1))],
        100,
    );
    let shared = Shared::default();
    metrics.prepare(&shared);
    let find = |route: &str, arm: &str| {
        let found = metrics.find_in(&shared, both, &[route, arm].map(|value| Label::new(value.as_bytes())));
        (found, [0, 1].map(|member| metrics.named(found.first.of(member)).unwrap()))
    };
    let (found, [first, second]) = find("/a", "b");
    assert!(!found.is_overflow);
    assert_eq!(first, (Kind::Counter, "a_total;route=/a;arm=b".to_owned()));
    assert_eq!(second, (Kind::Histogram, "b_bytes;route=/a;arm=b".to_owned()));
    // A second arm is one too many.
    let (found, [_, second]) = find("/a", "c");
    assert!(found.is_overflow);
    assert_eq!(second, (Kind::Histogram, "b_bytes;otel_metric_overflow=true".to_owned()));
    assert_eq!(find("/x", "b").1[0].1, "a_total;route=/x;arm=b");
    assert!(metrics.find_known(both, &[Label::new(b"/a"), Label::new(b"b")]).is_some());
    assert_eq!(metrics.find_known(both, &[Label::new(b"/b"), Label::new(b"b")]), None);
}

#[test]
fn values_of_one_set_are_not_those_of_another() {
    let mut metrics = Metrics::new(&MetricsConfig::default());
    let family = metrics.family(Kind::Counter, "x_total", &["a", "b"]);
    let shared = Shared::default();
    let mut seen = std::collections::BTreeMap::new();
    for one in ["", "x", "xy", "xyxyxyxy", "xyxyxyxyx"] {
        for other in ["", "x", "yx", "xyxyxyxy", "yxyxyxyxx"] {
            let labels = [one, other].map(|value| Label::new(value.as_bytes()));
            let first = metrics.find_in(&shared, family, &labels).first;
            assert_eq!(seen.insert(metrics.named(first).unwrap().1, (one, other)), None);
        }
    }
    assert_eq!(seen.len(), 25);
}

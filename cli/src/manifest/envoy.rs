//! Envoy's `stats_config`.

use filter_kit::metrics::{Encoding, Kind};
use metrics::{MetricsFilter, catalogue::Described};
use serde_json::{Value, json};

/// A regex for each label, and the buckets of each histogram.
pub fn stats_config(filter: &MetricsFilter) -> Value {
    let encoding = filter.encoding();
    let tags = filter
        .catalogue()
        .labels()
        .into_iter()
        .map(|label| json!({"tag_name": label, "regex": regex(label, encoding)}));
    let histograms = filter.catalogue().metrics().iter().filter(|metric| metric.kind == Kind::Histogram);
    let buckets = histograms.filter(|metric| !metric.buckets.is_empty()).map(|metric| {
        json!({"match": {"safe_regex": {"regex": name(metric, encoding)}}, "buckets": metric.buckets})
    });
    json!({"stats_config": {
        "stats_tags": tags.collect::<Vec<_>>(),
        "histogram_bucket_settings": buckets.collect::<Vec<_>>()
    }})
}

/// What takes a label out of a name: the first group is what goes, the second the value.
fn regex(label: &str, encoding: Encoding) -> String {
    match encoding {
        Encoding::Envoy => format!("(;{label}=([^;]*))"),
        Encoding::Istio => format!(r"({label}=\.=(.*?);\.;)"),
    }
}

/// The names of a metric's series, and of no other's.
fn name(metric: &Described, encoding: Encoding) -> String {
    let name = &metric.name;
    match encoding {
        Encoding::Envoy => format!(r"wasmcustom\.{name}(;.*)?"),
        Encoding::Istio => format!(r"wasmcustom\.(.*;\.;)?{name}"),
    }
}

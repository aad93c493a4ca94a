//! What Istio starts a sidecar with.

use filter_kit::metrics::Kind;
use metrics::MetricsFilter;
use serde_json::{Value, json};

/// Labels of a pod's template: they are read when the sidecar starts.
pub fn annotations(filter: &MetricsFilter) -> Value {
    let buckets = json!({"wasmcustom": buckets(filter)}).to_string();
    json!({"spec": {"template": {"metadata": {"annotations": {
        "sidecar.istio.io/extraStatTags": filter.catalogue().labels().join(","),
        "sidecar.istio.io/statsHistogramBuckets": buckets
    }}}}})
}

/// The same labels for all sidecars of a mesh. Buckets have annotations alone.
pub fn mesh(filter: &MetricsFilter) -> Value {
    json!({"meshConfig": {"defaultConfig": {"extraStatTags": filter.catalogue().labels()}}})
}

/// Istio knows buckets by the beginning of a name alone, and with its encoding all begin alike: those of all histograms together.
fn buckets(filter: &MetricsFilter) -> Vec<u64> {
    let histograms = filter.catalogue().metrics().iter().filter(|metric| metric.kind == Kind::Histogram);
    let mut all: Vec<u64> = histograms.flat_map(|metric| metric.buckets.iter().copied()).collect();
    all.sort_unstable();
    all.dedup();
    all
}

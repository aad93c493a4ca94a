//! Envoy's `/stats` in JSON: series of plugins, and the durations among them.

use harness::series;
use serde_json::Value;
use std::collections::BTreeMap;

/// What the stats of plugins begin with.
const OF_PLUGINS: &str = "wasmcustom.";
/// The most series that are kept of one answer: filters have a budget far below.
const LIMIT: usize = 100_000;

/// A series with its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// The metric's name.
    pub name: String,
    /// The labels by name.
    pub labels: BTreeMap<String, String>,
    /// The value of a counter or a gauge.
    pub value: u64,
}

impl Sample {
    /// A label's value; empty where there is none.
    pub fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }
}

/// Counters and gauges of one moment.
#[derive(Debug, Default)]
pub struct Reading {
    /// Those of plugins, without `wasmcustom.`.
    pub samples: Vec<Sample>,
    /// `wasm.…`: how the VMs are.
    pub of_vms: BTreeMap<String, u64>,
    /// Requests that all connection managers but the admin's have taken, and those of them that were answered 5xx.
    pub downstream: [u64; 2],
}

impl Reading {
    /// Reads `/stats?format=json`.
    pub fn parse(answer: &Value) -> Self {
        let mut reading = Self::default();
        for stat in answer["stats"].as_array().into_iter().flatten().take(LIMIT) {
            let (Some(name), Some(value)) = (stat["name"].as_str(), stat["value"].as_u64()) else { continue };
            if let Some(stat) = name.strip_prefix(OF_PLUGINS) {
                let series::Series { name, labels } = series::parse(stat);
                reading.samples.push(Sample { name, labels, value });
            } else if let Some(stat) = name.strip_prefix("wasm.") {
                reading.of_vms.insert(stat.to_owned(), value);
            } else if !name.starts_with("http.admin.") && !name.starts_with("http.async-client.") {
                let [total, failed] = &mut reading.downstream;
                match name.rsplit('.').next() {
                    Some("downstream_rq_total") => *total += value,
                    Some("downstream_rq_5xx") => *failed += value,
                    _ => {}
                }
            }
        }
        reading
    }

    /// The series of a metric.
    pub fn of<'r>(&'r self, name: &'r str) -> impl Iterator<Item = &'r Sample> {
        self.samples.iter().filter(move |sample| sample.name == name)
    }

    /// The series of a metric whose name may have a prefix of the operator's (`prefix` of metrics).
    pub fn ending<'r>(&'r self, names: &'r [&str]) -> impl Iterator<Item = &'r Sample> {
        self.samples.iter().filter(move |sample| names.iter().any(|name| sample.name.ends_with(name)))
    }

    /// Whether there are series with a name that begins so.
    pub fn has(&self, prefix: &str) -> bool {
        self.samples.iter().any(|sample| sample.name.starts_with(prefix))
    }
}

/// Values in bins: lower bound, width and count.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Bins(Vec<(f64, f64, u64)>);

impl Bins {
    fn parse(bins: &Value) -> Self {
        let bin = |bin: &Value| {
            Some((bin["lower_bound"].as_f64()?, bin["width"].as_f64()?, bin["count"].as_u64()?))
        };
        Self(bins.as_array().into_iter().flatten().filter_map(bin).collect())
    }

    fn add(&mut self, other: &Self, scale: f64) {
        self.0.extend(other.0.iter().map(|(lower, width, count)| (lower * scale, width * scale, *count)));
    }

    /// How many values there are.
    pub fn count(&self) -> u64 {
        self.0.iter().map(|(.., count)| count).sum()
    }

    /// The value that so many of a hundred do not exceed, by the middle of its bin; none where there are no values.
    pub fn percentile(&self, percent: u64) -> Option<f64> {
        let mut bins = self.0.clone();
        bins.sort_by(|one, other| one.0.total_cmp(&other.0));
        let rank = (self.count() * percent).div_ceil(100).max(1);
        let mut below = 0;
        for (lower, width, count) in bins {
            below += count;
            if below >= rank {
                return Some(lower + width / 2.0);
            }
        }
        None
    }
}

/// A histogram of a plugin.
#[derive(Debug, Clone)]
struct Histogram {
    name: String,
    labels: BTreeMap<String, String>,
    /// What a value has to be multiplied by to be milliseconds.
    scale: f64,
    all: Bins,
    lately: Bins,
}

/// Durations, of all time and of the last five seconds, in milliseconds.
#[derive(Debug, Default)]
pub struct Histograms(Vec<Histogram>);

impl Histograms {
    /// Reads `/stats?format=json&histogram_buckets=detailed`.
    pub fn parse(answer: &Value) -> Self {
        let mut all = Vec::new();
        for stat in answer["stats"].as_array().into_iter().flatten() {
            for histogram in stat["histograms"]["details"].as_array().into_iter().flatten().take(LIMIT) {
                let Some(stat) = histogram["name"].as_str().and_then(|name| name.strip_prefix(OF_PLUGINS))
                else {
                    continue;
                };
                let series::Series { name, labels } = series::parse(stat);
                let scale = if name.ends_with("_microseconds") { 0.001 } else { 1.0 };
                let [total, lately] = ["totals", "intervals"].map(|part| Bins::parse(&histogram[part]));
                all.push(Histogram { name, labels, scale, all: total, lately });
            }
        }
        Self(all)
    }

    /// All values of metrics with this in their name and these labels.
    pub fn of(&self, name: &str, labels: &[(&[&str], &str)]) -> Bins {
        let mut bins = Bins::default();
        for histogram in self.0.iter().filter(|histogram| histogram.name.contains(name)) {
            let has = |(names, value): &(&[&str], &str)| {
                names.iter().any(|name| histogram.labels.get(*name).is_some_and(|label| label == value))
            };
            if labels.iter().all(has) {
                bins.add(&histogram.all, histogram.scale);
            }
        }
        bins
    }

    /// What requests took in the last five seconds: half of them, and 95 %. None where there were none.
    pub fn lately(&self) -> Option<[f64; 2]> {
        let mut bins = Bins::default();
        for histogram in self.0.iter().filter(|histogram| histogram.name.contains("request_duration")) {
            bins.add(&histogram.lately, histogram.scale);
        }
        Some([bins.percentile(50)?, bins.percentile(95)?])
    }
}

#[cfg(test)]
mod tests {
    use super::{Bins, Histograms, Reading};
    use serde_json::json;

    #[test]
    fn series_are_read_in_both_encodings_and_others_are_left() {
        let reading = Reading::parse(&json!({"stats": [
            {"name": "wasmcustom.ab_exposures_total;experiment=x;arm=b", "value": 3},
            {"name": "wasmcustom.arm=.=b;.;ab_exposures_total", "value": 4},
            {"name": "wasm.p.vm_reload", "value": 1},
            {"name": "http.admin.downstream_rq_total", "value": 100},
            {"name": "http.main.downstream_rq_total", "value": 9},
            {"name": "http.main.downstream_rq_5xx", "value": 2},
            {"name": "wasmcustom.text", "value": "no number"},
            {"value": 1}, 7
        ]}));
        let arms: Vec<_> =
            reading.of("ab_exposures_total").map(|sample| (sample.label("arm"), sample.value)).collect();
        assert_eq!(arms, [("b", 3), ("b", 4)]);
        assert_eq!((reading.downstream, reading.of_vms["p.vm_reload"]), ([9, 2], 1));
        assert_eq!(reading.samples.len(), 2);
    }

    #[test]
    fn a_percentile_is_in_the_middle_of_its_bin() {
        let bins = Bins(vec![(30.0, 1.0, 1), (0.0, 0.0, 18), (2.0, 0.2, 1)]);
        assert_eq!([50, 95, 99].map(|percent| bins.percentile(percent)), [Some(0.0), Some(2.1), Some(30.5)]);
        assert_eq!(Bins::default().percentile(50), None);
    }

    #[test]
    fn microseconds_are_told_as_milliseconds() {
        let histogram = |name: &str, lower: u64| {
            json!({"name": name, "totals": [{"lower_bound": lower, "width": 0, "count": 1}],
            "intervals": [{"lower_bound": lower, "width": 0, "count": 1}]})
        };
        let all = Histograms::parse(&json!({"stats": [{"histograms": {"details": [
            histogram("wasmcustom.http_server_request_duration_microseconds;http_route=/a", 3000),
            histogram("wasmcustom.http_server_request_duration_milliseconds;http_route=/b", 5),
        ]}}]}));
        let of = |route| all.of("request_duration", &[(&["http_route"], route)]).percentile(50);
        assert_eq!((of("/a"), of("/b"), of("/c")), (Some(3.0), Some(5.0), None));
        assert_eq!(all.lately(), Some([3.0, 5.0]));
    }
}

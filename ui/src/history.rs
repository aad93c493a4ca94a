//! Rates: what counters have grown by, over the last three minutes.

use crate::{model::round, stats::Reading};
use serde::Serialize;
use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

/// How many points are kept, of a second each.
const POINTS: usize = 120;
/// A rate that is said is the mean of so many of them.
const MEAN: usize = 5;
/// The most series that rates are kept of.
const LIMIT: usize = 2_000;

/// A moment: what happened in a second before it.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Point {
    /// Milliseconds since 1970.
    at_ms: u64,
    requests: f64,
    errors: f64,
    denied: f64,
    found: f64,
    exposures: f64,
    p50_ms: Option<f64>,
    p95_ms: Option<f64>,
}

/// What rates are told of: a kind, and labels' values.
type Key = Vec<String>;

/// Counters of the last poll, and rates of those before.
#[derive(Debug, Default)]
pub struct History {
    last: Option<(Instant, BTreeMap<Key, u64>)>,
    points: VecDeque<Point>,
    rates: BTreeMap<Key, VecDeque<f64>>,
    latency: Option<[f64; 2]>,
}

impl History {
    /// Adds a reading, and what requests took if Envoy was asked for it.
    pub fn add(&mut self, at: Instant, at_ms: u64, reading: &Reading, latency: Option<[f64; 2]>) {
        let counters = counters(reading);
        if latency.is_some() {
            self.latency = latency;
        }
        if let Some((before, last)) = self.last.take() {
            let seconds = at.duration_since(before).max(Duration::from_millis(1)).as_secs_f64();
            let has_shrunk =
                counters.iter().any(|(key, value)| last.get(key).is_some_and(|last| last > value));
            if !has_shrunk {
                let grown = |key: &Key, value: u64| {
                    #[expect(clippy::cast_precision_loss, reason = "a rate")]
                    let grown = value.saturating_sub(last.get(key).copied().unwrap_or(0)) as f64;
                    grown / seconds
                };
                for (key, value) in &counters {
                    let rates = self.rates.entry(key.clone()).or_default();
                    rates.push_back(grown(key, *value));
                    if rates.len() > POINTS {
                        rates.pop_front();
                    }
                }
                self.rates.retain(|key, _| counters.contains_key(key));
                self.point(at_ms);
            }
        }
        self.last = Some((at, counters));
    }

    fn point(&mut self, at_ms: u64) {
        let now = |kind: &str| {
            let of = self.rates.iter().filter(|(key, _)| key.first().is_some_and(|first| first == kind));
            round(of.filter_map(|(_, rates)| rates.back()).sum(), 2)
        };
        let requests = now("requests");
        let [p50_ms, p95_ms] = match self.latency.filter(|_| requests > 0.0) {
            Some([half, most]) => [Some(round(half, 1)), Some(round(most, 1))],
            None => [None, None],
        };
        let point = Point {
            at_ms,
            requests,
            errors: now("errors"),
            denied: now("denied"),
            found: now("found"),
            exposures: now("arm"),
            p50_ms,
            p95_ms,
        };
        self.points.push_back(point);
        if self.points.len() > POINTS {
            self.points.pop_front();
        }
    }

    /// The process is another one: nothing is compared with what the one before had counted.
    pub fn interrupt(&mut self) {
        self.last = None;
        self.latency = None;
        self.rates.clear();
    }

    /// How much is counted in a second, by the last few.
    pub fn rate(&self, key: &[&str]) -> f64 {
        let Some(rates) = self.rates.get(&owned(key)) else { return 0.0 };
        let some: Vec<f64> = rates.iter().rev().take(MEAN).copied().collect();
        #[expect(clippy::cast_precision_loss, reason = "at most five")]
        let count = some.len().max(1) as f64;
        round(some.iter().sum::<f64>() / count, 2)
    }

    /// The rates of each second, the oldest first.
    pub fn rates(&self, key: &[&str]) -> Vec<f64> {
        self.rates
            .get(&owned(key))
            .map(|rates| rates.iter().map(|rate| round(*rate, 1)).collect())
            .unwrap_or_default()
    }

    /// All moments, the oldest first.
    pub fn points(&self) -> &VecDeque<Point> {
        &self.points
    }
}

fn owned(key: &[&str]) -> Key {
    key.iter().map(|part| (*part).to_owned()).collect()
}

fn counters(reading: &Reading) -> BTreeMap<Key, u64> {
    let [requests, errors] = reading.downstream;
    let mut all = BTreeMap::from([(owned(&["requests"]), requests), (owned(&["errors"]), errors)]);
    let mut add = |key: &[&str], value: u64| {
        if all.len() < LIMIT {
            *all.entry(owned(key)).or_default() += value;
        }
    };
    for sample in &reading.samples {
        match sample.name.as_str() {
            "ab_exposures_total" => {
                add(&["arm", sample.label("experiment"), sample.label("arm")], sample.value);
            }
            "policy_decisions_total" if sample.label("result") == "denied" => {
                add(&["denied", sample.label("policy")], sample.value);
            }
            "pii_found_total" => add(&["found", sample.label("entity")], sample.value),
            _ => {}
        }
    }
    for sample in reading.ending(&crate::model::REQUESTS) {
        add(&["route", crate::model::route(sample)], sample.value);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::History;
    use crate::stats::Reading;
    use serde_json::json;
    use std::time::{Duration, Instant};

    fn reading(total: u64, exposures: u64) -> Reading {
        Reading::parse(&json!({"stats": [{"name": "http.main.downstream_rq_total", "value": total},
            {"name": "wasmcustom.ab_exposures_total;experiment=x;arm=b", "value": exposures}]}))
    }

    #[test]
    fn a_rate_is_what_has_grown_by_the_seconds_between() {
        let (mut history, begun) = (History::default(), Instant::now());
        history.add(begun, 0, &reading(100, 10), None);
        assert!(history.points().is_empty());
        history.add(begun + Duration::from_secs(2), 2000, &reading(140, 10), Some([1.0, 2.0]));
        let point = history.points().back().unwrap();
        assert_eq!((point.requests, point.exposures, point.p95_ms), (20.0, 0.0, Some(2.0)));
        assert_eq!(history.rate(&["arm", "x", "b"]).to_bits(), 0.0_f64.to_bits());
    }

    #[test]
    fn counters_that_shrink_are_another_process_and_make_no_rate() {
        let (mut history, begun) = (History::default(), Instant::now());
        history.add(begun, 0, &reading(100, 10), None);
        history.add(begun + Duration::from_secs(1), 1000, &reading(5, 1), None);
        assert!(history.points().is_empty());
        history.add(begun + Duration::from_secs(2), 2000, &reading(8, 1), None);
        assert_eq!(history.points().back().unwrap().requests.to_bits(), 3.0_f64.to_bits());
    }
}

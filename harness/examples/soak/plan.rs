//! What a soak runs with: a configuration that holds all state that its filter can have, and which of its counters add up to what was sent.

use harness::series;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// A filter's file of `harness/examples/soak/plans/`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The plugin's configuration.
    pub config: Value,
    /// The VM's environment.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// Sums that must come out even.
    counts: Vec<Count>,
}

/// A sum of counters that must be a sum of what was sent.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Count {
    /// Kinds of what was sent; those behind `-` are taken off.
    of: Vec<String>,
    /// Counters, with the labels that their series must have: `NAME`, or `NAME;LABEL=VALUE`.
    sum: Vec<String>,
}

/// What came of a sum.
#[derive(Debug)]
pub struct Sum {
    /// What is compared.
    pub what: String,
    /// What was sent.
    pub sent: i64,
    /// What the counters say.
    pub counted: i64,
}

impl Plan {
    /// Every sum, of what was sent by its kinds, and of stats by their names.
    pub fn sums(&self, sent: &BTreeMap<String, u64>, stats: &BTreeMap<String, i64>) -> Vec<Sum> {
        let kind = |name: &str| {
            let (sign, name) = name.strip_prefix('-').map_or((1, name), |name| (-1, name));
            sign * sent.get(name).map_or(0, |count| i64::try_from(*count).unwrap_or(i64::MAX))
        };
        self.counts
            .iter()
            .map(|count| Sum {
                what: format!("{} = {}", count.sum.join(" + "), count.of.join(" ")),
                sent: count.of.iter().map(|name| kind(name)).sum(),
                counted: count.sum.iter().map(|wanted| Self::total(wanted, stats)).sum(),
            })
            .collect()
    }

    /// The sum of the series of a counter that have these labels at least.
    pub fn total(wanted: &str, stats: &BTreeMap<String, i64>) -> i64 {
        let wanted = series::parse(wanted);
        let of = |stat: &str| {
            let series = series::parse(stat);
            series.name == wanted.name
                && wanted.labels.iter().all(|(label, value)| series.labels.get(label) == Some(value))
        };
        stats.iter().filter(|(stat, _)| of(stat)).map(|(_, value)| value).sum()
    }
}

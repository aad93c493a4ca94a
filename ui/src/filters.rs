//! The filters and their state: what Envoy runs, whether it trapped, and what it tells of itself.

use crate::{
    plugins::{Plugin, Plugins},
    stats::Reading,
};
use serde::Serialize;

/// A plugin, as the page shows it.
#[derive(Debug, Serialize)]
pub struct Filter {
    /// The plugin's name.
    name: String,
    /// Which filter of this project it is; none where it is another's.
    kind: Option<&'static str>,
    module: String,
    failure_policy: String,
    health: Health,
    /// What the state means, in a sentence.
    says: String,
    /// What it has counted of things that went otherwise than they should.
    signals: Vec<Signal>,
}

/// How a plugin is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// It runs.
    Running,
    /// It trapped and was loaded again.
    Reloaded,
    /// It trapped and could not be loaded again, or not yet.
    Failing,
    /// It is in the configuration, and has told of nothing.
    Silent,
    /// It is another's: its VM is not watched.
    Other,
}

/// A counter that should stay at zero.
#[derive(Debug, Serialize)]
struct Signal {
    says: &'static str,
    count: u64,
}

/// A filter's counters that should stay at zero, with what they mean.
const SIGNALS: [(&str, &str, &str); 12] = [
    ("ab-routing", "ab_fallbacks_total", "requests went to control, as their arm had no host"),
    ("ab-routing", "ab_client_headers_stripped_total", "forged headers of clients were taken away"),
    ("access-log", "access_log_values_dropped_total", "values were left out of records"),
    ("access-log", "access_log_bodies_unread_total", "bodies could not be read"),
    ("access-log", "access_log_traceparent_invalid_total", "trace headers were no trace headers"),
    ("access-log", "canary_leaks_total", "records held a canary and were not written"),
    ("access-log", "access_log_sampled_out_total", "exchanges were left out by sampling"),
    ("metrics", "metrics_refused_total", "measurements were over the series budget"),
    ("metrics", "metrics_labels_redacted_total", "label values were personal"),
    ("metrics", "metrics_labels_too_long_total", "label values were too long"),
    ("metrics", "metrics_values_unread_total", "values were no numbers"),
    ("", "outrigger_streams_forgotten_total", "responses were not told, as younger streams came before them"),
];

/// What a filter's series begin with.
fn prefixes(filter: &str) -> &'static [&'static str] {
    match filter {
        "ab-routing" => &["ab_"],
        "access-log" => &["access_log_", "pii_"],
        "metrics" => &["metrics_"],
        "policy" => &["policy_"],
        _ => &["ab_", "access_log_", "pii_", "metrics_", "policy_"],
    }
}

/// All plugins of the configuration; where it cannot be read, those that their series tell of.
pub fn all(plugins: &Plugins, reading: &Reading) -> Vec<Filter> {
    if plugins.all.iter().any(|plugin| plugin.filter.is_some()) {
        return plugins.all.iter().map(|plugin| one(plugin, reading)).collect();
    }
    let mut list: Vec<Filter> = plugins.all.iter().map(|plugin| one(plugin, reading)).collect();
    for filter in ["ab-routing", "access-log", "metrics", "policy"] {
        if prefixes(filter).iter().any(|prefix| reading.has(prefix)) {
            let [name, module, failure_policy] = [filter, "", ""].map(str::to_owned);
            list.push(one(&Plugin { name, module, failure_policy, filter: Some(filter) }, reading));
        }
    }
    list
}

fn one(plugin: &Plugin, reading: &Reading) -> Filter {
    let of_vm = |stat: &str| reading.of_vms.get(&format!("{}.{stat}", plugin.name)).copied();
    let [reloads, done, failed, waiting] =
        ["vm_reload", "vm_reload_success", "vm_reload_failure", "vm_reload_backoff"]
            .map(|stat| of_vm(stat).unwrap_or(0));
    let has_series =
        plugin.filter.is_some_and(|filter| prefixes(filter).iter().any(|prefix| reading.has(prefix)));
    let (health, says) = if failed > 0 && failed >= done {
        (
            Health::Failing,
            format!(
                "Trapped, and could not be loaded again {failed} times. Look into Envoy's log for the trap."
            ),
        )
    } else if waiting > 0 && reloads > done {
        (
            Health::Failing,
            format!("Traps again and again: Envoy has waited {waiting} times before loading it."),
        )
    } else if done > 0 {
        (
            Health::Reloaded,
            format!(
                "Runs, but has trapped and was loaded again {done} times. Look into Envoy's log for the trap."
            ),
        )
    } else if plugin.filter.is_none() {
        (Health::Other, "No filter of this project. Nothing of it is shown.".to_owned())
    } else if has_series {
        (Health::Running, "Runs; has never trapped.".to_owned())
    } else {
        (
            Health::Silent,
            "Is configured, and has counted nothing. Send a request through its listener.".to_owned(),
        )
    };
    let mut signals = Vec::new();
    for (filter, metric, says) in SIGNALS {
        let is_its = plugin.filter.is_some_and(|own| own == filter || own == "all-in-one");
        let count = reading.of(metric).map(|sample| sample.value).sum();
        if is_its && count > 0 {
            signals.push(Signal { says, count });
        }
    }
    let Plugin { name, module, failure_policy, filter } = plugin.clone();
    Filter { name, kind: filter, module, failure_policy, health, says, signals }
}

#[cfg(test)]
mod tests {
    use super::{Health, all};
    use crate::{
        plugins::{Plugin, Plugins},
        stats::Reading,
    };
    use serde_json::{Value, json};

    #[track_caller]
    fn check(stats: &[(&str, u64)], expected: Health) {
        let stats: Vec<Value> =
            stats.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
        let plugin = Plugin {
            name: "p".to_owned(),
            module: String::new(),
            failure_policy: String::new(),
            filter: Some("policy"),
        };
        let plugins = Plugins { all: vec![plugin], ..Plugins::default() };
        let filters = all(&plugins, &Reading::parse(&json!({"stats": stats})));
        assert_eq!(filters[0].health, expected, "{stats:?}");
    }

    #[test]
    fn a_filter_s_health_is_told_from_its_reloads() {
        let counted = ("wasmcustom.policy_decisions_total;policy=;action=none;result=allowed", 1);
        check(&[], Health::Silent);
        check(&[counted], Health::Running);
        check(&[counted, ("wasm.p.vm_reload", 1), ("wasm.p.vm_reload_success", 1)], Health::Reloaded);
        check(&[counted, ("wasm.p.vm_reload", 1), ("wasm.p.vm_reload_failure", 1)], Health::Failing);
        check(
            &[
                counted,
                ("wasm.p.vm_reload", 2),
                ("wasm.p.vm_reload_success", 1),
                ("wasm.p.vm_reload_backoff", 3),
            ],
            Health::Failing,
        );
    }
}

//! What a filter has decided about a request: one line of JSON, of which every key is always there.

use super::request::Recorded;
use harness::{
    Bytes,
    outcome::{ExchangeOutcome, is_added_by_proxy},
    scenario::Headers,
    series,
};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// A decision.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Decision {
    /// The request's.
    pub id: Value,
    /// The filter's name.
    pub filter: String,
    /// `continue`, or `reply` where the filter answered in the upstream's place.
    pub action: &'static str,
    /// The status that the client got; none where it got no answer.
    pub status: Option<u16>,
    /// Of a reply: its headers and body.
    pub reply_headers: Vec<(String, String)>,
    /// The body.
    pub reply_body: String,
    /// `allow` or `deny` of a policy.
    pub verdict: Option<&'static str>,
    /// The policy that decided.
    pub policy: Option<String>,
    /// The arm of each experiment; none where the request is not in it.
    pub arms: BTreeMap<String, Option<String>>,
    /// What became of the request's headers.
    pub request_headers: Changes,
    /// What became of the response's.
    pub response_headers: Changes,
    /// The steps of series.
    pub metrics: Vec<Metric>,
    /// What was logged.
    pub log: Value,
    /// Why, clause by clause; empty unless asked for.
    pub explain: Vec<Clause>,
}

/// Headers that were changed: final values, repeated for duplicates, and the names that are gone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Changes {
    /// Names in lower case and values.
    pub set: Vec<(String, String)>,
    /// Names.
    pub removed: Vec<String>,
}

/// The step of a series.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Metric {
    /// The metric's name.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// The step; of a histogram the count of its samples.
    pub value: i64,
}

/// A clause of why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Clause {
    /// What it is about: a path in the configuration.
    pub path: String,
    /// `true`, `false` or `"error"`.
    pub result: Value,
    /// Why so.
    pub reason: String,
}

impl Decision {
    /// What an outcome says of a request.
    pub fn new(
        filter: &str,
        recorded: &Recorded,
        mut outcome: ExchangeOutcome,
        experiments: &[(String, String)],
        has_policy: bool,
        kind: &dyn Fn(&str) -> &'static str,
    ) -> Self {
        let exchange = &recorded.exchange;
        outcome.response_headers.iter_mut().for_each(|(name, _)| name.0.make_ascii_lowercase());
        let metrics = metrics(&outcome, kind);
        let has_request = outcome.upstream.is_some();
        let request_headers = if has_request {
            changes(&exchange.sent_headers(), &outcome.request_headers)
        } else {
            Changes::default()
        };
        let (mut reply_headers, mut reply_body) = (Vec::new(), String::new());
        let mut response_headers = Changes::default();
        if outcome.is_reply {
            reply_headers = pairs(&kept(&outcome.response_headers));
            reply_body = outcome.response_body.lossy();
        } else {
            response_headers = changes(&exchange.response.headers, &outcome.response_headers);
        }
        let state = |key: &str| outcome.state.get(key).map(Bytes::lossy);
        let policy_state: Value =
            state("outrigger.policy").and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
        let text = |field: &str| policy_state.get(field).and_then(Value::as_str).map(str::to_owned);
        let policy = text("policy").or_else(|| {
            Some(outcome.details.clone()).filter(|details| outcome.is_reply && details.contains("policy["))
        });
        let verdict = match text("verdict").as_deref() {
            Some("deny") => Some("deny"),
            Some(_) => Some("allow"),
            None if has_policy => Some(if outcome.is_reply { "deny" } else { "allow" }),
            None => None,
        };
        Self {
            id: recorded.id.clone(),
            filter: filter.to_owned(),
            action: if outcome.is_reply { "reply" } else { "continue" },
            status: outcome.status,
            reply_headers,
            reply_body,
            verdict,
            policy,
            arms: arms(experiments, &metrics, &request_headers),
            request_headers,
            response_headers,
            metrics,
            log: log(&outcome, &policy_state),
            explain: Vec::new(),
        }
    }
}

/// What was logged: the record in filter state or the first line of JSON, and what a policy audited.
fn log(outcome: &ExchangeOutcome, policy: &Value) -> Value {
    let record = outcome.state.get("outrigger.log").map(Bytes::lossy);
    let lines = outcome.log.iter().map(|line| line.text.clone());
    let record = record.into_iter().chain(lines).find_map(|text| match serde_json::from_str(&text) {
        Ok(Value::Object(record)) => Some(record),
        _ => None,
    });
    let mut record = record.unwrap_or_default();
    if let Some(audit) = policy.get("audit").filter(|audit| !audit.is_null()) {
        record.insert("audit".to_owned(), audit.clone());
    }
    let said: Vec<Value> = outcome
        .log
        .iter()
        .filter(|line| !line.text.starts_with('{'))
        .map(|line| json!({"level": line.level, "text": line.text}))
        .collect();
    if !said.is_empty() {
        record.insert("lines".to_owned(), Value::Array(said));
    }
    Value::Object(record)
}

/// The arm of each experiment: by its exposure, or else by the header that says it.
fn arms(
    experiments: &[(String, String)],
    metrics: &[Metric],
    headers: &Changes,
) -> BTreeMap<String, Option<String>> {
    let of = |(name, header): &(String, String)| {
        let is_exposure = |metric: &&Metric| {
            metric.name == "ab_exposures_total"
                && metric.labels.get("experiment") == Some(name)
                && metric.value > 0
        };
        let counted = metrics.iter().find(is_exposure).and_then(|metric| metric.labels.get("arm").cloned());
        let shared = experiments.iter().filter(|(_, other)| other == header).count() > 1;
        let written = || {
            let value = headers.set.iter().find(|(other, _)| other == header && !shared);
            value.map(|(_, value)| value.clone())
        };
        (name.clone(), counted.or_else(written))
    };
    experiments.iter().map(of).collect()
}

/// The series that moved.
fn metrics(outcome: &ExchangeOutcome, kind: &dyn Fn(&str) -> &'static str) -> Vec<Metric> {
    let one = |(stat, step): (&String, &i64)| {
        let series = series::parse(stat);
        (*step != 0).then(|| Metric {
            name: series.name,
            labels: series.labels,
            kind: kind(stat),
            value: *step,
        })
    };
    let mut metrics: Vec<_> = outcome.metrics.iter().filter_map(one).collect();
    metrics.sort();
    metrics
}

fn kept(headers: &Headers) -> Headers {
    headers.iter().filter(|(name, _)| !is_added_by_proxy(&name.0.to_ascii_lowercase())).cloned().collect()
}

fn pairs(headers: &Headers) -> Vec<(String, String)> {
    headers.iter().map(|(name, value)| (name.lossy().to_ascii_lowercase(), value.lossy())).collect()
}

/// What is other after than before.
fn changes(before: &Headers, after: &Headers) -> Changes {
    let (before, after) = (pairs(&kept(before)), pairs(&kept(after)));
    let names: BTreeSet<&String> = before.iter().chain(&after).map(|(name, _)| name).collect();
    let mut changes = Changes::default();
    for name in names {
        let values = |list: &[(String, String)]| -> Vec<String> {
            list.iter().filter(|(other, _)| other == name).map(|(_, value)| value.clone()).collect()
        };
        let (was, is) = (values(&before), values(&after));
        if was == is {
            continue;
        }
        if is.is_empty() {
            changes.removed.push(name.clone());
        }
        changes.set.extend(is.into_iter().map(|value| (name.clone(), value)));
    }
    changes
}

/// The keys of an object's members, nested ones with dots.
pub fn keys(value: &Value) -> BTreeSet<String> {
    fn walk(members: &Map<String, Value>, path: &str, found: &mut BTreeSet<String>) {
        for (name, value) in members {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            match value {
                Value::Object(inner) => walk(inner, &path, found),
                _ => _ = found.insert(path),
            }
        }
    }
    let mut found = BTreeSet::new();
    if let Value::Object(members) = value {
        walk(members, "", &mut found);
    }
    found
}

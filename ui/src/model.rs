//! What the page shows, as JSON: every number is Envoy's own, and what is not there is null, with the reason beside it.

use crate::{
    Watch, admin,
    experiment::{self, Experiment},
    filters::{self, Filter},
    history::Point,
    stats::{Reading, Sample},
    tail::{Log, Shown},
};
use serde::Serialize;
use serde_json::Value;
use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

/// What counts requests in metrics' default set: in OpenTelemetry's words, and in Istio's. An operator's prefix may stand before it.
pub const REQUESTS: [&str; 2] = ["http_server_requests_total", "istio_requests_total"];
const ERRORS: [&str; 2] = ["http_server_errors_total", "istio_request_errors_total"];
const ROUTE: [&str; 2] = ["http_route", "request_operation"];
/// The most routes, rules and rows of personal data that are shown; the rest is counted.
const ROWS: usize = 60;

/// All of it.
#[derive(Debug, Serialize)]
pub struct State<'w> {
    version: &'static str,
    now_ms: u64,
    envoy: &'w Envoy,
    totals: Totals,
    points: &'w VecDeque<Point>,
    filters: Vec<Filter>,
    routes: Option<Rows<Route>>,
    experiments: Vec<Experiment>,
    has_experiments: bool,
    policy: Option<Policy>,
    personal: Option<Personal>,
    logs: &'w [Log],
    access: &'w VecDeque<Shown>,
    verdicts: &'w VecDeque<Shown>,
    own: &'w VecDeque<Shown>,
}

/// Envoy itself.
#[derive(Debug, Serialize)]
pub struct Envoy {
    url: String,
    /// Whether it answered the last time.
    is_up: bool,
    version: Option<String>,
    state: Option<String>,
    uptime_seconds: Option<u64>,
    /// How often another process was there than before.
    restarts: u64,
    problem: Option<String>,
    fix: Option<String>,
    /// Since when it does not answer, in milliseconds since 1970.
    down_since_ms: Option<u64>,
    /// How long its answers took the last time.
    read_ms: u64,
}

/// Sums since Envoy started.
#[derive(Debug, Serialize)]
struct Totals {
    requests: u64,
    errors: u64,
    exposures: u64,
    denied: u64,
    found: u64,
}

/// Rows, and how many there are beside them.
#[derive(Debug, Serialize)]
pub struct Rows<T> {
    rows: Vec<T>,
    more: usize,
}

impl<T> Rows<T> {
    fn new(mut rows: Vec<T>, order: impl FnMut(&T, &T) -> std::cmp::Ordering) -> Self {
        rows.sort_by(order);
        let more = rows.len().saturating_sub(ROWS);
        rows.truncate(ROWS);
        Self { rows, more }
    }
}

/// How often something happened, by its name.
#[derive(Debug, Serialize)]
pub struct Count {
    name: String,
    count: u64,
}

impl Count {
    /// Series that have counted anything, by one of their labels, the most first.
    pub fn list<'s>(samples: impl Iterator<Item = &'s Sample>, label: &str) -> Vec<Self> {
        let mut all = BTreeMap::<&str, u64>::new();
        for sample in samples {
            *all.entry(sample.label(label)).or_default() += sample.value;
        }
        let mut list: Vec<Self> = all
            .into_iter()
            .filter(|(_, count)| *count > 0)
            .map(|(name, count)| Self { name: name.to_owned(), count })
            .collect();
        list.sort_by_key(|item| std::cmp::Reverse(item.count));
        list
    }
}

#[derive(Debug, Serialize)]
struct Route {
    name: String,
    requests: u64,
    errors: u64,
    per_second: f64,
    rates: Vec<f64>,
    p50_ms: Option<f64>,
    p95_ms: Option<f64>,
    p99_ms: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Policy {
    rules: Rows<Rule>,
    allowed: u64,
    denied: u64,
    /// What candidates would decide otherwise; none where no candidate is configured.
    candidates: Option<Rows<Candidate>>,
}

#[derive(Debug, Default, Serialize)]
struct Rule {
    policy: String,
    action: String,
    denied: u64,
    audited: u64,
    allowed: u64,
    dry_run: u64,
    errors: u64,
    per_second: f64,
}

#[derive(Debug, Default, Serialize)]
struct Candidate {
    live: String,
    new: String,
    would_deny: u64,
    would_allow: u64,
}

#[derive(Debug, Serialize)]
struct Personal {
    flows: Rows<Flow>,
    canaries: Vec<Count>,
}

#[derive(Debug, Serialize)]
struct Flow {
    route: String,
    entity: String,
    part: String,
    count: u64,
    /// The route had not carried it before.
    is_new: bool,
}

impl<'w> State<'w> {
    /// What is known now.
    pub(crate) fn new(watch: &'w Watch, now_ms: u64) -> Self {
        let reading = &watch.reading;
        let sum = |name| reading.of(name).map(|sample| sample.value).sum();
        let [requests, errors] = reading.downstream;
        let [access, verdicts, own] = watch.logs.recent();
        let policy = policy(watch);
        Self {
            version: env!("CARGO_PKG_VERSION"),
            now_ms,
            envoy: &watch.envoy,
            totals: Totals {
                requests,
                errors,
                exposures: sum("ab_exposures_total"),
                denied: policy.as_ref().map_or(0, |policy| policy.denied),
                found: sum("pii_found_total"),
            },
            points: watch.history.points(),
            filters: filters::all(&watch.plugins, reading),
            routes: routes(watch),
            experiments: experiment::all(reading, &watch.histograms, &watch.plugins, &watch.history),
            has_experiments: reading.has("ab_"),
            policy,
            personal: personal(reading),
            logs: &watch.logs.files,
            access,
            verdicts,
            own,
        }
    }
}

impl Envoy {
    /// One that was not asked yet.
    pub fn new(url: &admin::Url) -> Self {
        Self {
            url: url.to_string(),
            is_up: false,
            version: None,
            state: None,
            uptime_seconds: None,
            restarts: 0,
            problem: None,
            fix: None,
            down_since_ms: None,
            read_ms: 0,
        }
    }

    /// Whether `/server_info` is of another process than the one before: it is up for less long.
    pub fn is_another(&mut self, info: &Value) -> bool {
        let is_another = match (self.uptime_seconds, uptime(info)) {
            (Some(before), Some(now)) => now < before,
            _ => false,
        };
        self.restarts += u64::from(is_another);
        is_another
    }

    /// Keeps what `/server_info` says.
    pub fn tell(&mut self, info: &Value) {
        self.uptime_seconds = uptime(info);
        self.state = info["state"].as_str().map(str::to_owned);
        // `REVISION/1.40.0/Clean/RELEASE/BoringSSL`
        self.version = info["version"].as_str().map(|text| text.split('/').nth(1).unwrap_or(text).to_owned());
    }

    /// It has answered.
    pub fn answered(&mut self, time: Duration) {
        self.is_up = true;
        (self.problem, self.fix, self.down_since_ms) = (None, None, None);
        self.read_ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    }

    /// It has not.
    pub fn failed(&mut self, problem: admin::Problem, now_ms: u64) {
        self.is_up = false;
        self.problem = Some(problem.what);
        self.fix = Some(problem.fix);
        self.down_since_ms.get_or_insert(now_ms);
    }
}

/// `uptime_current_epoch` is written as `13s`.
fn uptime(info: &Value) -> Option<u64> {
    info["uptime_current_epoch"].as_str()?.strip_suffix('s')?.split('.').next()?.parse().ok()
}

/// The route of a series of the default set.
pub fn route(sample: &Sample) -> &str {
    if sample.label("otel_metric_overflow") == "true" {
        return "{over the budget}";
    }
    ROUTE.iter().map(|label| sample.label(label)).find(|route| !route.is_empty()).unwrap_or("-")
}

fn routes(watch: &Watch) -> Option<Rows<Route>> {
    let mut all = BTreeMap::<&str, [u64; 2]>::new();
    for sample in watch.reading.ending(&REQUESTS) {
        all.entry(route(sample)).or_default()[0] += sample.value;
    }
    for sample in watch.reading.ending(&ERRORS) {
        all.entry(route(sample)).or_default()[1] += sample.value;
    }
    let has_filter = watch.reading.has("metrics_")
        || watch.plugins.all.iter().any(|plugin| plugin.filter == Some("metrics"));
    if all.is_empty() && !has_filter {
        return None;
    }
    let row = |(route, [requests, errors]): (&str, [u64; 2])| {
        let bins = watch.histograms.of("request_duration", &[(&ROUTE, route)]);
        let percentile = |percent| bins.percentile(percent).map(|value| round(value, 1));
        Route {
            name: route.to_owned(),
            requests,
            errors,
            per_second: watch.history.rate(&["route", route]),
            rates: watch.history.rates(&["route", route]),
            p50_ms: percentile(50),
            p95_ms: percentile(95),
            p99_ms: percentile(99),
        }
    };
    let rows = all.into_iter().map(row).collect();
    Some(Rows::new(rows, |one, other| {
        other.requests.cmp(&one.requests).then_with(|| one.name.cmp(&other.name))
    }))
}

fn policy(watch: &Watch) -> Option<Policy> {
    let reading = &watch.reading;
    if !reading.has("policy_") {
        return None;
    }
    let mut rules = BTreeMap::<(&str, &str), Rule>::new();
    let (mut allowed, mut denied) = (0, 0);
    for sample in reading.of("policy_decisions_total") {
        let (policy, action) = (sample.label("policy"), sample.label("action"));
        let rule = rules.entry((policy, action)).or_default();
        match sample.label("result") {
            "denied" => {
                rule.denied += sample.value;
                denied += sample.value;
            }
            "allowed" => {
                rule.allowed += sample.value;
                allowed += sample.value;
            }
            "audited" => rule.audited += sample.value,
            "dry_run" => rule.dry_run += sample.value,
            _ => rule.errors += sample.value,
        }
    }
    let rules = rules.into_iter().map(|((policy, action), rule)| Rule {
        // What no rule decided has the label `-`.
        policy: if policy == "-" { String::new() } else { policy.to_owned() },
        action: action.to_owned(),
        per_second: watch.history.rate(&["denied", policy]),
        ..rule
    });
    let weight = |rule: &Rule| rule.denied + rule.audited + rule.dry_run + rule.errors;
    let rules = Rows::new(rules.collect(), |one, other| {
        weight(other).cmp(&weight(one)).then_with(|| one.policy.cmp(&other.policy))
    });
    let mut candidates = BTreeMap::<(&str, &str), Candidate>::new();
    for sample in reading.of("policy_candidate_total") {
        let (live, candidate) = (sample.label("live"), sample.label("candidate"));
        let row = candidates.entry((live, candidate)).or_insert_with(|| Candidate {
            live: live.to_owned(),
            new: candidate.to_owned(),
            ..Candidate::default()
        });
        match sample.label("result") {
            "would_deny" => row.would_deny += sample.value,
            "would_allow" => row.would_allow += sample.value,
            _ => {}
        }
    }
    let candidates = (!candidates.is_empty()).then(|| {
        let weight = |row: &Candidate| row.would_deny + row.would_allow;
        Rows::new(candidates.into_values().collect(), |one, other| weight(other).cmp(&weight(one)))
    });
    Some(Policy { rules, allowed, denied, candidates })
}

fn personal(reading: &Reading) -> Option<Personal> {
    if !reading.has("access_log_") && !reading.has("pii_") {
        return None;
    }
    let key = |sample: &Sample| ["route", "entity", "part"].map(|label| sample.label(label).to_owned());
    let new: Vec<_> = reading.of("pii_drift").filter(|sample| sample.value == 1).map(key).collect();
    let flow = |sample: &Sample| {
        let key = key(sample);
        let is_new = new.contains(&key);
        let [route, entity, part] = key;
        Flow { route, entity, part, count: sample.value, is_new }
    };
    let found = reading.of("pii_found_total").filter(|sample| sample.value > 0);
    let flows = Rows::new(found.map(flow).collect(), |one, other| {
        one.route.cmp(&other.route).then_with(|| other.count.cmp(&one.count))
    });
    Some(Personal { flows, canaries: Count::list(reading.of("canary_leaks_total"), "canary") })
}

/// A number of so many places.
pub fn round(value: f64, places: u8) -> f64 {
    let scale = 10_f64.powi(i32::from(places));
    (value * scale).round() / scale
}

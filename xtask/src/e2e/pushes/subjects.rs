//! The filters, each with a configuration that leaves its revision wherever it decides something.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

/// How many revisions there are; pushes go round them, so that labels and arms of revisions make no series without end.
pub const REVISIONS: u64 = 8;
/// The paths that are asked for, over and over. Where policy is there it denies the third, and the fourth when its response comes.
pub const PATHS: [&str; 4] = ["/shop", "/shop", "/denied", "/late"];

/// How long records wait for the collector, in milliseconds.
pub const INTERVAL_MS: u64 = 200;
/// The records that wait for the collector, in bytes of a worker's VM.
pub const QUEUE: u64 = 4 << 20;

/// What was sent, by path, and how it must be answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sent {
    /// To `/shop`.
    pub shop: u64,
    /// To `/denied`.
    pub denied: u64,
    /// To `/late`.
    pub late: u64,
}

/// The sum of a metric's series with a label, or of all of them.
pub type Expected = (&'static str, Option<(&'static str, &'static str)>, u64);

/// A filter under pushes.
pub struct Subject {
    /// Its name, and that of its bootstrap.
    pub name: &'static str,
    /// The plugin in the bootstrap.
    pub plugin: &'static str,
    /// Its configuration of a revision.
    pub config: fn(&str) -> Value,
    /// Places of the configuration with a value that the filter refuses there, and how the log then calls the place.
    pub bad: &'static [(&'static str, &'static str, &'static str)],
    /// Whether it denies what policy denies.
    pub denies: bool,
    /// How often the line of a request to a path says which revision decided it; 0 where nothing of a request can say it.
    pub marks: fn(&str) -> usize,
    /// What it has counted when so much was sent.
    pub counts: fn(Sent) -> Vec<Expected>,
}

/// What is counted when a request comes, by metric and label; the others are counted when the exchange is over.
const BEGUN: [(&str, Option<(&str, &str)>); 5] = [
    ("begun_total", None),
    ("http_server_requests_started_total", None),
    ("ab_exposures_total", Some(("experiment", "one"))),
    ("ab_exposures_total", Some(("experiment", "two"))),
    ("policy_decisions_total", Some(("result", "audited"))),
];

impl Sent {
    /// Counts a request.
    pub fn add(&mut self, path: &str) {
        match path {
            "/denied" => self.denied += 1,
            "/late" => self.late += 1,
            _ => self.shop += 1,
        }
    }

    /// All of them.
    pub fn all(self) -> u64 {
        self.shop + self.denied + self.late
    }
}

/// The name of a revision, as it stands in arms, labels, fields and policies: nothing else in a line reads so.
pub fn revision(number: u64) -> String {
    format!("rev{}", number % REVISIONS)
}

/// All of them.
pub const SUBJECTS: [Subject; 5] = [
    Subject {
        name: "ab-routing",
        plugin: "outrigger.ab_routing",
        config: ab_routing,
        bad: &[("/experiments/0/arms/0/weight", "-1", "experiments[0].arms[0].weight")],
        denies: false,
        marks: |_| 3,
        counts: |sent| exposures(sent.all()),
    },
    Subject {
        name: "access-log",
        plugin: "outrigger.access_log",
        config: access_log,
        bad: &[("/names", "\"none\"", "names")],
        denies: false,
        marks: |path| if path == "/shop" { 4 } else { 3 },
        counts: |sent| vec![("access_log_otlp_records_total", None, sent.all())],
    },
    Subject {
        name: "metrics",
        plugin: "outrigger.metrics",
        config: metrics,
        bad: &[("/define/0/kind", "\"timer\"", "define[0].kind")],
        denies: false,
        marks: |_| 0,
        counts: |sent| counted(sent.all(), sent.all()),
    },
    Subject {
        name: "policy",
        plugin: "outrigger.policy",
        config: policy,
        bad: &[("/policies/1/spec/action", "\"REFUSE\"", "policies[1].spec.action")],
        denies: true,
        marks: |path| if path == "/shop" { 1 } else { 4 },
        counts: decided,
    },
    Subject {
        name: "all-in-one",
        plugin: "outrigger.all_in_one",
        config: |revision| {
            json!({
                "metrics": metrics(revision), "access_log": access_log(revision),
                "policy": policy(revision), "ab_routing": ab_routing(revision)
            })
        },
        bad: &[
            ("/metrics/define/0/kind", "\"timer\"", "metrics.define[0].kind"),
            ("/access_log/names", "\"none\"", "access_log.names"),
            ("/policy/policies/1/spec/action", "\"REFUSE\"", "policy.policies[1].spec.action"),
            ("/ab_routing/experiments/0/arms/0/weight", "-1", "ab_routing.experiments[0].arms[0].weight"),
        ],
        denies: true,
        marks: |path| if path == "/shop" { 8 } else { 6 },
        counts: |sent| {
            // The response that policy replaces is none to its neighbours in the module.
            let mut all = counted(sent.all(), sent.shop + sent.denied);
            all.push(("access_log_otlp_records_total", None, sent.all()));
            all.extend(decided(sent));
            // What policy denies at once never gets to ab-routing.
            all.extend(exposures(sent.shop + sent.late));
            all
        },
    },
];

impl Subject {
    /// The configuration of a revision.
    pub fn config(&self, number: u64) -> Value {
        (self.config)(&revision(number))
    }

    /// What it has counted when so much was sent, and of so much the filter has seen the end.
    pub fn counts_of(&self, sent: Sent, over: Sent) -> Vec<Expected> {
        let choose = |(begun, over): (Expected, Expected)| {
            if BEGUN.contains(&(begun.0, begun.1)) { begun } else { over }
        };
        (self.counts)(sent).into_iter().zip((self.counts)(over)).map(choose).collect()
    }

    /// Configurations that the filter refuses, each with what the log says of it.
    ///
    /// # Errors
    /// The table has a place that no configuration has.
    pub fn refused(&self, number: u64) -> Result<Vec<(String, &'static str)>> {
        let refused = self.bad.iter().map(|(place, value, says)| {
            let mut config = self.config(number);
            *config.pointer_mut(place).with_context(|| format!("no {place}"))? = serde_json::from_str(value)?;
            Ok((config.to_string(), *says))
        });
        refused.chain([Ok(("{\"a\":".to_owned(), "configuration refused"))]).collect()
    }

    /// How a request to a path is answered.
    pub fn status(&self, path: &str) -> u16 {
        match path {
            "/denied" if self.denies => 403,
            "/late" if self.denies => 451,
            _ => 200,
        }
    }
}

/// Two experiments: the arms of both, and the response's header, have to be of one revision.
fn ab_routing(revision: &str) -> Value {
    let arms = json!([
        {"name": format!("{revision}-a"), "weight": 5000}, {"name": format!("{revision}-b"), "weight": 5000}
    ]);
    json!({"experiments": [
        {"name": "one", "key": [{"header": "x-user"}], "header": "x-one", "arms": arms, "response": {"header": "x-served"}},
        {"name": "two", "key": [{"header": "x-user"}], "header": "x-two", "arms": arms}
    ]})
}

fn exposures(all: u64) -> Vec<Expected> {
    ["one", "two"].map(|name| ("ab_exposures_total", Some(("experiment", name)), all)).into()
}

/// What is logged of headers, of an arm and of a body is named by the revision.
fn access_log(revision: &str) -> Value {
    let header = format!("x-{revision}");
    json!({
        "names": "istio",
        "outputs": {"filter_state": {}, "otlp": {"cluster": "collector", "batch": {"interval_ms": INTERVAL_MS}, "queue_bytes": QUEUE}},
        "headers": {"request": [header], "response": [header]},
        "arms": [{"experiment": revision, "header": "x-arm"}],
        "body": {"fields": [revision]}
    })
}

/// A counter for each moment of a request.
fn metrics(revision: &str) -> Value {
    let define = MOMENTS.map(|(name, moment)| {
        json!({
            "name": name, "kind": "counter", "when": {"moment": moment},
            "labels": [{"label": "plan", "on": "constant", "value": revision}]
        })
    });
    json!({"define": define})
}

/// Counters of the moments of a request: of each revision they must say the same.
pub const MOMENTS: [(&str, &str); 3] =
    [("begun_total", "request"), ("answered_total", "response"), ("over_total", "log")];

fn counted(all: u64, answered: u64) -> Vec<Expected> {
    let moments =
        MOMENTS.map(|(name, moment)| (name, None, if moment == "response" { answered } else { all }));
    let own = [
        "http_server_requests_total",
        "http_server_requests_started_total",
        "http_server_requests_ended_total",
        "http_server_request_duration_milliseconds",
    ];
    moments.into_iter().chain(own.map(|name| (name, None, all))).collect()
}

/// A policy that notes every request, one that denies, and one that denies responses.
fn policy(revision: &str) -> Value {
    let denial =
        |status: u16| json!({"status": status, "reason": revision, "headers": {"x-version": revision}});
    let of = |name: &str| json!({"name": format!("{name}-{revision}"), "namespace": "shop"});
    let to = |path: &str| json!([{"operation": {"paths": [path]}}]);
    json!({
        "decision_log": {"enabled": false},
        "policies": [
            {"metadata": of("seen"), "spec": {"action": "AUDIT", "rules": [{"to": to("/*")}]}},
            {"metadata": of("no"), "spec": {"action": "DENY", "rules": [{"to": to("/denied")}]}, "outrigger": denial(403)},
            {
                "metadata": of("late"),
                "spec": {"action": "DENY", "rules": [{"to": to("/late"), "outrigger": {"response": {"status": ["2xx"]}}}]},
                "outrigger": denial(451)
            }
        ]
    })
}

fn decided(sent: Sent) -> Vec<Expected> {
    let of = |result, count| ("policy_decisions_total", Some(("result", result)), count);
    vec![of("audited", sent.all()), of("denied", sent.denied + sent.late)]
}

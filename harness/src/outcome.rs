//! What came of a scenario, on the harness or on Envoy, in a form that can be compared.

mod compare;
#[cfg(test)]
mod tests;

pub use compare::{Difference, compare, render};

use crate::{
    Bytes,
    expect::{Mismatch, SeriesExpectation},
    lint::Finding,
    scenario::{Headers, Scenario},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The levels of a log line, the lowest first.
pub const LEVELS: [&str; 6] = ["trace", "debug", "info", "warn", "error", "critical"];

/// What came of a scenario.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// What was logged when the configuration was refused.
    pub config_error: Option<String>,
    /// What came of each exchange.
    pub exchanges: Vec<ExchangeOutcome>,
    /// The traps that have killed VMs; only the harness tells them.
    #[serde(default)]
    pub traps: Vec<String>,
    /// What lints have found beside the exchanges: while the module was configured, or of its memory. Only the harness has lints.
    #[serde(default)]
    pub findings: Vec<Finding>,
}

/// What came of an exchange.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExchangeOutcome {
    /// The upstream that got the request; none if none did.
    pub upstream: Option<String>,
    /// The request's headers as the upstream got them, the pseudo headers `:authority`, `:method` and `:path` among them.
    pub request_headers: Headers,
    /// The body that the upstream got.
    pub request_body: Bytes,
    /// The trailers that the upstream got.
    pub request_trailers: Headers,
    /// The status that the client got; none if it got no whole response.
    pub status: Option<u16>,
    /// The response's headers as the client got them.
    pub response_headers: Headers,
    /// The body that the client got.
    pub response_body: Bytes,
    /// The trailers that the client got.
    #[serde(default)]
    pub response_trailers: Headers,
    /// The steps of series by the stat's name without `wasmcustom.`: of a histogram the count of its samples, of a gauge its change.
    pub metrics: BTreeMap<String, i64>,
    /// What the module logged.
    pub log: Vec<LogLine>,
    /// Why the response has its status, in Envoy's words or a plugin's; only the harness says it.
    #[serde(default)]
    pub details: String,
    /// Whether a plugin has answered in the upstream's place; only the harness says it.
    #[serde(default)]
    pub is_reply: bool,
    /// What plugins left in filter state, by their keys without `wasm.`, as an access log prints it. From Envoy there are the keys that a scenario asks for.
    #[serde(default)]
    pub state: BTreeMap<String, Bytes>,
    /// The HTTP requests that plugins sent themselves; only the harness knows them.
    #[serde(default)]
    pub calls: Vec<Call>,
    /// What lints have found; only the harness has them.
    #[serde(default)]
    pub findings: Vec<Finding>,
    /// What it cost; only the harness knows it.
    #[serde(default)]
    pub cost: Option<Cost>,
}

/// An HTTP request that a plugin sent to a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// The cluster's name.
    pub cluster: String,
    /// The headers, the pseudo headers among them.
    pub headers: Headers,
    /// The body.
    pub body: Bytes,
}

impl ExchangeOutcome {
    /// The first value of a header of the request, as the upstream got it; none if there is none, or if it is no text.
    pub fn request_header(&self, name: &str) -> Option<&str> {
        value(&self.request_headers, name)
    }

    /// The first value of a header of the response, as the client got it, likewise.
    pub fn response_header(&self, name: &str) -> Option<&str> {
        value(&self.response_headers, name)
    }

    /// How far a metric has gone in this exchange, whatever its labels.
    pub fn metric(&self, name: &str) -> i64 {
        let all = SeriesExpectation { name: name.to_owned(), labels: BTreeMap::new(), value: 0 };
        all.sum(&self.metrics)
    }
}

fn value<'h>(headers: &'h Headers, name: &str) -> Option<&'h str> {
    let name = name.to_ascii_lowercase();
    let (_, value) = headers.iter().find(|(other, _)| other.0 == name.as_bytes())?;
    std::str::from_utf8(&value.0).ok()
}

/// What an exchange cost a module: the same for the same exchange, on every machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// Instructions, in wasmtime's units of fuel.
    pub instructions: u64,
    /// Calls of the ABI's functions; WASI is not counted.
    pub host_calls: u64,
}

/// A line of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// One of [`LEVELS`].
    pub level: String,
    /// The text.
    pub text: String,
}

impl Outcome {
    /// Brings header lists into the order of their names and takes out what proxies add, series that did not move, and the framing.
    pub fn normalise(&mut self) {
        for exchange in &mut self.exchanges {
            for headers in [
                &mut exchange.request_headers,
                &mut exchange.request_trailers,
                &mut exchange.response_headers,
                &mut exchange.response_trailers,
            ] {
                for (name, _) in headers.iter_mut() {
                    name.0.make_ascii_lowercase();
                }
                headers.retain(|(name, _)| !is_added_by_proxy(&name.0));
                headers.sort_by(|(one, _), (other, _)| one.cmp(other));
            }
            exchange.metrics.retain(|_, step| *step != 0);
        }
    }
}

/// Whether a header is one that Envoy's connection manager, router and codecs add or take away by themselves, and that outcomes leave out:
/// request ids, what is forwarded of the connection, timing, dates, the server's name, and the framing of bodies.
pub fn is_added_by_proxy(name: &[u8]) -> bool {
    name.starts_with(b"x-envoy-")
        || matches!(
            name,
            b"x-request-id"
                | b"x-forwarded-proto"
                | b"x-forwarded-for"
                | b":scheme"
                | b":status"
                | b"host"
                | b"date"
                | b"server"
                | b"connection"
                | b"keep-alive"
                | b"content-length"
                | b"transfer-encoding"
        )
}

/// What of a scenario's expectations an outcome does not meet.
pub fn check(scenario: &Scenario, outcome: &Outcome) -> Vec<Mismatch> {
    let mismatch =
        |what: &str, expected: String, got: String| Mismatch { what: what.to_owned(), expected, got };
    match (&scenario.config_error, &outcome.config_error) {
        (Some(expected), Some(got)) if got.contains(expected) => return Vec::new(),
        (None, None) => {}
        (expected, got) => {
            return vec![mismatch("config_error", format!("{expected:?}"), format!("{got:?}"))];
        }
    }
    if scenario.exchanges.len() != outcome.exchanges.len() {
        let (expected, got) = (scenario.exchanges.len(), outcome.exchanges.len());
        return vec![mismatch("exchanges", expected.to_string(), got.to_string())];
    }
    let found = |found: &Finding| {
        mismatch(&format!("lint {}", found.lint), "nothing to find".to_owned(), found.to_string())
    };
    let mut mismatches: Vec<_> = outcome.findings.iter().map(found).collect();
    for (index, (exchange, outcome)) in scenario.exchanges.iter().zip(&outcome.exchanges).enumerate() {
        let found = exchange.check(outcome).into_iter().chain(outcome.findings.iter().map(found));
        mismatches.extend(
            found.map(|found| Mismatch { what: format!("exchange {}: {}", index + 1, found.what), ..found }),
        );
    }
    mismatches
}

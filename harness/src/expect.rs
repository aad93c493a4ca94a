//! What must come of an exchange.

use crate::{
    Bytes,
    outcome::{ExchangeOutcome, is_added_by_proxy},
    scenario::{Exchange, Headers},
    series,
};
use std::{collections::BTreeMap, fmt};

/// What must come of an exchange. What is not named may be anything.
#[derive(Debug, Clone, Default)]
pub struct Expect {
    /// The upstream that got the request.
    pub upstream: Option<String>,
    /// The status that the client got.
    pub status: Option<u16>,
    /// The client got no response.
    pub reset: bool,
    /// The upstream got the client's headers and no others.
    pub untouched: bool,
    /// Headers of the request as the upstream got it.
    pub request_headers: Vec<(String, Expected)>,
    /// The body that the upstream got.
    pub request_body: Option<Expected>,
    /// Trailers of the request as the upstream got them.
    pub request_trailers: Vec<(String, Expected)>,
    /// Headers of the response as the client got it.
    pub response_headers: Vec<(String, Expected)>,
    /// The body that the client got.
    pub response_body: Option<Expected>,
    /// Trailers of the response as the client got them.
    pub response_trailers: Vec<(String, Expected)>,
    /// Steps of series.
    pub metrics: Vec<SeriesExpectation>,
    /// The most instructions that the module may take, in wasmtime's units of fuel. The harness alone counts them.
    pub max_instructions: Option<u64>,
    /// The most host calls that it may make. The harness alone counts them.
    pub max_host_calls: Option<u64>,
    /// The lines that the module logged, all of them.
    pub log: Option<Vec<LogExpectation>>,
    /// Filter state at the end, by its keys without `wasm.`, as an access log prints it.
    pub state: Vec<(String, Expected)>,
}

impl Expect {
    /// Whether nothing is expected.
    pub fn is_empty(&self) -> bool {
        let Self {
            upstream, status, reset, untouched, request_headers, request_body, request_trailers, ..
        } = self;
        let Self { response_headers, response_body, response_trailers, metrics, log, state, .. } = self;
        let lists = [request_headers, request_trailers, response_headers, response_trailers, state];
        let bodies = [request_body, response_body];
        upstream.is_none()
            && status.is_none()
            && !(*reset || *untouched)
            && lists.iter().all(|list| list.is_empty())
            && bodies.iter().all(|body| body.is_none())
            && metrics.is_empty()
            && self.max_instructions.is_none()
            && self.max_host_calls.is_none()
            && log.is_none()
    }

    /// The expectations that say something of a request, or of a response, and would hold of one that never was.
    fn of_nothing(&self, outcome: &ExchangeOutcome) -> Vec<Mismatch> {
        let request = [
            ("request_headers", !self.request_headers.is_empty()),
            ("request_body", self.request_body.is_some()),
            ("request_trailers", !self.request_trailers.is_empty()),
        ];
        let response = [
            ("response_headers", !self.response_headers.is_empty()),
            ("response_body", self.response_body.is_some()),
            ("response_trailers", !self.response_trailers.is_empty()),
        ];
        let sides = [
            (
                request,
                outcome.upstream.is_some(),
                "a request at the upstream",
                "none, so that this checks nothing",
            ),
            (
                response,
                outcome.status.is_some(),
                "a response at the client",
                "none, so that this checks nothing",
            ),
        ];
        let mut found = Vec::new();
        for (sides, is_there, expected, got) in sides {
            let vain = sides.into_iter().filter(|(_, is_expected)| *is_expected && !is_there);
            found.extend(vain.map(|(what, _)| Mismatch {
                what: what.to_owned(),
                expected: expected.to_owned(),
                got: got.to_owned(),
            }));
        }
        found
    }
}

/// What a value must be.
#[derive(Debug, Clone)]
pub enum Expected {
    /// These bytes.
    Exactly(Bytes),
    /// What this regex matches, whole.
    Matches(regex::bytes::Regex),
    /// Not there.
    Absent,
    /// Several values, each in its place.
    Each(Vec<Expected>),
}

/// The step of a series: of a histogram the count of its samples.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeriesExpectation {
    /// The metric's name.
    pub name: String,
    /// The labels that the series must have; it may have others.
    pub labels: BTreeMap<String, String>,
    /// The step; 0 is a series that did not move.
    pub value: i64,
}

/// A line of the log.
#[derive(Debug, Clone)]
pub struct LogExpectation {
    /// One of [`LEVELS`](crate::outcome::LEVELS).
    pub level: String,
    /// The text.
    pub text: Expected,
}

/// Something that did not come out as it must.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// What: `request_headers.x-arm`.
    pub what: String,
    /// What it must be.
    pub expected: String,
    /// What it was.
    pub got: String,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: expected {}, got {}", self.what, self.expected, self.got)
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exactly(bytes) => write!(f, "{bytes:?}"),
            Self::Matches(regex) => write!(f, "what matches {regex}"),
            Self::Absent => f.write_str("none"),
            Self::Each(values) => f.debug_list().entries(values.iter().map(ToString::to_string)).finish(),
        }
    }
}

impl Expected {
    /// Whether these are the values.
    pub fn holds(&self, values: &[&Bytes]) -> bool {
        match (self, values) {
            (Self::Absent, []) => true,
            (Self::Exactly(bytes), [value]) => bytes == *value,
            (Self::Matches(regex), [value]) => regex.is_match(&value.0),
            (Self::Each(expected), values) => {
                expected.len() == values.len()
                    && expected.iter().zip(values).all(|(expected, value)| expected.holds(&[value]))
            }
            _ => false,
        }
    }

    /// Whether this may be one of the values.
    pub fn allows(&self, value: &Bytes) -> bool {
        match self {
            Self::Each(expected) => expected.iter().any(|expected| expected.allows(value)),
            single => single.holds(&[value]),
        }
    }

    /// Whether any part of it leaves the value open, so that it may differ from run to run.
    pub fn is_open(&self) -> bool {
        match self {
            Self::Matches(_) => true,
            Self::Each(values) => values.iter().any(Self::is_open),
            Self::Exactly(_) | Self::Absent => false,
        }
    }
}

impl Exchange {
    /// What did not come out as it must.
    pub fn check(&self, outcome: &ExchangeOutcome) -> Vec<Mismatch> {
        let mut mismatches = self.expect.of_nothing(outcome);
        let mut compare = |what: &str, is_fine: bool, expected: String, got: String| {
            if !is_fine {
                mismatches.push(Mismatch { what: what.to_owned(), expected, got });
            }
        };
        let expect = &self.expect;
        if expect.upstream.is_some() {
            compare(
                "upstream",
                expect.upstream == outcome.upstream,
                format!("{:?}", expect.upstream),
                format!("{:?}", outcome.upstream),
            );
        }
        if expect.status.is_some() {
            compare(
                "status",
                expect.status == outcome.status,
                format!("{:?}", expect.status),
                format!("{:?}", outcome.status),
            );
        }
        if expect.reset {
            compare(
                "reset",
                outcome.status.is_none(),
                "no response".to_owned(),
                format!("{:?}", outcome.status),
            );
        }
        if expect.untouched {
            let sent = self.sent_headers();
            let is_fine = outcome.upstream.is_some() && outcome.request_headers == sent;
            compare("untouched", is_fine, format!("{sent:?}"), format!("{:?}", outcome.request_headers));
        }
        for (side, expected, headers) in [
            ("request_headers", &expect.request_headers, &outcome.request_headers),
            ("request_trailers", &expect.request_trailers, &outcome.request_trailers),
            ("response_headers", &expect.response_headers, &outcome.response_headers),
            ("response_trailers", &expect.response_trailers, &outcome.response_trailers),
        ] {
            for (name, expected) in expected {
                let values: Vec<_> = headers
                    .iter()
                    .filter(|(other, _)| other.0 == name.as_bytes())
                    .map(|(_, value)| value)
                    .collect();
                compare(
                    &format!("{side}.{name}"),
                    expected.holds(&values),
                    expected.to_string(),
                    format!("{values:?}"),
                );
            }
        }
        if let Some(cost) = outcome.cost {
            for (what, limit, got) in [
                ("max_instructions", expect.max_instructions, cost.instructions),
                ("max_host_calls", expect.max_host_calls, cost.host_calls),
            ] {
                let is_within = limit.is_none_or(|limit| got <= limit);
                compare(what, is_within, format!("at most {}", limit.unwrap_or(0)), got.to_string());
            }
        }
        for (what, expected, body) in [
            ("request_body", &expect.request_body, &outcome.request_body),
            ("response_body", &expect.response_body, &outcome.response_body),
        ] {
            if let Some(expected) = expected {
                compare(what, expected.holds(&[body]), expected.to_string(), format!("{body:?}"));
            }
        }
        for expected in &expect.metrics {
            let got = expected.sum(&outcome.metrics);
            compare(
                &format!("metrics.{}{:?}", expected.name, expected.labels),
                got == expected.value,
                expected.value.to_string(),
                got.to_string(),
            );
        }
        if let Some(expected) = &expect.log {
            let holds = |(expected, line): (&LogExpectation, &crate::outcome::LogLine)| {
                expected.level == line.level && expected.text.holds(&[&Bytes::from(&line.text)])
            };
            let is_fine = expected.len() == outcome.log.len() && expected.iter().zip(&outcome.log).all(holds);
            let texts: Vec<_> = expected.iter().map(|line| format!("{} {}", line.level, line.text)).collect();
            compare("log", is_fine, format!("{texts:?}"), format!("{:?}", outcome.log));
        }
        for (key, expected) in &expect.state {
            let got: Vec<&Bytes> = outcome.state.get(key).into_iter().collect();
            compare(&format!("state.{key}"), expected.holds(&got), expected.to_string(), format!("{got:?}"));
        }
        mismatches
    }

    /// The client's headers as an outcome has them: sorted, and without what a proxy adds or takes.
    pub fn sent_headers(&self) -> Headers {
        let request = &self.request;
        let lower = |name: &Bytes| Bytes::from(&name.0.to_ascii_lowercase());
        let mut sent: Headers =
            request.headers.iter().map(|(name, value)| (lower(name), value.clone())).collect();
        let pseudo =
            [(":authority", &request.authority), (":method", &request.method), (":path", &request.path)];
        sent.extend(pseudo.map(|(name, value)| (Bytes::from(name), Bytes::from(value))));
        sent.retain(|(name, _)| !is_added_by_proxy(&name.0));
        sent.sort_by(|(one, _), (other, _)| one.cmp(other));
        sent
    }
}

impl SeriesExpectation {
    /// The steps of all series that this speaks of.
    pub fn sum(&self, metrics: &BTreeMap<String, i64>) -> i64 {
        let matches = |stat: &str| {
            let series = series::parse(stat);
            series.name == self.name
                && self.labels.iter().all(|(label, value)| series.labels.get(label) == Some(value))
        };
        metrics.iter().filter(|(stat, _)| matches(stat)).map(|(_, step)| step).sum()
    }
}

//! Two outcomes of one scenario, side by side.

use super::{ExchangeOutcome, Outcome};
use crate::{
    Bytes,
    expect::{Expect, Expected},
    scenario::{Exchange, Headers, Scenario},
    series,
};
use std::{collections::BTreeMap, fmt::Write as _};

/// Something that came out differently on the two sides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// What: `exchange 1: request x-arm`.
    pub what: String,
    /// On the harness.
    pub harness: String,
    /// On Envoy.
    pub envoy: String,
}

/// The differences between the outcomes on the harness and on Envoy. A value that the scenario expects to match a regex may differ.
pub fn compare(scenario: &Scenario, harness: &Outcome, envoy: &Outcome) -> Vec<Difference> {
    let (left, right) = (lines(scenario, harness), lines(scenario, envoy));
    let mut differences = Vec::new();
    for (what, harness, envoy) in pair(&left, &right) {
        if harness != envoy {
            let text = |value: Option<&str>| value.unwrap_or("(none)").to_owned();
            differences.push(Difference {
                what: what.to_owned(),
                harness: text(harness),
                envoy: text(envoy),
            });
        }
    }
    differences
}

/// Both outcomes in two columns; a line that differs is marked, and shown whole below the columns if it does not fit.
pub fn render(scenario: &Scenario, harness: &Outcome, envoy: &Outcome) -> String {
    const WIDTH: usize = 56;
    let (left, right) = (lines(scenario, harness), lines(scenario, envoy));
    let mut text = format!("  {:WIDTH$}  {}\n", "harness", "envoy");
    for (what, harness, envoy) in pair(&left, &right) {
        let mark = if harness == envoy { ' ' } else { '!' };
        let cell = |value: Option<&str>| {
            let whole = value.map_or_else(|| format!("{what}: (none)"), |value| format!("{what}: {value}"));
            if whole.chars().count() > WIDTH {
                whole.chars().take(WIDTH - 1).chain(['~']).collect()
            } else {
                whole
            }
        };
        let _ = writeln!(text, "{mark} {:WIDTH$}  {}", cell(harness), cell(envoy));
    }
    for (what, harness, envoy) in pair(&left, &right) {
        let is_long = |value: Option<&str>| value.is_some_and(|value| what.len() + 2 + value.len() > WIDTH);
        if harness != envoy && (is_long(harness) || is_long(envoy)) {
            let whole = |value: Option<&str>| value.unwrap_or("(none)").to_owned();
            let _ = writeln!(text, "{what}\n  harness: {}\n  envoy:   {}", whole(harness), whole(envoy));
        }
    }
    text
}

type Lines = Vec<(String, String)>;

/// Everything in an outcome as lines of what and value; values that the scenario leaves open are replaced by what is expected of them.
fn lines(scenario: &Scenario, outcome: &Outcome) -> Lines {
    let mut lines = Lines::new();
    // Envoy's log holds more than the module's line, so what is compared is whether it has the text.
    let refused = match (&outcome.config_error, &scenario.config_error) {
        (Some(got), Some(expected)) if got.contains(expected) => Some(expected.clone()),
        (got, _) => got.clone(),
    };
    lines.extend(refused.map(|refused| ("config_error".to_owned(), refused)));
    for (index, outcome) in outcome.exchanges.iter().enumerate() {
        let exchange = scenario.exchanges.get(index);
        let start = lines.len();
        exchange_lines(exchange, outcome, &mut lines);
        for (what, _) in lines.iter_mut().skip(start) {
            *what = format!("exchange {}: {what}", index + 1);
        }
    }
    lines
}

fn exchange_lines(exchange: Option<&Exchange>, outcome: &ExchangeOutcome, lines: &mut Lines) {
    let nothing = Expect::default();
    let expect = exchange.map_or(&nothing, |exchange| &exchange.expect);
    let mut line = |what: String, value: String| lines.push((what, value));
    line("upstream".to_owned(), format!("{:?}", outcome.upstream));
    for (what, value) in named("request", &expect.request_headers, &outcome.request_headers) {
        line(what, value);
    }
    line("request body".to_owned(), shown(expect.request_body.as_ref(), &outcome.request_body));
    for (what, value) in named("request trailer", &expect.request_trailers, &outcome.request_trailers) {
        line(what, value);
    }
    line("status".to_owned(), format!("{:?}", outcome.status));
    for (what, value) in named("response", &expect.response_headers, &outcome.response_headers) {
        line(what, value);
    }
    line("response body".to_owned(), shown(expect.response_body.as_ref(), &outcome.response_body));
    for (what, value) in named("response trailer", &expect.response_trailers, &outcome.response_trailers) {
        line(what, value);
    }
    // Where a header is open, so are the labels that follow it: what is compared then is the sum of the metric.
    let is_open = expect.request_headers.iter().any(|(_, expected)| expected.is_open());
    let mut steps = BTreeMap::<String, i64>::new();
    for (stat, step) in &outcome.metrics {
        let name = if is_open { series::parse(stat).name } else { stat.clone() };
        *steps.entry(name).or_default() += step;
    }
    for (stat, step) in steps {
        line(format!("metric {stat}"), step.to_string());
    }
    for (index, logged) in outcome.log.iter().enumerate() {
        let expected = expect.log.as_ref().and_then(|lines| lines.get(index)).map(|line| &line.text);
        line("log".to_owned(), format!("{} {}", logged.level, shown(expected, &Bytes::from(&logged.text))));
    }
    for (key, expected) in &expect.state {
        if let Some(value) = outcome.state.get(key) {
            line(format!("state {key}"), shown(Some(expected), value));
        }
    }
}

/// Headers or trailers as lines.
fn named(side: &str, expected: &[(String, Expected)], headers: &Headers) -> Lines {
    let of = |name: &Bytes| {
        expected.iter().find(|(other, _)| other.as_bytes() == name.0).map(|(_, expected)| expected)
    };
    let line = |(name, value): &(Bytes, Bytes)| (format!("{side} {}", name.lossy()), shown(of(name), value));
    headers.iter().map(line).collect()
}

/// A value; where it meets an expectation that leaves it open, that expectation in its place.
fn shown(expected: Option<&Expected>, value: &Bytes) -> String {
    match expected {
        Some(open) if open.is_open() && open.allows(value) => open.to_string(),
        _ => format!("{value:?}"),
    }
}

/// Lines of the same name next to each other, in the left's order, with those that only the right has behind them.
fn pair<'l>(left: &'l Lines, right: &'l Lines) -> Vec<(&'l str, Option<&'l str>, Option<&'l str>)> {
    let mut taken = vec![false; right.len()];
    let mut pairs = Vec::new();
    for (what, value) in left {
        let place = right.iter().zip(&taken).position(|((other, _), taken)| other == what && !taken);
        let other = place.and_then(|place| {
            if let Some(taken) = taken.get_mut(place) {
                *taken = true;
            }
            right.get(place)
        });
        pairs.push((what.as_str(), Some(value.as_str()), other.map(|(_, value)| value.as_str())));
    }
    for ((what, value), taken) in right.iter().zip(taken) {
        if !taken {
            pairs.push((what, None, Some(value)));
        }
    }
    pairs
}

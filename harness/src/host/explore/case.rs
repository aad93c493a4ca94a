//! What an exploration has found, as a person reads it.

use super::splits;
use crate::{
    host::schedule::Schedule,
    outcome::{self, Outcome},
    scenario::Scenario,
};
use std::fmt::{self, Write as _};

/// The most bytes of a part that are shown, and the most parts.
const SHOWN_BYTES: usize = 60;
const SHOWN_PARTS: usize = 12;

/// What came of an exploration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Explored {
    /// How often the scenario was run.
    pub runs: usize,
    /// How many bodies were split.
    pub bodies: usize,
    /// How many callouts the plugin made, with whole bodies.
    pub callouts: usize,
    /// What was found: of a body, of the orders and of a failure the smallest case.
    pub cases: Vec<Case>,
}

impl fmt::Display for Explored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { runs, bodies, callouts, .. } = self;
        write!(f, "explored in {runs} runs: {bodies} bodies, {callouts} callouts")
    }
}

/// A case in which a plugin does something wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// What the case is.
    pub what: String,
    /// How it comes about, line by line.
    pub how: Vec<String>,
    /// What is wrong, line by line.
    pub wrong: Vec<String>,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        self.how.iter().chain(&self.wrong).try_for_each(|line| write!(f, "\n  {line}"))
    }
}

/// The parts of a body, as a scenario file has them, where they are short.
pub(super) fn parts(body: &[u8], cuts: &[usize]) -> Vec<String> {
    let parts = splits::parts(body, cuts);
    let mut text = String::from("chunks = [");
    for (number, part) in parts.iter().take(SHOWN_PARTS).enumerate() {
        if number > 0 {
            text.push_str(", ");
        }
        text.push_str(&shown(part));
    }
    text.push_str(if parts.len() > SHOWN_PARTS { ", ...]" } else { "]" });
    vec![text]
}

/// Bytes as TOML has them. Of what is long the end and the beginning are shown, which the cuts go through.
fn shown(bytes: &[u8]) -> String {
    if bytes.len() > SHOWN_BYTES {
        let (head, tail) = (bytes.get(..SHOWN_BYTES / 2), bytes.get(bytes.len() - SHOWN_BYTES / 2..));
        let [head, tail] = [head, tail].map(|part| shown(part.unwrap_or_default()));
        return format!("{head} ...({} bytes)... {tail}", bytes.len());
    }
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains(char::is_control) => {
            format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
        }
        _ => {
            let hex = bytes.iter().fold(String::new(), |mut hex, byte| {
                let _ = write!(hex, "{byte:02x}");
                hex
            });
            format!("{{ hex = \"{hex}\" }}")
        }
    }
}

/// The order in which callouts were answered.
pub(super) fn order(schedule: &Schedule) -> Vec<String> {
    let what = |number: &usize| {
        let made = schedule.made.get(*number).map_or("", String::as_str);
        format!("the answer to callout {} ({made})", number + 1)
    };
    let mut lines: Vec<String> = Vec::new();
    for number in &schedule.answered {
        let line = format!("{} {}", if lines.is_empty() { "first" } else { "then " }, what(number));
        lines.push(line);
    }
    lines
}

/// What of two runs differs: what is seen of the exchanges, what was sent to clusters and what was left in filter state.
pub(super) fn differences(scenario: &Scenario, base: &Outcome, other: &Outcome) -> Vec<String> {
    let mut lines: Vec<String> = outcome::compare(scenario, base, other)
        .into_iter()
        .map(|found| format!("{}: otherwise {}, here {}", found.what, found.harness, found.envoy))
        .collect();
    for (number, (base, other)) in base.exchanges.iter().zip(&other.exchanges).enumerate() {
        let mut differs = |what: &str, base: String, other: String| {
            if base != other {
                lines.push(format!("exchange {}: {what}: otherwise {base}, here {other}", number + 1));
            }
        };
        let calls = |outcome: &outcome::ExchangeOutcome| {
            let mut calls: Vec<_> = outcome.calls.iter().map(|call| format!("{call:?}")).collect();
            calls.sort();
            calls.join("; ")
        };
        differs("callouts", calls(base), calls(other));
        differs("state", format!("{:?}", base.state), format!("{:?}", other.state));
    }
    lines
}

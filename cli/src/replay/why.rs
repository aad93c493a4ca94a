//! Why a filter decides as it does: policy and ab-routing say it clause by clause, natively, and what comes of their clauses is held against what the
//! module has done.

use super::{
    decision::{Clause, Decision},
    request::Recorded,
};
use crate::configuration::Configuration;
use ab_routing::AbRouting;
use filter_kit::{Environment, Filter, explain, fake::Stream, load};
use harness::Seen;
use policy::Policy;
use serde_json::{Value, json};

/// The clauses of a filter that says them, those of its parts with their names; none of another filter.
///
/// # Errors
/// The configuration is one that the module takes and this tool does not: they are of two versions.
pub fn clauses(
    filter: &str,
    configuration: &Configuration,
    now: u64,
    recorded: &Recorded,
    decision: &Decision,
) -> Result<Option<Vec<Clause>>, String> {
    let config: Value =
        serde_json::from_slice(configuration.bytes.as_deref().unwrap_or(b"{}")).unwrap_or_default();
    let mut why = Why { configuration, now, recorded, decision, clauses: Vec::new(), is_allowed: true };
    match filter {
        "policy" => why.policy("", &config)?,
        "ab-routing" => why.ab_routing("", &config)?,
        "all-in-one" => {
            let part = |name: &str| config.get(name).filter(|part| !part.is_null());
            if let Some(config) = part("policy") {
                why.policy("policy.", config)?;
            }
            if let Some(config) = part("ab_routing").filter(|_| why.is_allowed) {
                why.ab_routing("ab_routing.", config)?;
            }
        }
        _ => return Ok(None),
    }
    Ok(Some(why.clauses))
}

struct Why<'r> {
    configuration: &'r Configuration,
    now: u64,
    recorded: &'r Recorded,
    decision: &'r Decision,
    clauses: Vec<Clause>,
    is_allowed: bool,
}

impl Why<'_> {
    fn load<F: Filter>(&self, config: &Value) -> Result<F, String> {
        let variable = |name: &str| self.configuration.environment.get(name).cloned();
        load(config.to_string().as_bytes(), &Environment::new(&variable)).map_err(|error| {
            format!("this tool is of another version than the module, and refuses its configuration: {error}")
        })
    }

    /// The exchange as the filter sees it, with the random bytes that the module has drawn for new visitors.
    fn stream(&self) -> (Stream, bool) {
        let (stream, is_last) = stream(self.recorded, self.now);
        let set = &self.decision.response_headers.set;
        let cookies = set.iter().filter(|(name, _)| name == "set-cookie");
        (stream.drawing(cookies.filter_map(|(_, cookie)| drawn(cookie)).flatten()), is_last)
    }

    fn policy(&mut self, part: &str, config: &Value) -> Result<(), String> {
        let filter: Policy = self.load(config)?;
        let (stream, is_last) = self.stream();
        let body = body(self.recorded);
        let (request, response) = (stream.request_view(is_last), stream.response_view());
        let explained = filter.explain(policy::Seen { request: &request, body: &body, response: &response });
        self.note(part, explained.clauses);
        self.is_allowed = explained.is_allowed;
        let done = self.decision.verdict.map(|verdict| verdict == "allow");
        let rule = self.decision.policy.as_deref();
        if done.is_some_and(|is_allowed| is_allowed != explained.is_allowed)
            || rule.is_some() && rule != explained.rule.as_deref()
        {
            let said = if explained.is_allowed { "allow" } else { "deny" };
            self.differs(part, &format!("{said}, by {}", explained.rule.as_deref().unwrap_or("no rule")));
        }
        Ok(())
    }

    fn ab_routing(&mut self, part: &str, config: &Value) -> Result<(), String> {
        let filter: AbRouting = self.load(config)?;
        let (stream, is_last) = self.stream();
        let (first, explained) = filter.explain(&stream.request_view(is_last));
        self.note(part, first);
        for one in &explained {
            self.note(part, one.clauses.clone());
        }
        let set = &self.decision.request_headers.set;
        let kept = &self.recorded.exchange.request.headers;
        for one in &explained {
            // The experiment that has written its header.
            let arm = explained.iter().find(|other| other.header == one.header && other.arm.is_some());
            let arm = arm.and_then(|arm| arm.arm.as_deref());
            let written = set.iter().find(|(name, _)| *name == one.header).map(|(_, value)| value.as_str());
            if let Some(reason) = self.fell_back(&one.experiment) {
                let path = format!("{part}experiments.{}.guardrail", one.experiment);
                let reason = format!("the arm is {reason}: control, by what was seen before this request");
                self.clauses.push(Clause { path, result: json!(false), reason });
                continue;
            }
            // A client that asks for what it gets changes nothing.
            let is_same = written.is_none()
                && arm.is_some_and(|arm| {
                    kept.iter().any(|(name, value)| {
                        name.0.eq_ignore_ascii_case(one.header.as_bytes()) && value.0 == arm.as_bytes()
                    })
                });
            if self.decision.action == "continue" && arm != written && !is_same {
                self.differs(part, &format!("{}: {}", one.header, arm.unwrap_or("no arm")));
            }
        }
        Ok(())
    }

    /// Why the module gave control in the place of an arm, if it did: it remembers what it has seen, and the clauses do not.
    fn fell_back(&self, experiment: &str) -> Option<&'static str> {
        let of = |reason: &str| {
            self.decision.metrics.iter().any(|metric| {
                let label =
                    |name: &str, value: &str| metric.labels.get(name).is_some_and(|label| label == value);
                metric.name == "ab_uncounted_total"
                    && label("experiment", experiment)
                    && label("reason", reason)
            })
        };
        if of("closed") { Some("closed") } else { of("no_host").then_some("without a host") }
    }

    fn note(&mut self, part: &str, clauses: Vec<explain::Clause>) {
        self.clauses.extend(clauses.into_iter().map(|clause| Clause {
            path: format!("{part}{}", clause.path),
            result: clause.result.map_or_else(|| json!("error"), |result| json!(result)),
            reason: clause.reason,
        }));
    }

    /// The explanation is not that of what was done: that must be seen.
    fn differs(&mut self, part: &str, said: &str) {
        let path = if part.is_empty() { "module".to_owned() } else { format!("{part}module") };
        let reason = format!(
            "the module has decided otherwise than these clauses, of which comes {said}: it is of another version, or this is a bug"
        );
        self.clauses.push(Clause { path, result: json!("error"), reason });
    }
}

/// A recorded exchange as a filter sees it, and whether nothing follows the request's headers.
pub fn stream(recorded: &Recorded, now: u64) -> (Stream, bool) {
    let seen = Seen::new(&recorded.exchange, "");
    let plain = |headers: harness::scenario::Headers| {
        headers.into_iter().map(|(name, value)| (name.lossy(), value.0)).collect()
    };
    let stream = Stream::of(plain(seen.request), plain(seen.response)).at(now);
    let stream = seen.properties.iter().fold(stream, |stream, (path, value)| stream.property(path, value));
    (stream, seen.is_last)
}

/// The body of a recorded request.
pub fn body(recorded: &Recorded) -> Vec<u8> {
    recorded.exchange.request.chunks.iter().flat_map(|chunk| chunk.bytes.0.clone()).collect()
}

/// The bytes of a new visitor's id in a cookie.
fn drawn(cookie: &str) -> Option<Vec<u8>> {
    let value = cookie.split(';').next()?.split_once('=')?.1;
    let pairs = value.as_bytes().as_chunks::<2>().0.iter();
    let byte = |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    (value.len() == 32).then(|| pairs.map(byte).collect())?
}

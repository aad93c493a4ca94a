//! All that left a proxy by its filters, and values in it.

use crate::{
    batch,
    cases::{Case, Forms, Output},
};
use harness::{
    Bytes, Step,
    outcome::{Call, ExchangeOutcome, LogLine},
    scenario::Exchange,
};
use std::fmt::Write as _;

/// Host calls by which a module writes beyond the request and the response.
const WRITES: [&str; 9] = [
    "proxy_log",
    "proxy_define_metric",
    "proxy_set_property",
    "proxy_set_shared_data",
    "proxy_enqueue_shared_queue",
    "proxy_http_call",
    "proxy_grpc_call",
    "proxy_send_local_response",
    "proxy_call_foreign_function",
];

/// What was written, by where.
pub struct Outputs {
    /// The chain, or all-in-one.
    pub of: &'static str,
    texts: Vec<(&'static str, String)>,
}

impl Outputs {
    /// What came of an exchange, and of the time after it.
    pub fn new(of: &'static str, sent: &Exchange, outcome: &ExchangeOutcome) -> Self {
        let mut outputs = Self { of, texts: Vec::new() };
        outputs
            .add("filter state", outcome.state.iter().map(|(key, value)| format!("{key} {}", value.lossy())));
        outputs.add_log(&outcome.log);
        outputs.add("metrics", outcome.metrics.keys().cloned());
        outputs.add_calls(&outcome.calls);
        let is_own = |(name, value): &&(Bytes, Bytes)| {
            !sent.response.headers.iter().any(|(other, sent)| (other, sent) == (name, value))
        };
        let header = |(name, value): &(Bytes, Bytes)| format!("{}: {}", name.lossy(), value.lossy());
        outputs.add("response headers", outcome.response_headers.iter().filter(is_own).map(header));
        outputs.add("response headers", outcome.response_trailers.iter().map(header));
        outputs.add("response body", [outcome.response_body.lossy()]);
        outputs.add("response-code details", [outcome.details.clone()]);
        outputs.add_request(sent, outcome);
        outputs
    }

    fn add(&mut self, place: &'static str, texts: impl IntoIterator<Item = String>) {
        let texts: Vec<String> = texts.into_iter().collect();
        if !texts.is_empty() {
            self.texts.push((place, texts.join("\n")));
        }
    }

    /// Lines of the proxy's log.
    pub fn add_log(&mut self, log: &[LogLine]) {
        self.add("log", log.iter().map(|line| line.text.clone()));
    }

    /// Requests of plugins.
    pub fn add_calls(&mut self, calls: &[Call]) {
        for call in calls {
            let headers =
                call.headers.iter().map(|(name, value)| format!("{}: {}", name.lossy(), value.lossy()));
            self.add("callouts", headers.chain([call.body.lossy()]));
        }
    }

    /// Host calls that write.
    pub fn add_steps(&mut self, steps: &[Step]) {
        for step in steps {
            if let Step::HostCall { name, given, .. } = step
                && WRITES.contains(name)
            {
                self.add("host calls", [format!("{name} {}", given.join(" "))]);
            }
        }
    }

    /// What the filters have written into the request: headers of their own, and what policy redacts before it goes on.
    fn add_request(&mut self, sent: &Exchange, outcome: &ExchangeOutcome) {
        let mut text = String::new();
        for (name, value) in &outcome.request_headers {
            let is_redacted = is_redacted(&name.lossy());
            if name.0 == b":path" {
                _ = writeln!(text, "{}", value.lossy().split_once('?').map_or("", |(_, query)| query));
            } else if name.0 == b"baggage" {
                // The members of others go on as they are.
                let value = value.lossy();
                text.extend(value.split(',').filter(|member| member.trim().starts_with("ab-arms=")));
            } else if name.0.first() != Some(&b':')
                && (is_redacted
                    || !sent.request.headers.iter().any(|(other, sent)| (other, sent) == (name, value)))
            {
                _ = writeln!(text, "{}: {}", name.lossy(), value.lossy());
            }
        }
        self.add("request", [text]);
    }

    /// What there must be of every exchange, or else nothing was tried.
    pub fn missing(&self) -> Option<&'static str> {
        let has = |place: &str, part: &str| {
            self.texts.iter().any(|(other, text)| *other == place && text.contains(part))
        };
        [
            ("filter state", "outrigger.log"),
            ("filter state", "outrigger.policy"),
            ("callouts", "\"logRecords\":[{"),
            ("metrics", "by_header"),
            ("log", "policy_record"),
            ("log", "policy_explain"),
        ]
        .into_iter()
        .find(|(place, part)| !has(place, part))
        .map(|(_, part)| part)
    }

    /// The cases of which the value is in an output, where, and in which form.
    pub fn leaks<'c>(&self, cases: &[(&'c Case, Forms)]) -> Vec<(&'c Case, &'static str, &'static str)> {
        let texts: Vec<&str> = self.texts.iter().map(|(_, text)| text.as_str()).collect();
        let all = texts.join("\n\n");
        let output = Output::new(&all);
        let mut leaks = Vec::new();
        for (case, forms) in cases.iter().filter(|(_, forms)| output.leak(forms).is_some()) {
            for (place, text) in &self.texts {
                if let Some(form) = Output::new(text).leak(forms) {
                    leaks.push((*case, *place, form));
                }
            }
        }
        leaks
    }

    /// All of an output.
    pub fn text_of(&self, place: &str) -> String {
        let texts = self.texts.iter().filter(|(other, _)| *other == place);
        texts.map(|(_, text)| text.as_str()).collect::<Vec<_>>().join("\n")
    }
}

/// Whether policy redacts this header of a request.
fn is_redacted(name: &str) -> bool {
    batch::HEADERS.contains(&name) && !matches!(name, "baggage" | "x-force-arm")
}

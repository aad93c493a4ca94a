//! Allow, deny and audit in the language of Istio's AuthorizationPolicy, exactly, and beyond it.
//!
//! ```json
//! {
//!   "mode": "istio",
//!   "policies": [{
//!     "metadata": {"name": "no-admin", "namespace": "shop"},
//!     "spec": {"action": "DENY", "rules": [{"to": [{"operation": {"paths": ["/admin/*"]}}]}]}
//!   }]
//! }
//! ```

mod address;
mod clock;
mod config;
mod denial;
#[cfg(not(target_arch = "wasm32"))]
mod explain;
mod extension;
mod facts;
mod fields;
mod index;
mod intern;
mod lengths;
mod metadata;
mod normal;
mod pattern;
mod pending;
mod personal;
mod policies;
mod program;
mod record;
mod response;
mod rules;
mod sets;
mod tally;
mod template;
#[cfg(test)]
mod testing;
mod trust;
mod truth;
mod values;

#[cfg(not(target_arch = "wasm32"))]
pub use explain::{Explained, Seen};

use denial::Denial;
use extension::{Extension, Shared};
use facts::Facts;
use filter_kit::{
    Callbacks, ConfigError, Effects, Environment, Filter, View, metrics::Metrics, settings::Field,
};
use index::Index;
use pending::Pending;
use policies::{OnError, Policies};
use program::{Action, Program, Rule};
use record::Record;
use tally::{Tally, Verdict};
use truth::Truth;

#[cfg(feature = "module")]
filter_kit::export!(Policy: request_headers, request_body, request_trailers, response_headers);

/// The filter.
#[derive(Debug)]
pub struct Policy {
    program: Program,
    index: Index,
    policies: Policies,
    on_error: OnError,
    denial: Denial,
    record: Record,
    shared: Shared,
    single_headers: Vec<Box<str>>,
    /// What was dropped from the policies, as Istio drops it.
    dropped: Vec<ConfigError>,
    metrics: Metrics,
}

impl Filter for Policy {
    const NAME: &'static str = "policy";
    const CALLBACKS: Callbacks = Callbacks::REQUEST_HEADERS
        .and(Callbacks::REQUEST_BODY)
        .and(Callbacks::REQUEST_TRAILERS)
        .and(Callbacks::RESPONSE_HEADERS);
    const ONLY_REMEMBERED: Callbacks =
        Callbacks::REQUEST_BODY.and(Callbacks::REQUEST_TRAILERS).and(Callbacks::RESPONSE_HEADERS);
    type Stream = Pending;

    fn compile(config: &Field<'_, '_>, environment: &Environment<'_>) -> Result<Self, ConfigError> {
        config::compile(config, environment)
    }

    fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    fn warnings(&self) -> &[ConfigError] {
        &self.dropped
    }

    fn single_headers(&self) -> &[Box<str>] {
        &self.single_headers
    }

    fn on_request_headers<'a>(&'a self, view: &'a View<'_>, stream: &mut Option<Pending>) -> Effects<'a> {
        let facts = Facts::new(&self.program, view);
        let mut candidates = Vec::new();
        self.index.each_candidate(&facts, self.program.rules.len(), &mut |rule| candidates.push(rule));
        if candidates.is_empty() && !self.policies.has_allow && !self.policies.has_dry_allow {
            let mut effects = Effects::default();
            effects.count(self.record.passed);
            if self.record.has_header() {
                self.mark(Verdict::Allow(None), &mut effects);
            }
            return effects;
        }
        let tally = self.judge(&facts, candidates);
        self.begin(view, tally, stream)
    }

    fn on_request_body<'a>(&'a self, view: &'a View<'_>, stream: &mut Option<Pending>) -> Effects<'a> {
        self.body(view, stream)
    }

    fn on_request_trailers<'a>(&'a self, _: &'a View<'_>, stream: &mut Option<Pending>) -> Effects<'a> {
        self.trailers(stream)
    }

    fn on_response_headers<'a>(&'a self, view: &'a View<'_>, stream: &mut Option<Pending>) -> Effects<'a> {
        self.response(view, stream)
    }
}

impl Policy {
    /// What the rules say that the request may concern.
    #[inline(never)]
    fn judge(&self, facts: &Facts<'_>, mut candidates: Vec<u32>) -> Tally {
        filter_kit::sort_unique(&mut candidates);
        let mut tally = Tally::default();
        for candidate in candidates {
            if let Some(rule) = self.program.rules.get(candidate as usize) {
                let truth = self.holds(rule, facts);
                let waits = |extension: &Extension| extension.body.is_some() || extension.response.is_some();
                if truth != Truth::False && rule.extension.as_deref().is_some_and(waits) {
                    tally.waiting.push((candidate, truth));
                } else {
                    tally.note(candidate, truth);
                }
                // AUDIT rules came before it, and nothing that comes after it changes what is done.
                if truth == Truth::True
                    && rule.action == Action::Deny
                    && tally.waiting.is_empty()
                    && !self.policies.has_dry
                {
                    break;
                }
            }
        }
        tally
    }

    /// What a rule says: one of `from`, one of `to`, all of `when`, and what goes beyond.
    fn holds(&self, rule: &Rule, facts: &Facts<'_>) -> Truth {
        let group = |group| Truth::all(self.program.group(group).map(|test| facts.test(test)));
        let any = |groups: &std::ops::Range<u32>| {
            if groups.is_empty() { Truth::True } else { Truth::any(groups.clone().map(group)) }
        };
        let parts = [&rule.to, &rule.from];
        let mut truth = group(rule.when);
        for part in parts {
            if truth == Truth::False {
                return truth;
            }
            truth = truth.and(any(part));
        }
        match &rule.extension {
            Some(extension) if truth != Truth::False => truth.and(extension.holds(facts, &self.shared)),
            _ => truth,
        }
    }
}

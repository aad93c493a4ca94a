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
mod config;
mod denial;
mod extension;
mod facts;
mod index;
mod intern;
mod metadata;
mod normal;
mod pattern;
mod policies;
mod program;
mod record;
mod rules;
mod tally;
mod template;
#[cfg(test)]
mod testing;
mod trust;
mod truth;
mod values;

use denial::Denial;
use extension::Shared;
use facts::Facts;
use filter_kit::{
    Callbacks, ConfigError, Effects, Environment, Filter, View, metrics::Metrics, settings::Field,
};
use index::Index;
use policies::{OnError, Policies};
use program::{Program, Rule};
use record::Record;
use tally::Tally;
use truth::Truth;

#[cfg(feature = "module")]
filter_kit::export!(Policy: request_headers);

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
    metrics: Metrics,
}

impl Filter for Policy {
    const NAME: &'static str = "policy";
    const CALLBACKS: Callbacks = Callbacks::REQUEST_HEADERS;
    type Stream = ();

    fn compile(config: &Field<'_, '_>, environment: &Environment<'_>) -> Result<Self, ConfigError> {
        config::compile(config, environment)
    }

    fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    fn single_headers(&self) -> &[Box<str>] {
        &self.single_headers
    }

    fn on_request_headers<'a>(&'a self, view: &'a View<'_>, _: &mut Option<()>) -> Effects<'a> {
        let mut effects = Effects::default();
        let facts = Facts::new(&self.program, view);
        let tally = self.judge(&facts);
        let verdict = tally.verdict(&self.program, &self.policies, self.on_error, false);
        self.settle(&tally, verdict, &mut effects);
        effects
    }
}

impl Policy {
    /// What the rules say that the request may concern.
    fn judge(&self, facts: &Facts<'_>) -> Tally {
        let mut candidates = Vec::new();
        self.index.each_candidate(facts, self.program.rules.len(), &mut |rule| candidates.push(rule));
        candidates.sort_unstable();
        candidates.dedup();
        let mut tally = Tally::default();
        for candidate in candidates {
            if let Some(rule) = self.program.rules.get(candidate as usize) {
                tally.note(candidate, self.holds(rule, facts));
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

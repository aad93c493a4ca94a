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
#[cfg(not(target_arch = "wasm32"))]
mod analyse;
mod ask;
mod bucket;
mod candidate;
mod clock;
mod config;
mod denial;
mod explain;
mod extension;
mod facts;
mod fields;
mod index;
mod intern;
mod lengths;
mod line;
mod metadata;
mod normal;
mod pattern;
mod pending;
mod personal;
mod policies;
mod policy_set;
mod program;
mod record;
mod response;
mod rules;
mod sets;
mod tally;
mod template;
mod trust;
mod truth;
mod values;

#[cfg(not(target_arch = "wasm32"))]
pub use analyse::{Analysis, Caveat, Finding, Kind, Place, Said};
#[cfg(not(target_arch = "wasm32"))]
pub use explain::{Explained, Seen};

use ask::Ask;
use candidate::Candidate;
use denial::Denial;
use extension::Shared;
use facts::Known;
use filter_kit::{
    Bounded, Callbacks, ConfigError, Effects, Environment, Filter, Level, MetricChange, View,
    metrics::Metrics, settings::Field,
};
use pending::Pending;
use policy_set::PolicySet;
use record::Record;
use tally::Verdict;

pub use ask::{LONGEST as LONGEST_SECONDS, sign};
pub use record::STATE;

#[cfg(feature = "module")]
filter_kit::export!(Policy: request_headers, request_body, request_trailers, response_headers);

/// The filter.
#[derive(Debug)]
pub struct Policy {
    live: PolicySet,
    /// A set that is tried beside it.
    candidate: Option<Candidate>,
    /// Why there is no such set, where the configuration has one.
    refused: Option<ConfigError>,
    /// Who may ask why.
    ask: Option<Ask>,
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

    fn on_configured<'a>(&'a self, _: &'a View<'_>) -> Effects<'a> {
        let mut effects = Effects::default();
        let is_refused = u64::from(self.refused.is_some());
        effects.measure(MetricChange::Known(self.record.refused, is_refused));
        if let Some(error) = &self.refused {
            let text = ["policy: candidate refused: ", &error.to_string()].concat();
            effects.log(Level::Error, Bounded::own(text));
        }
        effects
    }

    fn single_headers(&self) -> &[Box<str>] {
        &self.single_headers
    }

    fn on_request_headers<'a>(&'a self, view: &'a View<'_>, stream: &mut Option<Pending>) -> Effects<'a> {
        let mut effects = self.headers(view, stream);
        if let Some(ask) = &self.ask
            && view.request_header(ask.header.as_str()).is_some()
        {
            self.answer(ask, view, stream, &mut effects);
        }
        effects
    }

    fn on_request_body<'a>(&'a self, view: &'a View<'_>, stream: &mut Option<Pending>) -> Effects<'a> {
        self.body(view, stream)
    }

    fn on_request_trailers<'a>(&'a self, view: &'a View<'_>, stream: &mut Option<Pending>) -> Effects<'a> {
        self.trailers(view, stream)
    }

    fn on_response_headers<'a>(&'a self, view: &'a View<'_>, stream: &mut Option<Pending>) -> Effects<'a> {
        self.response(view, stream)
    }
}

impl Policy {
    /// Why the configuration's candidate is left out, if it is.
    pub fn refused(&self) -> Option<&ConfigError> {
        self.refused.as_ref()
    }

    /// Decides by the request's headers.
    #[inline]
    fn headers<'a>(&'a self, view: &'a View<'_>, stream: &mut Option<Pending>) -> Effects<'a> {
        let known = Known::new(view);
        let found = self.live.found(&known);
        let beside = match &self.candidate {
            Some(candidate) => candidate.set.found(&known),
            None => Vec::new(),
        };
        let passes = |candidate: &Candidate| candidate.set.lets_pass(&beside);
        if self.live.lets_pass(&found) && self.candidate.as_ref().is_none_or(passes) {
            let mut effects = Effects::default();
            effects.count(self.record.passed);
            if self.record.has_header() {
                self.mark(Verdict::Allow(None), &mut effects);
            }
            return effects;
        }
        self.begin(view, &known, (found, beside), stream)
    }
}

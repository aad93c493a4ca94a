//! Metrics, access logs, policy and A/B routing in one module: one VM, one context a request, one snapshot of each header map.
//!
//! ```json
//! {
//!   "metrics": {},
//!   "access_log": {"outputs": {"filter_state": {}}},
//!   "policy": {"policies": []},
//!   "ab_routing": {"experiments": []}
//! }
//! ```
//!
//! It behaves as the four modules in a chain do, in this order. Each part has the configuration of its own filter; one that is left out makes no host
//! call. Requests go through the parts in their order, responses the other way.

mod parts;

use ab_routing::AbRouting;
use access_log::AccessLog;
use filter_kit::{
    Callbacks, ConfigError, Effects, Environment, Filter, Phase, SINGLE_LIMIT, View, metrics::Metrics,
    settings::Field,
};
use metrics::MetricsFilter;
use parts::{AB_ROUTING, ACCESS_LOG, METRICS, POLICY, Streams, wants};
use policy::Policy;
use std::time::Duration;

#[cfg(feature = "module")]
filter_kit::export!(AllInOne: request_headers, request_body, request_trailers, response_headers, response_body, log, tick, callout);

/// The filter.
#[derive(Debug)]
pub struct AllInOne {
    metrics: Option<MetricsFilter>,
    access_log: Option<AccessLog>,
    policy: Option<Policy>,
    ab_routing: Option<AbRouting>,
    single_headers: Vec<Box<str>>,
    /// It has none of its own.
    own: Metrics,
}

/// A part's filter, where its configuration is there.
fn part<F: Filter>(field: &Field<'_, '_>, environment: &Environment<'_>) -> Result<Option<F>, ConfigError> {
    if field.is_given() { F::compile(field, environment).map(Some) } else { Ok(None) }
}

impl Filter for AllInOne {
    const NAME: &'static str = "all-in-one";
    const CALLBACKS: Callbacks =
        MetricsFilter::CALLBACKS.and(AccessLog::CALLBACKS).and(Policy::CALLBACKS).and(AbRouting::CALLBACKS);
    /// What every part that has the callback leaves out where nothing is remembered.
    const ONLY_REMEMBERED: Callbacks = Callbacks::REQUEST_BODY
        .and(Callbacks::REQUEST_TRAILERS)
        .and(Callbacks::RESPONSE_HEADERS)
        .and(Callbacks::RESPONSE_BODY);
    const PARTS: u32 = parts::COUNT;
    const BRIEF: Callbacks = Self::ONLY_REMEMBERED;
    type Stream = Box<Streams>;

    fn compile(config: &Field<'_, '_>, environment: &Environment<'_>) -> Result<Self, ConfigError> {
        config.only(&["metrics", "access_log", "policy", "ab_routing"]);
        let mut filter = Self {
            metrics: part(&config.get("metrics"), environment)?,
            access_log: part(&config.get("access_log"), environment)?,
            policy: part(&config.get("policy"), environment)?,
            ab_routing: part(&config.get("ab_routing"), environment)?,
            single_headers: Vec::new(),
            own: Metrics::default(),
        };
        // What policies say of a request stands in its line of the access log.
        if let (Some(policy), Some(_)) = (&mut filter.policy, &filter.access_log) {
            policy.leave_log();
        }
        // The arm is chosen behind metrics.
        if let (Some(metrics), Some(_)) = (&mut filter.metrics, &filter.ab_routing) {
            metrics.read_arm_at_end();
        }
        filter.single_headers = filter.singles();
        config.finish(filter)
    }

    fn metrics(&self) -> &Metrics {
        &self.own
    }

    fn part(&self, part: u32) -> Option<&Metrics> {
        match (part, Self::PARTS) {
            METRICS => self.metrics.as_ref().map(Filter::metrics),
            ACCESS_LOG => self.access_log.as_ref().map(Filter::metrics),
            POLICY => self.policy.as_ref().map(Filter::metrics),
            _ => self.ab_routing.as_ref().map(Filter::metrics),
        }
    }

    fn warnings(&self) -> &[ConfigError] {
        self.policy.as_ref().map_or(&[], Filter::warnings)
    }

    fn inherit(&mut self, old: &Self) {
        if let (Some(new), Some(old)) = (&mut self.access_log, &old.access_log) {
            new.inherit(old);
        }
    }

    fn on_configured<'a>(&'a self, view: &'a View<'_>) -> Effects<'a> {
        let mut all = Effects::default();
        if let Some(policy) = &self.policy {
            all.join(POLICY, policy.on_configured(view));
        }
        if let Some(ab_routing) = &self.ab_routing {
            all.join(AB_ROUTING, ab_routing.on_configured(view));
        }
        all
    }

    fn tick_period(&self) -> Option<Duration> {
        let periods = [
            self.access_log.as_ref().and_then(Filter::tick_period),
            self.ab_routing.as_ref().and_then(Filter::tick_period),
        ];
        periods.into_iter().flatten().min()
    }

    fn single_headers(&self) -> &[Box<str>] {
        &self.single_headers
    }

    fn brief(streams: &mut Box<Streams>, phase: Phase, size: usize) -> bool {
        // What the policy holds back comes again, with what is new.
        !wants::<AccessLog>(streams.access_log.is_some(), phase)
            && !wants::<Policy>(streams.policy.is_some(), phase)
            && !wants::<AbRouting>(streams.ab_routing.is_some(), phase)
            && streams.held_body == 0
            && streams.metrics.as_mut().is_none_or(|seen| MetricsFilter::brief(seen, phase, size))
    }

    fn on_request_headers<'a>(
        &'a self,
        view: &'a View<'_>,
        stream: &mut Option<Box<Streams>>,
    ) -> Effects<'a> {
        let mut streams = Streams::default();
        let mut all = Effects::default();
        if let Some(metrics) = &self.metrics {
            all.join(METRICS, metrics.on_request_headers(view, &mut streams.metrics));
        }
        if let Some(access_log) = &self.access_log {
            all.join(ACCESS_LOG, access_log.on_request_headers(view, &mut streams.access_log));
        }
        if let Some(policy) = &self.policy {
            let effects = policy.on_request_headers(view, &mut streams.policy);
            let is_end = effects.is_end();
            streams.is_held = is_end;
            if !is_end && self.ab_routing.is_some() {
                view.follow(&effects);
            }
            streams.note_record(&effects);
            all.join(POLICY, effects);
        }
        if !streams.is_held
            && let Some(ab_routing) = &self.ab_routing
        {
            all.join(AB_ROUTING, ab_routing.on_request_headers(view, &mut streams.ab_routing));
        }
        if streams.is_worth_keeping() {
            *stream = Some(Box::new(streams));
        }
        all
    }

    fn on_request_body<'a>(&'a self, view: &'a View<'_>, stream: &mut Option<Box<Streams>>) -> Effects<'a> {
        let mut all = Effects::default();
        let Some(mut streams) = stream.take() else { return all };
        // The filters before the policy have let pass what it holds back, and see what is new.
        view.skip_body(streams.held_body);
        if let Some(metrics) = &self.metrics
            && wants::<MetricsFilter>(streams.metrics.is_some(), Phase::RequestBody)
        {
            all.join(METRICS, metrics.on_request_body(view, &mut streams.metrics));
        }
        if let Some(access_log) = &self.access_log
            && wants::<AccessLog>(streams.access_log.is_some(), Phase::RequestBody)
        {
            all.join(ACCESS_LOG, access_log.on_request_body(view, &mut streams.access_log));
        }
        view.skip_body(0);
        if let Some(policy) = &self.policy
            && wants::<Policy>(streams.policy.is_some(), Phase::RequestBody)
        {
            let effects = policy.on_request_body(view, &mut streams.policy);
            let is_end = effects.is_end();
            streams.held_body = if is_end { view.body_size() } else { 0 };
            streams.note_record(&effects);
            all.join(POLICY, effects);
            if !is_end {
                self.release(view, &mut streams, &mut all);
            }
        }
        if streams.is_worth_keeping() {
            *stream = Some(streams);
        }
        all
    }

    fn on_request_trailers<'a>(
        &'a self,
        view: &'a View<'_>,
        stream: &mut Option<Box<Streams>>,
    ) -> Effects<'a> {
        let mut all = Effects::default();
        let Some(mut streams) = stream.take() else { return all };
        if let Some(policy) = &self.policy
            && wants::<Policy>(streams.policy.is_some(), Phase::RequestTrailers)
        {
            let effects = policy.on_request_trailers(view, &mut streams.policy);
            let is_end = effects.is_end();
            streams.note_record(&effects);
            all.join(POLICY, effects);
            if !is_end {
                self.release(view, &mut streams, &mut all);
            }
        }
        if streams.is_worth_keeping() {
            *stream = Some(streams);
        }
        all
    }

    fn on_response_headers<'a>(
        &'a self,
        view: &'a View<'_>,
        stream: &mut Option<Box<Streams>>,
    ) -> Effects<'a> {
        let mut all = Effects::default();
        let Some(mut streams) = stream.take() else { return all };
        if let Some(ab_routing) = &self.ab_routing
            && wants::<AbRouting>(streams.ab_routing.is_some(), Phase::ResponseHeaders)
        {
            let effects = ab_routing.on_response_headers(view, &mut streams.ab_routing);
            view.follow(&effects);
            all.join(AB_ROUTING, effects);
        }
        let mut is_end = false;
        if let Some(policy) = &self.policy
            && wants::<Policy>(streams.policy.is_some(), Phase::ResponseHeaders)
        {
            let effects = policy.on_response_headers(view, &mut streams.policy);
            is_end = effects.is_end();
            streams.note_record(&effects);
            all.join(POLICY, effects);
        }
        if !is_end
            && let Some(metrics) = &self.metrics
            && wants::<MetricsFilter>(streams.metrics.is_some(), Phase::ResponseHeaders)
        {
            all.join(METRICS, metrics.on_response_headers(view, &mut streams.metrics));
        }
        if streams.is_worth_keeping() {
            *stream = Some(streams);
        }
        all
    }

    fn on_response_body<'a>(&'a self, view: &'a View<'_>, stream: &mut Option<Box<Streams>>) -> Effects<'a> {
        let mut all = Effects::default();
        if let Some(streams) = stream
            && let Some(metrics) = &self.metrics
        {
            all.join(METRICS, metrics.on_response_body(view, &mut streams.metrics));
        }
        all
    }

    fn on_log<'a>(&'a self, view: &'a View<'_>, stream: &mut Option<Box<Streams>>) -> Effects<'a> {
        let mut streams = stream.take().map(|streams| *streams).unwrap_or_default();
        let mut all = Effects::default();
        if let Some(metrics) = &self.metrics {
            all.join(METRICS, metrics.on_log(view, &mut streams.metrics));
        }
        if let Some(access_log) = &self.access_log {
            all.join(ACCESS_LOG, access_log.on_log(view, &mut streams.access_log));
        }
        all
    }

    fn on_callout<'a>(
        &'a self,
        view: &'a View<'_>,
        stream: &mut Option<Box<Streams>>,
        tag: u32,
    ) -> Effects<'a> {
        let mut all = Effects::default();
        if let Some(access_log) = &self.access_log {
            let mut none = None;
            let seen = stream.as_mut().map_or(&mut none, |streams| &mut streams.access_log);
            all.join(ACCESS_LOG, access_log.on_callout(view, seen, tag));
        }
        all
    }

    fn on_tick<'a>(&'a self, view: &'a View<'_>) -> Effects<'a> {
        let mut all = Effects::default();
        if let Some(access_log) = &self.access_log {
            all.join(ACCESS_LOG, access_log.on_tick(view));
        }
        if let Some(ab_routing) = &self.ab_routing {
            all.join(AB_ROUTING, ab_routing.on_tick(view));
        }
        all
    }
}

impl AllInOne {
    /// The headers that all parts together read one by one: none where one part reads others, or they are too many.
    fn singles(&self) -> Vec<Box<str>> {
        let names = |filter: Option<&[Box<str>]>| filter.map(<[Box<str>]>::to_vec);
        let all = [
            names(self.metrics.as_ref().map(Filter::single_headers)),
            names(self.access_log.as_ref().map(Filter::single_headers)),
            names(self.policy.as_ref().map(Filter::single_headers)),
            names(self.ab_routing.as_ref().map(Filter::single_headers)),
        ];
        if all.iter().flatten().any(Vec::is_empty) {
            return Vec::new();
        }
        let mut all: Vec<_> = all.into_iter().flatten().flatten().collect();
        filter_kit::sort_unique(&mut all);
        if all.len() > SINGLE_LIMIT { Vec::new() } else { all }
    }

    /// The policy lets go what it has held: where that is the headers, the filter behind it sees them now.
    fn release<'a>(&'a self, view: &'a View<'_>, streams: &mut Streams, all: &mut Effects<'a>) {
        if !std::mem::take(&mut streams.is_held) {
            return;
        }
        if let Some(ab_routing) = &self.ab_routing {
            let here = view.phase();
            view.enter(Phase::RequestHeaders);
            let effects = ab_routing.on_request_headers(view, &mut streams.ab_routing);
            view.enter(here);
            all.release();
            all.join(AB_ROUTING, effects);
        }
    }
}

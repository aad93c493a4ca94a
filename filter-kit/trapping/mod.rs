//! A filter with a way to trap, which it has not: a request with the header `x-trap`. The filters' examples `trapping_...` are it, and show what a trap
//! takes with it and what outlives a reload of the VM.

use filter_kit::{
    Callbacks, ConfigError, Effects, Environment, Filter, Phase, View, metrics::Metrics, settings::Field,
};
use std::time::Duration;

/// The filter.
pub struct Trapping<F>(F);

impl<F: Filter> Filter for Trapping<F> {
    const NAME: &'static str = F::NAME;
    const CALLBACKS: Callbacks = F::CALLBACKS;
    const ONLY_REMEMBERED: Callbacks = F::ONLY_REMEMBERED;
    const HAS_LABELS: bool = F::HAS_LABELS;
    const PARTS: u32 = F::PARTS;
    const BRIEF: Callbacks = F::BRIEF;
    type Stream = F::Stream;

    fn compile(config: &Field<'_, '_>, environment: &Environment<'_>) -> Result<Self, ConfigError> {
        F::compile(config, environment).map(Self)
    }

    fn metrics(&self) -> &Metrics {
        self.0.metrics()
    }

    fn part(&self, part: u32) -> Option<&Metrics> {
        self.0.part(part)
    }

    fn warnings(&self) -> &[ConfigError] {
        self.0.warnings()
    }

    fn inherit(&mut self, old: &Self) {
        self.0.inherit(&old.0);
    }

    fn on_configured<'a>(&'a self, view: &'a View<'_>) -> Effects<'a> {
        self.0.on_configured(view)
    }

    fn tick_period(&self) -> Option<Duration> {
        self.0.tick_period()
    }

    fn single_headers(&self) -> &[Box<str>] {
        self.0.single_headers()
    }

    fn brief(stream: &mut F::Stream, phase: Phase, size: usize) -> bool {
        F::brief(stream, phase, size)
    }

    fn on_request_headers<'a>(&'a self, view: &'a View<'_>, stream: &mut Option<F::Stream>) -> Effects<'a> {
        assert!(view.request_header("x-trap").is_none(), "a request has asked for a trap");
        self.0.on_request_headers(view, stream)
    }

    fn on_request_body<'a>(&'a self, view: &'a View<'_>, stream: &mut Option<F::Stream>) -> Effects<'a> {
        self.0.on_request_body(view, stream)
    }

    fn on_request_trailers<'a>(&'a self, view: &'a View<'_>, stream: &mut Option<F::Stream>) -> Effects<'a> {
        self.0.on_request_trailers(view, stream)
    }

    fn on_response_headers<'a>(&'a self, view: &'a View<'_>, stream: &mut Option<F::Stream>) -> Effects<'a> {
        self.0.on_response_headers(view, stream)
    }

    fn on_response_body<'a>(&'a self, view: &'a View<'_>, stream: &mut Option<F::Stream>) -> Effects<'a> {
        self.0.on_response_body(view, stream)
    }

    fn on_response_trailers<'a>(&'a self, view: &'a View<'_>, stream: &mut Option<F::Stream>) -> Effects<'a> {
        self.0.on_response_trailers(view, stream)
    }

    fn on_log<'a>(&'a self, view: &'a View<'_>, stream: &mut Option<F::Stream>) -> Effects<'a> {
        self.0.on_log(view, stream)
    }

    fn on_callout<'a>(&'a self, view: &'a View<'_>, stream: &mut Option<F::Stream>, tag: u32) -> Effects<'a> {
        self.0.on_callout(view, stream, tag)
    }

    fn on_tick<'a>(&'a self, view: &'a View<'_>) -> Effects<'a> {
        self.0.on_tick(view)
    }
}

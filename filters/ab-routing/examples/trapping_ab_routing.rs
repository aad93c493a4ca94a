//! ab-routing with a way to trap, which it has not: a request with the header `x-trap`. It shows what outlives a reload of the VM.

use ab_routing::{AbRouting, Pending};
use filter_kit::{
    Callbacks, ConfigError, Effects, Environment, Filter, View, metrics::Metrics, settings::Field,
};
use std::time::Duration;

/// The filter.
pub struct Trapping(AbRouting);

impl Filter for Trapping {
    const NAME: &'static str = AbRouting::NAME;
    const CALLBACKS: Callbacks = AbRouting::CALLBACKS;
    type Stream = Box<Pending>;

    fn compile(config: &Field<'_, '_>, environment: &Environment<'_>) -> Result<Self, ConfigError> {
        AbRouting::compile(config, environment).map(Self)
    }

    fn metrics(&self) -> &Metrics {
        self.0.metrics()
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

    fn on_tick<'a>(&'a self, view: &'a View<'_>) -> Effects<'a> {
        self.0.on_tick(view)
    }

    fn on_request_headers<'a>(
        &'a self,
        view: &'a View<'_>,
        stream: &mut Option<Box<Pending>>,
    ) -> Effects<'a> {
        if view.request_header("x-trap").is_some() {
            std::process::abort();
        }
        self.0.on_request_headers(view, stream)
    }

    fn on_response_headers<'a>(
        &'a self,
        view: &'a View<'_>,
        stream: &mut Option<Box<Pending>>,
    ) -> Effects<'a> {
        self.0.on_response_headers(view, stream)
    }
}

#[cfg(target_arch = "wasm32")]
filter_kit::export!(Trapping: request_headers, response_headers, tick);

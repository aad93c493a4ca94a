//! A filter that does nothing: what the kit's own dispatch costs, for the bench.

use filter_kit::{Callbacks, ConfigError, Environment, Filter, metrics::Metrics};

/// No configuration.
#[derive(Default)]
pub struct Config {}

filter_kit::fields!(Config {});

/// No logic.
pub struct Noop(Metrics);

impl Filter for Noop {
    const NAME: &'static str = "kit_noop";
    const CALLBACKS: Callbacks = Callbacks::REQUEST_HEADERS;
    type Config = Config;
    type Stream = ();

    fn compile(_: Config, _: &Environment<'_>) -> Result<Self, ConfigError> {
        Ok(Self(Metrics::default()))
    }

    fn metrics(&self) -> &Metrics {
        &self.0
    }
}

#[cfg(target_arch = "wasm32")]
filter_kit::export!(Noop: request_headers);

//! A filter that does nothing: what the kit's own dispatch costs, for the bench.

use filter_kit::{Callbacks, ConfigError, Environment, Filter, metrics::Metrics, settings::Field};

/// No logic.
pub struct Noop(Metrics);

impl Filter for Noop {
    const NAME: &'static str = "kit_noop";
    const CALLBACKS: Callbacks = Callbacks::REQUEST_HEADERS;
    type Stream = ();

    fn compile(config: &Field<'_, '_>, _: &Environment<'_>) -> Result<Self, ConfigError> {
        config.only(&[]);
        Ok(Self(Metrics::default()))
    }

    fn metrics(&self) -> &Metrics {
        &self.0
    }
}

#[cfg(target_arch = "wasm32")]
filter_kit::export!(Noop: request_headers);

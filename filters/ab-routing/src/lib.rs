//! Sticky A/B routing: the same user always gets the same arm, in the mesh and in the application.
//!
//! ```json
//! {
//!   "experiments": [
//!     {
//!       "name": "checkout",
//!       "key": [{"header": "x-user-id"}],
//!       "visitor_cookie": {"name": "visitor"},
//!       "arms": [{"name": "control", "weight": 9000}, {"name": "b", "weight": 1000}]
//!     }
//!   ]
//! }
//! ```

mod health;
mod pass;
mod response;

#[cfg(not(target_arch = "wasm32"))]
pub use pass::explain::Explained;
pub use response::Pending;

use experiments::{ArmHeader, Experiments};
use filter_kit::{
    Callbacks, ConfigError, Effects, Environment, Filter, View, metrics::Metrics, settings::Field,
};
use pass::Pass;
use std::time::Duration;

#[cfg(feature = "module")]
filter_kit::export!(AbRouting: request_headers, response_headers, tick);

/// The filter.
#[derive(Debug)]
pub struct AbRouting(Experiments);

impl Filter for AbRouting {
    const NAME: &'static str = "ab-routing";
    const HAS_LABELS: bool = false;
    const CALLBACKS: Callbacks =
        Callbacks::REQUEST_HEADERS.and(Callbacks::RESPONSE_HEADERS).and(Callbacks::TICK);
    const ONLY_REMEMBERED: Callbacks = Callbacks::RESPONSE_HEADERS;
    type Stream = Box<Pending>;

    fn compile(config: &Field<'_, '_>, environment: &Environment<'_>) -> Result<Self, ConfigError> {
        Experiments::compile(config, environment).map(Self)
    }

    fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    fn on_configured<'a>(&'a self, view: &'a View<'_>) -> Effects<'a> {
        if self.0.has_health() { health::begin(&self.0, view) } else { Effects::default() }
    }

    fn tick_period(&self) -> Option<Duration> {
        self.0.has_health().then_some(health::PERIOD)
    }

    fn on_tick<'a>(&'a self, view: &'a View<'_>) -> Effects<'a> {
        health::tick(&self.0, view)
    }

    fn single_headers(&self) -> &[Box<str>] {
        &self.0.single_headers
    }

    fn on_request_headers<'a>(
        &'a self,
        view: &'a View<'_>,
        stream: &mut Option<Box<Pending>>,
    ) -> Effects<'a> {
        let mut effects = Effects::default();
        let mut pass = Pass::new(&self.0, view);
        let found = self.0.overrides.as_ref().map(|overrides| (overrides, overrides.find(view)));
        let asked = match &found {
            Some((overrides, (Some(list), places))) => {
                let asked = overrides.honour(list, view);
                pass.settle(overrides, *places, asked.is_some(), &mut effects);
                asked
            }
            _ => None,
        };
        if let Some(propagation) = &self.0.propagation {
            pass.carry(propagation, &mut effects);
        }
        let mut left = self.0.everyone;
        if !self.0.paths.is_empty() {
            left &= !self.0.paths.ruled_out(view.path());
        }
        let is_special = self.0.is_special || asked.is_some();
        let mut written = 0;
        while left != 0 {
            let place = left.trailing_zeros() as usize;
            left &= left - 1;
            let Some(experiment) = self.0.all.get(place) else { break };
            let Some(header) = self.0.headers.get(experiment.header) else { break };
            if written & header.bit != 0 {
                continue;
            }
            let is_written = if is_special || !experiment.is_plain {
                pass.enter_specially(place, experiment, header, asked, &mut effects)
            } else {
                pass.enter(experiment, header, &mut effects)
            };
            if is_written {
                written |= header.bit;
            }
        }
        // A client's own value is gone where an arm was written. To look for one costs a host call, so there it is done only to be counted.
        if let [header] = self.0.headers.as_slice() {
            let is_written = written & header.bit != 0;
            if (!is_written || self.0.forged.is_some()) && view.request_header(header.name.as_str()).is_some()
            {
                self.strip(header, is_written, &mut effects);
            }
        } else if written.count_ones() as usize != self.0.headers.len() || self.0.forged.is_some() {
            self.strip_several(view, written, &mut effects);
        }
        if pass.is_open() {
            *stream = pass.finish(&mut effects);
        }
        effects
    }

    fn on_response_headers<'a>(
        &'a self,
        view: &'a View<'_>,
        stream: &mut Option<Box<Pending>>,
    ) -> Effects<'a> {
        match stream.take() {
            Some(pending) => response::answer(&self.0, &pending, view),
            None => Effects::default(),
        }
    }
}

impl AbRouting {
    /// Looks for client's own values of several headers, in one walk over the request's.
    #[inline(never)]
    fn strip_several<'a>(&'a self, view: &View<'_>, written: u128, effects: &mut Effects<'a>) {
        let mut seen = 0;
        view.request_headers().each_name(self.0.header_lengths, &mut |name| {
            for header in &self.0.headers {
                let own = header.name.as_str().as_bytes();
                // Most names of one length differ at their end.
                if own.len() != name.len() || own.last() != name.last() || own != name {
                    continue;
                }
                // Of several values one counts.
                if seen & header.bit == 0 {
                    seen |= header.bit;
                    self.strip(header, written & header.bit != 0, effects);
                }
            }
        });
    }

    /// Counts a header that a client forged, if that is asked for, and removes it unless an arm has taken its place.
    #[cold]
    fn strip<'a>(&'a self, header: &'a ArmHeader, is_written: bool, effects: &mut Effects<'a>) {
        if let Some(forged) = self.0.forged {
            effects.count(forged);
        }
        if !is_written {
            effects.remove_request_header(&header.name);
        }
    }
}

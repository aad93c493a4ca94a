//! Sticky A/B routing: the same user always gets the same arm.
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

mod allocation;
mod bucket;
mod config;
mod cookie;
mod experiment;

pub use allocation::{Allocation, SLOTS};
pub use bucket::Bucket;
pub use config::{ArmConfig, Config, ExperimentConfig, KeyConfig};
pub use cookie::{CookieConfig, SameSite};

use cookie::{VisitorCookie, VisitorId};
use experiment::{Experiment, Key};
use filter_kit::{
    Bounded, Callbacks, ConfigError, Effects, Filter, HeaderName, View,
    metrics::{Metrics, SeriesId},
};

#[cfg(feature = "module")]
filter_kit::export!(AbRouting: request_headers, response_headers);

/// The filter: experiments in the order in which they are tried, and what they share.
#[derive(Debug)]
pub struct AbRouting {
    experiments: Box<[Experiment]>,
    /// The arms' headers, each once. A client's own value of any of them never survives.
    headers: Box<[HeaderName]>,
    /// The cookies for new visitors, each once.
    cookies: Box<[VisitorCookie]>,
    set_cookie: HeaderName,
    stripped: SeriesId,
    metrics: Metrics,
}

/// What is remembered of a stream whose client gets a cookie: the new visitor's id, and which cookies carry it.
#[derive(Debug)]
pub struct NewVisitor {
    id: VisitorId,
    cookies: u128,
}

impl Filter for AbRouting {
    const NAME: &'static str = "ab-routing";
    const CALLBACKS: Callbacks = Callbacks::REQUEST_HEADERS.and(Callbacks::RESPONSE_HEADERS);
    type Config = Config;
    type Stream = NewVisitor;

    fn compile(config: Config) -> Result<Self, ConfigError> {
        config::compile(&config)
    }

    fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    fn on_request_headers<'a>(&'a self, view: &'a View<'_>, stream: &mut Option<NewVisitor>) -> Effects<'a> {
        let mut effects = Effects::default();
        let mut written = 0_u128;
        for experiment in &self.experiments {
            let bit = 1 << experiment.header;
            if written & bit != 0 || !experiment.is_for(view) {
                continue;
            }
            let Some(name) = self.headers.get(experiment.header) else { continue };
            let arm = match experiment.key(view, &self.cookies, stream) {
                Key::Known(key) => experiment.assign(&key),
                Key::Refused(reason) => Err(reason),
            };
            match arm {
                Ok(arm) => {
                    written |= bit;
                    effects.set_request_header(name, arm.name.as_bytes());
                    effects.count(arm.exposures);
                }
                Err(reason) => effects.count(experiment.skipped[reason]),
            }
        }
        for (index, name) in self.headers.iter().enumerate() {
            if view.request_header(name.as_str()).is_some() {
                effects.count(self.stripped);
                if written & (1 << index) == 0 {
                    effects.remove_request_header(name);
                }
            }
        }
        effects
    }

    fn on_response_headers<'a>(&'a self, _: &'a View<'_>, stream: &mut Option<NewVisitor>) -> Effects<'a> {
        let mut effects = Effects::default();
        let Some(visitor) = stream.take() else { return effects };
        for (index, cookie) in self.cookies.iter().enumerate() {
            if visitor.cookies & (1 << index) != 0 {
                effects.add_response_header(&self.set_cookie, Bounded::own(cookie.set(&visitor.id)));
            }
        }
        effects
    }
}

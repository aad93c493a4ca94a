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
use experiment::Experiment;
use filter_kit::{
    Bounded, Callbacks, ConfigError, Effects, Environment, Filter, HeaderName, View,
    metrics::{Metrics, SeriesId},
};

#[cfg(feature = "module")]
filter_kit::export!(AbRouting: request_headers, response_headers);

/// The filter: experiments in the order in which they are tried, and what they share.
#[derive(Debug)]
pub struct AbRouting {
    experiments: Box<[Experiment]>,
    /// The arms' headers, each once. A client's own value of any of them never survives.
    headers: Box<[ArmHeader]>,
    /// The cookies for new visitors, each once.
    cookies: Box<[VisitorCookie]>,
    set_cookie: HeaderName,
    /// What is read of a request, where that is little.
    single_headers: Box<[Box<str>]>,
    /// Counts client's own values of the arms' headers, if asked for.
    forged: Option<SeriesId>,
    metrics: Metrics,
}

/// A header that arms are written to.
#[derive(Debug)]
struct ArmHeader {
    name: HeaderName,
    /// Its bit in a set of them.
    bit: u128,
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
    const ONLY_REMEMBERED: Callbacks = Callbacks::RESPONSE_HEADERS;
    type Config = Config;
    type Stream = NewVisitor;

    fn compile(config: Config, _: &Environment<'_>) -> Result<Self, ConfigError> {
        config::compile(&config)
    }

    fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    fn single_headers(&self) -> &[Box<str>] {
        &self.single_headers
    }

    fn on_request_headers<'a>(&'a self, view: &'a View<'_>, stream: &mut Option<NewVisitor>) -> Effects<'a> {
        let mut effects = Effects::default();
        let mut written = 0_u128;
        for experiment in &self.experiments {
            let Some(header) = self.headers.get(experiment.header) else { continue };
            if written & header.bit != 0 || !experiment.is_for(view) {
                continue;
            }
            match experiment.arm(view, &self.cookies, stream) {
                Ok(arm) => {
                    written |= header.bit;
                    effects.set_request_header(&header.name, arm.name.as_bytes());
                    effects.count(arm.exposures);
                }
                Err(reason) => effects.count(experiment.skipped[reason]),
            }
        }
        // A client's own value is gone where an arm was written. To look for one costs a host call, so there it is done only to be counted.
        for header in &self.headers {
            let is_written = written & header.bit != 0;
            if (!is_written || self.forged.is_some()) && view.request_header(header.name.as_str()).is_some() {
                self.strip(header, is_written, &mut effects);
            }
        }
        effects
    }

    fn on_response_headers<'a>(&'a self, _: &'a View<'_>, stream: &mut Option<NewVisitor>) -> Effects<'a> {
        stream.take().map(|visitor| self.welcome(&visitor)).unwrap_or_default()
    }
}

impl AbRouting {
    /// Counts a header that a client forged, if that is asked for, and removes it unless an arm has taken its place.
    #[cold]
    fn strip<'a>(&'a self, header: &'a ArmHeader, is_written: bool, effects: &mut Effects<'a>) {
        if let Some(forged) = self.forged {
            effects.count(forged);
        }
        if !is_written {
            effects.remove_request_header(&header.name);
        }
    }

    /// Gives a new visitor the cookies.
    #[cold]
    fn welcome(&self, visitor: &NewVisitor) -> Effects<'_> {
        let mut effects = Effects::default();
        for (index, cookie) in self.cookies.iter().enumerate() {
            if visitor.cookies & (1 << index) != 0 {
                effects.add_response_header(&self.set_cookie, Bounded::own(cookie.set(&visitor.id)));
            }
        }
        effects
    }
}

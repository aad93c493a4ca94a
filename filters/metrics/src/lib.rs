//! Metrics that are defined in configuration and cannot blow up: a bounded number of series, whatever a client sends.
//!
//! ```json
//! {
//!   "define": [
//!     {
//!       "name": "checkouts_total",
//!       "kind": "counter",
//!       "when": {"match": [{"on": "path", "prefix": "/checkout"}], "status": [200, 299]},
//!       "labels": [{"label": "tenant", "on": "header", "name": "x-tenant", "limit": 50}]
//!     }
//!   ]
//! }
//! ```

pub mod catalogue;
mod config;
mod default_set;
mod define;
mod facts;
mod guard;
mod label;
pub mod names;
mod value;

use catalogue::Catalogue;
use default_set::{Begun, DefaultSet};
use define::{Captured, Definition};
use facts::{Facts, RouteSource, Texts};
use filter_kit::{
    Callbacks, ConfigError, Effects, Environment, Filter, HeaderName, Phase, View,
    json_body::{BodyFields, BodyReader},
    metrics::{Encoding, Metrics},
    routes::{RouteId, Routes},
    settings::Field,
};
use guard::Guard;
use label::Moment;
use names::Unit;

#[cfg(feature = "module")]
filter_kit::export!(MetricsFilter: request_headers, request_body, response_headers, response_body, log);

/// The filter.
#[derive(Debug)]
pub struct MetricsFilter {
    unit: Unit,
    default_set: Option<DefaultSet>,
    is_route_named: bool,
    routes: Routes,
    arm: Option<HeaderName>,
    is_arm_late: bool,
    verdict: Option<HeaderName>,
    definitions: Vec<Definition>,
    body: BodyFields,
    guard: Guard,
    catalogue: Catalogue,
    encoding: Encoding,
    metrics: Metrics,
}

/// What is remembered of an exchange until it is over.
#[derive(Debug)]
pub struct Seen {
    /// When the request's headers arrived, in nanoseconds since 1970 (UTC).
    start: u64,
    route: RouteId,
    /// Whether the route had a label when the request came.
    is_route_known: bool,
    begun: Option<Begun>,
    /// Bytes of the bodies that have passed.
    request_size: u64,
    response_size: u64,
    /// What only some configurations need.
    more: Option<Box<More>>,
}

/// What only some configurations need.
#[derive(Debug, Default)]
struct More {
    captured: Vec<Captured>,
    body: Option<BodyReader>,
}

impl Filter for MetricsFilter {
    const NAME: &'static str = "metrics";
    const CALLBACKS: Callbacks = Callbacks::REQUEST_HEADERS
        .and(Callbacks::REQUEST_BODY)
        .and(Callbacks::RESPONSE_HEADERS)
        .and(Callbacks::RESPONSE_BODY)
        .and(Callbacks::LOG);
    const ONLY_REMEMBERED: Callbacks =
        Callbacks::REQUEST_BODY.and(Callbacks::RESPONSE_HEADERS).and(Callbacks::RESPONSE_BODY);
    const BRIEF: Callbacks = Self::ONLY_REMEMBERED;
    type Stream = Box<Seen>;

    fn compile(config: &Field<'_, '_>, _: &Environment<'_>) -> Result<Self, ConfigError> {
        config::compile(config)
    }

    fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Most exchanges have nothing to read in bodies and nothing to count in responses: the bytes are all.
    fn brief(seen: &mut Box<Seen>, phase: Phase, size: usize) -> bool {
        if seen.more.is_some() {
            return false;
        }
        match phase {
            Phase::RequestBody => seen.request_size += size as u64,
            Phase::ResponseBody => seen.response_size += size as u64,
            _ => {}
        }
        true
    }

    fn on_request_headers<'a>(&'a self, view: &'a View<'_>, stream: &mut Option<Box<Seen>>) -> Effects<'a> {
        let mut effects = Effects::default();
        let route = if self.is_route_named { RouteId::OTHER } else { self.routes.known(view.path()) };
        // What a client has written in the header of an arm that is yet to be chosen is no arm.
        let arm = self.arm.as_ref().map(HeaderName::as_str).filter(|_| !self.is_arm_late);
        let facts = Facts { route: Some(route), arm, ..self.facts(view) };
        let guard = &self.guard;
        let begun =
            self.default_set.as_ref().map(|set| set.begin(&facts, &self.metrics, guard, &mut effects));
        for definition in self.at(Moment::Request) {
            definition.count(&facts, &self.metrics, guard, &mut effects);
        }
        *stream = Some(Box::new(Seen {
            start: view.now(),
            route,
            is_route_known: self.is_route_named || route != RouteId::OTHER,
            begun,
            request_size: 0,
            response_size: 0,
            more: self.more(view, &facts),
        }));
        effects
    }

    fn on_request_body<'a>(&'a self, view: &'a View<'_>, stream: &mut Option<Box<Seen>>) -> Effects<'a> {
        if let Some(seen) = stream {
            seen.request_size += view.body_size() as u64;
            if let Some(body) = seen.more.as_mut().and_then(|more| more.body.as_mut())
                && view.body_size() > 0
                && !body.is_done()
            {
                body.push(&self.body, view.body());
            }
        }
        Effects::default()
    }

    fn on_response_headers<'a>(&'a self, view: &'a View<'_>, stream: &mut Option<Box<Seen>>) -> Effects<'a> {
        let mut effects = Effects::default();
        if let Some(more) = stream.as_mut().and_then(|seen| seen.more.as_mut()) {
            let facts = Facts { status: view.status(), ..self.facts(view) };
            for captured in std::mem::take(&mut more.captured) {
                captured.count(&self.definitions, &facts, &self.metrics, &self.guard, &mut effects);
            }
        }
        effects
    }

    fn on_response_body<'a>(&'a self, view: &'a View<'_>, stream: &mut Option<Box<Seen>>) -> Effects<'a> {
        if let Some(seen) = stream {
            seen.response_size += view.body_size() as u64;
        }
        Effects::default()
    }

    fn on_log<'a>(&'a self, view: &'a View<'_>, stream: &mut Option<Box<Seen>>) -> Effects<'a> {
        let mut effects = Effects::default();
        let mut seen = stream.take();
        let mut facts = Facts { status: view.status(), ..self.facts(view) };
        let body = seen.as_mut().and_then(|seen| seen.more.as_mut()).and_then(|more| more.body.take());
        match &seen {
            Some(seen) => {
                facts.duration = Some(self.unit.of(view.now().saturating_sub(seen.start)));
                facts.route = seen.is_route_known.then_some(seen.route);
                (facts.request_size, facts.response_size) = (seen.request_size, seen.response_size);
            }
            None => self.unseen(view, &mut facts),
        }
        let body = body.map(|mut body| {
            body.finish(&self.body);
            body
        });
        let facts = Facts { body: body.as_ref(), ..facts };
        let guard = &self.guard;
        if let Some(set) = &self.default_set {
            set.end(seen.as_deref(), &facts, &self.metrics, guard, &mut effects);
        }
        for definition in self.at(Moment::Log) {
            definition.count(&facts, &self.metrics, guard, &mut effects);
        }
        effects
    }
}

impl MetricsFilter {
    /// The arm is chosen behind this filter: it is read when the exchange is over, whatever the configuration says.
    pub fn read_arm_at_end(&mut self) {
        self.is_arm_late = true;
    }

    /// The metrics of this configuration.
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// How labels are written into the names of stats.
    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// The unit of durations.
    pub fn unit(&self) -> Unit {
        self.unit
    }

    fn at(&self, moment: Moment) -> impl Iterator<Item = &Definition> {
        self.definitions.iter().filter(move |definition| definition.moment() == moment)
    }

    fn facts<'v>(&'v self, view: &'v View<'v>) -> Facts<'v> {
        Facts {
            view,
            routes: if self.is_route_named { RouteSource::Name } else { RouteSource::Path(&self.routes) },
            route: None,
            arm: self.arm.as_ref().map(HeaderName::as_str),
            is_arm_late: self.is_arm_late,
            verdict: self.verdict.as_ref().map(HeaderName::as_str),
            status: None,
            duration: None,
            request_size: 0,
            response_size: 0,
            body: None,
            texts: Texts::default(),
        }
    }

    /// What is to be remembered for definitions, if anything is.
    fn more(&self, view: &View<'_>, facts: &Facts<'_>) -> Option<Box<More>> {
        if self.definitions.is_empty() {
            return None;
        }
        let of_response = self.definitions.iter().enumerate();
        let of_response = of_response.filter(|(_, definition)| definition.moment() == Moment::Response);
        let captured: Vec<_> =
            of_response.filter_map(|(place, definition)| definition.capture(place, facts)).collect();
        let is_read = !self.body.is_empty() && !view.is_last() && is_plain_json(view);
        let body = is_read.then(|| BodyReader::new(&self.body));
        (!captured.is_empty() || body.is_some()).then(|| Box::new(More { captured, body }))
    }

    /// An exchange that another filter answered before the request came here.
    #[cold]
    fn unseen(&self, view: &View<'_>, facts: &mut Facts<'_>) {
        let number = |path: &[&str]| {
            let value = view.property(path)?;
            value.first_chunk().filter(|_| value.len() == 8).map(|bytes| u64::from_le_bytes(*bytes))
        };
        facts.duration = number(&["request", "duration"]).map(|duration| self.unit.of(duration));
        facts.request_size = number(&["request", "size"]).unwrap_or(0);
        facts.response_size = number(&["response", "size"]).unwrap_or(0);
    }
}

/// Whether a request's body is JSON by its media type (`application/json`, or a type with the suffix `+json`, RFC 6839) and not compressed.
fn is_plain_json(view: &View<'_>) -> bool {
    let encoding = view.request_header("content-encoding").unwrap_or_default();
    let kind = view.request_header("content-type").unwrap_or_default();
    let kind = kind.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii().to_ascii_lowercase();
    (encoding.is_empty() || encoding.eq_ignore_ascii_case(b"identity"))
        && (kind.ends_with(b"/json") || kind.ends_with(b"+json"))
}

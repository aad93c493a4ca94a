//! Access logs that hold no personal data: redacted where the request is, before anything is written.
//!
//! ```json
//! {
//!   "outputs": {"filter_state": {}},
//!   "headers": {"request": ["user-agent"]},
//!   "sampling": {"rate": 0.1}
//! }
//! ```

mod canary;
mod config;
mod exchange;
mod export;
mod fields;
mod flags;
mod flow;
mod host;
mod otlp;
mod outputs;
pub mod record;
mod sampling;
mod time;

use canary::Canaries;
use config::BODY_HEADERS;
use exchange::Exchange;
use export::Export;
use fields::{Item, Name, Names};
use filter_kit::{
    Callbacks, ConfigError, Effects, Environment, Filter, HeaderName, View,
    json_body::{BodyFields, BodyReader, Unread},
    metrics::{Metrics, SeriesId},
    routes::Routes,
    settings::Field,
};
use flow::{Flow, Found, Part};
use host::PolicyRecord;
use outputs::Outputs;
use pii::{Memo, Pii, Stream};
use sampling::Sampling;
use std::time::Duration;

#[cfg(feature = "module")]
filter_kit::export!(AccessLog: request_headers, request_body, log, tick, callout);

/// The filter.
#[derive(Debug)]
pub struct AccessLog {
    names: Names,
    items: Vec<(Item, Name)>,
    outputs: Outputs,
    request_headers: Vec<Header>,
    response_headers: Vec<Header>,
    /// What the names of all other headers are logged under, if they are.
    others: Option<Name>,
    arms: Vec<Header>,
    verdict: Option<HeaderName>,
    /// What the record of a policy's decision is called.
    record_name: Name,
    /// Whether it is read from filter state.
    is_record_read: bool,
    single_headers: Vec<Box<str>>,
    body: BodyFields,
    body_names: Vec<Name>,
    routes: Routes,
    sampling: Sampling,
    flow: Flow,
    canaries: Canaries,
    pii: Pii,
    /// Values of headers that are clean: most are the same in most requests.
    known: Memo,
    /// The longest text of the request in a record, in bytes.
    value_bytes: usize,
    counters: Counters,
    metrics: Metrics,
}

/// A header that is logged.
#[derive(Debug)]
struct Header {
    name: HeaderName,
    key: Name,
}

/// What is counted of the filter's own work.
#[derive(Debug)]
struct Counters {
    undecodable: SeriesId,
    too_long: SeriesId,
    malformed: SeriesId,
    body_too_long: SeriesId,
    too_deep: SeriesId,
    encoded: SeriesId,
    bad_trace: SeriesId,
    sampled_out: SeriesId,
}

impl Counters {
    const fn unread(&self, why: Unread) -> SeriesId {
        match why {
            Unread::Malformed => self.malformed,
            Unread::TooLong => self.body_too_long,
            Unread::TooDeep => self.too_deep,
        }
    }
}

/// What is remembered of an exchange until it is over.
#[derive(Debug)]
pub struct Seen {
    /// When the request's headers arrived, in nanoseconds since 1970 (UTC).
    start: u64,
    body: Option<Box<Body>>,
    /// The record of a policy's decision, from a filter of the same module.
    record: Option<Box<PolicyRecord>>,
}

impl Seen {
    /// Remembers the record of a policy's decision.
    #[cold]
    pub fn note_record(&mut self, text: &str) {
        self.record = PolicyRecord::new(text.as_bytes()).map(Box::new);
    }
}

/// A request's body that is gone through.
#[derive(Debug, Default)]
struct Body {
    reader: Option<BodyReader>,
    scan: Option<Stream>,
    /// What was found in it as it passed.
    found: Found,
}

impl Filter for AccessLog {
    const NAME: &'static str = "access-log";
    const CALLBACKS: Callbacks = Callbacks::REQUEST_HEADERS
        .and(Callbacks::REQUEST_BODY)
        .and(Callbacks::LOG)
        .and(Callbacks::TICK)
        .and(Callbacks::CALLOUT);
    const ONLY_REMEMBERED: Callbacks = Callbacks::REQUEST_BODY;
    type Stream = Seen;

    fn compile(config: &Field<'_, '_>, environment: &Environment<'_>) -> Result<Self, ConfigError> {
        config::compile(config, environment)
    }

    fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    fn inherit(&mut self, old: &Self) {
        if let (Some(new), Some(old)) = (&mut self.outputs.otlp, &old.outputs.otlp) {
            new.inherit(old);
        }
    }

    fn tick_period(&self) -> Option<Duration> {
        self.outputs.otlp.as_ref().map(Export::period)
    }

    fn single_headers(&self) -> &[Box<str>] {
        &self.single_headers
    }

    fn on_request_headers<'a>(&'a self, view: &'a View<'_>, stream: &mut Option<Seen>) -> Effects<'a> {
        let mut effects = Effects::default();
        let body = if view.is_last() { None } else { self.begin_body(view, &mut effects) };
        *stream = Some(Seen { start: view.now(), body, record: None });
        effects
    }

    fn on_request_body<'a>(&'a self, view: &'a View<'_>, stream: &mut Option<Seen>) -> Effects<'a> {
        if let Some(body) = stream.as_mut().and_then(|seen| seen.body.as_mut()) {
            body.push(self, view);
        }
        Effects::default()
    }

    fn on_log<'a>(&'a self, view: &'a View<'_>, stream: &mut Option<Seen>) -> Effects<'a> {
        Exchange::new(self, view).log(stream.take())
    }

    fn on_tick<'a>(&'a self, view: &'a View<'_>) -> Effects<'a> {
        self.outputs.otlp.as_ref().map(|otlp| otlp.tick(view)).unwrap_or_default()
    }

    fn on_callout<'a>(&'a self, view: &'a View<'_>, _: &mut Option<Seen>, _: u32) -> Effects<'a> {
        self.outputs.otlp.as_ref().map(|otlp| otlp.answered(view)).unwrap_or_default()
    }
}

impl AccessLog {
    /// What is read of a body that comes, if anything is.
    fn begin_body<'a>(&'a self, view: &View<'_>, effects: &mut Effects<'a>) -> Option<Box<Body>> {
        let mut body = Body::default();
        if !self.body.is_empty() || self.flow.scan.body {
            let [kind, encoding] = BODY_HEADERS.map(|name| view.request_header(name).unwrap_or_default());
            if !encoding.is_empty() && !encoding.eq_ignore_ascii_case(b"identity") {
                effects.count(self.counters.encoded);
                return None;
            }
            body.reader = (!self.body.is_empty() && is_json(kind)).then(|| BodyReader::new(&self.body));
            body.scan = self.flow.scan.body.then(Stream::new);
        }
        (body.reader.is_some() || body.scan.is_some()).then(|| Box::new(body))
    }
}

impl Body {
    /// Reads the part of the body at hand.
    fn push(&mut self, filter: &AccessLog, view: &View<'_>) {
        let is_read = self.reader.as_ref().is_some_and(|reader| !reader.is_done());
        if view.body_size() == 0 || !is_read && self.scan.is_none() {
            return;
        }
        let bytes = view.body();
        if let Some(reader) = &mut self.reader {
            reader.push(&filter.body, bytes);
        }
        if let Some(scan) = &mut self.scan {
            for span in scan.look(&filter.pii.engine, bytes) {
                self.found.add(Part::Body, span.entity, 1);
            }
        }
    }

    /// No more of the body comes.
    fn finish(&mut self, filter: &AccessLog) {
        if let Some(reader) = &mut self.reader {
            reader.finish(&filter.body);
        }
        if let Some(scan) = self.scan.take() {
            for span in scan.finish_look(&filter.pii.engine) {
                self.found.add(Part::Body, span.entity, 1);
            }
        }
    }
}

/// Whether a body is JSON by its media type: `application/json`, or a type with the suffix `+json` (RFC 6839).
fn is_json(content_type: &[u8]) -> bool {
    let kind = content_type.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    let ends = |suffix: &[u8]| {
        kind.len() >= suffix.len()
            && kind.get(kind.len() - suffix.len()..).is_some_and(|end| end.eq_ignore_ascii_case(suffix))
    };
    ends(b"/json") || ends(b"+json")
}

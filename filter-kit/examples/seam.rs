//! A filter that uses every part of the seam, chosen by the request's path. The kit's own scenarios run it on the harness and on Envoy.

use filter_kit::{
    Bounded, Callbacks, Callout, ConfigError, Effects, Environment, Filter, HeaderName, Level, MetricChange,
    Reply, View,
    metrics::{FamilyId, Kind, Metrics, MetricsConfig},
    settings::Field,
};
use std::{borrow::Cow, time::Duration};

/// The filter.
pub struct Seam {
    metrics: Metrics,
    logged: FamilyId,
    sizes: FamilyId,
    ticks: Option<FamilyId>,
    content_length: HeaderName,
    note: HeaderName,
}

/// What one path asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// Turn the request's body into capitals.
    RequestBody,
    /// Turn the response's body into capitals.
    ResponseBody,
    /// Ask a cluster whether the request may pass.
    Callout,
    /// Add trailers.
    Trailers,
    /// Reply in the upstream's place, late and again when the stream is over.
    Late,
}

const CALLBACKS: Callbacks = Callbacks::REQUEST_HEADERS
    .and(Callbacks::REQUEST_BODY)
    .and(Callbacks::REQUEST_TRAILERS)
    .and(Callbacks::RESPONSE_HEADERS)
    .and(Callbacks::RESPONSE_BODY)
    .and(Callbacks::RESPONSE_TRAILERS)
    .and(Callbacks::LOG)
    .and(Callbacks::TICK)
    .and(Callbacks::CALLOUT)
    .and(Callbacks::CREATE)
    .and(Callbacks::DELETE);

fn late() -> Reply<'static> {
    Reply { status: 500, headers: Vec::new(), body: b"late".into(), details: "seam".into() }
}

impl Filter for Seam {
    const NAME: &'static str = "seam";
    const CALLBACKS: Callbacks = CALLBACKS;
    type Stream = Task;

    fn compile(config: &Field<'_, '_>, _: &Environment<'_>) -> Result<Self, ConfigError> {
        config.only(&["metrics", "ticks"]);
        let mut metrics = Metrics::new(&MetricsConfig::read(&config.get("metrics")));
        let name = |text| HeaderName::parse(text).map_err(|error| ConfigError::new("", error.to_string()));
        Ok(Self {
            logged: metrics.family(Kind::Counter, "seam_logged_total", &["status", "path"]),
            sizes: metrics.family(Kind::Histogram, "seam_request_bytes", &[]),
            ticks: config
                .get("ticks")
                .flag(false)
                .then(|| metrics.family(Kind::Counter, "seam_ticks_total", &[])),
            content_length: name("content-length")?,
            note: name("x-note")?,
            metrics,
        })
    }

    fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    fn tick_period(&self) -> Option<Duration> {
        self.ticks.map(|_| Duration::from_millis(100))
    }

    fn on_request_headers<'a>(&'a self, view: &'a View<'_>, stream: &mut Option<Task>) -> Effects<'a> {
        let mut effects = Effects::default();
        match view.path() {
            b"/request-body" => {
                *stream = Some(Task::RequestBody);
                effects.remove_request_header(&self.content_length);
            }
            b"/response-body" => *stream = Some(Task::ResponseBody),
            b"/trailers" => *stream = Some(Task::Trailers),
            b"/late" => *stream = Some(Task::Late),
            b"/call" | b"/call-unknown" => {
                *stream = Some(Task::Callout);
                effects.call(Callout {
                    cluster: if view.path() == b"/call" { "auth" } else { "no-such-cluster" },
                    method: "GET",
                    authority: "auth.example",
                    path: "/check".into(),
                    headers: vec![(&self.note, b"from seam".into())],
                    body: Cow::default(),
                    timeout: Duration::from_millis(300),
                    tag: 7,
                });
                effects.pause();
            }
            b"/reply" => effects.reply(Reply {
                status: 418,
                headers: vec![(
                    &self.note,
                    Bounded::new(view.query_parameter("note").as_deref().unwrap_or_default(), 20)
                        .into_owned(),
                )],
                body: b"short and stout".into(),
                details: "seam".into(),
            }),
            b"/headers" => {
                effects.set_request_header(&self.note, &b"set"[..]);
                effects.add_request_header(&self.note, &b"added"[..]);
                effects.log(Level::Warn, Bounded::new(view.request_header("x-line").unwrap_or_default(), 40));
                effects.set_state("seam", Bounded::own("left by seam"));
            }
            _ => {}
        }
        effects
    }

    fn on_request_body<'a>(&'a self, view: &'a View<'_>, stream: &mut Option<Task>) -> Effects<'a> {
        let mut effects = Effects::default();
        match stream {
            Some(Task::RequestBody) if view.is_last() => {
                effects.replace_body(view.body().to_ascii_uppercase());
            }
            Some(Task::RequestBody) => effects.pause(),
            _ => {}
        }
        if view.is_last() {
            effects.measure(MetricChange::Labelled(self.sizes, Vec::new(), view.body_size() as u64));
        }
        effects
    }

    fn on_request_trailers<'a>(&'a self, view: &'a View<'_>, stream: &mut Option<Task>) -> Effects<'a> {
        let mut effects = Effects::default();
        if *stream == Some(Task::Trailers) {
            let seen = view.trailers().iter().count();
            effects.add_request_trailer(&self.note, format!("{seen} before").into_bytes());
        }
        effects
    }

    fn on_response_headers<'a>(&'a self, _: &'a View<'_>, stream: &mut Option<Task>) -> Effects<'a> {
        let mut effects = Effects::default();
        if *stream == Some(Task::ResponseBody) {
            effects.remove_response_header(&self.content_length);
        }
        effects.set_response_header(&self.note, Bounded::own("seen"));
        if *stream == Some(Task::Late) {
            effects.reply(late());
        }
        effects
    }

    fn on_response_body<'a>(&'a self, view: &'a View<'_>, stream: &mut Option<Task>) -> Effects<'a> {
        let mut effects = Effects::default();
        match stream {
            Some(Task::ResponseBody) if view.is_last() => {
                effects.replace_body(view.body().to_ascii_uppercase());
            }
            Some(Task::ResponseBody) => effects.pause(),
            _ => {}
        }
        effects
    }

    fn on_response_trailers<'a>(&'a self, _: &'a View<'_>, stream: &mut Option<Task>) -> Effects<'a> {
        let mut effects = Effects::default();
        if *stream == Some(Task::Trailers) {
            effects.add_response_trailer(&self.note, Bounded::own("after"));
        }
        effects
    }

    fn on_log<'a>(&'a self, view: &'a View<'_>, stream: &mut Option<Task>) -> Effects<'a> {
        let mut effects = Effects::default();
        if *stream == Some(Task::Late) {
            // It would end Envoy itself: the kit leaves it out.
            effects.reply(late());
        }
        let status = view.status().unwrap_or_default();
        let labels = vec![Bounded::own(status.to_string()), Bounded::new(view.path(), 64)];
        effects.measure(MetricChange::Labelled(self.logged, labels, 1));
        effects
    }

    fn on_callout<'a>(&'a self, view: &'a View<'_>, _: &mut Option<Task>, tag: u32) -> Effects<'a> {
        let mut effects = Effects::default();
        match view.callout_status() {
            Some(200) => {
                let mut value = format!("{tag} ").into_bytes();
                value.extend(view.body());
                effects.set_request_header(&self.note, value);
            }
            status => effects.reply(Reply {
                status: 403,
                headers: Vec::new(),
                body: format!("auth answered {status:?}").into_bytes().into(),
                details: "seam_refused".into(),
            }),
        }
        effects
    }

    fn on_tick<'a>(&'a self, _: &'a View<'_>) -> Effects<'a> {
        let mut effects = Effects::default();
        if let Some(ticks) = self.ticks {
            effects.measure(MetricChange::Labelled(ticks, Vec::new(), 1));
        }
        effects
    }
}

#[cfg(target_arch = "wasm32")]
filter_kit::export!(
    Seam: request_headers, request_body, request_trailers, response_headers, response_body, response_trailers, log, tick, callout, create,
    delete
);

//! A whole filter: what is under a path is answered 503, with the time to come again, and counted.

use filter_kit::{
    Bounded, Callbacks, ConfigError, Effects, Environment, Filter, HeaderName, Reply, View,
    metrics::{Kind, Metrics, SeriesId},
    settings::Field,
};

/// The filter.
pub struct Maintenance {
    prefix: String,
    retry_after: (HeaderName, String),
    metrics: Metrics,
    refused: SeriesId,
}

impl Filter for Maintenance {
    const NAME: &'static str = "maintenance";
    const CALLBACKS: Callbacks = Callbacks::REQUEST_HEADERS;
    type Stream = ();

    fn compile(config: &Field<'_, '_>, _: &Environment<'_>) -> Result<Self, ConfigError> {
        config.only(&["prefix", "retry_after_seconds"]);
        let (prefix, seconds) = (config.get("prefix"), config.get("retry_after_seconds"));
        let text = prefix.text().unwrap_or_default();
        if !text.starts_with('/') {
            prefix.refuse_text("must begin with `/`", text);
        }
        let mut metrics = Metrics::default();
        let family = metrics.family(Kind::Counter, "maintenance_refused_total", &[]);
        let name =
            HeaderName::parse("retry-after").map_err(|error| ConfigError::new("", error.to_string()))?;
        config.finish(Self {
            prefix: text.to_owned(),
            retry_after: (name, seconds.whole(1, 86_400).unwrap_or(60).to_string()),
            refused: metrics.series(family, &[]),
            metrics,
        })
    }

    fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    fn on_request_headers<'a>(&'a self, view: &'a View<'_>, _: &mut Option<()>) -> Effects<'a> {
        let mut effects = Effects::default();
        if view.path().starts_with(self.prefix.as_bytes()) {
            let (name, seconds) = &self.retry_after;
            effects.count(self.refused);
            effects.reply(Reply {
                status: 503,
                headers: vec![(name, Bounded::own(seconds.as_str()))],
                body: b"back soon".into(),
                details: "maintenance".into(),
            });
        }
        effects
    }
}

#[cfg(target_arch = "wasm32")]
filter_kit::export!(Maintenance: request_headers);

#[test]
fn what_is_under_the_prefix_is_refused() -> Result<(), ConfigError> {
    use filter_kit::{fake::Stream, load};

    let config = br#"{"prefix": "/shop", "retry_after_seconds": 120}"#;
    let filter: Maintenance = load(config, &Environment::EMPTY)?;
    let refused = Stream::get("/shop/cart").drive(&filter);
    assert_eq!(refused.reply, Some(503));
    assert!(Stream::get("/about").drive(&filter).reply.is_none());
    Ok(())
}

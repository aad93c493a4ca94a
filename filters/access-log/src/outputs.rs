//! The ways out of a record.

use crate::{
    canary::Canaries,
    export::Export,
    fields::{Item, Name},
    record::{Frame, Record},
};
use filter_kit::{Bounded, Effects, Environment, Level, metrics::Metrics, settings::Field};

/// The ways out that are open.
#[derive(Debug)]
pub struct Outputs {
    state: Option<State>,
    /// Whether a line is written to the proxy's log.
    log: bool,
    /// Records sent to a collector.
    pub otlp: Option<Export>,
}

/// Filter state, which every native access logger can print.
#[derive(Debug)]
struct State {
    /// The key of the whole record.
    record: Option<Box<str>>,
    /// Values by themselves: their keys, and their names in the record.
    values: Vec<(Box<str>, Name)>,
}

impl Outputs {
    /// Reads `{"filter_state": {"key": "outrigger.log", "fields": ["path"]}, "log": true, "otlp": {"cluster": "otel-collector"}}`; without any,
    /// filter state alone. `items` are the fields of a record.
    pub fn read(
        config: &Field<'_, '_>,
        items: &[(Item, Name)],
        metrics: &mut Metrics,
        environment: &Environment<'_>,
    ) -> Self {
        config.only(&["filter_state", "log", "otlp"]);
        let (state, otlp) = (config.get("filter_state"), config.get("otlp"));
        let log = config.get("log").flag(false);
        let has_state = state.is_given() || !log && !otlp.is_given();
        Self {
            state: has_state.then(|| State::read(&state, items)),
            log,
            otlp: Export::read(&otlp, metrics, environment),
        }
    }

    /// Whether a record leaves by a way on which no native access logger adds what Envoy knows itself.
    pub fn is_alone(config: &Field<'_, '_>) -> bool {
        config.get("log").flag(false) || config.get("otlp").is_given()
    }

    /// Writes a record to each of them; none in which a canary is.
    pub fn write<'a>(
        &'a self,
        record: &Record<'_>,
        frame: &Frame<'_>,
        canaries: &'a Canaries,
        effects: &mut Effects<'a>,
    ) {
        // A record has about 20 values.
        const USUAL: usize = 640;
        let is_record = self.state.as_ref().is_some_and(|state| state.record.is_some());
        if self.log || is_record {
            let mut line = String::with_capacity(USUAL);
            record.write_json(&mut line);
            if !canaries.is_clean(&line, effects) {
                return;
            }
            let line = Bounded::json(line);
            if self.log {
                effects.log(Level::Info, line.clone());
            }
            if let Some(key) = self.state.as_ref().and_then(|state| state.record.as_deref()) {
                effects.set_state(key, line);
            }
        }
        for (key, name) in self.state.as_ref().map(|state| state.values.as_slice()).unwrap_or_default() {
            let Some(value) = record.get(name) else { continue };
            let mut text = String::new();
            value.write_plain(&mut text);
            if canaries.is_clean(&text, effects) {
                effects.set_state(key, Bounded::own(text));
            }
        }
        if let Some(otlp) = &self.otlp {
            let mut text = String::with_capacity(2 * USUAL);
            record.write_otlp(frame, &mut text);
            if canaries.is_clean(&text, effects) {
                otlp.push(&text, frame.observed, effects);
            }
        }
    }
}

impl State {
    fn read(config: &Field<'_, '_>, items: &[(Item, Name)]) -> Self {
        config.only(&["key", "record", "fields"]);
        let key = config.get("key");
        let name = key.text().unwrap_or("outrigger.log");
        let is_key = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if name.is_empty() || name.len() > 64 || !name.bytes().all(is_key) {
            key.refuse_text("must be 1 to 64 letters, digits, `-`, `_` or `.`", name);
        }
        let fields = config.get("fields");
        let values = fields.items_up_to(Item::WORDS.len()).filter_map(|item| {
            let wanted = Item::read(&item)?;
            let known = items.iter().find(|(other, _)| *other == wanted && wanted != Item::Entities);
            if known.is_none() {
                let rule = "must be one of `fields`, and one value, which `entities` is not";
                item.refuse_text(rule, item.text().unwrap_or_default());
            }
            Some((["outrigger.", item.text()?].concat().into(), known?.1.clone()))
        });
        let values = values.collect();
        Self { record: config.get("record").flag(true).then(|| name.into()), values }
    }
}

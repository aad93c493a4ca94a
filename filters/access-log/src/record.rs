//! What is logged of one exchange.

use crate::{
    fields::{Duration, Name},
    flags,
    host::{HostText, PolicyRecord},
    time,
};
use filter_kit::{TraceParent, json, routes::RouteLabel};
use pii::{Entity, Redacted};

/// A value that may be logged.
///
/// There is none for plain text of the request: text gets in as what the pii engine made of it ([`Redacted`]), as a word of this program, as a route's
/// label, as what Envoy says of itself ([`HostText`]), or as the record of a policy's decision, which has no value of the request ([`PolicyRecord`]).
///
/// ```compile_fail,E0277
/// use access_log::record::Value;
/// fn log(path: &str) -> Value<'_> {
///     path.into()
/// }
/// ```
///
/// ```compile_fail,E0308
/// use access_log::record::Value;
/// fn log(path: &str) -> Value<'_> {
///     Value::Text(path)
/// }
/// ```
///
/// ```compile_fail,E0423
/// let plain = pii::Redacted("joe@example.com".into());
/// ```
///
/// ```
/// use access_log::record::Value;
/// use pii::{Engine, Place};
/// fn log<'p>(engine: &Engine, path: &'p str) -> Value<'p> {
///     engine.redact(path.as_bytes(), Place::Text, None).into()
/// }
/// # log(&Engine::default(), "/");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value<'a> {
    /// Text of the request or the response, redacted.
    Text(Redacted<'a>),
    /// A word of this program.
    Word(&'static str),
    /// The label of a route.
    Route(RouteLabel),
    /// What Envoy says of itself.
    Host(HostText),
    /// The record of a policy's decision, an object of JSON.
    Policy(PolicyRecord),
    /// A count or a number of bytes.
    Number(u64),
    /// A length of time in nanoseconds, and how it is written.
    Duration(u64, Duration),
    /// A time in nanoseconds since 1970 (UTC).
    Time(u64),
    /// The id of the trace.
    TraceId(TraceParent<'a>),
    /// The id of the span.
    SpanId(TraceParent<'a>),
    /// Envoy's response flags.
    Flags(u64),
}

impl<'a> From<Redacted<'a>> for Value<'a> {
    fn from(text: Redacted<'a>) -> Self {
        Self::Text(text)
    }
}

impl From<u64> for Value<'_> {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

/// The name that a value has.
#[derive(Debug, Clone, Copy)]
enum Key<'a> {
    Name(&'a Name),
    /// How often an entity was found.
    Entity(Entity),
}

/// What is logged of one exchange: names and values, in order.
#[derive(Debug)]
pub struct Record<'a> {
    entries: Vec<(Key<'a>, Value<'a>)>,
}

/// What an OTLP record has beside its attributes.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    /// When the request arrived, in nanoseconds since 1970 (UTC).
    pub time: u64,
    /// When it was logged.
    pub observed: u64,
    /// Whether the response is a server's error, or there was none.
    pub is_error: bool,
    /// The trace.
    pub trace: Option<TraceParent<'a>>,
}

impl<'a> Record<'a> {
    /// A record with room for so many values.
    pub fn with_capacity(capacity: usize) -> Self {
        Self { entries: Vec::with_capacity(capacity) }
    }

    /// Adds a value.
    pub fn add(&mut self, name: &'a Name, value: impl Into<Value<'a>>) {
        self.entries.push((Key::Name(name), value.into()));
    }

    /// Adds how often an entity was found.
    pub fn add_entity(&mut self, entity: Entity, count: u64) {
        self.entries.push((Key::Entity(entity), count.into()));
    }

    /// The value of a name.
    pub fn get(&self, name: &Name) -> Option<&Value<'a>> {
        let is_named = |key: &Key<'_>| matches!(key, Key::Name(other) if other.json == name.json);
        self.entries.iter().find(|(key, _)| is_named(key)).map(|(_, value)| value)
    }

    /// Writes the record as one line of JSON, without the line's end.
    pub fn write_json(&self, out: &mut String) {
        out.push('{');
        for (place, (key, value)) in self.entries.iter().enumerate() {
            if place > 0 {
                out.push(',');
            }
            match key {
                Key::Name(name) => out.push_str(&name.json),
                Key::Entity(entity) => write_entity(*entity, "\"", "\":", out),
            }
            value.write_json(out);
        }
        out.push('}');
    }

    /// Writes the record as a `LogRecord` of OTLP's JSON: camel case, ids in hexadecimal, whole numbers of 64 bits as strings (OTLP 1, JSON Protobuf
    /// encoding).
    pub fn write_otlp(&self, frame: &Frame<'_>, out: &mut String) {
        out.push_str("{\"timeUnixNano\":\"");
        json::unsigned(out, frame.time);
        out.push_str("\",\"observedTimeUnixNano\":\"");
        json::unsigned(out, frame.observed);
        // Severity numbers of the logs data model: INFO is 9, ERROR 17.
        out.push_str(if frame.is_error {
            "\",\"severityNumber\":17,\"severityText\":\"ERROR\""
        } else {
            "\",\"severityNumber\":9,\"severityText\":\"INFO\""
        });
        if let Some(trace) = &frame.trace {
            for part in
                [",\"traceId\":\"", trace.trace_id(), "\",\"spanId\":\"", trace.parent_id(), "\",\"flags\":"]
            {
                out.push_str(part);
            }
            json::unsigned(out, u64::from(trace.flags()));
        }
        out.push_str(",\"body\":{\"stringValue\":\"access\"},\"attributes\":[");
        for (place, (key, value)) in self.entries.iter().enumerate() {
            if place > 0 {
                out.push(',');
            }
            match key {
                Key::Name(name) => out.push_str(&name.otlp),
                Key::Entity(entity) => write_entity(*entity, "{\"key\":\"", "\",\"value\":", out),
            }
            value.write_otlp(out);
            out.push('}');
        }
        out.push_str("]}");
    }
}

/// The name of how often an entity was found: `pii.email`.
fn write_entity(entity: Entity, before: &str, behind: &str, out: &mut String) {
    for part in [before, "pii.", entity.id(), behind] {
        out.push_str(part);
    }
}

impl Value<'_> {
    /// Writes the value as it stands in text, without quotes: in filter state of its own.
    pub fn write_plain(&self, out: &mut String) {
        match self {
            Self::Text(text) => out.push_str(text.as_str()),
            Self::Word(word) => out.push_str(word),
            Self::Route(label) => out.push_str(label.as_str()),
            Self::Host(text) => out.push_str(text.as_str()),
            Self::Policy(record) => out.push_str(record.as_str()),
            Self::Number(number) => json::unsigned(out, *number),
            Self::Duration(nanoseconds, unit) => unit.write(*nanoseconds, out),
            Self::Time(nanoseconds) => time::write(*nanoseconds, out),
            Self::TraceId(trace) => out.push_str(trace.trace_id()),
            Self::SpanId(trace) => out.push_str(trace.parent_id()),
            Self::Flags(flags) => flags::write(*flags, out),
        }
    }

    fn write_json(&self, out: &mut String) {
        match self {
            Self::Text(text) => json::string(out, text.as_str()),
            Self::Route(label) => json::string(out, label.as_str()),
            Self::Host(text) => json::string(out, text.as_str()),
            Self::Policy(_) | Self::Number(_) | Self::Duration(..) => self.write_plain(out),
            // Nothing of these has to be escaped.
            Self::Word(_) | Self::Time(_) | Self::TraceId(_) | Self::SpanId(_) | Self::Flags(_) => {
                out.push('"');
                self.write_plain(out);
                out.push('"');
            }
        }
    }

    fn write_otlp(&self, out: &mut String) {
        match self {
            // OTLP has whole numbers of 64 bits with a sign.
            Self::Number(number) => {
                out.push_str("{\"intValue\":\"");
                json::unsigned(out, (*number).min(i64::MAX.cast_unsigned()));
                out.push_str("\"}");
            }
            Self::Duration(_, Duration::Nanoseconds | Duration::Milliseconds) => {
                out.push_str("{\"intValue\":\"");
                self.write_plain(out);
                out.push_str("\"}");
            }
            Self::Policy(record) => {
                out.push_str("{\"stringValue\":");
                json::string(out, record.as_str());
                out.push('}');
            }
            Self::Duration(_, Duration::Seconds) => {
                out.push_str("{\"doubleValue\":");
                self.write_plain(out);
                out.push('}');
            }
            _ => {
                out.push_str("{\"stringValue\":");
                self.write_json(out);
                out.push('}');
            }
        }
    }
}

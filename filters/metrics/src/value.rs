//! What a defined metric counts, sets or takes as a sample.

use crate::{
    facts::Facts,
    label::{self, Moment, Path},
};
use filter_kit::{HeaderName, choices, json_body::BodyFields, settings::Field};

/// Headers that never hold a number.
const TEXTS: [&str; 25] = [
    ":authority",
    ":method",
    ":path",
    ":scheme",
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "authorization",
    "cache-control",
    "connection",
    "content-encoding",
    "content-type",
    "cookie",
    "date",
    "etag",
    "forwarded",
    "host",
    "location",
    "origin",
    "referer",
    "set-cookie",
    "transfer-encoding",
    "user-agent",
    "via",
];

/// The largest factor of a value.
const SCALE_LIMIT: i64 = 1_000_000_000;

/// What a value is read from, as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum On {
    One,
    Header,
    ResponseHeader,
    RequestSize,
    ResponseSize,
    Duration,
    Body,
    Property,
}

choices!(On {
    "one" => One,
    "header" => Header,
    "response_header" => ResponseHeader,
    "request_size" => RequestSize,
    "response_size" => ResponseSize,
    "duration" => Duration,
    "body" => Body,
    "property" => Property,
});

/// What a value is read from.
#[derive(Debug)]
enum From {
    One,
    Header(HeaderName),
    ResponseHeader(HeaderName),
    RequestSize,
    ResponseSize,
    Duration,
    Body(usize),
    Property(Path),
}

/// A value.
#[derive(Debug)]
pub struct Source {
    from: From,
    scale: u64,
    /// What stands for a value that is none; without it, nothing is counted.
    default: Option<u64>,
}

/// A value that was wanted.
#[derive(Debug, PartialEq, Eq)]
pub struct Read {
    /// What it is; `None` is nothing to count.
    pub value: Option<u64>,
    /// Whether something was there that is no number, or too large.
    pub is_unread: bool,
}

impl Source {
    /// Reads the value of a metric that counts at this moment. A field of the body goes among `fields`.
    pub fn read(field: &Field<'_, '_>, moment: Moment, fields: &mut Vec<String>) -> Self {
        field.only(&["on", "name", "path", "as", "scale", "default"]);
        let (on, name) = (field.get("on"), field.get("name"));
        let kind = On::read(&on).unwrap_or(On::One);
        if field.is_given() && !on.is_given() {
            on.refuse("must say what the value is read from, got nothing");
        }
        let needs_name = matches!(kind, On::Header | On::ResponseHeader | On::Body);
        if kind != On::Property && needs_name != name.is_given() {
            name.refuse("must be given on a header, response_header, body or property, and only there");
        }
        label::check_path(field, kind == On::Property);
        let is_late = match kind {
            On::One | On::Header | On::Property => false,
            On::ResponseHeader => moment == Moment::Request,
            On::RequestSize | On::ResponseSize | On::Duration | On::Body => moment != Moment::Log,
        };
        if is_late || kind == On::Header && moment == Moment::Response {
            on.refuse_text("must be at hand when the metric counts", on.text().unwrap_or_default());
        }
        let header = || {
            let header = name.header(false)?;
            if TEXTS.contains(&header.as_str()) {
                name.refuse_text("must be a header that holds a number", header.as_str());
            }
            Some(header)
        };
        let is_number = label::is_number(field, kind == On::Property, true);
        let from = match kind {
            On::One => From::One,
            On::Header => header().map_or(From::One, From::Header),
            On::ResponseHeader => header().map_or(From::One, From::ResponseHeader),
            On::RequestSize => From::RequestSize,
            On::ResponseSize => From::ResponseSize,
            On::Duration => From::Duration,
            On::Body => From::Body(body_field(&name, fields)),
            On::Property => From::Property(Path::read(field, is_number)),
        };
        let unsigned = |name: &str, least, most| {
            field.get(name).whole(least, most).and_then(|value| u64::try_from(value).ok())
        };
        Self {
            from,
            scale: unsigned("scale", 1, SCALE_LIMIT).unwrap_or(1),
            default: unsigned("default", 0, i64::MAX),
        }
    }

    /// Whether each exchange counts as one.
    pub fn is_one(&self) -> bool {
        matches!(self.from, From::One)
    }

    /// Its value.
    pub fn value(&self, facts: &Facts<'_>) -> Read {
        let scaled = |value: u64| Read { value: Some(value.saturating_mul(self.scale)), is_unread: false };
        let text = match &self.from {
            From::One => return scaled(1),
            From::RequestSize => return scaled(facts.request_size),
            From::ResponseSize => return scaled(facts.response_size),
            From::Duration => return facts.duration.map_or_else(|| self.none(false), scaled),
            From::Header(name) => facts.view.request_header(name.as_str()).map(<[u8]>::to_vec),
            From::ResponseHeader(name) => facts.view.response_header(name.as_str()).map(<[u8]>::to_vec),
            From::Property(path) => path.text(facts),
            From::Body(field) => {
                let Some(body) = facts.body else { return self.none(false) };
                let found = body.found().iter().find(|(found, _)| found == field);
                let Some((_, text)) = found else { return self.none(body.unread().is_some()) };
                Some(text.clone())
            }
        };
        let Some(text) = text else { return self.none(false) };
        match number(text.trim_ascii(), self.scale) {
            Some(value) => Read { value: Some(value), is_unread: false },
            None => self.none(true),
        }
    }

    fn none(&self, is_unread: bool) -> Read {
        Read { value: self.default, is_unread }
    }
}

fn body_field(name: &Field<'_, '_>, fields: &mut Vec<String>) -> usize {
    use filter_kit::json_body::FIELD_LIMIT;
    let text = name.text().unwrap_or_default();
    if !BodyFields::is_name(text) {
        name.refuse_text("must be names of members with dots between them, such as `order.total`", text);
    }
    if let Some(place) = fields.iter().position(|field| field == text) {
        return place;
    }
    if fields.len() == FIELD_LIMIT {
        name.refuse_got("must be one of at most 32 fields of the body", text);
    }
    fields.push(text.to_owned());
    fields.len() - 1
}

/// A number of decimal digits, with a point or without, times a factor, without what is behind the point then. `None` of anything else, of a
/// negative one, and of one over 2^63 - 1: gauges of Envoy have no more.
fn number(text: &[u8], scale: u64) -> Option<u64> {
    let mut halves = text.splitn(2, |byte| *byte == b'.');
    let (whole, part) = (halves.next()?, halves.next());
    if whole.is_empty() || part.is_some_and(<[u8]>::is_empty) {
        return None;
    }
    let mut value = 0_u64;
    for byte in whole {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit < 10)?;
        value = value.checked_mul(10)?.checked_add(u64::from(digit))?;
    }
    value = value.checked_mul(scale)?;
    // The factor is at most 10^9, so that digits beyond the ninth say nothing.
    let (mut digits, mut over) = (0_u64, 1_u64);
    for (place, byte) in part.unwrap_or_default().iter().enumerate() {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit < 10)?;
        if place < 9 {
            (digits, over) = (digits * 10 + u64::from(digit), over * 10);
        }
    }
    value.checked_add(digits.saturating_mul(scale) / over).filter(|value| i64::try_from(*value).is_ok())
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn numbers_are_whole_after_the_factor() {
        for (text, scale, expected) in [
            ("0", 1, Some(0)),
            ("42", 1, Some(42)),
            ("42.9", 1, Some(42)),
            ("12.345", 100, Some(1234)),
            ("0.000001", 1_000_000, Some(1)),
            ("1.99999999999999999999", 1000, Some(1999)),
            ("9223372036854775807", 1, Some(i64::MAX.cast_unsigned())),
            ("9223372036854775808", 1, None),
            ("18446744073709551616", 1, None),
            ("-1", 1, None),
            ("1e3", 1, None),
            ("1.", 1, None),
            (".5", 1, None),
            ("", 1, None),
            ("true", 1, None),
            ("1.2.3", 1, None),
        ] {
            assert_eq!(number(text.as_bytes(), scale), expected, "{text}");
        }
    }
}

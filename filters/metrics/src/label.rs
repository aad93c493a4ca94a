//! Labels of a defined metric: where their values come from, and what may become of them.

use crate::{facts::Facts, guard::Guard};
use filter_kit::{
    HeaderName, choices,
    metrics::{LABEL_LIMIT, Label},
    settings::Field,
};
use pii::Place;
use std::borrow::Cow;

/// The most parts of a property's path.
const PATH_LIMIT: usize = 16;
/// The most values in a label's mapping.
const MAP_LIMIT: usize = 256;
/// The most values of a label that a bound may allow.
const BOUND_LIMIT: i64 = 10_000;

/// Where a value comes from, as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum On {
    Header,
    ResponseHeader,
    Cookie,
    Query,
    Property,
    Route,
    Method,
    Status,
    StatusClass,
    Arm,
    Verdict,
    Principal,
    Constant,
}

choices!(On {
    "header" => Header,
    "response_header" => ResponseHeader,
    "cookie" => Cookie,
    "query" => Query,
    "property" => Property,
    "route" => Route,
    "method" => Method,
    "status" => Status,
    "status_class" => StatusClass,
    "arm" => Arm,
    "verdict" => Verdict,
    "principal" => Principal,
    "constant" => Constant,
});

/// Where a value comes from.
#[derive(Debug)]
enum From {
    Header(HeaderName),
    ResponseHeader(HeaderName),
    Cookie(Box<str>),
    Query(Box<str>),
    Property(Path),
    Route,
    Method,
    Status,
    StatusClass,
    Arm,
    Verdict,
    Principal,
    Constant(Label<'static>),
}

/// The path of a property of Envoy's, and whether its value is a number of 8 bytes.
#[derive(Debug)]
pub struct Path {
    parts: Box<[Box<str>]>,
    is_number: bool,
}

/// A label.
#[derive(Debug)]
pub struct Source {
    /// Its name.
    pub name: Box<str>,
    /// The most values that it may have.
    pub bound: Option<u32>,
    from: From,
    map: Box<[(Box<[u8]>, Label<'static>)]>,
    default: Label<'static>,
}

/// What became of a value.
#[derive(Debug)]
pub struct Value<'f> {
    /// The label's value.
    pub label: Label<'f>,
    /// Whether a client, or whoever else, may have written anything there.
    pub is_foreign: bool,
    /// Whether it was too long, so that the default stands for it.
    pub is_too_long: bool,
}

/// In which callback a metric counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// When the request's headers arrive.
    Request,
    /// When the response's headers arrive.
    Response,
    /// When the exchange is over.
    Log,
}

choices!(Moment { "request" => Request, "response" => Response, "log" => Log });

impl Path {
    /// Reads `name`, such as `request.protocol`, or `path`: a list of the parts, where one of them holds a dot.
    pub fn read(field: &Field<'_, '_>, is_number: bool) -> Self {
        let (name, path) = (field.get("name"), field.get("path"));
        let text = name.text().unwrap_or_default();
        let parts: Box<[Box<str>]> = if path.is_given() {
            path.items_up_to(PATH_LIMIT).map(|part| part.text().unwrap_or_default().into()).collect()
        } else {
            text.split('.').map(Into::into).collect()
        };
        if name.is_given() == path.is_given() || parts.is_empty() || parts.iter().any(|part| part.is_empty())
        {
            let rule = "must be the names of a property's path with dots between them, or else `path` a list of them";
            name.refuse_text(rule, text);
        }
        Self { parts, is_number }
    }

    /// The property's bytes, a number in digits.
    pub fn text(&self, facts: &Facts<'_>) -> Option<Vec<u8>> {
        let parts: Vec<&str> = self.parts.iter().map(|part| &**part).collect();
        let value = facts.view.property(&parts)?;
        if !self.is_number {
            return Some(value.to_vec());
        }
        let number = value.first_chunk().filter(|_| value.len() == 8)?;
        Some(i64::from_le_bytes(*number).to_string().into_bytes())
    }
}

impl Source {
    /// Reads a label of a metric that counts at this moment.
    pub fn read(field: &Field<'_, '_>, moment: Moment, has_verdict: bool) -> Option<Self> {
        field.only(&["label", "on", "name", "path", "value", "as", "map", "default", "limit"]);
        let (on, name, value) = (field.get("on"), field.get("name"), field.get("value"));
        let label = field.get("label").text().unwrap_or_default();
        let Some(kind) = On::read(&on) else {
            on.refuse("must say where the label's value comes from, got nothing");
            return None;
        };
        let needs_name =
            matches!(kind, On::Header | On::ResponseHeader | On::Cookie | On::Query | On::Property);
        if needs_name && kind != On::Property && name.text().unwrap_or_default().is_empty() {
            name.refuse("must be given on a header, response_header, cookie or query, got nothing");
            return None;
        }
        check_path(field, kind == On::Property);
        if !needs_name && let Some(text) = name.text() {
            name.refuse_text(
                "must be given on a header, response_header, cookie, query or property only",
                text,
            );
        }
        if kind != On::Constant
            && let Some(text) = value.text()
        {
            value.refuse_text("must be given on a constant only", text);
        }
        let of_response = matches!(kind, On::ResponseHeader | On::Status | On::StatusClass);
        if of_response && moment == Moment::Request {
            on.refuse_text("must be known when the request arrives", on.text().unwrap_or_default());
        }
        if kind == On::Verdict && !has_verdict {
            on.refuse("must not be `verdict` where `verdict.header` does not name the header with it");
        }
        let is_number = is_number(field, kind == On::Property, false);
        let from = match kind {
            On::Header => From::Header(name.header(false)?),
            On::ResponseHeader => From::ResponseHeader(name.header(false)?),
            On::Cookie => From::Cookie(name.text()?.into()),
            On::Query => From::Query(name.text()?.into()),
            On::Property => From::Property(Path::read(field, is_number)),
            On::Route => From::Route,
            On::Method => From::Method,
            On::Status => From::Status,
            On::StatusClass => From::StatusClass,
            On::Arm => From::Arm,
            On::Verdict => From::Verdict,
            On::Principal => From::Principal,
            On::Constant => From::Constant(own(&value)),
        };
        let map_field = field.get("map");
        let map: Box<[_]> = map_field.fields().map(|(from, to)| (from.as_bytes().into(), own(&to))).collect();
        if map.len() > MAP_LIMIT {
            map_field.refuse_got("must hold at most 256 values", &map.len().to_string());
        }
        let bound = field.get("limit").whole(1, BOUND_LIMIT).and_then(|bound| u32::try_from(bound).ok());
        let default = field.get("default");
        let default = if default.is_given() { own(&default) } else { Label::NONE };
        Some(Self { name: label.into(), bound, from, map, default })
    }

    /// Whether its value is known when the request arrives, and is not from then on.
    pub fn is_of_request(&self) -> bool {
        !matches!(self.from, From::ResponseHeader(_) | From::Status | From::StatusClass | From::Constant(_))
    }

    /// What a client, or whoever else, has written there.
    pub fn raw<'f>(&'f self, facts: &'f Facts<'_>) -> Option<Cow<'f, [u8]>> {
        let view = facts.view;
        match &self.from {
            From::Header(name) => view.request_header(name.as_str()).map(Cow::Borrowed),
            From::ResponseHeader(name) => view.response_header(name.as_str()).map(Cow::Borrowed),
            From::Cookie(name) => view.cookie(name).map(Cow::Borrowed),
            From::Query(name) => view.query_parameter(name),
            From::Property(path) => path.text(facts).map(Cow::Owned),
            From::Arm => facts.arm().map(Cow::Borrowed),
            From::Verdict => facts.verdict.and_then(|name| view.request_header(name)).map(Cow::Borrowed),
            From::Principal => view.principal().map(Cow::Borrowed),
            From::Route => Some(Cow::Borrowed(facts.route())),
            From::Method | From::Status | From::StatusClass | From::Constant(_) => None,
        }
    }

    /// Its value.
    pub fn value<'f>(&'f self, facts: &'f Facts<'_>) -> Value<'f> {
        let read = match &self.from {
            From::Method => return self.own(crate::names::method(facts.view.method()).as_bytes()),
            From::Status => return self.own(facts.status_text().as_bytes()),
            From::StatusClass => return self.own(facts.class().as_bytes()),
            From::Constant(label) => return self.own(label.as_str().as_bytes()),
            _ => self.raw(facts),
        };
        let is_default =
            |is_too_long| Value { label: borrowed(&self.default), is_foreign: false, is_too_long };
        let Some(read) = read.filter(|read| !read.is_empty()) else { return is_default(false) };
        if read.len() > LABEL_LIMIT && !matches!(self.from, From::Route) {
            return is_default(true);
        }
        if !self.map.is_empty() {
            return Value { label: self.mapped(&read), is_foreign: false, is_too_long: false };
        }
        Value { label: Label::from_cow(read), is_foreign: true, is_too_long: false }
    }

    /// A value that no client wrote, or that the mapping is for.
    fn own<'f>(&'f self, value: &'f [u8]) -> Value<'f> {
        let label = if self.map.is_empty() { Label::new(value) } else { self.mapped(value) };
        Value { label, is_foreign: false, is_too_long: false }
    }

    /// What the mapping makes of a value; the default of one that it is not for.
    fn mapped(&self, value: &[u8]) -> Label<'_> {
        let mapped = self.map.iter().find(|(from, _)| **from == *value).map(|(_, to)| to);
        borrowed(mapped.unwrap_or(&self.default))
    }

    /// What stands for a value in which there is something personal. It is looked through as it came: a label has other bytes in the place of spaces and
    /// the like.
    pub fn guarded(&self, guard: &Guard, raw: &[u8]) -> Option<Label<'static>> {
        let place = match &self.from {
            From::Route => return guard.route(raw),
            From::Header(name) | From::ResponseHeader(name) => Place::Field(name.as_str().as_bytes()),
            From::Cookie(name) => Place::Field(name.as_bytes()),
            From::Query(name) => {
                // `+` is a space in a query; a client that means a sign may have forgotten to escape it.
                let signed = || Some([b"+", raw.strip_prefix(b" ")?].concat());
                let place = Place::Field(name.as_bytes());
                return guard.replace(raw, place).or_else(|| guard.replace(&signed()?, place));
            }
            _ => Place::Text,
        };
        guard.replace(raw, place)
    }
}

/// Refuses `path` where there is no property.
pub fn check_path(field: &Field<'_, '_>, is_property: bool) {
    let path = field.get("path");
    if path.is_given() && !is_property {
        path.refuse("must be given on a property only");
    }
}

/// Reads `as`: whether a property is a number of 8 bytes, as `response.code` is.
pub fn is_number(field: &Field<'_, '_>, is_property: bool, otherwise: bool) -> bool {
    let kind = field.get("as");
    if !is_property && kind.is_given() {
        kind.refuse("must be given on a property only");
    }
    kind.choice(&["text", "number"]).map_or(otherwise, |choice| choice == 1)
}

/// A value that the configuration has; it may hold what a label may hold, and nothing else.
fn own(field: &Field<'_, '_>) -> Label<'static> {
    let text = field.word().unwrap_or_default();
    let label = Label::new(text.as_bytes());
    if label.as_str() != text {
        field.refuse_text("must be 1 to 128 bytes of visible ASCII without `;`", text);
    }
    label.into_owned()
}

fn borrowed<'f>(label: &'f Label<'static>) -> Label<'f> {
    Label::new(label.as_str().as_bytes())
}

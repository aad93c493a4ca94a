//! What goes beyond Istio's language: `outrigger` in a rule.

#[cfg(not(target_arch = "wasm32"))]
mod explain;

use crate::{
    address::Address,
    clock::Window,
    facts::Facts,
    fields::BodyFields,
    personal::Personal,
    program::Action,
    response::Response,
    sets::{SetId, Sets},
    truth::Truth,
};
use filter_kit::{
    Environment, HeaderName, View, choices,
    matcher::{self, Matcher},
    settings::Field,
};
use pii::Pii;

/// The most bytes of a body that are read where the configuration says nothing.
const BODY_BYTES: i64 = 65_536;
/// The most that it may say: Envoy's own limit of a buffer.
const MOST_BYTES: i64 = 1 << 20;

/// What rules share.
#[derive(Debug)]
pub struct Shared {
    /// What finds personal data.
    pub pii: Pii,
    /// The most bytes of a body that are read.
    pub limit_bytes: usize,
    /// Whether the headers wait for the body: only where the host has `allow_on_headers_stop_iteration`.
    pub is_held: bool,
}

impl Shared {
    /// Reads it from the filter's configuration.
    pub fn read(root: &Field<'_, '_>, environment: &Environment<'_>) -> Self {
        let body = root.get("body");
        body.only(&["limit_bytes", "hold_headers"]);
        let limit = body.get("limit_bytes").whole(1, MOST_BYTES).unwrap_or(BODY_BYTES);
        Self {
            pii: Pii::read(&root.get("pii"), environment),
            limit_bytes: usize::try_from(limit).unwrap_or(0),
            is_held: body.get("hold_headers").flag(false),
        }
    }
}

/// What is looked up in a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum On {
    Remote,
    Peer,
    Header,
    Cookie,
    Query,
    Path,
    Principal,
}

choices!(On {
    "remote" => Remote,
    "peer" => Peer,
    "header" => Header,
    "cookie" => Cookie,
    "query" => Query,
    "path" => Path,
    "principal" => Principal,
});

/// Whether something is in a set.
#[derive(Debug)]
struct Member {
    on: On,
    name: Box<str>,
    set: SetId,
    is_negated: bool,
}

/// A condition of a rule beyond Istio's, by its place where there may be several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Match(usize),
    Time,
    ContentType,
    Size,
    Headers,
    In(usize),
    PersonalData,
}

impl Part {
    /// Where it stands in `outrigger`.
    pub fn path(self) -> String {
        let (name, place) = match self {
            Self::Match(place) => (".match", Some(place)),
            Self::Time => (".time", None),
            Self::ContentType => (".content_type", None),
            Self::Size => (".size", None),
            Self::Headers => (".headers", None),
            Self::In(place) => (".in", Some(place)),
            Self::PersonalData => (".personal_data", None),
        };
        place.map_or_else(|| name.to_owned(), |place| [name, "[", &place.to_string(), "]"].concat())
    }
}

/// Conditions of a rule beyond Istio's. All must hold.
#[derive(Debug)]
pub struct Extension {
    matchers: Vec<Matcher>,
    members: Vec<Member>,
    content_types: Vec<Box<str>>,
    size: Option<(u64, u64)>,
    /// More request headers, or more bytes of them.
    headers_over: Option<(usize, usize)>,
    window: Option<Window>,
    personal: Option<Personal>,
    /// Fields of the request's body.
    pub body: Option<BodyFields>,
    /// The response.
    pub response: Option<Response>,
}

impl Extension {
    /// Reads them.
    pub fn read(field: &Field<'_, '_>, action: Action, sets: &Sets) -> Self {
        field.only(&[
            "match",
            "in",
            "content_type",
            "size",
            "headers",
            "time",
            "personal_data",
            "body",
            "response",
        ]);
        let [size, headers, time] = ["size", "headers", "time"].map(|name| field.get(name));
        let [personal, body, response] = ["personal_data", "body", "response"].map(|name| field.get(name));
        size.only(&["min", "max"]);
        headers.only(&["count_over", "bytes_over"]);
        body.only(&["fields"]);
        let unsigned = |field: &Field<'_, '_>, name| {
            let number = field.get(name).whole(0, i64::MAX)?;
            u64::try_from(number).ok()
        };
        let count = |name| {
            unsigned(&headers, name).and_then(|count| usize::try_from(count).ok()).unwrap_or(usize::MAX)
        };
        if response.is_given() && (action == Action::Allow || body.is_given()) {
            response.refuse("must stand in a DENY or AUDIT policy, and not beside body");
        }
        let types = field.get("content_type");
        Self {
            matchers: matcher::compile_all(&field.get("match")),
            members: field.get("in").items_up_to(64).filter_map(|item| Member::read(&item, sets)).collect(),
            content_types: types.items_up_to(64).filter_map(|item| item.text()).map(Into::into).collect(),
            size: size
                .is_given()
                .then(|| (unsigned(&size, "min").unwrap_or(0), unsigned(&size, "max").unwrap_or(u64::MAX))),
            headers_over: headers.is_given().then(|| (count("count_over"), count("bytes_over"))),
            window: time.is_given().then(|| Window::read(&time)),
            personal: personal.is_given().then(|| Personal::read(&personal, action)),
            body: body.is_given().then(|| BodyFields::read(&body.get("fields"))),
            response: response.is_given().then(|| Response::read(&response)),
        }
    }

    /// What they say of a request's headers.
    pub fn holds(&self, facts: &Facts<'_>, sets: &Sets, pii: &Pii) -> Truth {
        let mut truth = Truth::True;
        self.each(facts, sets, pii, &mut |_, said| {
            truth = truth.and(said);
            truth != Truth::False
        });
        truth
    }

    /// Calls `each` with what every condition says of a request's headers, as long as it answers that it wants to hear more.
    pub fn each(
        &self,
        facts: &Facts<'_>,
        sets: &Sets,
        pii: &Pii,
        each: &mut dyn FnMut(Part, Truth) -> bool,
    ) -> bool {
        let view = facts.view();
        let said = |said: Option<bool>| said.map_or(Truth::Error, Truth::from);
        let mut matchers = self.matchers.iter().zip(0..);
        if !matchers.all(|(matcher, place)| each(Part::Match(place), said(matcher.says(view)))) {
            return false;
        }
        if let Some(window) = &self.window
            && !each(Part::Time, window.is_open(view.now()).into())
        {
            return false;
        }
        if !self.content_types.is_empty() {
            let kind = view.request_header("content-type").map(media_type).unwrap_or_default();
            let has = self.content_types.iter().any(|one| kind.eq_ignore_ascii_case(one.as_bytes()));
            if !each(Part::ContentType, has.into()) {
                return false;
            }
        }
        if let Some((least, most)) = self.size {
            let said = size(view).map_or(Truth::Error, |size| (least..=most).contains(&size).into());
            if !each(Part::Size, said) {
                return false;
            }
        }
        if let Some((count, bytes)) = self.headers_over {
            let (headers, size) = headers_of(view);
            if !each(Part::Headers, (headers > count || size > bytes).into()) {
                return false;
            }
        }
        let mut members = self.members.iter().zip(0..);
        if !members.all(|(member, place)| each(Part::In(place), member.holds(facts, sets))) {
            return false;
        }
        match &self.personal {
            Some(personal) => each(Part::PersonalData, personal.is_found(view, pii)),
            None => true,
        }
    }

    /// What the rule is about personal data.
    pub fn personal(&self) -> Option<&Personal> {
        self.personal.as_ref()
    }
}

impl Member {
    fn read(item: &Field<'_, '_>, sets: &Sets) -> Option<Self> {
        item.only(&["on", "name", "set", "not"]);
        let (on, name) = (item.get("on"), item.get("name"));
        let Some(on) = On::read(&on) else {
            on.refuse("must say what is looked up, got nothing");
            return None;
        };
        let is_named = matches!(on, On::Header | On::Cookie | On::Query);
        if is_named != name.text().is_some_and(|name| !name.is_empty()) {
            name.refuse("must be given on a header, cookie or query, and only there");
        }
        let name = match on {
            On::Header => name.header(false).as_ref().map(HeaderName::as_str).unwrap_or_default().into(),
            _ => name.text().unwrap_or_default().into(),
        };
        let set = sets.named(&item.get("set"), matches!(on, On::Remote | On::Peer))?;
        Some(Self { on, name, set, is_negated: item.get("not").flag(false) })
    }

    fn holds(&self, facts: &Facts<'_>, sets: &Sets) -> Truth {
        let view = facts.view();
        let is_in = |value: &[u8]| sets.has(self.set, value);
        let has = |value: Option<&[u8]>| value.is_some_and(is_in).into();
        // As of `match`: nothing can be said where it is of one of several values, and not of another.
        let agreed = |said: Option<bool>| said.map_or(Truth::Error, Truth::from);
        let address = |text: Option<&[u8]>| match text {
            None => Truth::Error,
            Some(text) => match Address::read(text) {
                Some((address, _)) => sets.holds(self.set, address).into(),
                None => Truth::False,
            },
        };
        let truth = match self.on {
            On::Remote => address(facts.remote()),
            On::Peer => address(facts.peer()),
            On::Header => facts.headers(self.name.as_bytes()).any(is_in).into(),
            On::Cookie => agreed(matcher::agreed(view.cookies(&self.name).map(is_in))),
            On::Query => {
                agreed(matcher::agreed(view.query_parameters(&self.name).map(|value| is_in(&value))))
            }
            On::Path => has(Some(view.path())),
            On::Principal => has(view.principal()),
        };
        if self.is_negated { !truth } else { truth }
    }
}

/// The media type of a `content-type`, without its parameters.
pub fn media_type(value: &[u8]) -> &[u8] {
    value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii()
}

/// How many headers a request has, and of how many bytes, but for those that begin with `:`.
fn headers_of(view: &View<'_>) -> (usize, usize) {
    let headers = view.request_headers().iter().filter(|(name, _)| !name.starts_with(b":"));
    headers.fold((0, 0), |(count, size), (name, value)| {
        (count + 1, size.saturating_add(name.len()).saturating_add(value.len()))
    })
}

/// The size of the request's body by `content-length`; 0 where none comes.
fn size(view: &View<'_>) -> Option<u64> {
    match view.request_header("content-length") {
        Some(length) => std::str::from_utf8(length).ok()?.parse().ok(),
        None => view.is_last().then_some(0),
    }
}

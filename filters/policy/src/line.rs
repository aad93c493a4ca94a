//! Lines of JSON in the proxy's log. What they have of a request is redacted, and cut.

use crate::Policy;
use filter_kit::{Bounded, Effects, Level, View, json};
use pii::Place;
use std::borrow::Cow;

/// The most bytes of a target that are gone through. A longer one is not shown: what is cut before it is redacted could be a part of a value.
const TARGET: usize = 8192;
/// The most bytes of a path, of a host and of a method in a line.
const SHOWN: [usize; 3] = [512, 128, 16];

/// What a line has of a request.
#[derive(Debug)]
pub struct Request<'r> {
    method: Cow<'r, [u8]>,
    authority: Cow<'r, [u8]>,
    target: Cow<'r, [u8]>,
}

impl<'r> Request<'r> {
    /// That of a request whose headers are at hand.
    pub fn of(view: &'r View<'_>) -> Self {
        let short = |name: &str| {
            let value = view.request_header(name).unwrap_or_default();
            Cow::Borrowed(if value.len() > TARGET { &b"[TOO_LONG]"[..] } else { value })
        };
        Self { method: short(":method"), authority: short(":authority"), target: short(":path") }
    }

    /// That of a request that is remembered.
    pub fn into_owned(self) -> Request<'static> {
        let own = |value: Cow<'_, [u8]>| Cow::Owned(value.into_owned());
        Request { method: own(self.method), authority: own(self.authority), target: own(self.target) }
    }
}

/// Writes a member of an object: its name, and the text as a string.
pub fn member(out: &mut String, name: &str, text: &str) {
    out.push(if out.is_empty() { '{' } else { ',' });
    json::string(out, name);
    out.push(':');
    json::string(out, text);
}

impl Policy {
    /// A value of the request, redacted and cut.
    pub fn shown(&self, value: &[u8], place: Place<'_>, view: &View<'_>, most: usize) -> String {
        let day = u32::try_from(view.now() / 86_400_000_000_000).unwrap_or(u32::MAX);
        let pii = &self.shared.pii;
        pii.engine.redact(value, place, pii.tokens.key(day).as_ref()).cut(most).into_string()
    }

    /// Writes a line: what is told, which is JSON under this name, and the request that it is of, whose headers are at hand where none is remembered.
    pub fn log(
        &self,
        name: &str,
        told: &str,
        view: &View<'_>,
        request: Option<&Request<'_>>,
        effects: &mut Effects<'_>,
    ) {
        let at_hand;
        let request = if let Some(request) = request {
            request
        } else {
            at_hand = Request::of(view);
            &at_hand
        };
        let mut line = String::with_capacity(256);
        line.push('{');
        json::string(&mut line, name);
        line.push(':');
        line.push_str(told);
        let [path, host, method] = SHOWN;
        for (name, value, most) in [
            ("method", &request.method, method),
            ("authority", &request.authority, host),
            ("path", &request.target, path),
        ] {
            member(&mut line, name, &self.shown(value, Place::Text, view, most));
        }
        line.push('}');
        effects.log(Level::Info, Bounded::json(line));
    }
}

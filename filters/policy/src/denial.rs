//! What a request that is denied is answered: nothing of the request's own.

use filter_kit::{Bounded, HeaderName, settings::Field};

/// The answer of Istio and Envoy.
const BODY: &str = "RBAC: access denied";

/// The most headers of an answer.
const HEADERS: usize = 16;

/// Where a denial stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DenialField {
    /// Beside the policies: the answer where a policy has none of its own.
    Default,
    /// In a policy's `outrigger`.
    Policy,
}

/// What a request that is denied is answered.
#[derive(Debug)]
pub struct Denial {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: Box<str>,
    /// Further headers.
    pub headers: Vec<(HeaderName, Bounded<'static>)>,
    /// A code for machines, in records and in the header `x-policy-reason`.
    pub reason: Option<Bounded<'static>>,
    /// The header with the reason.
    pub reason_header: Option<HeaderName>,
}

impl Denial {
    /// Reads it.
    pub fn read(field: &Field<'_, '_>, place: DenialField) -> Self {
        let names = ["status", "body", "headers", "reason"];
        field.only(&names);
        if place == DenialField::Policy && !names.iter().any(|name| field.get(name).is_given()) {
            field.refuse("must have status, body, headers or reason");
        }
        let status = field.get("status").whole(400, 599).and_then(|status| u16::try_from(status).ok());
        let body = field.get("body");
        let text = body.text().unwrap_or(BODY);
        if text.len() > 4096 {
            body.refuse_got("must have at most 4096 bytes", &text.len().to_string());
        }
        let list = field.get("headers");
        if list.fields().count() > HEADERS {
            list.refuse_got("must hold at most 16", &list.fields().count().to_string());
        }
        let headers = list.fields().filter_map(|(name, value)| {
            let name = value.header_named(name, true)?;
            let text = value.text()?;
            if text.len() > 1024 || text.chars().any(char::is_control) {
                value.refuse("must be a text of at most 1024 bytes without control characters");
            }
            Some((name, Bounded::own(text.to_owned())))
        });
        let headers = headers.collect();
        let reason = field.get("reason");
        let code = reason.text();
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if let Some(text) = code.filter(|text| text.is_empty() || text.len() > 64 || !text.bytes().all(fits))
        {
            reason.refuse_text("must be 1 to 64 letters, digits, `-`, `_` and `.`", text);
        }
        Self {
            status: status.unwrap_or(403),
            body: text.into(),
            headers,
            reason_header: code.and_then(|_| HeaderName::writable("x-policy-reason").ok()),
            reason: code.map(|code| Bounded::own(code.to_owned())),
        }
    }
}

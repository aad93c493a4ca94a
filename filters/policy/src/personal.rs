//! Personal data in the wrong place: in a path, a query, the names or the values of headers.

use crate::{program::Action, truth::Truth};
use filter_kit::{Effects, HeaderName, View, choices, settings::Field};
use pii::{Entity, Findings, Pii, Place, Set};

/// The most headers of a rule.
const HEADERS: usize = 32;

/// A part of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Path,
    Query,
    HeaderNames,
    Headers,
}

choices!(Part {
    "path" => Path,
    "query" => Query,
    "header_names" => HeaderNames,
    "headers" => Headers,
});

/// Which personal data a request has where it must not.
#[derive(Debug)]
pub struct Personal {
    parts: Vec<Part>,
    entities: Set,
    headers: Vec<HeaderName>,
    /// The target, where the query is to be redacted.
    redacted: Option<HeaderName>,
}

impl Personal {
    /// Reads it.
    pub fn read(field: &Field<'_, '_>, action: Action) -> Self {
        field.only(&["in", "entities", "headers", "redact"]);
        let (places, list) = (field.get("in"), field.get("entities"));
        let mut parts: Vec<Part> = places.items_up_to(4).filter_map(|item| Part::read(&item)).collect();
        if parts.is_empty() {
            parts = vec![Part::Path, Part::Query];
        }
        let mut entities = Set::EMPTY;
        for item in list.items_up_to(Entity::ALL.len()) {
            let id = item.text().unwrap_or_default();
            match Entity::from_id(id) {
                Some(entity) => entities = entities.with(entity),
                None => item.refuse_text("must be the id of an entity", id),
            }
        }
        let headers_field = field.get("headers");
        let headers: Vec<_> =
            headers_field.items_up_to(HEADERS).filter_map(|item| item.header(false)).collect();
        if parts.contains(&Part::Headers) == headers.is_empty() {
            headers_field.refuse("must name headers where `in` has headers, and only there");
        }
        let redact = field.get("redact");
        let is_redacted = redact.flag(false);
        if is_redacted
            && (action != Action::Audit
                || !parts.iter().all(|part| matches!(part, Part::Query | Part::Headers)))
        {
            redact.refuse("must stand in an AUDIT policy, for query and headers alone: a path cannot be changed without changing what is asked for");
        }
        if is_redacted && headers.iter().any(|name| HeaderName::writable(name.as_str()).is_err()) {
            headers_field.refuse("must hold headers that a filter may write, where they are redacted");
        }
        Self {
            parts,
            entities: if list.is_empty() { Set::all() } else { entities },
            headers,
            redacted: is_redacted.then(|| HeaderName::parse(":path").ok()).flatten(),
        }
    }

    /// Whether the request has some of it. What cannot be decoded is neither.
    pub fn is_found(&self, view: &View<'_>, pii: &Pii) -> Truth {
        Truth::any(self.parts.iter().map(|part| match part {
            Part::Path => self.target(view, pii, true),
            Part::Query => self.target(view, pii, false),
            Part::HeaderNames => Truth::any(view.request_headers().iter().map(|(name, value)| {
                // A name says what its value is only where it is the field of something.
                let _ = value;
                self.truth(&pii.engine.find(name, Place::Text), |_| true)
            })),
            Part::Headers => Truth::any(self.headers.iter().flat_map(|header| {
                let name = header.as_str();
                let values = view.request_headers().all(name);
                values
                    .map(|value| self.truth(&pii.engine.find(value, Place::Field(name.as_bytes())), |_| true))
            })),
        }))
    }

    fn target(&self, view: &View<'_>, pii: &Pii, is_path: bool) -> Truth {
        let end = view.path().len();
        let found = pii.engine.find(view.target(), Place::Text);
        self.truth(&found, |span| if is_path { span.start < end } else { span.end > end })
    }

    fn truth(&self, found: &Findings, is_here: impl Fn(&pii::Finding) -> bool) -> Truth {
        let here = found.spans().iter().filter(|span| is_here(span));
        Truth::any(here.map(|span| match span.entity {
            entity if self.entities.has(entity) => Truth::True,
            Entity::Undecodable => Truth::Error,
            _ => Truth::False,
        }))
    }

    /// Redacts the query and the headers of a request that goes on.
    pub fn redact<'a>(&'a self, view: &'a View<'_>, pii: &Pii, effects: &mut Effects<'a>) {
        let Some(path_header) = &self.redacted else { return };
        let day = u32::try_from(view.now() / 86_400_000_000_000).unwrap_or(u32::MAX);
        let key = pii.tokens.key(day);
        if self.parts.contains(&Part::Query) {
            let target = view.target();
            let found = pii.engine.find(target, Place::Text);
            let end = view.path().len();
            if found.spans().iter().any(|span| span.end > end) {
                let query = pii.engine.write_part(target, end..target.len(), &found, key.as_ref());
                let redacted = [view.path(), query.as_str().as_bytes()].concat();
                effects.set_request_header(path_header, redacted);
            }
        }
        for header in &self.headers {
            let name = header.as_str();
            for (place, value) in view.request_headers().all(name).enumerate() {
                let redacted = pii.engine.redact(value, Place::Field(name.as_bytes()), key.as_ref());
                let bytes = redacted.as_str().as_bytes().to_vec();
                if place == 0 {
                    effects.set_request_header(header, bytes);
                } else {
                    effects.add_request_header(header, bytes);
                }
            }
        }
    }
}

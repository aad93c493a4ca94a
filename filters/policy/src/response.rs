//! What a response is: its status, its content type, a header.

use crate::{extension::media_type, truth::Truth};
use filter_kit::{HeaderName, View, settings::Field};

/// Conditions on a response. All must hold.
#[derive(Debug)]
pub struct Response {
    /// The first and the last status of each range.
    statuses: Vec<(u16, u16)>,
    content_types: Vec<Box<str>>,
    header: Option<(HeaderName, Option<Box<[u8]>>)>,
}

impl Response {
    /// Reads them.
    pub fn read(field: &Field<'_, '_>) -> Self {
        field.only(&["status", "content_type", "header"]);
        let mut statuses = Vec::new();
        for item in field.get("status").items_up_to(32) {
            let text = item.word().unwrap_or_default();
            let range = match text.strip_suffix("xx") {
                Some(class) => class.parse().ok().map(|class: u16| (class, 100)),
                None => text.parse().ok().map(|status: u16| (status, 1)),
            };
            match range {
                Some((class @ 1..=5, 100)) => statuses.push((class * 100, class * 100 + 99)),
                Some((status @ 100..=599, 1)) => statuses.push((status, status)),
                _ => item.refuse_text("must be a status as 404 or 5xx", text),
            }
        }
        let header = field.get("header");
        header.only(&["name", "exact"]);
        let name = header.get("name").header(false);
        if header.is_given() && name.is_none() {
            header.get("name").refuse("must be the name of a header, got nothing");
        }
        let exact = header.get("exact").text().map(|text| text.as_bytes().into());
        let types = field.get("content_type");
        let content_types = types.items_up_to(32).filter_map(|item| item.text()).map(Into::into).collect();
        let response = Self { statuses, content_types, header: name.map(|name| (name, exact)) };
        if response.statuses.is_empty() && response.content_types.is_empty() && response.header.is_none() {
            field.refuse("must have status, content_type or header");
        }
        response
    }

    /// What they say of a response.
    pub fn holds(&self, view: &View<'_>) -> Truth {
        let status = match view.status() {
            _ if self.statuses.is_empty() => Truth::True,
            Some(status) => {
                self.statuses.iter().any(|(first, last)| (*first..=*last).contains(&status)).into()
            }
            None => Truth::Error,
        };
        let kind = view.response_header("content-type").map(media_type);
        let is_of_type = self.content_types.is_empty()
            || kind.is_some_and(|kind| {
                self.content_types.iter().any(|one| kind.eq_ignore_ascii_case(one.as_bytes()))
            });
        let has_header = self.header.as_ref().is_none_or(|(name, exact)| {
            let mut values = view.response_headers().all(name.as_str());
            values.any(|value| exact.as_ref().is_none_or(|exact| **exact == *value))
        });
        status.and(is_of_type.into()).and(has_header.into())
    }
}

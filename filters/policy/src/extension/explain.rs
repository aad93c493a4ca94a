//! Why each condition beyond Istio's holds or does not.

use super::{Extension, On, Part, headers_of, media_type, size};
use filter_kit::{
    View,
    explain::{Clause, listed},
};

impl Extension {
    /// Notes the conditions in a `match`.
    pub fn explain_match(&self, place: usize, view: &View<'_>, path: &str, clauses: &mut Vec<Clause>) {
        if let Some(matcher) = self.matchers.get(place) {
            matcher.explain(view, path, clauses);
        }
    }

    /// Why a condition says what it says.
    pub fn reason(&self, part: Part, is_true: bool, view: &View<'_>) -> String {
        match part {
            Part::Match(_) => String::new(),
            Part::Time if is_true => "it is within the window".to_owned(),
            Part::Time => "it is outside of the window".to_owned(),
            Part::ContentType => {
                let kind = view.request_header("content-type").map(media_type).unwrap_or_default();
                let wanted = listed(self.content_types.iter().map(|one| one.as_bytes()));
                [&listed([kind]), " must be one of ", &wanted].concat()
            }
            Part::Size => size(view).map_or_else(
                || "no content-length says the size".to_owned(),
                |size| [&size.to_string(), " bytes"].concat(),
            ),
            Part::Headers => {
                let (count, size) = headers_of(view);
                [&count.to_string(), " headers of ", &size.to_string(), " bytes"].concat()
            }
            Part::In(place) => self.members.get(place).map_or_else(String::new, |member| {
                let what = match member.on {
                    On::Remote => "the client's address",
                    On::Peer => "the direct peer's address",
                    On::Header => "the header",
                    On::Cookie => "the cookie",
                    On::Query => "the query parameter",
                    On::Path => "the path",
                    On::Principal => "the principal",
                };
                let must = if member.is_negated { " must not be in the set" } else { " must be in the set" };
                [what, must].concat()
            }),
            Part::PersonalData => "whether there is such data".to_owned(),
        }
    }
}

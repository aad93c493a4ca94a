//! What each condition beyond Istio's says of a request's headers.

use super::{Extension, On, media_type, size};
use crate::{facts::Facts, policy_set::PolicySet, truth::Truth};
use filter_kit::explain::{Clause, listed};
use pii::Pii;

impl Extension {
    /// Notes what the conditions at `at` say; what they say together is what [`holds`](Self::holds) says.
    pub fn explain(
        &self,
        facts: &Facts<'_>,
        set: &PolicySet,
        pii: &Pii,
        at: &str,
        clauses: &mut Vec<Clause>,
    ) -> Truth {
        let view = facts.view();
        let mut all = Truth::True;
        for (place, matcher) in self.matchers.iter().enumerate() {
            matcher.explain(view, &[at, ".match[", &place.to_string(), "]"].concat(), clauses);
            all = all.and(matcher.matches(view).into());
        }
        let mut note = |field: &str, said: Truth, reason: String| {
            let result = match said {
                Truth::True => Some(true),
                Truth::False => Some(false),
                Truth::Error => None,
            };
            clauses.push(Clause::new([at, field].concat(), result, reason));
            all = all.and(said);
        };
        if let Some(window) = &self.window {
            let is_open = window.is_open(view.now());
            note(
                ".time",
                is_open.into(),
                if is_open { "it is within the window" } else { "it is outside of the window" }.to_owned(),
            );
        }
        if !self.content_types.is_empty() {
            let kind = view.request_header("content-type").map(media_type).unwrap_or_default();
            let has = self.content_types.iter().any(|one| kind.eq_ignore_ascii_case(one.as_bytes()));
            let wanted = listed(self.content_types.iter().map(|one| one.as_bytes()));
            note(".content_type", has.into(), [&listed([kind]), " must be one of ", &wanted].concat());
        }
        if let Some((least, most)) = self.size {
            let size = size(view);
            let said = size.map_or(Truth::Error, |size| (least..=most).contains(&size).into());
            let told = size.map_or_else(
                || "no content-length says the size".to_owned(),
                |size| [&size.to_string(), " bytes"].concat(),
            );
            note(".size", said, told);
        }
        if let Some((count, bytes)) = self.headers_over {
            let headers = view.request_headers().iter().filter(|(name, _)| !name.starts_with(b":"));
            let (seen, size) = headers.fold((0_usize, 0_usize), |(count, size), (name, value)| {
                (count + 1, size.saturating_add(name.len()).saturating_add(value.len()))
            });
            let reason = [&seen.to_string(), " headers of ", &size.to_string(), " bytes"].concat();
            note(".headers", (seen > count || size > bytes).into(), reason);
        }
        for (place, member) in self.members.iter().enumerate() {
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
            let path = [".in[", &place.to_string(), "]"].concat();
            note(&path, member.holds(facts, &set.sets), [what, must].concat());
        }
        if let Some(personal) = &self.personal {
            note(".personal_data", personal.is_found(view, pii), "whether there is such data".to_owned());
        }
        all
    }
}

//! What each part of a condition says of a request.

use super::{Condition, Matcher, Subject, Test};
use crate::{
    View,
    explain::{Clause, listed, shown},
};
use std::borrow::Cow;

impl Matcher {
    /// Notes what the condition at `path`, and each condition in it, says of the request.
    pub fn explain(&self, view: &View<'_>, path: &str, clauses: &mut Vec<Clause>) {
        let (parts, word) = match &self.condition {
            Condition::Test(subject, test) => {
                let seen = subject.seen(view);
                let negated = if self.expected { "" } else { "not " };
                let reason = [&seen, ", and must ", negated, &test.told()].concat();
                clauses.push(Clause::new(path, self.says(view), reason));
                return;
            }
            Condition::All(parts) => (parts, "all"),
            Condition::Any(parts) => (parts, "any"),
        };
        let mut inner = [path, ".", if self.expected { "" } else { "not." }, word].concat();
        inner.push('[');
        for (place, part) in parts.iter().enumerate() {
            part.explain(view, &[&inner, &place.to_string(), "]"].concat(), clauses);
        }
        let negated = if self.expected { "" } else { "not " };
        clauses.push(Clause::new(
            path,
            self.says(view),
            [negated, word, " of the conditions in it"].concat(),
        ));
    }
}

impl Subject {
    /// What the request has there.
    fn seen(&self, view: &View<'_>) -> String {
        let of = |what: &str, name: &str, values: &[&[u8]]| match values {
            [] => ["there is no ", what, name].concat(),
            values => [what, name, " is ", &listed(values.iter().copied())].concat(),
        };
        match self {
            Self::Header(name) => {
                of("header ", name.as_str(), &view.request_headers().all(name.as_str()).collect::<Vec<_>>())
            }
            Self::Cookie(name) => of("cookie ", name, &view.cookies(name).collect::<Vec<_>>()),
            Self::Query(name) => {
                let values: Vec<Cow<'_, [u8]>> = view.query_parameters(name).collect();
                of("query parameter ", name, &values.iter().map(|value| &**value).collect::<Vec<_>>())
            }
            Self::Method => of("method", "", &[view.method()]),
            Self::Path => of("path", "", &[view.path()]),
            Self::Principal => of("principal", "", view.principal().as_slice()),
        }
    }
}

impl Test {
    /// What it asks for.
    fn told(&self) -> String {
        match self {
            Self::Exact(text) => ["be ", &shown(text)].concat(),
            Self::Prefix(text) => ["begin with ", &shown(text)].concat(),
            Self::SegmentPrefix(text) => ["begin with the segments of ", &shown(text)].concat(),
            Self::Suffix(text) => ["end with ", &shown(text)].concat(),
            Self::Regex(_) => "match the regular expression".to_owned(),
            Self::Template(_) => "match the template".to_owned(),
            Self::Present => "be there".to_owned(),
        }
    }
}

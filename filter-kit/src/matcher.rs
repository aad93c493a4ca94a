//! Conditions on a request, as every filter's configuration writes them.
//!
//! ```json
//! [{"on": "path", "prefix": "/shop"}, {"not": {"any": [{"on": "header", "name": "x-tester", "present": true}, {"on": "method", "exact": "POST"}]}}]
//! ```

mod config;
#[cfg(not(target_arch = "wasm32"))]
mod explain;
#[cfg(test)]
mod tests;

pub use config::{compile, compile_all, compile_all_plain};

use crate::{HeaderName, Template, View};
use std::fmt;

/// The longest value that a regex is tried on, in bytes; a longer one does not match. It bounds what a client can make a request cost.
pub const REGEX_INPUT_LIMIT: usize = 4096;

/// A condition, compiled.
#[derive(Debug)]
pub struct Matcher {
    condition: Condition,
    expected: bool,
}

#[derive(Debug)]
enum Condition {
    Test(Subject, Test),
    All(Box<[Matcher]>),
    Any(Box<[Matcher]>),
}

#[derive(Debug)]
enum Subject {
    Header(HeaderName),
    Cookie(Box<str>),
    Query(Box<str>),
    Method,
    Path,
    Principal,
}

#[derive(Debug)]
enum Test {
    Exact(Box<[u8]>),
    Prefix(Box<[u8]>),
    SegmentPrefix(Box<[u8]>),
    Suffix(Box<[u8]>),
    Regex(Pattern),
    Template(Template),
    Present,
}

/// A regular expression, behind a pointer: a filter whose conditions have none has no code for them.
struct Pattern(Box<dyn Fn(&str) -> bool>);

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pattern")
    }
}

impl Matcher {
    /// Calls `each` with every header of which the condition reads no more than the first value, and with `None` where it reads more.
    pub fn single_headers(&self, each: &mut dyn FnMut(Option<&'static str>)) {
        match &self.condition {
            Condition::Test(subject, _) => match subject {
                Subject::Header(_) => each(None),
                Subject::Cookie(_) => each(Some("cookie")),
                Subject::Query(_) | Subject::Path => each(Some(":path")),
                Subject::Method => each(Some(":method")),
                Subject::Principal => {}
            },
            Condition::All(parts) | Condition::Any(parts) => {
                parts.iter().for_each(|part| part.single_headers(each));
            }
        }
    }

    /// Calls `each` with the header that every subject of the condition stands in, as a cache must know it; a principal is in none.
    pub fn subjects(&self, each: &mut dyn FnMut(&str)) {
        match &self.condition {
            Condition::Test(Subject::Header(name), _) => each(name.as_str()),
            Condition::Test(Subject::Cookie(_), _) => each("cookie"),
            Condition::Test(..) => {}
            Condition::All(parts) | Condition::Any(parts) => {
                parts.iter().for_each(|part| part.subjects(each));
            }
        }
    }

    /// What the path must be, and whether that is all of it or whole segments at its beginning; `None` where the condition says something else.
    pub fn path(&self) -> Option<(&[u8], bool)> {
        match &self.condition {
            Condition::Test(Subject::Path, Test::Exact(text)) if self.expected => Some((text, true)),
            Condition::Test(Subject::Path, Test::SegmentPrefix(text)) if self.expected => Some((text, false)),
            _ => None,
        }
    }

    /// Whether the condition holds for the request; what cannot be said does not.
    pub fn matches(&self, view: &View<'_>) -> bool {
        self.says(view) == Some(true)
    }

    /// What the condition says of the request; `None` where nothing can be said: a cookie or a query parameter is there several times, and the condition
    /// holds for some of the values and not for others. Servers take the first or the last.
    pub fn says(&self, view: &View<'_>) -> Option<bool> {
        // What one part says decides, whatever cannot be said of another: Kleene's strong logic.
        let decided_by = |parts: &[Self], deciding: bool| {
            let mut said = Some(!deciding);
            for part in parts {
                match part.says(view) {
                    Some(part) if part == deciding => return Some(deciding),
                    Some(_) => {}
                    None => said = None,
                }
            }
            said
        };
        let found = match &self.condition {
            Condition::Test(subject, test) => subject.is_met(test, view)?,
            Condition::All(parts) => decided_by(parts, false)?,
            Condition::Any(parts) => decided_by(parts, true)?,
        };
        Some(found == self.expected)
    }
}

/// What is said of each of several values, where it is the same of all; of none it is false.
pub fn agreed(mut said: impl Iterator<Item = bool>) -> Option<bool> {
    let Some(first) = said.next() else { return Some(false) };
    said.all(|other| other == first).then_some(first)
}

impl Subject {
    fn is_met(&self, test: &Test, view: &View<'_>) -> Option<bool> {
        Some(match self {
            Self::Header(name) => view.request_headers().all(name.as_str()).any(|value| test.holds(value)),
            Self::Cookie(name) => return agreed(view.cookies(name).map(|value| test.holds(value))),
            Self::Query(name) => return agreed(view.query_parameters(name).map(|value| test.holds(&value))),
            Self::Method => test.holds(view.method()),
            Self::Path => test.holds(view.path()),
            Self::Principal => view.principal().is_some_and(|value| test.holds(value)),
        })
    }
}

impl Test {
    fn holds(&self, value: &[u8]) -> bool {
        match self {
            Self::Exact(text) => value == &**text,
            Self::Prefix(text) => value.starts_with(text),
            Self::SegmentPrefix(text) => {
                value.strip_prefix(&**text).is_some_and(|rest| rest.first().is_none_or(|&byte| byte == b'/'))
            }
            Self::Suffix(text) => value.ends_with(text),
            Self::Regex(regex) => {
                value.len() <= REGEX_INPUT_LIMIT && std::str::from_utf8(value).is_ok_and(|text| regex.0(text))
            }
            Self::Template(template) => template.matches(value),
            Self::Present => true,
        }
    }
}

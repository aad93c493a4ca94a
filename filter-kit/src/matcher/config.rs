//! Conditions as they are written.

use super::{Condition, Matcher, Subject, Test};
use crate::{
    ConfigError, HeaderName, Template, choices, fields,
    settings::{Node, Setting, wrong_type},
};
use regex_lite::{Regex, RegexBuilder};

/// The part of a request that a condition looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum On {
    /// The values of a header, each by itself.
    #[default]
    Header,
    /// The first cookie of a name.
    Cookie,
    /// The first query parameter of a name, decoded.
    Query,
    /// The method; case counts.
    Method,
    /// The path without the query, as it was sent.
    Path,
    /// Who the client is by its certificate, such as `spiffe://cluster.local/ns/a/sa/b`; absent without mTLS.
    Principal,
}

/// A condition as it is written: `on`, `name` where there is one to give, and exactly one test; or `all`, `any` or `not` of other conditions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MatcherConfig {
    /// The part of the request.
    pub on: Option<On>,
    /// The header's, cookie's or parameter's name.
    pub name: Option<String>,
    /// The whole value.
    pub exact: Option<String>,
    /// The value's beginning; on a path, whole segments: `/shop` matches `/shop` and `/shop/a`, not `/shopping`.
    pub prefix: Option<String>,
    /// The value's end.
    pub suffix: Option<String>,
    /// A regular expression for the whole value, as if it stood between `^(?:` and `)$`. Values that are no UTF-8 or longer than
    /// [`REGEX_INPUT_LIMIT`](super::REGEX_INPUT_LIMIT) do not match.
    pub regex: Option<String>,
    /// A path template such as `/users/{id}`; on a path only.
    pub template: Option<String>,
    /// Whether the header, cookie or parameter is there at all, empty or not.
    pub present: Option<bool>,
    /// All of these conditions hold.
    pub all: Option<Vec<MatcherConfig>>,
    /// One of these conditions holds.
    pub any: Option<Vec<MatcherConfig>>,
    /// Turns the condition round: true when no value matches, so also when there is none. Or a condition that does not hold.
    pub not: Not,
}

fields!(MatcherConfig { on, name, exact, prefix, suffix, regex, template, present, all, any, not });
choices!(On {
    "header" => Header,
    "cookie" => Cookie,
    "query" => Query,
    "method" => Method,
    "path" => Path,
    "principal" => Principal,
});

/// The turning round of a condition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Not {
    /// `"not": false`, and where nothing is said.
    #[default]
    No,
    /// `"not": true`: the condition beside it.
    Yes,
    /// `"not": {..}`: the condition in it.
    Inner(Box<MatcherConfig>),
}

impl Setting for Not {
    fn set(&mut self, node: &Node<'_>) -> Result<(), ConfigError> {
        *self = match node {
            Node::Bool(true) => Self::Yes,
            Node::Bool(false) => Self::No,
            Node::Map(_) => {
                let mut inner = Box::<MatcherConfig>::default();
                inner.set(node)?;
                Self::Inner(inner)
            }
            other => return Err(wrong_type(other, "a boolean or a condition")),
        };
        Ok(())
    }
}

const ON: &str = "must be one of header, cookie, query, method, path, principal, got nothing";
const TESTS: &str = "must have exactly one of exact, prefix, suffix, regex, template, present";
const FORMS: &str = "must have exactly one of on, all, any, not";

impl MatcherConfig {
    /// Compiles the condition.
    ///
    /// # Errors
    /// A field is missing, one too many, or cannot be read; the path is the field's within the condition.
    #[inline(never)]
    pub fn compile(&self) -> Result<Matcher, ConfigError> {
        let test = self.test(self.on.unwrap_or_default())?;
        let is_test = test.is_some() || self.on.is_some() || self.name.is_some();
        let inner = match &self.not {
            Not::Inner(inner) => Some(inner),
            _ => None,
        };
        let forms = [is_test, self.all.is_some(), self.any.is_some(), inner.is_some()];
        if forms.into_iter().filter(|is_given| *is_given).count() != 1 {
            // A condition without anything is one whose `on` is missing.
            let field = if forms.contains(&true) { "" } else { "on" };
            return Err(ConfigError::new(field, if field.is_empty() { FORMS } else { ON }));
        }
        let several = |name, configs: &[Self]| {
            if configs.is_empty() {
                return Err(ConfigError::new(name, "must hold at least one condition, got none"));
            }
            compile_all(configs).map_err(|error| error.inside(name))
        };
        let (condition, expected) = match (&self.all, &self.any, inner) {
            (Some(all), _, _) => (Condition::All(several("all", all)?), true),
            (_, Some(any), _) => (Condition::Any(several("any", any)?), true),
            (_, _, Some(inner)) => {
                let inner = inner.compile().map_err(|error| error.inside("not"))?;
                return Ok(Matcher { expected: !inner.expected, ..inner });
            }
            _ => {
                let Some(on) = self.on else { return Err(ConfigError::new("on", ON)) };
                let subject = self.subject(on)?;
                let Some((test, expected)) = test else {
                    return Err(ConfigError::new("", [TESTS, ", got 0"].concat()));
                };
                (Condition::Test(subject, test), expected)
            }
        };
        Ok(Matcher { condition, expected: expected != (self.not == Not::Yes) })
    }

    #[inline(never)]
    fn subject(&self, on: On) -> Result<Subject, ConfigError> {
        let name = self.name.as_deref();
        Ok(match (on, name) {
            (On::Header, Some(name)) => Subject::Header(
                HeaderName::parse(name).map_err(|error| ConfigError::new("name", error.to_string()))?,
            ),
            (On::Cookie, Some(name)) if !name.is_empty() => Subject::Cookie(name.into()),
            (On::Query, Some(name)) if !name.is_empty() => Subject::Query(name.into()),
            (On::Header | On::Cookie | On::Query, _) => {
                return Err(ConfigError::new(
                    "name",
                    "must be given on a header, cookie or query, got nothing",
                ));
            }
            (On::Method, None) => Subject::Method,
            (On::Path, None) => Subject::Path,
            (On::Principal, None) => Subject::Principal,
            (On::Method | On::Path | On::Principal, Some(name)) => {
                return Err(ConfigError::new(
                    "name",
                    format!("must not be given on a method, path or principal, got {name:?}"),
                ));
            }
        })
    }

    #[inline(never)]
    fn test(&self, on: On) -> Result<Option<(Test, bool)>, ConfigError> {
        let mut tests = Vec::new();
        if let Some(text) = &self.exact {
            tests.push((Test::Exact(text.as_bytes().into()), true));
        }
        if let Some(text) = &self.prefix {
            let test = match on {
                On::Path => Test::SegmentPrefix(text.strip_suffix('/').unwrap_or(text).as_bytes().into()),
                _ => Test::Prefix(text.as_bytes().into()),
            };
            if on == On::Path && !text.starts_with('/') {
                return Err(ConfigError::new(
                    "prefix",
                    format!("must begin with `/` on a path, got {text:?}"),
                ));
            }
            tests.push((test, true));
        }
        if let Some(text) = &self.suffix {
            tests.push((Test::Suffix(text.as_bytes().into()), true));
        }
        if let Some(text) = &self.regex {
            tests.push((Test::Regex(Box::new(anchored(text)?)), true));
        }
        if let Some(text) = &self.template {
            if on != On::Path {
                return Err(ConfigError::new("template", "must stand on a path"));
            }
            let template = Template::parse(text)
                .map_err(|error| ConfigError::new("template", format!("{error}, got {text:?}")))?;
            tests.push((Test::Template(template), true));
        }
        if let Some(present) = self.present {
            tests.push((Test::Present, present));
        }
        match (tests.pop(), tests.len()) {
            (test, 0) => Ok(test),
            (_, others) => Err(ConfigError::new("", format!("{TESTS}, got {}", others + 1))),
        }
    }
}

/// Compiles a list of conditions that must all hold; an empty list always does.
///
/// # Errors
/// As [`MatcherConfig::compile`]; the path begins with the condition's index, such as `[1].regex`.
pub fn compile_all(configs: &[MatcherConfig]) -> Result<Box<[Matcher]>, ConfigError> {
    configs
        .iter()
        .enumerate()
        .map(|(index, config)| config.compile().map_err(|error| error.inside(format!("[{index}]"))))
        .collect()
}

fn anchored(text: &str) -> Result<Regex, ConfigError> {
    // The text is compiled by itself first: `a)|(b` would be balanced by the brackets that anchor it.
    let refused = |error: regex_lite::Error| {
        ConfigError::new("regex", format!("must be a regular expression, got {text:?}: {error}"))
    };
    let build = |text: &str| RegexBuilder::new(text).size_limit(1 << 18).build();
    build(text).map_err(refused)?;
    build(&format!("^(?:{text})$")).map_err(refused)
}

//! Conditions on a request, as every filter's configuration writes them.
//!
//! ```json
//! [{"on": "path", "prefix": "/shop"}, {"on": "header", "name": "x-tester", "present": true, "not": true}]
//! ```

use crate::{ConfigError, HeaderName, Template, View};
use regex_lite::{Regex, RegexBuilder};
use serde::Deserialize;
use std::borrow::Cow;

/// The longest value that a regex is tried on, in bytes; a longer one does not match. It bounds what a client can make a request cost.
pub const REGEX_INPUT_LIMIT: usize = 4096;

/// The part of a request that a condition looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum On {
    /// The values of a header, each by itself.
    Header,
    /// The first cookie of a name.
    Cookie,
    /// The first query parameter of a name, decoded.
    Query,
    /// The method; case counts.
    Method,
    /// The path without the query, as it was sent.
    Path,
}

/// A condition as it is written: `on`, `name` where there is one to give, and exactly one test.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
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
    /// [`REGEX_INPUT_LIMIT`] do not match.
    pub regex: Option<String>,
    /// A path template such as `/users/{id}`; on a path only.
    pub template: Option<String>,
    /// Whether the header, cookie or parameter is there at all, empty or not.
    pub present: Option<bool>,
    /// Turns the condition round: true when no value matches, so also when there is none.
    pub not: bool,
}

/// A condition, compiled.
#[derive(Debug)]
pub struct Matcher {
    subject: Subject,
    test: Test,
    expected: bool,
}

#[derive(Debug)]
enum Subject {
    Header(HeaderName),
    Cookie(Box<str>),
    Query(Box<str>),
    Method,
    Path,
}

#[derive(Debug)]
enum Test {
    Exact(Box<[u8]>),
    Prefix(Box<[u8]>),
    SegmentPrefix(Box<[u8]>),
    Suffix(Box<[u8]>),
    Regex(Box<Regex>),
    Template(Template),
    Present,
}

impl MatcherConfig {
    /// Compiles the condition.
    ///
    /// # Errors
    /// A field is missing, one too many, or cannot be read; the path is the field's within the condition.
    #[inline(never)]
    pub fn compile(&self) -> Result<Matcher, ConfigError> {
        let Some(on) = self.on else {
            return Err(ConfigError::new(
                "on",
                "must be one of header, cookie, query, method, path, got nothing",
            ));
        };
        let subject = self.subject(on)?;
        let (test, expected) = self.test(on)?;
        Ok(Matcher { subject, test, expected: expected != self.not })
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
            (On::Method | On::Path, Some(name)) => {
                return Err(ConfigError::new(
                    "name",
                    format!("must not be given on a method or path, got {name:?}"),
                ));
            }
        })
    }

    #[inline(never)]
    fn test(&self, on: On) -> Result<(Test, bool), ConfigError> {
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
            (Some(test), 0) => Ok(test),
            (_, others) => {
                let count = if others == 0 { 0 } else { others + 1 };
                Err(ConfigError::new(
                    "",
                    format!(
                        "must have exactly one of exact, prefix, suffix, regex, template, present, got {count}"
                    ),
                ))
            }
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

impl Matcher {
    /// The one header of which the condition reads no more than the first value; `None` when it reads more.
    pub fn single_header(&self) -> Option<&'static str> {
        match &self.subject {
            Subject::Header(_) => None,
            Subject::Cookie(_) => Some("cookie"),
            Subject::Query(_) | Subject::Path => Some(":path"),
            Subject::Method => Some(":method"),
        }
    }

    /// Whether the condition holds for the request.
    pub fn matches(&self, view: &View<'_>) -> bool {
        let found = match &self.subject {
            Subject::Header(name) => {
                view.request_headers().all(name.as_str()).any(|value| self.test.holds(value))
            }
            Subject::Cookie(name) => view.cookie(name).is_some_and(|value| self.test.holds(value)),
            Subject::Query(name) => {
                view.query_parameter(name).is_some_and(|value: Cow<'_, [u8]>| self.test.holds(&value))
            }
            Subject::Method => self.test.holds(view.method()),
            Subject::Path => self.test.holds(view.path()),
        };
        found == self.expected
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
                value.len() <= REGEX_INPUT_LIMIT
                    && std::str::from_utf8(value).is_ok_and(|text| regex.is_match(text))
            }
            Self::Template(template) => template.matches(value),
            Self::Present => true,
        }
    }
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

#[cfg(test)]
mod tests {
    use super::{MatcherConfig, compile_all};
    use crate::{Phase, View, fake};

    #[track_caller]
    fn check(condition: &str, request: &fake::Stream, expected: bool) {
        let config: MatcherConfig = serde_json::from_str(condition).unwrap();
        let view = View::new(request, Phase::RequestHeaders, 0, true);
        assert_eq!(config.compile().unwrap().matches(&view), expected, "{condition}");
    }

    fn shop() -> fake::Stream {
        fake::Stream::get("/shop/cart?coupon=A%20B&empty=")
            .header("x-env", "prod")
            .header("x-env", "canary")
            .header("x-bytes", b"\xff\xfe")
            .header("cookie", "tier=gold; empty=")
    }

    #[test]
    fn each_part_of_a_request_can_be_tested_in_each_way() {
        let shop = shop();
        for (condition, expected) in [
            (r#"{"on":"header","name":"X-Env","exact":"canary"}"#, true),
            (r#"{"on":"header","name":"x-env","exact":"can"}"#, false),
            (r#"{"on":"header","name":"x-env","prefix":"can"}"#, true),
            (r#"{"on":"header","name":"x-env","suffix":"ry"}"#, true),
            (r#"{"on":"header","name":"x-env","regex":"p.*d"}"#, true),
            (r#"{"on":"header","name":"x-env","regex":"anar"}"#, false),
            (r#"{"on":"header","name":"x-env","regex":"x|canary"}"#, true),
            (r#"{"on":"header","name":"x-bytes","regex":".*"}"#, false),
            (r#"{"on":"header","name":"x-bytes","present":true}"#, true),
            (r#"{"on":"header","name":"x-none","present":true}"#, false),
            (r#"{"on":"header","name":"x-none","present":false}"#, true),
            (r#"{"on":"header","name":"x-env","exact":"prod","not":true}"#, false),
            (r#"{"on":"header","name":"x-none","exact":"prod","not":true}"#, true),
            (r#"{"on":"cookie","name":"tier","exact":"gold"}"#, true),
            (r#"{"on":"cookie","name":"Tier","exact":"gold"}"#, false),
            (r#"{"on":"cookie","name":"empty","present":true}"#, true),
            (r#"{"on":"query","name":"coupon","exact":"A B"}"#, true),
            (r#"{"on":"query","name":"empty","exact":""}"#, true),
            (r#"{"on":"method","exact":"GET"}"#, true),
            (r#"{"on":"method","exact":"get"}"#, false),
            (r#"{"on":"path","exact":"/shop/cart"}"#, true),
            (r#"{"on":"path","prefix":"/shop"}"#, true),
            (r#"{"on":"path","prefix":"/shop/"}"#, true),
            (r#"{"on":"path","prefix":"/"}"#, true),
            (r#"{"on":"path","prefix":"/sho"}"#, false),
            (r#"{"on":"path","suffix":"/cart"}"#, true),
            (r#"{"on":"path","template":"/shop/{page}"}"#, true),
            (r#"{"on":"path","template":"/{page}"}"#, false),
            (r#"{"on":"path","regex":"/[a-z]+/cart"}"#, true),
        ] {
            check(condition, &shop, expected);
        }
    }

    #[test]
    fn a_regex_is_not_tried_on_a_value_that_is_too_long() {
        let condition = r#"{"on":"header","name":"x","regex":"a*"}"#;
        check(condition, &fake::Stream::get("/").header("x", vec![b'a'; 4096]), true);
        check(condition, &fake::Stream::get("/").header("x", vec![b'a'; 4097]), false);
    }

    #[track_caller]
    fn check_refused(condition: &str, expected: &str) {
        let config: MatcherConfig = serde_json::from_str(condition).unwrap();
        let error = compile_all(&[MatcherConfig::clone(&config)]).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{condition}: got {error:?}");
    }

    #[test]
    fn a_condition_that_says_too_little_or_too_much_is_refused_with_its_field() {
        check_refused(r#"{"exact":"a"}"#, "[0].on: must be one of");
        check_refused(r#"{"on":"header","exact":"a"}"#, "[0].name: must be given");
        check_refused(r#"{"on":"header","name":"x y","exact":"a"}"#, "[0].name: must be a header name");
        check_refused(r#"{"on":"path","name":"x","exact":"a"}"#, "[0].name: must not be given");
        check_refused(
            r#"{"on":"path"}"#,
            "[0]: must have exactly one of exact, prefix, suffix, regex, template, present, got 0",
        );
        check_refused(
            r#"{"on":"path","exact":"/","prefix":"/"}"#,
            "[0]: must have exactly one of exact, prefix, suffix, regex, template, present, got 2",
        );
        check_refused(r#"{"on":"path","prefix":"shop"}"#, "[0].prefix: must begin");
        check_refused(r#"{"on":"path","template":"/a/{**}/b"}"#, "[0].template: must have `{**}`");
        check_refused(r#"{"on":"method","template":"/a"}"#, "[0].template: must stand on a path");
        check_refused(r#"{"on":"path","regex":"a(b"}"#, "[0].regex: must be a regular expression");
        check_refused(r#"{"on":"path","regex":"a)|(b"}"#, "[0].regex: must be a regular expression");
    }
}

//! Path templates: `/users/{id}/orders/{*}`.

use std::fmt;

/// A path template, compiled.
///
/// A segment is literal text, `{name}` or `{*}` for exactly one segment that is not empty, or, as the last one, `{**}` for what is left,
/// nothing included. Paths are compared as they were sent, without decoding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    segments: Box<[Segment]>,
    rest: bool,
}

/// A segment of a template, before what is left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Segment {
    /// This text.
    Literal(Box<[u8]>),
    /// Any text but an empty one.
    Any,
}

/// Why a text is no path template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidTemplate {
    /// It does not begin with `/`.
    NoSlash,
    /// A `{**}` stands before the last segment.
    RestNotLast,
    /// A segment mixes braces and text, or its braces do not close.
    Braces,
}

impl fmt::Display for InvalidTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoSlash => "must begin with `/`",
            Self::RestNotLast => "must have `{**}` as its last segment only",
            Self::Braces => "must have `{name}`, `{*}` or `{**}` as a whole segment",
        })
    }
}

impl std::error::Error for InvalidTemplate {}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// The text is no template.
    pub fn parse(text: &str) -> Result<Self, InvalidTemplate> {
        let Some(text) = text.strip_prefix('/') else { return Err(InvalidTemplate::NoSlash) };
        let mut segments = Vec::new();
        let mut parts = text.split('/').peekable();
        while let Some(part) = parts.next() {
            if part == "{**}" {
                return if parts.peek().is_none() {
                    Ok(Self { segments: segments.into(), rest: true })
                } else {
                    Err(InvalidTemplate::RestNotLast)
                };
            }
            let name = part.strip_prefix('{').and_then(|part| part.strip_suffix('}'));
            segments.push(match name {
                Some("*") => Segment::Any,
                Some(name) if !name.is_empty() && !name.contains(['{', '}', '*']) => Segment::Any,
                None if !part.contains(['{', '}']) => Segment::Literal(part.as_bytes().into()),
                _ => return Err(InvalidTemplate::Braces),
            });
        }
        Ok(Self { segments: segments.into(), rest: false })
    }

    /// The segments, and whether anything may follow them.
    pub(crate) fn parts(&self) -> (&[Segment], bool) {
        (&self.segments, self.rest)
    }

    /// Whether a path, without its query, is of this form.
    pub fn matches(&self, path: &[u8]) -> bool {
        let Some(path) = path.strip_prefix(b"/") else { return false };
        let mut parts = path.split(|&byte| byte == b'/');
        let begins = self.segments.iter().all(|segment| match (segment, parts.next()) {
            (Segment::Literal(literal), Some(part)) => **literal == *part,
            (Segment::Any, Some(part)) => !part.is_empty(),
            (_, None) => false,
        });
        begins && (self.rest || parts.next().is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::Template;

    #[track_caller]
    fn check(template: &str, matching: &[&str], other: &[&str]) {
        let compiled = Template::parse(template).unwrap();
        for path in matching {
            assert!(compiled.matches(path.as_bytes()), "{template} must match {path}");
        }
        for path in other {
            assert!(!compiled.matches(path.as_bytes()), "{template} must not match {path}");
        }
    }

    #[test]
    fn a_template_matches_whole_segments() {
        check("/", &["/"], &["", "/a", "//"]);
        check(
            "/users/{id}",
            &["/users/1", "/users/x%2fy"],
            &["/users", "/users/", "/users/1/", "/users/1/2", "/user/1"],
        );
        check("/a/{*}/c", &["/a/b/c"], &["/a//c", "/a/b/b/c"]);
        check("/a/{**}", &["/a", "/a/", "/a/b", "/a/b/c"], &["/", "/ab"]);
        check("/{**}", &["/", "/a", "/a/b"], &[""]);
    }

    #[test]
    fn a_template_that_cannot_be_one_is_refused() {
        for text in ["", "a", "/a/{**}/b", "/a{b}", "/{a", "/{}", "/a}", "/{a*}"] {
            assert!(Template::parse(text).is_err(), "{text}");
        }
    }
}

//! The values of labels, and how they are written into a stat's name.

use crate::Bounded;
use std::borrow::Cow;

/// The longest label value, in bytes; the rest of a longer one is cut off.
pub const LABEL_LIMIT: usize = 128;

/// A label's value as it may stand in a stat's name: 1 to [`LABEL_LIMIT`] bytes of visible ASCII without `;`.
///
/// `;` ends a value in both encodings; spaces, tabs, newlines, NUL and bytes that are no UTF-8 would break an exposition or the regex that takes
/// the value out of the name (Envoy escapes `\`, `"` and newlines alone). Each of these bytes becomes `_`, and an empty value `-`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label<'a>(Cow<'a, str>);

impl<'a> Label<'a> {
    /// The value that these bytes become.
    pub fn new(value: &'a [u8]) -> Self {
        let value = value.get(..LABEL_LIMIT).unwrap_or(value);
        match std::str::from_utf8(value) {
            Ok("") => Self(Cow::Borrowed("-")),
            Ok(text) if value.iter().all(|byte| is_plain(*byte)) => Self(Cow::Borrowed(text)),
            _ => Self::changed(value),
        }
    }

    #[cold]
    fn changed(value: &[u8]) -> Self {
        Self(value.iter().map(|&byte| if is_plain(byte) { char::from(byte) } else { '_' }).collect())
    }

    /// The value that these bytes become, whoever has them.
    pub fn from_cow(value: Cow<'a, [u8]>) -> Self {
        match value {
            Cow::Borrowed(bytes) => Self::new(bytes),
            Cow::Owned(bytes) => Label::new(&bytes).into_owned(),
        }
    }

    /// The same value, owned.
    #[must_use]
    pub fn into_owned(self) -> Label<'static> {
        Label(Cow::Owned(self.0.into_owned()))
    }

    /// The value of this text.
    pub fn of(text: &'a Bounded<'_>) -> Self {
        Self::new(text.as_str().as_bytes())
    }

    /// `-`.
    pub const NONE: Self = Self(Cow::Borrowed("-"));

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_graphic() && byte != b';'
}

/// How labels are written into a stat's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// `ab_exposures_total;experiment=checkout;arm=b`, Graphite's form of tags. A tag's regex is `(;arm=([^;]*))`.
    Envoy,
    /// `experiment=.=checkout;.;arm=.=b;.;ab_exposures_total`, which Istio's `extraStatTags` take apart.
    Istio,
}

crate::choices!(Encoding { "envoy" => Envoy, "istio" => Istio });

impl Encoding {
    /// A stat's name.
    pub(super) fn name<'s>(self, name: &str, labels: impl Iterator<Item = (&'s str, &'s str)>) -> String {
        let mut text = String::with_capacity(96);
        match self {
            Self::Envoy => {
                text.push_str(name);
                for (label, value) in labels {
                    text.push(';');
                    text.push_str(label);
                    text.push('=');
                    text.push_str(value);
                }
                break_response_code(&mut text, name.len());
            }
            Self::Istio => {
                for (label, value) in labels {
                    text.push_str(label);
                    text.push_str("=.=");
                    push_istio(&mut text, value);
                    text.push_str(";.;");
                }
                text.push_str(name);
            }
        }
        text
    }
}

/// Istio's regexes are not anchored: `=` would begin another label, and these words and a dot one of Istio's own tags. Both become `_`.
fn push_istio(text: &mut String, value: &str) {
    const TAGS: [&str; 4] = ["tag", "cache", "component", "wasm_filter"];
    let start = text.len();
    for char in value.chars() {
        let is_tag = || TAGS.iter().any(|tag| text.get(start..).is_some_and(|so_far| so_far.ends_with(tag)));
        let is_special = char == '=' || char == '.' && is_tag();
        text.push(if is_special { '_' } else { char });
    }
}

/// Envoy takes `_rq_503` and `_rq_5xx` at the end of any name for a response code: there the first `_` of a value becomes `-`.
fn break_response_code(text: &mut String, name: usize) {
    let is_code = |tail: &[u8]| match tail {
        [b'_', b'r', b'q', b'_', rest @ ..] | [b'_', b'r', b'q', rest @ ..] => {
            matches!(rest, [code, b'x', b'x'] | [code, _, _] if code.is_ascii_digit())
        }
        _ => false,
    };
    for length in [7, 6] {
        let Some(start) = text.len().checked_sub(length).filter(|start| *start > name) else { continue };
        if text.as_bytes().get(start..).is_some_and(is_code) {
            text.replace_range(start..=start, "-");
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Encoding, Label};

    #[track_caller]
    fn check(encoding: Encoding, values: &[&[u8]], expected: &str) {
        let labels: Vec<_> = values.iter().map(|value| Label::new(value)).collect();
        let pairs = ["route", "arm"].into_iter().zip(labels.iter().map(Label::as_str));
        assert_eq!(encoding.name("hits_total", pairs), expected);
    }

    #[test]
    fn labels_are_written_in_both_encodings() {
        check(Encoding::Envoy, &[b"shop", b"b"], "hits_total;route=shop;arm=b");
        check(Encoding::Istio, &[b"shop", b"b"], "route=.=shop;.;arm=.=b;.;hits_total");
    }

    #[test]
    fn no_value_can_end_early_or_break_an_exposition() {
        check(Encoding::Envoy, &[b"a;arm=x", b"\xc3\xa9\n\0\t"], "hits_total;route=a_arm=x;arm=_____");
        check(Encoding::Envoy, &[b"a.b=\"c\\", b"\xff \r"], "hits_total;route=a.b=\"c\\;arm=___");
        check(Encoding::Istio, &[b"a;.;arm=.=x", b""], "route=.=a_._arm_._x;.;arm=.=-;.;hits_total");
        let long = [b'x'; 300];
        check(Encoding::Envoy, &[&long, b""], &format!("hits_total;route={};arm=-", "x".repeat(128)));
    }

    #[test]
    fn no_value_is_taken_for_a_tag_of_the_proxys_own() {
        check(Encoding::Envoy, &[b"a_rq_503", b"b_rq_503"], "hits_total;route=a_rq_503;arm=b-rq_503");
        check(Encoding::Envoy, &[b"a", b"b_rq_5xx"], "hits_total;route=a;arm=b-rq_5xx");
        check(Encoding::Envoy, &[b"a", b"b_rq5xx"], "hits_total;route=a;arm=b-rq5xx");
        check(Encoding::Istio, &[b"cache.x.y", b"tag.z"], "route=.=cache_x.y;.;arm=.=tag_z;.;hits_total");
    }
}

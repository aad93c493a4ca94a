//! What a value must be.

use crate::{address::Block, intern::Text, template};

/// The form of a [`Pattern`]. Sources: istio `pilot/pkg/security/authz/matcher`, `authz/model/generator.go`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Form {
    /// It is there: `*` for headers, hosts and methods.
    Present,
    /// It is there and not empty, the regex `.+`: `*` for all else.
    Any,
    /// It is the text.
    Exact,
    /// It begins with the text: `x*`.
    Prefix,
    /// It ends with the text: `*x`.
    Suffix,
    /// It is `spiffe://`, anything, and the text: `*x` for principals.
    SpiffeSuffix,
    /// It has `/ns/`, the text, in which `*` is anything, and `/`: namespaces.
    Namespace,
    /// It is a SPIFFE id with the namespace and the service account of the text, `ns/sa`.
    ServiceAccount,
    /// It is a SPIFFE id of a trust domain of the text, in which one `*` is anything but `/`.
    TrustDomain,
    /// It is a path of the template.
    Template,
    /// It is an address of the block that the text is the key of.
    Block,
    /// It is the port, whose two bytes the text is.
    Port,
}

/// What of a metadata value counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Part {
    /// The value, or an element where it is a list: JWT claims.
    Both,
    /// The value alone.
    Value,
    /// An element of a list alone: `[v]` under `experimental.envoy.filters.*`.
    Element,
}

/// What a value must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pattern {
    /// The form.
    pub form: Form,
    /// What of it counts, where it may be a list.
    pub part: Part,
    /// The text, among the policies' texts.
    pub text: Text,
}

/// The form and the text of a value as Istio writes them: `*`, `*x`, `x*`, or itself, tried in this order, so that `*a*` ends with `a*`.
pub fn wildcard(value: &str, everything: Form) -> (Form, &str) {
    if value == "*" {
        (everything, "")
    } else if let Some(suffix) = value.strip_prefix('*') {
        (Form::Suffix, suffix)
    } else if let Some(prefix) = value.strip_suffix('*') {
        (Form::Prefix, prefix)
    } else {
        (Form::Exact, value)
    }
}

/// The scheme of a principal.
pub const SPIFFE: &[u8] = b"spiffe://";

/// Whether a value is of the form. Blocks are looked at with [`Block::holds`].
pub fn holds(form: Form, text: &[u8], value: &[u8], is_strict: bool) -> bool {
    match form {
        Form::Present => true,
        Form::Any => !value.is_empty() && is_dots(value),
        Form::Exact | Form::Port => value == text,
        Form::Prefix => value.starts_with(text),
        Form::Suffix => value.ends_with(text),
        Form::SpiffeSuffix => {
            let middle = value.strip_prefix(SPIFFE).and_then(|rest| rest.strip_suffix(text));
            middle.is_some_and(is_dots)
        }
        Form::Namespace => is_dots(value) && has_namespace(text, value),
        Form::ServiceAccount => is_dots(value) && is_service_account(text, value),
        Form::TrustDomain => is_dots(value) && is_of_trust_domain(text, value),
        Form::Template => template::matches(text, value, is_strict),
        Form::Block => false,
    }
}

/// Whether a regex of dots matches the whole text: RE2's `.` is a character of UTF-8, and no newline.
fn is_dots(text: &[u8]) -> bool {
    !text.contains(&b'\n') && std::str::from_utf8(text).is_ok()
}

/// `.*/ns/<text>/.*`, where `*` in the text is `.*`. What stands first is tried first, which is enough with nothing to anchor at the end.
fn has_namespace(text: &[u8], value: &[u8]) -> bool {
    let mut parts = text.split(|byte| *byte == b'*').peekable();
    let mut rest = value;
    let mut before: &[u8] = b"/ns/";
    while let Some(part) = parts.next() {
        let after: &[u8] = if parts.peek().is_none() { b"/" } else { b"" };
        let Some(end) = find_joined(rest, [before, part, after]) else { return false };
        rest = rest.get(end..).unwrap_or_default();
        before = b"";
    }
    true
}

/// The end of the first place where the three texts stand one behind the other.
fn find_joined(text: &[u8], parts: [&[u8]; 3]) -> Option<usize> {
    let size = parts.iter().map(|part| part.len()).sum::<usize>();
    let is_at = |from: &[u8]| {
        let mut from = from;
        parts.iter().all(|part| from.strip_prefix(*part).map(|rest| from = rest).is_some())
    };
    let last = text.len().checked_sub(size)?;
    (0..=last).find(|at| text.get(*at..).is_some_and(is_at)).map(|at| at + size)
}

/// `spiffe://.+/ns/<namespace>/(.+/|)sa/<account>(/.+)?`.
fn is_service_account(text: &[u8], value: &[u8]) -> bool {
    let Some(slash) = text.iter().position(|byte| *byte == b'/') else { return false };
    let (namespace, account) =
        (text.get(..slash).unwrap_or_default(), text.get(slash + 1..).unwrap_or_default());
    let Some(mut rest) = value.strip_prefix(SPIFFE).and_then(|rest| rest.get(1..)) else { return false };
    while let Some(end) = find_joined(rest, [b"/ns/", namespace, b"/"]) {
        rest = rest.get(end..).unwrap_or_default();
        let is_account = |tail: &[u8]| {
            let behind = tail.strip_prefix(b"sa/").and_then(|tail| tail.strip_prefix(account));
            behind
                .is_some_and(|behind| behind.is_empty() || behind.len() > 1 && behind.first() == Some(&b'/'))
        };
        let is_behind =
            |at: usize| at > 0 && rest.get(at) == Some(&b'/') && rest.get(at + 1..).is_some_and(is_account);
        if is_account(rest) || (0..rest.len()).any(is_behind) {
            return true;
        }
        // The next namespace may begin with the slash that ends this one.
        if value.len() < rest.len() + 1 {
            return false;
        }
        rest = value.get(value.len() - rest.len() - 1..).unwrap_or_default();
    }
    false
}

/// `spiffe://<before>[^/]*<after>/.*`, for a text with one `*`.
fn is_of_trust_domain(text: &[u8], value: &[u8]) -> bool {
    let Some(star) = text.iter().position(|byte| *byte == b'*') else { return false };
    let (before, after) = (text.get(..star).unwrap_or_default(), text.get(star + 1..).unwrap_or_default());
    let Some(rest) = value.strip_prefix(SPIFFE).and_then(|rest| rest.strip_prefix(before)) else {
        return false;
    };
    // The text has no slash, so the domain ends at the first one.
    let Some(end) = rest.iter().position(|byte| *byte == b'/') else { return false };
    rest.get(..end).is_some_and(|domain| domain.ends_with(after))
}

/// The key of a block.
pub fn block(text: &str) -> Option<[u8; 18]> {
    Block::read(text).map(Block::key)
}

#[cfg(test)]
mod tests {
    use super::{Form, holds, wildcard};

    #[track_caller]
    fn check(form: Form, text: &str, values: &[&str], others: &[&str]) {
        for value in values {
            assert!(
                holds(form, text.as_bytes(), value.as_bytes(), false),
                "{form:?} {text:?} must hold for {value:?}"
            );
        }
        for value in others {
            assert!(
                !holds(form, text.as_bytes(), value.as_bytes(), false),
                "{form:?} {text:?} must not hold for {value:?}"
            );
        }
    }

    #[test]
    fn a_star_is_read_in_the_order_of_istio() {
        let read = |value| wildcard(value, Form::Any);
        assert_eq!(read("*"), (Form::Any, ""));
        assert_eq!(read("*a*"), (Form::Suffix, "a*"));
        assert_eq!(read("**"), (Form::Suffix, "*"));
        assert_eq!(read("a*"), (Form::Prefix, "a"));
        assert_eq!(read("a*b"), (Form::Exact, "a*b"));
    }

    #[test]
    fn a_dot_is_a_character_and_no_newline() {
        check(Form::Any, "", &["a", "é", " "], &["", "a\n", "\n"]);
        assert!(!holds(Form::Any, b"", b"\xff", false) && holds(Form::Present, b"", b"\xff", false));
    }

    #[test]
    fn namespaces_stand_between_slashes() {
        let id = "spiffe://cluster.local/ns/shop/sa/web";
        check(
            Form::Namespace,
            "shop",
            &[id, "x/ns/shop/", "/ns/shop/sa"],
            &["/ns/shop", "/ns/shops/sa/x", "ns/shop/", ""],
        );
        check(Form::Namespace, "sh*", &[id, "/ns/sh/", "/ns/shx/y/"], &["/ns/sh"]);
        check(Form::Namespace, "*op", &[id, "/ns/a/b/op/"], &["/ns/opx/"]);
        check(Form::Namespace, "*", &[id, "/ns//"], &["/ns/a"]);
        check(Form::Namespace, "s*o*p", &[id, "/ns/s/o/p/"], &["/ns/spo/"]);
        check(Form::Namespace, "shop", &["/ns/a/ns/shop/"], &["/ns/shop/\n"]);
    }

    #[test]
    fn service_accounts_have_a_namespace_and_their_whole_name() {
        let form = Form::ServiceAccount;
        check(
            form,
            "shop/web",
            &[
                "spiffe://td/ns/shop/sa/web",
                "spiffe://td/k/v/ns/shop/k/v/sa/web",
                "spiffe://td/ns/shop/sa/web/x",
                "spiffe://t/ns/ns/shop/sa/web",
                "spiffe://t/ns/shop/ns/shop/sa/web",
            ],
            &[
                "spiffe://td/ns/shop/sa/web2",
                "spiffe://td/ns/shop/sa/web/",
                "spiffe:///ns/shop/sa/web",
                "spiffe://td/ns/other/sa/web",
                "td/ns/shop/sa/web",
                "spiffe://td/ns/shop/xsa/web",
                "spiffe://td/ns/shop//sa/web\n",
                "spiffe://",
            ],
        );
        // `(.+/|)` needs something before its slash.
        check(form, "shop/web", &["spiffe://td/ns/shop/a/sa/web"], &["spiffe://td/ns/shop//sa/web"]);
    }

    #[test]
    fn principals_and_trust_domains() {
        check(
            Form::SpiffeSuffix,
            "/sa/web",
            &["spiffe://td/ns/a/sa/web", "spiffe:///sa/web"],
            &["spiffe:/sa/web", "td/sa/web", "spiffe://a\n/sa/web"],
        );
        check(
            Form::TrustDomain,
            "td*.x",
            &["spiffe://td.x/", "spiffe://td1.x/ns/a"],
            &["spiffe://td1.x", "spiffe://td/a.x/", "spiffe://tx/"],
        );
    }
}

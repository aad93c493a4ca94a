//! What values have to do with each other: whether one holds wherever another does, and whether no text is of both. A `true` is always so; where nothing
//! can be said the answer is `false`.

use crate::{
    normal,
    pattern::{self, Form, Part, Pattern, SPIFFE},
    program::{Attribute, Program, Test, part},
    template,
};

/// The values of a test, each of one pattern; that of a request principal has two: issuer and subject.
pub fn values<'p>(program: &'p Program, test: &Test) -> impl Iterator<Item = &'p [Pattern]> + Clone {
    let size = if test.attribute == Attribute::RequestPrincipal { 2 } else { 1 };
    part(&program.patterns, &test.patterns).chunks_exact(size)
}

/// Whether a value holds wherever another does.
pub fn covers(program: &Program, attribute: Attribute, wide: &[Pattern], narrow: &[Pattern]) -> bool {
    wide.iter().zip(narrow).all(|(wide, narrow)| pattern_covers(program, attribute, *wide, *narrow))
}

/// Whether two values hold for no text together.
pub fn are_apart(program: &Program, attribute: Attribute, one: &[Pattern], other: &[Pattern]) -> bool {
    one.iter().zip(other).any(|(one, other)| patterns_are_apart(program, attribute, *one, *other))
}

/// Strict mode compares a host with its port or without, by what the value has, and a path as it came and as it is read: values of both kinds, and of paths
/// with escapes, are about two texts.
fn are_of_two_texts(program: &Program, attribute: Attribute, one: &[u8], other: &[u8]) -> bool {
    program.is_strict
        && match attribute {
            Attribute::Host => normal::has_port(one) != normal::has_port(other),
            Attribute::Path => one != other && [one, other].iter().any(|text| text.contains(&b'%')),
            _ => false,
        }
}

fn pattern_covers(program: &Program, attribute: Attribute, wide: Pattern, narrow: Pattern) -> bool {
    if wide == narrow {
        return true;
    }
    if wide.part != narrow.part && wide.part != Part::Both {
        return false;
    }
    let [all, some] = [wide, narrow].map(|pattern| program.texts.get(pattern.text));
    if wide.form == Form::Present {
        return true;
    }
    if are_of_two_texts(program, attribute, all, some) {
        return false;
    }
    match (wide.form, narrow.form) {
        (_, Form::Exact) => pattern::holds(wide.form, all, some, program.is_strict),
        (Form::Any, Form::Namespace | Form::ServiceAccount | Form::TrustDomain) => true,
        // Its characters are of ASCII, but for strict mode.
        (Form::Any, Form::Template) => !program.is_strict,
        (Form::Any, Form::SpiffeSuffix) => !some.contains(&b'\n'),
        (
            Form::Prefix,
            Form::Prefix | Form::Template | Form::SpiffeSuffix | Form::ServiceAccount | Form::TrustDomain,
        ) => beginning(narrow.form, some).starts_with(all),
        (Form::Suffix, Form::Suffix | Form::SpiffeSuffix | Form::Template) => {
            end(narrow.form, some).ends_with(all)
        }
        (Form::SpiffeSuffix, Form::SpiffeSuffix) => some.ends_with(all) && !some.contains(&b'\n'),
        (Form::Namespace, Form::Namespace) => {
            all == b"*" || !some.contains(&b'*') && is_of_namespace(all, some)
        }
        (Form::Namespace, Form::ServiceAccount) => {
            is_of_namespace(all, some.split(|byte| *byte == b'/').next().unwrap_or_default())
        }
        (Form::Template, Form::Template) => template_covers(all, some),
        (Form::Template, Form::Prefix) => {
            let (beginning, _) = template::ends(all);
            program.is_strict
                && all.get(beginning.len()..) == Some(&b"{**}"[..])
                && some.starts_with(beginning)
        }
        (Form::Block, Form::Block) => block_covers(all, some),
        _ => false,
    }
}

fn patterns_are_apart(program: &Program, attribute: Attribute, one: Pattern, other: Pattern) -> bool {
    let [text, other_text] = [one, other].map(|pattern| program.texts.get(pattern.text));
    if are_of_two_texts(program, attribute, text, other_text) {
        return false;
    }
    match (one.form, other.form) {
        (Form::Exact, form) => !pattern::holds(form, other_text, text, program.is_strict),
        (form, Form::Exact) => !pattern::holds(form, text, other_text, program.is_strict),
        (Form::Port, Form::Port) => text != other_text,
        (Form::Block, Form::Block) => !block_covers(text, other_text) && !block_covers(other_text, text),
        (form, other_form) => {
            let [begin, other_begin] = [beginning(form, text), beginning(other_form, other_text)];
            let [end, other_end] = [end(form, text), end(other_form, other_text)];
            let both_templates = form == Form::Template && other_form == Form::Template;
            !begin.starts_with(&other_begin) && !other_begin.starts_with(&begin)
                || !end.ends_with(other_end) && !other_end.ends_with(end)
                || both_templates && templates_are_apart(text, other_text)
        }
    }
}

/// What every text of a pattern begins with.
fn beginning(form: Form, text: &[u8]) -> Vec<u8> {
    match form {
        Form::Prefix => text.to_vec(),
        Form::Template => template::ends(text).0.to_vec(),
        Form::SpiffeSuffix | Form::ServiceAccount => SPIFFE.to_vec(),
        Form::TrustDomain => [SPIFFE, text.split(|byte| *byte == b'*').next().unwrap_or_default()].concat(),
        _ => Vec::new(),
    }
}

/// What every text of a pattern ends with.
fn end(form: Form, text: &[u8]) -> &[u8] {
    match form {
        Form::Suffix | Form::SpiffeSuffix => text,
        Form::Template => template::ends(text).1,
        _ => b"",
    }
}

/// Whether the pattern of a namespace holds wherever `/ns/`, a name and `/` stand.
fn is_of_namespace(pattern: &[u8], name: &[u8]) -> bool {
    pattern::holds(Form::Namespace, pattern, &[b"/ns/", name, b"/"].concat(), false)
}

/// Whether a block holds all of another: both are keys, the count of bits, the length and the address.
fn block_covers(wide: &[u8], narrow: &[u8]) -> bool {
    let ([bits, length, all @ ..], [other_bits, other_length, some @ ..]) = (wide, narrow) else {
        return false;
    };
    let (whole, rest) = (usize::from(length / 8), length % 8);
    let last = |bytes: &[u8]| bytes.get(whole).copied().unwrap_or_default().checked_shr(u32::from(8 - rest));
    bits == other_bits
        && length <= other_length
        && all.get(..whole) == some.get(..whole)
        && (rest == 0 || last(all) == last(some))
}

fn segments(template: &[u8]) -> impl Iterator<Item = &[u8]> {
    template.split(|byte| *byte == b'/')
}

fn template_covers(wide: &[u8], narrow: &[u8]) -> bool {
    let (mut wide, mut narrow) = (segments(wide), segments(narrow));
    loop {
        match (wide.next(), narrow.next()) {
            (None, None) => return true,
            // What a template has in its place is of the set of characters, literals too.
            (Some(b"{**}"), Some(_)) => return wide.next().is_none(),
            (Some(b"{*}"), Some(b"" | b"{**}")) => return false,
            (Some(b"{*}"), Some(_)) => {}
            (Some(one), Some(other)) if one == other => {}
            _ => return false,
        }
    }
}

fn templates_are_apart(one: &[u8], other: &[u8]) -> bool {
    let [mut one, mut other] = [one, other].map(segments);
    loop {
        match (one.next(), other.next()) {
            (None, None) | (Some(b"{**}"), _) | (_, Some(b"{**}")) => return false,
            // As many segments as slashes, one more: no operator but `{**}` has a slash.
            (None, Some(_)) | (Some(_), None) | (Some(b""), Some(b"{*}")) | (Some(b"{*}"), Some(b"")) => {
                return true;
            }
            (Some(b"{*}"), Some(_)) | (Some(_), Some(b"{*}")) => {}
            (Some(one), Some(other)) if one == other => {}
            _ => return true,
        }
    }
}

/// Why no request has a value, where none can. What Envoy refuses before any filter sees it was tried on Envoy 1.40 over HTTP/1 and HTTP/2.
pub fn never(program: &Program, attribute: Attribute, value: &[Pattern]) -> Option<&'static str> {
    let [pattern] = value else { return None };
    let text = program.texts.get(pattern.text);
    let is_token = |text: &[u8]| {
        text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
    };
    let is_text = matches!(pattern.form, Form::Exact | Form::Prefix | Form::Suffix);
    match attribute {
        Attribute::Header(name) => {
            let name = program.texts.get(name);
            (!name.starts_with(b":") && !is_token(name)).then_some("no header can have this name")
        }
        Attribute::Path if is_text && text.contains(&b'?') => Some("paths are compared without their query"),
        Attribute::Path if is_text && text.contains(&b'#') => {
            Some("paths are compared without their fragment")
        }
        Attribute::Path if pattern.form != Form::Suffix && is_text && !text.is_empty() => {
            (!text.starts_with(b"/")).then_some("a path begins with `/`")
        }
        Attribute::Method if is_text => (!is_token(text)).then_some("a method is one word"),
        Attribute::Host if is_text => {
            let is_odd = |byte: &u8| matches!(byte, b'/' | b'?' | b' ') || !byte.is_ascii();
            text.iter().any(is_odd).then_some("a host has no scheme, no path and no space")
        }
        _ => None,
    }
}

/// Whether a request has at most one value of an attribute, so that conditions on it are about one text.
pub fn is_single(program: &Program, attribute: Attribute) -> bool {
    match attribute {
        Attribute::Header(name) => {
            matches!(program.texts.get(name), b":path" | b":method" | b":authority" | b":scheme")
        }
        Attribute::Principal | Attribute::Metadata(_) => false,
        _ => true,
    }
}

/// Whether a test on an attribute may be neither true nor false.
pub fn may_be_unknown(program: &Program, attribute: Attribute) -> bool {
    match attribute {
        Attribute::Peer | Attribute::Remote | Attribute::DestinationIp | Attribute::DestinationPort => true,
        Attribute::Path | Attribute::Host | Attribute::RequestPrincipal | Attribute::Metadata(_) => {
            program.is_strict
        }
        _ => false,
    }
}

//! Cookies and query parameters, read in place.

use memchr::{memchr, memchr2};
use percent_encoding::percent_decode;
use std::borrow::Cow;

/// The cookies of one `cookie` header (RFC 6265, 5.4), in order: name and value, without the spaces around them and without the value's
/// quotes. A part without `=` is skipped, as browsers never send one.
pub fn cookies(header: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut rest = Some(header);
    std::iter::from_fn(move || {
        loop {
            let current = rest?;
            let (part, after) = split_at(current, b';');
            rest = after;
            if let (name, Some(value)) = split_at(part, b'=') {
                return Some((name.trim_ascii(), cookie_value(value)));
            }
        }
    })
}

/// The first cookie of this name in one `cookie` header, as [`cookies`] would find it.
pub fn cookie<'a>(header: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut rest = header;
    loop {
        if let Some((begin, behind)) = rest.trim_ascii_start().split_at_checked(name.len())
            && begin.first() == name.first()
            && is_same(begin, name)
            && let Some(value) = behind.trim_ascii_start().strip_prefix(b"=")
        {
            let end = memchr(b';', value).unwrap_or(value.len());
            return value.get(..end).map(cookie_value);
        }
        rest = rest.get(memchr(b';', rest)? + 1..)?;
    }
}

/// Whether two names are the same. In a module `==` is a call of libc, which takes a byte a step; most names are two words of four bytes or of eight,
/// one of which may overlap the other.
#[inline(never)]
pub(crate) fn is_same(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    match one.len() {
        4..=8 => {
            one.first_chunk::<4>() == other.first_chunk::<4>()
                && one.last_chunk::<4>() == other.last_chunk::<4>()
        }
        9..=16 => {
            one.first_chunk::<8>() == other.first_chunk::<8>()
                && one.last_chunk::<8>() == other.last_chunk::<8>()
        }
        17..=32 => {
            let halves = |name: &[u8]| Some((*name.first_chunk::<16>()?, *name.last_chunk::<16>()?));
            let words =
                |name: &[u8]| halves(name).map(|(a, b)| (u128::from_ne_bytes(a), u128::from_ne_bytes(b)));
            words(one) == words(other)
        }
        _ => one == other,
    }
}

#[inline]
fn cookie_value(value: &[u8]) -> &[u8] {
    match value {
        // Neither a space nor a quote, both of which come before.
        [b'#'..=u8::MAX, .., b'#'..=u8::MAX] => value,
        _ => bare_cookie_value(value),
    }
}

#[inline(never)]
fn bare_cookie_value(value: &[u8]) -> &[u8] {
    let value = value.trim_ascii();
    value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value)
}

/// The first value of a query parameter in a request target, as [`query_parameters`] finds it.
pub fn query_parameter<'a>(target: &'a [u8], name: &str) -> Option<Cow<'a, [u8]>> {
    query_parameters(target, name).next()
}

/// The values of a query parameter in a request target, decoded as a form is: `%xx` and `+`. An escape that is cut short stands for itself. A
/// parameter without `=` has an empty value. A fragment is no part of the query.
pub fn query_parameters<'a>(target: &'a [u8], name: &str) -> impl Iterator<Item = Cow<'a, [u8]>> {
    let start = memchr2(b'?', b'#', target);
    let query = start.and_then(|start| target.get(start..)?.strip_prefix(b"?"));
    let mut rest = query.map(|query| split_at(query, b'#').0);
    std::iter::from_fn(move || {
        while let Some(current) = rest {
            let (part, after) = split_at(current, b'&');
            rest = after;
            let (key, value) = split_at(part, b'=');
            if *form_decode(key) == *name.as_bytes() {
                return Some(form_decode(value.unwrap_or_default()));
            }
        }
        None
    })
}

/// A request target without a query parameter, all of its values; `None` where it has none. What else stands there stays byte for byte.
pub fn without_query_parameter(target: &[u8], name: &str) -> Option<Vec<u8>> {
    let (whole, fragment) = split_at(target, b'#');
    let (path, query) = split_at(whole, b'?');
    let query = query?;
    let is_other = |part: &&[u8]| *form_decode(split_at(part, b'=').0) != *name.as_bytes();
    let kept: Vec<&[u8]> = query.split(|&byte| byte == b'&').filter(is_other).collect();
    if kept.len() == query.split(|&byte| byte == b'&').count() {
        return None;
    }
    let mut rest = path.to_vec();
    if !kept.is_empty() {
        rest.push(b'?');
        rest.extend(kept.join(&b'&'));
    }
    if let Some(fragment) = fragment {
        rest.push(b'#');
        rest.extend(fragment);
    }
    Some(rest)
}

/// The value of a `cookie` header without a cookie, all of its values. What else stands there stays.
pub fn without_cookie(header: &[u8], name: &[u8]) -> Vec<u8> {
    let is_other = |part: &&[u8]| {
        let (other, value) = split_at(part, b'=');
        value.is_none() || other.trim_ascii() != name
    };
    let kept: Vec<&[u8]> = header.split(|&byte| byte == b';').filter(is_other).collect();
    kept.join(&b';').trim_ascii().to_vec()
}

/// A request target without its query and fragment.
pub(crate) fn path_of(target: &[u8]) -> &[u8] {
    match memchr2(b'?', b'#', target) {
        Some(end) => target.get(..end).unwrap_or(target),
        None => target,
    }
}

fn form_decode(text: &[u8]) -> Cow<'_, [u8]> {
    if memchr2(b'%', b'+', text).is_none() {
        return Cow::Borrowed(text);
    }
    let spaced: Vec<u8> = text.iter().map(|&byte| if byte == b'+' { b' ' } else { byte }).collect();
    Cow::Owned(percent_decode(&spaced).collect())
}

fn split_at(text: &[u8], byte: u8) -> (&[u8], Option<&[u8]>) {
    match memchr(byte, text).and_then(|at| Some((text.get(..at)?, text.get(at + 1..)?))) {
        Some((before, after)) => (before, Some(after)),
        None => (text, None),
    }
}

#[cfg(test)]
mod tests {
    use super::{
        cookie, cookies, is_same, path_of, query_parameter, without_cookie, without_query_parameter,
    };
    use proptest::prelude::*;

    #[track_caller]
    fn check_cookies(header: &[u8], expected: &[(&[u8], &[u8])]) {
        assert_eq!(cookies(header).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn cookies_are_split_and_trimmed() {
        check_cookies(b"", &[]);
        check_cookies(b"a=1", &[(b"a", b"1")]);
        check_cookies(b"a=1; b=2;c=3 ; d", &[(b"a", b"1"), (b"b", b"2"), (b"c", b"3")]);
        check_cookies(b"a=x=y; b=\"q\"; c=", &[(b"a", b"x=y"), (b"b", b"q"), (b"c", b"")]);
        check_cookies(b";;=v;a=\"", &[(b"", b"v"), (b"a", b"\"")]);
        check_cookies(b"a=\xff\xfe", &[(b"a", b"\xff\xfe")]);
    }

    proptest! {
        #[test]
        fn a_cookie_is_found_as_the_walk_finds_it(header in "[ab =;\"\t]{0,30}", name in "[ab]{1,2}") {
            let walked = cookies(header.as_bytes()).find(|(other, _)| *other == name.as_bytes());
            prop_assert_eq!(cookie(header.as_bytes(), name.as_bytes()), walked.map(|(_, value)| value));
        }
    }

    proptest! {
        #[test]
        fn names_are_the_same_where_their_bytes_are(one in "[ab]{0,20}", other in "[ab]{0,20}", at in 0_usize..20) {
            prop_assert_eq!(is_same(one.as_bytes(), other.as_bytes()), one == other);
            prop_assert!(is_same(one.as_bytes(), one.clone().as_bytes()));
            // Names that differ in one byte.
            let mut changed = one.clone().into_bytes();
            if let Some(byte) = changed.get_mut(at) {
                *byte = b'c';
                prop_assert!(!is_same(one.as_bytes(), &changed));
            }
        }
    }

    #[track_caller]
    fn check_query(target: &str, name: &str, expected: Option<&[u8]>) {
        assert_eq!(query_parameter(target.as_bytes(), name).as_deref(), expected, "{target}");
    }

    #[test]
    fn a_query_parameter_is_decoded_and_the_first_wins() {
        // A fragment has no query.
        check_query("#x?q=1", "q", None);
        check_query("/a?u=1&u=2", "u", Some(b"1"));
        check_query("/a?x=1&u=a%20b+c", "u", Some(b"a b c"));
        check_query("/a?%75=1", "u", Some(b"1"));
        check_query("/a?u", "u", Some(b""));
        check_query("/a?u=", "u", Some(b""));
        check_query("/a?v=1", "u", None);
        check_query("/a", "u", None);
        check_query("/a?", "u", None);
        check_query("/a?u=%4", "u", Some(b"%4"));
        check_query("/a?u=%ff", "u", Some(b"\xff"));
        check_query("/a?u=1#u=2", "u", Some(b"1"));
        check_query("/a?uu=1&&&=&u=3", "u", Some(b"3"));
    }

    #[test]
    fn a_parameter_and_a_cookie_are_taken_out() {
        for (target, rest) in [
            ("/a", None),
            ("/a?b", None),
            ("/a?q", Some("/a")),
            ("/a?q=1&b&q=2&c=%20", Some("/a?b&c=%20")),
            ("/a?b&%71=1#q=2", Some("/a?b#q=2")),
            ("/a?&&q", Some("/a?&")),
        ] {
            assert_eq!(
                without_query_parameter(target.as_bytes(), "q").as_deref(),
                rest.map(str::as_bytes),
                "{target}"
            );
        }
        for (header, rest) in [
            ("q=1", ""),
            ("a=1; q=2; b=3", "a=1; b=3"),
            ("q=1; a=1;q=\"x\"", "a=1"),
            ("a=q=1; q", "a=q=1; q"),
            ("", ""),
        ] {
            assert_eq!(without_cookie(header.as_bytes(), b"q"), rest.as_bytes(), "{header}");
        }
    }

    #[test]
    fn a_path_ends_before_the_query() {
        assert_eq!(path_of(b"/a/b?c"), b"/a/b");
        assert_eq!(path_of(b"/a#b?c"), b"/a");
        assert_eq!(path_of(b"/a"), b"/a");
    }
}

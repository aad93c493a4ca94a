//! A path as the most lenient of servers reads it, for strict mode.
//!
//! Envoy hands over a path that it has normalised: `%2e` and other unreserved characters decoded once, `\` turned, dot segments resolved (RFC 3986, 5.2.4
//! and 6.2.2). What it leaves, others read on: `%2f` and `%5c` as `/`, `//` as `/`, and what stands behind `;` in a segment as no part of it (Servlet 4.0,
//! 3.5). Where a policy says one thing of the path as it came and another of this one, nothing can be said.

use std::borrow::Cow;

/// The path with all of it read; `None` for one that servers do not agree on: an escape that is none, is cut short or is escaped once more, a control
/// character, text that is no UTF-8.
pub fn canonical(path: &[u8]) -> Option<Cow<'_, [u8]>> {
    if path.iter().all(|byte| is_plain(*byte)) && !has_odd_segment(path) {
        return Some(Cow::Borrowed(path));
    }
    let decoded = decode(path)?;
    let decoded = if decoded.contains(&b'\\') {
        decoded.iter().map(|byte| if *byte == b'\\' { b'/' } else { *byte }).collect()
    } else {
        decoded
    };
    let mut segments: Vec<&[u8]> = Vec::new();
    let mut is_folder = false;
    for segment in decoded.split(|byte| *byte == b'/') {
        let name = segment.split(|byte| *byte == b';').next().unwrap_or_default();
        is_folder = matches!(name, b"" | b"." | b"..");
        match name {
            b"" | b"." => {}
            b".." => drop(segments.pop()),
            name => segments.push(name),
        }
    }
    let mut canonical = Vec::with_capacity(decoded.len() + 1);
    for segment in &segments {
        canonical.push(b'/');
        canonical.extend_from_slice(segment);
    }
    if is_folder || segments.is_empty() {
        canonical.push(b'/');
    }
    Some(Cow::Owned(canonical))
}

/// What no server reads in another way.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'%' | b'\\' | b';')
}

/// Whether there is a segment to resolve.
fn has_odd_segment(path: &[u8]) -> bool {
    let Some(rest) = path.strip_prefix(b"/") else { return true };
    let mut segments = rest.split(|byte| *byte == b'/').peekable();
    while let Some(segment) = segments.next() {
        let is_empty = segment.is_empty() && segments.peek().is_some();
        if is_empty || matches!(segment, b"." | b"..") {
            return true;
        }
    }
    false
}

fn decode(path: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path.iter();
    while let Some(byte) = rest.next() {
        let byte = match byte {
            b'%' => {
                let mut digit = || rest.next().and_then(|digit| char::from(*digit).to_digit(16));
                let (high, low) = (digit()?, digit()?);
                u8::try_from(high * 16 + low).ok()?
            }
            byte => *byte,
        };
        decoded.push(byte);
    }
    // A percent that is left stands for an escape that was escaped.
    let is_clear = !decoded.iter().any(|byte| byte.is_ascii_control() || *byte == b'%');
    (is_clear && std::str::from_utf8(&decoded).is_ok()).then_some(decoded)
}

/// The text of a policy's path with its escapes undone, where it has some: what a path is compared with once it has been read.
pub fn decoded(text: &str) -> Option<Vec<u8>> {
    if text.contains('%') { decode(text.as_bytes()) } else { None }
}

/// Whether a host, in lower case, is one: a name of letters, digits, `-`, `.` and `_`, or an address in brackets, and behind it perhaps a port. Envoy lets
/// more through, of which servers make different things: a user before it, two hosts with a comma, escapes.
pub fn is_host(host: &[u8]) -> bool {
    let end = if has_port(host) { host.iter().rposition(|byte| *byte == b':') } else { None };
    let (name, port) = host.split_at(end.unwrap_or(host.len()));
    let is_port = port.iter().skip(1).all(u8::is_ascii_digit);
    let address = name.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]"));
    let is_name = match address {
        Some(address) => address.iter().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.')),
        None => name.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_')),
    };
    is_port && is_name
}

/// Whether a host has a port.
pub fn has_port(host: &[u8]) -> bool {
    host.iter().rev().take_while(|byte| **byte != b']').any(|byte| *byte == b':')
}

/// A host without its port, and without a dot at its end.
pub fn host(host: &[u8]) -> &[u8] {
    let mut name = host;
    if has_port(host)
        && let Some(colon) = host.iter().rposition(|byte| *byte == b':')
    {
        name = host.get(..colon).unwrap_or(host);
    }
    name.strip_suffix(b".").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::{canonical, host, is_host};
    use proptest::prelude::*;

    #[track_caller]
    fn check(path: &str, expected: Option<&str>) {
        assert_eq!(canonical(path.as_bytes()).as_deref(), expected.map(str::as_bytes), "{path}");
    }

    #[test]
    fn a_path_is_read_to_its_end() {
        check("/", Some("/"));
        check("/a/b", Some("/a/b"));
        check("/a/b/", Some("/a/b/"));
        check("/a//b", Some("/a/b"));
        check("//", Some("/"));
        check("/a%2fb", Some("/a/b"));
        check("/a%5Cb", Some("/a/b"));
        check("/a\\..\\b", Some("/b"));
        check("/a/%2e%2e/b", Some("/b"));
        check("/a/..;/b", Some("/b"));
        check("/a;x=1/b;y", Some("/a/b"));
        check("/a/;x", Some("/a/"));
        check("/%61", Some("/a"));
        check("/a/b/..", Some("/a/"));
        check("/../..", Some("/"));
        check("/a%20b", Some("/a b"));
        check("/%c3%a9", Some("/é"));
        check("a", Some("/a"));
        check("", Some("/"));
        for path in ["/%00", "/%0a", "/%zz", "/%4", "/%", "/%252e", "/%c0%af", "/%ff", "/a%2", "/\u{7f}"] {
            check(path, None);
        }
    }

    #[test]
    fn a_host_loses_its_port_and_its_last_dot() {
        for (sent, name) in [
            ("a", "a"),
            ("a:80", "a"),
            ("a.", "a"),
            ("a.:80", "a"),
            ("[::1]:80", "[::1]"),
            ("[::1]", "[::1]"),
            ("", ""),
            (":80", ""),
            ("a:", "a"),
        ] {
            assert_eq!(host(sent.as_bytes()), name.as_bytes(), "{sent}");
        }
    }

    #[test]
    fn a_host_is_a_name_or_an_address() {
        for host in ["a", "a.b-c_d.", "a:80", "a:", "", "127.0.0.1", "[::1]", "[::ffff:1.2.3.4]:80"] {
            assert!(is_host(host.as_bytes()), "{host}");
        }
        for host in
            ["u@a", "a,b", "a%2eb", "a:b", "a:1.b", "a:80:80", "[::1", "[u@a]", "a b", "é", "a/", "[::1]x"]
        {
            assert!(!is_host(host.as_bytes()), "{host}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

        #[test]
        fn reading_a_path_twice_is_reading_it_once(path in "/([a./;\\\\=]|%2[ef]|%5c|%61|%c3%a9|%25|%3b){0,12}") {
            if let Some(once) = canonical(path.as_bytes()) {
                let twice = canonical(&once);
                prop_assert_eq!(twice.as_deref(), Some(&*once), "{}", path);
            }
        }
    }
}

//! Path templates of Istio: `/users/{*}/orders/{**}`.
//!
//! Istio hands them to Envoy's `uri_template`, which makes a regex of them: `{*}` is `[pchar]+` and `{**}` is `[pchar/]*`. Its set of characters has `=`
//! and `*` too (as 1.37 to 1.40 match, byte by byte), and none outside ASCII, no `"` and no `{`: in strict mode the set is everything but `/`.

/// One segment that is not empty.
const ONE: &str = "{*}";
/// Any segments, none included.
const ANY: &str = "{**}";

/// Whether a path is a template: Istio's `ContainsPathTemplate`.
pub fn is_template(path: &str) -> bool {
    path.contains(ONE) || path.contains(ANY)
}

/// Refuses what Istio (`CheckValidPathTemplate`) or Envoy (`parseURLPatternSyntax`) would.
pub fn check(template: &str) -> Result<(), &'static str> {
    let Some(rest) = template.strip_prefix('/') else { return Err("must begin with `/`") };
    let mut is_over = false;
    let mut segments = rest.split('/').peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            ONE | ANY if is_over => return Err("must have `{**}` as its last operator"),
            ONE => {}
            ANY => is_over = true,
            "" if is_last => {}
            "" => return Err("must not have an empty segment"),
            literal if literal.contains(['{', '}']) => {
                return Err("must have `{*}` or `{**}` as a whole segment");
            }
            literal if !literal.bytes().all(|byte| is_pchar(byte) && byte != b'*') => {
                return Err("must have letters, digits and -._~%!$&'()+,;:@= alone in a segment");
            }
            _ => {}
        }
    }
    Ok(())
}

/// What every path of the template begins with, and what it ends with.
pub fn ends(template: &[u8]) -> (&[u8], &[u8]) {
    let first = template.iter().position(|byte| *byte == b'{').unwrap_or(template.len());
    let last = template.iter().rposition(|byte| *byte == b'}').map_or(0, |last| last + 1);
    (template.get(..first).unwrap_or_default(), template.get(last..).unwrap_or_default())
}

/// Whether a path is of the template's form.
pub fn matches(template: &[u8], path: &[u8], is_strict: bool) -> bool {
    let fits = |byte: u8| if is_strict { byte != b'/' } else { is_pchar(byte) };
    let (mut template, mut path) = (template, path);
    loop {
        let Some(at) = template.iter().position(|byte| *byte == b'{') else { return path == template };
        let (literal, operator) = template.split_at(at);
        let Some(rest) = path.strip_prefix(literal) else { return false };
        path = rest;
        if let Some(tail) = operator.strip_prefix(ANY.as_bytes()) {
            // No operator comes after it.
            return path
                .strip_suffix(tail)
                .is_some_and(|middle| middle.iter().all(|byte| *byte == b'/' || fits(*byte)));
        }
        let Some(after) = operator.strip_prefix(ONE.as_bytes()) else { return false };
        let size = path.iter().position(|byte| !fits(*byte)).unwrap_or(path.len());
        if size == 0 {
            return false;
        }
        // The next literal begins with `/`, which no segment has: there is nothing to go back for.
        (template, path) = (after, path.get(size..).unwrap_or_default());
    }
}

/// Envoy's set: unreserved characters, `%`, and sub-delimiters of RFC 3986, with `:` and `@`.
fn is_pchar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%!$&'()+,;:@=*".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::{check, ends, matches};

    #[track_caller]
    fn matching(template: &str, paths: &[&str], others: &[&str]) {
        check(template).unwrap();
        for path in paths {
            assert!(matches(template.as_bytes(), path.as_bytes(), false), "{template} must match {path}");
        }
        for path in others {
            assert!(
                !matches(template.as_bytes(), path.as_bytes(), false),
                "{template} must not match {path}"
            );
        }
    }

    #[test]
    fn templates_match_as_the_regex_of_envoy_does() {
        matching("/{*}", &["/a", "/a%2fb", "/a;b", "/a=b", "/a*"], &["/", "/a/", "/a/b", "//", "/a\"b"]);
        matching("/a/{*}/c", &["/a/b/c", "/a/=/c"], &["/a//c", "/a/b/c/", "/a/b/b/c", "/b/b/c"]);
        matching("/a/{**}", &["/a/", "/a/b", "/a/b/c/", "/a//", "/a/b=c"], &["/a", "/ab"]);
        matching("/{**}", &["/", "/a", "/a/b", "/="], &["", "/\u{e9}"]);
        matching(
            "/store/{**}/cart",
            &["/store//cart", "/store/a/cart", "/store/a/b/cart"],
            &["/store/cart", "/store/a/carts", "/store/="],
        );
        matching("/a/{*}/", &["/a/b/"], &["/a/b"]);
        matching("/{*}/{*}/{**}/z", &["/a/b//z", "/a/b/c/z"], &["/a/b/z", "/a/z"]);
        // A literal may have `=`.
        matching("/a=b/{*}", &["/a=b/c"], &["/a/c"]);
    }

    #[test]
    fn strict_mode_has_no_hole_in_its_set() {
        for path in ["/admin/\u{e9}", "/admin/\"", "/admin/{x}"] {
            assert!(matches(b"/admin/{*}", path.as_bytes(), true), "{path}");
            assert!(!matches(b"/admin/{*}", path.as_bytes(), false), "{path}");
        }
        assert!(!matches(b"/admin/{*}", b"/admin/a/b", true) && !matches(b"/admin/{*}", b"/admin/", true));
    }

    #[test]
    fn what_istio_or_envoy_refuse_is_refused() {
        for text in [
            "{*}",
            "a/{*}",
            "//{*}",
            "/a//{*}",
            "/{**}/{*}",
            "/{**}/{**}",
            "/{*}x",
            "/x{*}",
            "/{a}/{*}",
            "/*/{*}",
            "/a b/{*}",
            "/{*}/?",
        ] {
            assert!(check(text).is_err(), "{text}");
        }
    }

    #[test]
    fn ends_are_literal() {
        assert_eq!(ends(b"/a/{*}/b/{**}/c"), (&b"/a/"[..], &b"/c"[..]));
        assert_eq!(ends(b"/a/{*}"), (&b"/a/"[..], &b""[..]));
    }
}

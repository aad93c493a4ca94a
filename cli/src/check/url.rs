//! URLs of modules, read as Istio reads them: with Go's `net/url`, and as a reference to an image.

/// What is wrong with a URL.
#[derive(Debug, PartialEq, Eq)]
pub enum Wrong {
    /// Istio refuses it.
    Refused(String),
    /// Istio takes it, and it leads to another file than it seems to.
    Misleading(String),
}

/// Checks the URL of a module.
///
/// # Errors
/// Istio would refuse it, or could never fetch from it.
pub fn check(url: &str) -> Result<(), Wrong> {
    let refused = |message: String| Err(Wrong::Refused(message));
    if url.is_empty() {
        return refused("must not be empty".to_owned());
    }
    if url.chars().any(char::is_control) {
        return refused(format!("`{}` has a control character", url.escape_debug()));
    }
    let (scheme, rest) = split(url);
    if scheme.is_empty() {
        return if url.starts_with(':') {
            refused(format!("`{url}` has no scheme before `:`"))
        } else {
            image(url)
        };
    }
    match scheme.to_ascii_lowercase().as_str() {
        "http" | "https" => authority(url, rest),
        "oci" => match rest.strip_prefix("//") {
            Some(reference) => image(reference),
            None => refused(format!("`{url}` needs `//` behind `oci:`")),
        },
        "file" => match rest.strip_prefix("//") {
            Some("" | "/") => refused(format!("`{url}` names no file")),
            Some(path) if !path.starts_with('/') => Err(Wrong::Misleading(format!(
                "`{url}`: Istio takes what stands behind two slashes for a host, and reads another file"
            ))),
            _ => Ok(()),
        },
        other if other.contains('.') || other == "localhost" => refused(format!(
            "Istio reads `{other}` as the scheme of `{url}`: a registry with a port needs `oci://` before it"
        )),
        other => {
            refused(format!("must begin with oci://, https://, http:// or file://, got the scheme `{other}`"))
        }
    }
}

/// The scheme, and what stands behind its colon; no scheme where a sign comes before the colon that no scheme has.
fn split(url: &str) -> (&str, &str) {
    let end = url.find(|letter: char| !letter.is_ascii_alphanumeric() && !['+', '-', '.'].contains(&letter));
    match end.map(|end| url.split_at(end)) {
        Some((scheme, rest))
            if rest.starts_with(':') && scheme.starts_with(|first: char| first.is_ascii_alphabetic()) =>
        {
            (scheme, rest.trim_start_matches(':'))
        }
        _ => ("", url),
    }
}

/// The host, port and path of an http URL.
fn authority(url: &str, rest: &str) -> Result<(), Wrong> {
    let refused = |message: &str| Err(Wrong::Refused(format!("`{url}` {message}")));
    let Some(rest) = rest.strip_prefix("//") else { return refused("needs `//` behind the scheme") };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let (user, host) = authority.rsplit_once('@').map_or(("", authority), |(user, host)| (user, host));
    if !user.chars().all(|letter| letter.is_ascii_alphanumeric() || "-._:~!$&'()*+,;=%@".contains(letter)) {
        return refused("has a sign before `@` that no user has");
    }
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !host.ends_with(']') => (name, Some(port)),
        _ => (host, None),
    };
    if name.is_empty() {
        return refused("has no host");
    }
    if port.is_some_and(|port| !port.bytes().all(|byte| byte.is_ascii_digit())) {
        return refused("has a port that is no number");
    }
    if name.chars().any(|letter| {
        letter.is_ascii() && !letter.is_ascii_alphanumeric() && !"-._~!$&'()*+,;=:[]<>\"%".contains(letter)
    }) {
        return refused("has a host with a sign that no host has");
    }
    for (place, _) in path.match_indices('%') {
        let code = path.get(place + 1..place + 3);
        if !code.is_some_and(|code| code.bytes().all(|byte| byte.is_ascii_hexdigit())) {
            return refused("has a `%` without two hexadecimal digits behind it");
        }
    }
    Ok(())
}

/// A reference to an image: `[HOST[:PORT]/]REPOSITORY[:TAG][@sha256:DIGEST]`.
fn image(reference: &str) -> Result<(), Wrong> {
    let refused = |message: &str| Err(Wrong::Refused(format!("`{reference}` {message}")));
    let (name, digest) =
        reference.split_once('@').map_or((reference, None), |(name, digest)| (name, Some(digest)));
    if let Some(digest) = digest {
        let hex = digest.strip_prefix("sha256:");
        if !hex.is_some_and(is_sha256) {
            return refused("must have `sha256:` and 64 lower-case hexadecimal digits behind `@`");
        }
    }
    let (host, path) = name.split_once('/').map_or(("", name), |(host, path)| (host, path));
    // Without a dot, a colon or `localhost`, what stands before the first slash is a part of the repository.
    let is_host = host.contains(['.', ':']) || host == "localhost";
    let path = if is_host || host.is_empty() { path } else { name };
    if name.starts_with('/') || name.is_empty() {
        return refused("has no host");
    }
    if is_host && !host.chars().all(|letter| letter.is_ascii_alphanumeric() || "-._:[]".contains(letter)) {
        return refused("has a host with a sign that no host has");
    }
    if let Some((_, port)) = host.rsplit_once(':').filter(|_| is_host && !host.ends_with(']'))
        && (port.is_empty() || !port.bytes().all(|byte| byte.is_ascii_digit()))
    {
        return refused("has a port that is no number");
    }
    let (repository, tag) =
        path.rsplit_once(':').map_or((path, None), |(repository, tag)| (repository, Some(tag)));
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-./".contains(&byte);
    if repository.is_empty()
        || repository.ends_with('/')
        || repository.contains("//")
        || !repository.bytes().all(is_word)
    {
        return refused("must have a repository of lower-case letters, digits, `.`, `_`, `-` and `/`");
    }
    let is_tag = |tag: &str| {
        !tag.is_empty()
            && tag.len() <= 128
            && tag.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
    };
    if tag.is_some_and(|tag| !is_tag(tag)) {
        return refused("must have a tag of at most 128 letters, digits, `.`, `_` and `-`");
    }
    Ok(())
}

/// Whether a text is 64 lower-case hexadecimal digits.
pub fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::{Wrong, check};

    #[test]
    fn what_istio_takes_is_taken() {
        for good in [
            "test",
            "test.com/test",
            "http://test.com/test",
            "https://test.com:8443/a%20b.wasm",
            "oci://test.com/test",
            "oci://registry.example:5000/a/b:1.0",
            "file:///opt/filters/openid.wasm",
            "HTTP://test.com/x",
            "ghcr.io/istio/x:1.2",
            "oci://r.example/a@sha256:1ef0c9a92b0420cf25f7fe5d481b231464bc88f486ca3b9c83ed5cc21d2f6210",
            "oci://localhost:5000/x",
            "oci://r.example/a:1.0@sha256:1ef0c9a92b0420cf25f7fe5d481b231464bc88f486ca3b9c83ed5cc21d2f6210",
            "http://[::1]:80/x",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
    }

    #[test]
    fn what_istio_refuses_or_cannot_fetch_is_refused() {
        for bad in [
            "",
            "ftp://test.com/test",
            "fake://example.com",
            "#%blah$#@",
            "registry.example:5000/x",
            "http://",
            "http:///x",
            "oci://",
            "oci:///x",
            "http://host:port/x",
            "http://a b/x",
            "http://host/%zz",
            "oci://r.example/Upper",
            "oci://r.example/a:",
            "oci://r.example/a@sha256:1234",
            "oci://r.example/a@md5:1234",
            "://x",
            "http://host/\u{1}",
            "oci://r.example/",
            "s3://bucket/x",
            "oci://r.example:port/x",
            "file://",
        ] {
            assert!(matches!(check(bad), Err(Wrong::Refused(_))), "{bad}");
        }
        assert!(matches!(check("file://opt/x.wasm"), Err(Wrong::Misleading(_))));
    }
}

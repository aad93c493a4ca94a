//! Names of header fields.

use std::fmt;

/// The name of a header field (RFC 9110, 5.1) in lower case, as Envoy keeps it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HeaderName(Box<str>);

/// Why a text is no header name that a filter may use.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidHeaderName {
    /// The name is empty.
    Empty,
    /// The name has a character that is no `tchar`.
    Character(char),
    /// The name frames the message or is a pseudo header: the proxy's own to write.
    Reserved,
    /// The name is longer than 128 bytes.
    TooLong,
}

impl fmt::Display for InvalidHeaderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("must be a header name, got an empty string"),
            Self::Character(character) => write!(f, "must be a header name, got the character {character:?}"),
            Self::Reserved => f.write_str("must be a header that a filter may write, got one that frames the message or is the proxy's own"),
            Self::TooLong => f.write_str("must be at most 128 bytes long"),
        }
    }
}

impl std::error::Error for InvalidHeaderName {}

/// Headers that a filter leaves to the proxy.
const RESERVED: [&str; 12] = [
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "upgrade",
    "cookie",
    "set-cookie",
    "authorization",
];

impl HeaderName {
    /// Reads the name of a header that is only looked at; the pseudo headers `:authority`, `:path`, `:method` and `:scheme` are names too.
    ///
    /// # Errors
    /// The text is no header name.
    #[inline(never)]
    pub fn parse(text: &str) -> Result<Self, InvalidHeaderName> {
        if is_among(text, &[":authority", ":path", ":method", ":scheme", ":status"]) {
            return Ok(Self(text.into()));
        }
        if text.is_empty() {
            return Err(InvalidHeaderName::Empty);
        }
        if text.len() > 128 {
            return Err(InvalidHeaderName::TooLong);
        }
        match text.chars().find(|&character| !is_tchar(character)) {
            Some(character) => Err(InvalidHeaderName::Character(character)),
            None => Ok(Self(text.to_ascii_lowercase().into())),
        }
    }

    /// Reads the name of a header that a filter writes.
    ///
    /// # Errors
    /// The text is no header name, or one that a filter must leave to the proxy: a pseudo header, or one that frames the message.
    pub fn writable(text: &str) -> Result<Self, InvalidHeaderName> {
        let name = Self::parse(text)?;
        let reserved = name.0.starts_with(':') || is_among(&name.0, &RESERVED);
        if reserved { Err(InvalidHeaderName::Reserved) } else { Ok(name) }
    }

    /// The name, in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One loop for all lists: unrolled, each name would be code of its own.
#[inline(never)]
fn is_among(name: &str, names: &[&str]) -> bool {
    names.contains(&name)
}

/// RFC 9110, 5.6.2.
pub(crate) fn is_tchar(character: char) -> bool {
    character.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(character)
}

#[cfg(test)]
mod tests {
    use super::HeaderName;

    #[track_caller]
    fn check(text: &str, expected: Result<&str, &str>) {
        let got = HeaderName::writable(text)
            .map(|name| name.as_str().to_owned())
            .map_err(|error| error.to_string());
        match expected {
            Ok(name) => assert_eq!(got.as_deref(), Ok(name)),
            Err(part) => assert!(got.clone().is_err_and(|error| error.contains(part)), "{text:?}: {got:?}"),
        }
    }

    #[test]
    fn a_name_that_a_filter_writes_is_a_token_and_no_part_of_the_framing() {
        check("x-arm", Ok("x-arm"));
        check("X-Arm", Ok("x-arm"));
        check("", Err("empty"));
        check("x arm", Err("' '"));
        check("x-arm\r\n", Err("'\\r'"));
        check("ärm", Err("'ä'"));
        check(":path", Err("frames"));
        check("Host", Err("frames"));
        check("content-length", Err("frames"));
        check(&"a".repeat(129), Err("128"));
    }
}

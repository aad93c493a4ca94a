//! Text that may leave the proxy.

use std::borrow::Cow;

/// Text that is safe to put into a response header, a cookie, a metric label or a log line: visible ASCII and spaces, of a stated length.
///
/// Those places take this type alone, so that a value of the request gets there only through [`Bounded::new`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounded<'a>(Cow<'a, str>);

impl<'a> Bounded<'a> {
    /// The first `limit` bytes of a value, every byte outside visible ASCII and space replaced by `_`.
    pub fn new(value: &'a [u8], limit: usize) -> Self {
        let value = value.get(..limit).unwrap_or(value);
        match std::str::from_utf8(value) {
            Ok(text) if text.bytes().all(is_plain) => Self(Cow::Borrowed(text)),
            _ => {
                Self(value.iter().map(|&byte| if is_plain(byte) { char::from(byte) } else { '_' }).collect())
            }
        }
    }

    /// Text that the program or its configuration wrote; control characters are replaced by `_`.
    pub fn own(text: impl Into<Cow<'a, str>>) -> Self {
        let text = text.into();
        if text.chars().any(char::is_control) {
            return Self(text.chars().map(|c| if c.is_control() { '_' } else { c }).collect());
        }
        Self(text)
    }

    /// A line of JSON. Its writer has escaped all control characters, those beyond ASCII too, so it is not gone through once more.
    pub fn json(line: String) -> Self {
        debug_assert!(
            !line.chars().any(char::is_control),
            "a writer of JSON has let a control character through"
        );
        Self(Cow::Owned(line))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn into_inner(self) -> Cow<'a, str> {
        self.0
    }

    /// The same text, borrowed.
    #[must_use]
    pub fn borrowed(&self) -> Bounded<'_> {
        Bounded(Cow::Borrowed(&self.0))
    }

    /// The same text, owned.
    #[must_use]
    pub fn into_owned(self) -> Bounded<'static> {
        Bounded(Cow::Owned(self.0.into_owned()))
    }
}

fn is_plain(byte: u8) -> bool {
    byte == b' ' || byte.is_ascii_graphic()
}

#[cfg(test)]
mod tests {
    use super::Bounded;

    #[test]
    fn no_byte_of_a_request_can_break_a_line_or_a_size() {
        assert_eq!(Bounded::new(b"plain text", 100).as_str(), "plain text");
        assert_eq!(Bounded::new(b"a\r\nset-cookie: x\0\xff", 100).as_str(), "a__set-cookie: x__");
        assert_eq!(Bounded::new("naïve".as_bytes(), 100).as_str(), "na__ve");
        assert_eq!(Bounded::new(b"abcdef", 3).as_str(), "abc");
        assert_eq!(Bounded::own("a\nb\u{85}c\u{a0}é").as_str(), "a_b_c\u{a0}é");
    }
}

//! What is done with a value that was found.

use crate::entity::Entity;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use std::{
    borrow::Cow,
    fmt::{self, Write as _},
    net::Ipv6Addr,
    sync::Arc,
};

/// What is done with a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operator {
    /// The value goes; its type in brackets stands for it, such as `[US_SSN]`.
    Drop,
    /// A text of the configuration stands for it.
    Fixed(Cow<'static, str>),
    /// Letters and digits at its ends stay, and `*` stands for each other character, or `***` for all of them when its length must not show.
    Mask {
        /// How many letters and digits stay at the front.
        first: u8,
        /// How many stay at the end.
        last: u8,
        /// Whether the length is hidden.
        hide_length: bool,
    },
    /// A coarser value: an address's /24 or /48, coordinates with one decimal, the year of a date.
    Truncate,
    /// A keyed token, the same for equal values: `t1:<key id>:<type>:<base32>`.
    Token {
        /// Whether an email's domain stays behind the token.
        domain: bool,
    },
    /// The value stays.
    Keep,
}

impl Operator {
    pub(crate) const TOKEN: Self = Self::Token { domain: false };
    pub(crate) const REDACTED: Self = Self::Fixed(Cow::Borrowed("REDACTED"));
    pub(crate) const LAST_2: Self = Self::Mask { first: 0, last: 2, hide_length: false };
    pub(crate) const LAST_4: Self = Self::Mask { first: 0, last: 4, hide_length: false };
    pub(crate) const ENDS: Self = Self::Mask { first: 2, last: 4, hide_length: false };
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Drop => f.write_str("drop"),
            Self::Fixed(text) => write!(f, "fixed `{text}`"),
            Self::Mask { first, last, hide_length } => {
                f.write_str("mask")?;
                if *first > 0 {
                    write!(f, ", first {first}")?;
                }
                if *last > 0 {
                    write!(f, ", last {last}")?;
                }
                f.write_str(if *hide_length { ", hidden length" } else { "" })
            }
            Self::Truncate => f.write_str("truncate"),
            Self::Token { domain } => f.write_str(if *domain { "token, domain kept" } else { "token" }),
            Self::Keep => f.write_str("keep"),
        }
    }
}

/// The key of tokens for one tenant and day.
///
/// The caller takes the secret from the VM's environment, never from a configuration, and says which day it is. Equal values have equal tokens
/// within a tenant and a day, and no relation beyond.
#[derive(Clone)]
pub struct TokenKey {
    id: Arc<str>,
    derived: Hmac<Sha256>,
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenKey({})", self.id)
    }
}

/// A secret that is too short for a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShortKey(usize);

impl fmt::Display for ShortKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "must have at least {} bytes, got {}", TokenKey::SHORTEST, self.0)
    }
}

impl std::error::Error for ShortKey {}

impl TokenKey {
    /// The fewest bytes of a secret.
    pub const SHORTEST: usize = 16;

    /// The key of a tenant for a day, counted from any fixed one, such as the days since 1970. Of `id` the letters, digits, `-` and `_` are
    /// used, 16 at most.
    ///
    /// # Errors
    /// The secret has fewer than [`SHORTEST`](Self::SHORTEST) bytes.
    pub fn new(secret: &[u8], id: &str, tenant: &str, day: u32) -> Result<Self, ShortKey> {
        if secret.len() < Self::SHORTEST {
            return Err(ShortKey(secret.len()));
        }
        let keyed = |key: &[u8]| Hmac::<Sha256>::new_from_slice(key).map_err(|_| ShortKey(key.len()));
        let mut derived = keyed(secret)?;
        derived.update(b"outrigger t1\0");
        derived.update(&day.to_be_bytes());
        derived.update(tenant.as_bytes());
        let id: String =
            id.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')).take(16).collect();
        Ok(Self { id: id.into(), derived: keyed(&derived.finalize().into_bytes())? })
    }

    /// Writes the token of a value: `t1:<key id>:<type>:<base32>`, of 128 bits.
    fn write(&self, entity: Entity, value: &[u8], out: &mut String) {
        let mut mac = self.derived.clone();
        mac.update(entity.id().as_bytes());
        mac.update(b"\0");
        // The same value has one token however it is written: an email in any case, a number with any separators.
        let is_text =
            matches!(entity.group(), crate::Group::Secret | crate::Group::Key | crate::Group::Other);
        for byte in value {
            if is_text {
                mac.update(&[*byte]);
            } else if byte.is_ascii_alphanumeric()
                || *byte >= 0x80
                || matches!(byte, b'@' | b'.' | b':') && !entity.is_number()
            {
                mac.update(&[byte.to_ascii_lowercase()]);
            }
        }
        for part in ["t1:", &self.id, ":", entity.id(), ":"] {
            out.push_str(part);
        }
        base32(mac.finalize().into_bytes().first_chunk::<16>().unwrap_or(&[0; 16]), out);
    }
}

impl Entity {
    /// Whether separators mean nothing in a value.
    fn is_number(self) -> bool {
        matches!(self.group(), crate::Group::Payment | crate::Group::Identity)
            || matches!(self, Self::Phone | Self::Mac)
    }
}

/// RFC 4648 base32 in lower case without padding.
fn base32(bytes: &[u8], out: &mut String) {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let (mut bits, mut count) = (0_u32, 0);
    for byte in bytes.iter().copied().chain([0]) {
        bits = bits << 8 | u32::from(byte);
        count += 8;
        while count >= 5 {
            count -= 5;
            let index = usize::try_from(bits >> count & 31).unwrap_or(0);
            out.push(ALPHABET.get(index).copied().map_or('a', char::from));
        }
    }
    // The last byte was added to bring out the bits that were left: of its own characters all but those go.
    let wanted = (bytes.len() * 8).div_ceil(5);
    let written = (bytes.len() + 1) * 8 / 5;
    out.truncate(out.len() - (written - wanted));
}

/// Text from which what was found is gone.
///
/// Only the engine makes one: what takes a `Redacted` can hold no plaintext by mistake. It borrows the text in which nothing was found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Redacted<'t>(Cow<'t, str>);

impl<'t> Redacted<'t> {
    pub(crate) fn new(text: impl Into<Cow<'t, str>>) -> Self {
        Self(text.into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text, taken out.
    pub fn into_string(self) -> String {
        self.0.into_owned()
    }

    /// At most the first so many bytes of the text, in whole characters.
    #[must_use]
    pub fn cut(self, limit: usize) -> Self {
        let end = self.0.floor_char_boundary(limit);
        match self.0 {
            whole if end >= whole.len() => Self(whole),
            Cow::Borrowed(text) => Self(Cow::Borrowed(text.get(..end).unwrap_or_default())),
            Cow::Owned(mut text) => {
                text.truncate(end);
                Self(Cow::Owned(text))
            }
        }
    }

    /// The same, with the text its own.
    #[must_use]
    pub fn into_owned(self) -> Redacted<'static> {
        Redacted(Cow::Owned(self.0.into_owned()))
    }
}

impl fmt::Display for Redacted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Writes what stands for a value, of which the encodings are undone.
pub fn apply(operator: &Operator, entity: Entity, value: &[u8], key: Option<&TokenKey>, out: &mut String) {
    match operator {
        Operator::Drop => bracketed(entity, out),
        Operator::Fixed(text) => out.push_str(text),
        Operator::Keep => out.push_str(&String::from_utf8_lossy(value)),
        Operator::Mask { first, last, hide_length } => {
            mask(value, usize::from(*first), usize::from(*last), *hide_length, out);
        }
        Operator::Truncate => match entity {
            Entity::Ipv4 | Entity::Ipv6 => address(entity, value, out),
            Entity::Coordinates => coordinates(value, out),
            Entity::DateOfBirth => year(value, out),
            _ => bracketed(entity, out),
        },
        Operator::Token { domain } => {
            let Some(key) = key else { return bracketed(entity, out) };
            if entity == Entity::Jwt
                && let Some(algorithm) = crate::detect::secrets::jwt::algorithm(value)
            {
                out.push_str(&algorithm);
                out.push('.');
            }
            key.write(entity, value, out);
            if *domain
                && entity == Entity::Email
                && let Some(at) = value.iter().rposition(|byte| *byte == b'@')
            {
                out.push_str(&String::from_utf8_lossy(value.get(at..).unwrap_or_default()));
            }
        }
    }
}

/// The type in brackets.
fn bracketed(entity: Entity, out: &mut String) {
    out.push('[');
    out.extend(entity.id().chars().map(|c| c.to_ascii_uppercase()));
    out.push(']');
}

/// A value of which the ends would be more than two thirds is hidden whole.
fn mask(value: &[u8], first: usize, last: usize, hide_length: bool, out: &mut String) {
    let text = String::from_utf8_lossy(value);
    let count = text.chars().filter(|c| c.is_alphanumeric()).count();
    let (first, last) = if (first + last) * 3 > count * 2 { (0, 0) } else { (first, last) };
    let mut seen = 0;
    let mut hidden = false;
    for c in text.chars() {
        let counted = c.is_alphanumeric();
        let stays = counted && (seen < first || seen >= count - last);
        seen += usize::from(counted);
        if stays {
            out.push(c);
        } else if !hide_length {
            out.push('*');
        } else if !hidden {
            out.push_str("***");
            hidden = true;
        }
    }
}

fn address(entity: Entity, value: &[u8], out: &mut String) {
    let text = String::from_utf8_lossy(value);
    if let Ok(address) = text.parse::<Ipv6Addr>() {
        for segment in address.segments().iter().take(3) {
            _ = write!(out, "{segment:x}:");
        }
        out.push(':');
        return;
    }
    let octets: Vec<&str> = text.split('.').collect();
    match octets.as_slice() {
        [a, b, c, d] if [a, b, c, d].iter().all(|octet| octet.parse::<u8>().is_ok()) => {
            _ = write!(out, "{a}.{b}.{c}.0");
        }
        _ => bracketed(entity, out),
    }
}

/// Each number with one decimal: about 11 km.
fn coordinates(value: &[u8], out: &mut String) {
    let mut decimals = None;
    for byte in value {
        match byte {
            b'0'..=b'9' => {
                decimals = decimals.map(|count: u8| count.saturating_add(1));
                if decimals.is_none_or(|count| count <= 1) {
                    out.push(char::from(*byte));
                }
            }
            b'.' => {
                decimals = Some(0);
                out.push('.');
            }
            b'-' | b'+' | b',' | b';' | b' ' | b'/' => {
                decimals = None;
                out.push(char::from(*byte));
            }
            _ => decimals = None,
        }
    }
}

/// The four digits that are a year; else nothing of the date.
fn year(value: &[u8], out: &mut String) {
    let year = value.split(|byte| !byte.is_ascii_digit()).find_map(|part| match part.len() {
        4 => Some(part),
        8 if part.starts_with(b"19") || part.starts_with(b"20") => part.get(..4),
        _ => None,
    });
    match year {
        Some(year) => out.push_str(&String::from_utf8_lossy(year)),
        None => bracketed(Entity::DateOfBirth, out),
    }
}

#[cfg(test)]
mod tests {
    use super::{Operator, TokenKey, apply};
    use crate::entity::Entity;

    #[track_caller]
    fn check(operator: &Operator, entity: Entity, value: &str, expected: &str) {
        let mut out = String::new();
        apply(operator, entity, value.as_bytes(), None, &mut out);
        assert_eq!(out, expected);
    }

    #[test]
    fn operators_leave_what_they_say() {
        let mask = |first, last, hide_length| Operator::Mask { first, last, hide_length };
        check(&Operator::Drop, Entity::UsSsn, "123-45-6789", "[US_SSN]");
        check(&Operator::LAST_4, Entity::Card, "4111 1111 1111 1234", "***************1234");
        check(&mask(6, 4, false), Entity::Card, "4111111111111234", "411111******1234");
        check(&mask(0, 4, true), Entity::Card, "4111111111111234", "***1234");
        check(&mask(0, 4, false), Entity::Phone, "12345", "*****");
        check(&mask(2, 2, false), Entity::Name, "Åsa Öberg", "Ås*****rg");
        check(&Operator::Truncate, Entity::Ipv4, "192.0.2.17", "192.0.2.0");
        check(&Operator::Truncate, Entity::Ipv6, "2001:db8:1:2::3", "2001:db8:1::");
        check(&Operator::Truncate, Entity::Ipv4, "unknown", "[IPV4]");
        check(&Operator::Truncate, Entity::Coordinates, "52.520008,-13.404954", "52.5,-13.4");
        check(&Operator::Truncate, Entity::DateOfBirth, "12/27/1986", "1986");
        check(&Operator::Truncate, Entity::DateOfBirth, "19861227", "1986");
        check(&Operator::Truncate, Entity::DateOfBirth, "27.12.86", "[DATE_OF_BIRTH]");
        check(&Operator::TOKEN, Entity::Email, "joe@example.com", "[EMAIL]");
        check(&Operator::REDACTED, Entity::UrlSignature, "abc", "REDACTED");
        check(&Operator::Keep, Entity::Email, "joe@example.com", "joe@example.com");
    }

    fn token(secret: &[u8], tenant: &str, day: u32, entity: Entity, value: &str) -> String {
        let key = TokenKey::new(secret, "k7", tenant, day).unwrap();
        let mut out = String::new();
        apply(&Operator::Token { domain: true }, entity, value.as_bytes(), Some(&key), &mut out);
        out
    }

    #[test]
    fn tokens_group_equal_values_within_a_tenant_and_a_day() {
        let secret = b"0123456789abcdef";
        let email = token(secret, "a", 1, Entity::Email, "joe@example.com");
        assert!(email.starts_with("t1:k7:email:") && email.ends_with("@example.com"), "{email}");
        let encoded = email.trim_start_matches("t1:k7:email:").trim_end_matches("@example.com");
        assert_eq!(encoded.len(), 26);
        assert!(encoded.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'2'..=b'7')));
        let plain = |text: String| text.split('@').next().map(str::to_owned);
        assert_eq!(plain(token(secret, "a", 1, Entity::Email, "JOE@example.com")), plain(email.clone()));
        assert_eq!(
            token(secret, "a", 1, Entity::Phone, "+49 (30) 1234"),
            token(secret, "a", 1, Entity::Phone, "+49301234")
        );
        for other in [
            token(secret, "b", 1, Entity::Email, "joe@example.com"),
            token(secret, "a", 2, Entity::Email, "joe@example.com"),
            token(b"0123456789abcdeg", "a", 1, Entity::Email, "joe@example.com"),
            token(secret, "a", 1, Entity::Email, "jo.e@example.com"),
        ] {
            assert_ne!(other, email);
        }
        assert_eq!(
            TokenKey::new(b"short", "k", "", 0).unwrap_err().to_string(),
            "must have at least 16 bytes, got 5"
        );
    }
}

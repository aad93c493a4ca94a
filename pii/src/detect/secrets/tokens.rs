//! Tokens of vendors: a prefix, a length, an alphabet, and enough entropy to be no word.

use super::families::{self, Alphabet, Family};
use crate::{checksum, dispatch::Pass, entity::Entity};

/// Bits of entropy a character below which a tail is a placeholder: `XXXX...`.
const LEAST_ENTROPY: f64 = 2.5;

/// The token of a vendor that begins with a token of the text, whose first characters may be those of a family or not.
#[inline]
pub fn find(pass: &mut Pass<'_>, start: usize, end: usize, may_begin: bool) {
    // The lengths of the tokens that no prefix gives away.
    const ODD: u128 = 1 << 14 | 1 << 24 | 1 << 26 | 1 << 35 | 1 << 36 | 1 << 37 | 1 << 68;
    let length = end - start;
    if may_begin || length < 128 && ODD >> length & 1 == 1 {
        any(pass, start, end);
    }
}

#[inline(never)]
fn any(pass: &mut Pass<'_>, start: usize, end: usize) {
    let first = pass.at(start).to_ascii_lowercase();
    for family in families::of(first) {
        if let Some(length) = matches(family, pass.from(start)) {
            // A wrong check is no reason to let a token pass that is one in all else.
            let is_checked = family.crc32 && has_crc32(pass.part(start, start + length));
            pass.hit(start, start + length, Entity::ApiToken, if is_checked { 100 } else { 90 });
            pass.skip_numbers_to(start + length);
            return;
        }
    }
    if let Some(length) = odd(pass, start, end) {
        pass.hit(start, start + length, Entity::ApiToken, 90);
    }
}

/// The length of a token of the family at the front of a text.
pub fn matches(family: &Family, text: &[u8]) -> Option<usize> {
    let (head, tail) = text.split_at_checked(family.prefix.len())?;
    // Prefixes of letters alone are known in their own case, or else a word would do.
    let is_plain = family.prefix.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let is_prefix = if is_plain {
        head == family.prefix.as_bytes()
    } else {
        head.eq_ignore_ascii_case(family.prefix.as_bytes())
    };
    if !is_prefix {
        return None;
    }
    let length = tail.iter().take(family.most + 1).take_while(|byte| family.alphabet.has(**byte)).count();
    let is_end = !tail.get(length).is_some_and(u8::is_ascii_alphanumeric);
    if length < family.least || length > family.most || !is_end {
        return None;
    }
    let tail = tail.get(..length)?;
    let has_digit = tail.iter().any(u8::is_ascii_digit);
    let has_cases = tail.iter().any(u8::is_ascii_uppercase) && tail.iter().any(u8::is_ascii_lowercase);
    let entropy = checksum::entropy(tail);
    // A word of these lengths has one case, or few letters; one in capitals behind capitals, as `AKIA`, is none.
    let is_long = length >= 30 || length >= 20 && has_cases || length >= 16 && is_plain && entropy >= 3.0;
    let is_random = entropy >= LEAST_ENTROPY && (has_digit || is_long);
    is_random.then_some(family.prefix.len() + length)
}

/// GitHub and npm: the last six characters are the CRC-32 of those between the prefix and them, in base62.
fn has_crc32(token: &[u8]) -> bool {
    const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let tail = token.rsplit(|byte| *byte == b'_').next().unwrap_or_default();
    let Some((body, check)) = tail.split_last_chunk::<6>() else { return false };
    let mut rest = checksum::crc32(body);
    check.iter().rev().all(|character| {
        let index = usize::try_from(rest % 62).unwrap_or(0);
        rest /= 62;
        ALPHABET.get(index) == Some(character)
    })
}

/// Tokens that no prefix gives away.
fn odd(pass: &Pass<'_>, start: usize, end: usize) -> Option<usize> {
    let token = pass.part(start, end);
    let hex = |text: &[u8]| text.iter().all(u8::is_ascii_hexdigit);
    match token.len() {
        // Mailchimp: 32 hex digits and a data centre.
        36 | 37 if token.get(32..35) == Some(b"-us") => hex(token.get(..32)?).then_some(token.len()),
        // Telegram: the bot's number, a colon and 35 characters; the number stays behind.
        35 if token.starts_with(b"AA") && pass.before(start) == b':' => {
            pass.before(start - 1).is_ascii_digit().then_some(35)
        }
        // Terraform: 14 characters, a word and at least 60.
        14 if pass.from(end).starts_with(b".atlasv1.") => {
            let tail =
                pass.from(end + 9).iter().take(80).take_while(|byte| Alphabet::Url.has(**byte)).count();
            (tail >= 60).then_some(14 + 9 + tail)
        }
        // Discord's bots: a base64 of the bot's number, a time and a signature.
        24 | 26 if matches!(token.first(), Some(b'M' | b'N' | b'O')) && pass.at(end) == b'.' => {
            let rest = pass.from(end + 1);
            let time = rest.iter().take(8).take_while(|byte| Alphabet::Url.has(**byte)).count();
            let signature =
                rest.get(time + 1..)?.iter().take(40).take_while(|byte| Alphabet::Url.has(**byte)).count();
            (time == 6 && rest.get(6) == Some(&b'.') && signature >= 27)
                .then_some(token.len() + 1 + time + 1 + signature)
        }
        // Slack's webhooks: the last segment of their path.
        24 if pass.before(start) == b'/' => {
            let before = pass.part(start.saturating_sub(64), start);
            memchr::memmem::find(before, b"hooks.slack.com/").is_some().then_some(24)
        }
        // Discord's webhooks.
        68 if pass.before(start) == b'/' => {
            let before = pass.part(start.saturating_sub(64), start);
            memchr::memmem::find(before, b"/webhooks/").is_some().then_some(68)
        }
        _ => None,
    }
}

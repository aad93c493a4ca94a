//! JSON Web Tokens: RFC 7519.

use crate::{decode, dispatch::Pass, entity::Entity};

/// The longest token that is read: Envoy's headers are shorter.
const LONGEST: usize = 16 << 10;

/// A token of three parts, whose first is the base64url of an object with `alg`.
pub fn find(pass: &mut Pass<'_>, start: usize, end: usize) -> bool {
    // The base64 of `{"` is `eyJ`; of `{` and a space or a line's end it begins with `ey` or `ew`.
    if !matches!(pass.part(start, start + 2), b"ey" | b"ew") || pass.at(end) != b'.' {
        return false;
    }
    let text = pass.from(start);
    let text = text.get(..LONGEST).unwrap_or(text);
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'=');
    let length = text.iter().take_while(|byte| is_part(byte) || **byte == b'.').count();
    let token = text.get(..length).unwrap_or_default();
    let mut dots = token.iter().enumerate().filter(|(_, byte)| **byte == b'.').map(|(place, _)| place);
    let (Some(_), Some(second)) = (dots.next(), dots.next()) else { return false };
    // Encrypted tokens have five parts. What follows a dot and is no part is the sentence's.
    let signed = second
        + 1
        + token.get(second + 1..).unwrap_or_default().iter().take_while(|byte| is_part(byte)).count();
    let length = if dots.next().is_some() && token.last() != Some(&b'.') { length } else { signed };
    let head = pass.part(start, end);
    if !decode::base64(head, 0).is_some_and(|header| has_algorithm(&header.bytes)) {
        return false;
    }
    pass.hit(start, start + length, Entity::Jwt, 95);
    pass.skip_to(start + length);
    true
}

fn has_algorithm(header: &[u8]) -> bool {
    memchr::memmem::find(header, b"\"alg\"").is_some()
}

/// The algorithm that a token's header names, if it is a short word.
pub fn algorithm(token: &[u8]) -> Option<String> {
    let header = decode::base64(token.split(|byte| *byte == b'.').next()?, 0)?.bytes;
    let place = memchr::memmem::find(&header, b"\"alg\"")?;
    let mut quoted = header.get(place + 5..)?.split(|byte| *byte == b'"');
    let (_, name) = (quoted.next()?, quoted.next()?);
    let is_name = (1..=16).contains(&name.len())
        && name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-');
    is_name.then(|| String::from_utf8_lossy(name).into_owned())
}

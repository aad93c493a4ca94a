//! Passwords in URLs: RFC 3986, section 3.2.1.

use crate::{dispatch::Pass, entity::Entity};

const LONGEST: usize = 1024;

/// The userinfo behind `scheme://`, which begins at a place.
pub fn userinfo(pass: &mut Pass<'_>, start: usize) {
    let text = pass.from(start);
    let text = text.get(..LONGEST).unwrap_or(text);
    let ends =
        |byte: &u8| matches!(byte, b'/' | b'?' | b'#' | b'"' | b'\'' | b'<' | b'>' | b'\\' | b'|' | 0..=b' ');
    let length = text.iter().position(ends).unwrap_or(text.len());
    let authority = text.get(..length).unwrap_or_default();
    if let Some(at) = authority.iter().rposition(|byte| *byte == b'@')
        && at > 0
    {
        pass.hit(start, start + at, Entity::UrlCredentials, 90);
        pass.skip_to(start + at + 1);
    }
}

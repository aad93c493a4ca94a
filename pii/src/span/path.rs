//! `/key/value/` in paths.

use crate::{decode, dispatch::Pass, key::Role};

/// The segment behind one whose name decides, if it can be a value: routes have words there.
pub fn segment(pass: &mut Pass<'_>, start: usize, end: usize) {
    const SHORTEST: usize = 4;
    let Some((entity, Role::Decides | Role::Exactly)) = pass.engine.keys().known(pass.part(start, end))
    else {
        return;
    };
    let rest = pass.from(end + 1);
    let ends = |byte: &u8| matches!(byte, b'/' | b'?' | b'#' | b'"' | b'\'' | b'<' | b'>' | b'&' | 0..=b' ');
    let length = rest.iter().position(ends).unwrap_or(rest.len());
    let value = rest.get(..length).unwrap_or_default();
    if length < SHORTEST {
        return;
    }
    // Encoded digits may all be letters.
    let padding = value.iter().rev().take_while(|byte| **byte == b'=').count();
    let unpadded = value.get(..length - padding).unwrap_or_default();
    let has_digit = |text: &[u8]| text.iter().any(u8::is_ascii_digit);
    if !has_digit(value) && !decode::base64(unpadded, 0).is_some_and(|decoded| has_digit(&decoded.bytes)) {
        return;
    }
    pass.key_hit(end + 1, end + 1 + length, entity, false);
}

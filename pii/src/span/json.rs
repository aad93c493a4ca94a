//! Members of JSON's objects, at any depth.

use super::{header, is_shaped, note, says_nothing};
use crate::{dispatch::Pass, entity::Entity, key::Role};

/// The longest name of a member that is looked up.
const LONGEST_NAME: usize = 64;
/// How deep a container under a name that decides is gone through, before all that is left of it goes.
const DEEPEST: usize = 64;

/// Whether a byte may stand behind the name of a member and its quote.
#[inline]
pub fn may_follow(byte: u8) -> bool {
    matches!(byte, b':' | b' ' | b'\t' | b'\r' | b'\n')
}

/// The value of a member whose name ends with a quote at a place.
pub fn member(pass: &mut Pass<'_>, quote_at: usize, quote: u8) {
    let mut from = quote_at + 1;
    while matches!(pass.at(from), b' ' | b'\t' | b'\r' | b'\n') {
        from += 1;
    }
    if pass.at(from) != b':' {
        return;
    }
    from += 1;
    let head = pass.part(quote_at.saturating_sub(LONGEST_NAME), quote_at);
    let Some(begin) = head.iter().rposition(|byte| *byte == quote) else { return };
    let name = head.get(begin + 1..).unwrap_or_default();
    let Some(found) = super::look_up(pass, name) else { return };
    while matches!(pass.at(from), b' ' | b'\t' | b'\r' | b'\n') {
        from += 1;
    }
    header::value(pass, from, found, true);
}

/// The length of a string without its quotes.
pub fn string_length(text: &[u8], quote: u8) -> usize {
    let mut is_escaped = false;
    let end = text.iter().position(|byte| {
        let ends = *byte == quote && !is_escaped;
        is_escaped = *byte == b'\\' && !is_escaped;
        ends
    });
    end.unwrap_or(text.len())
}

/// Every scalar in a container under a name that decides; members within that have a name of their own that decides follow that.
pub fn container(pass: &mut Pass<'_>, from: usize, found: (Entity, Role)) {
    let mut place = from;
    let mut depth = 0_usize;
    // The names of members that are open, of which the last counts until its value has been seen.
    let mut own: Option<(Entity, Role)> = None;
    loop {
        let byte = pass.at(place);
        match byte {
            b'[' | b'{' => {
                depth += 1;
                place += 1;
                if depth > DEEPEST {
                    return pass.key_hit(from, pass.text.len(), Entity::Undecodable, true);
                }
            }
            b']' | b'}' => {
                depth -= 1;
                place += 1;
                if depth == 0 {
                    break;
                }
            }
            b'"' => {
                let length = string_length(pass.from(place + 1), b'"');
                let end = place + 1 + length;
                let mut behind = end + 1;
                while matches!(pass.at(behind), b' ' | b'\t' | b'\r' | b'\n') {
                    behind += 1;
                }
                if pass.at(behind) == b':' {
                    own = super::look_up(pass, pass.part(place + 1, end));
                    place = behind + 1;
                } else {
                    // What does not look as its own name says is still what the container holds.
                    let value = pass.part(place + 1, end);
                    let own = own
                        .take()
                        .filter(|(entity, role)| *role != Role::IfShaped || is_shaped(*entity, value));
                    note(pass, place + 1, end, own.unwrap_or(found), false);
                    place = end + 1;
                }
            }
            b',' | b' ' | b'\t' | b'\r' | b'\n' | b':' => place += 1,
            _ => {
                let text = pass.from(place);
                if text.is_empty() {
                    // The end is missing, so what is there goes whole.
                    return pass.key_hit(from, pass.text.len(), found.0, true);
                }
                let length = text
                    .iter()
                    .position(|byte| matches!(byte, b',' | b']' | b'}' | 0..=b' '))
                    .unwrap_or(text.len());
                let length = length.max(1);
                if !says_nothing(pass.part(place, place + length)) {
                    note(pass, place, place + length, own.take().unwrap_or(found), true);
                }
                place += length;
            }
        }
    }
    pass.skip_to(place);
}

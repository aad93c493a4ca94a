//! `name: value`, of headers, YAML and logs, and the schemes of `authorization`.

use super::{json, note, pair};
use crate::{
    dispatch::Pass,
    entity::{Entity, Group},
    key::Role,
};

/// The value behind a colon, of a name that decides.
pub fn field(pass: &mut Pass<'_>, start: usize, end: usize, found: (Entity, Role)) {
    // `cc:` of an address is no name.
    let hex =
        |from: usize| pass.from(from).iter().take(5).take_while(|byte| byte.is_ascii_hexdigit()).count();
    if hex(start) == end - start && (pass.before(start) == b':' || pass.at(end + 1 + hex(end + 1)) == b':') {
        return;
    }
    let found = two_words(pass, start, end).unwrap_or(found);
    let mut from = end + 1;
    while matches!(pass.at(from), b' ' | b'\t') {
        from += 1;
    }
    value(pass, from, found, false);
}

/// What a name says together with the word before it: an `IP address` is none of a house.
fn two_words(pass: &Pass<'_>, start: usize, end: usize) -> Option<(Entity, Role)> {
    const LONGEST: usize = 16;
    let head = pass.part(start.saturating_sub(LONGEST), start);
    let head = head.strip_suffix(b" ")?;
    let word = head.iter().rev().take_while(|byte| byte.is_ascii_alphabetic()).count();
    if word == 0 { None } else { super::look_up(pass, pass.part(start - 1 - word, end)) }
}

/// The value that begins at a place: a string, a container, or a word; a line for what has several words.
pub fn value(pass: &mut Pass<'_>, from: usize, found: (Entity, Role), is_json: bool) {
    let (entity, _) = found;
    match pass.at(from) {
        quote @ (b'"' | b'\'') => {
            let length = json::string_length(pass.from(from + 1), quote);
            note(pass, from + 1, from + 1 + length, found, false);
        }
        // What must have a shape is found by it, in a container too.
        b'[' | b'{' if found.1 == Role::IfShaped => {}
        // `"user": {..}` is an object about somebody: its members have names of their own.
        b'{' if found == (Entity::Name, Role::Exactly) => {}
        b'[' | b'{' => json::container(pass, from, (entity, Role::Decides)),
        _ if is_json => {
            let text = pass.from(from);
            let length = text
                .iter()
                .position(|byte| matches!(byte, b',' | b']' | b'}' | 0..=b' '))
                .unwrap_or(text.len());
            note(pass, from, from + length, found, true);
        }
        _ => {
            let has_words = matches!(entity, Entity::Name | Entity::Address | Entity::Phone | Entity::Custom)
                || entity == Entity::Secret && pass.part(from, from + 7).contains(&b' ')
                || matches!(entity.group(), Group::Payment | Group::Identity);
            let text = pass.from(from);
            let length = if has_words {
                let ends = |byte: &u8| {
                    matches!(byte, b'\r' | b'\n' | b';' | b'&' | b'"' | b'<' | b'>' | b'|' | b'\t' | b',')
                };
                let length = text.iter().position(ends).unwrap_or(text.len());
                text.get(..length).unwrap_or_default().trim_ascii_end().len()
            } else {
                pair::value_length(text)
            };
            if entity == Entity::Coordinates {
                pair::goes_on(pass, from, from + length, entity);
            }
            note(pass, from, from + length, found, false);
        }
    }
}

/// Credentials behind the name of their scheme: RFC 6750 and RFC 7617.
#[inline]
pub fn scheme(pass: &mut Pass<'_>, start: usize, end: usize) {
    if may_be_scheme(end - start, pass.at(start)) {
        credentials(pass, start, end);
    }
}

/// Whether a word of this length and first letter may be the name of a scheme.
#[inline]
pub fn may_be_scheme(length: usize, first: u8) -> bool {
    matches!(length, 5 | 6) && matches!(first, b'b' | b'B')
}

fn credentials(pass: &mut Pass<'_>, start: usize, end: usize) {
    const SHORTEST: usize = 8;
    let word = pass.part(start, end);
    if !word.eq_ignore_ascii_case(b"bearer") && !word.eq_ignore_ascii_case(b"basic") {
        return;
    }
    let text = pass.from(end + 1);
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(byte);
    let length = text.iter().take_while(|byte| is_token(byte)).count();
    let token = text.get(..length).unwrap_or_default();
    if length >= SHORTEST
        && token.iter().any(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase() || *byte == b'=')
    {
        pass.key_hit(end + 1, end + 1 + length, Entity::Secret, false);
    }
}

//! `key=value`, of queries, forms, cookies and logs.

use super::note;
use crate::{classify, dispatch::Pass, entity::Entity, key::Role};

/// The value behind `=`, of a key that decides.
pub fn assigned(pass: &mut Pass<'_>, mut from: usize, found: (Entity, Role)) {
    // Logs write `key = value` and `key: =value`; a query has no space there.
    while pass.at(from) == b' ' {
        from += 1;
    }
    let quote = pass.at(from);
    if matches!(quote, b'"' | b'\'') {
        let length = super::json::string_length(pass.from(from + 1), quote);
        return note(pass, from + 1, from + 1 + length, found, false);
    }
    let end = from + value_length(pass.from(from));
    goes_on(pass, from, end, found.0);
    note(pass, from, end, found, false);
}

/// `ssn=123 45 6789 status=ok`: a number in groups goes on behind the space that ends a value, and a pair behind its comma.
pub fn goes_on(pass: &mut Pass<'_>, from: usize, end: usize, entity: Entity) {
    let is_pair = entity == Entity::Coordinates && pass.at(end) == b',';
    let is_group = pass.at(end) == b' ' || pass.at(end) == b')' && pass.at(end + 1) == b' ';
    if is_pair || is_group && entity.has_number() {
        let lead = pass.part(from, end).iter().take_while(|byte| !byte.is_ascii_alphanumeric()).count();
        pass.number_at(from + lead);
    }
}

/// The length of a value without quotes: to the next pair, or the end of the word.
pub fn value_length(text: &[u8]) -> usize {
    let length = classify::value_end(text);
    let value = text.get(..length).unwrap_or_default();
    // What ends a sentence or a list behind a value is not the value's.
    let trailing = value.iter().rev().take_while(|byte| matches!(byte, b',' | b')' | b']' | b'}')).count();
    length - trailing
}

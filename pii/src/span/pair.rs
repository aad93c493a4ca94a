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
    note(pass, from, end, found, false);
}

/// The length of a value without quotes: to the next pair, or the end of the word.
pub fn value_length(text: &[u8]) -> usize {
    let length = classify::value_end(text);
    let value = text.get(..length).unwrap_or_default();
    // What ends a sentence or a list behind a value is not the value's.
    let trailing = value.iter().rev().take_while(|byte| matches!(byte, b',' | b')' | b']' | b'}')).count();
    length - trailing
}

//! What the neighbourhood says of a candidate.

use crate::{dispatch::Pass, entity::Set};

/// The least confidence of what is found.
pub const THRESHOLD: u8 = 50;
/// What a word nearby is worth.
const WORD: u8 = 45;
/// How many bytes before and behind a candidate are read.
pub const BEFORE: usize = 48;
const BEHIND: usize = 24;

/// The entities that the words around a part of the text speak of, and those that the field's name does.
pub fn around(pass: &Pass<'_>, start: usize, end: usize) -> Set {
    let keys = pass.engine.keys();
    let from = start.saturating_sub(BEFORE);
    let before = pass.part(from, start);
    // A quote and a space end a column of a log: what stood there speaks of nothing here.
    let is_end = |place: &usize| before.get(place + 1) == Some(&b' ');
    let column = memchr::memrchr_iter(b'"', before).find(is_end).map_or(0, |place| place + 2);
    let before = keys.words_within(pass.text, from + column, start);
    let behind = keys.words_within(pass.text, end, (end + BEHIND).min(pass.text.len()));
    pass.given.or(before).or(behind)
}

/// The confidence in view of the neighbourhood.
pub const fn raised(confidence: u8, is_near: bool) -> u8 {
    if is_near { if confidence > 55 { 100 } else { confidence + WORD } } else { confidence }
}

//! What a byte says of the token before it, or of the one that it begins.

use crate::decode;

/// What the byte behind a token may make of it: the name of a field,
pub const KEY: u8 = 1;
/// a string's end,
pub const QUOTE: u8 = 2;
/// a word with something behind it,
pub const SPACE: u8 = 4;
/// the first part of something longer,
pub const DOT: u8 = 8;
/// or the beginning of a run of base64.
pub const RUN: u8 = 16;
/// A colon is the end of more than names.
pub const COLON: u8 = 32;
/// What may begin the base64 of a text.
pub const FIRST: u8 = 64;
/// What may stand between two groups of a number.
pub const GAP: u8 = 128;

static SAYS: [u8; 256] = table();

/// What a byte says of the token before it, or of the one that it begins.
#[inline]
pub fn says(byte: u8) -> u8 {
    SAYS.get(usize::from(byte)).copied().unwrap_or(0)
}

#[expect(clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "evaluated at compile time")]
const fn table() -> [u8; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = match byte as u8 {
            b'=' | b']' => KEY,
            b':' => KEY | COLON,
            b'/' => KEY | RUN | GAP,
            b'"' | b'\'' => QUOTE,
            b' ' => SPACE | GAP,
            b'+' => SPACE | RUN | GAP,
            b'.' => DOT | GAP,
            b'~' | b'(' | b')' | b',' => GAP,
            _ if decode::may_begin_text(byte as u8) => FIRST,
            _ => 0,
        };
        byte += 1;
    }
    table
}

//! Base64 and base64url: RFC 4648.

use super::{Decoded, Map};

/// How many groups of four must be text, if a run has so many, for it to be read at all.
pub const CERTAIN_GROUPS: usize = 5;

/// A run of base64 or base64url that reads as text: what it says, and how many raw bytes it took.
///
/// Base64 of anything else is not decoded: nothing that is looked for is binary. A run may end in the middle: what was read until then counts
/// if it is long enough to be no accident.
pub fn base64(run: &[u8], base: usize) -> Option<Decoded> {
    const NO_ACCIDENT: usize = 12;
    let first = *run.first_chunk::<4>()?;
    if !may_begin_text(first[0]) || !begins_as_text(first) || !goes_on_as_text(run) {
        return None;
    }
    // What is too short to end in the middle is text to its end, or nothing is made room for.
    if run.len() < NO_ACCIDENT / 3 * 4 && !run.chunks(4).all(is_text_group) {
        return None;
    }
    let mut decoded = Vec::with_capacity(run.len() / 4 * 3 + 3);
    let mut is_whole = true;
    for chunk in run.chunks(4) {
        let Some(bytes) = group(padded(chunk)) else {
            is_whole = false;
            break;
        };
        let count = chunk.len() * 3 / 4;
        let text = bytes.iter().take(count).take_while(|byte| is_text(**byte));
        let before = decoded.len();
        decoded.extend(text);
        if decoded.len() < before + count {
            is_whole = false;
            break;
        }
    }
    // The middle of a character at the end may be cut off.
    if let Err(error) = std::str::from_utf8(&decoded) {
        is_whole = false;
        decoded.truncate(error.valid_up_to());
    }
    let is_enough = decoded.len() >= if is_whole { 4 } else { NO_ACCIDENT };
    is_enough.then_some(Decoded { bytes: decoded, map: Map::Base64(base) })
}

/// Whether a first character of base64 may be that of text: it alone says whether the first byte is a control character, or the middle of one
/// outside ASCII.
pub const fn may_begin_text(first: u8) -> bool {
    const LETTERS: u64 = 0b11 << 2 | 0x00ff_ffff << 8 | 0x3fff << 48;
    #[expect(clippy::indexing_slicing, reason = "there is an entry for each byte")]
    let sextet = SEXTETS[first as usize];
    sextet < 64 && LETTERS >> sextet & 1 == 1
}

/// Whether the first three characters of a run of base64 may be those of text. They say all but the last six bits of three bytes; most words fail
/// here.
#[expect(clippy::inline_always, reason = "a part of the loop over tokens")]
#[inline(always)]
pub fn may_begin_as_text(run: &[u8]) -> bool {
    let Some([a, b, c]) = run.first_chunk::<3>() else { return false };
    let (a, b, c) = (sextet(*a), sextet(*b), sextet(*c));
    let has = |table: &[u64; 64], row: usize, column: usize| {
        table.get(row).is_some_and(|row| row >> (column % 64) & 1 == 1)
    };
    // Of three bytes in a row from 0xe0 on the last goes on with the character; of two it begins one.
    let goes_on = a < 48 || (a >= 56) == (c & 3 == 2);
    b < 64 && c < 64 && goes_on && has(&FIRST, a, b) && has(&SECOND, b, c)
}

#[expect(clippy::inline_always, reason = "as above")]
#[inline(always)]
fn sextet(character: u8) -> usize {
    usize::from(SEXTETS.get(usize::from(character)).copied().unwrap_or(u8::MAX))
}

/// The pairs of sextets that a text may begin with: the first byte, and the upper half of the second.
static FIRST: [u64; 64] = pairs(false);
/// The pairs of sextets that may be second and third in a text: the second byte, and the upper two bits of the third.
static SECOND: [u64; 64] = pairs(true);

#[expect(clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "evaluated at compile time")]
const fn pairs(is_second: bool) -> [u64; 64] {
    let mut table = [0; 64];
    let mut pair = 0;
    while pair < 64 * 64 {
        let (left, right) = (pair / 64, pair % 64);
        let fits = if is_second {
            let byte = ((left & 15) << 4 | right >> 2) as u8;
            // The third byte goes on with a character of several bytes, or not.
            let goes_on = right & 3 == 2;
            match byte {
                0x80..=0xbf => true,
                0xc2..=0xf4 => goes_on,
                _ => is_text(byte) && byte < 0x80 && !goes_on,
            }
        } else {
            let byte = (left << 2 | right >> 4) as u8;
            match byte {
                0xc2..=0xf4 => matches!(right & 15, 0x8..=0xb),
                _ => is_text(byte) && byte < 0x80 && !matches!(right & 15, 0x1 | 0x8..=0xb),
            }
        };
        if fits {
            table[left] |= 1 << right;
        }
        pair += 1;
    }
    table
}

/// Whether four characters are the base64 of three bytes of text.
#[inline]
pub fn begins_as_text(characters: [u8; 4]) -> bool {
    let Some(bytes @ [first, second, third]) = group(characters) else { return false };
    // Most words fail at the second byte, if not at the first.
    is_text(first) && is_text(second) && is_text(third) && begins_utf8(bytes)
}

/// Whether four characters within a run are the base64 of three bytes that may be in a text.
#[inline]
pub fn may_be_text(characters: [u8; 4]) -> bool {
    group(characters).is_some_and(|bytes| bytes.iter().all(|byte| is_text(*byte)))
}

/// Whether three bytes are UTF-8, but for a character that is cut off at their end: the table of the Unicode standard's section 3.9.
#[inline]
fn begins_utf8([first, second, third]: [u8; 3]) -> bool {
    // What may follow the first byte of a character outside ASCII, and whether that ends the character.
    let follows = |lead: u8, byte: u8| match lead {
        0xc2..=0xdf | 0xe1..=0xec | 0xee | 0xef | 0xf1..=0xf3 => matches!(byte, 0x80..=0xbf),
        0xe0 => matches!(byte, 0xa0..=0xbf),
        0xed => matches!(byte, 0x80..=0x9f),
        0xf0 => matches!(byte, 0x90..=0xbf),
        0xf4 => matches!(byte, 0x80..=0x8f),
        _ => false,
    };
    let begins = |byte: u8| byte < 0x80 || matches!(byte, 0xc2..=0xf4);
    match (first, second) {
        (..0x80, ..0x80) => begins(third),
        (..0x80, _) => follows(second, third),
        (..0xe0, _) => follows(first, second) && begins(third),
        _ => follows(first, second) && matches!(third, 0x80..=0xbf),
    }
}

/// Up to four characters, and what stands for nothing behind them.
fn padded(chunk: &[u8]) -> [u8; 4] {
    let mut padded = [b'A'; 4];
    for (into, byte) in padded.iter_mut().zip(chunk) {
        *into = *byte;
    }
    padded
}

/// Whether up to four characters are the base64 of bytes that may be in a text.
fn is_text_group(chunk: &[u8]) -> bool {
    group(padded(chunk))
        .is_some_and(|bytes| bytes.iter().take(chunk.len() * 3 / 4).all(|byte| is_text(*byte)))
}

/// Whether a text is UTF-8, but for a character that is cut off at its end.
fn is_cut_utf8(text: &[u8]) -> bool {
    std::str::from_utf8(text).map_or_else(|error| error.error_len().is_none(), |_| true)
}

/// Whether a run goes on as text for some groups: a look before anything is allocated.
fn goes_on_as_text(run: &[u8]) -> bool {
    let mut bytes = [b' '; CERTAIN_GROUPS * 3];
    for (chunk, into) in run.chunks_exact(4).zip(bytes.chunks_exact_mut(3)) {
        let group = chunk.first_chunk().and_then(|chunk| group(*chunk));
        let Some(group) = group.filter(|group| group.iter().all(|byte| is_text(*byte))) else { return false };
        into.copy_from_slice(&group);
    }
    is_cut_utf8(&bytes) || run.len() < CERTAIN_GROUPS * 4
}

#[inline]
const fn is_text(byte: u8) -> bool {
    matches!(byte, b'\t' | b'\n' | b'\r' | b' '..=b'~' | 0x80..)
}

/// The three bytes of four characters of either alphabet of RFC 4648.
#[inline]
fn group(characters: [u8; 4]) -> Option<[u8; 3]> {
    let sextets = characters.map(|byte| SEXTETS.get(usize::from(byte)).copied().unwrap_or(u8::MAX));
    let value = sextets.iter().fold(0_u32, |value, sextet| value << 6 | u32::from(*sextet));
    let [_, first, second, third] = value.to_be_bytes();
    let [a, b, c, d] = sextets;
    (a | b | c | d < 64).then_some([first, second, third])
}

static SEXTETS: [u8; 256] = sextets();

#[expect(clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "evaluated at compile time")]
const fn sextets() -> [u8; 256] {
    let mut table = [u8::MAX; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = match byte as u8 {
            letter @ b'A'..=b'Z' => letter - b'A',
            letter @ b'a'..=b'z' => letter - b'a' + 26,
            digit @ b'0'..=b'9' => digit - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => u8::MAX,
        };
        byte += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::{base64, begins_as_text, begins_utf8, is_cut_utf8, may_begin_as_text};

    #[test]
    fn three_characters_rule_out_no_text() {
        const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        for place in 0..1_usize << 18 {
            let three = [12, 6, 0].map(|shift| ALPHABET[place >> shift & 63]);
            let [a, b, c] = three;
            let begins = ALPHABET.iter().any(|d| begins_as_text([a, b, c, *d]));
            assert!(may_begin_as_text(&three) || !begins, "{three:?}");
        }
        assert!(!may_begin_as_text(b"am.") && !may_begin_as_text(b".m9") && !may_begin_as_text(b"a.9"));
    }

    #[test]
    fn three_bytes_begin_utf8_as_the_standard_library_says() {
        for value in 0..1_u32 << 24 {
            let [_, bytes @ ..] = value.to_be_bytes();
            assert_eq!(begins_utf8(bytes), is_cut_utf8(&bytes), "{bytes:x?}");
        }
    }

    #[test]
    fn base64_is_read_where_it_is_text() {
        let text =
            |run: &str| base64(run.as_bytes(), 0).map(|decoded| String::from_utf8(decoded.bytes).unwrap());
        assert_eq!(text("am9lQGV4YW1wbGUuY29t").as_deref(), Some("joe@example.com"));
        assert_eq!(text("am9lQGV4YW1wbGUuY28").as_deref(), Some("joe@example.co"));
        assert_eq!(text("disabling-battery-in-ubuntu-vms"), None);
        assert_eq!(text("8J-YgA").as_deref(), Some("😀"));
        assert_eq!(text("abc"), None);
    }
}

//! Encodings, undone to a fixpoint, with a map from each decoded byte to the raw bytes that it came from.
//!
//! Percent, JSON's and JavaScript's escapes and HTML's entities are undone in one pass over a stack: a byte that is pushed may complete an escape,
//! which then becomes one byte, which may complete another. So any nesting of these costs one pass, whatever its depth: each step but the
//! last makes the stack shorter. Base64 is undone by layers, which the engine counts.

use crate::classify;
use memchr::memchr3;

/// An encoding that is undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// `%40`, and `%u0040`.
    Percent,
    /// `\u0040`, `\x40`, `\n`.
    Json,
    /// `&#64;`, `&commat;`.
    Html,
    /// Base64 and base64url.
    Base64,
}

/// A decoded text.
#[derive(Debug, Default)]
pub struct Decoded {
    /// The decoded bytes.
    pub bytes: Vec<u8>,
    /// Of each decoded byte, where its raw bytes begin and end.
    map: Vec<(u32, u32)>,
}

impl Decoded {
    fn with_capacity(capacity: usize) -> Self {
        Self { bytes: Vec::with_capacity(capacity), map: Vec::with_capacity(capacity) }
    }

    #[inline]
    fn push(&mut self, byte: u8, begin: u32, end: u32) {
        self.bytes.push(byte);
        self.map.push((begin, end));
    }

    /// Where the raw bytes of a decoded span begin and end.
    pub fn raw(&self, start: usize, end: usize) -> (usize, usize) {
        let at = |place: usize| self.map.get(place).copied().unwrap_or_default();
        let (begin, _) = at(start);
        let (_, last) = at(end.saturating_sub(1));
        (usize::try_from(begin).unwrap_or(0), usize::try_from(last).unwrap_or(0))
    }

    /// Takes the last bytes back. Says where their raw bytes begin.
    #[inline]
    fn pop(&mut self, count: usize) -> u32 {
        let length = self.bytes.len().saturating_sub(count);
        let begin = self.map.get(length).map_or(0, |(begin, _)| *begin);
        self.bytes.truncate(length);
        self.map.truncate(length);
        begin
    }

    #[inline]
    fn ends_before(&self, back: usize, with: u8) -> bool {
        self.bytes.len().checked_sub(back).and_then(|place| self.bytes.get(place)) == Some(&with)
    }
}

/// Undoes percent, JSON's escapes and HTML's entities to a fixpoint; `None` if there is nothing to undo.
///
/// Texts of 4 GiB and more are not decoded: the engine takes none so long.
pub fn escapes(text: &[u8], blind: Option<Encoding>) -> Option<Decoded> {
    if u32::try_from(text.len()).is_err() || !has_escape(text) {
        return None;
    }
    let mut decoded = Decoded::with_capacity(text.len());
    let mut changed = false;
    for (begin, byte) in (0_u32..).zip(text) {
        decoded.push(*byte, begin, begin + 1);
        while reduce(&mut decoded, blind) {
            changed = true;
        }
    }
    changed.then_some(decoded)
}

/// Whether there may be an escape: a `%` or a backslash, or an ampersand with a semicolon behind it, which a query's has not.
fn has_escape(text: &[u8]) -> bool {
    if !classify::may_be_escaped(text) {
        return false;
    }
    let mut rest = text;
    while let Some(place) = memchr3(b'%', b'\\', b'&', rest) {
        let Some((first, behind)) = rest.get(place..).and_then(<[u8]>::split_first) else { return false };
        if *first != b'&' || behind.iter().take(LONGEST_ENTITY).any(|byte| *byte == b';') {
            return true;
        }
        rest = behind;
    }
    false
}

/// Replaces an escape at the end of the stack by what it stands for.
#[inline]
fn reduce(stack: &mut Decoded, blind: Option<Encoding>) -> bool {
    let Some(last) = stack.bytes.last().copied() else { return false };
    match last {
        b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F' => {
            if stack.ends_before(3, b'%') && blind != Some(Encoding::Percent) {
                return percent(stack);
            }
            if blind == Some(Encoding::Json) {
                return false;
            }
            if stack.ends_before(4, b'\\') && stack.ends_before(3, b'x') {
                return hex(stack, 4, 2);
            }
            if stack.ends_before(6, b'\\') && stack.ends_before(5, b'u')
                || stack.ends_before(6, b'%') && stack.ends_before(5, b'u')
            {
                return hex(stack, 6, 4);
            }
            plain(stack, last)
        }
        b';' if blind != Some(Encoding::Html) => entity(stack),
        _ if blind == Some(Encoding::Json) => false,
        b'\\' | b'/' | b'"' | b'\'' | b'n' | b't' | b'r' => plain(stack, last),
        _ => false,
    }
}

/// `\n` and the like.
fn plain(stack: &mut Decoded, last: u8) -> bool {
    let meant = match last {
        b'n' => b'\n',
        b't' => b'\t',
        b'r' => b'\r',
        b'b' | b'f' => b' ',
        b'\\' | b'/' | b'"' | b'\'' => last,
        _ => return false,
    };
    if !stack.ends_before(2, b'\\') {
        return false;
    }
    replace(stack, 2, char::from(meant))
}

fn percent(stack: &mut Decoded) -> bool {
    let Some(value) = hex_value(stack, 2) else { return false };
    let end = stack.map.last().map_or(0, |(_, end)| *end);
    let begin = stack.pop(3);
    let [byte, ..] = value.to_le_bytes();
    stack.push(byte, begin, end);
    true
}

fn hex(stack: &mut Decoded, length: usize, digits: usize) -> bool {
    let Some(value) = hex_value(stack, digits) else { return false };
    // Halves of a pair stand for a character that no detector looks for.
    replace(stack, length, char::from_u32(value).unwrap_or(char::REPLACEMENT_CHARACTER))
}

fn hex_value(stack: &Decoded, digits: usize) -> Option<u32> {
    let from = stack.bytes.len().checked_sub(digits)?;
    stack
        .bytes
        .get(from..)?
        .iter()
        .try_fold(0, |value, byte| Some(value * 16 + char::from(*byte).to_digit(16)?))
}

fn replace(stack: &mut Decoded, length: usize, meant: char) -> bool {
    let end = stack.map.last().map_or(0, |(_, end)| *end);
    let begin = stack.pop(length);
    let mut buffer = [0; 4];
    for byte in meant.encode_utf8(&mut buffer).bytes() {
        stack.push(byte, begin, end);
    }
    true
}

/// The longest entity that is undone, with its `&` and `;`.
const LONGEST_ENTITY: usize = 10;

/// HTML's numeric references and the named ones of ASCII: HTML standard, section 13.5.
fn entity(stack: &mut Decoded) -> bool {
    let from = stack.bytes.len().saturating_sub(LONGEST_ENTITY);
    let tail = stack.bytes.get(from..).unwrap_or_default();
    let Some(place) = tail.iter().rposition(|byte| *byte == b'&') else { return false };
    let Some([b'&', name @ .., b';']) = tail.get(place..) else { return false };
    let number = |digits: &[u8], radix: u32| {
        if digits.is_empty() {
            return None;
        }
        let value = digits.iter().try_fold(0_u32, |value, byte| {
            value.checked_mul(radix)?.checked_add(char::from(*byte).to_digit(radix)?)
        });
        value.and_then(char::from_u32)
    };
    let meant = match name {
        [b'#', b'x' | b'X', digits @ ..] => number(digits, 16),
        [b'#', digits @ ..] => number(digits, 10),
        b"amp" => Some('&'),
        b"lt" => Some('<'),
        b"gt" => Some('>'),
        b"quot" => Some('"'),
        b"apos" => Some('\''),
        b"nbsp" => Some(' '),
        b"commat" => Some('@'),
        b"period" => Some('.'),
        b"colon" => Some(':'),
        b"sol" => Some('/'),
        b"plus" => Some('+'),
        b"equals" => Some('='),
        b"percnt" => Some('%'),
        b"lowbar" => Some('_'),
        b"dash" | b"hyphen" => Some('-'),
        _ => None,
    };
    let length = name.len() + 2;
    meant.is_some_and(|meant| replace(stack, length, meant))
}

/// A run of base64 or base64url that reads as text: what it says, and how many raw bytes it took.
///
/// Base64 of anything else is not decoded: nothing that is looked for is binary. A run may end in the middle: what was read until then counts
/// if it is long enough to be no accident.
pub fn base64(run: &[u8], base: u32) -> Option<Decoded> {
    const NO_ACCIDENT: usize = 12;
    let first = *run.first_chunk::<4>()?;
    if !may_begin_text(first[0]) || !begins_as_text(first) || !goes_on_as_text(run) {
        return None;
    }
    let mut decoded = Decoded::with_capacity(run.len() / 4 * 3 + 3);
    let mut place = base;
    let mut is_whole = true;
    for chunk in run.chunks(4) {
        let mut padded = [b'A'; 4];
        for (into, byte) in padded.iter_mut().zip(chunk) {
            *into = *byte;
        }
        let Some(bytes) = group(padded) else {
            is_whole = false;
            break;
        };
        let count = chunk.len() * 3 / 4;
        let spans = [(0, 2), (1, 3), (2, 4)];
        for (byte, (begin, end)) in bytes.iter().zip(spans).take(count) {
            if !is_text(*byte) {
                is_whole = false;
                break;
            }
            decoded.push(*byte, place + begin, place + end);
        }
        if !is_whole {
            break;
        }
        place += 4;
    }
    // The middle of a character at the end may be cut off.
    let text = std::str::from_utf8(&decoded.bytes);
    if let Err(error) = text {
        is_whole = false;
        let valid = error.valid_up_to();
        decoded.bytes.truncate(valid);
        decoded.map.truncate(valid);
    }
    (decoded.bytes.len() >= if is_whole { 4 } else { NO_ACCIDENT }).then_some(decoded)
}

/// Whether a first character of base64 may be that of text: it alone says whether the first byte is a control character, or the middle of one
/// outside ASCII.
#[inline]
pub fn may_begin_text(first: u8) -> bool {
    const SEXTETS: u64 = 0b11 << 2 | 0x00ff_ffff << 8 | 0x3fff << 48;
    sextet(first).is_some_and(|sextet| SEXTETS >> sextet & 1 == 1)
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

/// Whether a text is UTF-8, but for a character that is cut off at its end.
fn is_cut_utf8(text: &[u8]) -> bool {
    std::str::from_utf8(text).map_or_else(|error| error.error_len().is_none(), |_| true)
}

/// Whether a run goes on as text for some groups: a look before anything is allocated.
fn goes_on_as_text(run: &[u8]) -> bool {
    const GROUPS: usize = 5;
    let mut bytes = [b' '; GROUPS * 3];
    for (chunk, into) in run.chunks_exact(4).zip(bytes.chunks_exact_mut(3)) {
        let group = chunk.first_chunk().and_then(|chunk| group(*chunk));
        let Some(group) = group.filter(|group| group.iter().all(|byte| is_text(*byte))) else { return false };
        into.copy_from_slice(&group);
    }
    is_cut_utf8(&bytes) || run.len() < GROUPS * 4
}

#[inline]
fn is_text(byte: u8) -> bool {
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

#[inline]
fn sextet(byte: u8) -> Option<u32> {
    match SEXTETS.get(usize::from(byte)) {
        Some(value) if *value < 64 => Some(u32::from(*value)),
        _ => None,
    }
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
    use super::{base64, begins_utf8, escapes, is_cut_utf8};

    #[test]
    fn three_bytes_begin_utf8_as_the_standard_library_says() {
        for value in 0..1_u32 << 24 {
            let [_, bytes @ ..] = value.to_be_bytes();
            assert_eq!(begins_utf8(bytes), is_cut_utf8(&bytes), "{bytes:x?}");
        }
    }

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        let decoded = escapes(text.as_bytes(), None)
            .map(|decoded| String::from_utf8_lossy(&decoded.bytes).into_owned());
        assert_eq!(decoded.as_deref(), expected, "{text}");
    }

    #[test]
    fn escapes_are_undone_in_any_nesting() {
        check("a@b", None);
        check("a=1&b=2;c", None);
        check("100%", None);
        check("a%40b", Some("a@b"));
        check("a%4", None);
        check("a%zz%40", Some("a%zz@"));
        check("a%2540b", Some("a@b"));
        check("a%25252540b", Some("a@b"));
        check("%2%3541", Some("A"));
        check(r"a\u0040b", Some("a@b"));
        check(r"a\\u0040b", Some("a@b"));
        check(r"a\x40b\/\n", Some("a@b/\n"));
        check("a&#64;b&#x40;c&commat;d&amp;commat;e", Some("a@b@c@d@e"));
        check("%26%2364%3B", Some("@"));
        check(r"%5Cu0040", Some("@"));
        check("%u0040", Some("@"));
        check(r"\ud83d\ude00", Some("\u{fffd}\u{fffd}"));
        check("&#99999999;", None);
    }

    #[test]
    fn decoded_bytes_know_their_raw_ones() {
        let decoded = escapes(b"x%2540y", None).unwrap();
        assert_eq!((decoded.raw(0, 1), decoded.raw(1, 2), decoded.raw(2, 3)), ((0, 1), (1, 6), (6, 7)));
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

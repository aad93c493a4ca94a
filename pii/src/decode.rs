//! Encodings, undone to a fixpoint, with a map from each decoded byte to the raw bytes that it came from.
//!
//! Percent, JSON's and JavaScript's escapes and HTML's entities are undone in one pass over a stack: a byte that is pushed may complete an escape,
//! which then becomes one byte, which may complete another. So any nesting of these costs one pass, whatever its depth: each step but the
//! last makes the stack shorter. Base64 is undone by layers, which the engine counts.

use crate::classify::{self, Escapes};
use memchr::memchr3;

mod base64;

pub use base64::{CERTAIN_GROUPS, base64, begins_as_text, may_be_text, may_begin_as_text, may_begin_text};

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
#[derive(Debug)]
pub struct Decoded {
    /// The decoded bytes.
    pub bytes: Vec<u8>,
    map: Map,
}

/// Where the raw bytes of a decoded text are.
#[derive(Debug)]
enum Map {
    /// Each byte stands for itself but for these, in order.
    Escapes(Vec<Escaped>),
    /// Each three bytes stand for four from a place on.
    Base64(usize),
}

/// A decoded byte that stands for an escape, or a part of what one stands for.
#[derive(Debug, Clone, Copy)]
struct Escaped {
    place: usize,
    /// Where the escape begins in the raw text, and where it ends.
    begin: usize,
    end: usize,
    /// How many escapes of JSON were undone for it, one in another.
    json: u32,
}

impl Escaped {
    /// Where the raw bytes of this byte, or of one behind it before the next such, begin and end.
    fn raw(&self, place: usize) -> (usize, usize) {
        match place - self.place {
            0 => (self.begin, self.end),
            behind => (self.end + behind - 1, self.end + behind),
        }
    }
}

impl Decoded {
    /// Where the raw bytes of a decoded span begin and end.
    pub fn raw(&self, start: usize, end: usize) -> (usize, usize) {
        let (begin, _) = self.byte(start);
        let (_, end) = self.byte(end.saturating_sub(1));
        (begin, end)
    }

    fn byte(&self, place: usize) -> (usize, usize) {
        match &self.map {
            Map::Escapes(escaped) => {
                let before = escaped.partition_point(|escaped| escaped.place <= place);
                let last = before.checked_sub(1).and_then(|index| escaped.get(index));
                last.map_or((place, place + 1), |escaped| escaped.raw(place))
            }
            Map::Base64(base) => {
                let begin = base + place / 3 * 4 + place % 3;
                (begin, begin + 2)
            }
        }
    }
}

/// What has been decoded so far, from the front of a text.
struct Stack {
    bytes: Vec<u8>,
    escaped: Vec<Escaped>,
    /// How much of the text has been taken.
    taken: usize,
}

impl Stack {
    /// Replaces the last bytes by others that stand for the same raw bytes, and says so: `json` is 1 for an escape of JSON.
    fn replace(&mut self, count: usize, by: &[u8], json: u32) -> bool {
        let length = self.bytes.len().saturating_sub(count);
        // No more than a few are taken back.
        let kept = self.escaped.iter().rposition(|escaped| escaped.place < length).map_or(0, |last| last + 1);
        let begin =
            match (self.escaped.get(kept), kept.checked_sub(1).and_then(|last| self.escaped.get(last))) {
                (Some(first), _) if first.place == length => first.begin,
                (_, Some(before)) => before.raw(length).0,
                _ => length,
            };
        let undone = self.escaped.get(kept..).unwrap_or_default().iter().map(|escaped| escaped.json).max();
        let json = undone.unwrap_or(0).saturating_add(json);
        self.bytes.truncate(length);
        self.escaped.truncate(kept);
        for byte in by {
            self.escaped.push(Escaped { place: self.bytes.len(), begin, end: self.taken, json });
            self.bytes.push(*byte);
        }
        true
    }

    /// How many escapes of JSON were undone for the byte so far back.
    fn json(&self, back: usize) -> u32 {
        let place = self.bytes.len().saturating_sub(back);
        let last = self.escaped.iter().rev().take_while(|escaped| escaped.place >= place).last();
        last.filter(|escaped| escaped.place == place).map_or(0, |escaped| escaped.json)
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
    if has_escape(text) { undone(text, blind) } else { None }
}

/// The same for a text that [may have one](has_escape).
pub fn undone(text: &[u8], blind: Option<Encoding>) -> Option<Decoded> {
    u32::try_from(text.len()).ok()?;
    let mut stack = Stack { bytes: Vec::with_capacity(text.len()), escaped: Vec::new(), taken: 0 };
    let mut changed = false;
    // How many bytes may still complete an escape that begins with one of those before.
    let mut open = 0_usize;
    while stack.taken < text.len() {
        let rest = text.get(stack.taken..).unwrap_or_default();
        if open == 0 {
            // An entity is undone when its end comes, so its beginning is of no interest.
            let length = memchr3(b'%', b'\\', b';', rest).unwrap_or(rest.len());
            stack.bytes.extend_from_slice(rest.get(..length).unwrap_or_default());
            stack.taken += length;
            open = 1;
            continue;
        }
        let Some(byte) = rest.first() else { break };
        stack.bytes.push(*byte);
        stack.taken += 1;
        open = if matches!(byte, b'%' | b'\\') { LONGEST_ESCAPE } else { open - 1 };
        while reduce(&mut stack, blind) {
            changed = true;
            open = LONGEST_ESCAPE;
        }
    }
    changed.then_some(Decoded { bytes: stack.bytes, map: Map::Escapes(stack.escaped) })
}

/// Whether a text may have an escape: a `%` or a backslash, or an ampersand with a semicolon behind it, which a query's has not.
#[inline]
pub fn has_escape(text: &[u8]) -> bool {
    match classify::escapes(text) {
        Escapes::None => false,
        Escapes::Begun => true,
        Escapes::MaybeEntities => has_entity(text),
    }
}

/// Whether there may be an entity: a semicolon is near behind an ampersand.
fn has_entity(text: &[u8]) -> bool {
    memchr::memchr_iter(b'&', text).any(|place| {
        let behind = text.get(place..).unwrap_or_default();
        behind.iter().take(LONGEST_ENTITY + 1).any(|byte| *byte == b';')
    })
}

/// Replaces an escape at the end of the stack by what it stands for.
#[inline]
fn reduce(stack: &mut Stack, blind: Option<Encoding>) -> bool {
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
        // No escape, which lenient readers take for the character.
        b'@' | b'.' | b'-' | b'_' | b'+' => {
            stack.ends_before(2, b'\\') && stack.json(2) > 0 && replace(stack, 2, char::from(last), 0)
        }
        _ => false,
    }
}

/// `\n` and the like.
fn plain(stack: &mut Stack, last: u8) -> bool {
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
    // A backslash that an escape stood for begins one of another layer: the next backslash of this layer has an escape of its own to begin.
    if last == b'\\' && stack.json(2) > stack.json(1) {
        return false;
    }
    replace(stack, 2, char::from(meant), 1)
}

fn percent(stack: &mut Stack) -> bool {
    let Some(value) = hex_value(stack, 2) else { return false };
    let [byte, ..] = value.to_le_bytes();
    stack.replace(3, &[byte], 0)
}

fn hex(stack: &mut Stack, length: usize, digits: usize) -> bool {
    let Some(value) = hex_value(stack, digits) else { return false };
    // Halves of a pair stand for a character that no detector looks for.
    replace(stack, length, char::from_u32(value).unwrap_or(char::REPLACEMENT_CHARACTER), 1)
}

fn hex_value(stack: &Stack, digits: usize) -> Option<u32> {
    let from = stack.bytes.len().checked_sub(digits)?;
    stack
        .bytes
        .get(from..)?
        .iter()
        .try_fold(0, |value, byte| Some(value * 16 + char::from(*byte).to_digit(16)?))
}

fn replace(stack: &mut Stack, length: usize, meant: char, json: u32) -> bool {
    stack.replace(length, meant.encode_utf8(&mut [0; 4]).as_bytes(), json)
}

/// The longest escape that is no entity: `\u0040`.
const LONGEST_ESCAPE: usize = 6;

/// The longest entity that is undone, with its `&` and `;`.
const LONGEST_ENTITY: usize = 10;

/// HTML's numeric references and the named ones of ASCII: HTML standard, section 13.5.
fn entity(stack: &mut Stack) -> bool {
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
    meant.is_some_and(|meant| replace(stack, length, meant, 0))
}

#[cfg(test)]
mod tests {
    use super::escapes;

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
        check(r"\\\\u0040", Some("@"));
        check(r"a\\\u0040b", Some("a@b"));
        check(r"%5c\u0040", Some("@"));
        check(r"\%5cu0040", Some("@"));
        // Found by `cargo xtask fuzz encodings`: JSON in JSON, all of it escaped.
        check(r"\u005c\u0075\u0030\u0030\u0034\u0030", Some("@"));
        check(
            r"\u005c\u0075\u0030\u0030\u0035\u0063\u005c\u0075\u0030\u0030\u0037\u0035\u0030\u0030\u0034\u0030",
            Some("@"),
        );
        check(r"\u005c\\n", Some("\n"));
        check(r"\ud83d\ude00", Some("\u{fffd}\u{fffd}"));
        check("&#99999999;", None);
    }

    #[test]
    fn decoded_bytes_know_their_raw_ones() {
        let decoded = escapes(b"x%2540y", None).unwrap();
        assert_eq!((decoded.raw(0, 1), decoded.raw(1, 2), decoded.raw(2, 3)), ((0, 1), (1, 6), (6, 7)));
    }
}

//! One pass over a text: a table says what each byte is, a run of letters, digits, `-` and `_` is a token, and a token's looks say which detectors
//! are worth calling. Most tokens call none.

use crate::{
    Engine, context, decode,
    detect::{contact, network, number, secrets},
    entity::{Entity, Set},
    span,
};

/// A part of a token.
const TOKEN: u8 = 1;
const DIGIT: u8 = 2;
const UPPER: u8 = 4;
const LOWER: u8 = 8;
/// `-` and `_`.
const JOIN: u8 = 16;
/// A byte of a character outside ASCII.
const HIGH: u8 = 32;

const CLASSES: [u8; 256] = classes();

#[expect(clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "evaluated at compile time")]
const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = match byte as u8 {
            b'0'..=b'9' => TOKEN | DIGIT,
            b'A'..=b'Z' => TOKEN | UPPER,
            b'a'..=b'z' => TOKEN | LOWER,
            b'-' | b'_' => TOKEN | JOIN,
            0x80..=0xff => TOKEN | HIGH,
            _ => 0,
        };
        byte += 1;
    }
    table
}

/// The fewest characters of base64 that are tried: those of four bytes.
const SHORTEST_BASE64: usize = 6;

#[inline]
fn class(byte: u8) -> u8 {
    CLASSES.get(usize::from(byte)).copied().unwrap_or(0)
}

/// Something found in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    pub start: usize,
    pub end: usize,
    pub entity: Entity,
    /// Of 100.
    pub confidence: u8,
    /// Whether a field's name decided it.
    pub by_key: bool,
    /// Whether the value is one of JSON's that has no quotes, so that what replaces it needs some.
    pub bare: bool,
    /// The value with its encodings undone, if it has any.
    pub value: Option<Box<[u8]>>,
}

/// A pass over a text: its own or one that was decoded from it.
pub struct Pass<'a> {
    pub engine: &'a Engine,
    pub text: &'a [u8],
    /// What the name of the field says of the whole text.
    pub given: Set,
    /// How many layers of base64 may still be undone; `None` in a text that is gone through once more with its escapes undone.
    pub layers: Option<u8>,
    pub hits: &'a mut Vec<Hit>,
    /// Tokens that begin before this place belong to something that was found.
    until: usize,
    /// Numbers that begin before this place belong to one that was found.
    number_until: usize,
    /// Runs of base64 that begin before this place were tried.
    base64_until: usize,
    /// What the neighbourhood of the place that was asked for last speaks of.
    near: Option<(usize, Set)>,
}

impl<'a> Pass<'a> {
    pub fn new(
        engine: &'a Engine,
        text: &'a [u8],
        given: Set,
        layers: Option<u8>,
        hits: &'a mut Vec<Hit>,
    ) -> Self {
        Self { engine, text, given, layers, hits, until: 0, number_until: 0, base64_until: 0, near: None }
    }

    /// The byte at a place; 0 beyond the ends.
    #[inline]
    pub fn at(&self, place: usize) -> u8 {
        self.text.get(place).copied().unwrap_or(0)
    }

    /// The byte before a place; 0 at the beginning.
    #[inline]
    pub fn before(&self, place: usize) -> u8 {
        place.checked_sub(1).map_or(0, |place| self.at(place))
    }

    /// The text from a place on.
    #[inline]
    pub fn from(&self, place: usize) -> &'a [u8] {
        self.text.get(place..).unwrap_or_default()
    }

    /// A part of the text.
    #[inline]
    pub fn part(&self, start: usize, end: usize) -> &'a [u8] {
        self.text.get(start..end).unwrap_or_default()
    }

    /// What the words around a place speak of, and the field's name.
    pub fn near(&mut self, start: usize, end: usize) -> Set {
        if let Some((place, near)) = self.near
            && place == start
        {
            return near;
        }
        let near = context::around(self, start, end);
        self.near = Some((start, near));
        near
    }

    /// Notes something found by its shape.
    pub fn hit(&mut self, start: usize, end: usize, entity: Entity, confidence: u8) {
        self.note(start, end, entity, confidence, false, false);
    }

    /// Notes something found by its field's name; what is in it is looked at no more.
    pub fn key_hit(&mut self, start: usize, end: usize, entity: Entity, bare: bool) {
        self.note(start, end, entity, 100, true, bare);
        self.skip_to(end);
    }

    fn note(&mut self, start: usize, end: usize, entity: Entity, confidence: u8, by_key: bool, bare: bool) {
        if self.engine.finds(entity) && start < end {
            self.hits.push(Hit { start, end, entity, confidence, by_key, bare, value: None });
        }
    }

    /// What lies before a place belongs to something that was found.
    #[inline]
    pub fn skip_to(&mut self, place: usize) {
        self.until = self.until.max(place);
    }

    /// Numbers before a place belong to one that was found.
    pub fn skip_numbers_to(&mut self, place: usize) {
        self.number_until = self.number_until.max(place);
    }

    /// Goes through the text.
    pub fn run(mut self) {
        let mut place = 0;
        while let Some(byte) = self.text.get(place) {
            if class(*byte) & TOKEN == 0 {
                match byte {
                    b'@' if place >= self.until => contact::email(&mut self, place),
                    b':' if self.at(place + 1) == b':' && class(self.before(place)) == 0 => {
                        network::ipv6(&mut self, place);
                    }
                    _ => {}
                }
                place += 1;
                continue;
            }
            let start = place;
            let mut seen = 0;
            while let Some(byte) = self.text.get(place) {
                let class = class(*byte);
                if class & TOKEN == 0 {
                    break;
                }
                seen |= class;
                place += 1;
            }
            if start >= self.until {
                self.token(start, place, seen);
            }
        }
    }

    fn token(&mut self, start: usize, end: usize, seen: u8) {
        let length = end - start;
        let next = self.at(end);
        if seen & DIGIT != 0 {
            self.words(start, end, seen);
        } else if length <= 2
            && seen & (UPPER | LOWER) != 0
            // A firm's number in Brazil may begin with groups of letters: `AB.CDE.FGH/0001-95`.
            && (self.at(end + 1).is_ascii_digit() || next == b'.' && self.at(end + 4) == b'.')
        {
            number::find(self, start);
        }
        if length >= 16 || next == b'.' && length <= 20 || length >= 10 && self.at(start) == b'-' {
            secrets::find(self, start, end);
        }
        if self.layers.is_some() && length >= 4 && seen & (UPPER | LOWER | DIGIT) != 0 {
            self.base64(start, end);
        }
        if seen & (UPPER | LOWER) != 0 || seen & HIGH != 0 {
            match next {
                b':' if length <= 4 && self.before(start) != b':' => network::colons(self, start, end),
                _ => {}
            }
            span::after(self, start, end, next);
        } else if next == b':' && length <= 4 && self.before(start) != b':' {
            network::colons(self, start, end);
        }
    }

    /// The words of a token with digits, each of which may begin a number.
    fn words(&mut self, start: usize, end: usize, seen: u8) {
        if is_uuid(self.part(start, end)) {
            return;
        }
        if seen & JOIN == 0 {
            if start >= self.number_until {
                number::find(self, start);
            }
            return;
        }
        let mut before = b'-';
        for place in start..end {
            let byte = self.at(place);
            let begins = matches!(before, b'-' | b'_') && class(byte) & JOIN == 0;
            if begins && place >= self.number_until {
                number::find(self, place);
            }
            before = byte;
        }
    }

    /// Tries the run of base64 that begins with a token: with its `+` and `/`, or else the token alone.
    fn base64(&mut self, start: usize, end: usize) {
        // Most words that are no base64 are known by their first three bytes.
        let begins = self.from(start).first_chunk().is_some_and(|first| decode::begins_as_text(*first));
        if start < self.base64_until || !begins {
            return;
        }
        let run_end = if matches!(self.at(end), b'+' | b'/') {
            let is_run = |byte: &u8| class(*byte) & TOKEN != 0 && *byte < 0x80 || matches!(byte, b'+' | b'/');
            end + self.from(end).iter().position(|byte| !is_run(byte)).unwrap_or(self.text.len() - end)
        } else {
            end
        };
        for end in [run_end, end] {
            if end - start >= SHORTEST_BASE64
                && let Some(read) = self.engine.base64(self, start, end)
            {
                self.base64_until = read;
                return;
            }
        }
    }
}

/// The form of RFC 9562: 8-4-4-4-12 hex digits.
fn is_uuid(token: &[u8]) -> bool {
    token.len() == 36
        && token.iter().enumerate().all(|(place, byte)| match place {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

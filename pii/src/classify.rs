//! What each byte of a text is, for 64 bytes at a time: a bit for each byte and class.

use std::ops::BitOr;
use wide::{bytemuck, i8x16};

/// How many bytes are looked at together.
const HALF: usize = 2 * STEP;
/// How many one operation takes.
const STEP: usize = 16;

/// The classes of at most [`Block::LENGTH`] bytes from a place on. A bit beyond the end of the text is in no class.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Block {
    /// The parts of tokens: letters, digits, bytes outside ASCII, `-` and `_`.
    pub tokens: u64,
    /// ASCII letters.
    pub letters: u64,
    /// ASCII digits.
    pub digits: u64,
    /// Bytes of characters outside ASCII.
    pub high: u64,
    /// `@`.
    pub ats: u64,
    /// `:`.
    pub colons: u64,
}

impl Block {
    /// How many bytes a block has.
    pub const LENGTH: usize = 2 * HALF;

    /// The block that begins at a place.
    #[expect(clippy::inline_always, reason = "its classes stay in registers")]
    #[inline(always)]
    pub fn of(text: &[u8], place: usize) -> Self {
        let [tokens, letters, digits, high, ats, colons] = classes(text, place, Self::half);
        Self { tokens, letters, digits, high, ats, colons }
    }

    #[expect(clippy::inline_always, reason = "as above")]
    #[inline(always)]
    fn half(bytes: Half) -> [u64; 6] {
        let (letters, digits) = (bytes.map(letters), bytes.map(digits));
        let tokens = bytes.map(|bytes| bytes | is(bytes, b'-') | is(bytes, b'_')) | letters | digits;
        let (tokens, letters, digits) = (tokens.bits(), letters.bits(), digits.bits());
        let rare = bytes.map(|bytes| bytes | is(bytes, b'@') | is(bytes, b':'));
        if (rare.0 | rare.1).to_bitmask() == 0 {
            return [tokens, letters, digits, 0, 0, 0];
        }
        let is = |byte| bytes.map(|bytes| is(bytes, byte)).bits();
        [tokens, letters, digits, bytes.bits(), is(b'@'), is(b':')]
    }
}

/// The tokens of a block. Where nothing else is said, a bit stands for the token before it.
///
/// It is made apart from the loop over the tokens: there V8 would work out each of its parts again where one is used.
#[derive(Debug, Clone, Copy)]
pub struct Tokens {
    pub block: Block,
    /// How many bytes of the block are gone through.
    pub length: u32,
    /// The first bytes of tokens.
    pub starts: u64,
    /// The bytes behind tokens.
    pub ends: u64,
    /// The bytes behind what is no token and may be of interest all the same.
    pub marks: u64,
    /// Tokens of nothing but digits.
    pub rows: u64,
    /// Tokens of 4 to 15 bytes without a digit, that begin with a letter.
    pub words: u64,
    /// Tokens of 1 to 3 letters and digits.
    pub shorts: u64,
    /// Tokens of 6 bytes or more.
    pub sixes: u64,
}

impl Tokens {
    /// The tokens of the block that begins at a place.
    #[inline(never)]
    pub fn of(text: &[u8], base: usize) -> Self {
        let block = Block::of(text, base);
        // What goes beyond the block is left to the next one; so is a mark at its end, which may be one with the byte behind it.
        let mut length = u64::BITS - (!block.tokens).leading_zeros();
        if (block.ats | block.colons) >> (Block::LENGTH - 1) != 0 {
            length = u64::BITS - 1;
        }
        let whole = !u64::MAX.checked_shl(length).unwrap_or(0);
        // Two colons in a row may begin an address.
        let marks = (block.ats | block.colons & block.colons >> 1) & whole;
        let tokens = block.tokens & whole;
        let (starts, ends) = (tokens & !(tokens << 1), !tokens & tokens << 1);
        // Where so many parts of a token end.
        let two = tokens & tokens << 1;
        let four = two & two << 2;
        let eight = four & four << 4;
        let sixteen = eight & eight << 8;
        // A carry goes from any of these through the rest of the token, and stands behind it.
        let with = |these: u64| tokens + (tokens & these);
        Self {
            block,
            length,
            starts,
            ends,
            marks: marks << 1,
            rows: !with(!block.digits),
            words: !(with(block.digits | starts & !block.letters) | !(four << 1) | sixteen << 1),
            shorts: ends & !(with(!(block.letters | block.digits)) | four << 1),
            sixes: (four & two << 4) << 1,
        }
    }
}

/// What may belong to numbers in groups, in the [`Block::LENGTH`] bytes from a place on.
#[derive(Debug, Clone, Copy)]
pub struct Chains {
    base: usize,
    /// ASCII letters and digits.
    words: u64,
    digits: u64,
    /// What may stand between two groups: ` `, `-`, `.`, `/`, `+`, `_`, `~`.
    gaps: u64,
    /// `(` and `)`.
    brackets: u64,
}

/// How far a number may reach at the most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reach {
    /// Letters and digits in groups, one separator between two.
    pub characters: usize,
    /// Digits of a telephone number.
    pub digits: usize,
}

impl Chains {
    /// Nothing yet.
    pub const NONE: Self = Self { base: usize::MAX / 2, words: 0, digits: 0, gaps: 0, brackets: 0 };

    #[inline(never)]
    fn of(text: &[u8], base: usize) -> Self {
        let [words, digits, gaps, brackets] = classes(text, base, |bytes| {
            let digits = bytes.map(digits);
            // `+`, `-`, `.` and `/` are a row with the comma among them.
            let gaps = bytes.map(|bytes| {
                is_within(bytes, b'+', 5) & !is(bytes, b',')
                    | is(bytes, b' ')
                    | is(bytes, b'_')
                    | is(bytes, b'~')
            });
            let brackets = bytes.map(|bytes| is_within(bytes, b'(', 2));
            [(digits | bytes.map(letters)).bits(), digits.bits(), gaps.bits(), brackets.bits()]
        });
        Self { base, words, digits, gaps, brackets }
    }

    /// How far a number may reach that begins at a place. It is no more than that, but for what is longer than any number.
    #[inline]
    pub fn reach(&mut self, text: &[u8], start: usize) -> Reach {
        let mut at = start.wrapping_sub(self.base);
        loop {
            if at < Block::LENGTH {
                let groups = run(self.words | self.gaps & self.words >> 1, at);
                let phone = run(self.digits | self.gaps | self.brackets, at);
                // What the block cuts off may go on.
                if at == 0 || at + groups.max(phone) < Block::LENGTH - 1 {
                    let count = |bits: u64, length: usize| {
                        let bits = if length < Block::LENGTH { bits & ((1 << length) - 1) } else { bits };
                        bits.count_ones() as usize
                    };
                    return Reach {
                        characters: count(self.words >> at, groups),
                        digits: count(self.digits >> at, phone),
                    };
                }
            }
            *self = Self::of(text, start);
            at = 0;
        }
    }
}

/// The length of a UUID.
pub const UUID: usize = 36;

/// The form of RFC 9562: 8-4-4-4-12 hex digits.
pub fn is_uuid(text: &[u8]) -> bool {
    const HYPHENS: u64 = 1 << 8 | 1 << 13 | 1 << 18 | 1 << 23;
    let look = |bytes: &[u8; STEP]| {
        let bytes = load(bytes);
        let hex = digits(bytes) | is_within(bytes | splat(0x20), b'a', 6);
        [hex, is(bytes, b'-')].map(|bits| u64::from(bits.to_bitmask()))
    };
    let (Some(first), Some(second), Some(third)) =
        (text.first_chunk(), text.get(16..).and_then(<[u8]>::first_chunk), text.last_chunk())
    else {
        return false;
    };
    let parts = [(look(first), 0), (look(second), 16), (look(third), UUID - 16)];
    let [hex, hyphens] = [0, 1].map(|class: usize| {
        parts.iter().fold(0, |bits, (part, shift)| bits | part.get(class).copied().unwrap_or(0) << shift)
    });
    text.len() == UUID && hyphens == HYPHENS && hex == !HYPHENS & ((1 << UUID) - 1)
}

/// The classes of the bytes from a place on, at most [`Block::LENGTH`] of them.
#[expect(clippy::inline_always, reason = "there is one of it for each kind of classes")]
#[inline(always)]
fn classes<const N: usize>(text: &[u8], place: usize, of: impl Fn(Half) -> [u64; N]) -> [u64; N] {
    let end = text.len().min(place + Block::LENGTH);
    let text = text.get(..end).unwrap_or_default();
    let begin = end.saturating_sub(HALF);
    let mut last = of(match text.last_chunk() {
        Some(last) => Half::of(last),
        None => Half::of(&padded(text)),
    });
    if place < begin
        && let Some(first) = text.get(place..).and_then(<[u8]>::first_chunk)
    {
        // The two may have some bytes in common.
        let first = of(Half::of(first));
        for (last, first) in last.iter_mut().zip(&first) {
            *last = *last << (begin - place) | first;
        }
    } else {
        // What is before the place is shifted out.
        for bits in &mut last {
            *bits >>= place.saturating_sub(begin) % Block::LENGTH;
        }
    }
    last
}

/// A text that is shorter than so many bytes, and zeros behind it.
#[inline(never)]
fn padded(text: &[u8]) -> [u8; HALF] {
    let mut padded = [0; HALF];
    if let Some(first) = text.first_chunk::<STEP>() {
        // Both steps are copied without a call; they may have some bytes in common.
        for (from, begin) in [(Some(first), 0), (text.last_chunk(), text.len() - STEP)] {
            let into = padded.get_mut(begin..).and_then(<[u8]>::first_chunk_mut);
            if let (Some(into), Some(from)) = (into, from) {
                *into = *from;
            }
        }
    } else {
        padded.split_at_mut(text.len()).0.copy_from_slice(text);
    }
    padded
}

/// Bytes of which one operation says something.
#[derive(Clone, Copy)]
struct Half(i8x16, i8x16);

impl Half {
    #[inline]
    fn of(bytes: &[u8; HALF]) -> Self {
        let zeros = &[0; STEP];
        Self(load(bytes.first_chunk().unwrap_or(zeros)), load(bytes.last_chunk().unwrap_or(zeros)))
    }

    #[inline]
    fn map(self, of: impl Fn(i8x16) -> i8x16) -> Self {
        Self(of(self.0), of(self.1))
    }

    /// A bit for each byte whose highest bit is set.
    #[inline]
    fn bits(self) -> u64 {
        u64::from(self.0.to_bitmask() | self.1.to_bitmask() << 16)
    }
}

impl BitOr for Half {
    type Output = Self;

    #[inline]
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0, self.1 | other.1)
    }
}

#[inline]
fn load(bytes: &[u8; STEP]) -> i8x16 {
    bytemuck::cast(*bytes)
}

#[inline]
fn splat(byte: u8) -> i8x16 {
    i8x16::splat(byte.cast_signed())
}

#[inline]
fn is(bytes: i8x16, byte: u8) -> i8x16 {
    bytes.simd_eq(splat(byte))
}

#[inline]
fn digits(bytes: i8x16) -> i8x16 {
    is_within(bytes, b'0', 10)
}

#[inline]
fn letters(bytes: i8x16) -> i8x16 {
    is_within(bytes | splat(0x20), b'a', 26)
}

/// Which bytes are among so many from a first one on.
#[inline]
fn is_within(bytes: i8x16, first: u8, count: u8) -> i8x16 {
    // The first becomes the least of all numbers with a sign.
    (bytes + splat(0x80_u8.wrapping_sub(first))).simd_lt(splat(0x80 + count))
}

/// The number of bits from a place on that are all set.
#[inline]
pub const fn run(bits: u64, place: usize) -> usize {
    (!(bits >> place)).trailing_zeros() as usize
}

/// What there is of escapes in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Escapes {
    /// Nothing.
    None,
    /// A `%` or a backslash.
    Begun,
    /// A semicolon, which may be the end of an entity.
    MaybeEntities,
}

/// Looks for escapes.
#[inline]
pub fn escapes(text: &[u8]) -> Escapes {
    let (mut escapes, mut semicolons) = (i8x16::ZERO, i8x16::ZERO);
    let mut look = |bytes: &[u8; STEP]| {
        let bytes = load(bytes);
        escapes |= is(bytes, b'%') | is(bytes, b'\\');
        semicolons |= is(bytes, b';');
    };
    for bytes in text.as_chunks().0 {
        look(bytes);
    }
    // Some bytes are looked at twice.
    let padded;
    look(if let Some(last) = text.last_chunk() {
        last
    } else {
        padded = self::padded(text);
        padded.first_chunk().unwrap_or(&[0; STEP])
    });
    if escapes.to_bitmask() != 0 {
        Escapes::Begun
    } else if semicolons.to_bitmask() != 0 {
        Escapes::MaybeEntities
    } else {
        Escapes::None
    }
}

/// Where a value without quotes ends: at the next pair, or at the end of the word.
#[inline]
pub fn value_end(text: &[u8]) -> usize {
    let mut place = 0;
    let (steps, rest) = text.as_chunks();
    for bytes in steps {
        let bytes = load(bytes);
        let is = |byte| is(bytes, byte);
        let is_end = is_within(bytes, 0, b' ' + 1)
            | is(b'&')
            | is(b';')
            | is(b'"')
            | is(b'\'')
            | is(b'<')
            | is(b'>')
            | is(b'|')
            | is(b'#');
        let ends = is_end.to_bitmask();
        if ends != 0 {
            return place + ends.trailing_zeros() as usize;
        }
        place += STEP;
    }
    place + rest.iter().position(|byte| ends_value(*byte)).unwrap_or(rest.len())
}

#[inline]
fn ends_value(byte: u8) -> bool {
    matches!(byte, b'&' | b';' | b'"' | b'\'' | b'<' | b'>' | b'|' | b'#' | 0..=b' ')
}

#[cfg(test)]
mod tests {
    use super::{Block, Chains, Escapes, Reach, ends_value, escapes, is_uuid, value_end};

    #[test]
    fn a_uuid_is_hex_digits_in_five_groups() {
        let uuid = b"7f9c24e8-3B12-4b5e-9c1d-123456789aBF";
        assert!(is_uuid(uuid));
        for place in 0..uuid.len() {
            for byte in 0..=u8::MAX {
                let mut text = *uuid;
                text[place] = byte;
                let fits = if uuid[place] == b'-' { byte == b'-' } else { byte.is_ascii_hexdigit() };
                assert_eq!(is_uuid(&text), fits, "{byte} at {place}");
            }
        }
        assert!(
            !is_uuid(&uuid[1..]) && !is_uuid(b"7f9c") && !is_uuid(b"7f9c24e8-3B12-4b5e-9c1d-123456789aBF0")
        );
    }

    #[test]
    fn a_number_reaches_as_far_as_its_groups() {
        for (text, characters, digits) in [
            ("200 203023\" x", 9, 9),
            ("5.0 (X11; 12", 2, 2),
            ("+1", 1, 1),
            ("(96) 627-277,1", 0, 8),
            ("abc", 3, 0),
            ("10_9_1) Apple 1", 4, 4),
            ("32.0.1700.77 Safari/537", 18, 9),
            ("1-a--2", 2, 1),
            ("", 0, 0),
        ] {
            for lead in 0..130 {
                let text = format!("{}{text}", "!".repeat(lead));
                let mut chains = Chains::of(text.as_bytes(), lead.saturating_sub(lead % 64));
                let reach = chains.reach(text.as_bytes(), lead);
                assert_eq!(reach, Reach { characters, digits }, "{text}");
            }
        }
    }

    #[test]
    fn every_byte_has_its_classes_at_every_place() {
        for byte in 0..=u8::MAX {
            for length in 1..80 {
                for place in 0..length {
                    let mut text = vec![b'!'; length];
                    text[place] = byte;
                    let begin = place.saturating_sub(usize::from(byte) % 65);
                    let block = Block::of(&text, begin);
                    let bit = |is: bool| {
                        if is && place - begin < Block::LENGTH { 1_u64 << (place - begin) } else { 0 }
                    };
                    let is_token = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | 0x80..);
                    let expected = Block {
                        tokens: bit(is_token),
                        letters: bit(byte.is_ascii_alphabetic()),
                        digits: bit(byte.is_ascii_digit()),
                        high: bit(byte >= 0x80),
                        ats: bit(byte == b'@'),
                        colons: bit(byte == b':'),
                    };
                    assert_eq!(block, expected, "{byte} at {place} of {length}");
                    let expected = match byte {
                        b'%' | b'\\' => Escapes::Begun,
                        b';' => Escapes::MaybeEntities,
                        _ => Escapes::None,
                    };
                    assert_eq!(escapes(&text), expected);
                    let end = if ends_value(byte) { place } else { length };
                    assert_eq!(value_end(&text), end, "{byte} at {place} of {length}");
                }
            }
        }
        for length in 0..80 {
            assert_eq!(Block::of(&vec![b'x'; length], length), Block::default(), "behind {length}");
        }
        for (text, expected) in [
            ("a&b;", Escapes::MaybeEntities),
            ("a;b", Escapes::MaybeEntities),
            ("a&b", Escapes::None),
            ("", Escapes::None),
        ] {
            assert_eq!(escapes(text.as_bytes()), expected, "{text}");
        }
    }
}

//! What each byte of a text is, for 64 bytes at a time: a bit for each byte and class.

use wide::u8x16;

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
    pub const LENGTH: usize = 64;

    /// The block that begins at a place.
    #[inline(never)]
    pub fn of(text: &[u8], place: usize) -> Self {
        let rest = text.get(place..).unwrap_or_default();
        let rest = rest.get(..Self::LENGTH).unwrap_or(rest);
        // Whole steps of 16 bytes that end with the last one; what is before the place in them is shifted out.
        let steps = rest.len().div_ceil(16);
        let end = place + rest.len();
        let mut padded = [0; Self::LENGTH];
        let (bytes, back) = if let Some(begin) = end.checked_sub(steps * 16) {
            (text.get(begin..end).unwrap_or_default(), place - begin)
        } else {
            padded.split_at_mut(rest.len()).0.copy_from_slice(rest);
            (padded.split_at(steps * 16).0, 0)
        };
        let mut block = Self::default();
        let mut rare = u8x16::ZERO;
        let steps = bytes.as_chunks().0;
        let put = |bits: &mut u64, bytes: u8x16| *bits = *bits << 16 | u64::from(bytes.to_bitmask());
        for bytes in steps.iter().rev() {
            let bytes = u8x16::new(*bytes);
            let is = |byte: u8| bytes.simd_eq(u8x16::splat(byte));
            let letters = is_within(bytes | u8x16::splat(0x20), b'a', 26);
            let digits = is_within(bytes, b'0', 10);
            put(&mut block.tokens, letters | digits | is(b'-') | is(b'_') | bytes);
            put(&mut block.letters, letters);
            put(&mut block.digits, digits);
            put(&mut block.colons, is(b':'));
            rare |= bytes | is(b'@');
        }
        block.tokens >>= back;
        block.letters >>= back;
        block.digits >>= back;
        block.colons >>= back;
        if rare.to_bitmask() != 0 {
            for bytes in steps.iter().rev() {
                let bytes = u8x16::new(*bytes);
                put(&mut block.high, bytes);
                put(&mut block.ats, bytes.simd_eq(u8x16::splat(b'@')));
            }
            block.high >>= back;
            block.ats >>= back;
        }
        block
    }
}

/// Which bytes are letters, and which belong to words.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Words {
    /// ASCII letters.
    pub letters: u64,
    /// Letters, digits and bytes outside ASCII.
    pub words: u64,
}

/// What there is of words in a text from a place on, up to an end and for [`Block::LENGTH`] bytes.
#[inline]
pub fn words(text: &[u8], start: usize, end: usize) -> Words {
    let text = text.get(start..end).unwrap_or_default();
    let mut found = Words::default();
    let mut look = |bytes: [u8; 16], step: usize| {
        let bytes = u8x16::new(bytes);
        let letters = is_within(bytes | u8x16::splat(0x20), b'a', 26);
        let words = letters | is_within(bytes, b'0', 10) | bytes;
        found.letters |= u64::from(letters.to_bitmask()) << (step * 16);
        found.words |= u64::from(words.to_bitmask()) << (step * 16);
    };
    let (steps, rest) = text.as_chunks();
    for (step, bytes) in steps.iter().take(4).enumerate() {
        look(*bytes, step);
    }
    if !rest.is_empty() && steps.len() < 4 {
        let mut bytes = [0; 16];
        bytes.split_at_mut(rest.len()).0.copy_from_slice(rest);
        look(bytes, steps.len());
    }
    found
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
        let rest = text.get(base..).unwrap_or_default();
        let mut found = Self { base, ..Self::NONE };
        let mut look = |bytes: [u8; 16], step: usize| {
            let bytes = u8x16::new(bytes);
            let is = |byte: u8| bytes.simd_eq(u8x16::splat(byte));
            let digits = is_within(bytes, b'0', 10);
            let words = digits | is_within(bytes | u8x16::splat(0x20), b'a', 26);
            // `+`, `-`, `.` and `/` are a row with the comma among them.
            let gaps = is_within(bytes, b'+', 5) & !is(b',') | is(b' ') | is(b'_') | is(b'~');
            let put = |bytes: u8x16| u64::from(bytes.to_bitmask()) << (step * 16);
            found.words |= put(words);
            found.digits |= put(digits);
            found.gaps |= put(gaps);
            found.brackets |= put(is_within(bytes, b'(', 2));
        };
        let (steps, rest) = rest.as_chunks();
        for (step, bytes) in steps.iter().take(4).enumerate() {
            look(*bytes, step);
        }
        if !rest.is_empty() && steps.len() < 4 {
            let mut bytes = [0; 16];
            bytes.split_at_mut(rest.len()).0.copy_from_slice(rest);
            look(bytes, steps.len());
        }
        found
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
    let look = |bytes: &[u8; 16]| {
        let bytes = u8x16::new(*bytes);
        let hex = is_within(bytes, b'0', 10) | is_within(bytes | u8x16::splat(0x20), b'a', 6);
        let hyphens = bytes.simd_eq(u8x16::splat(b'-'));
        [hex, hyphens].map(|bits| u64::from(bits.to_bitmask()))
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

/// Which bytes are among so many from a first one on.
#[inline]
fn is_within(bytes: u8x16, first: u8, count: u8) -> u8x16 {
    // What is not more than a limit is its minimum with it; differences that are negative wrap to large ones.
    let offset = bytes - u8x16::splat(first);
    offset.min(u8x16::splat(count - 1)).simd_eq(offset)
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
    let (mut escapes, mut semicolons) = (u8x16::ZERO, u8x16::ZERO);
    let mut look = |bytes: [u8; 16]| {
        let bytes = u8x16::new(bytes);
        let is = |byte: u8| bytes.simd_eq(u8x16::splat(byte));
        escapes |= is(b'%') | is(b'\\');
        semicolons |= is(b';');
    };
    let (steps, rest) = text.as_chunks();
    for bytes in steps {
        look(*bytes);
    }
    if let Some(bytes) = text.last_chunk() {
        // Some bytes are looked at twice.
        look(*bytes);
    } else {
        let mut bytes = [0; 16];
        bytes.split_at_mut(rest.len()).0.copy_from_slice(rest);
        look(bytes);
    }
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
        let bytes = u8x16::new(*bytes);
        let is = |byte: u8| bytes.simd_eq(u8x16::splat(byte));
        let is_end = bytes.min(u8x16::splat(b' ')).simd_eq(bytes)
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
        place += 16;
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

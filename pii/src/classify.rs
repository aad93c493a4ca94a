//! What each byte of a text is, for 64 bytes at a time: a bit for each byte and class.

use wide::u8x16;

/// How many bytes are looked at in one step.
const LANES: usize = 16;

/// The classes of at most [`Block::LENGTH`] bytes from a place on. A bit beyond the end of the text is in no class.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Block {
    /// ASCII letters.
    pub letters: u64,
    /// ASCII digits.
    pub digits: u64,
    /// `-` and `_`.
    pub joins: u64,
    /// Bytes of characters outside ASCII.
    pub high: u64,
    /// `@`.
    pub ats: u64,
    /// `:`.
    pub colons: u64,
    /// What may stand between the groups of a number, and some that may not: a space, `~` and all from `(` to `/`.
    pub separators: u64,
}

impl Block {
    /// How many bytes a block has.
    pub const LENGTH: usize = 64;

    /// The block that begins at a place.
    #[inline]
    pub fn of(text: &[u8], place: usize) -> Self {
        let mut block = Self::default();
        for shift in (0..Self::LENGTH).step_by(LANES) {
            let from = place + shift;
            let Some(rest) = text.len().checked_sub(from).filter(|rest| *rest > 0) else { break };
            let (bytes, back) = match text.get(from..).and_then(<[u8]>::first_chunk) {
                Some(bytes) => (*bytes, 0),
                None => last(text, rest),
            };
            let classes = Self::step(u8x16::new(bytes));
            let put = |bits: u32| u64::from(bits >> back) << shift;
            block.letters |= put(classes.letters);
            block.digits |= put(classes.digits);
            block.joins |= put(classes.joins);
            block.high |= put(classes.high);
            block.ats |= put(classes.ats);
            block.colons |= put(classes.colons);
            block.separators |= put(classes.separators);
        }
        block
    }

    #[inline]
    fn step(bytes: u8x16) -> Step {
        let is = |byte: u8| bytes.simd_eq(u8x16::splat(byte));
        // What is not less than its minimum with a limit is at most that limit; differences that are negative wrap to large ones.
        let is_within = |bytes: u8x16, first: u8, count: u8| {
            let offset = bytes - u8x16::splat(first);
            offset.min(u8x16::splat(count - 1)).simd_eq(offset)
        };
        Step {
            letters: is_within(bytes | u8x16::splat(0x20), b'a', 26).to_bitmask(),
            digits: is_within(bytes, b'0', 10).to_bitmask(),
            joins: (is(b'-') | is(b'_')).to_bitmask(),
            high: bytes.to_bitmask(),
            ats: is(b'@').to_bitmask(),
            colons: is(b':').to_bitmask(),
            separators: (is_within(bytes, b'(', 8) | is(b' ') | is(b'~')).to_bitmask(),
        }
    }

    /// Letters, digits and bytes outside ASCII: the parts of words.
    #[inline]
    pub const fn words(&self) -> u64 {
        self.letters | self.digits | self.high
    }

    /// The parts of tokens: words and what joins them.
    #[inline]
    pub const fn tokens(&self) -> u64 {
        self.words() | self.joins
    }
}

/// The classes of one step.
struct Step {
    letters: u32,
    digits: u32,
    joins: u32,
    high: u32,
    ats: u32,
    colons: u32,
    separators: u32,
}

/// The last bytes of a text, of which so many are wanted, and how many stand before these.
#[inline]
fn last(text: &[u8], rest: usize) -> ([u8; LANES], usize) {
    if let Some(bytes) = text.last_chunk() {
        return (*bytes, LANES - rest);
    }
    let mut bytes = [0; LANES];
    for (into, byte) in bytes.iter_mut().zip(text.iter().skip(text.len() - rest)) {
        *into = *byte;
    }
    (bytes, 0)
}

/// The number of bits from a place on that are all set.
#[inline]
pub const fn run(bits: u64, place: usize) -> usize {
    (!(bits >> place)).trailing_zeros() as usize
}

/// Whether a text may have an escape: a `%`, a backslash, or both an ampersand and a semicolon.
#[inline]
pub fn may_be_escaped(text: &[u8]) -> bool {
    let (mut escapes, mut ampersands, mut semicolons) = (u8x16::ZERO, u8x16::ZERO, u8x16::ZERO);
    let mut place = 0;
    while let Some(rest) = text.get(place..).filter(|rest| !rest.is_empty()) {
        let bytes = rest.first_chunk().map_or_else(|| last(text, rest.len()).0, |bytes| *bytes);
        let bytes = u8x16::new(bytes);
        let is = |byte: u8| bytes.simd_eq(u8x16::splat(byte));
        escapes |= is(b'%') | is(b'\\');
        ampersands |= is(b'&');
        semicolons |= is(b';');
        place += LANES;
    }
    escapes.to_bitmask() != 0 || ampersands.to_bitmask() != 0 && semicolons.to_bitmask() != 0
}

#[cfg(test)]
mod tests {
    use super::{Block, may_be_escaped};

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
                    let expected = Block {
                        letters: bit(byte.is_ascii_alphabetic()),
                        digits: bit(byte.is_ascii_digit()),
                        joins: bit(matches!(byte, b'-' | b'_')),
                        high: bit(byte >= 0x80),
                        ats: bit(byte == b'@'),
                        colons: bit(byte == b':'),
                        separators: bit(matches!(byte, b' ' | b'~' | b'('..=b'/')),
                    };
                    assert_eq!(block, expected, "{byte} at {place} of {length}");
                    assert_eq!(may_be_escaped(&text), matches!(byte, b'%' | b'\\'));
                }
            }
        }
        assert!(may_be_escaped(b"a&b;") && !may_be_escaped(b"a&b") && !may_be_escaped(b""));
    }
}

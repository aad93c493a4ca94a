//! How names end, which rules out most of those that are none.

use super::{is_letter, is_lower};

/// How names end: with which four letters, or with which fewer they are whole, without digits behind them. A bit for each end, of which several
/// have the same.
#[derive(Debug)]
pub struct Ends([u64; ENDS / 64]);

/// The bits of the table of ends.
const ENDS: usize = 16384;
/// What stands before the letters of a name of fewer than four; as the letters do, it counts by its low five bits.
const WHOLE: u8 = 0x1b;

impl Ends {
    /// No name.
    pub const EMPTY: Self = Self([0; ENDS / 64]);

    /// The place of four letters, in any case, in the table.
    #[inline]
    fn place(four: [u8; 4]) -> usize {
        let letters = u32::from_le_bytes(four) & 0x1f1f_1f1f;
        (letters.wrapping_mul(0x27d4_eb2f) >> 18) as usize % ENDS
    }

    #[inline]
    pub fn has(&self, four: [u8; 4]) -> bool {
        let place = Self::place(four);
        self.0.get(place / 64).is_some_and(|bits| bits >> (place % 64) & 1 == 1)
    }

    /// Takes the end of a normal name.
    pub fn insert(&mut self, name: &[u8]) {
        let core = name.iter().rev().skip_while(|byte| byte.is_ascii_digit());
        let mut end = [0; 4];
        for (into, byte) in end.iter_mut().rev().zip(core.chain([&WHOLE])) {
            *into = *byte;
        }
        let place = Self::place(end);
        if let Some(bits) = self.0.get_mut(place / 64) {
            *bits |= 1 << (place % 64);
        }
    }

    /// Whether a short word, or one with a digit or a letter of another script at its end, may be one of these, alone or behind the word before it.
    pub fn may_end_words(&self, before: &[u8], word: &[u8]) -> bool {
        let core = match word {
            // No word has more than one digit.
            [.., b'0'..=b'9', b'0'..=b'9'] => return false,
            [core @ .., b'0'..=b'9'] => core,
            _ => word,
        };
        let mut four = 0_u32;
        let mut shift = 32;
        for (turn, part) in [core, before].into_iter().enumerate() {
            for byte in part.iter().rev() {
                if !byte.is_ascii_alphabetic() {
                    // What has digits or letters of other scripts in it is looked up.
                    return true;
                }
                shift -= 8;
                four |= u32::from(*byte) << shift;
                if shift == 0 {
                    return self.has(four.to_le_bytes());
                }
            }
            let whole = four | u32::from(WHOLE) << (shift - 8);
            if (turn > 0 || shift < 32) && self.has(whole.to_le_bytes()) {
                return true;
            }
        }
        false
    }

    /// Whether a name may be one of these, or end with one as with its last words.
    #[inline]
    pub fn may_end(&self, name: &[u8]) -> bool {
        match name.last_chunk() {
            Some(four) if is_word(*four) => self.has(*four),
            _ => self.may_end_by_words(name),
        }
    }

    /// The same for a word of one to three letters in lower case, of which the last may be a digit, by four bytes that begin with it. Says yes to any
    /// other word.
    #[expect(clippy::inline_always, reason = "a part of the loop over tokens")]
    #[inline(always)]
    pub fn may_be_short(&self, four: [u8; 4], length: usize) -> bool {
        let four = u32::from_le_bytes(four);
        // So many bytes, moved to the end of four.
        let at_end = |bytes: u32, length: usize| bytes << (32_usize.wrapping_sub(8 * length) % 32);
        let is_digit = at_end(four, length) >> 24 <= u32::from(b'9');
        let length = if is_digit && length > 1 { length - 1 } else { length };
        let word = at_end(four, length);
        let is_lower = word & 0xe0e0_e0e0 == at_end(0x6060_6060, length);
        let whole = word | u32::from(WHOLE) << (24_usize.wrapping_sub(8 * length) % 32);
        !is_lower || self.has(whole.to_le_bytes())
    }

    /// The same for a name with separators, digits, letters of other scripts or beginnings of words among its last four bytes.
    #[inline(never)]
    fn may_end_by_words(&self, name: &[u8]) -> bool {
        match *name {
            // `v2`
            [first, b'0'..=b'9'] if first.is_ascii_alphabetic() => return self.has([0, 0, WHOLE, first]),
            [first, second] if is_lower(name) => return self.has([0, WHOLE, first, second]),
            [first, second, third] if is_lower(name) => return self.has([WHOLE, first, second, third]),
            _ => {}
        }
        let is_end = |byte: &u8| !(byte.is_ascii_alphabetic() || *byte >= 0x80);
        let end = name.len() - name.iter().rev().take_while(|byte| is_end(byte)).count();
        let mut four = 0_u32;
        let mut count = 0;
        for (place, byte) in name.iter().enumerate().take(end).rev() {
            if byte.is_ascii_alphabetic() {
                four |= u32::from(*byte) << (24 - 8 * count);
                count += 1;
                if count == 4 {
                    return self.has(four.to_le_bytes());
                }
                let before = place.checked_sub(1).and_then(|place| name.get(place)).copied().unwrap_or(b'_');
                let is_begin = !is_letter(before) || byte.is_ascii_uppercase() && before.is_ascii_lowercase();
                let whole = four | u32::from(WHOLE) << (24 - 8 * count);
                if is_begin && self.has(whole.to_le_bytes()) {
                    return true;
                }
            } else if is_letter(*byte) {
                // What has digits or letters of other scripts in it is looked up.
                return true;
            }
        }
        // A name of nothing but digits may be one of the user's.
        end == 0
    }
}

/// Whether four bytes are letters, with no word that begins after the first: in `clientIp` one of two letters does.
#[inline]
fn is_word(four: [u8; 4]) -> bool {
    let four = u32::from_le_bytes(four);
    let lower = four | 0x2020_2020;
    // Of each byte the high bit says whether it is at least `a` and at most `z`; in a byte of ASCII nothing is carried.
    let letters =
        (lower.wrapping_add(0x1f1f_1f1f)) & !(lower.wrapping_add(0x0505_0505)) & !lower & 0x8080_8080;
    let upper = !four & 0x2020_2020;
    four & 0x8080_8080 == 0 && letters == 0x8080_8080 && upper & !(upper << 8) & 0x2020_2000 == 0
}

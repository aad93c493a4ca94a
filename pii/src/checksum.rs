//! Checksums. Values are ASCII digits, or letters in upper case and digits, without separators.

use sha2::{Digest as _, Sha256};

/// The value of a digit; 0 for anything else, which callers exclude. Inlined it is 6 KB of a module.
#[inline(never)]
pub fn digit(byte: u8) -> u32 {
    let digit = byte.wrapping_sub(b'0');
    if digit < 10 { u32::from(digit) } else { 0 }
}

/// The value of the digits at a place of a number; 0 beyond its end.
#[inline]
pub fn number(value: &[u8], from: usize, length: usize) -> u64 {
    let part = value.get(from..from + length).unwrap_or_default();
    part.iter().fold(0, |sum, byte| sum * 10 + u64::from(digit(*byte)))
}

/// The last digit.
#[inline]
pub fn last(value: &[u8]) -> u32 {
    value.last().map_or(0, |byte| digit(*byte))
}

/// The weights of up to 16 digits: those of the even places of eight and of the odd ones, 16 bits each, the last lowest.
pub struct Weights([[u64; 2]; 2]);

/// Weights of at most 900, with which no lane overflows, from the first digit on.
#[expect(clippy::indexing_slicing, reason = "evaluated at compile time")]
pub const fn weights<const COUNT: usize>(of: [u64; COUNT]) -> Weights {
    let mut weights = [[0; 2]; 2];
    let mut place = 0;
    while place < COUNT {
        weights[place / 8][place % 2] |= of[place] << (48 - place % 8 / 2 * 16);
        place += 1;
    }
    Weights(weights)
}

/// The sum of the digits, each with its weight; digits beyond the weights count nothing, and neither do characters that are no digits.
///
/// Four digits are multiplied at once: of a product of four lanes by four in the reverse order, the highest lane is the sum of the products.
#[inline(never)]
pub fn weighted(value: &[u8], weights: &Weights) -> u32 {
    let [low, high] = &weights.0;
    let Some(first) = value.first_chunk() else {
        let of = |sum, (place, byte): (usize, &u8)| sum | u64::from(*byte) << (place * 8);
        return products(value.iter().enumerate().fold(0, of), low);
    };
    let sum = products(u64::from_le_bytes(*first), low);
    let value = value.get(..16).unwrap_or(value);
    match value.last_chunk() {
        // Of the last eight, those that are among the first eight go.
        Some(last) if value.len() > 8 => {
            sum + products(u64::from_le_bytes(*last) >> ((16 - value.len()) * 8), high)
        }
        _ => sum,
    }
}

/// The sums of eight digits, the first lowest, with each of two rows of weights.
#[inline]
pub fn sums(digits: u64, Weights([first, _]): &Weights, Weights([second, _]): &Weights) -> (u32, u32) {
    let values = digits & 0x0f0f_0f0f_0f0f_0f0f;
    (sum(values, first), sum(values, second))
}

#[inline]
fn products(digits: u64, weights: &[u64; 2]) -> u32 {
    let values = digits ^ 0x3030_3030_3030_3030;
    // The high bit of each byte that is more than 9.
    let others =
        (((values & 0x7f7f_7f7f_7f7f_7f7f) + 0x7676_7676_7676_7676) | values) & 0x8080_8080_8080_8080;
    let values = values & !((others >> 7) * 0xff);
    sum(values, weights)
}

/// The sum of values with their weights.
#[inline]
fn sum(values: u64, [even, odd]: &[u64; 2]) -> u32 {
    const LANES: u64 = 0x00ff_00ff_00ff_00ff;
    let sum = (values & LANES).wrapping_mul(*even) + (values >> 8 & LANES).wrapping_mul(*odd);
    u32::try_from(sum >> 48).unwrap_or(0)
}

/// ISO/IEC 7812-1 annex B.
pub fn luhn(value: &[u8]) -> bool {
    let doubled = |digit: u32| if digit > 4 { digit * 2 - 9 } else { digit * 2 };
    let sum: u32 = value
        .iter()
        .rev()
        .enumerate()
        .map(|(place, byte)| if place % 2 == 1 { doubled(digit(*byte)) } else { digit(*byte) })
        .sum();
    sum.is_multiple_of(10)
}

/// The remainder by 97 of letters (A is 10) and digits, as in ISO 13616 and ISO 7064.
pub fn mod_97(value: impl Iterator<Item = u8>) -> u32 {
    value.fold(0, |rest, byte| match char::from(byte).to_digit(36) {
        Some(value) if value > 9 => (rest * 100 + value) % 97,
        Some(value) => (rest * 10 + value) % 97,
        None => rest,
    })
}

/// ISO 7064 mod 11,10: the last digit checks those before it.
pub fn mod_11_10(value: &[u8]) -> bool {
    let Some((check, body)) = value.split_last() else { return false };
    let product = body.iter().fold(10, |product, byte| {
        let sum = (digit(*byte) + product) % 10;
        (if sum == 0 { 10 } else { sum }) * 2 % 11
    });
    (11 - product) % 10 == digit(*check)
}

/// ISO 7064 mod 11,2: the last character, X for 10, checks those before it.
pub fn mod_11_2(value: &[u8]) -> bool {
    let Some((check, body)) = value.split_last() else { return false };
    let product = body.iter().fold(0, |product, byte| (product + digit(*byte)) * 2 % 11);
    let check = if *check == b'X' { 10 } else { digit(*check) };
    (12 - product) % 11 == check
}

/// Verhoeff's dihedral check, 1969: the last digit checks those before it.
pub fn verhoeff(value: &[u8]) -> bool {
    const PERMUTATION: [[u8; 10]; 8] = [
        *b"0123456789",
        *b"1576283094",
        *b"5803796142",
        *b"8916043527",
        *b"9453126870",
        *b"4286573901",
        *b"2793806415",
        *b"7046913258",
    ];
    // The dihedral group of the pentagon: 0 to 4 turn, 5 to 9 mirror.
    let product = |a: u32, b: u32| match (a < 5, b < 5) {
        (true, true) => (a + b) % 5,
        (true, false) => 5 + (a + b - 5) % 5,
        (false, true) => 5 + (a - 5 + 5 - b) % 5,
        (false, false) => (a + 5 - b) % 5,
    };
    let mut check = 0;
    for (place, byte) in value.iter().rev().enumerate() {
        let row = PERMUTATION.get(place % 8).unwrap_or(&[0; 10]);
        let permuted = row.get(usize::from(byte.wrapping_sub(b'0'))).copied().unwrap_or(b'0');
        check = product(check, digit(permuted));
    }
    check == 0
}

/// CRC-32 of ISO 3309, the one of zip.
pub fn crc32(value: &[u8]) -> u32 {
    !value.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(
            crc ^ u32::from(*byte),
            |crc, _| {
                if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 }
            },
        )
    })
}

/// The weights 7, 3, 1 of ICAO 9303 over letters (A is 10) and digits.
pub fn icao_9303(value: &[u8]) -> u32 {
    let values = value.iter().map(|byte| char::from(*byte).to_digit(36).unwrap_or(0));
    values.zip([7, 3, 1].into_iter().cycle()).map(|(value, weight)| value * weight).sum::<u32>() % 10
}

/// Bitcoin's base58check: 25 bytes, of which the last four are those of a double SHA-256 of the others.
pub fn base58check(value: &[u8]) -> bool {
    let mut bytes = [0_u8; 25];
    for character in value {
        let Some(index) = base58(*character) else { return false };
        let mut carry = index;
        for byte in bytes.iter_mut().rev() {
            carry += u32::from(*byte) * 58;
            *byte = low(carry);
            carry >>= 8;
        }
        if carry != 0 {
            return false;
        }
    }
    let (body, check) = bytes.split_at(21);
    Sha256::digest(Sha256::digest(body)).starts_with(check) && matches!(body.first(), Some(0 | 5))
}

fn base58(character: u8) -> Option<u32> {
    const ALPHABET: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
    ALPHABET.iter().position(|known| *known == character).and_then(|index| u32::try_from(index).ok())
}

fn low(value: u32) -> u8 {
    let [byte, ..] = value.to_le_bytes();
    byte
}

/// Monero's address: base58 in blocks of 11 characters for 8 bytes (the last: 7 for 5), the last four bytes those of a Keccak-256.
pub fn monero(value: &[u8]) -> bool {
    let mut bytes = [0_u8; 69];
    if value.len() != 95 {
        return false;
    }
    for (block, into) in value.chunks(11).zip(bytes.chunks_mut(8)) {
        let mut sum: u128 = 0;
        for character in block {
            let Some(index) = base58(*character) else { return false };
            sum = sum * 58 + u128::from(index);
        }
        let encoded = sum.to_be_bytes();
        let Some((high, low)) = encoded.split_at_checked(16 - into.len()) else { return false };
        if high.iter().any(|byte| *byte != 0) {
            return false;
        }
        into.copy_from_slice(low);
    }
    let (body, check) = bytes.split_at(65);
    keccak256(body).starts_with(check)
}

/// BIP 173 and BIP 350: bech32 for witness version 0, bech32m for the later ones. The value is in one case.
pub fn bech32(value: &[u8]) -> bool {
    const ALPHABET: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
    let step = |check: u32, value: u32| {
        let generators =
            [0x3b6a_57b2_u32, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3].iter().enumerate();
        let next = (check & 0x01ff_ffff) << 5 ^ value;
        generators.fold(
            next,
            |next, (bit, generator)| if check >> 25 >> bit & 1 == 1 { next ^ generator } else { next },
        )
    };
    let Some(separator) = value.iter().rposition(|byte| *byte == b'1') else { return false };
    let (human, data) = value.split_at(separator);
    let human = human.iter().map(u8::to_ascii_lowercase);
    let expanded = human
        .clone()
        .map(|byte| u32::from(byte) >> 5)
        .chain([0])
        .chain(human.map(|byte| u32::from(byte) & 31));
    let mut check = expanded.fold(1, step);
    let (mut version, mut count) = (0, 0);
    for byte in data.iter().skip(1) {
        let lower = byte.to_ascii_lowercase();
        let Some(index) = ALPHABET.iter().position(|known| *known == lower) else { return false };
        let index = u32::try_from(index).unwrap_or(0);
        if count == 0 {
            version = index;
        }
        count += 1;
        check = step(check, index);
    }
    let expected = if version == 0 { 1 } else { 0x2bc8_30a3 };
    count >= 14 && version <= 16 && check == expected
}

/// EIP-55: the case of each letter of 40 hex digits is a bit of their Keccak-256 in lower case.
pub fn eip55(hex: &[u8]) -> bool {
    let mut lower = [0_u8; 40];
    if hex.len() != 40 {
        return false;
    }
    for (into, byte) in lower.iter_mut().zip(hex) {
        *into = byte.to_ascii_lowercase();
    }
    let hash = keccak256(&lower);
    let nibbles = hash.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    hex.iter().zip(nibbles).all(|(byte, nibble)| match byte {
        b'a'..=b'f' => nibble < 8,
        b'A'..=b'F' => nibble >= 8,
        b'0'..=b'9' => true,
        _ => false,
    })
}

/// Keccak-256 with its first padding, as Ethereum and Monero have it, of less than one block of 136 bytes.
pub fn keccak256(value: &[u8]) -> [u8; 32] {
    let mut block = [0_u8; 136];
    for (into, byte) in block.iter_mut().zip(value) {
        *into = *byte;
    }
    if let Some(end) = block.get_mut(value.len()) {
        *end = 1;
    }
    if let Some(end) = block.last_mut() {
        *end |= 0x80;
    }
    let mut lanes = [0_u64; 25];
    for (lane, bytes) in lanes.iter_mut().zip(block.chunks_exact(8)) {
        *lane = bytes.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    }
    keccak_f(&mut lanes);
    let mut hash = [0; 32];
    for (into, lane) in hash.chunks_exact_mut(8).zip(lanes) {
        into.copy_from_slice(&lane.to_le_bytes());
    }
    hash
}

/// The permutation of FIPS 202, section 3.3, on lanes of 64 bits.
fn keccak_f(state: &mut [u64; 25]) {
    const ROTATIONS: [u32; 24] =
        [1, 3, 6, 10, 15, 21, 28, 36, 45, 55, 2, 14, 27, 41, 56, 8, 25, 43, 62, 18, 39, 61, 20, 44];
    const PLACES: [usize; 24] =
        [10, 7, 11, 17, 18, 3, 5, 16, 8, 21, 24, 4, 15, 23, 19, 13, 12, 2, 20, 14, 22, 9, 6, 1];
    let mut constants = 1_u8;
    for _ in 0..24 {
        let mut columns = [0_u64; 5];
        for (place, lane) in state.iter().enumerate() {
            if let Some(column) = columns.get_mut(place % 5) {
                *column ^= lane;
            }
        }
        let column = |x: usize| columns.get(x % 5).copied().unwrap_or(0);
        for (place, lane) in state.iter_mut().enumerate() {
            *lane ^= column(place % 5 + 4) ^ column(place % 5 + 1).rotate_left(1);
        }
        let mut carried = state.get(1).copied().unwrap_or(0);
        for (place, rotation) in PLACES.iter().zip(ROTATIONS) {
            if let Some(lane) = state.get_mut(*place) {
                std::mem::swap(lane, &mut carried);
                *lane = lane.rotate_left(rotation);
            }
        }
        for row in state.chunks_exact_mut(5) {
            let mut old = [0_u64; 5];
            old.copy_from_slice(row);
            let at = |x: usize| old.get(x % 5).copied().unwrap_or(0);
            for (x, lane) in row.iter_mut().enumerate() {
                *lane ^= !at(x + 1) & at(x + 2);
            }
        }
        // The round's constant comes from a shift register of eight bits, seven of its bits a round.
        for bit in 0..7_u32 {
            if constants & 1 == 1
                && let Some(lane) = state.first_mut()
            {
                *lane ^= 1 << ((1_u64 << bit) - 1);
            }
            constants = if constants & 0x80 == 0 { constants << 1 } else { constants << 1 ^ 0x71 };
        }
    }
}

/// Bits of Shannon entropy a byte, times the length: how much a text can hide.
pub fn entropy(value: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in value {
        if let Some(count) = counts.get_mut(usize::from(*byte)) {
            *count += 1;
        }
    }
    let length = f64::from(u32::try_from(value.len()).unwrap_or(u32::MAX)).max(1.0);
    counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| {
            let part = f64::from(*count) / length;
            -part * part.log2()
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_vectors_hold() {
        assert!(luhn(b"4111111111111111") && !luhn(b"4111111111111112"));
        assert!(verhoeff(b"2363") && !verhoeff(b"2364"));
        assert!(mod_11_10(b"69435151530") && mod_11_2(b"079X"));
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(mod_97("WEST12345698765432GB82".bytes()), 1);
        assert!(base58check(b"1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"));
        assert!(bech32(b"bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"));
        assert!(bech32(b"bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0"));
        assert!(!bech32(b"bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t5"));
        let empty = keccak256(b"");
        assert_eq!(empty.first_chunk(), Some(&[0xc5, 0xd2, 0x46, 0x01, 0x86, 0xf7, 0x23, 0x3c]));
        assert!(eip55(b"5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"));
        assert!(entropy(b"aaaa") < 0.1 && entropy(b"abcd") > 1.9);
    }
}

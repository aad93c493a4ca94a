//! Cards and IBANs.

use super::number::Compact;
use crate::{
    checksum::{luhn, mod_97, number},
    dispatch::Pass,
    entity::{Entity, Set},
};
use std::ops::RangeInclusive;

/// Numbers of persons with 13 digits.
const OTHERS: Set = Set::EMPTY
    .with(Entity::KrRrn)
    .with(Entity::ZaId)
    .with(Entity::RoCnp)
    .with(Entity::SiEmso)
    .with(Entity::LuNin)
    .with(Entity::FrSpi);

/// How many digits cards have.
pub const CARDS: RangeInclusive<usize> = 13..=19;

/// A card: 13 to 19 digits with Luhn's check, an issuer and the length that the brand has, in groups with one separator.
pub fn card(pass: &mut Pass<'_>, start: usize, end: usize, digits: &[u8]) -> bool {
    if !CARDS.contains(&digits.len()) || !is_issued(digits) || !luhn(digits) {
        return false;
    }
    let normal = |byte: &u8| if *byte == b'+' { b' ' } else { *byte };
    let mut separators = pass.part(start, end).iter().filter(|byte| !byte.is_ascii_digit()).map(normal);
    let first = separators.next();
    let mut groups = 1 + usize::from(first.is_some());
    for separator in separators {
        if Some(separator) != first {
            return false;
        }
        groups += 1;
    }
    // Two groups are halves, or what stands before or behind four digits.
    let lead = pass.from(start).iter().take_while(|byte| byte.is_ascii_digit()).count();
    if groups > 8 || groups == 2 && !matches!(lead, 4 | 8 | 12) {
        return false;
    }
    // In the middle of a longer row of groups.
    let is_spaced = |from: usize, to: usize| pass.at(from) == b' ' && pass.at(to).is_ascii_digit();
    if start > 1 && is_spaced(start - 1, start - 2) && is_spaced(end, end + 1) {
        return false;
    }
    // Cards of 13 digits are few: a word for a number of a person counts for more.
    let near = pass.near(start, end);
    if digits.len() == 13 && !near.has(Entity::Card) && near.and_not(OTHERS) != near {
        return false;
    }
    if !is_usual(digits) && !near.has(Entity::Card) {
        return false;
    }
    pass.hit(start, end, Entity::Card, 95);
    true
}

/// Whether a card of this length needs no word for it: those of 13 digits are Visa's, and rows of 17 and 18 are other numbers far more often.
fn is_usual(digits: &[u8]) -> bool {
    match digits.len() {
        13 => digits.first() == Some(&b'4'),
        17 | 18 => false,
        _ => true,
    }
}

/// Whether an issuer has cards of this beginning and length: ISO/IEC 7812 and the brands' own ranges.
fn is_issued(digits: &[u8]) -> bool {
    let length = digits.len();
    let (two, three, four) = (number(digits, 0, 2), number(digits, 0, 3), number(digits, 0, 4));
    match digits.first() {
        // Visa.
        Some(b'4') => matches!(length, 13 | 16 | 19),
        // Mastercard, and Maestro beside it.
        Some(b'5') if (51..=55).contains(&two) => length == 16,
        Some(b'5') => length >= 13 && matches!(two, 50 | 56..=59),
        // Mastercard's later range, and Mir.
        Some(b'2') => {
            matches!(four, 2221..=2720) && length == 16 || matches!(four, 2200..=2204) && length >= 16
        }
        // American Express, Diners Club, JCB.
        Some(b'3') => match two {
            34 | 37 => length == 15,
            30 => ((300..=305).contains(&three) || four == 3095) && length >= 14,
            36 | 38 | 39 => length >= 14,
            35 => (3528..=3589).contains(&four) && length >= 16,
            _ => false,
        },
        // Discover, UnionPay, RuPay; Maestro from 13 digits on.
        Some(b'6') => match two {
            60 | 64 | 65 => length >= 16 || matches!(four, 6304),
            62 => length >= 16,
            63 | 67 | 69 => length >= 13,
            _ => false,
        },
        // RuPay and UnionPay.
        Some(b'8') => matches!(two, 81 | 82) && length >= 16,
        _ => false,
    }
}

/// An IBAN from a place on. Says where it ends, or 0.
pub fn iban(pass: &mut Pass<'_>, start: usize, compact: &Compact) -> usize {
    let [_, _, b'0'..=b'9', b'0'..=b'9'] = compact.first(4) else { return 0 };
    let Some(length) = iban_length(compact.first(2)) else { return 0 };
    let value = compact.first(length);
    let Some((_, end)) = compact.ends().find(|(count, _)| *count == length) else { return 0 };
    if !is_iban(value) || pass.at(end).is_ascii_alphanumeric() {
        return 0;
    }
    pass.hit(start, end, Entity::Iban, 95);
    end
}

/// Whether a compact value in upper case is an IBAN: ISO 13616, the registry's length for the country.
pub fn is_iban(value: &[u8]) -> bool {
    let Some((head, body)) = value.split_at_checked(4) else { return false };
    let is_numbered = head.get(2..).is_some_and(|check| check.iter().all(u8::is_ascii_digit));
    iban_length(head.get(..2).unwrap_or_default()) == Some(value.len())
        && is_numbered
        && body.iter().any(u8::is_ascii_digit)
        && mod_97(body.iter().chain(head).copied()) == 1
}

/// The length of a country's IBAN: SWIFT's registry, release 99.
fn iban_length(country: &[u8]) -> Option<usize> {
    const LENGTHS: &[(usize, &[u8])] = &[
        (15, b"NO"),
        (16, b"BE"),
        (18, b"DKFOFIGLNLSDFK"),
        (19, b"MKSI"),
        (20, b"ATBAEEKZXKLTLUMN"),
        (21, b"HRLILVCH"),
        (22, b"BGBHCRGEDEIEMERSGBVA"),
        (23, b"AETLGIILIQOMSO"),
        (24, b"ADCZMDPKROSASKESSETNVG"),
        (25, b"LYPTST"),
        (26, b"ISTR"),
        (27, b"BIDJFRGRITMRMCSM"),
        (28, b"ALAZBYCYDOGTHNHULBNIPLSV"),
        (29, b"BREGPSQAUA"),
        (30, b"JOKWMUYE"),
        (31, b"MTSC"),
        (32, b"LC"),
        (33, b"RU"),
    ];
    let found = LENGTHS.iter().find(|(_, countries)| countries.chunks(2).any(|known| known == country));
    found.map(|(length, _)| *length)
}

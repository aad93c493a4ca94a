//! Asia, Africa and Australia.

use super::{Rule, is_date, is_varied, rule};
use crate::{
    checksum::{digit, last, luhn, mod_11_2, number, verhoeff, weighted, weights},
    entity::Entity,
};

pub const RULES: &[Rule] = &[
    rule(Entity::CnRic, "99999999999999999*", cn_ric).bare(80),
    // Before Korea's, which has no word for it as common as `ID number`.
    rule(Entity::ZaId, "9999999999999", luhn)
        .plausible(|value| {
            is_date(number(value, 4, 2), number(value, 2, 2)) && matches!(value.get(10), Some(b'0'..=b'2'))
        })
        .formats(&[("xxxxxx xxxx xxx", 60), ("xxxxxx xxxx xx x", 60)]),
    rule(Entity::KrRrn, "9999999999999", kr_rrn).plausible(kr_date).formats(&[("xxxxxx-xxxxxxx", 80)]),
    rule(Entity::InAadhaar, "999999999999", verhoeff)
        .plausible(|value| matches!(value.first(), Some(b'2'..=b'9')) && is_varied(value))
        .formats(&[("xxxx xxxx xxxx", 60), ("xxxx-xxxx-xxxx", 60)]),
    rule(Entity::InPan, "AAAAA9999A", in_pan).bare(60),
    rule(Entity::SgNric, "A9999999A", sg_nric).bare(65),
    rule(Entity::AuTfn, "999999999", |value| {
        weighted(value, const { &weights([1, 4, 3, 7, 5, 8, 6, 9, 10]) }).is_multiple_of(11)
    })
    .plausible(is_varied)
    .formats(&[("xxx xxx xxx", 45)]),
    rule(Entity::AuTfn, "99999999", |value| {
        weighted(value, const { &weights([10, 7, 8, 4, 6, 3, 5, 1]) }).is_multiple_of(11)
    })
    .plausible(is_varied)
    .bare(20),
    rule(Entity::AuAbn, "99999999999", au_abn).formats(&[("xx xxx xxx xxx", 60)]),
    rule(Entity::AuMedicare, "999999999", au_medicare).bare(20),
    rule(Entity::AuMedicare, "9999999999", au_medicare).formats(&[("xxxx xxxxx x", 70)]),
    rule(Entity::AuMedicare, "99999999999", au_medicare)
        .formats(&[("xxxx xxxxx x/x", 80), ("xxxx xxxxx x x", 70)]),
];

/// GB 11643: ISO 7064 mod 11,2 over 18 characters with a date of birth.
fn cn_ric(value: &[u8]) -> bool {
    matches!(value.first(), Some(b'1'..=b'9'))
        && matches!(number(value, 6, 2), 18..=20)
        && is_date(number(value, 12, 2), number(value, 10, 2))
        && value.last().is_some_and(|byte| byte.is_ascii_digit() || *byte == b'X')
        && mod_11_2(value)
}

/// Weights 2 to 9 and 2 to 5, mod 11. (Numbers given since October 2020 have no check digit, and are found by their key.)
fn kr_rrn(value: &[u8]) -> bool {
    (11 - weighted(value, const { &weights([2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5]) }) % 11) % 10 == last(value)
}

fn kr_date(value: &[u8]) -> bool {
    is_date(number(value, 4, 2), number(value, 2, 2)) && matches!(value.get(6), Some(b'1'..=b'8'))
}

/// The Income Tax Department gives no checksum; the fourth letter says what the holder is.
fn in_pan(value: &[u8]) -> bool {
    value.get(3).is_some_and(|kind| b"ABCFGHJKLPT".contains(kind)) && value.get(5..9) != Some(b"0000")
}

/// Weights 2765432 and an offset for the series; the letter by the remainder.
fn sg_nric(value: &[u8]) -> bool {
    let (offset, letters) = match value.first() {
        Some(b'S') => (0, b"JZIHGFEDCBA"),
        Some(b'T') => (4, b"JZIHGFEDCBA"),
        Some(b'F') => (0, b"XWUTRQPNMLK"),
        Some(b'G') => (4, b"XWUTRQPNMLK"),
        Some(b'M') => (3, b"XWUTRQPNJLK"),
        _ => return false,
    };
    let sum =
        weighted(value.get(1..8).unwrap_or_default(), const { &weights([2, 7, 6, 5, 4, 3, 2]) }) + offset;
    letters.get(usize::try_from(sum % 11).unwrap_or(0)) == value.last()
}

/// The first digit less 1, weights 10, 1, 3 to 19, mod 89.
fn au_abn(value: &[u8]) -> bool {
    let sum = weighted(value, const { &weights([10, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19]) });
    sum >= 10 && (sum - 10).is_multiple_of(89) && value.first() != Some(&b'0')
}

/// The ninth digit checks the first eight; an issue number and a reference number follow.
fn au_medicare(value: &[u8]) -> bool {
    let check = value.get(8).map_or(0, |byte| digit(*byte));
    matches!(value.first(), Some(b'2'..=b'6'))
        && weighted(value, const { &weights([1, 3, 7, 9, 1, 3, 7, 9]) }) % 10 == check
}

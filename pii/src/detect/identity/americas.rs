//! North and South America.

use super::{Rule, is_varied, rule};
use crate::{
    checksum::{Weights, digit, last, luhn, number, weighted, weights},
    entity::Entity,
};

pub const RULES: &[Rule] = &[
    rule(Entity::UsSsn, "999999999", us_ssn).formats(&[
        ("xxx-xx-xxxx", 80),
        ("xxx xx xxxx", 55),
        ("xxx.xx.xxxx", 55),
    ]),
    rule(Entity::UsItin, "999999999", us_itin).formats(&[
        ("xxx-xx-xxxx", 80),
        ("xxx xx xxxx", 55),
        ("xxx.xx.xxxx", 55),
    ]),
    rule(Entity::UsNpi, "9999999999", us_npi).plausible(|value| matches!(value.first(), Some(b'1' | b'2'))),
    rule(Entity::UsDea, "AA9999999", us_dea).bare(60),
    rule(Entity::UsAba, "999999999", us_aba).plausible(is_varied),
    rule(Entity::CaSin, "999999999", luhn)
        .plausible(|value| value.first() != Some(&b'8') && is_varied(value))
        .formats(&[("xxx-xxx-xxx", 55), ("xxx xxx xxx", 45)]),
    rule(Entity::BrCpf, "99999999999", br_cpf).plausible(is_varied).formats(&[("xxx.xxx.xxx-xx", 90)]),
    rule(Entity::BrCnpj, "************99", br_cnpj)
        .plausible(is_varied)
        .formats(&[("xx.xxx.xxx/xxxx-xx", 90)]),
];

/// The Social Security Administration's rules since 2011: areas 000, 666 and 9xx are not given, nor group 00 and serial 0000.
fn us_ssn(value: &[u8]) -> bool {
    let area = number(value, 0, 3);
    area != 0
        && area != 666
        && area < 900
        && number(value, 3, 2) != 0
        && number(value, 5, 4) != 0
        && is_varied(value)
}

/// The Internal Revenue Service's groups in use: IRM 3.21.263.
fn us_itin(value: &[u8]) -> bool {
    value.first() == Some(&b'9') && matches!(number(value, 3, 2), 50..=65 | 70..=88 | 90..=92 | 94..=99)
}

/// Luhn with the prefix 80840 before it, which adds 24 to the sum of the digits.
fn us_npi(value: &[u8]) -> bool {
    let mut whole = *b"808400000000000";
    for (into, byte) in whole.iter_mut().skip(5).zip(value) {
        *into = *byte;
    }
    luhn(&whole)
}

/// Drug Enforcement Administration: the last digit is that of d1 + d3 + d5 + 2 (d2 + d4 + d6).
fn us_dea(value: &[u8]) -> bool {
    let digits = value.get(2..).unwrap_or_default();
    weighted(digits, const { &weights([1, 2, 1, 2, 1, 2]) }) % 10 == last(digits)
}

/// American Bankers Association: weights 3, 7, 1.
fn us_aba(value: &[u8]) -> bool {
    weighted(value, const { &weights([3, 7, 1, 3, 7, 1, 3, 7, 1]) }).is_multiple_of(10)
}

/// Two check digits of mod 11, as the Receita Federal has them.
fn br_cpf(value: &[u8]) -> bool {
    let check = |weights: &Weights| weighted(value, weights) * 10 % 11 % 10;
    let at = |place: usize| value.get(place).map_or(0, |byte| digit(*byte));
    check(const { &weights([10, 9, 8, 7, 6, 5, 4, 3, 2]) }) == at(9)
        && check(const { &weights([11, 10, 9, 8, 7, 6, 5, 4, 3, 2]) }) == at(10)
}

/// Receita Federal, Instrução Normativa RFB 2.229/2024: twelve letters and digits, each worth its ASCII code less 48, and two check digits of
/// mod 11 with weights from 2 to 9. Of digits alone it is the number as it was before July 2026.
fn br_cnpj(value: &[u8]) -> bool {
    let check = |weights: &[u32]| {
        let values = value.iter().map(|byte| u32::from(byte.wrapping_sub(b'0')));
        values.zip(weights).map(|(value, weight)| value * weight).sum::<u32>() * 10 % 11 % 10
    };
    let at = |place: usize| value.get(place).map_or(0, |byte| digit(*byte));
    value.iter().take(12).any(|byte| *byte != b'0')
        && check(&[5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2]) == at(12)
        && check(&[6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2]) == at(13)
}

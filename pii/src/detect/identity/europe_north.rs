//! Northern Europe and the Baltic states.

use super::{Rule, is_date, rule};
use crate::{
    checksum::{Weights, digit, last, luhn, number, weighted, weights},
    entity::Entity,
};

pub const RULES: &[Rule] = &[
    rule(Entity::SePersonnummer, "9999999999", luhn)
        .plausible(|value| is_date(number(value, 4, 2), number(value, 2, 2)))
        .formats(&[("xxxxxx-xxxx", 80), ("xxxxxx+xxxx", 80)]),
    // Coordination numbers have 60 more in the day, as many Danish numbers have.
    rule(Entity::SePersonnummer, "9999999999", luhn)
        .plausible(|value| number(value, 4, 2) > 60 && is_date(number(value, 4, 2) - 60, number(value, 2, 2)))
        .formats(&[("xxxxxx-xxxx", 52), ("xxxxxx+xxxx", 80)]),
    rule(Entity::SePersonnummer, "999999999999", |value| luhn(value.get(2..).unwrap_or_default()))
        .plausible(|value| {
            matches!(number(value, 0, 2), 18..=20) && is_date(number(value, 6, 2) % 60, number(value, 4, 2))
        })
        .formats(&[("xxxxxxxx-xxxx", 80)]),
    rule(Entity::FiHetu, "999999999*", fi_hetu).formats(&[("xxxxxx-xxxx", 90), ("xxxxxx+xxxx", 90)]),
    rule(Entity::FiHetu, "999999A999*", fi_hetu).bare(85),
    rule(Entity::DkCpr, "9999999999", |value| is_date(number(value, 0, 2), number(value, 2, 2)))
        .bare(20)
        .formats(&[("xxxxxx-xxxx", 55)]),
    rule(Entity::NoFodselsnummer, "99999999999", no_fodselsnummer)
        .plausible(|value| is_date(number(value, 0, 2) % 40, number(value, 2, 2) % 40))
        .formats(&[("xxxxxx xxxxx", 70), ("xxxxxx-xxxxx", 60)]),
    rule(Entity::EeIsikukood, "99999999999", two_stages).plausible(baltic_date),
    rule(Entity::LtAsmensKodas, "99999999999", two_stages).plausible(baltic_date),
    rule(Entity::LvPersonasKods, "99999999999", lv_personas_kods)
        .plausible(|value| value.starts_with(b"32") || is_date(number(value, 0, 2), number(value, 2, 2)))
        .formats(&[("xxxxxx-xxxxx", 70)]),
];

/// Digital and Population Data Services Agency: the remainder by 31 is the last character; the century's sign is no part of the number.
fn fi_hetu(value: &[u8]) -> bool {
    let (individual, sign) = match value.len() {
        10 => (number(value, 6, 3), None),
        _ => (number(value, 7, 3), value.get(6)),
    };
    let sign = sign.is_none_or(|sign| matches!(sign, b'A'..=b'F' | b'U'..=b'Y'));
    let rest = usize::try_from((number(value, 0, 6) * 1000 + individual) % 31).unwrap_or(0);
    let check = b"0123456789ABCDEFHJKLMNPRSTUVWXY".get(rest);
    sign && is_date(number(value, 0, 2), number(value, 2, 2)) && check == value.last() && individual >= 2
}

/// Skatteetaten: two check digits of mod 11.
fn no_fodselsnummer(value: &[u8]) -> bool {
    let at = |place: usize| value.get(place).map_or(0, |byte| digit(*byte));
    let check = |weights: &Weights| (11 - weighted(value, weights) % 11) % 11;
    check(const { &weights([3, 7, 6, 1, 8, 9, 4, 5, 2]) }) == at(9)
        && check(const { &weights([5, 4, 3, 2, 7, 6, 5, 4, 3, 2]) }) == at(10)
}

/// Estonia's and Lithuania's: mod 11 with one row of weights, and with another where it gives 10.
fn two_stages(value: &[u8]) -> bool {
    let first = weighted(value, const { &weights([1, 2, 3, 4, 5, 6, 7, 8, 9, 1]) }) % 11;
    let second = weighted(value, const { &weights([3, 4, 5, 6, 7, 8, 9, 1, 2, 3]) }) % 11;
    let check = if first < 10 { first } else { second % 10 };
    check == last(value) && value.first() != Some(&b'0')
}

fn baltic_date(value: &[u8]) -> bool {
    matches!(value.first(), Some(b'1'..=b'8')) && is_date(number(value, 5, 2), number(value, 3, 2))
}

/// Until 2017 a date and mod 11; since then a number that begins with 32 and has no check digit.
fn lv_personas_kods(value: &[u8]) -> bool {
    let sum = weighted(value, const { &weights([1, 6, 3, 7, 9, 10, 5, 8, 4, 2]) });
    value.starts_with(b"32") || (1101 - sum) % 11 % 10 == last(value)
}

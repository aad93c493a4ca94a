//! Eastern and south-eastern Europe.

use super::{Rule, is_date, is_varied, rule};
use crate::{
    checksum::{last, luhn, mod_11_10, number, weighted, weights},
    entity::Entity,
};

pub const RULES: &[Rule] = &[
    rule(Entity::PlPesel, "99999999999", pl_pesel)
        .plausible(|value| is_date(number(value, 4, 2), number(value, 2, 2) % 20)),
    rule(Entity::PlNip, "9999999999", pl_nip)
        .plausible(is_varied)
        .formats(&[("xxx-xxx-xx-xx", 60), ("xxx-xx-xx-xxx", 60)]),
    rule(Entity::RoCnp, "9999999999999", ro_cnp)
        .plausible(|value| value.first() != Some(&b'0') && is_date(number(value, 5, 2), number(value, 3, 2))),
    rule(Entity::CzRodneCislo, "9999999999", cz_rodne_cislo)
        .plausible(cz_date)
        .formats(&[("xxxxxx/xxxx", 80)]),
    rule(Entity::CzRodneCislo, "999999999", |_| true)
        .plausible(cz_date)
        .bare(10)
        .formats(&[("xxxxxx/xxx", 60)]),
    rule(Entity::CzRodneCislo, "99999999", cz_ico).bare(10),
    rule(Entity::BgEgn, "9999999999", bg_egn)
        .plausible(|value| is_date(number(value, 4, 2), number(value, 2, 2) % 20)),
    rule(Entity::HuTin, "9999999999", hu_tin).plausible(|value| value.first() == Some(&b'8')),
    rule(Entity::HrOib, "99999999999", mod_11_10).plausible(is_varied),
    rule(Entity::SiEmso, "9999999999999", si_emso)
        .plausible(|value| is_date(number(value, 0, 2), number(value, 2, 2))),
    rule(Entity::SiTin, "99999999", si_tin).bare(20),
    // The social security number of IDIKA: ISO/IEC 7812-1 annex B behind the date of birth.
    rule(Entity::GrAmka, "99999999999", luhn)
        .plausible(|value| is_date(number(value, 0, 2), number(value, 2, 2))),
    rule(Entity::GrAfm, "999999999", gr_afm).plausible(is_varied),
];

/// Weights 1, 3, 7, 9.
fn pl_pesel(value: &[u8]) -> bool {
    (10 - weighted(value, const { &weights([1, 3, 7, 9, 1, 3, 7, 9, 1, 3]) }) % 10) % 10 == last(value)
        && is_varied(value)
}

/// Weights 6, 5, 7, 2, 3, 4, 5, 6, 7, mod 11.
fn pl_nip(value: &[u8]) -> bool {
    weighted(value, const { &weights([6, 5, 7, 2, 3, 4, 5, 6, 7]) }) % 11 == last(value)
}

/// Weights 279146358279, mod 11, 10 is 1.
fn ro_cnp(value: &[u8]) -> bool {
    let rest = weighted(value, const { &weights([2, 7, 9, 1, 4, 6, 3, 5, 8, 2, 7, 9]) }) % 11;
    (if rest == 10 { 1 } else { rest }) == last(value)
}

/// Act 133/2000: the whole is a multiple of 11; until 1985 a remainder of 10 was written 0.
fn cz_rodne_cislo(value: &[u8]) -> bool {
    let rest = number(value, 0, 9) % 11;
    rest % 10 == u64::from(last(value))
}

/// Women have 50 more in the month, and since 2004 either may have 20 more.
fn cz_date(value: &[u8]) -> bool {
    let month = number(value, 2, 2) % 50;
    is_date(number(value, 4, 2), if month > 20 { month - 20 } else { month })
}

/// The tax number of a firm: weights 8 to 2, mod 11.
fn cz_ico(value: &[u8]) -> bool {
    (11 - weighted(value, const { &weights([8, 7, 6, 5, 4, 3, 2]) }) % 11) % 10 == last(value)
}

/// Weights 2, 4, 8, 5, 10, 9, 7, 3, 6, mod 11.
fn bg_egn(value: &[u8]) -> bool {
    weighted(value, const { &weights([2, 4, 8, 5, 10, 9, 7, 3, 6]) }) % 11 % 10 == last(value)
}

/// The sum of the digits, each times its place, mod 11.
fn hu_tin(value: &[u8]) -> bool {
    weighted(value, const { &weights([1, 2, 3, 4, 5, 6, 7, 8, 9]) }) % 11 == last(value)
}

/// Weights 7 to 2 twice, mod 11.
fn si_emso(value: &[u8]) -> bool {
    let rest = weighted(value, const { &weights([7, 6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2]) }) % 11;
    (11 - rest) % 11 % 10 == last(value)
}

/// European Commission, TIN algorithms, Slovenia: weights 8 to 2, mod 11; 10 is written 0, and what would be 11 is not given.
fn si_tin(value: &[u8]) -> bool {
    let rest = weighted(value, const { &weights([8, 7, 6, 5, 4, 3, 2]) }) % 11;
    rest != 0 && (11 - rest) % 10 == last(value) && value.first() != Some(&b'0')
}

/// Powers of two, mod 11.
fn gr_afm(value: &[u8]) -> bool {
    weighted(value, const { &weights([256, 128, 64, 32, 16, 8, 4, 2]) }) % 11 % 10 == last(value)
}

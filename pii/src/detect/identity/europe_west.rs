//! Western and southern Europe.

use super::{Rule, is_date, is_varied, rule};
use crate::{
    checksum::{digit, icao_9303, last, luhn, mod_11_10, number, verhoeff, weighted, weights},
    entity::Entity,
};

pub const RULES: &[Rule] = &[
    rule(Entity::UkNino, "AA999999A", uk_nino).bare(60).formats(&[
        ("xx xx xx xx x", 90),
        ("xx-xx-xx-xx-x", 90),
        ("xx xxxxxx x", 80),
    ]),
    rule(Entity::UkNhs, "9999999999", uk_nhs)
        .plausible(is_varied)
        .formats(&[("xxx xxx xxxx", 55), ("xxx-xxx-xxxx", 45)]),
    rule(Entity::UkUtr, "9999999999", uk_utr),
    rule(Entity::UkUtr, "9999999999999", uk_utr).bare(20),
    rule(Entity::UkUtr, "9999999999A", uk_utr),
    rule(Entity::UkUtr, "A9999999999999", uk_utr),
    rule(Entity::EsNif, "99999999A", es_nif).bare(60).formats(&[
        ("xxxxxxxx-x", 70),
        ("xx.xxx.xxx-x", 90),
        ("xxxxxxxx x", 60),
    ]),
    rule(Entity::EsNie, "A9999999A", es_nie).bare(60).formats(&[
        ("x-xxxxxxx-x", 90),
        ("x-xxxxxxxx", 60),
        ("xxxxxxxx-x", 60),
    ]),
    rule(Entity::EsNuss, "999999999999", es_nuss).formats(&[("xx/xxxxxxxx/xx", 60), ("xx xxxxxxxx xx", 55)]),
    rule(Entity::ItFiscalCode, "AAAAAA**A**A***A", it_fiscal_code).bare(90).formats(&[
        ("xxx xxx xxxxx xxxxx", 90),
        ("xxxxxx xxxxx xxxxx", 90),
        ("xxxxxx-xxxxx-xxxxx", 90),
    ]),
    rule(Entity::FrNir, "999999*99999999", fr_nir).plausible(fr_month).bare(60).formats(&[
        ("x xx xx xx xxx xxx xx", 90),
        ("x-xx-xx-xx-xxx-xxx-xx", 90),
        ("x xx xx xxxxx xxx xx", 90),
        ("x-xx-xx-xxxxx-xxx-xx", 90),
        ("x.xx.xx.xx.xxx.xxx.xx", 90),
        ("xxxxxxxxxxxxx xx", 70),
    ]),
    rule(Entity::FrSpi, "9999999999999", fr_spi).formats(&[("xx xx xxx xxx xxx", 70)]),
    rule(Entity::DeTaxId, "99999999999", de_tax_id).plausible(de_repeats).formats(&[("xx xxx xxx xxx", 55)]),
    rule(Entity::DeIdCard, "*********", de_id_card).bare(20),
    rule(Entity::DeIdCard, "*********9", de_id_card).bare(20),
    rule(Entity::DeIdCard, "*********A", de_id_card).bare(20),
    rule(Entity::DeIdCard, "*********9A", de_id_card).bare(20),
    rule(Entity::DeSvnr, "99999999A999", de_svnr)
        .bare(60)
        .formats(&[("xx xxxxxx x xxx", 90), ("xx xxxxxx xxxx", 90)]),
    rule(Entity::NlBsn, "999999999", nl_bsn).formats(&[("xxxx.xx.xxx", 55), ("xxxx xx xxx", 45)]),
    rule(Entity::NlBsn, "99999999", nl_bsn).bare(10),
    rule(Entity::NlBsn, "9999999", nl_bsn).bare(10),
    rule(Entity::NlPassport, "AA******9", |value| {
        icao_9303(value.get(..8).unwrap_or_default()) == last(value)
    })
    .bare(20),
    rule(Entity::BeNrn, "99999999999", be_nrn)
        .plausible(|value| is_date(number(value, 4, 2), number(value, 2, 2) % 20))
        .formats(&[
            ("xx.xx.xx-xxx.xx", 90),
            ("xxxxxx-xxx.xx", 80),
            ("xx.xx.xx-xxx-xx", 80),
            ("xx xx xx xxx xx", 70),
        ]),
    rule(Entity::PtNif, "999999999", pt_nif).formats(&[("xxx xxx xxx", 45)]),
    rule(Entity::IePps, "9999999A", ie_pps).bare(55),
    rule(Entity::IePps, "9999999AA", ie_pps).bare(60).formats(&[("xxxxxxxx/x", 60)]),
    rule(Entity::AtSvnr, "9999999999", at_svnr)
        .plausible(|value| is_date(number(value, 4, 2), number(value, 6, 2) % 20))
        .formats(&[("xxxx xxxxxx", 45), ("xxxx-xxxxxx", 40)]),
    rule(Entity::LuNin, "9999999999999", lu_nin)
        .plausible(|value| is_date(number(value, 6, 2), number(value, 4, 2))),
];

/// HMRC NIM39110: letters that are not given, and the pairs that are not.
fn uk_nino(value: &[u8]) -> bool {
    let [first, second, .., suffix] = value else { return false };
    !matches!(first, b'D' | b'F' | b'I' | b'Q' | b'U' | b'V')
        && !matches!(second, b'D' | b'F' | b'I' | b'O' | b'Q' | b'U' | b'V')
        && !matches!(
            [*first, *second],
            [b'B', b'G'] | [b'G', b'B'] | [b'K' | b'T', b'N'] | [b'N', b'K' | b'T'] | [b'Z', b'Z']
        )
        && matches!(suffix, b'A'..=b'D')
}

/// NHS data dictionary: weights 10 to 2, mod 11.
fn uk_nhs(value: &[u8]) -> bool {
    let check = 11 - weighted(value, const { &weights([10, 9, 8, 7, 6, 5, 4, 3, 2]) }) % 11;
    check % 11 == last(value) && check != 10
}

/// HMRC: the first digit of ten checks the others; three digits or the letter K around them do not count.
fn uk_utr(value: &[u8]) -> bool {
    let letters = value.iter().filter(|byte| byte.is_ascii_uppercase());
    let trimmed = value.strip_prefix(b"K").or_else(|| value.strip_suffix(b"K")).unwrap_or(value);
    let digits = trimmed.last_chunk::<10>().map_or(&[][..], |chunk| &chunk[..]);
    let Some((check, rest)) = digits.split_first() else { return false };
    let sum = weighted(rest, const { &weights([6, 7, 8, 9, 10, 5, 4, 3, 2]) });
    let expected = b"21987654321".get(usize::try_from(sum % 11).unwrap_or(0));
    letters.clone().count() <= 1 && letters.copied().all(|letter| letter == b'K') && expected == Some(check)
}

fn es_letter(number: u64) -> Option<&'static u8> {
    b"TRWAGMYFPDXBNJZSQVHLCKE".get(usize::try_from(number % 23).unwrap_or(0))
}

/// Ministerio del Interior: the letter is the remainder by 23.
fn es_nif(value: &[u8]) -> bool {
    es_letter(number(value, 0, 8)) == value.last()
}

/// As the NIF, with X, Y and Z as 0, 1 and 2.
fn es_nie(value: &[u8]) -> bool {
    let Some(first @ b'X'..=b'Z') = value.first() else { return false };
    es_letter(u64::from(first - b'X') * 10_000_000 + number(value, 1, 7)) == value.last()
}

/// Seguridad Social: the remainder by 97; a serial below 10,000,000 loses its zero.
fn es_nuss(value: &[u8]) -> bool {
    let (province, serial) = (number(value, 0, 2), number(value, 2, 8));
    let body = if serial < 10_000_000 { province * 10_000_000 + serial } else { number(value, 0, 10) };
    body % 97 == number(value, 10, 2)
}

/// DM 23 December 1976: odd places have a table, even places their value, mod 26; homonyms have letters for digits.
fn it_fiscal_code(value: &[u8]) -> bool {
    const ODD: [u32; 26] =
        [1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23];
    let Some((check, body)) = value.split_last() else { return false };
    let mut sum = 0;
    for (place, byte) in body.iter().enumerate() {
        let is_digit_place = matches!(place, 6 | 7 | 9 | 10 | 12..=14);
        if is_digit_place && !matches!(byte, b'0'..=b'9' | b'L'..=b'N' | b'P'..=b'V') {
            return false;
        }
        let index = if byte.is_ascii_digit() { byte - b'0' } else { byte.wrapping_sub(b'A') };
        let odd = ODD.get(usize::from(index)).copied().unwrap_or(0);
        sum += if place % 2 == 0 { odd } else { u32::from(index) };
    }
    u32::from(check.wrapping_sub(b'A')) == sum % 26
        && value
            .get(8)
            .is_some_and(|month| matches!(month, b'A'..=b'E' | b'H' | b'L' | b'M' | b'P' | b'R'..=b'T'))
}

/// INSEE: 97 less the remainder; Corsica's 2A and 2B count as 19 and 18.
fn fr_nir(value: &[u8]) -> bool {
    let body = number(value, 0, 5) * 100_000_000 + number(value, 7, 6);
    let department = match value.get(5..7) {
        Some([b'2', b'A']) => 19,
        Some([b'2', b'B']) => 18,
        Some([tens, ones]) if tens.is_ascii_digit() && ones.is_ascii_digit() => number(value, 5, 2),
        _ => return false,
    };
    97 - (body + department * 1_000_000) % 97 == number(value, 13, 2)
}

/// Sex, and a month or one of the codes for an unknown one.
fn fr_month(value: &[u8]) -> bool {
    matches!(value.first(), Some(b'1'..=b'4' | b'7' | b'8'))
        && matches!(number(value, 3, 2), 1..=12 | 20..=42 | 50..=99)
}

/// Direction générale des finances publiques: the last three digits are the remainder by 511.
fn fr_spi(value: &[u8]) -> bool {
    matches!(value.first(), Some(b'0'..=b'3')) && number(value, 0, 10) % 511 == number(value, 10, 3)
}

fn de_tax_id(value: &[u8]) -> bool {
    value.first() != Some(&b'0') && mod_11_10(value)
}

/// Bundeszentralamt für Steuern: of the first ten digits exactly one comes twice or three times.
fn de_repeats(value: &[u8]) -> bool {
    let body = value.get(..10).unwrap_or_default();
    let count = |wanted: u8| memchr::memchr_iter(wanted, body).count();
    let counts = (b'0'..=b'9').map(count);
    counts.clone().filter(|count| *count > 1).count() == 1 && counts.max().is_some_and(|count| count <= 3)
}

/// ICAO 9303: nine characters (in the older cards the last of them is a check digit), a check digit, a D for the nationality.
fn de_id_card(value: &[u8]) -> bool {
    let value = if value.len() > 9 { value.strip_suffix(b"D").unwrap_or(value) } else { value };
    let first = value.first() != Some(&b'D');
    let Some(body) = value.get(..9) else { return false };
    let known = body.iter().all(|byte| {
        matches!(byte, b'0'..=b'9' | b'C' | b'D' | b'F'..=b'H' | b'J'..=b'N' | b'P' | b'R' | b'T' | b'V'..=b'Z')
    });
    let check = match value.get(9) {
        Some(check) => icao_9303(body) == digit(*check) && check.is_ascii_digit(),
        None => body.iter().any(u8::is_ascii_digit),
    };
    first && known && check && value.len() <= 10
}

/// VKVV section 4: the letter as two digits, weights, cross sums, mod 10.
fn de_svnr(value: &[u8]) -> bool {
    const WEIGHTS: [u32; 12] = [2, 1, 2, 5, 7, 1, 2, 1, 2, 1, 2, 1];
    let letter = value.get(8).map_or(0, |byte| u32::from(byte.wrapping_sub(b'A')) + 1);
    let head = value.iter().take(8).map(|byte| digit(*byte));
    let digits =
        head.chain([letter / 10, letter % 10]).chain(value.iter().skip(9).take(2).map(|byte| digit(*byte)));
    let sum: u32 =
        digits.zip(WEIGHTS).map(|(digit, weight)| digit * weight).map(|sum| sum / 10 + sum % 10).sum();
    sum % 10 == last(value) && is_date(number(value, 2, 2), number(value, 4, 2))
}

/// The eleven test; leading zeros may be left out.
fn nl_bsn(value: &[u8]) -> bool {
    let weights = match value.len() {
        7 => const { &weights([7, 6, 5, 4, 3, 2]) },
        8 => const { &weights([8, 7, 6, 5, 4, 3, 2]) },
        _ => const { &weights([9, 8, 7, 6, 5, 4, 3, 2]) },
    };
    weighted(value, weights) % 11 == last(value) && is_varied(value)
}

/// 97 less the remainder; since 2000 with a 2 before the number.
fn be_nrn(value: &[u8]) -> bool {
    let (body, check) = (number(value, 0, 9), number(value, 9, 2));
    97 - body % 97 == check || 97 - (body + 2_000_000_000) % 97 == check
}

/// Autoridade Tributária: weights 9 to 2, mod 11.
fn pt_nif(value: &[u8]) -> bool {
    let rest = weighted(value, const { &weights([9, 8, 7, 6, 5, 4, 3, 2]) }) % 11;
    let check = if rest < 2 { 0 } else { 11 - rest };
    check == last(value) && !matches!(value.first(), Some(b'0' | b'4')) && is_varied(value)
}

/// Revenue: weights 8 to 2, a second letter nine times, mod 23, W is 0. (Before 2013 spouses had a W, T or X more, which counts nothing.)
fn ie_pps(value: &[u8]) -> bool {
    let letter = |byte: u8| if byte == b'W' { 0 } else { u32::from(byte.wrapping_sub(b'A')) + 1 };
    let second = value.get(8).map_or(0, |byte| letter(*byte));
    let sum = weighted(value, const { &weights([8, 7, 6, 5, 4, 3, 2]) });
    let holds = |second: u32| value.get(7).is_some_and(|check| (sum + second * 9) % 23 == letter(*check));
    second <= 9 && holds(second) || matches!(value.get(8), Some(b'W' | b'T' | b'X')) && holds(0)
}

/// Dachverband der Sozialversicherungsträger: the fourth digit checks the others.
fn at_svnr(value: &[u8]) -> bool {
    let check = value.get(3).map_or(0, |byte| digit(*byte));
    value.first() != Some(&b'0')
        && weighted(value, const { &weights([3, 7, 9, 0, 5, 8, 4, 2, 1, 6]) }) % 11 == check
}

/// Luhn over the first twelve digits, Verhoeff over the first eleven and the last.
fn lu_nin(value: &[u8]) -> bool {
    let mut second = [0; 12];
    for (into, byte) in second.iter_mut().zip(value.iter().take(11).chain(value.last())) {
        *into = *byte;
    }
    luhn(value.get(..12).unwrap_or_default()) && verhoeff(&second)
}

//! Numbers of devices and vehicles, which are shaped like those of people.

use super::{Rule, is_varied, rule};
use crate::{checksum::luhn, entity::Entity};

pub const RULES: &[Rule] = &[
    rule(Entity::Imei, "999999999999999", luhn)
        .plausible(is_varied)
        .formats(&[("xx-xxxxxx-xxxxxx-x", 60), ("xx xxxxxx xxxxxx x", 60)]),
    rule(Entity::Vin, "*************9999", vin)
        .plausible(|value| value.iter().any(u8::is_ascii_uppercase))
        .bare(60),
];

/// 49 CFR 565.15: letters have values, the ninth character is the remainder by 11. No I, O and Q.
fn vin(value: &[u8]) -> bool {
    const WEIGHTS: [u32; 17] = [8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2];
    let mut sum = 0;
    for (byte, weight) in value.iter().zip(WEIGHTS) {
        let value = match byte {
            b'0'..=b'9' => byte - b'0',
            b'A'..=b'H' => byte - b'A' + 1,
            b'J'..=b'N' | b'P' | b'R' => byte - b'J' + 1,
            b'S'..=b'Z' => byte - b'S' + 2,
            _ => return false,
        };
        if matches!(byte, b'I' | b'O' | b'Q') {
            return false;
        }
        sum += u32::from(value) * weight;
    }
    value.get(8).is_some_and(|check| {
        let expected = sum % 11;
        if expected == 10 {
            *check == b'X'
        } else {
            check.is_ascii_digit() && u32::from(check - b'0') == expected
        }
    })
}

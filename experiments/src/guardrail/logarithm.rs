//! The natural logarithm and its inverse. Those of the standard library make a module 6.6 KB larger, most of it tables.

use std::f64::consts::{LN_2, LOG2_E, SQRT_2};

/// The bits of a number's fraction.
const FRACTION: u64 = (1 << 52) - 1;

/// The bits of the exponent of 1.
const ONE: u64 = 1023 << 52;

/// One by the whole numbers from 14 down.
const INVERSE: [f64; 14] = [
    1.0 / 14.0,
    1.0 / 13.0,
    1.0 / 12.0,
    1.0 / 11.0,
    1.0 / 10.0,
    1.0 / 9.0,
    1.0 / 8.0,
    1.0 / 7.0,
    1.0 / 6.0,
    1.0 / 5.0,
    1.0 / 4.0,
    1.0 / 3.0,
    1.0 / 2.0,
    1.0,
];

/// The natural logarithm of a positive number that is not subnormal, infinite or none. It is off by at most 4e-16 of itself, and of 1 from e^-1 to e.
///
/// The number is a power of two times `m`, between the roots of 1/2 and of 2, and `ln(m) = 2 artanh((m - 1) / (m + 1))` by its series (NIST Digital
/// Library of Mathematical Functions, 4.6.4).
pub(super) fn ln(number: f64) -> f64 {
    let bits = number.to_bits();
    let mut exponent = i32::try_from(bits >> 52).unwrap_or(0) - 1023;
    let mut mantissa = f64::from_bits(bits & FRACTION | ONE);
    if mantissa > SQRT_2 {
        mantissa /= 2.0;
        exponent += 1;
    }
    let root = (mantissa - 1.0) / (mantissa + 1.0);
    let square = root * root;
    // The term after these is below 2^-56 of the sum.
    let mut series = 0.0;
    for odd in [21.0, 19.0, 17.0, 15.0, 13.0, 11.0, 9.0, 7.0, 5.0, 3.0] {
        series = series * square + 1.0 / odd;
    }
    f64::from(exponent) * LN_2 + 2.0 * (root + root * square * series)
}

/// The exponential function; 0 below -700, and no more than e^700. It is off by at most 1e-15 of itself between -1 and 1, and by 1e-13 elsewhere.
///
/// The exponent is a whole number of halvings and a rest of at most ln(2) / 2, whose series is summed.
#[expect(clippy::cast_possible_truncation, reason = "it is between -1010 and 1010")]
pub(super) fn exp(exponent: f64) -> f64 {
    if exponent < -700.0 {
        return 0.0;
    }
    let exponent = exponent.min(700.0);
    let halvings = (exponent * LOG2_E).round();
    let rest = exponent - halvings * LN_2;
    let mut series = 1.0;
    for place in INVERSE {
        series = 1.0 + series * rest * place;
    }
    let power = u64::try_from(halvings as i64 + 1023).unwrap_or(0);
    series * f64::from_bits(power << 52)
}

//! Decimal numbers as binary ones.

/// The most digits behind the point, and the longest run of digits, that are read.
const DIGIT_LIMIT: i32 = 19;

/// The double that is nearest to a JSON number, ties to even, as every language reads it; `None` for one with more than 19 digits or more than
/// 19 places behind the point, or one that is too large for them.
///
/// The standard library reads all numbers, with 14 KB of tables.
pub(super) fn double(text: &str) -> Option<f64> {
    let (is_negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (text, exponent) = match text.split_once(['e', 'E']) {
        Some((text, exponent)) => (text, exponent.strip_prefix('+').unwrap_or(exponent).parse().ok()?),
        None => (text, 0_i32),
    };
    let (mut digits, mut places, mut is_behind) = (0_u64, 0_i32, false);
    for byte in text.trim_start_matches('0').bytes() {
        if byte == b'.' {
            is_behind = true;
            continue;
        }
        digits = digits.checked_mul(10)?.checked_add(u64::from(byte.checked_sub(b'0')?))?;
        places += i32::from(is_behind);
    }
    let places = places.checked_sub(exponent)?;
    let magnitude = if digits == 0 {
        0.0
    } else if places <= 0 {
        let factor = 10_u64.checked_pow(places.unsigned_abs())?;
        ratio(digits.checked_mul(factor)?, 1)
    } else if places <= DIGIT_LIMIT {
        ratio(digits, 10_u64.checked_pow(places.unsigned_abs())?)
    } else {
        return None;
    };
    Some(if is_negative { -magnitude } else { magnitude })
}

/// The double that is nearest to a ratio of numbers that are not 0.
#[expect(clippy::cast_precision_loss, reason = "the quotient is rounded to even here, as it must be")]
fn ratio(dividend: u64, divisor: u64) -> f64 {
    let (above, below) = (dividend.leading_zeros(), divisor.leading_zeros());
    let divisor = u128::from(divisor << below);
    // Long division: 63 bits of the quotient at least, and in the last one whether anything follows.
    let mut rest = u128::from(dividend << above);
    let mut quotient = 0_u64;
    for _ in 0..64 {
        quotient <<= 1;
        if rest >= divisor {
            rest -= divisor;
            quotient |= 1;
        }
        rest <<= 1;
    }
    let power = 1023 - 63 + u64::from(below) - u64::from(above);
    (quotient | u64::from(rest != 0)) as f64 * f64::from_bits(power << 52)
}

#[cfg(test)]
mod tests {
    use super::double;
    use proptest::prelude::*;

    #[test]
    fn numbers_out_of_reach_are_none() {
        for text in
            ["1e20", "1e99999", "1e-20", "0.00000000000000000001", "18446744073709551616", "1e99999999999"]
        {
            assert_eq!(double(text), None, "{text}");
        }
        for text in [
            "0",
            "-0",
            "0.0",
            "0e5",
            "1e18",
            "1e-19",
            "-12.5E+1",
            "0.1",
            "0.30000000000000004",
            "18446744073709551615",
        ] {
            assert_eq!(double(text).map(f64::to_bits), text.parse::<f64>().ok().map(f64::to_bits), "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 5000, ..ProptestConfig::default() })]

        #[test]
        fn a_number_is_read_as_the_standard_library_reads_it(digits: u64, places in 0_u32..=19, exponent in -3_i32..=3) {
            let plain = format!("{}.{:0width$}", digits / 10_u64.pow(places), digits % 10_u64.pow(places), width = places as usize);
            for text in [plain.clone(), format!("-{plain}"), format!("{digits}e{exponent}"), format!("{digits}E-{places}")] {
                if let Some(read) = double(&text) {
                    prop_assert_eq!(read.to_bits(), text.parse::<f64>().unwrap().to_bits(), "{}", text);
                }
            }
        }

        #[test]
        fn a_share_is_read_whatever_a_program_writes(value in 0.01_f64..1.0) {
            prop_assert_eq!(double(&value.to_string()).map(f64::to_bits), Some(value.to_bits()));
        }
    }
}

//! Times, as RFC 3339 writes them.

/// Nanoseconds of a day.
const DAY: u64 = 86_400_000_000_000;

/// The day of a time in nanoseconds since 1970 (UTC), counted from 1970.
pub fn day(nanoseconds: u64) -> u32 {
    // 2^64 ns are 213,503 days.
    u32::try_from(nanoseconds / DAY).unwrap_or(u32::MAX)
}

/// Writes a time in nanoseconds since 1970 (UTC), to the millisecond: `2026-11-25T18:41:41.123Z`.
pub fn write(nanoseconds: u64, out: &mut String) {
    let (year, month, day) = date(u64::from(day(nanoseconds)));
    let milliseconds = nanoseconds % DAY / 1_000_000;
    let seconds = milliseconds / 1000;
    for (value, digits, behind) in [
        (year, 4, '-'),
        (month, 2, '-'),
        (day, 2, 'T'),
        (seconds / 3600, 2, ':'),
        (seconds / 60 % 60, 2, ':'),
        (seconds % 60, 2, '.'),
        (milliseconds % 1000, 3, 'Z'),
    ] {
        let mut scale = [1, 10, 100, 1000].get(digits - 1).copied().unwrap_or(1);
        while scale > 0 {
            // A digit, so it is one of ten.
            out.push(char::from(b'0' + u8::try_from(value / scale % 10).unwrap_or(0)));
            scale /= 10;
        }
        out.push(behind);
    }
}

/// Year, month and day of a number of days since 1970: the Gregorian calendar in eras of 400 years that begin in March.
fn date(days: u64) -> (u64, u64, u64) {
    const ERA: u64 = 146_097;
    let days = days + 719_468;
    let (era, of_era) = (days / ERA, days % ERA);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::write;

    #[track_caller]
    fn check(seconds: u64, milliseconds: u64, expected: &str) {
        let mut out = String::new();
        write(seconds * 1_000_000_000 + milliseconds * 1_000_000, &mut out);
        assert_eq!(out, expected);
    }

    #[test]
    fn times_are_those_of_the_calendar() {
        // By `date -u -d @N`.
        check(0, 0, "1970-01-01T00:00:00.000Z");
        check(951_782_400, 7, "2000-02-29T00:00:00.007Z");
        check(1_709_251_199, 999, "2024-02-29T23:59:59.999Z");
        check(1_795_633_301, 123, "2026-11-25T19:01:41.123Z");
        check(4_107_542_400, 0, "2100-03-01T00:00:00.000Z");
        check(18_446_744_073, 709, "2554-07-21T23:34:33.709Z");
    }
}

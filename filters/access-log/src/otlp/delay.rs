//! How long to wait for a collector.

use super::config::Limits;

/// Nanoseconds.
pub(super) const MILLISECOND: u64 = 1_000_000;
const SECOND: u64 = 1000 * MILLISECOND;

/// The longest wait that a collector may ask for: an hour.
const LONGEST: u64 = 3600 * SECOND;

/// A time in which nothing is sent.
#[derive(Debug)]
pub(super) struct Pause {
    from: u64,
    /// The shortest and the longest that it may take.
    least: u64,
    most: u64,
    /// How long it takes, once that is drawn.
    drawn: Option<u64>,
}

impl Pause {
    /// The pause after a failure: as long as the collector asks for, or else a back-off that doubles with each failure in a row.
    pub(super) fn new(now: u64, asked: Option<u64>, failures: u32, limits: &Limits) -> Self {
        let (least, most) = if let Some(wait) = asked {
            (wait, wait.saturating_add(limits.initial))
        } else {
            let factor = 1_u64.checked_shl(failures.saturating_sub(1)).unwrap_or(u64::MAX);
            let wait = limits.initial.saturating_mul(factor).min(limits.max);
            (wait / 2, wait)
        };
        Self { from: now, least, most, drawn: None }
    }

    /// The shortest that it may take.
    pub(super) fn least(&self) -> u64 {
        self.least
    }

    /// Whether it is not over yet. A clock that was set back ends it.
    pub(super) fn is_on(&mut self, now: u64, random: impl FnOnce() -> u64) -> bool {
        let (least, spread) = (self.least, self.most.saturating_sub(self.least).saturating_add(1));
        let wait = *self.drawn.get_or_insert_with(|| least.saturating_add(random() % spread));
        (self.from..self.from.saturating_add(wait)).contains(&now)
    }
}

/// Reads a `Retry-After` header (RFC 9110, 10.2.3), seconds or a date, as nanoseconds from now, at most an hour; `None` of what is neither.
pub(super) fn retry_after(value: &[u8], now: u64) -> Option<u64> {
    let text = std::str::from_utf8(value).ok()?.trim_ascii();
    let wait = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than fit are a long time.
        text.parse::<u64>().unwrap_or(u64::MAX).saturating_mul(SECOND)
    } else {
        date(text)?.saturating_mul(SECOND).saturating_sub(now)
    };
    Some(wait.min(LONGEST))
}

/// Reads an IMF-fixdate (RFC 9110, 5.6.7), `Sun, 06 Nov 1994 08:49:37 GMT`, as seconds since 1970. The obsolete forms, which nobody may send, are
/// not read.
fn date(text: &str) -> Option<u64> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (_, text) = text.split_once(", ")?;
    let text = text.strip_suffix(" GMT")?;
    let mut parts = text.split([' ', ':']);
    let mut part = |digits| parts.next().filter(|part| part.len() == digits);
    let number =
        |part: &str| part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse::<u64>().ok())?;
    let day = number(part(2)?)?;
    let name = part(3)?;
    let month = u64::try_from(MONTHS.iter().position(|month| *month == name)?).ok()? + 1;
    let (year, hour, minute, second) =
        (number(part(4)?)?, number(part(2)?)?, number(part(2)?)?, number(part(2)?)?);
    let is_date = (1970..=9999).contains(&year) && (1..=31).contains(&day);
    if !is_date || hour > 23 || minute > 59 || second > 60 || parts.next().is_some() {
        return None;
    }
    // Days from the civil calendar, with years that begin in March (H. Hinnant, "chrono-compatible low-level date algorithms").
    let year = year - u64::from(month <= 2);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = (year * 365 + year / 4 - year / 100 + year / 400 + of_year).checked_sub(719_468)?;
    Some(days * 86_400 + hour * 3600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::{SECOND, date, retry_after};

    #[test]
    fn dates_are_read_and_others_are_not() {
        // date -u -d '…' +%s
        for (text, expected) in [
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(784_111_777)),
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
            ("Thu, 29 Feb 2024 23:59:59 GMT", Some(1_709_251_199)),
            ("Fri, 01 Mar 2024 00:00:00 GMT", Some(1_709_251_200)),
            ("Wed, 25 Nov 2026 10:00:00 GMT", Some(1_795_600_800)),
            ("Sun, 06 Nov 1994 08:49:37 UTC", None),
            ("Sun, 06 Nov 1994 08:49 GMT", None),
            ("Sun, 06 Nov 1994 08:49:37:00 GMT", None),
            ("Sun, 6 Nov 1994 08:49:37 GMT", None),
            ("Sun, 06 Nov 1894 08:49:37 GMT", None),
            ("Sun, 06 Noy 1994 08:49:37 GMT", None),
            ("Sun, 06 Nov 1994 +8:49:37 GMT", None),
            ("Sun, 32 Nov 1994 08:49:37 GMT", None),
            ("Sunday, 06-Nov-94 08:49:37 GMT", None),
            ("Sun Nov  6 08:49:37 1994", None),
            ("", None),
        ] {
            assert_eq!(date(text), expected, "{text}");
        }
    }

    #[test]
    fn a_wait_is_read_and_bounded() {
        let now = 784_111_777 * SECOND;
        for (value, expected) in [
            ("0", Some(0)),
            ("120", Some(120)),
            (" 7 ", Some(7)),
            ("3600", Some(3600)),
            ("3601", Some(3600)),
            ("99999999999999999999999999", Some(3600)),
            ("-1", None),
            ("+1", None),
            ("1.5", None),
            ("1s", None),
            ("", None),
            ("soon", None),
            ("Sun, 06 Nov 1994 08:50:07 GMT", Some(30)),
            ("Sun, 06 Nov 1994 08:40:00 GMT", Some(0)),
            ("Sun, 06 Nov 2094 08:40:00 GMT", Some(3600)),
        ] {
            assert_eq!(
                retry_after(value.as_bytes(), now),
                expected.map(|seconds: u64| seconds * SECOND),
                "{value}"
            );
        }
        assert_eq!(retry_after(b"\xff", now), None);
    }
}

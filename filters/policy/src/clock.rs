//! Windows of time: between two moments, on days of the week, between two times of the day.

use filter_kit::settings::Field;

const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const MINUTES_OF_DAY: i64 = 24 * 60;

/// A window of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// Seconds since 1970 (UTC) from which on it is open.
    after: Option<i64>,
    /// Seconds since 1970 (UTC) from which on it is closed.
    before: Option<i64>,
    /// Days of the week, Sunday is bit 0; 0 is all.
    days: u8,
    /// Minutes of the day: from the first on and up to the other, over midnight where that comes first.
    hours: Option<(i64, i64)>,
    /// How many minutes the clock of days and hours is before UTC's.
    offset: i64,
}

impl Window {
    /// Reads it.
    pub fn read(field: &Field<'_, '_>) -> Self {
        field.only(&["after", "before", "days", "from", "to", "offset_minutes"]);
        let moment = |name| {
            let field = field.get(name);
            let text = field.text()?;
            let moment = moment(text);
            if moment.is_none() {
                field.refuse_text("must be a time as 2026-11-25T08:00:00Z", text);
            }
            moment
        };
        let mut days = 0;
        for item in field.get("days").items_up_to(7) {
            days |= item.choice(&DAYS).map_or(0, |day| 1 << day);
        }
        let minute = |name| {
            let field = field.get(name);
            let text = field.text()?;
            let minute = text.split_once(':').and_then(|(hour, minute)| {
                let (hour, minute) = (number(hour, 2, 0, 24)?, number(minute, 2, 0, 59)?);
                Some(hour * 60 + minute).filter(|minute| *minute <= MINUTES_OF_DAY)
            });
            if minute.is_none() {
                field.refuse_text("must be a time of the day as 08:00", text);
            }
            minute
        };
        let hours = match (minute("from"), minute("to")) {
            (None, None) => None,
            (from, to) => Some((from.unwrap_or(0), to.unwrap_or(MINUTES_OF_DAY))),
        };
        let offset = field.get("offset_minutes").whole(-MINUTES_OF_DAY, MINUTES_OF_DAY).unwrap_or(0);
        Self { after: moment("after"), before: moment("before"), days, hours, offset }
    }

    /// Whether it is open so many nanoseconds after 1970 (UTC).
    pub fn is_open(&self, nanoseconds: u64) -> bool {
        let now = i64::try_from(nanoseconds / 1_000_000_000).unwrap_or(i64::MAX);
        if self.after.is_some_and(|after| now < after) || self.before.is_some_and(|before| now >= before) {
            return false;
        }
        let minutes = now.div_euclid(60) + self.offset;
        // 1970 began on a Thursday.
        let day = (minutes.div_euclid(MINUTES_OF_DAY) + 4).rem_euclid(7);
        if self.days != 0 && self.days >> day & 1 == 0 {
            return false;
        }
        let minute = minutes.rem_euclid(MINUTES_OF_DAY);
        self.hours.is_none_or(|(from, to)| {
            if from <= to { (from..to).contains(&minute) } else { minute >= from || minute < to }
        })
    }
}

fn number(text: &str, digits: usize, least: i64, most: i64) -> Option<i64> {
    let is_number = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = is_number.then(|| text.parse().ok()).flatten()?;
    (least..=most).contains(&number).then_some(number)
}

/// Seconds since 1970 of `2026-11-25T08:00:00Z` (RFC 3339, in UTC and whole seconds).
fn moment(text: &str) -> Option<i64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let mut date = date.split('-');
    let year = number(date.next()?, 4, 1970, 9999)?;
    let month = number(date.next()?, 2, 1, 12)?;
    let day = number(date.next()?, 2, 1, 31)?;
    let mut time = time.split(':');
    let (hour, minute, second) =
        (number(time.next()?, 2, 0, 23)?, number(time.next()?, 2, 0, 59)?, number(time.next()?, 2, 0, 59)?);
    if date.next().is_some() || time.next().is_some() {
        return None;
    }
    // Howard Hinnant, "chrono-compatible low-level date algorithms": years begin in March.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * month + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    Some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::{Window, moment};

    #[test]
    fn moments_are_counted_from_1970() {
        assert_eq!(moment("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(moment("2026-11-25T08:00:00Z"), Some(1_795_593_600));
        assert_eq!(moment("2024-02-29T23:59:59Z"), Some(1_709_251_199));
        for text in [
            "",
            "2026-11-25",
            "2026-11-25T08:00:00",
            "2026-13-25T08:00:00Z",
            "2026-11-25T8:00:00Z",
            "2026-11-25T08:00:00+01:00",
        ] {
            assert_eq!(moment(text), None, "{text}");
        }
    }

    #[test]
    fn a_window_is_open_on_its_days_in_its_hours() {
        let week = Window {
            after: None,
            before: None,
            days: 0b011_1110,
            hours: Some((8 * 60, 18 * 60)),
            offset: 60,
        };
        let is_open = |text: &str| week.is_open(moment(text).unwrap().unsigned_abs() * 1_000_000_000);
        // A Wednesday, an hour before UTC.
        assert!(is_open("2026-11-25T07:00:00Z") && is_open("2026-11-25T16:59:59Z"));
        assert!(!is_open("2026-11-25T06:59:59Z") && !is_open("2026-11-25T17:00:00Z"));
        assert!(!is_open("2026-11-28T10:00:00Z") && !is_open("2026-11-29T10:00:00Z"));
        let night = Window { days: 0, hours: Some((22 * 60, 6 * 60)), offset: 0, ..week };
        let is_open = |text: &str| night.is_open(moment(text).unwrap().unsigned_abs() * 1_000_000_000);
        assert!(
            is_open("2026-11-25T23:00:00Z")
                && is_open("2026-11-25T05:59:00Z")
                && !is_open("2026-11-25T06:00:00Z")
        );
    }
}

//! Where somebody is, and when somebody was born.

use crate::{dispatch::Pass, entity::Entity};

/// A pair of coordinates whose first begins at a place, with so many digits. Says whether it was one.
#[inline]
pub fn coordinates(pass: &mut Pass<'_>, start: usize, row: usize) -> bool {
    // There are four decimals at the least.
    (1..=3).contains(&row)
        && pass.at(start + row) == b'.'
        && pass.at(start + row + 4).is_ascii_digit()
        && pair(pass, start)
}

fn pair(pass: &mut Pass<'_>, start: usize) -> bool {
    let Some((first, middle)) = decimal(pass, start, 90) else { return false };
    let separators = pass
        .from(middle)
        .iter()
        .take(3)
        .take_while(|byte| matches!(byte, b',' | b';' | b' ' | b'/' | b'+'))
        .count();
    let sign = usize::from(pass.at(middle + separators) == b'-');
    let Some((second, end)) = decimal(pass, middle + separators + sign, 180) else { return false };
    if separators == 0 && sign == 0 || first + second < 8 {
        return false;
    }
    let place = start;
    let start = start - usize::from(matches!(pass.before(start), b'-' | b'+'));
    let near = pass.near(place, end).has(Entity::Coordinates) || matches!(pass.before(start), b'@' | b'=');
    if !near {
        return false;
    }
    pass.hit(start, end, Entity::Coordinates, 70);
    pass.skip_numbers_to(end);
    true
}

/// A decimal of at most a limit with four decimals or more: how many decimals it has, and where it ends.
fn decimal(pass: &Pass<'_>, start: usize, limit: u32) -> Option<(usize, usize)> {
    let digits = |place: usize, most: usize| {
        pass.from(place).iter().take(most).take_while(|byte| byte.is_ascii_digit()).count()
    };
    let whole = digits(start, 4);
    let value = pass.part(start, start + whole).iter().fold(0, |sum, byte| sum * 10 + u32::from(byte - b'0'));
    if !(1..=3).contains(&whole) || value > limit || pass.at(start + whole) != b'.' {
        return None;
    }
    let decimals = digits(start + whole + 1, 20);
    (decimals >= 4).then_some((decimals, start + whole + 1 + decimals))
}

/// A date that begins with so many digits, and that the words around it call one of birth.
#[inline]
pub fn date(pass: &mut Pass<'_>, start: usize, row: usize) -> bool {
    let Some(length) = date_length(pass.from(start), row) else { return false };
    // The rest of a version.
    if pass.before(start) == b'.' {
        return false;
    }
    let end = start + length;
    if !pass.near(start, end).has(Entity::DateOfBirth) {
        return false;
    }
    pass.hit(start, end, Entity::DateOfBirth, 70);
    pass.skip_numbers_to(end);
    true
}

/// The length of a date in one of the usual orders, at the front of a text that begins with so many digits.
#[inline]
fn date_length(text: &[u8], row: usize) -> Option<usize> {
    match row {
        8 if matches!(text.get(..2), Some(b"19" | b"20")) => {}
        1 | 2 | 4 if matches!(text.get(row), Some(b'-' | b'/' | b'.')) => {}
        _ => return None,
    }
    groups_length(text, row)
}

fn groups_length(text: &[u8], row: usize) -> Option<usize> {
    let is_digit = |place: usize| text.get(place).is_some_and(u8::is_ascii_digit);
    let mut length = row;
    if row < 8 {
        let second = usize::from(is_digit(row + 1)) + usize::from(is_digit(row + 2));
        let place = row + 1 + second;
        let is_separated = matches!(text.get(place), Some(b'-' | b'/' | b'.'));
        if !is_separated || !is_digit(row + 1) || !is_digit(place + 1) || !is_digit(place + 2) {
            return None;
        }
        let third = if is_digit(place + 3) { 2 + 2 * usize::from(is_digit(place + 4)) } else { 2 };
        if !matches!((row, second, third), (4 | 2, 2, 2) | (1 | 2, 1 | 2, 4)) {
            return None;
        }
        length = place + 1 + third;
    }
    (!text.get(length).is_some_and(u8::is_ascii_alphanumeric)).then_some(length)
}

//! Where somebody is, and when somebody was born.

use crate::{dispatch::Pass, entity::Entity};

/// A pair of coordinates whose first begins at a place. Says whether it was one.
pub fn coordinates(pass: &mut Pass<'_>, start: usize) -> bool {
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

/// A date that the words around it call one of birth.
pub fn date(pass: &mut Pass<'_>, start: usize) -> bool {
    // The rest of a version.
    if pass.before(start) == b'.' {
        return false;
    }
    let text = pass.from(start);
    let begins = text.get(..2).unwrap_or_default();
    if text.get(..6).is_some_and(|row| row.iter().all(u8::is_ascii_digit)) && !matches!(begins, b"19" | b"20")
    {
        return false;
    }
    let fits = |format: &[u8]| {
        text.len() >= format.len()
            && text.iter().zip(format).all(|(byte, class)| match class {
                b'9' => byte.is_ascii_digit(),
                b'-' => matches!(byte, b'-' | b'/' | b'.'),
                _ => false,
            })
            && !text.get(format.len()).is_some_and(u8::is_ascii_alphanumeric)
    };
    let formats: [&[u8]; 7] =
        [b"9999-99-99", b"99-99-9999", b"9-99-9999", b"99-9-9999", b"9-9-9999", b"99-99-99", b"99999999"];
    let Some(format) = formats.iter().find(|format| fits(format)) else { return false };
    let end = start + format.len();
    if !pass.near(start, end).has(Entity::DateOfBirth) {
        return false;
    }
    pass.hit(start, end, Entity::DateOfBirth, 70);
    pass.skip_numbers_to(end);
    true
}

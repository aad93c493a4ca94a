//! Numbers in groups: cards, IBANs, identity numbers, and what else begins with a digit.

use super::{network, payment, phone, place_time};
use crate::{dispatch::Pass, entity::Entity};

/// The most letters and digits of a number: an IBAN has 34.
const LONGEST: usize = 34;

/// The most groups of a number: an IBAN of 34 in fours.
const MOST_GROUPS: usize = 9;

/// Letters and digits from a place on, without the separators between them.
pub struct Compact {
    /// In upper case.
    characters: [u8; LONGEST],
    /// Where each of them ends in the text.
    /// In bytes from the beginning: each has at most one separator before it.
    ends: [u8; LONGEST],
    start: usize,
    /// How many there are.
    count: usize,
    /// How many of the first are digits.
    digits: usize,
}

impl Compact {
    /// Whether two letters and two digits are first.
    fn begins_as_iban(&self) -> bool {
        matches!(self.characters, [b'A'..=b'Z', b'A'..=b'Z', b'0'..=b'9', b'0'..=b'9', ..])
    }

    /// The first characters.
    pub fn first(&self, count: usize) -> &[u8] {
        self.characters.get(..count).unwrap_or_default()
    }

    /// Where the first characters end in the text.
    pub fn end(&self, count: usize) -> usize {
        let length = count.checked_sub(1).and_then(|last| self.ends.get(last)).copied().unwrap_or(0);
        self.start + usize::from(length)
    }
}

/// What may stand between the groups of a number, once.
#[inline]
fn is_separator(byte: u8) -> bool {
    matches!(byte, b' ' | b'-' | b'.' | b'/' | b'+' | b'_' | b'~')
}

/// Reads the groups from a place on. A group of many letters without a digit is a word, and ends the number.
#[inline]
fn compact(pass: &Pass<'_>, start: usize) -> Compact {
    let mut compact = Compact { characters: [0; LONGEST], ends: [0; LONGEST], start, count: 0, digits: 0 };
    let mut letters = 0;
    let mut groups = 1;
    let mut all_digits = true;
    for (place, byte) in pass.from(start).iter().enumerate() {
        if byte.is_ascii_alphanumeric() {
            let (Some(character), Some(end)) =
                (compact.characters.get_mut(compact.count), compact.ends.get_mut(compact.count))
            else {
                // Beyond the longest number: what ends in the middle of a word is none.
                break;
            };
            *character = byte.to_ascii_uppercase();
            *end = u8::try_from(place + 1).unwrap_or(u8::MAX);
            compact.count += 1;
            all_digits &= byte.is_ascii_digit();
            compact.digits += usize::from(all_digits);
            letters = if byte.is_ascii_digit() { 0 } else { letters + usize::from(groups > 1) };
            // An IBAN may have groups of letters alone.
            if letters > 6 && !compact.begins_as_iban() {
                break;
            }
        } else if !is_separator(*byte) || !pass.at(start + place + 1).is_ascii_alphanumeric() {
            break;
        } else {
            groups += 1;
            if groups > MOST_GROUPS {
                break;
            }
        }
    }
    compact
}

/// Looks for a number that begins at a place, which is the beginning of a word.
pub fn find(pass: &mut Pass<'_>, start: usize) {
    let first = pass.at(start);
    // A short word is the beginning of a number only if another group follows.
    let word = pass.from(start).iter().take(6).take_while(|byte| byte.is_ascii_alphanumeric()).count();
    let next = pass.at(start + word);
    let follows = pass.at(start + word + 1);
    let goes_on = follows.is_ascii_digit()
        || follows.is_ascii_alphabetic() && !matches!(next, b'/' | b'_')
        || !follows.is_ascii_alphanumeric() && !matches!(follows, 0 | b'&' | b'=');
    if word < 6 && !(is_separator(next) || matches!(next, b')' | b'(' | b',')) || word < 6 && !goes_on {
        return;
    }
    if first.is_ascii_digit() {
        // A number with a country code may be written with dots.
        if pass.before(start) != b'+' && network::ipv4(pass, start)
            || place_time::coordinates(pass, start)
            || place_time::date(pass, start)
        {
            return;
        }
        if phone::find(pass, start) {
            return;
        }
    }
    let compact = compact(pass, start);
    if compact.count < 6 {
        return;
    }
    network::mac(pass, start);
    if is_decimal(pass, start) {
        return;
    }
    let mut found = 0;
    if !first.is_ascii_digit() {
        found = payment::iban(pass, start, &compact);
    }
    for count in (6..=compact.count).rev() {
        let end = compact.end(count);
        if pass.at(end).is_ascii_alphanumeric()
            || pass.at(end) == b'.'
                && pass.at(end + 1).is_ascii_digit()
                && count < compact.count
                && compact.digits == compact.count
                && !is_grouped(pass, start, end)
        {
            continue;
        }
        if count <= compact.digits && payment::card(pass, start, end, compact.first(count)) {
            found = found.max(end);
        }
        if identity(pass, start, end, compact.first(count)) {
            found = found.max(end);
        }
        if found > 0 {
            break;
        }
    }
    pass.skip_numbers_to(found);
}

/// Whether the text has a separator before its end, so that a dot behind it is the next one.
fn is_grouped(pass: &Pass<'_>, start: usize, end: usize) -> bool {
    pass.part(start, end).contains(&b'.')
}

/// Whether the number is the rest of a decimal one.
fn is_decimal(pass: &Pass<'_>, start: usize) -> bool {
    pass.before(start) == b'.' && start > 1 && pass.at(start - 2).is_ascii_digit()
}

/// Tries the rules of the length.
fn identity(pass: &mut Pass<'_>, start: usize, end: usize, value: &[u8]) -> bool {
    let engine = pass.engine;
    let mut best: Option<(u8, Entity)> = None;
    let written = pass.part(start, end);
    for rule in engine.rules().of(value.len()) {
        if !rule.fits(value) || !(rule.check)(value) || !(rule.plausible)(value) {
            continue;
        }
        let confidence = rule.confidence(written);
        let is_alone = !continues(pass, start, end) || confidence >= 80;
        if !is_alone {
            continue;
        }
        let near = pass.near(start, end);
        // A way of writing that telephone numbers have too.
        if confidence < 60 && near.has(Entity::Phone) && !near.has(rule.entity) {
            continue;
        }
        let confidence = crate::context::raised(confidence, near.has(rule.entity));
        if confidence >= crate::context::THRESHOLD && best.is_none_or(|(least, _)| confidence > least) {
            best = Some((confidence, rule.entity));
        }
    }
    let Some((confidence, entity)) = best else { return false };
    pass.hit(start, end, entity, confidence);
    true
}

/// Whether the value is a part of a longer row of groups.
fn continues(pass: &Pass<'_>, start: usize, end: usize) -> bool {
    let before =
        start > 1 && matches!(pass.before(start), b'-' | b'.') && pass.at(start - 2).is_ascii_digit();
    let after = matches!(pass.at(end), b'-' | b'.') && pass.at(end + 1).is_ascii_digit();
    // A part of a number whose groups have spaces between them.
    let is_spaced = pass.part(start, end).contains(&b' ')
        && (pass.at(end) == b' ' && pass.at(end + 1).is_ascii_digit()
            || start > 1 && pass.before(start) == b' ' && pass.at(start - 2).is_ascii_digit());
    before || after || is_spaced
}

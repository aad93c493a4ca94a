//! Numbers in groups: cards, IBANs, identity numbers, and what else begins with a digit.

use super::{
    identity::{self, LONGEST as RULES_LONGEST},
    network, payment, phone, place_time,
};
use crate::{
    context::{THRESHOLD, raised},
    dispatch::Pass,
    entity::Entity,
};

/// The most letters and digits of a number: an IBAN has 34.
const LONGEST: usize = 34;

/// The fewest.
const SHORTEST: usize = 6;

/// How many digits a number without any other group has.
pub const ROWS: std::ops::Range<usize> = SHORTEST..LONGEST;

/// The most groups of a number: an IBAN of 34 in fours.
const MOST_GROUPS: usize = 9;

/// Letters and digits from a place on, without the separators between them.
pub struct Compact {
    /// In upper case.
    characters: [u8; LONGEST],
    start: usize,
    /// How many there are.
    count: usize,
    /// How many of the first are digits.
    digits: usize,
    /// The ends of groups: how many characters there were, and where, in bytes from the beginning.
    ends: [(u8, u8); MOST_GROUPS],
    groups: usize,
    /// A bit for each character that is a letter.
    letters: u64,
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

    /// Notes the end of a group. Says whether there may be another.
    fn end(&mut self, place: usize) -> bool {
        let (Ok(count), Ok(place)) = (u8::try_from(self.count), u8::try_from(place)) else { return false };
        if let Some(end) = self.ends.get_mut(self.groups) {
            *end = (count, place);
            self.groups += 1;
        }
        self.groups < MOST_GROUPS
    }

    /// The ends of groups, the first first: how many characters there were, and where in the text.
    pub fn ends(&self) -> impl DoubleEndedIterator<Item = (usize, usize)> {
        let ends = self.ends.get(..self.groups).unwrap_or_default().iter();
        ends.map(|(count, end)| (usize::from(*count), self.start + usize::from(*end)))
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
    let mut compact = Compact {
        characters: [0; LONGEST],
        start,
        count: 0,
        digits: 0,
        ends: [(0, 0); MOST_GROUPS],
        groups: 0,
        letters: 0,
    };
    let text = pass.from(start);
    let mut letters = 0;
    let mut place = 0;
    while let Some(byte) = text.get(place) {
        let is_digit = byte.is_ascii_digit();
        if is_digit || byte.is_ascii_alphabetic() {
            // Beyond the longest number: what ends in the middle of a word is none.
            let Some(character) = compact.characters.get_mut(compact.count) else { break };
            *character = if is_digit { *byte } else { *byte & !0x20 };
            compact.letters |= u64::from(!is_digit) << compact.count;
            compact.count += 1;
            place += 1;
            letters = if is_digit { 0 } else { letters + usize::from(compact.groups > 0) };
            // An IBAN may have groups of letters alone, and is longer than what else has letters.
            let is_too_long = letters > 6 || compact.count > RULES_LONGEST && compact.letters != 0;
            if is_too_long && !compact.begins_as_iban() {
                break;
            }
        } else {
            let goes_on = is_separator(*byte) && text.get(place + 1).is_some_and(u8::is_ascii_alphanumeric);
            if !goes_on || !compact.end(place) {
                break;
            }
            place += 1;
        }
    }
    compact.end(place);
    compact.digits = (compact.letters.trailing_zeros() as usize).min(compact.count);
    compact
}

/// Whether a word of so many letters and digits, with these two bytes behind it, may begin a number: a short one only if another group follows.
#[expect(
    clippy::inline_always,
    reason = "it is called for most tokens, and modules' low threshold of inlining would leave it a call"
)]
#[inline(always)]
pub fn begins(word: usize, next: u8, follows: u8) -> bool {
    if word >= SHORTEST {
        return true;
    }
    let goes_on = if follows.is_ascii_alphabetic() {
        !matches!(next, b'/' | b'_')
    } else {
        !matches!(follows, 0 | b'&' | b'=')
    };
    goes_on && (is_separator(next) || matches!(next, b')' | b'(' | b','))
}

/// Looks for a number that begins at a place with so many digits: at the beginning of a word that [may begin](begins) one.
pub fn find(pass: &mut Pass<'_>, start: usize, row: usize) {
    if is_decimal(pass, start) {
        // What is behind a digit and a dot may begin a pair of coordinates, and nothing else.
        place_time::coordinates(pass, start, row);
        return;
    }
    let next = pass.at(start + row);
    if (1..=3).contains(&row) && next == b'.' {
        let second =
            pass.from(start + row + 1).iter().take(4).take_while(|byte| byte.is_ascii_digit()).count();
        let is_found = match second {
            4 => place_time::coordinates(pass, start, row),
            // A number with a country code may be written with dots.
            1..=3 => {
                pass.at(start + row + 1 + second) == b'.'
                    && pass.before(start) != b'+'
                    && network::ipv4(pass, start)
            }
            _ => false,
        };
        if is_found {
            return;
        }
    }
    let is_alone = ROWS.contains(&row)
        && !next.is_ascii_alphabetic()
        && !(is_separator(next) && pass.at(start + row + 1).is_ascii_alphanumeric());
    if is_alone {
        return alone(pass, start, row);
    }
    let reach = pass.reach(start);
    if row > 0
        && (reach.characters >= SHORTEST && place_time::date(pass, start, row)
            || reach.digits >= phone::SHORTEST
                && phone::may_begin(pass, start, row)
                && phone::find(pass, start))
        || reach.characters < SHORTEST
    {
        return;
    }
    let compact = compact(pass, start);
    if compact.count < SHORTEST {
        return;
    }
    network::mac(pass, start);
    let mut found = 0;
    if row == 0 {
        found = payment::iban(pass, start, &compact);
    }
    // A number ends with one of its groups, and has six characters or more.
    for (count, end) in compact.ends().rev().take_while(|(count, _)| *count >= SHORTEST) {
        let may_be_card = payment::CARDS.contains(&count) && count <= compact.digits;
        if !may_be_card && !pass.engine.rules().may_fit(count, compact.letters) {
            continue;
        }
        if pass.at(end).is_ascii_alphanumeric()
            || pass.at(end) == b'.'
                && pass.at(end + 1).is_ascii_digit()
                && count < compact.count
                && compact.digits == compact.count
                && !is_grouped(pass, start, end)
        {
            continue;
        }
        if may_be_card && payment::card(pass, start, end, compact.first(count)) {
            found = found.max(end);
        }
        if identity(pass, start, end, compact.first(count), compact.letters) {
            found = found.max(end);
        }
        if found > 0 {
            break;
        }
    }
    pass.skip_numbers_to(found);
}

/// Whether so many digits are the decimals of a number, and no part of coordinates.
#[inline]
pub fn is_decimals(pass: &Pass<'_>, start: usize, row: usize) -> bool {
    pass.before(start) == b'.' && pass.at(start + row) != b'.' && is_decimal(pass, start)
}

/// Whether so many digits, with nothing before and behind them that goes on with a number, are none: of eight most are known by their checksums.
#[inline]
pub fn is_none(pass: &Pass<'_>, start: usize, row: usize) -> bool {
    // Of those that begin with a smaller digit some are dates and telephone numbers.
    row == 8
        && pass.before(start) != b'+'
        && pass.at(start) > b'2'
        && pass
            .text
            .get(start..start + 8)
            .and_then(<[u8]>::first_chunk)
            .is_some_and(|eight| !identity::may_fit_eight(u64::from_le_bytes(*eight)))
}

/// Looks at a row of digits without any other group.
pub fn alone(pass: &mut Pass<'_>, start: usize, row: usize) {
    // Of dates without separators there are those of two centuries.
    let may_be_date = row == 8 && matches!(pass.at(start), b'1' | b'2');
    if may_be_date && place_time::date(pass, start, row)
        || phone::may_begin(pass, start, row) && phone::find(pass, start)
    {
        return;
    }
    let end = start + row;
    let value = pass.part(start, end);
    let is_card = payment::CARDS.contains(&row) && payment::card(pass, start, end, value);
    // Where there are many rules, most rows are known to be no number of a person by the words around them; where there are few, by their checks.
    let rules = pass.engine.rules();
    let is_likely = if rules.needs_word(row) {
        !rules.entities(row).and(pass.near(start, end)).is_empty()
    } else {
        rules.row_fits(value)
    };
    if is_likely && identity(pass, start, end, value, 0) || is_card {
        pass.skip_numbers_to(end);
    }
}

/// Whether the text has a separator before its end, so that a dot behind it is the next one.
fn is_grouped(pass: &Pass<'_>, start: usize, end: usize) -> bool {
    pass.part(start, end).contains(&b'.')
}

/// Whether the number is the rest of a decimal one.
#[inline]
fn is_decimal(pass: &Pass<'_>, start: usize) -> bool {
    pass.before(start) == b'.' && start > 1 && pass.at(start - 2).is_ascii_digit()
}

/// Tries the rules of the length; the bits say which characters are letters.
fn identity(pass: &mut Pass<'_>, start: usize, end: usize, value: &[u8], letters: u64) -> bool {
    let engine = pass.engine;
    let mut best: Option<(u8, Entity)> = None;
    let written = pass.part(start, end);
    for rule in engine.rules().fitting(value.len(), letters) {
        let confidence = rule.confidence(written);
        if let Some(near) = pass.known_near(start)
            && raised(confidence, near.has(rule.entity)) < THRESHOLD
        {
            continue;
        }
        if !(rule.check)(value) || !(rule.plausible)(value) {
            continue;
        }
        let is_alone = !continues(pass, start, end) || confidence >= 80;
        if !is_alone {
            continue;
        }
        let near = pass.near(start, end);
        // A way of writing that telephone numbers have too.
        if confidence < 60 && near.has(Entity::Phone) && !near.has(rule.entity) {
            continue;
        }
        let confidence = raised(confidence, near.has(rule.entity));
        if confidence >= THRESHOLD && best.is_none_or(|(least, _)| confidence > least) {
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

//! Telephone numbers: international ones by E.164, national ones where the context says so.

use crate::{
    dispatch::Pass,
    entity::{Entity, Group, Set},
};

/// Country codes of ITU-T E.164 with the fewest and the most digits of the national number. What is not listed, and assigned, has 6 to 12.
const COUNTRIES: &[(&[u8], usize, usize)] = &[
    (b"1", 10, 10),
    (b"7", 10, 10),
    (b"20", 8, 10),
    (b"27", 9, 9),
    (b"30", 10, 10),
    (b"31", 9, 11),
    (b"32", 8, 9),
    (b"33", 9, 9),
    (b"34", 9, 9),
    (b"36", 8, 9),
    (b"39", 6, 12),
    (b"40", 9, 9),
    (b"41", 9, 12),
    (b"43", 7, 13),
    (b"44", 9, 10),
    (b"45", 8, 8),
    (b"46", 7, 10),
    (b"47", 8, 12),
    (b"48", 9, 9),
    (b"49", 7, 13),
    (b"51", 8, 9),
    (b"52", 10, 11),
    (b"53", 7, 8),
    (b"54", 10, 11),
    (b"55", 10, 11),
    (b"56", 9, 9),
    (b"57", 8, 10),
    (b"58", 10, 10),
    (b"60", 8, 10),
    (b"61", 9, 10),
    (b"62", 8, 12),
    (b"63", 8, 10),
    (b"64", 8, 10),
    (b"65", 8, 8),
    (b"66", 8, 9),
    (b"81", 9, 10),
    (b"82", 8, 11),
    (b"84", 9, 10),
    (b"86", 10, 11),
    (b"90", 10, 10),
    (b"91", 10, 10),
    (b"92", 9, 10),
    (b"93", 9, 9),
    (b"94", 9, 9),
    (b"95", 7, 10),
    (b"98", 10, 10),
    (b"353", 7, 9),
    (b"351", 9, 9),
    (b"352", 5, 11),
    (b"354", 7, 9),
    (b"358", 6, 12),
    (b"420", 9, 9),
    (b"421", 9, 9),
    (b"380", 9, 9),
    (b"971", 8, 9),
    (b"972", 8, 9),
    (b"852", 8, 8),
    (b"853", 8, 8),
    (b"886", 8, 9),
];

/// The first two digits of the other country codes, which have three.
const OTHERS: [&[u8]; 14] =
    [b"21", b"22", b"23", b"24", b"25", b"26", b"29", b"35", b"37", b"38", b"42", b"50", b"59", b"67"];
const MORE: [&[u8]; 6] = [b"68", b"69", b"80", b"85", b"87", b"88"];
const LAST: [&[u8]; 4] = [b"96", b"97", b"99", b"28"];

/// The first two digits of codes of small countries, whose numbers have four digits or more.
const SHORT: [&[u8]; 8] = [b"24", b"29", b"37", b"50", b"59", b"67", b"68", b"69"];

/// Codes among those that nobody has.
const UNASSIGNED: [&[u8]; 8] = [b"210", b"214", b"215", b"384", b"990", b"991", b"997", b"999"];

/// The most digits of a number: E.164, section 6.
const LONGEST: usize = 15;

/// The fewest that are looked for.
pub const SHORTEST: usize = 7;

/// The digits from a place on, and where each group of them ends.
struct Digits {
    bytes: [u8; LONGEST + 2],
    count: usize,
    /// Ends of groups: how many digits there were, and where, from the beginning.
    ends: [(u8, u8); LONGEST + 2],
    groups: usize,
}

fn digits(pass: &Pass<'_>, start: usize) -> Digits {
    let mut found = Digits { bytes: [0; LONGEST + 2], count: 0, ends: [(0, 0); LONGEST + 2], groups: 0 };
    let mut gap = 0;
    for (place, byte) in pass.from(start).iter().enumerate() {
        if byte.is_ascii_digit() {
            let Some(digit) = found.bytes.get_mut(found.count) else { break };
            *digit = *byte;
            found.count += 1;
            gap = 0;
            if !pass.at(start + place + 1).is_ascii_digit() {
                if let Some(end) = found.ends.get_mut(found.groups) {
                    *end = (narrow(found.count), narrow(place + 1));
                }
                found.groups += 1;
            }
        } else {
            gap += 1;
            // A `+` behind a space begins another number.
            let is_next = *byte == b'+' && pass.at(start + place - 1) == b' ';
            if gap > 2 || is_next || !matches!(byte, b' ' | b'-' | b'.' | b'/' | b'(' | b')' | b'+') {
                break;
            }
        }
    }
    found
}

/// A group's end is within 51 bytes: at most three to each digit.
fn narrow(place: usize) -> u8 {
    u8::try_from(place).unwrap_or(u8::MAX)
}

impl Digits {
    /// The ends of groups, the last first: how many digits there were, and where in the text.
    fn ends(&self, start: usize) -> impl Iterator<Item = (usize, usize)> {
        let ends = self.ends.iter().take(self.groups).rev();
        ends.map(move |(count, end)| (usize::from(*count), start + usize::from(*end)))
    }

    /// Whether a country code that begins at a digit is written as one, or the whole number in one row.
    fn has_code(&self, from: usize) -> bool {
        let code = from + code_length(self.bytes.get(from..).unwrap_or_default());
        let mut ends = self.ends.iter().map(|(count, _)| usize::from(*count)).filter(|count| *count > from);
        ends.next().is_some_and(|count| count == code || count > from + 8)
    }
}

/// Whether a number may begin with so many digits in a row.
#[inline]
pub fn may_begin(pass: &Pass<'_>, start: usize, row: usize) -> bool {
    // A bare row of digits is a number from nine on, or where it begins with a zero or a `+`.
    let next = pass.at(start + row);
    let is_bare = !matches!(next, b' ' | b'-' | b'.' | b'/' | b'(' | b')' | b'+');
    !is_bare
        || row >= 9
        || matches!(pass.before(start), b'+')
        || matches!(pass.at(start), b'0')
        || matches!(next, b'x' | b'X')
}

/// How many digits the country code has that digits begin with.
fn code_length(digits: &[u8]) -> usize {
    let listed = COUNTRIES.iter().find(|(code, ..)| digits.starts_with(code));
    listed.map_or(3, |(code, ..)| code.len())
}

/// A number whose first digit is at a place. Says whether it was an international one.
pub fn find(pass: &mut Pass<'_>, start: usize) -> bool {
    let found = digits(pass, start);
    if found.count < SHORTEST {
        return false;
    }
    let before = pass.before(start);
    let is_plus = before == b'+' && !pass.before(start - 1).is_ascii_digit()
        || before == b'(' && pass.before(start - 1) == b'+';
    // ITU-T E.123: 00 is the prefix that most countries dial for a `+`.
    let is_dialled = found.bytes.starts_with(b"00")
        && !matches!(before, b'.' | b':' | b'/' | b'-' | b'+')
        && found.bytes.get(2) != Some(&b'0')
        && found.has_code(2);
    if is_plus || is_dialled {
        let skip = if is_plus { 0 } else { 2 };
        let value = |count| found.bytes.get(skip..count).unwrap_or_default();
        let fits = |digits: &[u8]| is_international(digits) && (is_plus || is_dialable(digits));
        let fitting = found.ends(start).find(|(count, end)| fits(value(*count)) && is_end(pass, *end));
        if let Some((_, end)) = fitting
            && (is_plus || !is_of_a_person(pass.near(start, end)))
        {
            let end = extension(pass, end);
            pass.hit(
                if is_plus { opened(pass, start) } else { start },
                end,
                Entity::Phone,
                if is_plus { 85 } else { 70 },
            );
            if is_plus {
                pass.skip_numbers_to(end);
            }
            return is_plus;
        }
    }
    national(pass, start, &found);
    false
}

/// A number without a country code is one where something says so.
fn national(pass: &mut Pass<'_>, start: usize, found: &Digits) {
    let is_row = start > 1 && pass.at(start - 2).is_ascii_digit();
    if matches!(pass.before(start), b'.' | b':') || pass.before(start) == b'/' && is_row || found.groups > 7 {
        return;
    }
    let Some((_, end)) =
        found.ends(start).find(|(count, end)| (SHORTEST..=LONGEST).contains(count) && is_end(pass, *end))
    else {
        return;
    };
    // A product's version: `Safari/6532.32.7`.
    if pass.before(start) == b'/' && pass.part(start, end).contains(&b'.') {
        return;
    }
    // A bare row of digits is shorter only where it begins with a zero.
    if found.groups == 1 && found.count < 9 && pass.at(start) != b'0' {
        return;
    }
    if !pass.near(start, end).has(Entity::Phone) {
        return;
    }
    let start = opened(pass, start);
    let end = extension(pass, end);
    pass.hit(start, end, Entity::Phone, 60);
}

/// Where the `+` and the bracket before a number begin: `(+30)`, `+(371)`.
fn opened(pass: &Pass<'_>, start: usize) -> usize {
    match (pass.before(start), pass.before(start.saturating_sub(1))) {
        (b'(', b'+') | (b'+', b'(') => start - 2,
        (b'(' | b'+', _) => start - 1,
        _ => start,
    }
}

/// Whether a number may end at a place: not in a word, a decimal or a time.
fn is_end(pass: &Pass<'_>, end: usize) -> bool {
    let next = pass.at(end);
    let is_extension = matches!(next, b'x' | b'X') && pass.at(end + 1).is_ascii_digit();
    let is_time = next == b':' && pass.at(end + 1).is_ascii_digit();
    is_extension || !next.is_ascii_alphanumeric() && !is_time
}

/// The end of an extension behind a number: `x123`, ` ext. 123`.
fn extension(pass: &Pass<'_>, end: usize) -> usize {
    let rest = pass.from(end);
    let forms: [&[u8]; 6] = [b"x", b" x", b" ext. ", b" ext ", b"ext", b" extension "];
    for form in forms {
        let head = rest.get(..form.len()).unwrap_or_default();
        let digits = rest
            .get(form.len()..)
            .unwrap_or_default()
            .iter()
            .take(7)
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        if head.eq_ignore_ascii_case(form) && (1..=6).contains(&digits) {
            return end + form.len() + digits;
        }
    }
    end
}

/// Whether the digits are a country code and a national number of a length that the country has.
fn is_international(digits: &[u8]) -> bool {
    let listed = COUNTRIES.iter().find(|(code, ..)| digits.starts_with(code));
    if let Some((code, least, most)) = listed {
        return (*least..=*most).contains(&(digits.len() - code.len()));
    }
    if UNASSIGNED.iter().any(|code| digits.starts_with(code)) {
        return false;
    }
    let mut others = OTHERS.iter().chain(&MORE).chain(&LAST);
    let least = if SHORT.iter().any(|code| digits.starts_with(code)) { 7 } else { 9 };
    others.any(|code| digits.starts_with(code)) && (least..=LONGEST).contains(&digits.len())
}

/// Whether the words around speak of the number of a person, and of no telephone.
fn is_of_a_person(near: Set) -> bool {
    !near.has(Entity::Phone) && near.iter().any(|entity| entity.group() == Group::Identity)
}

/// Country codes whose national numbers may begin with a zero.
const ZEROS: [&[u8]; 6] = [b"39", b"225", b"229", b"241", b"242", b"378"];

/// Whether digits that no `+` stands before can be such a number: most national numbers begin with no zero, and those of North America begin with
/// an area and an exchange of 200 or more.
fn is_dialable(digits: &[u8]) -> bool {
    if digits.len() < 9 {
        return false;
    }
    let is_high = |place: usize| digits.get(place).is_some_and(|digit| *digit > b'1');
    match digits.first() {
        Some(b'1') => is_high(1) && is_high(4),
        Some(b'7') => is_high(1),
        _ if ZEROS.iter().any(|code| digits.starts_with(code)) => true,
        _ => digits.get(code_length(digits)) != Some(&b'0'),
    }
}

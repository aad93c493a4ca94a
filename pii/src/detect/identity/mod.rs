//! Numbers that a state, a bank or an insurance gives: one rule for each shape, one file for each part of the world.

mod americas;
mod asia_pacific;
mod europe_east;
mod europe_north;
mod europe_west;
mod things;

use crate::{
    checksum::{sums, weights},
    context::THRESHOLD,
    entity::{Entity, Set},
};

/// A shape of a number, and what must hold for it.
#[derive(Debug)]
pub struct Rule {
    /// What it is.
    pub entity: Entity,
    /// The compact form, without separators: `A` a letter, `9` a digit, `*` either.
    pub shape: &'static str,
    /// The checksum; the value has the shape, its letters in upper case.
    pub check: fn(&[u8]) -> bool,
    /// What a real number has besides: a date, a region.
    pub plausible: fn(&[u8]) -> bool,
    /// Confidence of the compact form alone, of 100.
    pub bare: u8,
    /// How the number is written, `x` for each letter or digit, and the confidence when it is.
    pub formats: &'static [(&'static str, u8)],
}

const fn rule(entity: Entity, shape: &'static str, check: fn(&[u8]) -> bool) -> Rule {
    Rule { entity, shape, check, plausible: any, bare: 30, formats: &[] }
}

impl Rule {
    const fn plausible(mut self, plausible: fn(&[u8]) -> bool) -> Self {
        self.plausible = plausible;
        self
    }

    const fn bare(mut self, bare: u8) -> Self {
        self.bare = bare;
        self
    }

    const fn formats(mut self, formats: &'static [(&'static str, u8)]) -> Self {
        self.formats = formats;
        self
    }

    /// Whether the compact value has the shape.
    #[inline]
    pub fn fits(&self, value: &[u8]) -> bool {
        value.len() == self.shape.len()
            && value.iter().zip(self.shape.bytes()).all(|(byte, class)| match class {
                b'9' => byte.is_ascii_digit(),
                b'A' => byte.is_ascii_uppercase(),
                _ => true,
            })
    }

    /// The confidence that the way of writing gives.
    pub fn confidence(&self, written: &[u8]) -> u8 {
        if written.len() == self.shape.len() {
            return self.bare;
        }
        let format = self.formats.iter().find(|(format, _)| is_written(written, format));
        format.map_or(self.bare.min(30), |(_, confidence)| *confidence)
    }
}

/// Whether a text is written in a format; `+` is a space in a query.
fn is_written(text: &[u8], format: &str) -> bool {
    text.len() == format.len()
        && text.iter().zip(format.bytes()).all(|(byte, class)| match class {
            b'x' => byte.is_ascii_alphanumeric(),
            b' ' => matches!(byte, b' ' | b'+'),
            other => *byte == other,
        })
}

fn any(_: &[u8]) -> bool {
    true
}

/// Whether day and month can be those of a date.
fn is_date(day: u64, month: u64) -> bool {
    (1..=31).contains(&day) && (1..=12).contains(&month)
}

/// Whether not all digits are equal.
fn is_varied(value: &[u8]) -> bool {
    value.iter().any(|byte| Some(byte) != value.first())
}

/// The longest compact form of a rule.
pub const LONGEST: usize = 18;

/// A rule, and where its shape has letters and digits: a bit for each place.
#[derive(Debug)]
struct Shaped {
    rule: &'static Rule,
    letters: u64,
    digits: u64,
}

/// The rules of a length, and where any of their shapes may have letters.
#[derive(Debug)]
struct Same {
    rules: Vec<Shaped>,
    letters: u64,
    /// Each shape once: where it has letters, and where digits.
    shapes: Vec<(u64, u64)>,
    /// The entities of those that may be digits alone, and whether one of them needs no word nearby.
    entities: Set,
    is_sure: bool,
    /// The checksums of those.
    rows: Vec<fn(&[u8]) -> bool>,
}

/// The rules, by the length of the compact form.
#[derive(Debug)]
pub struct Rules([Same; LONGEST + 1]);

impl Rules {
    /// The rules of the entities that are switched on.
    pub fn new(on: Set) -> Self {
        let mut rules = Self(
            [const {
                Same {
                    rules: Vec::new(),
                    letters: 0,
                    shapes: Vec::new(),
                    entities: Set::EMPTY,
                    is_sure: false,
                    rows: Vec::new(),
                }
            }; LONGEST + 1],
        );
        for rule in all().filter(|rule| on.has(rule.entity)) {
            let places = |class: u8| {
                let places = rule.shape.bytes().enumerate().filter(|(_, byte)| *byte == class);
                places.fold(0, |bits, (place, _)| bits | 1 << place)
            };
            if let Some(same) = rules.0.get_mut(rule.shape.len()) {
                let digits = places(b'9');
                same.letters |= !digits;
                let shape = (places(b'A'), digits);
                if !same.shapes.contains(&shape) {
                    same.shapes.push(shape);
                }
                if places(b'A') == 0 {
                    same.entities = same.entities.with(rule.entity);
                    same.is_sure |= rule.bare >= THRESHOLD;
                    same.rows.push(rule.check);
                }
                same.rules.push(Shaped { rule, letters: places(b'A'), digits });
            }
        }
        rules
    }

    /// The entities that so many digits may be.
    pub fn entities(&self, length: usize) -> Set {
        self.0.get(length).map_or(Set::EMPTY, |same| same.entities)
    }

    /// Whether so many digits in a row are none of these without a word nearby, and there are so many of these that it is worth a look for one.
    pub fn needs_word(&self, length: usize) -> bool {
        const FEW: usize = 6;
        self.0.get(length).is_some_and(|same| !same.is_sure && same.rules.len() > FEW)
    }

    /// Whether digits have the checksum of any of their rules.
    pub fn row_fits(&self, digits: &[u8]) -> bool {
        self.0.get(digits.len()).is_some_and(|same| same.rows.iter().any(|check| check(digits)))
    }

    /// Whether a compact value of a length may have the shape of a rule; the bits say which of its characters are letters.
    pub fn may_fit(&self, length: usize, letters: u64) -> bool {
        let letters = letters & ((1 << length.min(63)) - 1);
        let same = self.0.get(length).filter(|same| letters & !same.letters == 0);
        same.is_some_and(|same| {
            same.shapes.iter().any(|(must, digits)| digits & letters == 0 && must & !letters == 0)
        })
    }

    /// The rules that a compact value of a length has the shape of; the bits say which of its characters are letters, the others are digits.
    #[inline]
    pub fn fitting(&self, length: usize, letters: u64) -> impl Iterator<Item = &'static Rule> {
        let letters = letters & ((1 << length) - 1);
        let same = self.0.get(length).filter(|same| letters & !same.letters == 0);
        let rules = same.map_or(&[][..], |same| same.rules.as_slice()).iter();
        let fitting =
            rules.filter(move |shaped| shaped.digits & letters == 0 && shaped.letters & !letters == 0);
        fitting.map(|shaped| shaped.rule)
    }
}

/// Whether eight digits, the first lowest, may be a number of any rule for so many: all their checksums are of two sums by 11, and most digits have none.
#[inline]
pub fn may_fit_eight(digits: u64) -> bool {
    let (first, second) = sums(
        digits,
        const { &weights([8, 7, 6, 5, 4, 3, 2]) },
        const { &weights([10, 7, 8, 4, 6, 3, 5, 1]) },
    );
    let rest = first % 11;
    let last = (digits >> 56 & 15) as u32;
    // The last digit is the remainder of the first sum, or what is left to 11, where 10 is 0 and 11 is 1.
    second.is_multiple_of(11) || rest == last || (11 - rest) % 10 == last
}

/// Every rule.
fn all() -> impl Iterator<Item = &'static Rule> {
    things::RULES
        .iter()
        .chain(americas::RULES)
        .chain(europe_west::RULES)
        .chain(europe_north::RULES)
        .chain(europe_east::RULES)
        .chain(asia_pacific::RULES)
}

/// Whether the compact value has a shape and the checksum of the entity; `None` if the entity has no rules.
pub fn is_valid(entity: Entity, value: &[u8]) -> Option<bool> {
    let mut rules = all().filter(|rule| rule.entity == entity).peekable();
    rules.peek()?;
    Some(rules.any(|rule| rule.fits(value) && (rule.check)(value)))
}

#[cfg(test)]
mod tests {
    use super::{all, may_fit_eight};

    #[test]
    fn no_rule_of_eight_digits_takes_what_is_left_out_before_it() {
        let rules: Vec<_> = all()
            .filter(|rule| rule.shape.len() == 8 && rule.shape.bytes().all(|class| class != b'A'))
            .collect();
        let (mut taken, mut left_out) = (vec![0; rules.len()], 0);
        // A step that is prime to 10^8 goes through all digits at all places.
        for turn in 0..400_000_u64 {
            let digits = format!("{:08}", turn * 29_394_931 % 100_000_000);
            let digits: [u8; 8] = digits.as_bytes().try_into().unwrap();
            let may_fit = may_fit_eight(u64::from_le_bytes(digits));
            left_out += usize::from(!may_fit);
            for (rule, taken) in rules.iter().zip(&mut taken) {
                if (rule.check)(&digits) {
                    *taken += 1;
                    assert!(may_fit, "{:?} {digits:?}", rule.entity);
                }
            }
        }
        assert!(rules.len() >= 4 && taken.iter().all(|taken| *taken > 10_000), "{taken:?}");
        assert!(left_out > 250_000, "{left_out}");
    }
}

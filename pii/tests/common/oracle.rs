//! Whether a value is still in an output, in any form.

use super::{ENCODINGS, Encode, html};

/// The form in which a value is still in an output, if it is in one.
pub fn leak(value: &str, output: &str) -> Option<&'static str> {
    Output::new(output).leak(&Forms::of(value))
}

/// A value in every form that it is looked for in.
pub struct Forms {
    /// As it is encoded, with a name, and in small letters.
    encoded: Vec<(&'static str, String, String)>,
    /// Letters and digits alone: what separates them may have been replaced. Of fewer there are some in any text.
    plain: Vec<String>,
    /// Digits alone, where there are no letters.
    digits: Option<String>,
}

impl Forms {
    /// Those of a value.
    pub fn of(value: &str) -> Self {
        let form = |(name, encode): &(&'static str, Encode)| {
            let encoded = encode(value);
            let lower = encoded.to_ascii_lowercase();
            (*name, encoded, lower)
        };
        let joined = [value.to_owned(), html(value)].map(|form| plain(&form.to_ascii_lowercase()));
        let all_digits = value.chars().filter(|c| !c.is_ascii_digit()).all(|c| !c.is_ascii_alphabetic());
        Self {
            encoded: ENCODINGS.iter().map(form).collect(),
            plain: joined.into_iter().filter(|form| form.len() >= 10).collect(),
            digits: Some(digits(value)).filter(|digits| all_digits && digits.len() >= 9),
        }
    }
}

/// What was written, ready for many values to be looked for.
pub struct Output<'t> {
    text: &'t str,
    lower: Searched,
    plain: Searched,
    digits: Searched,
}

impl<'t> Output<'t> {
    /// Readies a text.
    pub fn new(text: &'t str) -> Self {
        let lower = text.to_ascii_lowercase();
        Self {
            text,
            plain: Searched::new(plain(&lower)),
            digits: Searched::new(digits(text)),
            lower: Searched::new(lower),
        }
    }

    /// The form in which a value is in the text, if it is.
    pub fn leak(&self, forms: &Forms) -> Option<&'static str> {
        for (name, encoded, lower) in &forms.encoded {
            if self.lower.has(lower) && (!name.starts_with("base64") || self.text.contains(encoded)) {
                return Some(name);
            }
        }
        if forms.plain.iter().any(|form| self.plain.has(form)) {
            return Some("without what separates it");
        }
        forms.digits.as_ref().is_some_and(|digits| self.digits.has(digits)).then_some("digits")
    }
}

/// A text, and which four bytes in a row it has, by their hashes: what has others is not looked for in it.
struct Searched {
    text: String,
    fours: Vec<bool>,
}

impl Searched {
    fn new(text: String) -> Self {
        let mut fours = vec![false; 1 << 16];
        for four in text.as_bytes().windows(4) {
            fours[hash(four)] = true;
        }
        Self { text, fours }
    }

    fn has(&self, needle: &str) -> bool {
        needle.as_bytes().windows(4).all(|four| self.fours[hash(four)]) && self.text.contains(needle)
    }
}

/// Multiplicative hashing (Knuth, The Art of Computer Programming, 6.4) of four bytes into 16 bits.
fn hash(four: &[u8]) -> usize {
    let word = four.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte));
    usize::try_from(word.wrapping_mul(0x9e37_79b1) >> 16).unwrap()
}

fn plain(text: &str) -> String {
    text.chars().filter(char::is_ascii_alphanumeric).collect()
}

fn digits(text: &str) -> String {
    text.chars().filter(char::is_ascii_digit).collect()
}

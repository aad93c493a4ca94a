//! FNV-1a of 32 bits, as GrowthBook has it.

use filter_kit::choices;

const PRIME: u32 = 0x0100_0193;

/// What of a text is hashed, one after the other. For ASCII they are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Units {
    /// UTF-16 code units: GrowthBook's reference and its SDK for JavaScript. Bytes that are no UTF-8 count as U+FFFD, as a decoder would have it.
    #[default]
    Utf16,
    /// The bytes of UTF-8: the SDKs for Go, PHP and Ruby among others.
    Utf8,
}

choices!(Units { "utf-16" => Utf16, "utf-8" => Utf8 });

/// A hash under way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fnv {
    hash: u32,
    units: Units,
}

impl Fnv {
    pub(super) fn new(units: Units) -> Self {
        Self { hash: 0x811c_9dc5, units }
    }

    /// The hash with more of the text.
    #[must_use]
    pub(super) fn with(self, text: &[u8]) -> Self {
        let step = |hash: u32, unit: u32| (hash ^ unit).wrapping_mul(PRIME);
        let hash = if self.units == Units::Utf8 || text.is_ascii() {
            text.iter().fold(self.hash, |hash, byte| step(hash, u32::from(*byte)))
        } else {
            let text = String::from_utf8_lossy(text);
            text.encode_utf16().fold(self.hash, |hash, unit| step(hash, u32::from(unit)))
        };
        Self { hash, ..self }
    }

    pub(super) fn sum(self) -> u32 {
        self.hash
    }

    /// The hash of the sum's decimal digits.
    pub(super) fn of_decimal(self) -> u32 {
        let mut digits = [0; 10];
        let (mut rest, mut first) = (self.hash, digits.len());
        for (place, digit) in digits.iter_mut().enumerate().rev() {
            *digit = b'0' + u8::try_from(rest % 10).unwrap_or(0);
            rest /= 10;
            first = place;
            if rest == 0 {
                break;
            }
        }
        Self::new(Units::Utf8).with(digits.get(first..).unwrap_or_default()).sum()
    }
}

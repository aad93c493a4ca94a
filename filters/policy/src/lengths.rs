//! Lengths of texts, as a set.

/// Lengths of 0 to 127; a longer one counts modulo 128. In two words: wasm has no operations on 128 bits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lengths {
    low: u64,
    high: u64,
}

impl Lengths {
    /// Puts a length in.
    pub fn add(&mut self, length: usize) {
        let word = if length & 64 == 0 { &mut self.low } else { &mut self.high };
        *word |= 1 << (length & 63);
    }

    /// Whether a length is in.
    #[inline]
    pub fn has(self, length: usize) -> bool {
        let word = if length & 64 == 0 { self.low } else { self.high };
        word >> (length & 63) & 1 != 0
    }

    /// Whether none is in.
    pub fn is_empty(self) -> bool {
        self.low | self.high == 0
    }

    /// Takes the least out.
    #[inline]
    pub fn next(&mut self) -> Option<usize> {
        let (word, first) = if self.low == 0 { (&mut self.high, 64) } else { (&mut self.low, 0) };
        let least = word.trailing_zeros() as usize;
        *word &= word.checked_sub(1)?;
        Some(first + least)
    }
}

#[cfg(test)]
mod tests {
    use super::Lengths;

    #[test]
    fn lengths_come_out_in_order() {
        let mut lengths = Lengths::default();
        assert!(lengths.is_empty() && lengths.next().is_none());
        for length in [127, 0, 64, 63, 3, 3 + 128] {
            lengths.add(length);
        }
        assert!(lengths.has(3) && lengths.has(131) && !lengths.has(4) && !lengths.is_empty());
        assert_eq!(std::iter::from_fn(|| lengths.next()).collect::<Vec<_>>(), [0, 3, 63, 64, 127]);
    }
}

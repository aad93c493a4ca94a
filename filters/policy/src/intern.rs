//! Texts that are each kept once, in one piece of memory.

/// The first value of a hash, and its step: FNV-1a with 32 bits (draft-eastlake-fnv).
pub const BASIS: u32 = 0x811c_9dc5;

/// A hash with one more byte.
#[inline]
pub const fn step(hash: u32, byte: u8) -> u32 {
    (hash ^ byte as u32).wrapping_mul(0x0100_0193)
}

/// A hash with more bytes.
#[inline]
pub fn steps(hash: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(hash, |hash, byte| step(hash, *byte))
}

/// The hash of a text.
pub fn hash(text: &[u8]) -> u32 {
    steps(BASIS, text)
}

/// A text of an [`Interner`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text(u32);

impl Text {
    /// Its place among all texts.
    pub fn index(self) -> usize {
        self.0 as usize
    }

    /// Its place among all texts.
    pub fn number(self) -> u32 {
        self.0
    }
}

/// Texts by their number, and numbers by their text.
///
/// Only texts of the configuration are ever put in, so that no client can choose what falls together.
#[derive(Debug, Clone, Default)]
pub struct Interner {
    bytes: Vec<u8>,
    ends: Vec<u32>,
    /// Numbers by the hash of their text, each plus one; 0 is a free place. A power of two, at most half full.
    slots: Vec<u32>,
}

impl Interner {
    /// The text's number. Equal texts have one.
    pub fn intern(&mut self, text: &[u8]) -> Text {
        if self.slots.len() <= self.ends.len() * 2 {
            self.grow();
        }
        match self.place(text) {
            Ok(known) => known,
            Err(place) => {
                let number = u32::try_from(self.ends.len()).unwrap_or(u32::MAX);
                self.bytes.extend_from_slice(text);
                self.ends.push(u32::try_from(self.bytes.len()).unwrap_or(u32::MAX));
                if let Some(slot) = self.slots.get_mut(place) {
                    *slot = number + 1;
                }
                Text(number)
            }
        }
    }

    /// The number of a text that is there.
    pub fn find(&self, text: &[u8]) -> Option<Text> {
        if self.slots.is_empty() { None } else { self.place(text).ok() }
    }

    /// The text.
    pub fn get(&self, text: Text) -> &[u8] {
        let end = self.ends.get(text.index()).copied().unwrap_or_default() as usize;
        let start = text.index().checked_sub(1).and_then(|before| self.ends.get(before)).copied();
        self.bytes.get(start.unwrap_or_default() as usize..end).unwrap_or_default()
    }

    /// The text of a number.
    pub fn at(&self, number: u32) -> &[u8] {
        self.get(Text(number))
    }

    /// How many texts there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Gives back the memory that was only for growing.
    pub fn shrink(&mut self) {
        self.bytes.shrink_to_fit();
        self.ends.shrink_to_fit();
    }

    /// As [`shrink`](Self::shrink), and without looking texts up from now on.
    pub fn seal(&mut self) {
        self.slots = Vec::new();
        self.shrink();
    }

    fn place(&self, text: &[u8]) -> Result<Text, usize> {
        let mask = self.slots.len().wrapping_sub(1);
        let mut place = hash(text) as usize & mask;
        loop {
            match self.slots.get(place) {
                Some(0) | None => return Err(place),
                Some(number) if self.get(Text(number - 1)) == text => return Ok(Text(number - 1)),
                Some(_) => place = (place + 1) & mask,
            }
        }
    }

    fn grow(&mut self) {
        let size = (self.slots.len() * 2).max(16);
        self.slots = vec![0; size];
        for number in 0..u32::try_from(self.ends.len()).unwrap_or(u32::MAX) {
            let mut place = hash(self.get(Text(number))) as usize & (size - 1);
            while self.slots.get(place).is_some_and(|slot| *slot != 0) {
                place = (place + 1) & (size - 1);
            }
            if let Some(slot) = self.slots.get_mut(place) {
                *slot = number + 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Interner;

    #[test]
    fn a_text_is_kept_once_and_found_again() {
        let mut texts = Interner::default();
        let numbers: Vec<_> = (0..5000).map(|n| texts.intern(format!("/a/{n}").as_bytes())).collect();
        for (n, number) in numbers.iter().enumerate() {
            let text = format!("/a/{n}");
            assert_eq!(texts.get(*number), text.as_bytes());
            assert_eq!(texts.intern(text.as_bytes()), *number);
            assert_eq!(texts.find(text.as_bytes()), Some(*number));
        }
        assert_eq!(texts.find(b"/b"), None);
        assert_eq!(texts.len(), 5000);
        let empty = texts.intern(b"");
        assert_eq!(texts.get(empty), b"");
        assert_eq!(Interner::default().find(b""), None);
    }
}

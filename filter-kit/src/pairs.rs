//! A header map as the host hands it over, read in place.

use crate::{HostBytes, reader::is_same};

/// The pairs of a header map, in the host's own wire format: a count, the lengths of every name and value, then the bytes of each name and
/// value with a NUL after it, numbers as 32-bit little-endian (Proxy-Wasm ABI 0.2.1).
///
/// One host call fetches the map; nothing is copied out of it. A malformed buffer reads as an empty map.
#[derive(Debug, Default)]
pub struct Pairs {
    buffer: HostBytes,
}

impl Pairs {
    /// Takes the buffer that the host filled.
    pub fn new(buffer: impl Into<HostBytes>) -> Self {
        Self { buffer: buffer.into() }
    }

    /// Writes pairs in the wire format.
    pub fn encode<'a>(pairs: impl IntoIterator<Item = (&'a [u8], &'a [u8])> + Clone) -> Vec<u8> {
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes();
        let mut count = 0_u32;
        let mut buffer = vec![0; 4];
        for (name, value) in pairs.clone() {
            count += 1;
            buffer.extend(length(name));
            buffer.extend(length(value));
        }
        for (name, value) in pairs {
            for part in [name, value] {
                buffer.extend(part);
                buffer.push(0);
            }
        }
        if let Some(head) = buffer.first_chunk_mut() {
            *head = count.to_le_bytes();
        }
        buffer
    }

    /// The buffer as the host filled it.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buffer
    }

    /// The pairs in the map's order; names are in lower case, values are any bytes.
    pub fn iter(&self) -> Iter<'_> {
        let (lengths, bytes) = self.parts();
        Iter { lengths, bytes }
    }

    /// The values of a header, in order. The name is in lower case.
    pub fn all<'a, 'n>(&'a self, name: &'n str) -> All<'a, 'n> {
        let (lengths, bytes) = self.parts();
        All { lengths, bytes, at: 0, name: name.as_bytes() }
    }

    /// The first value of a header. The name is in lower case.
    pub fn first(&self, name: &str) -> Option<&[u8]> {
        self.all(name).next()
    }

    /// Calls `each` with every name whose length, modulo 64, is a bit of `lengths`: for a caller that looks for many names at once.
    pub fn each_name(&self, lengths: u64, each: &mut dyn FnMut(&[u8])) {
        let (pairs, bytes) = self.parts();
        let mut at = 0_usize;
        for pair in pairs {
            let (name_length, value_length) = split(*pair);
            let end = at.wrapping_add(name_length);
            if lengths >> (name_length % 64) & 1 != 0
                && let Some(name) = bytes.get(at..end)
            {
                each(name);
            }
            at = end.wrapping_add(value_length).wrapping_add(2);
        }
    }

    /// The lengths of the pairs, eight bytes each, and the bytes behind them.
    fn parts(&self) -> (&[[u8; 8]], &[u8]) {
        let Some((count, rest)) = self.buffer.split_first_chunk() else { return (&[], &[]) };
        let size = (u32::from_le_bytes(*count) as usize).saturating_mul(8);
        let Some((lengths, bytes)) = rest.split_at_checked(size) else { return (&[], &[]) };
        (lengths.as_chunks().0, bytes)
    }
}

impl<'a> IntoIterator for &'a Pairs {
    type Item = (&'a [u8], &'a [u8]);
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

/// Walks the pairs of a map.
#[derive(Debug, Clone)]
pub struct Iter<'a> {
    lengths: &'a [[u8; 8]],
    bytes: &'a [u8],
}

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (lengths, rest) = self.lengths.split_first()?;
        self.lengths = rest;
        let (name_length, value_length) = split(*lengths);
        let (name, rest) = self.bytes.split_at_checked(name_length)?;
        let (value, rest) = rest.get(1..)?.split_at_checked(value_length)?;
        self.bytes = rest.get(1..)?;
        Some((name, value))
    }
}

/// Walks the values of a header: it looks at the lengths of names, and at bytes only where the length is right.
#[derive(Debug, Clone)]
pub struct All<'a, 'n> {
    lengths: &'a [[u8; 8]],
    bytes: &'a [u8],
    at: usize,
    name: &'n [u8],
}

impl<'a> Iterator for All<'a, '_> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        while let Some((lengths, rest)) = self.lengths.split_first() {
            self.lengths = rest;
            let (name_length, value_length) = split(*lengths);
            // Lengths that are too large wrap round and end in a range that is not there.
            let name = self.at;
            let value = name.wrapping_add(name_length).wrapping_add(1);
            let end = value.wrapping_add(value_length);
            self.at = end.wrapping_add(1);
            if name_length == self.name.len()
                && is_same(self.bytes.get(name..value.wrapping_sub(1))?, self.name)
            {
                return self.bytes.get(value..end);
            }
        }
        None
    }
}

/// The lengths of a name and its value.
fn split(lengths: [u8; 8]) -> (usize, usize) {
    let both = u64::from_le_bytes(lengths);
    ((both & 0xffff_ffff) as usize, (both >> 32) as usize)
}

#[cfg(test)]
mod tests {
    use super::Pairs;
    use proptest::prelude::*;

    #[test]
    fn pairs_are_read_as_they_were_written() {
        let written: Vec<(&[u8], &[u8])> =
            vec![(b":path", b"/"), (b"cookie", b"a=\xff\0b"), (b"empty", b""), (b"cookie", b"c=d")];
        let pairs = Pairs::new(Pairs::encode(written.iter().copied()));
        assert_eq!(pairs.iter().collect::<Vec<_>>(), written);
        assert_eq!(pairs.first("cookie"), Some(&b"a=\xff\0b"[..]));
        assert_eq!(pairs.all("cookie").count(), 2);
        assert_eq!(pairs.first("empty"), Some(&b""[..]));
        assert_eq!(pairs.first("absent"), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_some_map(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let pairs = Pairs::new(bytes);
            prop_assert!(pairs.iter().count() <= 25);
            let mut names = Vec::new();
            pairs.each_name(u64::MAX, &mut |name| names.push(name.to_vec()));
            // A walk over names agrees with the walk, and so does a lookup, as long as the walk gets.
            prop_assert!(pairs.iter().zip(&names).all(|((name, _), other)| name == other));
            for (name, _) in &pairs {
                if let Ok(text) = std::str::from_utf8(name) {
                    let walked = pairs.iter().find(|(other, _)| *other == name).map(|(_, value)| value);
                    prop_assert_eq!(pairs.first(text), walked);
                }
            }
        }
    }
}

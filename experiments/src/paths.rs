//! Which experiments a path rules out.

/// Experiments by what the path must be. Of many experiments most are for other pages, and one look at the path's first bytes tells.
#[derive(Debug, Default)]
pub struct Paths {
    tests: Vec<Test>,
    /// The experiments of all tests.
    bits: u128,
}

#[derive(Debug)]
struct Test {
    /// The first bytes of what the path must be, and which of the eight count.
    head: u64,
    mask: u64,
    text: Box<[u8]>,
    /// Whether that is the whole path, or whole segments at its beginning.
    is_whole: bool,
    /// The experiments that it is for.
    bits: u128,
}

impl Paths {
    /// Adds an experiment that is only for these paths.
    pub fn add(&mut self, text: &[u8], is_whole: bool, bit: u128) {
        self.bits |= bit;
        let same = |test: &&mut Test| *test.text == *text && test.is_whole == is_whole;
        if let Some(test) = self.tests.iter_mut().find(same) {
            test.bits |= bit;
            return;
        }
        let mask = text.iter().take(8).fold(0, |mask, _| mask << 8 | 0xff);
        self.tests.push(Test { head: head(text), mask, text: text.into(), is_whole, bits: bit });
    }

    /// Whether no experiment depends on the path alone.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.tests.is_empty()
    }

    /// The experiments that are for other paths.
    #[inline(never)]
    pub fn ruled_out(&self, path: &[u8]) -> u128 {
        let begin = head(path);
        let mut out = self.bits;
        for test in &self.tests {
            if begin & test.mask == test.head && test.holds(path) {
                out &= !test.bits;
            }
        }
        out
    }
}

impl Test {
    fn holds(&self, path: &[u8]) -> bool {
        let rest = path.strip_prefix(&*self.text).map(<[u8]>::first);
        rest.is_some_and(|next| next.is_none() || !self.is_whole && next == Some(&b'/'))
    }
}

/// The first eight bytes, zeros behind a shorter text.
#[inline]
fn head(text: &[u8]) -> u64 {
    match text.first_chunk() {
        Some(head) => u64::from_le_bytes(*head),
        None => text.iter().rev().fold(0, |head, byte| head << 8 | u64::from(*byte)),
    }
}

#[cfg(test)]
mod tests {
    use super::Paths;

    #[test]
    fn a_path_rules_out_what_is_for_others() {
        let mut paths = Paths::default();
        for (text, is_whole, bit) in [
            ("/shop", false, 1),
            ("/shop/cart", true, 2),
            ("", false, 4),
            ("/checkout/now", false, 8),
            ("/shop", false, 16),
        ] {
            paths.add(text.as_bytes(), is_whole, bit);
        }
        for (path, out) in [
            ("/shop", 2 | 8),
            ("/shop/cart", 8),
            ("/shop/cart/1", 2 | 8),
            ("/shopping", 1 | 2 | 8 | 16),
            ("/checkout/now/1", 1 | 2 | 16),
            ("/checkout/nowhere", 1 | 2 | 8 | 16),
            ("/", 1 | 2 | 8 | 16),
            ("", 1 | 2 | 8 | 16),
            ("*", 1 | 2 | 4 | 8 | 16),
        ] {
            assert_eq!(paths.ruled_out(path.as_bytes()), out, "{path}");
        }
    }
}

//! An index of a list by hashes of its items: open addressing, a place a `u32`.

/// Places of a list's items, by their hash; 0 is none, and others one more than the place. The count is a power of two, and a quarter of them is free.
#[derive(Debug, Default)]
pub struct Places(Vec<u32>);

impl Places {
    /// The places of the items that may have this hash.
    pub fn of(&self, hash: u64) -> impl Iterator<Item = usize> {
        let mask = self.0.len().wrapping_sub(1);
        let mut at = slot(hash) & mask;
        std::iter::from_fn(move || {
            let place = (*self.0.get(at)? as usize).checked_sub(1);
            at = (at + 1) & mask;
            place
        })
    }

    /// Takes in the last of so many items. Where there is no room for it, all of them are taken in again, by their hashes; what has none is not found.
    pub fn add_last(&mut self, count: usize, hash: impl Fn(usize) -> Option<u64>) {
        let is_full = (count + 1) * 4 > self.0.len() * 3;
        if is_full {
            self.0 = vec![0; (self.0.len() * 2).max(64)];
        }
        for place in if is_full { 0 } else { count.saturating_sub(1) }..count {
            if let Some(hash) = hash(place) {
                self.put(hash, place);
            }
        }
    }

    fn put(&mut self, hash: u64, place: usize) {
        let mask = self.0.len().wrapping_sub(1);
        let mut at = slot(hash) & mask;
        while let Some(entry) = self.0.get_mut(at) {
            if *entry == 0 {
                *entry = u32::try_from(place + 1).unwrap_or(0);
                return;
            }
            at = (at + 1) & mask;
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the low bits are as good as the others")]
fn slot(hash: u64) -> usize {
    (hash >> 32 ^ hash) as usize
}

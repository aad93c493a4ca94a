//! So many in a second.

use std::cell::Cell;

const SECOND: u64 = 1_000_000_000;

/// A bound on how often something is done: so many times in a second, and as many at once where there was none before (GCRA, ITU-T I.371).
#[derive(Debug)]
pub struct Bucket {
    /// The time from one to the next, in nanoseconds.
    period: u64,
    /// When the bucket is full again, in nanoseconds since 1970.
    full: Cell<u64>,
}

impl Bucket {
    /// A bucket of so many, at least one, and that many more each second.
    pub fn new(per_second: u64) -> Self {
        Self { period: SECOND / per_second.max(1), full: Cell::new(0) }
    }

    /// Takes one, where there is one, at a time in nanoseconds since 1970. A clock that goes back empties the bucket, for a second at most.
    pub fn take(&self, now: u64) -> bool {
        let most = now.saturating_add(SECOND);
        let full = self.full.get().clamp(now, most);
        let after = full.saturating_add(self.period);
        self.full.set(if after > most { full } else { after });
        after <= most
    }
}

#[cfg(test)]
mod tests {
    use super::{Bucket, SECOND};

    #[test]
    fn so_many_are_had_in_a_second_and_no_more() {
        let bucket = Bucket::new(3);
        let at = |now| (0..9).filter(|_| bucket.take(now)).count();
        let day = 86_400 * SECOND;
        assert_eq!([at(day), at(day), at(day + SECOND / 2), at(day + SECOND)], [3, 0, 1, 2]);
        assert_eq!([at(day + 9 * SECOND), at(day), at(day + SECOND)], [3, 0, 3]);
        assert!(Bucket::new(0).take(u64::MAX - 5 * SECOND));
    }
}

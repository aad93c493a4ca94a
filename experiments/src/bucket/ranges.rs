//! Who owns which numbers.

/// Owners of ranges of whole numbers that do not overlap, as runs of neighbours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ranges {
    /// The end of each run (exclusive), and its owner. What follows the last run is nobody's.
    runs: Vec<(u64, u16)>,
}

/// How many runs are faster to walk than to search.
const FEW: usize = 8;

/// The owner of a gap.
const NOBODY: u16 = u16::MAX;

impl Ranges {
    /// Takes ranges `start..end` with their owners, in any order. An empty one owns nothing; where two overlap, which the configuration refuses,
    /// the one that starts first has it.
    #[inline(never)]
    pub fn new(ranges: &[(u64, u64, u16)]) -> Self {
        let mut order: Vec<(u64, u64, u16)> = Vec::new();
        for &(start, end, owner) in ranges {
            let at = order.partition_point(|other| other.0 <= start);
            order.insert(at, (start, end, owner));
        }
        let mut runs = Runs::default();
        for (start, end, owner) in order {
            runs.push(start, NOBODY);
            runs.push(end, owner);
        }
        runs.into()
    }

    /// The owner of every number by itself, from 0.
    pub fn of_owners(owners: impl Iterator<Item = u16>) -> Self {
        let mut runs = Runs::default();
        for (owner, end) in owners.zip(1..) {
            runs.push(end, owner);
        }
        runs.into()
    }

    /// The owner of a number.
    #[inline]
    pub fn owner(&self, number: u64) -> Option<u16> {
        let run = if self.runs.len() <= FEW {
            self.runs.iter().find(|(end, _)| number < *end)
        } else {
            self.runs.get(self.runs.partition_point(|(end, _)| *end <= number))
        };
        run.map(|(_, owner)| *owner).filter(|owner| *owner != NOBODY)
    }

    /// How many numbers each of the first so many owners has.
    pub fn sizes(&self, owners: usize) -> Vec<u64> {
        let mut sizes = vec![0; owners];
        let mut start = 0;
        for (end, owner) in &self.runs {
            if let Some(size) = sizes.get_mut(usize::from(*owner)) {
                *size += end - start;
            }
            start = *end;
        }
        sizes
    }

    /// The ranges `start..end` of an owner, in their order: for people who ask.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn of(&self, owner: u16) -> Vec<(u64, u64)> {
        let starts = std::iter::once(0).chain(self.runs.iter().map(|(end, _)| *end));
        let runs = starts.zip(&self.runs).filter(|(_, (_, other))| *other == owner);
        runs.map(|(start, (end, _))| (start, *end)).collect()
    }
}

/// Runs under construction.
#[derive(Default)]
struct Runs(Vec<(u64, u16)>);

impl Runs {
    /// Gives what is left before an end to an owner.
    fn push(&mut self, end: u64, owner: u16) {
        match self.0.last_mut() {
            Some((covered, _)) if *covered >= end => {}
            Some(run) if run.1 == owner => run.0 = end,
            None if end == 0 => {}
            _ => self.0.push((end, owner)),
        }
    }
}

impl From<Runs> for Ranges {
    fn from(runs: Runs) -> Self {
        Self { runs: runs.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::Ranges;

    #[test]
    fn every_number_has_one_owner_at_most() {
        let ranges = Ranges::new(&[(90, 100, 1), (0, 10, 0), (10, 10, 3), (10, 20, 0), (50, 60, 2)]);
        for (number, owner) in [
            (0, Some(0)),
            (9, Some(0)),
            (10, Some(0)),
            (19, Some(0)),
            (20, None),
            (50, Some(2)),
            (60, None),
            (99, Some(1)),
            (100, None),
        ] {
            assert_eq!(ranges.owner(number), owner, "{number}");
        }
        assert_eq!(Ranges::new(&[]).owner(0), None);
        assert_eq!(ranges.sizes(3), [20, 10, 10]);
    }

    #[test]
    fn of_two_that_overlap_the_first_has_it() {
        let ranges = Ranges::new(&[(5, 10, 0), (0, 6, 1), (1, 2, 2)]);
        assert_eq!(
            [0, 1, 5, 6, 9, 10].map(|number| ranges.owner(number)),
            [Some(1), Some(1), Some(1), Some(0), Some(0), None]
        );
    }
}

//! The fewest of some numbers such that each of many sets has one of them: a hitting set.

use std::collections::BTreeSet;

/// How many sets are compared with each other, and how many looks at a set a search takes: beyond them what is found need not be the fewest.
const COMPARED: usize = 4_000;
const LOOKS: usize = 30_000_000;

/// Numbers such that each set has one of them, and whether it is known that no fewer do. Sets without a number are left out.
pub fn hitting(sets: &[&[u32]]) -> (Vec<u32>, bool) {
    let mut sets: Vec<BTreeSet<u32>> =
        sets.iter().filter(|set| !set.is_empty()).map(|set| set.iter().copied().collect()).collect();
    sets.sort_by(|one, other| (one.len(), one).cmp(&(other.len(), other)));
    sets.dedup();
    if sets.len() <= COMPARED {
        // Who has a number of a set has one of every set around it.
        let mut kept: Vec<BTreeSet<u32>> = Vec::new();
        for set in sets {
            if !kept.iter().any(|inner| inner.is_subset(&set)) {
                kept.push(set);
            }
        }
        sets = kept;
    }
    let found = greedy(&sets);
    let mut search = Search { sets: &sets, best: found, looks: LOOKS };
    search.go(&mut Vec::new());
    search.best.sort_unstable();
    (search.best, search.looks > 0)
}

/// The number that most of the sets have which are left, again and again; then without those that the others make needless.
fn greedy(sets: &[BTreeSet<u32>]) -> Vec<u32> {
    let mut chosen: Vec<u32> = Vec::new();
    let mut left: Vec<&BTreeSet<u32>> = sets.iter().collect();
    while !left.is_empty() {
        let mut counts = std::collections::BTreeMap::<u32, usize>::new();
        left.iter().flat_map(|set| set.iter()).for_each(|number| *counts.entry(*number).or_default() += 1);
        let best = counts.into_iter().max_by_key(|(number, count)| (*count, std::cmp::Reverse(*number)));
        let Some((best, _)) = best else { break };
        chosen.push(best);
        left.retain(|set| !set.contains(&best));
    }
    for number in chosen.clone() {
        let is_hit = |set: &BTreeSet<u32>| set.iter().any(|own| *own != number && chosen.contains(own));
        if sets.iter().all(is_hit) {
            chosen.retain(|own| *own != number);
        }
    }
    chosen
}

/// A search that tries each number of the smallest set that is not hit yet, and goes no further than what is best so far.
struct Search<'s> {
    sets: &'s [BTreeSet<u32>],
    best: Vec<u32>,
    looks: usize,
}

impl Search<'_> {
    fn go(&mut self, chosen: &mut Vec<u32>) {
        self.looks = self.looks.saturating_sub(self.sets.len());
        if self.looks == 0 {
            return;
        }
        let is_hit = |set: &BTreeSet<u32>| chosen.iter().any(|number| set.contains(number));
        let mut left = self.sets.iter().filter(|set| !is_hit(set));
        let Some(first) = left.next() else {
            if chosen.len() < self.best.len() {
                self.best.clone_from(chosen);
            }
            return;
        };
        // Sets that have nothing in common need a number each.
        let mut apart: Vec<&BTreeSet<u32>> = vec![first];
        for set in left {
            self.looks = self.looks.saturating_sub(apart.len());
            if apart.iter().all(|other| other.is_disjoint(set)) {
                apart.push(set);
            }
        }
        if chosen.len() + apart.len() >= self.best.len() {
            return;
        }
        for number in first {
            chosen.push(*number);
            self.go(chosen);
            chosen.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::hitting;

    fn all(sets: &[&[u32]]) -> usize {
        // Every choice of up to 12 numbers.
        (0_u32..1 << 12)
            .filter(|choice| sets.iter().all(|set| set.iter().any(|number| choice >> number & 1 == 1)))
            .map(u32::count_ones)
            .min()
            .unwrap() as usize
    }

    #[test]
    fn the_fewest_are_found_where_it_says_so() {
        assert_eq!(hitting(&[]), (vec![], true));
        assert_eq!(hitting(&[&[3], &[1, 3], &[1, 2]]), (vec![1, 3], true));
        // The number that most sets have is not among the fewest.
        let trap: [&[u32]; 6] = [&[0, 1], &[0, 1], &[1, 2], &[0, 2], &[3, 1], &[3, 2]];
        assert_eq!(hitting(&trap).0.len(), all(&trap));
        let mut seed = 7_u32;
        let mut next = move || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            seed >> 16
        };
        for _ in 0..300 {
            let sets: Vec<Vec<u32>> =
                (0..=(next() % 9)).map(|_| (0..=(next() % 4)).map(|_| next() % 12).collect()).collect();
            let sets: Vec<&[u32]> = sets.iter().map(Vec::as_slice).collect();
            let (found, is_least) = hitting(&sets);
            assert!(sets.iter().all(|set| set.iter().any(|number| found.contains(number))));
            assert!(is_least);
            assert_eq!(found.len(), all(&sets), "{sets:?}");
        }
    }
}

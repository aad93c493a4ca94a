//! The series that requests brought, found again by a hash of their label values.

use super::{
    Group, Label,
    agreed::{Agreed, Wanted},
    places::Places,
};
use crate::Source;

/// The series that this VM has seen of the label sets that were admitted, and one overflow set for each metric.
#[derive(Debug, Default)]
pub struct Series {
    places: Places,
    sets: Vec<Set>,
    /// By the metrics' place.
    of_groups: Vec<OfGroup>,
    /// The first id that is free, counted from the first of these series.
    next: u32,
    agreed: Agreed,
    seed: u64,
}

/// A set of label values.
#[derive(Debug)]
struct Set {
    hash: u64,
    group: u32,
    /// The id of its first series.
    first: u32,
    /// The values, each with a `;` behind it, which none has in it; none where it is the overflow set.
    values: Option<Box<str>>,
}

/// What there is of metrics with the same labels.
#[derive(Debug, Clone, Copy, Default)]
struct OfGroup {
    /// How many sets, that of overflow not among them.
    sets: usize,
    /// The first series of the overflow set.
    overflow: Option<u32>,
}

/// What a series is called, as far as a set says it.
#[derive(Debug, PartialEq, Eq)]
pub struct Named<'s> {
    /// The metrics that it is of.
    pub group: usize,
    /// Which of them.
    pub member: usize,
    /// The values of its labels; `None` for an overflow series.
    pub values: Option<&'s str>,
}

impl Series {
    /// Agrees with the proxy's other VMs.
    pub fn prepare(&mut self, source: &dyn Source, entries: usize) {
        Agreed::prepare(source, entries);
        self.seed = Agreed::seed(source);
    }

    /// The id of the first series of a label set, and whether it is the overflow set in its place.
    pub fn find(
        &mut self,
        source: &dyn Source,
        (number, group): (usize, &Group),
        budget: usize,
        values: &[Label<'_>],
    ) -> (u32, bool) {
        let hash = self.hash(number, values);
        if let Some(first) = self.look_up(hash, number, values) {
            return (first, false);
        }
        self.miss(source, (number, group), budget, values, hash)
    }

    /// The id of the first series of a label set that was admitted before.
    pub fn known(&self, number: usize, values: &[Label<'_>]) -> Option<u32> {
        self.look_up(self.hash(number, values), number, values)
    }

    /// Who has a series' id.
    pub fn named(&self, id: u32) -> Option<Named<'_>> {
        let set = self.sets.get(self.sets.partition_point(|set| set.first <= id).checked_sub(1)?)?;
        let (group, member) = (set.group as usize, (id - set.first) as usize);
        Some(Named { group, member, values: set.values.as_deref() })
    }

    #[cold]
    #[inline(never)]
    fn miss(
        &mut self,
        source: &dyn Source,
        (number, group): (usize, &Group),
        budget: usize,
        values: &[Label<'_>],
        hash: u64,
    ) -> (u32, bool) {
        let weight = u32::try_from(group.families.len()).unwrap_or(1);
        let of_labels: Vec<_> = (group.bounds.iter().zip(values).zip(1..))
            .filter_map(|((bound, value), place)| {
                let tag = group.tag.wrapping_add(0x9e37_79b9_u32.wrapping_mul(place));
                Some((tag, self.hash(number, std::slice::from_ref(value)), (*bound)? as usize))
            })
            .collect();
        let wanted = Wanted { tag: group.tag, hash, weight, limit: group.limit, budget, values: &of_labels };
        // Two sets of one hash count once in the list: here they are apart, and bounded too.
        let own = self.of_groups.get(number).copied().unwrap_or_default();
        if own.sets < group.limit && self.agreed.admit(source, &wanted) {
            let mut text = String::new();
            for value in values {
                text.push_str(value.as_str());
                text.push(';');
            }
            return (self.insert(hash, number, weight, Some(text.into())), false);
        }
        (own.overflow.unwrap_or_else(|| self.insert(0, number, weight, None)), true)
    }

    fn insert(&mut self, hash: u64, number: usize, weight: u32, values: Option<Box<str>>) -> u32 {
        let first = self.next;
        if self.of_groups.len() <= number {
            self.of_groups.resize(number + 1, OfGroup::default());
        }
        if let Some(group) = self.of_groups.get_mut(number) {
            match values {
                Some(_) => group.sets += 1,
                None => group.overflow = Some(first),
            }
        }
        let group = u32::try_from(number).unwrap_or(u32::MAX);
        self.next += weight;
        self.sets.push(Set { hash, group, first, values });
        let sets = &self.sets;
        let hash = |place: usize| sets.get(place).filter(|set| set.values.is_some()).map(|set| set.hash);
        self.places.add_last(sets.len(), hash);
        first
    }

    fn look_up(&self, hash: u64, group: usize, values: &[Label<'_>]) -> Option<u32> {
        let mut sets = self.places.of(hash).filter_map(|place| self.sets.get(place));
        sets.find(|set| set.hash == hash && set.group as usize == group && set.holds(values))
            .map(|set| set.first)
    }

    /// A hash of label values, 8 bytes at a time: products of halves that a secret has changed, as in the family NH (Black and others, UMAC, 1999).
    fn hash(&self, group: usize, values: &[Label<'_>]) -> u64 {
        let mut hash = self.seed ^ group as u64;
        for value in values {
            let (chunks, rest) = value.as_str().as_bytes().as_chunks::<8>();
            for chunk in chunks {
                hash = self.mix(hash, u64::from_le_bytes(*chunk));
            }
            // What ends a value is part of it, as in the text that is compared.
            let last = rest.iter().rev().fold(u64::from(b';'), |word, byte| word << 8 | u64::from(*byte));
            hash = self.mix(hash, last);
        }
        hash ^ hash >> 29
    }

    fn mix(&self, hash: u64, word: u64) -> u64 {
        let low = (word ^ self.seed) & 0xffff_ffff;
        let high = word >> 32 ^ self.seed >> 32 ^ 0x5bd1_e995;
        (hash.rotate_left(27) ^ low.wrapping_mul(high) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

impl Set {
    fn holds(&self, values: &[Label<'_>]) -> bool {
        let Some(mut rest) = self.values.as_deref().map(str::as_bytes) else { return false };
        for value in values {
            let behind =
                rest.strip_prefix(value.as_str().as_bytes()).and_then(|rest| rest.strip_prefix(b";"));
            let Some(behind) = behind else { return false };
            rest = behind;
        }
        rest.is_empty()
    }
}

//! Which label sets a proxy has admitted, agreed over all its VMs.
//!
//! Workers have a VM each, and Envoy adds up what they count and never lets a stat go, so that the bound has to be the proxy's and not a VM's. The
//! list stands in shared data, which lives as long as the proxy: over a VM's reload and over pushes of configurations. It is only ever added to.
//!
//! It is a list of entries of 16 bytes in segments of 4 KB: a VM reads what was added since it looked last, and adds its own by one
//! compare-and-swap of the last segment. To make a key cannot be done by compare-and-swap, so all segments are made when the plugin is
//! configured, which Envoy does on its main thread before its workers.

use super::places::Places;
use crate::Source;

/// An entry, in bytes: a tag, a weight, and a hash of label values.
const ENTRY: usize = 16;
/// How many entries close a segment, so that those of one admission always fit in: there are at most [`MOST`](Agreed::MOST) of them.
const CLOSED: usize = 239;
/// How often an admission is tried again when another VM was faster.
const TRIES: usize = 64;
/// The statuses of the ABI that matter.
const NOT_FOUND: u32 = 1;
const CAS_MISMATCH: u32 = 8;

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'w> {
    /// The metric, by a hash of its name and labels.
    pub tag: u32,
    /// The label values, by their hash.
    pub hash: u64,
    /// How many series there are of each label set.
    pub weight: u32,
    /// The most label sets of the metric.
    pub limit: usize,
    /// The most series of the proxy.
    pub budget: usize,
    /// The values of labels that have bounds of their own: a tag of metric and label, the value's hash, the most values.
    pub values: &'w [(u32, u64, usize)],
}

/// What this VM knows of the list.
#[derive(Debug, Default)]
pub struct Agreed {
    /// Tags and hashes, in the order of the list, and where they are by their hash.
    known: Vec<(u32, u64)>,
    places: Places,
    /// How many there are of each tag, by tag.
    counts: Vec<(u32, usize)>,
    series: usize,
    /// The segment that was read last, and how many entries of it.
    segment: usize,
    read: usize,
    /// Whether the list can take no more.
    is_over: bool,
}

impl Agreed {
    /// The most entries of one admission.
    pub const MOST: usize = 17;

    /// Makes the list where there is none, for so many series.
    pub fn prepare(source: &dyn Source, entries: usize) {
        for segment in 0..=entries / CLOSED + 1 {
            let key = key(segment);
            if source.shared(&key).is_err() {
                source.set_shared(&key, &[], 0);
            }
        }
    }

    /// The secret of the proxy's hashes, so that no client can make two label sets that are the same to it.
    pub fn seed(source: &dyn Source) -> u64 {
        const KEY: &str = "outrigger.series.seed";
        let read = || source.shared(KEY).ok().and_then(|(bytes, _)| bytes.first_chunk().copied());
        let seed = read().unwrap_or_else(|| {
            let mut seed = [0; 8];
            source.random(&mut seed);
            source.set_shared(KEY, &seed, 0);
            read().unwrap_or(seed)
        });
        u64::from_le_bytes(seed)
    }

    /// Whether a label set is in the list, or could be added to it. A set that is refused costs no host call: the list that it would have to be
    /// in is known to its end.
    pub fn admit(&mut self, source: &dyn Source, wanted: &Wanted<'_>) -> bool {
        for _ in 0..TRIES {
            if self.has(wanted.tag, wanted.hash) {
                return true;
            }
            if self.is_over || !self.has_room(wanted) {
                return false;
            }
            let Some((mut bytes, cas)) = self.catch_up(source) else {
                // Without shared data a VM is on its own.
                self.add_all(wanted);
                return true;
            };
            if self.has(wanted.tag, wanted.hash) || self.is_over || !self.has_room(wanted) {
                continue;
            }
            for (tag, weight, hash) in self.entries(wanted) {
                bytes.extend(tag.to_le_bytes());
                bytes.extend(weight.to_le_bytes());
                bytes.extend(hash.to_le_bytes());
            }
            match source.set_shared(&key(self.segment), &bytes, cas) {
                0 => {
                    self.read = bytes.len() / ENTRY;
                    self.add_all(wanted);
                    return true;
                }
                CAS_MISMATCH => {}
                _ => return false,
            }
        }
        false
    }

    /// Reads what other VMs have added: the segment that is open, and the count of its last change. `None` where there is no list.
    fn catch_up(&mut self, source: &dyn Source) -> Option<(Vec<u8>, u32)> {
        loop {
            let (bytes, cas) = match source.shared(&key(self.segment)) {
                Ok(found) => found,
                Err(NOT_FOUND) if self.segment > 0 => {
                    self.is_over = true;
                    return Some((Vec::new(), 0));
                }
                Err(_) => return None,
            };
            let entries = bytes.as_chunks::<ENTRY>().0;
            for entry in entries.iter().skip(self.read) {
                let [tag, weight, low, high] = words(entry);
                self.add(tag, weight, u64::from(low) | u64::from(high) << 32);
            }
            self.read = entries.len();
            if entries.len() < CLOSED {
                return Some((bytes.to_vec(), cas));
            }
            (self.segment, self.read) = (self.segment + 1, 0);
        }
    }

    fn has_room(&self, wanted: &Wanted<'_>) -> bool {
        self.series + wanted.weight as usize <= wanted.budget
            && self.count(wanted.tag) < wanted.limit
            && wanted
                .values
                .iter()
                .all(|(tag, hash, limit)| self.has(*tag, *hash) || self.count(*tag) < *limit)
    }

    /// The entries of an admission: the label set, and those values that are new to labels with bounds of their own.
    fn entries(&self, wanted: &Wanted<'_>) -> Vec<(u32, u32, u64)> {
        let values = wanted.values.iter().filter(|(tag, hash, _)| !self.has(*tag, *hash));
        let values = values.map(|(tag, hash, _)| (*tag, 0, *hash));
        values.chain([(wanted.tag, wanted.weight, wanted.hash)]).take(Self::MOST).collect()
    }

    fn add_all(&mut self, wanted: &Wanted<'_>) {
        for (tag, weight, hash) in self.entries(wanted) {
            self.add(tag, weight, hash);
        }
    }

    fn add(&mut self, tag: u32, weight: u32, hash: u64) {
        if self.has(tag, hash) {
            return;
        }
        self.known.push((tag, hash));
        let known = &self.known;
        self.places.add_last(known.len(), |place| known.get(place).map(|(tag, hash)| mixed(*tag, *hash)));
        self.series += weight as usize;
        match self.place_of(tag) {
            Ok(place) => {
                if let Some((_, count)) = self.counts.get_mut(place) {
                    *count += 1;
                }
            }
            Err(place) => self.counts.insert(place, (tag, 1)),
        }
    }

    fn has(&self, tag: u32, hash: u64) -> bool {
        self.places.of(mixed(tag, hash)).any(|place| self.known.get(place) == Some(&(tag, hash)))
    }

    fn count(&self, tag: u32) -> usize {
        self.place_of(tag).ok().and_then(|place| self.counts.get(place)).map_or(0, |(_, count)| *count)
    }

    fn place_of(&self, tag: u32) -> Result<usize, usize> {
        self.counts.binary_search_by_key(&tag, |(tag, _)| *tag)
    }
}

fn mixed(tag: u32, hash: u64) -> u64 {
    hash ^ u64::from(tag)
}

fn key(segment: usize) -> String {
    ["outrigger.series.", &segment.to_string()].concat()
}

fn words(entry: &[u8; ENTRY]) -> [u32; 4] {
    let mut words = [0; 4];
    for (word, bytes) in words.iter_mut().zip(entry.as_chunks::<4>().0) {
        *word = u32::from_le_bytes(*bytes);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::{Agreed, CLOSED, Wanted, key};
    use crate::{Source as _, fake::Shared};
    use std::{
        thread,
        time::{Duration, Instant},
    };

    fn wanted(hash: u64, limit: usize, budget: usize) -> Wanted<'static> {
        Wanted { tag: 7, hash, weight: 2, limit, budget, values: &[] }
    }

    #[test]
    fn all_vms_admit_the_same_sets() {
        let shared = Shared::default();
        Agreed::prepare(&shared, 3000);
        let [mut one, mut two] = [Agreed::default(), Agreed::default()];
        for hash in 0..2000 {
            assert_eq!(one.admit(&shared, &wanted(hash, 1000, 3000)), hash < 1000, "{hash}");
            // The other one is behind, and asks for other sets too.
            assert!(!two.admit(&shared, &wanted(hash + 5000, 0, 3000)));
        }
        let calls = shared.calls();
        for hash in (0..2000).rev() {
            assert_eq!(two.admit(&shared, &wanted(hash, 1000, 3000)), hash < 1000, "{hash}");
        }
        // It has read the list once, and what is refused asks nothing more.
        assert!(shared.calls() - calls < 10, "{}", shared.calls() - calls);
    }

    #[test]
    fn the_budget_is_that_of_all_metrics_together() {
        let shared = Shared::default();
        Agreed::prepare(&shared, 10);
        let mut one = Agreed::default();
        let admitted = (0..20).filter(|hash| one.admit(&shared, &wanted(*hash, 1000, 10))).count();
        assert_eq!(admitted, 5);
        // A VM that starts again, or a plugin with another configuration, finds what there is.
        let mut again = Agreed::default();
        assert!(again.admit(&shared, &wanted(4, 1000, 10)) && !again.admit(&shared, &wanted(5, 1000, 10)));
        assert!(again.admit(&shared, &wanted(5, 1000, 12)));
    }

    #[test]
    fn a_label_has_a_bound_of_its_own() {
        let shared = Shared::default();
        Agreed::prepare(&shared, 100);
        let mut one = Agreed::default();
        let mut admit = |set: u64, value: u64| {
            one.admit(&shared, &Wanted { values: &[(8, value, 2)], ..wanted(set, 100, 100) })
        };
        assert_eq!(
            [admit(1, 1), admit(2, 1), admit(3, 2), admit(4, 3), admit(5, 2)],
            [true, true, true, false, true]
        );
    }

    /// The least time of three in which a VM that comes late reads a list of so many entries.
    #[expect(clippy::disallowed_methods, reason = "what is measured is time")]
    fn reading(entries: usize) -> Duration {
        let shared = Shared::default();
        Agreed::prepare(&shared, entries);
        let hashes: Vec<u64> =
            (1..=entries as u64).map(|number| number.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
        for (segment, hashes) in hashes.chunks(CLOSED).enumerate() {
            let entry =
                |hash: &u64| [&7_u32.to_le_bytes()[..], &2_u32.to_le_bytes(), &hash.to_le_bytes()].concat();
            shared.set_shared(&key(segment), &hashes.iter().flat_map(entry).collect::<Vec<_>>(), 0);
        }
        let read = || {
            let (begun, mut late) = (Instant::now(), Agreed::default());
            assert!(late.admit(&shared, &wanted(hashes[0], usize::MAX, usize::MAX)));
            assert_eq!((late.series, late.count(7)), (2 * entries, entries));
            begun.elapsed()
        };
        (0..3).map(|_| read()).min().unwrap()
    }

    #[test]
    fn a_long_list_is_read_at_once() {
        // 30 ms, and beside much other work a few times that. Where each entry moves those behind it, they move a terabyte.
        let read = reading(400_000);
        assert!(read < Duration::from_secs(2), "{read:?}");
    }

    #[test]
    fn vms_of_many_threads_agree() {
        let shared = Shared::default();
        Agreed::prepare(&shared, 2000);
        let admitted: Vec<Vec<u64>> = thread::scope(|scope| {
            let vms: Vec<_> = (0..4_u64)
                .map(|vm| {
                    let shared = &shared;
                    scope.spawn(move || {
                        let mut agreed = Agreed::default();
                        let sets = (0..2000).map(|set| (set * 7 + vm * 501) % 2000);
                        sets.filter(|set| agreed.admit(shared, &wanted(*set, 300, 2000))).collect()
                    })
                })
                .collect();
            vms.into_iter().map(|vm| vm.join().unwrap()).collect()
        });
        let mut all: Vec<u64> = admitted.into_iter().flatten().collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 300);
    }

    #[test]
    fn without_shared_data_a_vm_is_on_its_own() {
        let mut one = Agreed::default();
        let admitted = (0..20).filter(|hash| one.admit(&Shared::default(), &wanted(*hash, 3, 10))).count();
        assert_eq!(admitted, 3);
    }
}

//! The ways to split a body.

use crate::{
    Bytes,
    host::{random::Random, stream::Way},
    scenario::{Chunk, Exchange},
};
use std::collections::BTreeSet;

/// The places of a body's cuts, in their order: each is the number of bytes before it.
pub(super) type Split = Vec<usize>;

/// The longest body of which every split is tried.
const EVERY_SPLIT: usize = 12;

/// How many random splits there are of a longer one.
const RANDOM_SPLITS: usize = 200;

/// A body, whole.
pub(super) fn body(exchange: &Exchange, way: Way) -> Vec<u8> {
    chunks(exchange, way).iter().flat_map(|chunk| chunk.bytes.0.iter().copied()).collect()
}

fn chunks(exchange: &Exchange, way: Way) -> &[Chunk] {
    match way {
        Way::Request => &exchange.request.chunks,
        Way::Response => &exchange.response.chunks,
    }
}

/// Splits a body at these places. Its framing stays as it is, and its parts come one behind the other without a pause.
pub(super) fn apply(exchange: &mut Exchange, way: Way, cuts: &[usize]) {
    let body = body(exchange, way);
    let parts = if body.is_empty() {
        Vec::new()
    } else {
        parts(&body, cuts).into_iter().map(|part| Chunk::from(Bytes::from(part))).collect()
    };
    match way {
        Way::Request => exchange.request.chunks = parts,
        Way::Response => exchange.response.chunks = parts,
    }
}

/// The parts of a body between its cuts.
pub(super) fn parts<'b>(body: &'b [u8], cuts: &[usize]) -> Vec<&'b [u8]> {
    let ends = cuts.iter().copied().chain([body.len()]);
    let mut start = 0;
    ends.map(|end| body.get(std::mem::replace(&mut start, end)..end).unwrap_or_default()).collect()
}

/// The splits of a body that are tried, those with the fewest parts first.
pub(super) fn all(length: usize, seed: u64) -> Vec<Split> {
    let places = length.saturating_sub(1);
    if length <= EVERY_SPLIT {
        let split =
            |mask: u32| (0..places).filter(|place| mask >> place & 1 == 1).map(|place| place + 1).collect();
        let mut splits: Vec<Split> = (1..1_u32 << places).map(split).collect();
        splits.sort_by_key(Vec::len);
        return splits;
    }
    let mut splits: Vec<Split> = (1..length).map(|place| vec![place]).collect();
    let mut random = Random::new(seed);
    let mut below = |limit: usize| usize::try_from(random.next() % limit as u64).unwrap_or(0);
    let mut drawn: Vec<Split> = (0..RANDOM_SPLITS)
        .map(|_| {
            // Two cuts or more: with one they are all there.
            let count = 2 + below(places.min(16) - 1);
            (0..count).map(|_| 1 + below(places)).collect::<BTreeSet<_>>().into_iter().collect()
        })
        .collect();
    drawn.sort_by_key(Vec::len);
    splits.extend(drawn);
    splits.push((1..length).collect());
    splits
}

#[cfg(test)]
mod tests {
    use super::{all, parts};
    use std::collections::BTreeSet;

    #[test]
    fn every_split_of_a_short_body_is_tried_and_the_smallest_first() {
        assert_eq!(all(3, 0), [vec![1], vec![2], vec![1, 2]]);
        let splits = all(12, 0);
        assert_eq!((splits.len(), splits.iter().collect::<BTreeSet<_>>().len()), (2047, 2047));
        assert!(splits.is_sorted_by_key(Vec::len));
    }

    #[test]
    fn of_a_longer_body_every_split_in_two_and_random_ones_and_single_bytes() {
        let splits = all(13, 5);
        assert_eq!(splits.len(), 12 + 200 + 1);
        assert!((1..13).all(|place| splits.contains(&vec![place])));
        assert_eq!(splits.last(), Some(&(1..13).collect()));
        assert!(splits.iter().all(|split| !split.is_empty() && split.is_sorted_by(|one, other| one < other)));
        assert!(splits == all(13, 5) && splits != all(13, 6));
    }

    #[test]
    fn the_parts_of_a_split_are_the_body() {
        assert_eq!(parts(b"abcde", &[1, 3]), [&b"a"[..], b"bc", b"de"]);
        assert_eq!(parts(b"abcde", &[]), [&b"abcde"[..]]);
    }
}

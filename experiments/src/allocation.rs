//! Which arm has which slot, and who moves when weights change.
//!
//! A key hashes to one of 10,000 slots, and every slot belongs to an arm. No function of the current weights alone can change three or more
//! arms so that only those that grew gain and only those that shrank lose: with weights (1,1,0), (1,0,1) and (0,1,1) over two slots, arm 1
//! keeps its slot from the first to the second and arm 2 from the first to the third, which leaves arm 3 both slots. So an allocation
//! is replayed: from the weights that the experiment began with, through those it had since, to those it has.

use crate::bucket::{Ranges, SLOTS};
use std::cmp::Ordering;

/// The owner of each slot: an arm, by its place in the current list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allocation {
    owners: Ranges,
}

/// A list of arms: names and weights that add up to [`SLOTS`].
pub type Weights<'a> = Vec<(&'a str, u16)>;

const FREE: u16 = u16::MAX;

impl Allocation {
    /// Replays the experiment's weights, the oldest first, and then gives every slot its arm under the current ones.
    ///
    /// Every list adds up to [`SLOTS`], names no arm twice, and has at least one arm. An arm that a list leaves out has weight 0 there.
    #[inline(never)]
    pub fn new(history: &[Weights<'_>], current: &Weights<'_>) -> Self {
        // Arms are known by the place of their first appearance, so that neither a new order nor a removed arm moves anybody.
        let mut names: Vec<&str> = Vec::new();
        for (name, _) in history.iter().chain([current]).flatten() {
            if !names.contains(name) {
                names.push(name);
            }
        }
        let mut owners = vec![0_u16; usize::from(SLOTS)];
        let mut weights = vec![0_u16; names.len()];
        if let Some(first) = weights.first_mut() {
            *first = SLOTS;
        }
        for step in history.iter().chain([current]) {
            let next: Vec<u16> = names
                .iter()
                .map(|name| step.iter().find(|(other, _)| other == name).map_or(0, |(_, weight)| *weight))
                .collect();
            rebalance(&mut owners, &weights, &next);
            weights = next;
        }
        let place = |owner: u16| {
            let name = names.get(usize::from(owner));
            let place = current.iter().position(|(other, _)| Some(other) == name);
            place.and_then(|place| u16::try_from(place).ok()).unwrap_or(0)
        };
        Self { owners: Ranges::of_owners(owners.iter().map(|owner| place(*owner))) }
    }

    /// The arm that owns a slot, by its place in the current list.
    pub fn arm(&self, slot: u16) -> usize {
        self.owners.owner(u64::from(slot)).map_or(0, usize::from)
    }
}

impl From<Allocation> for Ranges {
    fn from(allocation: Allocation) -> Self {
        allocation.owners
    }
}

/// Moves as many slots as weights changed, out of the arms that shrank and into those that grew.
#[inline(never)]
fn rebalance(owners: &mut [u16], from: &[u16], to: &[u16]) {
    // An arm gives up what it got last. The first arm, the control of most experiments, gives what the others want instead.
    let mut from_first = 0;
    for (arm, (before, after)) in (0_u16..).zip(from.iter().zip(to)) {
        match (before.saturating_sub(*after), arm) {
            (0, _) => {}
            (surplus, 0) => from_first = surplus,
            (surplus, _) => {
                let own: Vec<usize> = walk(arm).filter(|slot| owners.get(*slot) == Some(&arm)).collect();
                for slot in own.iter().rev().take(usize::from(surplus)) {
                    set(owners, *slot, FREE);
                }
            }
        }
    }
    for (arm, (before, after)) in (0_u16..).zip(from.iter().zip(to)).skip(1) {
        let mut wanted = match after.cmp(before) {
            Ordering::Greater => after - before,
            _ => continue,
        };
        for slot in walk(arm) {
            let from_control = owners.get(slot) == Some(&0) && from_first > 0;
            if wanted == 0 {
                break;
            }
            if from_control || owners.get(slot) == Some(&FREE) {
                from_first -= u16::from(from_control);
                set(owners, slot, arm);
                wanted -= 1;
            }
        }
    }
    for owner in owners.iter_mut().filter(|owner| **owner == FREE) {
        *owner = 0;
    }
}

fn set(owners: &mut [u16], slot: usize, arm: u16) {
    if let Some(owner) = owners.get_mut(slot) {
        *owner = arm;
    }
}

/// The order in which an arm wants slots: from a place of its own to the right or to the left, round the end. The places of the first arms
/// after the control are 0 rightwards, the end leftwards, the middle rightwards and leftwards, then the quarters: as far apart as can be,
/// so that arms that grow at the control's cost do not meet until they are large.
fn walk(arm: u16) -> impl Iterator<Item = usize> {
    let pair = u32::from(arm.saturating_sub(1)) / 2;
    let leftwards = arm > 0 && arm.is_multiple_of(2);
    // Van der Corput's sequence: 0, 1/2, 1/4, 3/4, 1/8, ...
    let start = (u64::from(pair.reverse_bits()) * u64::from(SLOTS)) >> 32;
    let slots = usize::from(SLOTS);
    let start = usize::try_from(start).unwrap_or(0);
    (0..slots)
        .map(move |step| if leftwards { (start + slots - 1 - step) % slots } else { (start + step) % slots })
}

#[cfg(test)]
mod tests;

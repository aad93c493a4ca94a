use super::{Allocation, Weights};
use crate::SLOTS;
use proptest::prelude::*;

/// Random weights of `count` arms that add up to the slots.
fn weights(count: usize) -> impl Strategy<Value = Vec<u16>> {
    prop::collection::vec(0..=SLOTS, count - 1).prop_map(|mut cuts| {
        cuts.extend([0, SLOTS]);
        cuts.sort_unstable();
        cuts.windows(2).map(|pair| pair[1] - pair[0]).collect()
    })
}

fn named(weights: &[u16]) -> Weights<'static> {
    const NAMES: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];
    NAMES.iter().copied().zip(weights.iter().copied()).collect()
}

/// The arm of every slot, by name.
fn owners<'a>(allocation: &Allocation, current: &Weights<'a>) -> Vec<&'a str> {
    (0..SLOTS).map(|slot| current[allocation.arm(slot)].0).collect()
}

fn share(owners: &[&str], name: &str) -> u16 {
    u16::try_from(owners.iter().filter(|owner| **owner == name).count()).unwrap()
}

#[track_caller]
fn assert_only_growth_gains(before: (&[&str], &Weights<'_>), after: (&[&str], &Weights<'_>)) {
    let weight = |weights: &Weights<'_>, name: &str| {
        weights.iter().find(|(other, _)| *other == name).map_or(0, |(_, weight)| *weight)
    };
    for (old, new) in before.0.iter().zip(after.0) {
        if old != new {
            assert!(
                weight(after.1, new) > weight(before.1, new),
                "{new} gained and did not grow: {:?} -> {:?}",
                before.1,
                after.1
            );
            assert!(
                weight(after.1, old) < weight(before.1, old),
                "{old} lost and did not shrink: {:?} -> {:?}",
                before.1,
                after.1
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn every_arm_has_exactly_its_weight(history in prop::collection::vec(weights(5), 0..4), current in weights(5)) {
        let history: Vec<_> = history.iter().map(|step| named(step)).collect();
        let current = named(&current);
        let owners = owners(&Allocation::new(&history, &current), &current);
        for (name, weight) in &current {
            prop_assert_eq!(share(&owners, name), *weight);
        }
    }

    #[test]
    fn a_change_that_is_kept_in_previous_moves_users_only_out_of_arms_that_shrank_and_into_arms_that_grew(
        steps in (2_usize..=8).prop_flat_map(|count| prop::collection::vec(weights(count), 2..5)),
    ) {
        let steps: Vec<_> = steps.iter().map(|step| named(step)).collect();
        for done in 1..steps.len() {
            let (before, after) = (&steps[done - 1], &steps[done]);
            let old = owners(&Allocation::new(&steps[..done - 1], before), before);
            let new = owners(&Allocation::new(&steps[..done], after), after);
            assert_only_growth_gains((&old, before), (&new, after));
        }
    }

    #[test]
    fn two_arms_need_no_history(before in weights(2), after in weights(2)) {
        let (before, after) = (named(&before), named(&after));
        let (old, new) = (owners(&Allocation::new(&[], &before), &before), owners(&Allocation::new(&[], &after), &after));
        assert_only_growth_gains((&old, &before), (&new, &after));
    }

    #[test]
    fn two_arms_beside_the_control_need_no_history_while_the_control_pays(
        first in (0_u16..=3333, 0_u16..=3333), growth in (0_u16..=1666, 0_u16..=1666),
    ) {
        let ramp = |b: u16, c: u16| named(&[SLOTS - b - c, b, c]);
        let (before, after) = (ramp(first.0, first.1), ramp(first.0 + growth.0, first.1 + growth.1));
        let (old, new) = (owners(&Allocation::new(&[], &before), &before), owners(&Allocation::new(&[], &after), &after));
        assert_only_growth_gains((&old, &before), (&new, &after));
    }

    #[test]
    fn four_arms_beside_the_control_need_no_history_up_to_a_quarter_each(
        before in prop::collection::vec(0_u16..=2500, 4), after in prop::collection::vec(0_u16..=2500, 4),
    ) {
        let all = |arms: &[u16]| {
            let mut weights = vec![SLOTS - arms.iter().sum::<u16>()];
            weights.extend(arms);
            named(&weights)
        };
        let (before, after) = (all(&before), all(&after));
        let (old, new) = (owners(&Allocation::new(&[], &before), &before), owners(&Allocation::new(&[], &after), &after));
        for (old, new) in old.iter().zip(&new) {
            // The control may grow and shrink here; no treatment ever trades with another.
            prop_assert!(old == new || *old == "a" || *new == "a");
        }
    }
}

#[test]
fn an_order_of_its_own_or_an_arm_that_is_gone_moves_nobody() {
    let began = named(&[5000, 3000, 2000]);
    let old = owners(&Allocation::new(&[], &began), &began);

    let turned: Weights<'_> = vec![("c", 2000), ("a", 5000), ("b", 3000)];
    assert_eq!(owners(&Allocation::new(std::slice::from_ref(&began), &turned), &turned), old);

    let without_b: Weights<'_> = vec![("a", 8000), ("c", 2000)];
    let new = owners(&Allocation::new(std::slice::from_ref(&began), &without_b), &without_b);
    assert_only_growth_gains((&old, &began), (&new, &without_b));
}

#[test]
fn an_arm_that_comes_back_gets_its_users_back() {
    let (large, small) = (named(&[5000, 3000, 2000]), named(&[7000, 1000, 2000]));
    let began = owners(&Allocation::new(&[], &large), &large);
    let back = owners(&Allocation::new(&[large.clone(), small], &large), &large);
    assert_eq!(began, back);
}

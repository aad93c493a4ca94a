//! Which arm owns which values.

use super::hash;
use crate::{
    Allocation, SLOTS,
    allocation::Weights,
    bucket::{Algorithm, Bucketer, Ranges, growthbook},
};
use filter_kit::settings::Field;

const ARM_LIMIT: usize = 100;
const PREVIOUS_LIMIT: usize = 100;

/// LaunchDarkly's sum of weights.
const LAUNCHDARKLY_SUM: u64 = 100_000;

/// The most that whole weights may add up to.
const SUM_LIMIT: u64 = 0x7fff_ffff;

/// The values of an experiment's hash, and whose they are.
pub(super) struct Split {
    pub(super) bucketer: Bucketer,
    pub(super) ranges: Ranges,
    /// How many of 10,000 places take part; with our own algorithm only.
    pub(super) coverage: u16,
}

/// Reads which arm of an experiment has which keys.
#[inline(never)]
pub(super) fn split(field: &Field<'_, '_>, algorithm: Algorithm, name: &str) -> Split {
    let list = field.get("arms");
    check_arms(&list);
    let arms: Vec<Field<'_, '_>> = list.items().take(ARM_LIMIT).collect();
    let (previous, coverage) = (field.get("previous"), field.get("coverage"));
    let is_own = algorithm == Algorithm::Outrigger;
    let is_growthbook = hash::is_in_shares(algorithm);
    let has_ranges = arms.iter().any(|arm| arm.get("ranges").is_given()) || algorithm == Algorithm::Eppo;
    for (field, is_taken) in [
        (&previous, is_own),
        (&coverage, is_own || is_growthbook && !has_ranges || algorithm == Algorithm::UnleashVariant),
        (&field.get("rollout_group"), algorithm == Algorithm::UnleashVariant),
    ] {
        if field.is_given() && !is_taken {
            field.refuse("must not be given with this algorithm, or beside ranges");
        }
    }
    let takes_ranges = is_growthbook || matches!(algorithm, Algorithm::Optimizely | Algorithm::Eppo);
    for arm in &arms {
        let (weight, ranges) = (arm.get("weight"), arm.get("ranges"));
        if weight.is_given() && has_ranges {
            weight.refuse("must not be given beside ranges, or with the algorithm eppo");
        }
        if ranges.is_given() && !takes_ranges {
            ranges.refuse("must not be given with this algorithm");
        }
    }
    let all = i64::from(SLOTS);
    let covered = if is_own { coverage.whole(0, all).unwrap_or(all) } else { all };
    let (bucketer, ranges) = if is_own {
        (hash::read(field, algorithm, name, 0), own(&list, &previous))
    } else if has_ranges {
        by_ranges(field, &arms, algorithm, name)
    } else if is_growthbook {
        by_shares(field, &arms, algorithm, name)
    } else {
        by_weights(field, &arms, algorithm, name)
    };
    Split { bucketer, ranges, coverage: u16::try_from(covered).unwrap_or(SLOTS) }
}

/// Our own algorithm: weights of 10,000 slots with their history.
fn own<'t>(arms: &Field<'_, 't>, previous: &Field<'_, 't>) -> Ranges {
    let current = slots(arms);
    let mut history = Vec::new();
    for step in previous.items_up_to(PREVIOUS_LIMIT) {
        check_arms(&step);
        history.push(slots(&step));
    }
    Allocation::new(&history, &current).into()
}

fn slots<'t>(arms: &Field<'_, 't>) -> Weights<'t> {
    let mut weights = Weights::new();
    let (mut sum, slots) = (0, i64::from(SLOTS));
    for arm in arms.items().take(ARM_LIMIT) {
        let weight = arm.get("weight").whole(0, slots).unwrap_or(0);
        sum += weight;
        weights.push((arm.get("name").text().unwrap_or_default(), u16::try_from(weight).unwrap_or(SLOTS)));
    }
    if sum != slots {
        arms.refuse_got("must have weights that add up to 10000", &sum.to_string());
        // What follows counts on it.
        return vec![("", SLOTS)];
    }
    weights
}

/// Ranges as they are given: GrowthBook's, Optimizely's and Eppo's.
fn by_ranges(
    field: &Field<'_, '_>,
    arms: &[Field<'_, '_>],
    algorithm: Algorithm,
    name: &str,
) -> (Bucketer, Ranges) {
    let bucketer = hash::read(field, algorithm, name, 0);
    let mut ranges: Vec<(u64, u64, u16)> = Vec::new();
    for (arm, owner) in arms.iter().zip(0..) {
        for range in arm.get("ranges").items() {
            let (start, end) = hash::range(&range, &bucketer);
            if ranges.iter().any(|(from, to, _)| start < *to && *from < end) {
                range.refuse("must not overlap another range of the experiment's arms");
                continue;
            }
            ranges.push((start, end, owner));
        }
    }
    (bucketer, Ranges::new(&ranges))
}

/// GrowthBook's weights, shares of 1.
fn by_shares(
    field: &Field<'_, '_>,
    arms: &[Field<'_, '_>],
    algorithm: Algorithm,
    name: &str,
) -> (Bucketer, Ranges) {
    let bucketer = hash::read(field, algorithm, name, 0);
    let share = |field: &Field<'_, '_>| {
        let number = field.number()?;
        if !(0.0..=1.0).contains(&number.value) {
            field.refuse_got("must be 0..=1", number.text);
        }
        Some(number.value)
    };
    let coverage = share(&field.get("coverage")).unwrap_or(1.0);
    let weights: Vec<f64> = arms.iter().filter_map(|arm| share(&arm.get("weight"))).collect();
    let weights = if weights.is_empty() { None } else { Some(weights) };
    if weights.as_ref().is_some_and(|weights| !growthbook::are_usable(weights, arms.len())) {
        field.get("arms").refuse("must all have weights that add up to 0.99..=1.01, or none");
    }
    let mut ranges: Vec<(u64, u64, u16)> = Vec::new();
    for ((start, end), arm) in
        growthbook::ranges(arms.len(), coverage, weights.as_deref()).into_iter().zip(0..)
    {
        // Where rounding makes neighbours overlap, the SDK takes the first.
        let before = ranges.last().map_or(0, |(_, end, _)| *end);
        ranges.push((bucketer.bound(start).max(before), bucketer.bound(end).max(before), arm));
    }
    (bucketer, Ranges::new(&ranges))
}

/// Weights that are whole numbers, one arm behind the other.
fn by_weights(
    field: &Field<'_, '_>,
    arms: &[Field<'_, '_>],
    algorithm: Algorithm,
    name: &str,
) -> (Bucketer, Ranges) {
    let weights: Vec<u64> = arms.iter().map(|arm| weight(&arm.get("weight"), algorithm)).collect();
    let sum: u64 = weights.iter().sum();
    let (least, most) = match algorithm {
        Algorithm::Unleash => (0, 100),
        Algorithm::Optimizely => (0, 10_000),
        Algorithm::Launchdarkly => (LAUNCHDARKLY_SUM, LAUNCHDARKLY_SUM),
        Algorithm::UnleashVariant => (1, SUM_LIMIT),
        _ => (0, SUM_LIMIT),
    };
    if !(least..=most).contains(&sum) {
        let rule =
            ["must have weights that add up to ", &least.to_string(), "..=", &most.to_string()].concat();
        field.get("arms").refuse_got(&rule, &sum.to_string());
    }
    let bucketer = hash::read(field, algorithm, name, sum);
    let mut ranges = Vec::new();
    let (mut start, mut before, mut share) = (0, 0, 0.0);
    for (place, (weight, arm)) in weights.iter().zip(0..).enumerate() {
        before += weight;
        let end = match algorithm {
            // The SDKs add up doubles, and compare with the sum.
            Algorithm::FlagdV1 => {
                share += if sum == 0 { 0.0 } else { 100.0 * double(*weight) / double(sum) };
                bucketer.bound(share)
            }
            // The last arm gets what rounding leaves over.
            Algorithm::Launchdarkly if place + 1 == weights.len() => bucketer.total(),
            Algorithm::Launchdarkly => {
                share += double(*weight) / double(LAUNCHDARKLY_SUM);
                bucketer.bound(share)
            }
            _ => before,
        };
        ranges.push((start, end.max(start), arm));
        start = end.max(start);
    }
    (bucketer, Ranges::new(&ranges))
}

/// flagd: a weight that is left out is 1, a negative one 0.
fn weight(field: &Field<'_, '_>, algorithm: Algorithm) -> u64 {
    let most = SUM_LIMIT.cast_signed();
    let is_flagd = matches!(algorithm, Algorithm::Flagd | Algorithm::FlagdV1);
    let weight = if !is_flagd {
        field.whole(0, most).unwrap_or(0)
    } else if field.is_given() {
        field.whole(i64::MIN, most).unwrap_or(0).max(0)
    } else {
        1
    };
    weight.unsigned_abs()
}

#[expect(clippy::cast_precision_loss, reason = "weights and their sums are below 2^38")]
fn double(weight: u64) -> f64 {
    weight as f64
}

fn check_arms(arms: &Field<'_, '_>) {
    if arms.is_empty() {
        arms.refuse("must hold at least one arm, got none");
    }
    let mut names: Vec<&str> = Vec::new();
    for arm in arms.items_up_to(ARM_LIMIT) {
        arm.only(&["name", "weight", "ranges", "request"]);
        let field = arm.get("name");
        let name = check_name(&field);
        if names.contains(&name) {
            field.refuse(&["must be the arm's own, got \"", name, "\" again"].concat());
        }
        names.push(name);
    }
}

/// A name of an experiment, an arm, a layer or a holdout.
pub(super) fn check_name<'t>(field: &Field<'_, 't>) -> &'t str {
    let name = field.text().unwrap_or_default();
    if !is_name(name) {
        field.refuse_text("must be 1 to 64 letters, digits, `.`, `_` and `-`", name);
    }
    name
}

/// Whether a text may name an experiment or an arm.
pub(crate) fn is_name(name: &str) -> bool {
    let is_part = |c: u8| c.is_ascii_alphanumeric() || c == b'.' || c == b'_' || c == b'-';
    (1..=64).contains(&name.len()) && name.bytes().all(is_part)
}

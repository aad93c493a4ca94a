//! The hash of an experiment, a layer or a filter, and ranges of its values.

use crate::bucket::{Algorithm, Bucketer, Parameters, Units};
use filter_kit::settings::Field;

/// The most values of Eppo's hash.
const TOTAL_LIMIT: i64 = 0xffff_ffff;

/// The shards that Eppo has unless told otherwise.
const SHARDS: i64 = 10_000;

/// The fields that say which hash it is.
pub(super) const FIELDS: [&str; 5] = ["seed", "group", "salt", "total_shards", "units"];

/// Reads a hash. `name` stands for what is not given, `sum` is the total of those that have a sum of weights for it.
#[inline(never)]
pub(super) fn read(field: &Field<'_, '_>, algorithm: Algorithm, name: &str, sum: u64) -> Bucketer {
    let (seed, group, salt) = (field.get("seed"), field.get("group"), field.get("salt"));
    let (shards, units) = (field.get("total_shards"), field.get("units"));
    let is_seeded = algorithm == Algorithm::Launchdarkly && seed.is_given();
    let takes: &[&str] = match algorithm {
        Algorithm::Outrigger => &["salt"],
        Algorithm::GrowthbookV1 | Algorithm::GrowthbookV2 => &["seed", "units"],
        Algorithm::Flagd | Algorithm::FlagdV1 => &["seed"],
        Algorithm::Unleash | Algorithm::UnleashVariant | Algorithm::Optimizely => &["group"],
        Algorithm::Launchdarkly if is_seeded => &["seed"],
        Algorithm::Launchdarkly => &["group", "salt"],
        Algorithm::Eppo => &["salt", "total_shards"],
    };
    // An SDK takes an empty text for none; only flagd's evaluation may leave it out.
    let may_be_empty = matches!(algorithm, Algorithm::Flagd | Algorithm::FlagdV1);
    for name in FIELDS {
        let field = field.get(name);
        if field.is_given() && !takes.contains(&name) {
            field.refuse("must not be given with this algorithm");
        }
    }
    for field in [&seed, &group, &salt] {
        if field.word() == Some("") && !may_be_empty {
            field.refuse("must not be empty");
        }
    }
    let needs_salt = matches!(algorithm, Algorithm::Eppo | Algorithm::Launchdarkly) && !is_seeded;
    if needs_salt && !salt.is_given() {
        salt.refuse("must be given with this algorithm, got nothing");
    }
    if is_seeded && seed.word().is_none_or(|seed| seed.parse::<i64>().is_err()) {
        seed.refuse("must be a whole number with this algorithm");
    }
    let total = shards.whole(1, TOTAL_LIMIT).unwrap_or(SHARDS).unsigned_abs();
    let is_launchdarkly = algorithm == Algorithm::Launchdarkly;
    let parameters = Parameters {
        seed: seed.word().unwrap_or(if is_launchdarkly { "" } else { name }),
        group: group.word().unwrap_or(name),
        salt: salt.word().unwrap_or(name),
        total: if algorithm == Algorithm::Eppo { total } else { sum },
        units: Units::read(&units).unwrap_or_default(),
    };
    Bucketer::new(algorithm, &parameters)
}

/// Whether the ranges of an algorithm are shares of 1.
pub(super) fn is_in_shares(algorithm: Algorithm) -> bool {
    matches!(algorithm, Algorithm::GrowthbookV1 | Algorithm::GrowthbookV2)
}

/// Reads a range `[start, end]` of a hash's values.
#[inline(never)]
pub(super) fn range(field: &Field<'_, '_>, bucketer: &Bucketer) -> (u64, u64) {
    let mut ends = field.items();
    let (Some(start), Some(end), None) = (ends.next(), ends.next(), ends.next()) else {
        field.refuse("must be a pair [start, end]");
        return (0, 0);
    };
    between(field, &start, &end, bucketer)
}

/// Reads the two ends of a range of a hash's values.
#[inline(never)]
pub(super) fn between(
    field: &Field<'_, '_>,
    start: &Field<'_, '_>,
    end: &Field<'_, '_>,
    bucketer: &Bucketer,
) -> (u64, u64) {
    let (Some(start), Some(end)) = (start.number(), end.number()) else {
        field.refuse("must be a pair [start, end] of numbers");
        return (0, 0);
    };
    let total = bucketer.total();
    if is_in_shares(bucketer.algorithm()) {
        if start.value >= 0.0 && start.value <= end.value && end.value <= 1.0 {
            return (bucketer.bound(start.value), bucketer.bound(end.value));
        }
        field.refuse("must have 0 <= start <= end <= 1");
        return (0, 0);
    }
    let whole = |text: Option<i64>| u64::try_from(text?).ok();
    match whole(start.whole()).zip(whole(end.whole())) {
        Some((start, end)) if start <= end && end <= total => (start, end),
        _ => {
            let rule = ["must be whole numbers with 0 <= start <= end <= ", &total.to_string()].concat();
            field.refuse_got(&rule, &["[", start.text, ", ", end.text, "]"].concat());
            (0, 0)
        }
    }
}

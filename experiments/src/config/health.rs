//! What is watched of an experiment's arms.

use super::Shared;
use crate::{
    bucket::Ranges,
    experiment::Arm,
    guardrail::Guardrail,
    health::{ArmSeries, Health},
};
use filter_kit::{
    Bounded,
    metrics::{FamilyId, Kind, Metrics, SeriesId},
    settings::Field,
};
use std::cell::{Cell, RefCell};
use xxhash_rust::xxh64::xxh64;

/// The classes of statuses, as labels.
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// How long an arm without a host is left alone where nothing is said, in seconds; and the longest.
const FALLBACK: i64 = 5;
const FALLBACK_LIMIT: i64 = 3600;

/// The most requests of one user that say no more than one.
const PER_USER_LIMIT: i64 = 10_000;

/// The families of all experiments: responses, durations, fallbacks, closed arms, sample ratios.
fn families(metrics: &mut Metrics) -> [FamilyId; 5] {
    let arm = ["experiment", "arm"];
    [
        metrics.family(Kind::Counter, "ab_responses_total", &["experiment", "arm", "class"]),
        metrics.family(Kind::Histogram, "ab_duration_milliseconds", &arm),
        metrics.family(Kind::Counter, "ab_fallbacks_total", &arm),
        metrics.family(Kind::Gauge, "ab_arm_closed", &arm),
        metrics.family(Kind::Gauge, "ab_sample_ratio_p_value_thousandths", &["experiment"]),
    ]
}

/// Reads `health` and `guardrail`; nothing where neither is given.
#[inline(never)]
pub(super) fn read(
    experiment: &Field<'_, '_>,
    arms: &[Arm],
    ranges: &Ranges,
    shared: &mut Shared<'_>,
) -> Option<Box<Health>> {
    let (field, guardrail) = (experiment.get("health"), experiment.get("guardrail"));
    if !field.is_given() && !guardrail.is_given() {
        return None;
    }
    field.only(&["control", "fallback_seconds", "requests_per_user"]);
    let name = experiment.get("name").text().unwrap_or_default();
    let guardrail = Guardrail::read(&guardrail, &experiment.get("arms"));
    let own = field.get("control");
    let control = match (own.text(), &guardrail) {
        (Some(name), None) => arms.iter().position(|arm| *arm.name == *name).unwrap_or_else(|| {
            own.refuse_text("must be the name of an arm", name);
            0
        }),
        (Some(name), Some(_)) => {
            own.refuse_text("must not be given beside a guardrail, which has it", name);
            0
        }
        (None, guardrail) => guardrail.as_ref().map_or(0, |guardrail| guardrail.control),
    };
    let own = field.get("requests_per_user");
    let per_user = own.whole(1, PER_USER_LIMIT).map(i64::unsigned_abs);
    if guardrail.is_some() && own.is_given() {
        own.refuse("must not be given beside a guardrail, which has it");
    }
    let per_user = guardrail.as_ref().map_or(per_user.unwrap_or(1), |guardrail| guardrail.per_user);
    let seconds = field.get("fallback_seconds").whole(1, FALLBACK_LIMIT).unwrap_or(FALLBACK);
    let metrics = &mut shared.metrics;
    let [responses, durations, fallbacks, closed, ratio] =
        *shared.health.get_or_insert_with(|| families(metrics));
    let mut series = Vec::new();
    for arm in arms {
        let labels = || [Bounded::own(name), Bounded::own(&*arm.name)];
        let mut responded = [SeriesId::default(); 5];
        for (series, class) in responded.iter_mut().zip(CLASSES) {
            let [experiment, arm] = labels();
            *series = metrics.series(responses, &[experiment, arm, Bounded::own(class)]);
        }
        series.push(ArmSeries {
            responses: responded,
            duration: metrics.series(durations, &labels()),
            closed: guardrail.is_some().then(|| metrics.series(closed, &labels())),
            fallbacks: metrics.series(fallbacks, &labels()),
        });
    }
    let weights = ranges.sizes(arms.len());
    let names: Vec<&str> = arms.iter().map(|arm| &*arm.name).collect();
    let rules = guardrail.as_ref().map(|guardrail| guardrail.rules()).unwrap_or_default();
    let bytes: Vec<u8> = weights.iter().chain(&rules).flat_map(|number| number.to_le_bytes()).collect();
    Some(Box::new(Health {
        guardrail,
        control: u8::try_from(control).unwrap_or(0),
        fallback: seconds.unsigned_abs() * 1_000_000_000,
        arms: series,
        per_user,
        ratio_series: metrics.series(ratio, &[Bounded::own(name)]),
        key: ["outrigger.ab.", name].concat().into(),
        weights,
        marks: [xxh64(names.join("~").as_bytes(), 0), xxh64(&bytes, 0)],
        state: RefCell::default(),
        closed: Cell::default(),
        alone: RefCell::default(),
    }))
}

//! An experiment, from its configuration.

use super::{
    Shared,
    arms::{Split, split},
    change, gates, health,
    order::find,
    response,
};
use crate::{
    bucket::Algorithm,
    experiment::{Arm, Experiment, Gate, Reason, Requirement, Skipped, Special, Uncounted},
    key::{KEY_LIMIT, KeyList},
    sticky::Versions,
    time,
};
use filter_kit::{Bounded, matcher, metrics::SeriesId, settings::Field};

/// The most keys of an experiment that are forced into arms.
const FORCE_LIMIT: usize = 10_000;

/// The fields of an experiment.
const FIELDS: [&str; 28] = [
    "name",
    "enabled",
    "start",
    "end",
    "match",
    "key",
    "visitor_cookie",
    "header",
    "algorithm",
    "seed",
    "group",
    "salt",
    "total_shards",
    "units",
    "coverage",
    "rollout_group",
    "arms",
    "previous",
    "layer",
    "namespace",
    "filters",
    "holdouts",
    "requires",
    "force",
    "sticky",
    "response",
    "health",
    "guardrail",
];

/// Reads an experiment. `None` where it is refused so that nothing can be made of it.
#[inline(never)]
pub(super) fn read<'c>(field: &Field<'_, 'c>, shared: &mut Shared<'c>) -> Option<Experiment> {
    field.only(&FIELDS);
    let name = field.get("name").text().unwrap_or_default();
    let matchers = matcher::compile_all(&field.get("match"));
    let (key, visitor_cookie) = (field.get("key"), field.get("visitor_cookie"));
    if key.is_empty() && !visitor_cookie.is_given() {
        key.refuse("must name a header, cookie or query parameter unless visitor_cookie is given, got none");
    }
    let visitor_cookie = visitor_cookie.is_given().then(|| shared.cookie(&visitor_cookie));
    let keys = KeyList { sources: gates::sources(&key), visitor_cookie };
    let header = field.get("header");
    let header = if header.is_given() { header.header(true)? } else { shared.names_arm.clone() };
    let algorithm = Algorithm::read(&field.get("algorithm")).unwrap_or_default();
    let Split { bucketer, ranges, coverage } = split(field, algorithm, name);
    let gates = gates::read(field, algorithm, name, shared);
    let sticky = versions(&field.get("sticky"), shared);
    let response = response::read(&field.get("response"), &matchers, &keys, sticky.is_some(), shared);
    let arms = arms(&field.get("arms"), name, shared);
    let skipped = skipped(field, name, shared);
    let force = field.get("force");
    let health = health::read(field, &arms, &ranges, shared);
    let uncounted = uncounted(name, [force.is_given(), health.is_some()], shared);
    let enabled = field.get("enabled").flag(true);
    let special = special(field, &arms, sticky, gates, shared);
    let changes = arms.iter().any(|arm| arm.change.is_some());
    Some(Experiment {
        name: name.into(),
        enabled,
        is_plain: enabled && special.is_none() && response.is_none() && health.is_none() && !changes,
        matchers,
        keys: shared.key_list(keys),
        header: shared.header(header),
        bucketer,
        ranges,
        coverage,
        special,
        arms,
        response,
        health,
        skipped,
        uncounted,
    })
}

fn special(
    field: &Field<'_, '_>,
    arms: &[Arm],
    sticky: Option<Versions>,
    gates: Vec<Gate>,
    shared: &Shared<'_>,
) -> Option<Box<Special>> {
    let window = window(&field.get("start"), &field.get("end"));
    let requires = requirements(&field.get("requires"), shared);
    let forced = forced(&field.get("force"), arms);
    let is_special = window.is_some()
        || sticky.is_some()
        || !(requires.is_empty() && forced.is_empty() && gates.is_empty());
    is_special.then(|| Box::new(Special { window, requires, forced, sticky, gates }))
}

fn window(start: &Field<'_, '_>, end: &Field<'_, '_>) -> Option<(u64, u64)> {
    let time = |field: &Field<'_, '_>, otherwise| {
        let Some(text) = field.text() else { return otherwise };
        time::nanoseconds(text).unwrap_or_else(|| {
            field.refuse_text("must be a time such as 2026-11-23T00:00:00Z", text);
            otherwise
        })
    };
    let (from, to) = (time(start, 0), time(end, u64::MAX));
    if from >= to {
        let text = [end.text().unwrap_or_default(), " behind ", start.text().unwrap_or_default()].concat();
        end.refuse_got("must be behind the start", &text);
    }
    (start.is_given() || end.is_given()).then_some((from, to))
}

fn arms(list: &Field<'_, '_>, name: &str, shared: &mut Shared<'_>) -> Vec<Arm> {
    let mut arms = Vec::new();
    for field in list.items() {
        let arm = field.get("name").text().unwrap_or_default();
        let labels = [Bounded::own(name), Bounded::own(arm)];
        let exposures = shared.metrics.series(shared.exposures, &labels);
        arms.push(Arm { name: arm.into(), exposures, change: change::read(&field.get("request")) });
    }
    arms
}

/// The series of the reasons that an experiment can have.
fn skipped(field: &Field<'_, '_>, name: &str, shared: &mut Shared<'_>) -> Skipped {
    let is_given = |name| field.get(name).is_given();
    let is_possible = [
        true,
        true,
        true,
        true,
        true,
        is_given("holdouts"),
        is_given("layer"),
        is_given("namespace") || is_given("filters"),
        is_given("requires"),
        is_given("sticky"),
    ];
    let mut last = SeriesId::default();
    Skipped(std::array::from_fn(|place| {
        if is_possible.get(place) == Some(&true) {
            let reason = Bounded::own(Reason::NAMES.get(place).copied().unwrap_or_default());
            last = shared.metrics.series(shared.not_bucketed, &[Bounded::own(name), reason]);
        }
        last
    }))
}

fn uncounted(name: &str, [has_forced, has_health]: [bool; 2], shared: &mut Shared<'_>) -> Uncounted {
    let [forced, carried, closed, no_host, bot, prefetch] = [
        ("forced", has_forced || shared.has.overrides),
        ("carried", shared.has.propagation),
        ("closed", has_health),
        ("no_host", has_health),
        ("bot", shared.has.bots),
        ("prefetch", shared.has.prefetch),
    ]
    .map(|(reason, is_possible)| {
        let labels = [Bounded::own(name), Bounded::own(reason)];
        is_possible.then(|| shared.metrics.series(shared.uncounted, &labels))
    });
    Uncounted { forced, carried, closed, no_host, bot, prefetch }
}

/// The keys that are forced into arms, sorted.
fn forced(list: &Field<'_, '_>, arms: &[Arm]) -> Vec<(Box<[u8]>, u8)> {
    let mut forced: Vec<(Box<[u8]>, u8)> = Vec::new();
    for field in list.items() {
        field.only(&["arm", "keys"]);
        let arm = field.get("arm");
        let name = arm.text().unwrap_or_default();
        let place = arms.iter().position(|other| *other.name == *name);
        if place.is_none() {
            arm.refuse_text("must be the name of an arm", name);
        }
        let place = place.and_then(|place| u8::try_from(place).ok()).unwrap_or_default();
        for key in field.get("keys").items() {
            let text = key.text().unwrap_or_default().as_bytes();
            // A key is a person's, and an error is logged: it does not say which.
            if !(1..=KEY_LIMIT).contains(&text.len()) || forced.len() >= FORCE_LIMIT {
                key.refuse("must have 1 to 4096 bytes, and be one of at most 10000 keys");
                return forced;
            }
            match forced.binary_search_by(|(other, _)| (**other).cmp(text)) {
                Ok(_) => key.refuse("must not be forced already"),
                Err(at) => forced.insert(at, (text.into(), place)),
            }
        }
    }
    forced
}

fn versions(field: &Field<'_, '_>, shared: &Shared<'_>) -> Option<Versions> {
    if !field.is_given() {
        return None;
    }
    field.only(&["bucket_version", "min_bucket_version"]);
    if !shared.has.sticky {
        field.refuse("must have the cookie of the filter's own `sticky`, got none");
    }
    let version =
        |name| u32::try_from(field.get(name).whole(0, i64::from(u32::MAX)).unwrap_or(0)).unwrap_or(0);
    let (current, least) = (version("bucket_version"), version("min_bucket_version"));
    if least > current {
        let rule = ["must be at most the bucket_version ", &current.to_string()].concat();
        field.get("min_bucket_version").refuse_got(&rule, &least.to_string());
    }
    Some(Versions { current, least })
}

/// The requirements, which were checked when the order was made.
fn requirements(list: &Field<'_, '_>, shared: &Shared<'_>) -> Vec<Requirement> {
    let mut requirements = Vec::new();
    for required in list.items() {
        let (name, wanted) = (required.get("experiment"), required.get("arms"));
        let Some(place) = find(shared.experiments, name.text().unwrap_or_default()) else { continue };
        let Some(other) = shared.experiments.get(place) else { continue };
        let mut arms = Vec::new();
        for (arm, place) in other.get("arms").items().zip(0_u8..) {
            let name = arm.get("name").text();
            if wanted.items().any(|wanted| wanted.text() == name) {
                arms.push(place);
            }
        }
        let experiment = shared.order.iter().position(|other| *other == place).unwrap_or(0);
        requirements.push(Requirement { experiment, arms });
    }
    requirements
}

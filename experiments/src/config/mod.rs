//! From the configuration to the filter.

mod arms;
mod change;
mod experiment;
mod gates;
mod guardrail;
mod hash;
mod health;
mod order;
mod overrides;
mod propagation;
mod response;

pub(crate) use arms::is_name;
pub(crate) use guardrail::read as read_guardrail;

use crate::{
    ArmHeader, EXPERIMENT_LIMIT, Experiments, Names,
    bucket::{Algorithm, Bucketer},
    carried::Propagation,
    change::{Change, Edit},
    cookie::SetCookie,
    experiment::Experiment,
    key::{KeyList, KeySource},
    overrides::Overrides,
    paths::Paths,
    sticky::Sticky,
};
use arms::check_name;
use filter_kit::{
    ConfigError, Environment, HeaderName, SINGLE_LIMIT, Secret,
    matcher::Matcher,
    metrics::{FamilyId, Kind, Metrics, MetricsConfig},
    settings::Field,
};

/// The most layers, and the most holdouts.
const LAYER_LIMIT: usize = 100;

/// The most headers that a request is expected to have among those that are fetched one by one: a second one costs more than the whole map.
const PRESENT_LIMIT: usize = 1;

/// Reads a hash by itself.
pub(crate) fn read_hash(field: &Field<'_, '_>, total: u64) -> Bucketer {
    let algorithm = Algorithm::read(&field.get("algorithm")).unwrap_or_default();
    hash::read(field, algorithm, "", total)
}

/// What experiments share while they are compiled.
struct Shared<'c> {
    root: &'c Field<'c, 'c>,
    experiments: &'c [Field<'c, 'c>],
    /// The experiments' places in the order in which they are tried.
    order: Vec<usize>,
    headers: Vec<HeaderName>,
    /// The header of an experiment that names none.
    names_arm: HeaderName,
    cookies: Vec<SetCookie>,
    keys: Vec<KeyList>,
    metrics: Metrics,
    exposures: FamilyId,
    not_bucketed: FamilyId,
    uncounted: FamilyId,
    /// The families of what is watched, once an experiment is.
    health: Option<[FamilyId; 5]>,
    /// Where arms may be asked for, as caches know it.
    asked: Vec<String>,
    has: Has,
    /// The ranges of layers and namespaces that are taken: of which, from where to where, and by which experiment.
    taken: Vec<((bool, &'c str), u64, u64, &'c str)>,
    /// The names of cookies that already have a meaning.
    cookie_names: Vec<String>,
}

/// What the configuration has outside of its experiments.
#[derive(Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "they are five questions, and not a state")]
struct Has {
    overrides: bool,
    sticky: bool,
    propagation: bool,
    /// Whether bots are no exposures.
    bots: bool,
    /// Whether prefetches are no exposures.
    prefetch: bool,
}

/// The fields of a configuration.
const FIELDS: [&str; 9] = [
    "experiments",
    "layers",
    "holdouts",
    "overrides",
    "sticky",
    "propagate",
    "exposures",
    "count_forged",
    "metrics",
];

/// Compiles the whole configuration.
pub(crate) fn compile(
    root: &Field<'_, '_>,
    environment: &Environment<'_>,
) -> Result<Experiments, ConfigError> {
    root.only(&FIELDS);
    let metrics = root.get("metrics");
    let mut shared_metrics = Metrics::new(&MetricsConfig::read(&metrics));
    let mut counter = |name, labels: &[&str]| shared_metrics.family(Kind::Counter, name, labels);
    let exposures = counter("ab_exposures_total", &["experiment", "arm"]);
    let not_bucketed = counter("ab_not_bucketed_total", &["experiment", "reason"]);
    let uncounted = counter("ab_uncounted_total", &["experiment", "reason"]);
    let forged = root.get("count_forged").flag(false).then(|| {
        let family = shared_metrics.family(Kind::Counter, "ab_client_headers_stripped_total", &[]);
        shared_metrics.series(family, &[])
    });
    let (list, layers, holdouts) = (root.get("experiments"), root.get("layers"), root.get("holdouts"));
    let experiments: Vec<Field<'_, '_>> = list.items_up_to(EXPERIMENT_LIMIT).collect();
    check_names(&layers, LAYER_LIMIT, "layer");
    check_names(&holdouts, LAYER_LIMIT, "holdout");
    check_names(&list, EXPERIMENT_LIMIT, "experiment");
    gates::check(&layers, &holdouts);
    let overrides = overrides::read(&root.get("overrides"), environment, &mut shared_metrics);
    let sticky = read_sticky(&root.get("sticky"), environment);
    let propagation = propagation::read(&root.get("propagate"), environment, &mut shared_metrics)?;
    let [bots, prefetch] = read_exposures(&root.get("exposures"));
    let has = Has {
        overrides: overrides.is_some(),
        sticky: sticky.is_some(),
        propagation: propagation.is_some(),
        bots,
        prefetch,
    };
    let asked = asked(overrides.as_ref(), propagation.as_ref());
    let names = Names::new()?;
    let mut shared = Shared {
        root,
        experiments: &experiments,
        order: order::order(&experiments),
        headers: Vec::new(),
        names_arm: names.arm.clone(),
        cookies: Vec::new(),
        keys: Vec::new(),
        metrics: shared_metrics,
        exposures,
        not_bucketed,
        uncounted,
        health: None,
        asked,
        has,
        taken: Vec::new(),
        cookie_names: Vec::new(),
    };
    shared.cookie_names.extend(sticky.as_ref().map(|sticky| sticky.cookie.name.to_string()));
    let mut compiled: Vec<Option<Experiment>> = Vec::new();
    for field in &experiments {
        compiled.push(experiment::read(field, &mut shared));
    }
    for (field, experiment) in experiments.iter().zip(&compiled) {
        check_changes(field, experiment.as_ref(), &shared.headers);
    }
    shared.metrics.check_budget(&metrics);
    let (all, everyone, paths) = in_order(&shared.order, compiled);
    let notes_arms =
        has.propagation || experiments.iter().any(|experiment| experiment.get("requires").is_given());
    propagation::check(&root.get("propagate"), propagation.as_ref(), &shared.headers);
    let counts_some = has.bots || has.prefetch;
    let few = if counts_some || has.propagation {
        None
    } else {
        single_headers(&all, &shared, overrides.as_ref(), sticky.as_ref(), forged.is_some())
    };
    let filter = Experiments {
        single_headers: few.unwrap_or_default(),
        is_special: counts_some || notes_arms,
        notes_arms,
        all,
        everyone,
        paths,
        header_lengths: lengths(&shared.headers),
        headers: shared
            .headers
            .into_iter()
            .zip(0..)
            .map(|(name, bit)| ArmHeader { name, bit: 1 << bit })
            .collect(),
        keys: shared.keys,
        cookies: shared.cookies,
        overrides,
        sticky,
        propagation,
        names,
        forged,
        metrics: shared.metrics,
    };
    root.finish(filter)
}

/// The experiments in the order in which they are tried, the bits of them all, and which of them a path rules out.
fn in_order(order: &[usize], mut compiled: Vec<Option<Experiment>>) -> (Vec<Experiment>, u128, Paths) {
    let mut sorted = Vec::new();
    let (mut paths, mut everyone) = (Paths::default(), 0);
    for (place, bit) in order.iter().zip((0..EXPERIMENT_LIMIT).map(|place| 1 << place)) {
        let Some(experiment) = compiled.get_mut(*place).and_then(Option::take) else { continue };
        everyone |= bit;
        // One whose caches are told of it in any case is looked at in any case.
        let is_told = experiment.response.as_ref().is_some_and(|marks| marks.is_always);
        if let Some((text, is_whole)) =
            experiment.matchers.iter().find_map(Matcher::path).filter(|_| !is_told)
        {
            paths.add(text, is_whole, bit);
        }
        sorted.push(experiment);
    }
    (sorted, everyone, paths)
}

/// The lengths of names, modulo 64, as bits.
fn lengths(names: &[HeaderName]) -> u64 {
    names.iter().fold(0, |lengths, name| lengths | 1 << (name.as_str().len() % 64))
}

/// Names are well-formed, and nobody has another's.
fn check_names(list: &Field<'_, '_>, limit: usize, what: &str) {
    let mut names: Vec<&str> = Vec::new();
    for item in list.items_up_to(limit) {
        let field = item.get("name");
        let name = check_name(&field);
        if names.contains(&name) {
            field.refuse(&["must be the ", what, "'s own, got \"", name, "\" again"].concat());
        }
        names.push(name);
    }
}

/// No arm changes a header that names an arm: one of the two would be lost.
fn check_changes(field: &Field<'_, '_>, experiment: Option<&Experiment>, headers: &[HeaderName]) {
    let arms = experiment.map(|experiment| experiment.arms.as_slice()).unwrap_or_default();
    for (item, arm) in field.get("arms").items().zip(arms) {
        for edit in arm.change.as_ref().map(|change| change.headers.as_slice()).unwrap_or_default() {
            let (Edit::Set(name, _) | Edit::Add(name, _) | Edit::Remove(name)) = edit;
            if headers.contains(name) {
                item.get("request").refuse_text("must not change a header that names arms", name.as_str());
            }
        }
    }
}

/// All request headers that the experiments read, where they are so few that they cost less one by one.
#[inline(never)]
fn single_headers(
    experiments: &[Experiment],
    shared: &Shared<'_>,
    overrides: Option<&Overrides>,
    sticky: Option<&Sticky>,
    is_counted: bool,
) -> Option<Vec<Box<str>>> {
    let mut names: Vec<&str> = Vec::new();
    let mut is_whole = false;
    let (mut cookies, mut target) = (sticky.is_some(), false);
    for experiment in experiments {
        for matcher in &experiment.matchers {
            matcher.single_headers(&mut |name| match name {
                Some(name) => names.push(name),
                None => is_whole = true,
            });
        }
        cookies |= experiment.response.as_ref().is_some_and(|marks| marks.cookie.is_some());
        target |= experiment.arms.iter().any(|arm| arm.change.as_deref().is_some_and(Change::is_of_target));
    }
    for list in &shared.keys {
        cookies |= list.visitor_cookie.is_some();
        names.extend(list.sources.iter().map(KeySource::header));
    }
    cookies |= overrides.is_some_and(|overrides| overrides.cookie.is_some());
    target |= overrides.is_some_and(|overrides| overrides.query.is_some());
    names.extend(cookies.then_some("cookie"));
    names.extend(target.then_some(":path"));
    let mut single: Vec<Box<str>> = Vec::new();
    for name in names {
        if !single.iter().any(|other| **other == *name) {
            single.push(name.into());
        }
    }
    let present = single.len();
    // A request has these, and the arms' headers only if its client forges them: which is looked up where no arm is written, or to be counted.
    let is_asked = |place: usize| {
        is_counted
            || !experiments.iter().any(|experiment| experiment.header == place && experiment.is_for_all())
    };
    let headers = shared.headers.iter().enumerate().filter(|(place, _)| is_asked(*place));
    let asked = overrides.and_then(|overrides| overrides.header.as_ref());
    single.extend(headers.map(|(_, name)| name).chain(asked).map(|name| name.as_str().into()));
    (!is_whole && present <= PRESENT_LIMIT && single.len() <= SINGLE_LIMIT).then_some(single)
}

/// Whether bots and prefetches are no exposures.
fn read_exposures(field: &Field<'_, '_>) -> [bool; 2] {
    field.only(&["bots", "prefetch"]);
    ["bots", "prefetch"].map(|kind| !field.get(kind).flag(true))
}

/// The headers that bring arms, as caches know them.
fn asked(overrides: Option<&Overrides>, propagation: Option<&Propagation>) -> Vec<String> {
    let header = overrides.and_then(|overrides| overrides.header.as_ref());
    let cookie = overrides.and_then(|overrides| overrides.cookie.as_ref()).map(|_| "cookie");
    let carried = propagation.map(|propagation| &propagation.header);
    let headers = header.into_iter().chain(carried).map(HeaderName::as_str);
    headers.chain(cookie).map(str::to_owned).collect()
}

fn read_sticky(field: &Field<'_, '_>, environment: &Environment<'_>) -> Option<Sticky> {
    if !field.is_given() {
        return None;
    }
    field.only(&["cookie", "secret_env", "secret"]);
    Some(Sticky {
        cookie: SetCookie::read(&field.get("cookie"), "ab-sticky"),
        secret: Secret::read(field, environment),
    })
}

impl<'c> Shared<'c> {
    /// The place of a cookie among the filter's; experiments may share one, with the same attributes.
    fn cookie(&mut self, field: &Field<'_, '_>) -> usize {
        let cookie = SetCookie::read(field, "visitor");
        if let Some(place) = self.cookies.iter().position(|other| other.name == cookie.name) {
            if self.cookies.get(place) != Some(&cookie) {
                let name = field.get("name");
                let rule = "must have the same attributes in each experiment, got others for \"";
                name.refuse(&[rule, &cookie.name, "\""].concat());
            }
            return place;
        }
        self.own_cookie(field, &cookie);
        self.cookies.push(cookie);
        self.cookies.len() - 1
    }

    /// Each cookie has one meaning.
    fn own_cookie(&mut self, field: &Field<'_, '_>, cookie: &SetCookie) {
        if self.cookie_names.iter().any(|other| **other == *cookie.name) {
            field.get("name").refuse_text("must be a cookie of its own", &cookie.name);
        }
        self.cookie_names.push(cookie.name.to_string());
    }

    /// The place of a list of keys among the filter's.
    fn key_list(&mut self, list: KeyList) -> usize {
        if let Some(place) = self.keys.iter().position(|other| *other == list) {
            return place;
        }
        self.keys.push(list);
        self.keys.len() - 1
    }

    /// The place of an arm's header among the filter's.
    fn header(&mut self, name: HeaderName) -> usize {
        if let Some(place) = self.headers.iter().position(|other| *other == name) {
            return place;
        }
        self.headers.push(name);
        self.headers.len() - 1
    }

    /// Takes a range of a layer for an experiment.
    fn take(
        &mut self,
        field: &Field<'_, '_>,
        layer: (bool, &'c str),
        (start, end): (u64, u64),
        experiment: &'c str,
    ) {
        for (other, from, to, by) in &self.taken {
            if *other == layer && start < *to && *from < end {
                let (from, to) = (from.to_string(), to.to_string());
                field.refuse(&["must not overlap what \"", by, "\" has of it, ", &from, "..", &to].concat());
            }
        }
        self.taken.push((layer, start, end, experiment));
    }
}

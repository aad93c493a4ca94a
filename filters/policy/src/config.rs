//! From the configuration to the filter.

use crate::{
    Policy,
    ask::Ask,
    candidate::Candidate,
    denial::{Denial, DenialField},
    extension::Shared,
    index::Index,
    policies::{self, OnError},
    policy_set::PolicySet,
    program::Builder,
    record::Record,
    sets::Sets,
    trust::TrustDomains,
};
use filter_kit::{
    ConfigError, Environment, choices,
    metrics::{Metrics, MetricsConfig},
    settings::Field,
};
use std::{cell::RefCell, rc::Rc};

/// How what Istio leaves open is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// As Istio and Envoy read it.
    Istio,
    /// With every hole closed, and every mistake in a policy refused.
    Strict,
}

choices!(Mode { "istio" => Istio, "strict" => Strict });

/// Compiles the whole configuration.
pub fn compile(root: &Field<'_, '_>, environment: &Environment<'_>) -> Result<Policy, ConfigError> {
    root.only(&[
        "mode",
        "root_namespace",
        "trust_domains",
        "on_error",
        "policies",
        "candidate",
        "denial",
        "verdict_header",
        "record_allowed",
        "decision_log",
        "explain",
        "sets",
        "body",
        "pii",
        "metrics",
    ]);
    // Which policies apply to a workload is decided before they come here: the namespace is kept for `outrigger manifest policy`.
    let _ = root.get("root_namespace").text();
    let metrics_field = root.get("metrics");
    let mut metrics = Metrics::new(&MetricsConfig::read(&metrics_field));
    let record = Record::new(&mut metrics, root);
    let shared = Shared::read(root, environment);
    let (live, mut dropped) = read_set(root, root, None);
    let candidate = read_candidate(root, &live, &mut dropped, &mut metrics);
    let (candidate, refused) = candidate.map_or_else(|error| (None, Some(error)), |read| (read, None));
    let ask = Ask::read(&root.get("explain"), environment, &mut metrics);
    let filter = Policy {
        denial: Denial::read(&root.get("denial"), DenialField::Default),
        single_headers: single_headers(&live, candidate.as_ref(), ask.as_ref()),
        ask,
        live,
        candidate,
        refused,
        record,
        shared,
        dropped,
        metrics,
    };
    filter.metrics.check_budget(&metrics_field);
    root.finish(filter)
}

/// Reads a set: each field from `own`, or where that has none from the filter's configuration. Says what was dropped from its policies.
fn read_set(
    root: &Field<'_, '_>,
    own: &Field<'_, '_>,
    live: Option<&PolicySet>,
) -> (PolicySet, Vec<ConfigError>) {
    let get = |name| either(own, root, name);
    let mode = Mode::read(&get("mode")).unwrap_or(Mode::Istio);
    let trust = get("trust_domains");
    let trust_domains = TrustDomains(trust.items().filter_map(|item| item.text()).collect());
    let mut builder = Builder::default();
    builder.program.is_strict = mode == Mode::Strict;
    let sets = match live {
        Some(live) if !own.get("sets").is_given() => Rc::clone(&live.sets),
        _ => Rc::new(Sets::read(&own.get("sets"))),
    };
    let reader = policies::Reader { mode, trust_domains, sets: &sets, dropped: RefCell::default() };
    let policies = reader.read(&get("policies"), &mut builder);
    let dropped = reader.dropped.into_inner();
    let program = builder.finish();
    let index = Index::new(&program);
    let on_error = OnError::read(&get("on_error"));
    (PolicySet { program, index, policies, on_error, sets }, dropped)
}

/// A field of a set, or where that has none the filter's own.
fn either<'a, 't>(own: &'a Field<'_, 't>, root: &'a Field<'_, 't>, name: &'a str) -> Field<'a, 't> {
    let field = own.get(name);
    if field.is_given() { field } else { root.get(name) }
}

/// Reads a candidate. What is wrong with it stops nothing: the live set decides, and it is told of.
fn read_candidate(
    root: &Field<'_, '_>,
    live: &PolicySet,
    dropped: &mut Vec<ConfigError>,
    metrics: &mut Metrics,
) -> Result<Option<Candidate>, ConfigError> {
    let refused = RefCell::default();
    let root = root.aside(&refused);
    let field = root.get("candidate");
    if !field.is_given() {
        return Ok(None);
    }
    field.only(&["policies", "mode", "on_error", "sets", "trust_domains", "examples"]);
    let (set, also_dropped) = read_set(&root, &field, Some(live));
    if field.get("policies").is_given() {
        dropped.extend(also_dropped);
    }
    let candidate = Candidate::new(set, &field, metrics);
    root.finish(Some(candidate))
}

/// The request headers that both sets and who asks read of any request, where these are few.
fn single_headers(live: &PolicySet, candidate: Option<&Candidate>, ask: Option<&Ask>) -> Vec<Box<str>> {
    let mut all: Vec<Box<str>> = ask.map(|ask| ask.header.as_str().into()).into_iter().collect();
    for set in [Some(live), candidate.map(|candidate| &candidate.set)].into_iter().flatten() {
        let names = set.index.single_headers();
        if names.is_empty() && !set.program.rules.is_empty() {
            return names;
        }
        all.extend(names);
    }
    filter_kit::sort_unique(&mut all);
    if all.len() > filter_kit::SINGLE_LIMIT { Vec::new() } else { all }
}

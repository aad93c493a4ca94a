//! From the configuration to the filter.

use crate::{
    Policy,
    denial::{Denial, DenialField},
    index::Index,
    policies::{self, OnError},
    program::Builder,
    record::Record,
    trust::TrustDomains,
};
use filter_kit::{
    ConfigError, Environment, choices,
    metrics::{Metrics, MetricsConfig},
    settings::Field,
};
use std::cell::RefCell;

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
        "denial",
        "verdict_header",
        "record_allowed",
        "sets",
        "body",
        "pii",
        "metrics",
    ]);
    let mode = Mode::read(&root.get("mode")).unwrap_or(Mode::Istio);
    // Which policies apply to a workload is decided before they come here: the namespace is kept for `outrigger manifest policy`.
    let _ = root.get("root_namespace").text();
    let trust = root.get("trust_domains");
    let trust_domains = trust.items().filter_map(|item| item.text()).collect();
    let metrics_field = root.get("metrics");
    let mut metrics = Metrics::new(&MetricsConfig::read(&metrics_field));
    let record = Record::new(&mut metrics, root);
    let mut builder = Builder::default();
    builder.program.is_strict = mode == Mode::Strict;
    let shared = crate::extension::Shared::read(root, environment);
    let trust_domains = TrustDomains(trust_domains);
    let reader = policies::Reader { mode, trust_domains, shared: &shared, dropped: RefCell::default() };
    let policies = reader.read(&root.get("policies"), &mut builder);
    let dropped = reader.dropped.into_inner();
    let program = builder.finish();
    let index = Index::new(&program);
    let filter = Policy {
        on_error: OnError::read(&root.get("on_error")),
        denial: Denial::read(&root.get("denial"), DenialField::Default),
        single_headers: index.single_headers(),
        index,
        program,
        policies,
        record,
        shared,
        dropped,
        metrics,
    };
    filter.metrics.check_budget(&metrics_field);
    root.finish(filter)
}

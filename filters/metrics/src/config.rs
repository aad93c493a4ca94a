//! From the configuration to the filter.

use crate::{
    MetricsFilter,
    catalogue::Catalogue,
    default_set::DefaultSet,
    define::{CountFamilies, Reading},
    guard::Guard,
    names::{Convention, Unit},
};
use filter_kit::{
    ConfigError, HeaderName, choices,
    json_body::BodyFields,
    metrics::{Encoding, Metrics, MetricsConfig},
    routes::Routes,
    settings::Field,
};

/// The most series of a proxy where the configuration says nothing.
const DEFAULT_BUDGET: u32 = 5000;
/// How much of a body is read where the configuration says nothing, in bytes.
const BODY_LIMIT: usize = 64 << 10;

/// Where the label of a route comes from, as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RouteFrom {
    Path,
    Name,
}

/// When the arm's header is read, as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ArmAt {
    Request,
    End,
}

choices!(ArmAt { "request" => Request, "end" => End });
choices!(RouteFrom { "path" => Path, "name" => Name });

/// Compiles the whole configuration.
pub fn compile(root: &Field<'_, '_>) -> Result<MetricsFilter, ConfigError> {
    root.only(&[
        "names",
        "prefix",
        "unit",
        "default_set",
        "route",
        "routes",
        "arm",
        "verdict",
        "define",
        "body",
        "guard",
        "metrics",
    ]);
    let metrics_field = root.get("metrics");
    let default = MetricsConfig { labels: Encoding::Envoy, budget: DEFAULT_BUDGET };
    let config = default.or_read(&metrics_field);
    let mut metrics = Metrics::new(&config);
    let mut catalogue = Catalogue::default();
    let convention = Convention::read(&root.get("names")).unwrap_or(Convention::OpenTelemetry);
    let unit = Unit::read(&root.get("unit")).unwrap_or(Unit::Milliseconds);
    let prefix = root.get("prefix");
    let prefix = prefix.text().unwrap_or_default();
    let counts = CountFamilies::new(&mut metrics, &mut catalogue, root);
    let (arm, verdict, body_field) = (root.get("arm"), root.get("verdict"), root.get("body"));
    arm.only(&["header", "at"]);
    verdict.only(&["header"]);
    body_field.only(&["limit_bytes"]);
    let default_set = DefaultSet::read(
        &root.get("default_set"),
        (convention, unit, prefix),
        &mut metrics,
        &mut catalogue,
        |metrics| counts.of(metrics, "default_set"),
    );
    let verdict = verdict.get("header").header(false);
    let mut fields = Vec::new();
    let reading = &mut Reading {
        metrics: &mut metrics,
        catalogue: &mut catalogue,
        counts,
        config: &config,
        body: &mut fields,
        has_verdict: verdict.is_some(),
        field: &root.get("define"),
    };
    let definitions = reading.all();
    let limit =
        body_field.get("limit_bytes").whole(1, 10 << 20).and_then(|limit| usize::try_from(limit).ok());
    let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
    let is_arm_late = ArmAt::read(&arm.get("at")) == Some(ArmAt::End);
    let arm = arm.get("header").header(false).or_else(|| HeaderName::parse("x-arm").ok());
    let filter = MetricsFilter {
        unit,
        default_set,
        is_route_named: RouteFrom::read(&root.get("route")) == Some(RouteFrom::Name),
        routes: Routes::read(&root.get("routes")),
        arm,
        is_arm_late,
        verdict,
        definitions,
        body: BodyFields::new(&fields, limit.unwrap_or(BODY_LIMIT)),
        guard: Guard::read(&root.get("guard")),
        catalogue,
        encoding: config.labels,
        metrics,
    };
    filter.metrics.check_budget(&metrics_field);
    root.finish(filter)
}

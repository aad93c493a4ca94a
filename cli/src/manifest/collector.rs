//! The OpenTelemetry Collector: a scrape job, and names and units as the conventions have them.

use metrics::{
    MetricsFilter,
    catalogue::{Described, Role},
};
use serde_json::{Value, json};

/// A part of a Collector's configuration; its pipeline takes whatever exporters there are.
pub fn config(filter: &MetricsFilter) -> Value {
    let catalogue = filter.catalogue();
    let role = |role| catalogue.of(role).map(|metric: &Described| metric.name.as_str());
    let mut statements = Vec::new();
    if let Some(name) = role(Role::Duration) {
        let factor = if filter.unit().per_second() == 1000 { "0.001" } else { "0.000001" };
        statements.push(format!("scale_metric({factor}, \"s\") where name == \"{name}\""));
        statements.push(format!("set(name, \"http.server.request.duration\") where name == \"{name}\""));
    }
    for (of, convention) in [
        (Role::RequestSize, "http.server.request.body.size"),
        (Role::ResponseSize, "http.server.response.body.size"),
    ] {
        if let Some(name) = role(of) {
            statements.push(format!("set(unit, \"By\") where name == \"{name}\""));
            statements.push(format!("set(name, \"{convention}\") where name == \"{name}\""));
        }
    }
    let labels = [
        ("http_route", "http.route"),
        ("http_request_method", "http.request.method"),
        ("request_operation", "http.route"),
        ("request_method", "http.request.method"),
        ("otel_metric_overflow", "otel.metric.overflow"),
    ];
    let known = catalogue.labels();
    let labels = labels.iter().filter(|(label, _)| known.contains(label)).flat_map(|(label, attribute)| {
        [
            format!("set(attributes[\"{attribute}\"], attributes[\"{label}\"]) where attributes[\"{label}\"] != nil"),
            format!("delete_key(attributes, \"{label}\")"),
        ]
    });
    json!({
        "receivers": {"prometheus/outrigger": {"config": {"scrape_configs": [{
            "job_name": "outrigger",
            "scrape_interval": "15s",
            "metrics_path": "/stats/prometheus",
            "static_configs": [{"targets": ["127.0.0.1:9901"]}]
        }]}}},
        "processors": {"transform/outrigger": {"metric_statements": [
            {"context": "datapoint", "statements": labels.collect::<Vec<_>>()},
            {"context": "metric", "statements": statements}
        ]}},
        "service": {"pipelines": {"metrics/outrigger": {
            "receivers": ["prometheus/outrigger"],
            "processors": ["transform/outrigger"],
            "exporters": ["otlp"]
        }}}
    })
}

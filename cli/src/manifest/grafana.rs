//! A Grafana dashboard: rates, errors, latency and arms, and what the budget refused.

use filter_kit::metrics::Kind;
use metrics::{
    MetricsFilter,
    catalogue::{Described, Role},
};
use serde_json::{Value, json};

/// The dashboard, for any Prometheus; it reads the filter's metrics, and needs no rules.
pub fn dashboard(filter: &MetricsFilter) -> Value {
    let mut panels = Vec::new();
    let catalogue = filter.catalogue();
    if let Some(requests) = catalogue.of(Role::Requests) {
        let name = |role| catalogue.of(role).map_or("", |metric: &Described| metric.name.as_str());
        let route = requests.labels.first().map_or("", String::as_str);
        default_set(&requests.name, route, filter.unit().word(), &name, &mut panels);
    }
    for metric in catalogue.metrics().iter().filter(|metric| metric.role == Role::Defined) {
        let by = metric.labels.join(", ");
        let legend: Vec<_> = metric.labels.iter().map(|label| format!("{{{{{label}}}}}")).collect();
        let (title, expr) = match metric.kind {
            Kind::Counter => ("a second", format!("sum by ({by}) (rate({}[$__rate_interval]))", metric.name)),
            Kind::Gauge => ("", format!("max by ({by}) ({})", metric.name)),
            Kind::Histogram => {
                let by = if by.is_empty() { String::new() } else { format!(", {by}") };
                (
                    "p90",
                    format!(
                        "histogram_quantile(0.9, sum by (le{by}) (rate({}_bucket[$__rate_interval])))",
                        metric.name
                    ),
                )
            }
        };
        panels.push(panel(
            format!("{} {title}", metric.name).trim_end(),
            "short",
            &[(&expr, &legend.join(" "))],
        ));
    }
    if let Some(refused) = catalogue.of(Role::Refused) {
        let expr = format!("sum by (metric) (increase({}[$__rate_interval]))", refused.name);
        panels.push(panel("Measurements that the series budget refused", "short", &[(&expr, "{{metric}}")]));
    }
    for (place, panel) in panels.iter_mut().enumerate() {
        panel["id"] = json!(place + 1);
        panel["gridPos"] = json!({"h": 8, "w": 12, "x": place % 2 * 12, "y": place / 2 * 8});
    }
    json!({
        "uid": "outrigger-metrics",
        "title": "Outrigger",
        "schemaVersion": 39,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": [{"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Data source"}]},
        "panels": panels
    })
}

fn default_set<'f>(
    requests: &str,
    route: &str,
    unit: &str,
    name: &dyn Fn(Role) -> &'f str,
    panels: &mut Vec<Value>,
) {
    let (errors, duration) = (name(Role::Errors), name(Role::Duration));
    let (started, ended) = (name(Role::Started), name(Role::Ended));
    let unit = if unit == "milliseconds" { "ms" } else { "µs" };
    for (by, legend) in [(route, "route"), ("arm", "arm")] {
        let each = format!("{{{{{by}}}}}");
        let rate = format!("sum by ({by}) (rate({requests}[$__rate_interval]))");
        panels.push(panel(&format!("Requests a second by {legend}"), "reqps", &[(&rate, &each)]));
        let failed = format!("(sum by ({by}) (rate({errors}[$__rate_interval])) or 0 * {rate}) / {rate}");
        panels.push(panel(&format!("Share of errors by {legend}"), "percentunit", &[(&failed, &each)]));
        let quantiles: Vec<(String, String)> = ["5", "9", "99"]
            .map(|quantile| {
                let expr = format!("histogram_quantile(0.{quantile}, sum by (le, {by}) (rate({duration}_bucket[$__rate_interval])))");
                let percent = if quantile == "99" { "99" } else if quantile == "9" { "90" } else { "50" };
                (expr, format!("p{percent} {each}"))
            })
            .to_vec();
        let quantiles: Vec<_> = quantiles.iter().map(|(expr, each)| (expr.as_str(), each.as_str())).collect();
        panels.push(panel(&format!("Duration by {legend}"), unit, &quantiles));
    }
    let success = format!(
        "1 - (sum(rate({errors}[$__rate_interval])) or vector(0)) / sum(rate({requests}[$__rate_interval]))"
    );
    panels.push(panel("Share of successes", "percentunit", &[(&success, "all")]));
    let flight = format!("sum({started}) - (sum({ended}) or vector(0))");
    panels.push(panel("Requests in flight", "short", &[(&flight, "in flight")]));
    for (role, title) in [
        (Role::RequestSize, "Bytes of requests a second"),
        (Role::ResponseSize, "Bytes of responses a second"),
    ] {
        let expr = format!("sum by ({route}) (rate({}_sum[$__rate_interval]))", name(role));
        panels.push(panel(title, "Bps", &[(&expr, &format!("{{{{{route}}}}}"))]));
    }
}

fn panel(title: &str, unit: &str, queries: &[(&str, &str)]) -> Value {
    let source = json!({"type": "prometheus", "uid": "${datasource}"});
    let targets: Vec<Value> = queries
        .iter()
        .zip('A'..)
        .map(|((expr, legend), id)| {
            json!({"refId": id.to_string(), "datasource": source, "expr": expr, "legendFormat": legend})
        })
        .collect();
    json!({
        "type": "timeseries",
        "title": title,
        "datasource": source,
        "fieldConfig": {"defaults": {"unit": unit}, "overrides": []},
        "targets": targets
    })
}

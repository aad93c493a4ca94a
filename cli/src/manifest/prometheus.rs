//! Prometheus' rules: what dashboards read, and what wakes somebody.

use super::Objectives;
use metrics::{
    MetricsFilter,
    catalogue::{Described, Role},
};
use serde_json::{Value, json};

/// The windows of error ratios.
const WINDOWS: [&str; 6] = ["5m", "30m", "1h", "2h", "6h", "1d"];
/// Burn rates as the SRE workbook has them (chapter 5): how fast, a long and a short window, and how urgent.
const BURNS: [(f64, &str, &str, &str); 3] =
    [(14.4, "1h", "5m", "page"), (6.0, "6h", "30m", "page"), (3.0, "1d", "2h", "ticket")];

/// The metrics of the default set that rules are about.
struct Names<'f> {
    requests: &'f str,
    errors: &'f str,
    duration: &'f str,
    started: &'f str,
    ended: &'f str,
    route: &'f str,
}

/// All rules.
pub fn rules(filter: &MetricsFilter, objectives: Objectives<'_>) -> Value {
    let catalogue = filter.catalogue();
    let role = |role| catalogue.of(role).map_or("", |metric: &Described| metric.name.as_str());
    let mut groups = Vec::new();
    if let Some(requests) = catalogue.of(Role::Requests) {
        let names = Names {
            requests: &requests.name,
            errors: role(Role::Errors),
            duration: role(Role::Duration),
            started: role(Role::Started),
            ended: role(Role::Ended),
            route: requests.labels.first().map_or("", String::as_str),
        };
        groups.push(json!({"name": "outrigger-recording", "rules": recording(&names)}));
        groups.push(json!({"name": "outrigger-slo", "rules": slo(objectives, filter.unit().per_second())}));
        if !objectives.arms.is_empty() {
            groups.push(json!({"name": "outrigger-arms", "rules": arms(&names, objectives.arms)}));
        }
    }
    let refused = role(Role::Refused);
    groups.push(json!({"name": "outrigger-metrics", "rules": [{
        "alert": "OutriggerSeriesRefused",
        "expr": format!("sum by (metric) (increase({refused}[15m])) > 0"),
        "labels": {"severity": "ticket"},
        "annotations": {
            "summary": "{{ $labels.metric }} has more label sets than its budget",
            "description": "New label sets of this metric count in its series otel_metric_overflow=\"true\". Bound its labels, or raise its budget."
        }
    }]}));
    json!({"groups": groups})
}

fn recording(names: &Names<'_>) -> Vec<Value> {
    let Names { requests, errors, duration, started, ended, route } = names;
    let record = |name: String, expr: String| json!({"record": name, "expr": expr});
    let mut rules = vec![
        record(
            "outrigger:requests:rate5m".to_owned(),
            format!("sum by ({route}, arm) (rate({requests}[5m]))"),
        ),
        record(
            "outrigger:requests_in_flight".to_owned(),
            format!("sum({started}) - (sum({ended}) or vector(0))"),
        ),
        record(
            "outrigger:arm:ratio_rate1d".to_owned(),
            format!("sum by (arm) (rate({requests}[1d])) / on () group_left () sum(rate({requests}[1d]))"),
        ),
    ];
    for quantile in ["50", "90", "99"] {
        let expr = |by: &str| {
            format!("histogram_quantile(0.{quantile}, sum by (le, {by}) (rate({duration}_bucket[5m])))")
        };
        rules.push(record(format!("outrigger:request_duration:p{quantile}_5m"), expr(route)));
        rules.push(record(format!("outrigger:request_duration_by_arm:p{quantile}_5m"), expr("arm")));
    }
    for window in WINDOWS {
        // A route without an error has no series of errors yet.
        let ratio = |by: &str| {
            let all = format!("sum by ({by}) (rate({requests}[{window}]))");
            format!("(sum by ({by}) (rate({errors}[{window}])) or 0 * {all}) / {all}")
        };
        rules.push(record(format!("outrigger:request_errors:ratio_rate{window}"), ratio(route)));
        if window == "5m" {
            rules.push(record("outrigger:request_errors_by_arm:ratio_rate5m".to_owned(), ratio("arm")));
        }
        let all = format!("sum(rate({requests}[{window}]))");
        let total = format!("(sum(rate({errors}[{window}])) or 0 * {all}) / {all}");
        rules.push(record(format!("outrigger:request_errors_total:ratio_rate{window}"), total));
    }
    rules
}

fn slo(objectives: Objectives<'_>, per_second: u64) -> Vec<Value> {
    let mut rules = Vec::new();
    for (factor, long, short, severity) in BURNS {
        // A share of few digits: what is subtracted from 1 has more of them than anybody wrote.
        let limit = (factor * objectives.budget * 1e9).round() / 1e9;
        let over = |window| format!("outrigger:request_errors_total:ratio_rate{window} > {limit}");
        rules.push(json!({
            "alert": "OutriggerErrorBudgetBurn",
            "expr": format!("{} and {}", over(long), over(short)),
            "labels": {"severity": severity, "window": long},
            "annotations": {
                "summary": format!("The error budget burns {factor} times as fast as it may"),
                "description": format!("{{{{ $value | humanizePercentage }}}} of the requests of {long} failed.")
            }
        }));
    }
    let latency = objectives.latency * per_second / 1000;
    rules.push(json!({
        "alert": "OutriggerLatencyHigh",
        "expr": format!("outrigger:request_duration:p99_5m > {latency}"),
        "for": "10m",
        "labels": {"severity": "ticket"},
        "annotations": {"summary": format!("One of 100 requests takes longer than {} ms", objectives.latency)}
    }));
    rules
}

/// Requests of an arm are one user's several times, so that a share within a point of what it should be says nothing, whatever chance would say.
fn arms(names: &Names<'_>, arms: &[(String, f64)]) -> Vec<Value> {
    let all: Vec<&str> = arms.iter().map(|(name, _)| name.as_str()).collect();
    let all = format!("{}{{arm=~\"{}\"}}", names.requests, all.join("|"));
    let rule = |(name, share): &(String, f64)| {
        let count = format!("scalar(sum(increase({all}[1d])))");
        let got = format!("sum by (arm) (increase({}{{arm=\"{name}\"}}[1d])) / {count}", names.requests);
        json!({
            "alert": "OutriggerSampleRatioMismatch",
            "expr": format!("abs({got} - {share}) > 0.01 and abs({got} - {share}) > 4 * ({share} * (1 - {share}) / {count}) ^ 0.5"),
            "for": "1h",
            "labels": {"severity": "ticket"},
            "annotations": {"summary": format!("Arm {name} does not have its share of {share} of the requests")}
        })
    };
    arms.iter().map(rule).collect()
}

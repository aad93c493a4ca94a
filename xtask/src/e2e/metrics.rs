//! Metrics on a real Envoy with four workers: what was sent is what `/stats/prometheus` and a real Prometheus say, and a flood of label values leaves
//! series and memory where they are.

mod flood;
pub mod prometheus;
mod push;
pub mod text;

pub use flood::word;
pub use text::Exposition;

use super::Count;
use crate::{bootstrap::Bootstrap, build, envoy::Envoy, http, progress, setup, upstream::Upstream};
use anyhow::{Result, ensure};
use prometheus::Prometheus;
use serde_json::{Value, json};
use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

/// How many requests are counted.
const REQUESTS: usize = 50_000;
const WORKERS: &str = "4";
/// How long stats may take to be merged, or scraped.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is sent over and over: a path, an arm, and more headers.
const SENT: [(&str, &str, &str); 5] = [
    ("/shop", "b", ""),
    ("/users/4711/orders/17?page=2", "control", ""),
    ("/users/joe@example.com/orders/9", "control", ""),
    ("/fail", "b", ""),
    ("/checkout", "b", "x-tenant: acme\r\nx-plan: gold\r\n"),
];

/// An attempt on an Envoy of this program; false where something that it needs is missing, and it has said so.
type Attempt = fn(&Path) -> Result<bool>;
/// The sum of the samples of a name with these labels.
type Expected = (&'static str, &'static [(&'static str, &'static str)], u64);

/// Tries all of it.
///
/// # Errors
/// Something that the run needs is missing. What does not come out as it must is counted.
pub fn run() -> Result<Count> {
    let program = setup::envoy(None)?;
    build::modules()?;
    let mut count = Count::default();
    let tried: [(&str, Attempt); 4] = [
        ("sums", sums),
        ("hostile labels", hostile),
        ("pushes of configurations", push::run),
        ("a flood of label values", flood::run),
    ];
    for (name, attempt) in tried {
        let work = progress::begin(name);
        let outcome = attempt(&program);
        drop(work);
        match outcome {
            Ok(true) => count.passed += 1,
            Ok(false) => count.skipped += 1,
            Err(error) => {
                progress::failed(name, &format!("{error:#}"));
                count.failed += 1;
            }
        }
    }
    Ok(count)
}

/// Envoy with the shipped configuration, or another one of the plugin. Answers come from Envoy itself, but for `/checkout`.
fn start(program: &Path, shop: &Upstream, config: Option<&Value>) -> Result<Envoy> {
    let mut bootstrap = Bootstrap::load("metrics")?;
    bootstrap.with_free_ports();
    bootstrap.set_module(&build::module("metrics"));
    bootstrap.set_cluster("v1", Some(shop.address()));
    if let Some(config) = config {
        bootstrap.set_plugin_configuration(Some(config.to_string().as_bytes()));
    }
    let answer = |prefix: &str, status: u16| json!({"match": {"prefix": prefix}, "direct_response": {"status": status, "body": {"inline_string": "ok"}}});
    bootstrap.set_route_list(&json!([
        {"match": {"prefix": "/checkout"}, "route": {"cluster": "v1"}},
        answer("/fail", 503),
        answer("/", 200)
    ]));
    Envoy::start(program, &bootstrap.0, &["--concurrency", WORKERS])
}

/// 50,000 requests: every series of Envoy's text, and every answer of Prometheus, says what was sent.
fn sums(program: &Path) -> Result<bool> {
    let shop = Upstream::start("v1", 0)?;
    let envoy = start(program, &shop, None)?;
    let request = |(path, arm, more): &(&str, &str, &str)| {
        format!("GET {path} HTTP/1.1\r\nhost: shop.example\r\nx-arm: {arm}\r\n{more}\r\n")
    };
    // One by one until each route is known: which worker has learned it is chance, and the labels of the first ones with it.
    let requests: Vec<String> = SENT.iter().map(request).collect();
    flood::send(envoy.listener("main")?, REQUESTS, |number| {
        requests.get(number % SENT.len()).cloned().unwrap_or_default()
    })?;
    let each = u64::try_from(REQUESTS / SENT.len())?;
    let all = each * 5;
    let expected: [Expected; 12] = [
        ("http_server_requests_total", &[], all),
        (
            "http_server_requests_total",
            &[("http_route", "/users/{id}/orders/{order}"), ("arm", "control")],
            2 * each,
        ),
        ("http_server_requests_total", &[("http_response_status_class", "5xx"), ("arm", "b")], each),
        ("http_server_requests_total", &[("http_request_method", "GET"), ("arm", "b")], 3 * each),
        ("http_server_errors_total", &[], each),
        ("http_server_request_duration_milliseconds_count", &[], all),
        ("http_server_response_body_size_bytes_count", &[("http_response_status_class", "2xx")], 4 * each),
        ("http_server_requests_started_total", &[], all),
        ("http_server_requests_ended_total", &[], all),
        ("checkouts_total", &[("tenant", "acme"), ("plan", "paid")], each),
        ("upstream_duration_milliseconds_count", &[("http_route", "/checkout")], each),
        ("metrics_refused_total", &[], 0),
    ];
    let exposition = until(|| {
        let text = http::get(envoy.admin(), "/stats/prometheus?filter=wasmcustom")?;
        let exposition = Exposition::parse(&text)?;
        let is_merged = exposition.sum("http_server_request_duration_milliseconds_count", &[]) == all;
        Ok(is_merged.then_some(exposition))
    })?;
    for (name, labels, value) in expected {
        let got = exposition.sum(name, labels);
        ensure!(got == value, "/stats/prometheus: {name}{labels:?} is {got}, and must be {value}");
    }
    println!("{all} requests through {WORKERS} workers: 12 sums of /stats/prometheus are exact");
    let Some(prometheus) = Prometheus::start(envoy.admin())? else { return Ok(false) };
    for (name, labels, value) in expected {
        let filter: Vec<_> = labels.iter().map(|(label, value)| format!("{label}=\"{value}\"")).collect();
        let query = format!("sum({name}{{{}}})", filter.join(","));
        let got = until(|| Ok(prometheus.query(&query)?.filter(|got| *got == value.to_string())));
        ensure!(got.is_ok(), "PromQL: {query} is {:?}, and must be {value}", prometheus.query(&query)?);
    }
    let dashboard = crate::command::run(
        std::process::Command::new(build::outrigger()?)
            .args(["manifest", "metrics", "--part", "dashboard", "--config", "envoy-configs/metrics.yaml"])
            .current_dir(crate::project::root()),
    )?;
    let dashboard: Value = serde_json::from_str(&dashboard)?;
    let queries = prometheus::queries(&dashboard);
    for query in &queries {
        ensure!(until(|| prometheus.query(query)).is_ok(), "the dashboard's query {query} has no data");
    }
    println!("12 answers of Prometheus are exact; the dashboard's {} queries have data", queries.len());
    Ok(true)
}

/// Labels of any bytes come out of Prometheus as they are documented, in both encodings, and the exposition stays valid.
fn hostile(program: &Path) -> Result<bool> {
    let values: [(&str, &str, &str); 8] = [
        ("a.b.c", "a.b.c", "a.b.c"),
        ("a;b", "a_b", "a_b"),
        ("x=y", "x=y", "x_y"),
        ("say\"hi\"", "say\"hi\"", "say\"hi\""),
        ("back\\slash", "back\\slash", "back\\slash"),
        ("a\tb", "a_b", "a_b"),
        ("\u{fc}ber", "_ber", "_ber"),
        ("tail_rq_503", "tail-rq_503", "tail_rq_503"),
    ];
    let shop = Upstream::start("v1", 0)?;
    for labels in ["envoy", "istio"] {
        let config = json!({"metrics": {"labels": labels}, "default_set": {"on": false}, "define": [
            {"name": "seen_total", "kind": "counter", "labels": [{"label": "tenant", "on": "header", "name": "x-value"}]}
        ]});
        let mut bootstrap = Bootstrap::load("metrics")?;
        if labels == "istio" {
            bootstrap.0["stats_config"] = json!({"stats_tags": [
                {"tag_name": "tenant", "regex": r"(tenant=\.=(.*?);\.;)"},
                {"tag_name": "metric", "regex": r"(metric=\.=(.*?);\.;)"}
            ]});
        }
        bootstrap.with_free_ports();
        bootstrap.set_module(&build::module("metrics"));
        bootstrap.set_cluster("v1", Some(shop.address()));
        bootstrap.set_plugin_configuration(Some(config.to_string().as_bytes()));
        bootstrap.set_route_list(&json!([{"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": "ok"}}}]));
        let envoy = Envoy::start(program, &bootstrap.0, &["--concurrency", "1"])?;
        let request = |number: usize| {
            let value = values.get(number).map_or("", |(value, ..)| *value);
            format!("GET / HTTP/1.1\r\nhost: shop.example\r\nx-value: {value}\r\n\r\n")
        };
        flood::send_on(envoy.listener("main")?, 1, values.len(), &request)?;
        let text = http::get(envoy.admin(), "/stats/prometheus?filter=wasmcustom")?;
        let exposition = Exposition::parse(&text)?;
        for (sent, in_envoy, in_istio) in values {
            let expected = if labels == "envoy" { in_envoy } else { in_istio };
            let got = exposition.sum("seen_total", &[("tenant", expected)]);
            ensure!(
                got >= 1,
                "{labels}: {sent:?} did not come out as {expected:?}:\n{}",
                String::from_utf8_lossy(&text)
            );
        }
        let all = exposition.sum("seen_total", &[]);
        ensure!(all == 8, "{labels}: {all} of 8 were counted");
        prometheus::check(&text)?;
    }
    Ok(true)
}

/// Asks again until there is an answer.
pub fn until<T>(mut ask: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask()? {
            return Ok(answer);
        }
        ensure!(Instant::now() < deadline, "nothing came in {} s", PATIENCE.as_secs());
        thread::sleep(Duration::from_millis(200));
    }
}

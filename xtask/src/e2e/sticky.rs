//! Stickiness at scale: many users through several workers of a real Envoy, to two subsets of one upstream. Not one user may move.

use super::Count;
use crate::{
    bootstrap::Bootstrap, build, envoy::Envoy, http, parallel, progress, setup, upstream::Upstream,
    visitor::Visitor,
};
use anyhow::{Context as _, Result, ensure};
use harness::series;
use serde_json::{Value, json};
use std::{collections::BTreeMap, net::SocketAddr};

const USERS: usize = 500;
const REQUESTS_OF_A_USER: usize = 20;
const WORKERS: usize = 4;
/// How many users ask at once.
const AT_ONCE: usize = 8;
/// How far a share may be from its weight, in standard deviations of the binomial distribution: one run in 15,000 would be off by chance.
const TOLERANCE: f64 = 4.0;
/// The share of the users that get checkout's arm b in envoy-configs/ab-routing.yaml: 20 % of the 70 % that are in the experiment.
const SHARE: f64 = 0.14;

/// Sends 10,000 requests of 500 users, each on a connection of its own, through four workers.
///
/// # Errors
/// A user moved, a share is not its weight, a request was not counted, or a worker had nothing to do.
pub fn run() -> Result<Count> {
    let program = setup::envoy(None)?;
    build::modules()?;
    let shops = [Upstream::start("v1", 0)?, Upstream::start("v2", 0)?];
    let bootstrap = bootstrap(&shops)?;
    let envoy = Envoy::start(&program, &bootstrap, &["--concurrency", &WORKERS.to_string()])?;
    let listener = envoy.listener("main")?;
    let work = progress::begin_counted("users of four workers", USERS as u64);
    let users: Vec<usize> = (0..USERS).collect();
    let seen = parallel::map(&users, AT_ONCE, |_| {
        let seen = visits(listener);
        work.step();
        seen
    });
    drop(work);
    let mut first = BTreeMap::<String, usize>::new();
    for (number, seen) in seen.into_iter().enumerate() {
        let seen = seen?;
        let (shop, rest) = seen.split_first().context("a user has sent nothing")?;
        ensure!(rest.iter().all(|other| other == shop), "user {number} moved: {seen:?}");
        *first.entry(shop.clone()).or_default() += 1;
    }
    let of_b = first.get("v2").copied().unwrap_or(0);
    #[expect(clippy::cast_precision_loss, reason = "a few hundred users")]
    let (of_b, all) = (of_b as f64, USERS as f64);
    let deviation = (all * SHARE * (1.0 - SHARE)).sqrt();
    ensure!((of_b - all * SHARE).abs() <= TOLERANCE * deviation, "{of_b} of {all} users are in arm b");
    let stats = envoy.plugin_stats()?;
    let exposures = stats.iter().filter(|(name, _)| series::parse(name).name == "ab_exposures_total");
    let exposures: i64 = exposures.map(|(_, value)| *value).sum();
    ensure!(exposures == i64::try_from(USERS * REQUESTS_OF_A_USER)?, "{exposures} exposures were counted");
    let busy = workers(&envoy)?;
    ensure!(busy == WORKERS, "{busy} of {WORKERS} workers had requests");
    Ok(Count { passed: 1, ..Count::default() })
}

/// The shops that answered one user, who keeps cookies.
fn visits(listener: SocketAddr) -> Result<Vec<String>> {
    let mut visitor = Visitor::default();
    (0..REQUESTS_OF_A_USER)
        .map(|_| {
            let response = visitor.get(listener, "/", &[])?;
            let body: Value = serde_json::from_slice(&response.body)?;
            Ok(body["shop"].as_str().unwrap_or_default().to_owned())
        })
        .collect()
}

/// How many workers have taken connections.
fn workers(envoy: &Envoy) -> Result<usize> {
    let filter = "worker_.*downstream_cx_total";
    let text = http::get(envoy.admin(), &format!("/stats?format=json&filter={filter}"))?;
    let all: Value = serde_json::from_slice(&text)?;
    let stats = all["stats"].as_array().into_iter().flatten();
    let of_main =
        stats.filter(|stat| stat["name"].as_str().is_some_and(|name| name.starts_with("listener.127")));
    Ok(of_main.filter(|stat| stat["value"].as_u64().is_some_and(|count| count > 0)).count())
}

/// The bootstrap that users start from, with both shops as subsets of one cluster.
fn bootstrap(shops: &[Upstream; 2]) -> Result<Value> {
    let mut bootstrap = Bootstrap::load("ab-routing")?;
    bootstrap.with_free_ports();
    bootstrap.set_module(&build::module("ab-routing"));
    bootstrap.set_cluster("shop", None);
    let metadata = |version: &str| json!({"filter_metadata": {"envoy.lb": {"version": version}}});
    let route = |version: &str| json!({"cluster": "shop", "metadata_match": metadata(version)});
    let endpoints = ["v1", "v2"].iter().zip(shops).map(|(version, shop)| {
        let address =
            json!({"address": shop.address().ip().to_string(), "port_value": shop.address().port()});
        json!({"endpoint": {"address": {"socket_address": address}}, "metadata": metadata(version)})
    });
    let endpoints: Vec<Value> = endpoints.collect();
    let clusters = bootstrap.0["static_resources"]["clusters"].as_array_mut();
    let shop = clusters.and_then(|clusters| clusters.iter_mut().find(|cluster| cluster["name"] == "shop"));
    let shop = shop.context("the bootstrap has no clusters")?;
    shop["lb_subset_config"] = json!({"subset_selectors": [{"keys": ["version"]}]});
    shop["load_assignment"]["endpoints"] = json!([{"lb_endpoints": endpoints}]);
    bootstrap.set_route_list(&json!([
        {"match": {"prefix": "/", "headers": [{"name": "x-arm", "string_match": {"exact": "b"}}]}, "route": route("v2")},
        {"match": {"prefix": "/"}, "route": route("v1")}
    ]));
    Ok(bootstrap.0)
}

//! One arm through the whole mesh: two real Envoys in a row, of which the second cannot know the user.

use super::{
    Count,
    rbac::identity::{Credentials, IDENTITIES},
};
use crate::{
    bootstrap::Bootstrap, build, envoy::Envoy, parallel, progress, setup, upstream::Received,
    upstream::Upstream, visitor::Visitor,
};
use anyhow::{Context as _, Result, ensure};
use harness::series;
use serde_json::{Value, json};
use std::{collections::BTreeMap, net::SocketAddr};

const USERS: usize = 500;
const REQUESTS_OF_A_USER: usize = 20;
/// How many users ask at once.
const AT_ONCE: usize = 8;
/// The variable with the mesh's secret, and the secret.
const SECRET: (&str, &str) = ("AB_MESH", "a secret of this test and of no other");
/// What every second user forges.
const FORGED: &str = "tenant=blue,ab-arms=checkout:b~0123456789abcdef0123456789abcdef";

/// Who may say arms without a signature, and who may not, by their places among [`IDENTITIES`].
const GATEWAY: usize = 9;
const STRANGER: usize = 0;

/// Sends 10,000 requests of 500 users, half of whom forge an assignment, through a gateway that knows them by a cookie and a sidecar that would draw
/// anew for each request; and then as many, where a certificate counts instead of a signature.
///
/// # Errors
/// An arm of the second hop is not that of the first, a user moved, a forged assignment counted, or a count is not that of the requests.
pub fn run() -> Result<Count> {
    let program = setup::envoy(None)?;
    build::modules()?;
    let shops = [Upstream::start("v1", 0)?, Upstream::start("v2", 0)?];
    let start = |bootstrap: Bootstrap| Envoy::start(&program, &bootstrap.0, &["--concurrency", "2"]);
    let sidecar = start(sidecar(&signed(), &shops)?)?;
    let gateway = start(gateway(&signed(), &sidecar)?)?;
    ask_all(&gateway, "users through two Envoys")?;
    check_arms(&shops, "~")?;
    check_counts(&gateway, &sidecar)?;
    drop((gateway, sidecar));
    trusts_certificates(&start, &shops)?;
    Ok(Count { passed: 2, ..Count::default() })
}

/// The sidecar takes TLS alone, and the arms of the gateway's certificate alone: a caller with another one says none.
fn trusts_certificates(start: &dyn Fn(Bootstrap) -> Result<Envoy>, shops: &[Upstream; 2]) -> Result<()> {
    let credentials = Credentials::make()?;
    let uri = IDENTITIES[GATEWAY].uri.context("the gateway has no name")?;
    let trusted = json!({"trusted_principals": [uri]});
    let with_certificate = |mut bootstrap: Bootstrap, place: usize| -> Result<Bootstrap> {
        let clusters = bootstrap.0["static_resources"]["clusters"].as_array_mut();
        let shop = clusters.into_iter().flatten().find(|cluster| cluster["name"] == "shop");
        let socket = credentials.upstream(place).context("no certificate")?;
        shop.context("no cluster")?["transport_socket"] = socket;
        Ok(bootstrap)
    };
    let mut bootstrap = sidecar(&trusted, shops)?;
    let mut context = credentials.server().clone();
    context["require_client_certificate"] = json!(true);
    bootstrap.0["static_resources"]["listeners"][0]["filter_chains"][0]["transport_socket"] =
        json!({"name": "envoy.transport_sockets.tls", "typed_config": context});
    let sidecar = start(bootstrap)?;
    let first = start(with_certificate(gateway(&trusted, &sidecar)?, GATEWAY)?)?;
    ask_all(&first, "users through a gateway with a certificate")?;
    check_arms(shops, "")?;
    check_counts(&first, &sidecar)?;
    // This one has no experiment, and passes on what its client forges.
    let mut bootstrap = with_certificate(gateway(&trusted, &sidecar)?, STRANGER)?;
    bootstrap.set_plugin_configuration(Some(b"{}"));
    let stranger = start(bootstrap)?;
    for _ in 0..REQUESTS_OF_A_USER {
        Visitor::default().get(stranger.listener("main")?, "/", &[("baggage", "ab-arms=checkout:b")])?;
    }
    let of = |name: &str| -> Result<i64> { Ok(counts(&sidecar)?.get(name).copied().unwrap_or(0)) };
    let all = i64::try_from(REQUESTS_OF_A_USER)?;
    ensure!(of("ab_carried_total refused")? == all, "a stranger's arms: {:?}", counts(&sidecar)?);
    ensure!(of("ab_exposures_total")? == all, "a stranger's arms: {:?}", counts(&sidecar)?);
    Ok(())
}

/// How arms travel with a signature.
pub fn signed() -> Value {
    json!({"secret_env": SECRET.0})
}

fn gateway(propagate: &Value, sidecar: &Envoy) -> Result<Bootstrap> {
    let mut gateway = hop(
        propagate,
        &json!({"name": "checkout", "header": "x-gateway-arm", "visitor_cookie": {"name": "visitor", "secure": false}}),
    )?;
    gateway.set_cluster("shop", Some(sidecar.listener("main")?));
    gateway.set_route_list(&json!([{"match": {"prefix": "/"}, "route": {"cluster": "shop"}}]));
    Ok(gateway)
}

/// It cannot know the user.
fn sidecar(propagate: &Value, shops: &[Upstream; 2]) -> Result<Bootstrap> {
    let mut sidecar = hop(
        propagate,
        &json!({"name": "checkout", "header": "x-arm", "visitor_cookie": {"name": "unknown"}}),
    )?;
    for (name, shop) in ["v1", "v2"].iter().zip(shops) {
        sidecar.set_cluster(name, Some(shop.address()));
    }
    Ok(sidecar)
}

fn ask_all(gateway: &Envoy, what: &str) -> Result<()> {
    let listener = gateway.listener("main")?;
    let work = progress::begin_counted(what, USERS as u64);
    let users: Vec<usize> = (0..USERS).collect();
    let sent = parallel::map(&users, AT_ONCE, |user| {
        let sent = visits(listener, *user);
        work.step();
        sent
    });
    sent.into_iter().collect()
}

fn check_counts(gateway: &Envoy, sidecar: &Envoy) -> Result<()> {
    let all = i64::try_from(USERS * REQUESTS_OF_A_USER)?;
    let (first, second) = (counts(gateway)?, counts(sidecar)?);
    let of = |counts: &BTreeMap<String, i64>, name: &str| counts.get(name).copied().unwrap_or(0);
    ensure!(of(&first, "ab_exposures_total") == all, "the gateway counted {first:?}");
    ensure!(of(&first, "ab_carried_total refused") == all / 2, "the gateway counted {first:?}");
    ensure!(of(&second, "ab_carried_total accepted") == all, "the sidecar counted {second:?}");
    ensure!(of(&second, "ab_exposures_total") == 0, "the sidecar counted {second:?}");
    Ok(())
}

/// Envoy with one experiment, whose arms travel so.
pub fn hop(propagate: &Value, experiment: &Value) -> Result<Bootstrap> {
    let mut experiment = experiment.clone();
    experiment["arms"] = json!([{"name": "control", "weight": 5000}, {"name": "b", "weight": 5000}]);
    let config = json!({"propagate": propagate, "experiments": [experiment]});
    let mut bootstrap = Bootstrap::load("ab-routing")?;
    bootstrap.with_free_ports();
    bootstrap.set_module(&build::module("ab-routing"));
    bootstrap.set_plugin_configuration(Some(config.to_string().as_bytes()));
    bootstrap.set_environment(&[SECRET].map(|(name, secret)| (name.to_owned(), secret.to_owned())).into());
    Ok(bootstrap)
}

/// One user's requests, each with the user's number.
fn visits(listener: SocketAddr, user: usize) -> Result<()> {
    let mut visitor = Visitor::default();
    let user_text = user.to_string();
    let mut headers = vec![("x-user", user_text.as_str())];
    headers.extend((user % 2 == 1).then_some(("baggage", FORGED)));
    for _ in 0..REQUESTS_OF_A_USER {
        visitor.get(listener, "/", &headers)?;
    }
    Ok(())
}

/// What the shops received: one arm a user, the same from both hops, and the shop of that arm. Behind the arm stands what a signature begins with.
fn check_arms(shops: &[Upstream; 2], mark: &str) -> Result<()> {
    let mut arms = BTreeMap::<String, String>::new();
    let mut count = 0;
    for (shop, own) in shops.iter().zip(["control", "b"]) {
        for request in shop.take_received() {
            let header = |name: &str| header(&request, name);
            let [user, arm, first, baggage] = ["x-user", "x-arm", "x-gateway-arm", "baggage"].map(header);
            let user = user.context("a request came without its user")?;
            let arm = arm.context("a request came without an arm")?;
            ensure!(
                first.as_deref() == Some(arm.as_str()),
                "user {user} has {first:?} at the gateway and {arm} behind it"
            );
            ensure!(arm == own, "user {user} has arm {arm} and went to the shop of {own}");
            let before = arms.entry(user.clone()).or_insert_with(|| arm.clone());
            ensure!(*before == arm, "user {user} had {before} and has {arm}");
            let begin = if user.parse::<usize>()? % 2 == 1 { "tenant=blue," } else { "" };
            let baggage = baggage.unwrap_or_default();
            ensure!(
                baggage.starts_with(&format!("{begin}ab-arms=checkout:{arm}{mark}")),
                "user {user}: {baggage}"
            );
            count += 1;
        }
    }
    ensure!(count == USERS * REQUESTS_OF_A_USER, "{count} requests arrived");
    ensure!(arms.len() == USERS && arms.values().any(|arm| arm == "b"), "{} users arrived", arms.len());
    Ok(())
}

/// A header that a shop received.
pub fn header(request: &Received, name: &str) -> Option<String> {
    let (_, value) = request.headers.iter().find(|(other, _)| other.0.as_slice() == name.as_bytes())?;
    Some(String::from_utf8_lossy(&value.0).into_owned())
}

/// The sums of counters, by name and result.
fn counts(envoy: &Envoy) -> Result<BTreeMap<String, i64>> {
    let mut counts = BTreeMap::new();
    for (stat, value) in envoy.plugin_stats()? {
        let series = series::parse(&stat);
        let result = series.labels.get("result").map(|result| format!(" {result}"));
        *counts.entry(format!("{}{}", series.name, result.unwrap_or_default())).or_default() += value;
    }
    Ok(counts)
}

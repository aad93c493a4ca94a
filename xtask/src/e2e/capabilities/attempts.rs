//! What needs a capability where no scenario can show it: it takes a push, several workers, many requests, time, or a trap. Each attempt is made with all
//! capabilities first, where it has to come out as it must.

use crate::{
    bootstrap::Bootstrap,
    build,
    e2e::pushes::Open,
    envoy::Envoy,
    http::Connection,
    upstream::{Answer, Upstream},
};
use anyhow::{Context as _, Result, ensure};
use harness::{
    Bytes,
    scenario::{Headers, Response},
    series,
};
use serde_json::{Value, json};
use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

/// How long stats may take to come.
const PATIENCE: Duration = Duration::from_secs(3);
/// Who waits longer calls it a hang.
const HANG: Duration = Duration::from_secs(10);
/// How many label sets each of two workers is asked for, and how many there may be.
const SETS: usize = 8;
const BUDGET: usize = 4;
/// How long an answer takes whose time is measured, in milliseconds.
const SLOW_MS: u64 = 150;
/// By when a worker has heard of what the others have found: its timer is of a second.
const TOLD: Duration = Duration::from_millis(2500);
/// The requests of which one half is sampled.
const SAMPLED: usize = 100;

/// An attempt on an Envoy of this program with this filter, whose module may not call this: an error is what comes out otherwise.
type Attempt = fn(&Path, &str, Option<&str>) -> Result<()>;

/// What comes out otherwise without this capability of a filter; none if nothing does, or if there is no attempt for it.
///
/// # Errors
/// The attempt does not come out as it must with all capabilities.
pub fn missed(program: &Path, filter: &str, capability: &str) -> Result<Option<String>> {
    let attempt: Attempt = match (capability, filter) {
        ("proxy_set_effective_context", _) => pushed,
        (
            "proxy_get_shared_data" | "proxy_set_shared_data",
            "metrics" | "policy" | "access-log" | "all-in-one",
        ) => shared,
        (
            "proxy_on_tick"
            | "proxy_set_tick_period_milliseconds"
            | "proxy_get_shared_data"
            | "proxy_set_shared_data",
            "ab-routing",
        ) => closed,
        ("proxy_get_current_time_nanoseconds", "metrics") => timed,
        ("proxy_record_metric", "policy") => gauged,
        ("random_get", "access-log") => sampled,
        // The message of a panic begins with a look for RUST_BACKTRACE.
        ("fd_write", _) | ("environ_sizes_get", "metrics") => trapped,
        _ => return Ok(None),
    };
    attempt(program, filter, None)
        .with_context(|| format!("the attempt for {capability}, which is there"))?;
    let wrong = attempt(program, filter, Some(capability)).err();
    Ok(wrong.map(|error| format!("{error:#}").lines().next().unwrap_or_default().to_owned()))
}

/// Envoy with a filter, before a shop, and a way to ask it.
struct Site {
    envoy: Envoy,
    shop: Upstream,
    connections: Vec<Connection>,
}

/// What a site begins with.
struct Plan<'p> {
    filter: &'p str,
    module: std::path::PathBuf,
    config: Value,
    /// Each has a connection of its own.
    workers: usize,
    answer: Response,
}

impl<'p> Plan<'p> {
    fn of(filter: &'p str, config: Value) -> Self {
        Self { filter, module: build::module(filter), config, workers: 1, answer: Response::default() }
    }

    fn start(self, program: &Path, without: Option<&str>) -> Result<Site> {
        let shop = Upstream::start("v1", 0)?;
        shop.set_answer(Answer::from(&Response { status: 200, ..self.answer }));
        let mut bootstrap = Bootstrap::load(self.filter)?;
        bootstrap.with_free_ports();
        bootstrap.set_variant(&self.module);
        bootstrap.set_plugin_configuration(Some(self.config.to_string().as_bytes()));
        bootstrap.set_routes(&[]);
        if let Some(capability) = without {
            bootstrap.forbid(capability);
        }
        for name in ["v1", "v2"] {
            bootstrap.set_cluster(name, Some(shop.address()));
        }
        let listener = &mut bootstrap.0["static_resources"]["listeners"][0];
        listener["connection_balance_config"] = json!({"exact_balance": {}});
        // A request without an id is sampled by chance.
        listener["filter_chains"][0]["filters"][0]["typed_config"]["generate_request_id"] = json!(false);
        let envoy = Envoy::start(program, &bootstrap.0, &["--concurrency", &self.workers.to_string()])?;
        let listener = envoy.listener("main")?;
        let connections =
            (0..self.workers).map(|_| Connection::open(listener, HANG)).collect::<Result<_>>()?;
        Ok(Site { envoy, shop, connections })
    }
}

impl Site {
    /// Asks a worker, and says the answer's status.
    fn ask(&mut self, worker: usize, path: &str, more: &[(&str, &str)]) -> Result<u16> {
        let own = [("host", "shop.example")];
        let headers: Headers =
            own.iter().chain(more).map(|(name, value)| (Bytes::from(*name), Bytes::from(*value))).collect();
        let connection = self.connections.get_mut(worker).context("no such worker")?;
        connection.exchange("GET", path, &headers, b"")?.status().context("no status")
    }

    /// The series of a metric, with their values.
    fn series(&self, name: &str) -> Result<Vec<(String, i64)>> {
        let stats = self.envoy.plugin_stats()?;
        Ok(stats.into_iter().filter(|(stat, _)| series::parse(stat).name == name).collect())
    }

    fn sum(&self, name: &str) -> Result<i64> {
        Ok(self.series(name)?.iter().map(|(_, value)| value).sum())
    }
}

/// Waits until something is so, or says what there was instead.
fn wait(what: &str, is_so: impl Fn() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !is_so()? {
        ensure!(Instant::now() < deadline, "{what}");
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// A request is under way while a configuration is pushed, and keeps the one that it began with.
fn pushed(program: &Path, filter: &str, without: Option<&str>) -> Result<()> {
    Open::start(program, filter, without)?.keeps_its_configuration()
}

/// Two workers have no more series together than the budget, and no fewer.
fn shared(program: &Path, filter: &str, without: Option<&str>) -> Result<()> {
    let of_metrics = json!({"define": [{
        "name": "by_tenant_total", "kind": "counter", "budget": BUDGET,
        "labels": [{"label": "tenant", "on": "header", "name": "x-tenant"}]
    }]});
    let deny = |number: usize| {
        json!({
            "metadata": {"name": format!("p{number}"), "namespace": "shop"},
            "spec": {"action": "DENY", "rules": [{"to": [{"operation": {"paths": [path(number)]}}]}]}
        })
    };
    let (config, metric) = match filter {
        "metrics" => (of_metrics, "by_tenant_total"),
        "all-in-one" => (json!({"metrics": of_metrics}), "by_tenant_total"),
        "policy" => {
            let policies: Vec<Value> = (0..2 * SETS).map(deny).collect();
            // Four of them are there from the beginning.
            (json!({"policies": policies, "metrics": {"budget": 4 + BUDGET}}), "policy_decisions_total")
        }
        // Eight of them are there from the beginning.
        _ => (json!({"outputs": {"filter_state": {}}, "metrics": {"budget": 8 + BUDGET}}), "pii_found_total"),
    };
    let mut site = Plan { workers: 2, ..Plan::of(filter, config) }.start(program, without)?;
    let mut counts = Vec::new();
    for worker in 0..2 {
        for number in worker * SETS..(worker + 1) * SETS {
            let tenant = crate::e2e::metrics::word(number);
            site.ask(worker, &format!("{}?a=joe@example.com", path(number)), &[("x-tenant", &tenant)])?;
        }
        wait(
            "the requests are not counted",
            || Ok(site.sum(metric)? >= i64::try_from((worker + 1) * SETS)?),
        )?;
        let admitted = site.series(metric)?.iter().filter(|(name, _)| !name.contains("overflow")).count();
        counts.push(admitted);
    }
    let is_shared = counts.first() == counts.last() && counts.iter().all(|count| (1..SETS).contains(count));
    ensure!(is_shared, "{metric} has {counts:?} series after one worker and after two");
    Ok(())
}

fn path(number: usize) -> String {
    format!("/{}", crate::e2e::metrics::word(number))
}

/// An arm that fails on one worker is closed on the other.
fn closed(program: &Path, filter: &str, without: Option<&str>) -> Result<()> {
    let arms = ["a", "b"].map(|name| json!({"name": name, "weight": 5000}));
    let config = json!({"experiments": [{
        "name": "e", "key": [{"header": "u"}], "arms": arms,
        "guardrail": {"errors": {"margin": 500}, "alpha": 500}
    }]});
    let mut site = Plan { workers: 2, ..Plan::of(filter, config) }.start(program, without)?;
    // As in the scenario "an arm that fails seldom is closed by the timer": the key 3 is in arm a, and 1 in b.
    for (key, requests, status) in [("3", 8, 200), ("1", 5, 503)] {
        site.shop.set_answer(Answer::from(&Response { status, ..Response::default() }));
        for _ in 0..requests {
            ensure!(site.ask(0, "/", &[("u", key)])? == status, "the shop answers otherwise");
        }
    }
    thread::sleep(TOLD);
    site.ask(1, "/", &[("u", "1")])?;
    wait("the requests are not counted", || Ok(site.sum("ab_exposures_total")? >= 13))?;
    thread::sleep(Duration::from_millis(100));
    let exposed = site.sum("ab_exposures_total")?;
    ensure!(exposed == 13, "the other worker has not heard that the arm is closed: {exposed} exposures");
    Ok(())
}

/// A request takes as long as it takes.
fn timed(program: &Path, filter: &str, without: Option<&str>) -> Result<()> {
    let define = json!({"define": [{
        "name": "took_milliseconds", "kind": "gauge", "value": {"on": "duration"}
    }]});
    let answer = Response { after_ms: SLOW_MS, ..Response::default() };
    let mut site = Plan { answer, ..Plan::of(filter, define) }.start(program, without)?;
    site.ask(0, "/", &[])?;
    wait("the request is not counted", || Ok(site.sum("http_server_requests_total")? == 1))?;
    let took = site.sum("took_milliseconds")?;
    ensure!(took >= i64::try_from(SLOW_MS)?, "a request of {SLOW_MS} ms took {took} ms");
    Ok(())
}

/// A gauge says that there is a candidate, and that it was refused.
fn gauged(program: &Path, filter: &str, without: Option<&str>) -> Result<()> {
    let config = json!({"policies": [], "candidate": {"policies": [{"metadata": {"name": "a"}, "spec": {"action": "NONE"}}]}});
    let site = Plan::of(filter, config).start(program, without)?;
    wait("policy_candidate_refused is not 1", || Ok(site.sum("policy_candidate_refused")? == 1))
}

/// Of requests without an id about as many are logged as the rate says.
fn sampled(program: &Path, filter: &str, without: Option<&str>) -> Result<()> {
    let config = json!({"outputs": {"filter_state": {}}, "fields": ["status"], "sampling": {"rate": 0.5}});
    let mut site = Plan::of(filter, config).start(program, without)?;
    for _ in 0..SAMPLED {
        site.ask(0, "/", &[])?;
    }
    // Sums of 100 throws of a coin are outside of this once in 10 billion times.
    let (least, most) = (18, 82);
    let out = site.sum("access_log_sampled_out_total")?;
    ensure!((least..=most).contains(&out), "{out} of {SAMPLED} requests were left out at a rate of one half");
    Ok(())
}

/// A panic says what has happened.
fn trapped(program: &Path, filter: &str, without: Option<&str>) -> Result<()> {
    let config = json!({});
    let plan = Plan { module: build::trapping(filter)?, ..Plan::of(filter, config) };
    let mut site = plan.start(program, without)?;
    let status = site.ask(0, "/", &[("x-trap", "1")])?;
    ensure!(status == 503, "nothing trapped: {status}");
    wait("the log has no message of the panic", || {
        Ok(site.envoy.log_text().contains("a request has asked for a trap"))
    })
}

//! The soak in a real Envoy: its memory, and how long requests take beside those through no filter, in turns of the same run.

use super::{Sums, load::Load, plan::Plan, traffic::ANSWER};
use crate::{
    bench::{peers, stats::Summary},
    bootstrap::Bootstrap,
    build,
    e2e::metrics::until,
    envoy::Envoy,
    http,
    upstream::Upstream,
};
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::{fs, path::Path, time::Instant};

/// Into how many turns the requests are cut, at most; and how many requests one has, at most.
const TURNS: usize = 20;
const TURN: usize = 10_000;
/// The listener without the plugin has one request where the other has so many.
const FEWER: usize = 4;
/// The part of the requests, in percent, behind which memory is looked at.
const WARM_UP: usize = 20;

/// What came of a module.
#[derive(Debug)]
pub struct Row {
    /// Requests through the module.
    pub requests: usize,
    pub seconds: f64,
    /// Resident memory behind the warm-up, the largest after it, and the last, in kilobytes.
    pub warm: u64,
    pub largest: u64,
    pub end: u64,
    /// How much V8 and Envoy had allocated behind the warm-up and at the end, in kilobytes, as the admin interface says it.
    pub allocated: [u64; 2],
    /// The time that half and 99 of 100 requests stay below, in microseconds: with the plugin, without it, and their ratio, each the median of the turns.
    pub half: [f64; 3],
    pub most: [f64; 3],
    pub sums: Sums,
    /// What went wrong.
    pub errors: Vec<String>,
}

/// A shop that answers what a request's header says.
pub fn shop(program: &Path) -> Result<Envoy> {
    let mut bootstrap = crate::bench::start::bootstrap(&[]);
    let manager =
        &mut bootstrap["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"];
    let route = |status: u16| {
        let mut answer = json!({"status": status});
        if status != 204 {
            answer["body"] = json!({"inline_string": "{\"products\":[\"oar\",\"sail\",\"float\"]}"});
        }
        json!({
            "match": {"prefix": "/", "headers": [{"name": ANSWER, "string_match": {"exact": status.to_string()}}]},
            "direct_response": answer
        })
    };
    let mut routes: Vec<Value> = [204, 302, 404, 500].map(route).into();
    routes.push(json!({"match": {"prefix": "/"}, "direct_response": peers::answer()}));
    manager["route_config"]["virtual_hosts"][0]["routes"] = json!(routes);
    manager["max_request_headers_kb"] = json!(96);
    Envoy::start(program, &bootstrap, &["--concurrency", "1"])
}

/// The configuration that users start from with the plan's, and beside its listener another without the plugin.
fn bootstrap(filter: &str, plan: &Plan, shop: &Envoy, collector: &Upstream) -> Result<Value> {
    let mut bootstrap = Bootstrap::load(filter)?;
    bootstrap.with_free_ports();
    bootstrap.set_module(&build::module(filter));
    bootstrap.set_environment(&plan.environment);
    bootstrap.set_plugin_configuration(Some(plan.config.to_string().as_bytes()));
    let shop = shop.listener("main")?;
    for cluster in ["v1", "v2"] {
        bootstrap.set_cluster(cluster, Some(shop));
    }
    bootstrap.set_cluster("otel-collector", Some(collector.address()));
    let mut all = bootstrap.0;
    let mut without = all["static_resources"]["listeners"][0].clone();
    without["name"] = json!("without");
    let filters = without["filter_chains"][0]["filters"][0]["typed_config"]["http_filters"]
        .as_array_mut()
        .context("there are no filters")?;
    filters.retain(|filter| filter["typed_config"]["config"]["vm_config"].is_null());
    all["static_resources"]["listeners"].as_array_mut().context("there are no listeners")?.push(without);
    Ok(all)
}

/// Sends so many requests through a filter's module.
pub fn run(program: &Path, shop: &Envoy, load: &Load, filter: &str, requests: usize) -> Result<Row> {
    let plan = super::plan_of(filter)?;
    let collector = Upstream::start("collector", 0)?;
    let envoy = Envoy::start(program, &bootstrap(filter, &plan, shop, &collector)?, &["--concurrency", "2"])?;
    let (listener, without) = (envoy.listener("main")?, envoy.listener("without")?);
    let begun = Instant::now();
    let turn = TURN.min(requests.div_ceil(TURNS));
    let (mut half, mut most) = ([Vec::new(), Vec::new(), Vec::new()], [Vec::new(), Vec::new(), Vec::new()]);
    let (mut denied, mut errors) = (0, Vec::new());
    let (mut warm, mut largest, mut warm_allocated, mut vms) = (0, 0, 0, 0);
    let (mut sent, mut records) = (0, 0);
    while sent < requests {
        let end = (sent + turn).min(requests);
        let beside = load.send(without, sent, sent + (end - sent) / FEWER)?;
        let own = load.send(listener, sent, end)?;
        ensure!(beside.denied == 0, "the shop has denied requests itself");
        denied += own.denied;
        errors.extend(own.wrong.iter().chain(&beside.wrong).cloned());
        for (list, percent) in [(&mut half, 50), (&mut most, 99)] {
            let [with, without] = [own.percentile(percent), beside.percentile(percent)];
            for (list, value) in list.iter_mut().zip([with, without, with / without]) {
                list.push(value);
            }
        }
        records += records_in(&collector);
        let is_warm = end * 100 >= requests * WARM_UP;
        if is_warm {
            let now = resident(envoy.pid())?;
            largest = largest.max(now);
            if warm == 0 {
                (warm, warm_allocated, vms) = (now, allocated(&envoy)?, created(&envoy)?);
            }
        }
        sent = end;
    }
    let seconds = begun.elapsed().as_secs_f64();
    let end = resident(envoy.pid())?;
    let mut made = load.made(requests);
    made.insert("denied".to_owned(), denied);
    let sums = until(|| {
        records += records_in(&collector);
        let sums = Sums::of(&plan, &made, &envoy.plugin_stats()?);
        Ok(sums.is_even().then_some(sums))
    });
    let stats = envoy.plugin_stats()?;
    let sums = sums.unwrap_or_else(|_| Sums::of(&plan, &made, &stats));
    records += records_in(&collector);
    let counted = Plan::total("access_log_otlp_records_total;result=sent", &stats);
    if counted != records {
        errors.push(format!("{records} records came to the collector, and {counted} were counted"));
    }
    if created(&envoy)? != vms {
        errors.push("a VM was started anew".to_owned());
    }
    let bad = |level: &str| matches!(level, "error" | "critical");
    errors
        .extend(envoy.log_since(0).into_iter().filter(|line| bad(&line.level)).map(|line| line.text).take(5));
    let medians = |lists: [Vec<f64>; 3]| lists.map(|list| Summary::of(list).median);
    Ok(Row {
        requests,
        seconds,
        warm,
        largest,
        end,
        allocated: [warm_allocated, allocated(&envoy)?],
        half: medians(half),
        most: medians(most),
        sums,
        errors,
    })
}

/// How many log records have come to a collector since it was last asked.
fn records_in(collector: &Upstream) -> i64 {
    let batches = collector.take_received();
    let count: usize =
        batches.iter().map(|batch| batch.body.lossy().matches("\"timeUnixNano\"").count()).sum();
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// The memory of a process, in kilobytes.
fn resident(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse()?)
}

/// What Envoy has allocated, in kilobytes.
fn allocated(envoy: &Envoy) -> Result<u64> {
    let memory: Value = serde_json::from_slice(&http::get(envoy.admin(), "/memory")?)?;
    let bytes: u64 = memory["allocated"].as_str().context("/memory says nothing")?.parse()?;
    Ok(bytes >> 10)
}

/// How many VMs Envoy has started.
fn created(envoy: &Envoy) -> Result<u64> {
    let stats = http::get(envoy.admin(), "/stats?filter=^wasm.envoy.wasm.runtime.v8.created")?;
    let text = String::from_utf8_lossy(&stats).into_owned();
    let (_, count) =
        text.trim().split_once(": ").context("Envoy does not say how many VMs it has started")?;
    Ok(count.parse()?)
}

//! What the harness costs: from a file to a first answer, and requests a second, beside an Envoy with the same module.

use super::{measure::Bench, start, stats::Summary, variant};
use crate::{build, command, envoy::Envoy, progress, project, setup};
use anyhow::{Context as _, Result};
use comfy_table::Table;
use serde_json::Value;
use std::{
    fs,
    process::{Command, ExitCode},
    time::Instant,
};

/// The module that is measured.
const FILTER: &str = "ab-routing";
/// How often Envoy is started, how many turns of requests it has, and of how many each is.
const STARTS: usize = 5;
const TURNS: usize = 10;
const REQUESTS: usize = 2500;

/// Requests a second, on one core, that the harness must reach at least, and the most milliseconds from a file to a first answer with a warm cache.
const REQUESTS_PER_SECOND: f64 = 40_000.0;
const WARM_MS: f64 = 60.0;

/// Measures the harness and Envoy, one behind the other.
///
/// # Errors
/// Something is missing, or a goal is not met.
pub fn run() -> Result<ExitCode> {
    let program = setup::envoy(None)?;
    let h2load = setup::system("h2load", "nghttp2-client")?;
    build::modules()?;
    let module = build::module(FILTER);
    let example = project::root().join("filters").join(FILTER).join("config.example.json");
    let work = progress::begin("measuring the harness");
    let printed = command::run(Command::new(build::harness_bench()?).arg(&module).arg(&example))?;
    drop(work);
    let figures: Value = serde_json::from_str(printed.lines().last().unwrap_or_default())
        .with_context(|| format!("the bench printed no figures:\n{printed}"))?;
    let figure = |name: &str| figures[name].as_f64().with_context(|| format!("no {name} in {figures}"));
    let config: Value = serde_json::from_str(&fs::read_to_string(&example)?)?;
    let bootstrap = start::bootstrap(&[variant::wasm(FILTER, &module, Some(&config))]);
    let work = progress::begin_counted("measuring Envoy", (STARTS + TURNS) as u64);
    let mut seconds = Vec::new();
    let mut envoy = None;
    for _ in 0..STARTS {
        drop(envoy.take());
        let begun = Instant::now();
        envoy = Some(Envoy::start(&program, &bootstrap, &["--concurrency", "1"])?);
        seconds.push(begun.elapsed().as_secs_f64());
        work.step();
    }
    let envoy = envoy.context("no Envoy was started")?;
    let bench = Bench::new(&envoy, h2load, REQUESTS, "/checkout?step=2")?;
    let main = variant::Variant::module("main", &module);
    let mut turns = Vec::new();
    for _ in 0..TURNS {
        turns.push(bench.turn(&main)?);
        work.step();
    }
    drop(work);
    let (start_ms, nanoseconds) = (Summary::of(seconds).median * 1000.0, Summary::of(turns).median);
    let (rate, warm) = (figure("requests_per_second")?, figure("warm_ms")?);
    let mut table = Table::new();
    table.set_header([&format!("dist/{FILTER}.wasm"), "harness", "Envoy"]);
    let mut row =
        |what: &str, harness: String, envoy: String| _ = table.add_row([what.to_owned(), harness, envoy]);
    row("bytes", figures["bytes"].to_string(), String::new());
    row(
        "until the first request, compiled anew",
        format!("{:.0} ms", figure("cold_ms")?),
        format!("{start_ms:.0} ms"),
    );
    row("until the first request, from the cache", format!("{warm:.0} ms"), "has none".to_owned());
    row("a request without a body", format!("{:.1} us", 1e6 / rate), format!("{:.1} us", nanoseconds / 1e3));
    row("requests without a body, a second", format!("{rate:.0}"), format!("{:.0}", 1e9 / nanoseconds));
    row("with 1 KB there and back, a second", format!("{:.0}", figure("bodies_per_second")?), String::new());
    println!("{table}");
    println!("Envoy's are its worker's CPU time, with HTTP; until `/ready` answers, for its start.");
    let is_met = rate >= REQUESTS_PER_SECOND && warm <= WARM_MS;
    println!(
        "goals: at least {REQUESTS_PER_SECOND:.0} requests a second, at most {WARM_MS:.0} ms from the cache: {}",
        if is_met { "met" } else { "NOT MET" }
    );
    Ok(ExitCode::from(u8::from(!is_met)))
}

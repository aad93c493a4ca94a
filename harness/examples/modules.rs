//! What modules cost: how long each takes from its file to the first request, and how many instructions a request costs.
//!
//! `cargo run --example modules -- MODULES SCENARIOS`: each `NAME.toml` of the folder of scenarios runs with `NAME.wasm` of the other, by the first exchange
//! of its first scenario that has one.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "what an example prints is its product")]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "an example runs on a host: it may read its clock and environment"
)]

use harness::{
    Module,
    scenario::{self, Scenario},
};
use std::{env, error::Error, fs, path::Path, time::Instant};

/// How many requests come before the one whose instructions are told.
const BEFORE: usize = 100;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [modules, scenarios] = arguments.as_slice() else {
        return Err("usage: modules MODULES SCENARIOS".into());
    };
    let mut files: Vec<_> = fs::read_dir(scenarios)?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    println!(
        "| module | KB | to load, ms | to the first request, ms | instructions a request | host calls |"
    );
    println!("|---|---|---|---|---|---|");
    for file in files {
        let name = file.file_stem().unwrap_or_default().to_string_lossy();
        let path = Path::new(modules).join(format!("{name}.wasm"));
        match fs::read(&path) {
            Ok(bytes) => println!("{}", row(&name, &bytes, &file)?),
            Err(error) => eprintln!("NOT THERE  {}: {error}", path.display()),
        }
    }
    Ok(())
}

fn row(name: &str, bytes: &[u8], file: &Path) -> Result<String, Box<dyn Error>> {
    let mut scenarios = scenario::load_file(file)?.into_iter();
    let scenario =
        scenarios.find(|scenario| !scenario.exchanges.is_empty()).ok_or("no scenario has an exchange")?;
    let first = scenario.exchanges.iter().take(1).cloned().collect();
    let once = Scenario { exchanges: first, ..scenario.clone() };
    let started = Instant::now();
    let module = Module::load(bytes)?;
    let loaded = started.elapsed();
    harness::run(&once, &module)?;
    let answered = started.elapsed();
    let exchanges = scenario.exchanges.iter().take(1).cycle().take(BEFORE + 1).cloned().collect();
    let outcome = harness::run(&Scenario { exchanges, ..scenario }, &module)?;
    let cost = outcome.exchanges.last().and_then(|last| last.cost).ok_or("a request has no cost")?;
    let kilobytes = bytes.len().div_ceil(1000);
    let (loaded, answered) = (loaded.as_millis(), answered.as_millis());
    Ok(format!(
        "| {name} | {kilobytes} | {loaded} | {answered} | {} | {} |",
        cost.instructions, cost.host_calls
    ))
}

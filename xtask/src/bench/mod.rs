//! `cargo xtask bench`: what a filter costs a request in a real Envoy, beside what its peers cost in the same run.

mod goals;
mod harness;
mod measure;
pub mod peers;
mod pii;
mod report;
pub mod start;
pub mod stats;
mod variant;

use crate::{envoy::Envoy, progress, project, setup};
use anyhow::{Context as _, Result};
use clap::ValueEnum;
use measure::Bench;
use std::{fs, path::PathBuf, process::ExitCode};
use variant::Variant;

/// How many copies of a filter are in one chain: the cost of one is an eighth of the difference that they make, and so is its error.
pub const COPIES: usize = 8;

/// Measures what filters cost, as ratios to their peers in one run.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What is measured.
    #[arg(value_enum, default_value = "filters")]
    what: What,
    /// What to compare with besides, as NAME=PATH: a module (filters); a program that reads and prints what the example `bench` of pii does (pii).
    #[arg(long, value_name = "NAME=PATH", value_parser = peer)]
    peer: Vec<(String, PathBuf)>,
    /// The path and query of all requests.
    #[arg(long, default_value = "/")]
    path: String,
    /// Only variants whose names have one of these texts, and the baseline.
    #[arg(long)]
    only: Vec<String>,
    /// How often every variant has its turn.
    #[arg(long, default_value_t = 12)]
    rounds: usize,
    /// Requests of one turn.
    #[arg(long, default_value_t = 2500)]
    requests: usize,
}

/// What can be measured.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum What {
    /// The CPU time of Envoy's worker per request and copy of a filter.
    Filters,
    /// Nanoseconds of the pii engine for texts, natively and as wasm, beside one combined regex.
    Pii,
    /// Seconds until Envoy is ready and its resident memory, without a module and with each.
    Start,
    /// The harness itself: its start and requests a second, beside Envoy's.
    Harness,
}

fn peer(text: &str) -> Result<(String, PathBuf), String> {
    let (name, path) = text.split_once('=').ok_or("must be NAME=PATH")?;
    let path = PathBuf::from(path);
    if path.is_file() { Ok((name.to_owned(), path)) } else { Err(format!("{} is no file", path.display())) }
}

/// Runs the command.
///
/// # Errors
/// Something is missing, or a variant does not do what it is measured at.
pub fn run(args: &Args) -> Result<ExitCode> {
    match args.what {
        What::Filters => {}
        What::Pii => return pii::run(&args.peer),
        What::Start => return start::run(),
        What::Harness => return harness::run(),
    }
    let program = setup::envoy(None)?;
    let h2load = setup::system("h2load", "nghttp2-client")?;
    let mut variants = variant::all(&args.peer)?;
    variants.retain(|variant| {
        let is_named = |text: &String| variant.name.contains(text.as_str());
        is_baseline(variant) || args.only.is_empty() || args.only.iter().any(is_named)
    });
    let bootstrap = variant::bootstrap(&variants);
    let work = progress::begin("starting Envoy");
    let envoy = Envoy::start(&program, &bootstrap, &["--concurrency", "1"])?;
    drop(work);
    let bench = Bench::new(&envoy, h2load, args.requests, &args.path)?;
    bench.check(&envoy, &variants)?;
    let work = progress::begin_counted("measuring", (args.rounds * variants.len()) as u64);
    let rounds =
        (0..args.rounds).map(|round| bench.round(&variants, round, &work)).collect::<Result<Vec<_>>>()?;
    drop(work);
    let report = report::Report::new(&variants, &rounds, args);
    let folder = project::scratch("bench")?;
    fs::write(folder.join("report.json"), serde_json::to_vec_pretty(&report)?)
        .context("cannot write the report")?;
    fs::write(folder.join("report.html"), report.html())?;
    println!("{}", folder.join("report.html").display());
    println!("{report}");
    Ok(ExitCode::SUCCESS)
}

/// The variant that every other is compared with.
pub fn is_baseline(variant: &Variant) -> bool {
    variant.name == "none"
}

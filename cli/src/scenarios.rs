//! `outrigger test`: runs scenario files on the harness.

use crate::modules;
use harness::{
    outcome::Outcome,
    scenario::{self, Scenario},
};
use serde::Serialize;
use std::{path::PathBuf, process::ExitCode};

/// Runs scenario files on the harness.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The module under test.
    #[arg(long)]
    wasm: PathBuf,
    /// Scenario files, or folders of them.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Print one line of JSON a scenario.
    #[arg(long)]
    json: bool,
}

/// What became of a scenario.
#[derive(Debug, Serialize)]
struct Report<'a> {
    file: String,
    name: &'a str,
    failures: Vec<String>,
    outcome: Option<Outcome>,
}

/// Runs the command.
///
/// # Errors
/// A file or the module cannot be read: exit code 2.
pub fn run(args: &Args) -> Result<ExitCode, String> {
    let module = modules::load(&args.wasm).map_err(|error| error.to_string())?;
    let mut scenarios = Vec::new();
    for path in &args.files {
        let loaded = if path.is_dir() { scenario::load_dir(path) } else { scenario::load_file(path) };
        scenarios.extend(loaded.map_err(|error| error.to_string())?);
    }
    let mut failed = 0;
    for scenario in &scenarios {
        let report = check(scenario, &module);
        failed += usize::from(!report.failures.is_empty());
        if args.json {
            anstream::println!("{}", serde_json::to_string(&report).map_err(|error| error.to_string())?);
        } else {
            let verdict = if report.failures.is_empty() { "ok" } else { "FAILED" };
            anstream::println!("{verdict:6} {}: {}", report.file, report.name);
            for failure in &report.failures {
                anstream::println!("       {failure}");
            }
        }
    }
    if !args.json {
        anstream::println!("{} passed, {failed} failed", scenarios.len() - failed);
    }
    Ok(ExitCode::from(u8::from(failed > 0)))
}

fn check<'s>(scenario: &'s Scenario, module: &harness::Module) -> Report<'s> {
    let (failures, outcome) = match harness::run(scenario, module) {
        Ok(outcome) => (
            harness::outcome::check(scenario, &outcome).iter().map(ToString::to_string).collect(),
            Some(outcome),
        ),
        Err(error) => (vec![error.to_string()], None),
    };
    Report { file: scenario.file.display().to_string(), name: &scenario.name, failures, outcome }
}

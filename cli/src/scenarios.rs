//! `outrigger test`: runs scenario files on the harness.

use crate::modules;
use harness::{
    outcome::Outcome,
    scenario::{self, Scenario},
};
use serde::Serialize;
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Runs scenario files on the harness.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  outrigger test --wasm dist/policy.wasm filters/policy/scenarios")]
pub struct Args {
    /// The module under test.
    #[arg(long, required_unless_present = "chain")]
    wasm: Option<PathBuf>,
    /// The field of the module's configuration that the scenarios' configurations are for: `policy` of all-in-one, say.
    #[arg(long, value_name = "FIELD", requires = "wasm")]
    inside: Option<String>,
    /// Modules in a chain instead, each with the field of the scenarios' configurations that is its own: `policy=dist/policy.wasm`.
    #[arg(long, value_name = "FIELD=WASM", value_parser = link, conflicts_with = "wasm")]
    chain: Vec<(String, PathBuf)>,
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
    let load = |path: &Path| modules::load(path).map_err(|error| error.to_string());
    let runner = if let Some(path) = &args.wasm {
        Runner::One(load(path)?)
    } else {
        let chain = args.chain.iter().map(|(field, path)| Ok((field.clone(), load(path)?)));
        Runner::Chain(chain.collect::<Result<_, String>>()?)
    };
    let mut scenarios = Vec::new();
    for path in &args.files {
        let loaded = scenario::load(path).map_err(|error| error.to_string())?.into_iter();
        scenarios.extend(loaded.map(|scenario| match &args.inside {
            Some(field) => scenario.inside(field),
            None => scenario,
        }));
    }
    if matches!(runner, Runner::Chain(_)) {
        // A configuration that is refused is one document's, and its fields' paths.
        scenarios.retain(|scenario| scenario.config_error.is_none());
    }
    let mut failed = 0;
    for scenario in &scenarios {
        let report = check(scenario, &runner);
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

/// `FIELD=PATH`.
fn link(text: &str) -> Result<(String, PathBuf), String> {
    let (field, path) = text.split_once('=').ok_or("must be FIELD=WASM")?;
    Ok((field.to_owned(), path.into()))
}

/// What scenarios run through.
enum Runner {
    One(harness::Module),
    Chain(Vec<(String, harness::Module)>),
}

fn check<'s>(scenario: &'s Scenario, runner: &Runner) -> Report<'s> {
    let ran = match runner {
        Runner::One(module) => harness::run(scenario, module),
        Runner::Chain(chain) => harness::run_chain(scenario, chain),
    };
    let (failures, outcome) = match ran {
        Ok(outcome) => (
            harness::outcome::check(scenario, &outcome).iter().map(ToString::to_string).collect(),
            Some(outcome),
        ),
        Err(error) => (vec![error.to_string()], None),
    };
    Report { file: scenario.file.display().to_string(), name: &scenario.name, failures, outcome }
}

//! `outrigger test`: runs scenario files on the harness.

use crate::modules;
use harness::{
    Exploration, ExploreError, Explored, Lint, RunError,
    outcome::Outcome,
    scenario::{self, Scenario},
    snapshot,
};
use serde::Serialize;
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Runs scenario files on the harness.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
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
    /// A lint to switch off; a scenario switches one off by itself with `allow`.
    #[arg(long, value_name = "LINT", value_parser = lint)]
    allow: Vec<Lint>,
    /// Run each scenario over splits of its bodies, orders of its callouts' answers, and callouts that fail, also where it does not say `explore`.
    #[arg(long)]
    explore: bool,
    /// The most exchanges of one scenario's exploration; a scenario that says its own keeps it.
    #[arg(long, value_name = "EXCHANGES", requires = "explore")]
    budget: Option<usize>,
    /// Write the snapshots of traces instead of comparing them; $OUTRIGGER_UPDATE=1 does the same.
    #[arg(long)]
    update: bool,
    /// Scenario files, or folders of them.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Print one line of JSON a scenario.
    #[arg(long)]
    json: bool,
    /// With which functions of the host each scenario's module was called and called itself: what an allow-list of capabilities has to have.
    #[arg(long, requires = "json", requires = "wasm")]
    calls: bool,
    /// Without this callback or function of the host: what a module misses that a proxy does not let call it.
    #[arg(long, value_name = "CAPABILITY", requires = "wasm", conflicts_with = "explore")]
    without: Option<String>,
}

/// What became of a scenario.
#[derive(Debug, Serialize)]
struct Report<'a> {
    file: String,
    line: usize,
    name: &'a str,
    failures: Vec<String>,
    outcome: Option<Outcome>,
    #[serde(skip_serializing_if = "Option::is_none")]
    calls: Option<BTreeSet<String>>,
    #[serde(skip)]
    explored: Option<Explored>,
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
    for scenario in &mut scenarios {
        let allowed = args.allow.iter().map(|lint| (*lint, "--allow".to_owned()));
        scenario.allow.extend(allowed);
        if args.explore && scenario.config_error.is_none() && scenario.explore.is_none() {
            let default = Exploration::default();
            scenario.explore = Some(Exploration { budget: args.budget.unwrap_or(default.budget), ..default });
        }
    }
    if matches!(runner, Runner::Chain(_)) {
        // A configuration that is refused is one document's, and its fields' paths.
        scenarios.retain(|scenario| scenario.config_error.is_none());
    }
    if scenarios.is_empty() {
        let files: Vec<String> = args.files.iter().map(|file| file.display().to_string()).collect();
        return Err(format!("{}: there is no scenario", files.join(", ")));
    }
    let mut failed = 0;
    for scenario in &scenarios {
        let report = check(scenario, &runner, args);
        failed += usize::from(!report.failures.is_empty());
        if args.json {
            anstream::println!("{}", serde_json::to_string(&report).map_err(|error| error.to_string())?);
        } else {
            let verdict = if report.failures.is_empty() { "ok" } else { "FAILED" };
            let explored =
                report.explored.as_ref().map_or_else(String::new, |explored| format!(" ({explored})"));
            anstream::println!("{verdict:6} {}:{}: {}{explored}", report.file, report.line, report.name);
            for failure in &report.failures {
                anstream::println!("       {}", failure.replace('\n', "\n       "));
            }
        }
    }
    if !args.json {
        anstream::println!("{} passed, {failed} failed", scenarios.len() - failed);
    }
    Ok(ExitCode::from(u8::from(failed > 0)))
}

/// A lint by its name.
pub fn lint(name: &str) -> Result<Lint, String> {
    Lint::named(name).ok_or_else(|| format!("there is no such lint; there are {}", Lint::names()))
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

impl Runner {
    fn run(&self, scenario: &Scenario, without: Option<&str>) -> Result<Outcome, RunError> {
        match self {
            Self::One(module) => without.map_or_else(
                || harness::run(scenario, module),
                |capability| harness::run_without(scenario, module, capability),
            ),
            Self::Chain(chain) => harness::run_chain(scenario, chain),
        }
    }

    fn explore(&self, scenario: &Scenario, exploration: &Exploration) -> Result<Explored, ExploreError> {
        match self {
            Self::One(module) => harness::explore(scenario, module, exploration),
            Self::Chain(chain) => harness::explore_chain(scenario, chain, exploration),
        }
    }
}

fn check<'s>(scenario: &'s Scenario, runner: &Runner, args: &Args) -> Report<'s> {
    let (mut failures, outcome) = match runner.run(scenario, args.without.as_deref()) {
        Ok(outcome) => (
            harness::outcome::check(scenario, &outcome).iter().map(ToString::to_string).collect(),
            Some(outcome),
        ),
        Err(error) => (vec![error.to_string()], None),
    };
    if let (Some(file), Runner::One(module), true) = (&scenario.snapshot, runner, failures.is_empty()) {
        let trace = harness::trace(scenario, module).map_err(|error| error.to_string());
        let checked = trace.and_then(|trace| {
            let is_updated = args.update || snapshot::is_updating();
            snapshot::check(file, &trace, is_updated).map_err(|error| error.to_string())
        });
        failures.extend(checked.err());
    }
    let calls = match runner {
        Runner::One(module) if args.calls => match harness::calls(scenario, module) {
            Ok(calls) => Some(calls),
            Err(error) => {
                failures.push(error.to_string());
                None
            }
        },
        _ => None,
    };
    let mut explored = None;
    // What fails as it stands is not looked at from other sides.
    if let Some(exploration) = scenario.explore.as_ref().filter(|_| failures.is_empty()) {
        match runner.explore(scenario, exploration) {
            Ok(found) if found.bodies == 0 && found.callouts == 0 && !args.explore => {
                failures.push(
                    "explore: there is nothing to explore: no body of two bytes or more, and no callout"
                        .to_owned(),
                );
            }
            Ok(found) => {
                failures.extend(found.cases.iter().map(ToString::to_string));
                explored = Some(found);
            }
            Err(error) => failures.push(error.to_string()),
        }
    }
    let (file, line) = (scenario.file.display().to_string(), scenario.line);
    Report { file, line, name: &scenario.name, failures, outcome, calls, explored }
}

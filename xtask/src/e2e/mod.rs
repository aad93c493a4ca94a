//! `cargo xtask e2e`: the scenarios on a real Envoy. Each must meet its expectations there, and come out as it does on the harness.

mod args;
pub mod bypass;
pub mod candidate;
pub mod capabilities;
pub mod client;
mod discovery;
pub mod faults;
pub mod foreign;
pub mod guardrail;
pub mod hops;
mod local;
pub mod metrics;
pub mod outputs;
pub mod publish;
pub mod pushes;
pub mod rbac;
mod site;
pub mod sticky;
mod tcp;
pub mod tool;
pub mod ui;

pub use args::{Args, run};
pub use site::Site;

use crate::{bootstrap::Bootstrap, build, command, compose, envoy, parallel, progress, project, setup};
use anyhow::{Context as _, Result};
use harness::{
    outcome::{self, Outcome},
    scenario::{self, CookieJar, Scenario},
};
use local::Local;
use serde::Deserialize;
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::Command,
};

/// How many Envoys run at once: there are as many cores.
const AT_ONCE: usize = 2;

/// A module and its scenarios.
#[derive(Debug, Clone)]
pub struct Suite {
    /// The filter, or the fixture.
    pub name: String,
    /// What they run through.
    pub plan: Plan,
    /// Its scenarios' folder.
    pub folder: PathBuf,
    /// The bootstrap of envoy-configs/ that it runs in.
    pub bootstrap: String,
    /// What its module may not call, of what it needs.
    pub without: Option<String>,
}

/// What a suite's scenarios run through.
#[derive(Debug, Clone)]
pub enum Plan {
    /// A module.
    One(PathBuf),
    /// A module of others: its plugin has the name, and what becomes of requests when it traps, that they have on the harness.
    Foreign(PathBuf),
    /// A module of several filters, of which the scenarios' configurations are for one: in the field of its name.
    Inside(PathBuf, &'static str),
    /// Several modules, each with the field of the scenarios' configurations that is its own, in the order in which requests meet them.
    Chain(Vec<(&'static str, PathBuf)>),
}

/// What Envoy logs of a call that `capability_restriction_config` does not allow.
const FORBIDDEN: &str = "Attempted call to restricted";

/// The filters that all-in-one is made of, in their order, and the fields of their configurations.
const PARTS: [(&str, &str); 4] = [
    ("metrics", "metrics"),
    ("access-log", "access_log"),
    ("policy", "policy"),
    ("ab-routing", "ab_routing"),
];

/// How many scenarios ended in which way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// As they must.
    pub passed: usize,
    /// Otherwise.
    pub failed: usize,
    /// Not run, for a reason that the scenario gives.
    pub skipped: usize,
}

/// Makes each of several attempts, and says which failed and why.
fn try_all<A>(tried: &[(&str, A)], make: impl Fn(&A) -> Result<()>) -> Count {
    let mut count = Count::default();
    for (name, attempt) in tried {
        let work = progress::begin(name);
        let outcome = make(attempt);
        drop(work);
        match outcome {
            Ok(()) => count.passed += 1,
            Err(error) => {
                progress::failed(name, &format!("{error:#}"));
                count.failed += 1;
            }
        }
    }
    count
}

/// A line of `outrigger test --json`.
#[derive(Debug, Deserialize)]
pub struct HarnessReport {
    /// What the scenario expects and did not get.
    pub failures: Vec<String>,
    /// What came of it.
    pub outcome: Option<Outcome>,
    /// Which callbacks and functions were called, where that was asked for.
    #[serde(default)]
    pub calls: Option<BTreeSet<String>>,
}

impl Plan {
    /// The one module.
    fn module(&self) -> Result<&Path> {
        match self {
            Self::One(module) | Self::Inside(module, _) | Self::Foreign(module) => Ok(module),
            Self::Chain(_) => anyhow::bail!("a chain of modules does not run through docker-compose.yml"),
        }
    }
}

impl Suite {
    /// The module of dist/ that the suite is of; none for a fixture, and where scenarios run through all-in-one or a chain.
    fn published(&self) -> Option<&Path> {
        match &self.plan {
            Plan::One(module) if *module == build::module(&self.name) => Some(module),
            _ => None,
        }
    }
}

/// Builds all modules and lists them with their scenarios.
///
/// # Errors
/// A module does not build.
pub fn suites() -> Result<Vec<Suite>> {
    build::modules()?;
    let mut suites = Vec::new();
    let folder = |name: &str| project::root().join("filters").join(name).join("scenarios");
    for name in project::filters()? {
        let (plan, folder) = (Plan::One(build::module(&name)), folder(&name));
        suites.push(Suite { plan, bootstrap: name.clone(), name, folder, without: None });
    }
    // All-in-one equals its filters: each one's scenarios run inside it, and its own run through a chain of them.
    for (filter, field) in PARTS {
        let plan = Plan::Inside(build::module("all-in-one"), field);
        let name = format!("{filter} in all-in-one");
        suites.push(Suite {
            name,
            plan,
            folder: folder(filter),
            bootstrap: filter.to_owned(),
            without: None,
        });
    }
    let plan = Plan::Chain(PARTS.map(|(filter, field)| (field, build::module(filter))).into());
    let (name, bootstrap) = ("all-in-one as a chain".to_owned(), "all-in-one".to_owned());
    suites.push(Suite { name, plan, folder: folder("all-in-one"), bootstrap, without: None });
    let kit = project::root().join("filter-kit/scenarios");
    for (fixture, folder) in [("seam", kit.clone()), ("maintenance", kit.join("maintenance"))] {
        let (name, bootstrap) = (format!("filter-kit's {fixture}"), "ab-routing".to_owned());
        suites.push(Suite {
            name,
            plan: Plan::One(build::fixture(fixture)?),
            folder,
            bootstrap,
            without: None,
        });
    }
    Ok(suites)
}

/// Runs a suite's scenarios on the harness.
///
/// # Errors
/// `outrigger` does not build or does not run.
pub fn on_harness(suite: &Suite) -> Result<Vec<(Scenario, HarnessReport)>> {
    on_harness_with(suite, &[])
}

/// As [`on_harness`], with more arguments for `outrigger test`.
fn on_harness_with(suite: &Suite, more: &[&str]) -> Result<Vec<(Scenario, HarnessReport)>> {
    let mut scenarios = scenario::load(&suite.folder)?;
    let mut outrigger = Command::new(build::outrigger()?);
    outrigger.args(["test", "--json"]).args(more).arg(&suite.folder);
    match &suite.plan {
        Plan::One(module) | Plan::Foreign(module) => _ = outrigger.arg("--wasm").arg(module),
        Plan::Inside(module, field) => {
            outrigger.arg("--wasm").arg(module).args(["--inside", field]);
            scenarios = scenarios.into_iter().map(|scenario| scenario.inside(field)).collect();
        }
        Plan::Chain(chain) => {
            for (field, module) in chain {
                outrigger.arg("--chain").arg(format!("{field}={}", module.display()));
            }
            scenarios.retain(|scenario| scenario.config_error.is_none());
        }
    }
    let output = command::output(&mut outrigger)?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let reports: Vec<HarnessReport> = text
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()
        .with_context(|| format!("outrigger test: {}", String::from_utf8_lossy(&output.stderr)))?;
    anyhow::ensure!(
        reports.len() == scenarios.len(),
        "outrigger test: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(scenarios.into_iter().zip(reports).collect())
}

/// Runs all scenarios that `only` picks.
///
/// # Errors
/// Something that the run needs is missing.
pub fn all(version: Option<&str>, through_compose: bool, only: Option<&str>) -> Result<Count> {
    let suites = suites()?;
    let program = setup::envoy(version)?;
    let mut compose = if through_compose { Some(compose::Compose::up(&program)?) } else { None };
    let mut count = Count::default();
    for suite in &suites {
        if compose.is_some() && matches!(suite.plan, Plan::Chain(_)) {
            continue;
        }
        run_suite(suite, &program, &mut compose, only, &mut count)?;
    }
    if let Some(compose) = compose.filter(|_| only.is_none_or(|only| "docker-compose.yml".contains(only))) {
        let whole = compose.whole()?;
        count.passed += whole.passed;
        count.failed += whole.failed;
        count.skipped += whole.skipped;
    }
    Ok(count)
}

/// Runs a suite's scenarios that `only` picks on both hosts, and counts them.
fn run_suite(
    suite: &Suite,
    program: &Path,
    compose: &mut Option<compose::Compose>,
    only: Option<&str>,
    count: &mut Count,
) -> Result<()> {
    let picked = |scenario: &Scenario| {
        only.is_none_or(|only| {
            suite.name.contains(only)
                || scenario.name.contains(only)
                || scenario.file.to_string_lossy().contains(only)
        })
    };
    let mut runs = on_harness(suite)?;
    runs.retain(|(scenario, _)| picked(scenario));
    let work = progress::begin_counted(&format!("{} on Envoy", suite.name), runs.len() as u64);
    let verdicts = match compose {
        Some(compose) => runs.iter().map(|run| verdict(run, suite, program, Some(compose), &work)).collect(),
        None => parallel::map(&runs, AT_ONCE, |run| verdict(run, suite, program, None, &work)),
    };
    drop(work);
    for ((scenario, _), verdict) in runs.iter().zip(verdicts) {
        report(scenario, &verdict, count);
    }
    Ok(())
}

/// What became of a scenario on Envoy.
enum Verdict {
    Passed,
    Skipped(String),
    Failed(String),
    /// All is as it must be, but Envoy has refused a call.
    Refused(String),
}

fn report(scenario: &Scenario, verdict: &Verdict, count: &mut Count) {
    let file = scenario.file.strip_prefix(project::root()).unwrap_or(&scenario.file).display();
    match verdict {
        Verdict::Passed => count.passed += 1,
        Verdict::Skipped(reason) => {
            count.skipped += 1;
            println!("skipped {file}: {}: {reason}", scenario.name);
        }
        Verdict::Failed(why) | Verdict::Refused(why) => {
            count.failed += 1;
            progress::failed(&format!("{file}: {}", scenario.name), why);
        }
    }
}

fn verdict(
    run: &(Scenario, HarnessReport),
    suite: &Suite,
    program: &Path,
    compose: Option<&mut compose::Compose>,
    work: &progress::Work,
) -> Verdict {
    let (scenario, on_harness) = run;
    let judged = judge(scenario, on_harness, suite, program, compose);
    work.step();
    judged.unwrap_or_else(|error| Verdict::Failed(format!("  {error:#}")))
}

/// A call that Envoy has refused.
fn forbidden_call(place: &dyn Site) -> Result<Option<String>> {
    Ok(place.log()?.into_iter().map(|line| line.text).find(|text| text.starts_with(FORBIDDEN)))
}

fn judge(
    scenario: &Scenario,
    on_harness: &HarnessReport,
    suite: &Suite,
    program: &Path,
    compose: Option<&mut compose::Compose>,
) -> Result<Verdict> {
    if let Some(reason) = &scenario.only_harness {
        return Ok(Verdict::Skipped(format!("on the harness only: {reason}")));
    }
    let Some(expected) = &on_harness.outcome else {
        return Ok(Verdict::Failed(format!("  on the harness: {}", on_harness.failures.join("\n  "))));
    };
    let mocks = harness::mock::Mocks::start(&scenario.upstreams)?;
    let mut bootstrap = Bootstrap::load(&suite.bootstrap)?;
    bootstrap.set_routes(&scenario.routes);
    match &suite.plan {
        Plan::One(module) | Plan::Inside(module, _) => {
            bootstrap.set_plugin_configuration(scenario.config.as_deref());
            bootstrap.set_module(module);
        }
        Plan::Foreign(module) => {
            bootstrap.set_plugin_configuration(scenario.config.as_deref());
            bootstrap.set_module(module);
            bootstrap.be_plain();
        }
        Plan::Chain(chain) => bootstrap.set_chain(chain, scenario),
    }
    if let Some(capability) = &suite.without {
        bootstrap.forbid(capability);
    }
    bootstrap.set_root(&scenario.root_id, scenario.vm_config.as_deref());
    bootstrap.set_environment(&scenario.env);
    if let Some(exchange) = scenario.exchanges.first() {
        bootstrap.set_metadata(&exchange.connection.metadata);
    }
    for (name, address) in mocks.addresses() {
        bootstrap.set_cluster(name, address);
    }
    bootstrap.pass_trailers();
    let mut keys: Vec<&str> = scenario
        .exchanges
        .iter()
        .flat_map(|exchange| &exchange.expect.state)
        .map(|(key, _)| key.as_str())
        .collect();
    keys.sort_unstable();
    keys.dedup();
    bootstrap.print_state(keys.iter().copied());
    for name in scenario.upstreams.keys().filter(|name| mocks.is_grpc(name)) {
        bootstrap.speak_http2(name);
    }
    let mut outcome = Outcome::default();
    let mut forbidden = None;
    if scenario.config_error.is_some() {
        outcome.config_error = match compose {
            Some(compose) => compose.validate(&bootstrap, suite.plan.module()?)?.err(),
            None => envoy::validate(program, &bootstrap.0)?.err(),
        };
    } else if scenario.is_tcp {
        outcome.exchanges = tcp::run(program, bootstrap, scenario, &mocks, &expected.exchanges)?;
    } else {
        let local;
        let place: &dyn Site = if let Some(compose) = compose {
            compose.restart(bootstrap, suite.plan.module()?)?;
            compose
        } else {
            local = Local::start(program, bootstrap)?;
            if let Plan::Foreign(_) = suite.plan {
                foreign::settle(|| Ok(local.log()?.len()))?;
            }
            &local
        };
        let mut jar = CookieJar::default();
        for (exchange, expected) in scenario.exchanges.iter().zip(&expected.exchanges) {
            let mut exchange = exchange.clone();
            if scenario.cookies {
                jar.add_to(&mut exchange.request);
            }
            let result = client::exchange(place, &exchange, expected, &keys)?;
            jar.keep(&result.response_headers);
            outcome.exchanges.push(result);
        }
        // Envoy answers a call that is not on the module's list with a status alone: a list that is too short must not go unseen.
        forbidden = forbidden_call(place)?;
    }
    outcome.normalise();
    let mut problems: Vec<String> =
        on_harness.failures.iter().map(|failure| format!("  on the harness: {failure}")).collect();
    problems
        .extend(outcome::check(scenario, &outcome).iter().map(|mismatch| format!("  on Envoy: {mismatch}")));
    let differences = outcome::compare(scenario, expected, &outcome);
    problems.extend(
        differences.iter().map(|found| {
            format!("  differs: {}: harness {}, Envoy {}", found.what, found.harness, found.envoy)
        }),
    );
    let forbidden = forbidden.map(|call| format!("  on Envoy: {call}"));
    if problems.is_empty() {
        return Ok(forbidden.map_or(Verdict::Passed, Verdict::Refused));
    }
    problems.extend(forbidden);
    problems.push(outcome::render(scenario, expected, &outcome));
    Ok(Verdict::Failed(problems.join("\n")))
}

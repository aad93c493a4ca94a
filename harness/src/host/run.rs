//! Runs a scenario.

use super::{
    growth,
    module::Module,
    options::{Options, Settings},
    proxy::{Proxy, StartError},
    schedule::Schedule,
    vm::Trap,
};
use crate::{
    lint::{Finding, Lint},
    outcome::Outcome,
    scenario::{CookieJar, Scenario},
};
use std::fmt;

/// Why a scenario could not be run.
#[derive(Debug)]
#[non_exhaustive]
pub enum RunError {
    /// The module does not start.
    Start(Trap),
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(trap) => write!(f, "the module does not start: {trap}"),
        }
    }
}

impl std::error::Error for RunError {}

/// A plugin of a run: its VM's id, its module and its configuration.
pub(super) type Plugin<'m> = (&'m str, &'m Module, Option<Vec<u8>>);

/// Runs a scenario through one worker's VM of the module. The same scenario gives the same outcome each time.
///
/// # Errors
/// The module does not start. What goes wrong later is part of the outcome.
pub fn run(scenario: &Scenario, module: &Module) -> Result<Outcome, RunError> {
    run_all(scenario, &[("", module, scenario.config.clone())])
}

/// Runs a scenario through a chain of modules, in the order in which requests meet them: each has the part of the scenario's configuration that stands in
/// its field, and a VM of that id, and is left out where there is none.
///
/// # Errors
/// A module does not start.
pub fn run_chain(scenario: &Scenario, modules: &[(String, Module)]) -> Result<Outcome, RunError> {
    run_all(scenario, &chain(scenario, modules))
}

/// The plugins of a chain, each with its part of the configuration.
pub(super) fn chain<'m>(scenario: &Scenario, modules: &'m [(String, Module)]) -> Vec<Plugin<'m>> {
    let parts = modules.iter().map(|(field, module)| (field.as_str(), module, scenario.part(field)));
    parts.filter(|(_, _, part)| part.is_some()).collect()
}

fn run_all(scenario: &Scenario, plugins: &[Plugin<'_>]) -> Result<Outcome, RunError> {
    let (mut outcome, mut proxy) = play(scenario, plugins, None)?;
    if outcome.config_error.is_none() && !scenario.allow.contains_key(&Lint::StreamMemory) {
        outcome.findings.extend(growth::watch(&mut proxy, &scenario.exchanges));
    }
    Ok(outcome)
}

/// Runs a scenario, and gives its proxy as it is then.
pub(super) fn play(
    scenario: &Scenario,
    plugins: &[Plugin<'_>],
    schedule: Option<Schedule>,
) -> Result<(Outcome, Proxy), RunError> {
    let mut proxy = Proxy::new(Settings {
        seed: scenario.seed,
        clock: scenario.clock,
        clusters: scenario.upstreams.clone(),
        routes: scenario.routes.clone(),
        ..Settings::default()
    });
    proxy.world.0.borrow_mut().schedule = schedule;
    let mut outcome = Outcome::default();
    for (id, module, config) in plugins {
        let options = Options {
            seed: scenario.seed,
            environment: scenario.env.clone(),
            vm_id: (*id).to_owned(),
            ..Options::default()
        };
        match proxy.add(module, &options, config.as_deref()) {
            Ok(()) => {}
            Err(StartError::Start(trap)) => return Err(RunError::Start(trap)),
            Err(StartError::Configure(refused)) => {
                outcome.config_error = Some(refused.to_string());
                return Ok((outcome, proxy));
            }
        }
    }
    // What the module asks for when it is configured is answered before the first request, or kills the VM.
    proxy.settle();
    let is_on = |finding: &Finding| !scenario.allow.contains_key(&finding.lint);
    outcome.findings = proxy.take_findings();
    outcome.findings.retain(is_on);
    let mut jar = CookieJar::default();
    for exchange in &scenario.exchanges {
        let mut exchange = exchange.clone();
        if scenario.cookies {
            jar.add_to(&mut exchange.request);
        }
        let mut result = proxy.exchange(&exchange);
        jar.keep(&result.response_headers);
        result.findings.retain(is_on);
        outcome.exchanges.push(result);
    }
    outcome.normalise();
    Ok((outcome, proxy))
}

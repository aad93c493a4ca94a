//! Runs a scenario.

use super::{
    module::Module,
    options::{Options, Settings},
    proxy::{Proxy, StartError},
    vm::Trap,
};
use crate::{
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
pub fn run_chain(scenario: &Scenario, chain: &[(String, Module)]) -> Result<Outcome, RunError> {
    let parts = chain.iter().map(|(field, module)| (field.as_str(), module, scenario.part(field)));
    let parts: Vec<_> = parts.filter(|(_, _, part)| part.is_some()).collect();
    run_all(scenario, &parts)
}

fn run_all(scenario: &Scenario, plugins: &[(&str, &Module, Option<Vec<u8>>)]) -> Result<Outcome, RunError> {
    let mut proxy = Proxy::new(Settings {
        seed: scenario.seed,
        clock: scenario.clock,
        clusters: scenario.upstreams.clone(),
        routes: scenario.routes.clone(),
        ..Settings::default()
    });
    let mut outcome = Outcome::default();
    for (id, module, config) in plugins {
        let options = Options {
            seed: scenario.seed,
            environment: scenario.env.clone(),
            vm_id: (*id).to_owned(),
            root_id: scenario.root_id.clone(),
            vm_config: scenario.vm_config.clone().unwrap_or_default().into_bytes(),
            ..Options::default()
        };
        match proxy.add(module, &options, config.as_deref()) {
            Ok(()) => {}
            // Where a refusal is expected this is one: Envoy refuses such a configuration as a whole.
            Err(StartError::Start(trap)) if scenario.config_error.is_none() => {
                return Err(RunError::Start(trap));
            }
            Err(refused @ StartError::Start(_)) => {
                outcome.config_error = Some(refused.to_string());
                return Ok(outcome);
            }
            Err(StartError::Configure(refused)) => {
                outcome.config_error = Some(refused.to_string());
                return Ok(outcome);
            }
        }
    }
    // What the module asks for when it is configured is answered before the first request, or kills the VM.
    proxy.settle();
    let mut jar = CookieJar::default();
    for exchange in &scenario.exchanges {
        let mut exchange = exchange.clone();
        if scenario.cookies {
            jar.add_to(&mut exchange.request);
        }
        let result = proxy.exchange(&exchange);
        jar.keep(&result.response_headers);
        outcome.exchanges.push(result);
    }
    outcome.normalise();
    Ok(outcome)
}

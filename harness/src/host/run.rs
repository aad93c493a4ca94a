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
    let mut proxy = Proxy::new(Settings {
        seed: scenario.seed,
        clock: scenario.clock,
        clusters: scenario.upstreams.clone(),
        routes: scenario.routes.clone(),
        ..Settings::default()
    });
    let options = Options { seed: scenario.seed, environment: scenario.env.clone(), ..Options::default() };
    let mut outcome = Outcome::default();
    match proxy.add(module, &options, scenario.config.as_deref()) {
        Ok(()) => {}
        Err(StartError::Start(trap)) => return Err(RunError::Start(trap)),
        Err(StartError::Configure(refused)) => {
            outcome.config_error = Some(refused.to_string());
            return Ok(outcome);
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

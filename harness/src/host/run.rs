//! Runs a scenario.

use super::{
    cluster::Clusters,
    module::Module,
    vm::{Options, Trap, Vm},
};
use crate::{
    mock::Mocks,
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

/// Runs a scenario through one VM of the module. The same scenario gives the same outcome each time.
///
/// # Errors
/// The module does not start. What goes wrong later is part of the outcome.
pub fn run(scenario: &Scenario, module: &Module) -> Result<Outcome, RunError> {
    let options = Options {
        seed: scenario.seed,
        clock: scenario.clock,
        clusters: scenario.upstreams.keys().cloned().collect(),
        ..Options::default()
    };
    let mut vm = Vm::new(module, &options).map_err(RunError::Start)?;
    let mut outcome = Outcome::default();
    if let Err(refused) = vm.configure(scenario.config.as_deref()) {
        outcome.config_error = Some(refused.to_string());
        return Ok(outcome);
    }
    let clusters = Clusters::new(Mocks::start(&scenario.upstreams));
    // What the module asks for when it is configured is answered before the first request, or kills the VM.
    drop(vm.answer_callouts(&clusters));
    let mut jar = CookieJar::default();
    for exchange in &scenario.exchanges {
        let mut exchange = exchange.clone();
        if scenario.cookies {
            jar.add_to(&mut exchange.request);
        }
        let result = vm.exchange(scenario, &exchange, &clusters);
        jar.keep(&result.response_headers);
        outcome.exchanges.push(result);
    }
    outcome.normalise();
    Ok(outcome)
}

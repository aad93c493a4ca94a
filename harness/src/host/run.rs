//! Runs a scenario.

use super::{
    growth,
    module::Module,
    options::{Options, Settings},
    proxy::{Proxy, StartError},
    schedule::Schedule,
    trace::Step,
    vm::Trap,
};
use crate::{
    lint::{Finding, Lint},
    outcome::Outcome,
    scenario::{CookieJar, Scenario},
};
use std::{
    collections::BTreeSet,
    fmt::{self, Write as _},
};

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

/// Runs a scenario and takes down what its module and the host say to each other: the configuration on the worker, and each exchange, as text. The same
/// run gives the same text, so that it can be a [snapshot](crate::snapshot).
///
/// # Errors
/// As [`run`].
pub fn trace(scenario: &Scenario, module: &Module) -> Result<String, RunError> {
    let mut text = String::new();
    play(scenario, &[("", module, scenario.config.clone())], None, None, Some(&mut text))?;
    Ok(text)
}

/// As [`run`], with a module that may not make this call, or not be called so: [`Options::without`].
///
/// # Errors
/// As [`run`].
pub fn run_without(scenario: &Scenario, module: &Module, capability: &str) -> Result<Outcome, RunError> {
    play(scenario, &[("", module, scenario.config.clone())], Some(capability), None, None)
        .map(|(outcome, _)| outcome)
}

/// Runs a scenario and says which callbacks of the module the host called, and which functions of the host, WASI's too, the module: what a list of
/// capabilities has to have for it.
///
/// # Errors
/// As [`run`].
pub fn calls(scenario: &Scenario, module: &Module) -> Result<BTreeSet<String>, RunError> {
    let mut text = String::new();
    let (_, proxy) = play(scenario, &[("", module, scenario.config.clone())], None, None, Some(&mut text))?;
    let words = text.split(|char: char| !(char.is_ascii_alphanumeric() || char == '_'));
    let of_wasi = proxy.world.0.borrow().wasi_calls.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    Ok(words.filter(|word| word.starts_with("proxy_")).map(str::to_owned).chain(of_wasi).collect())
}

/// The plugins of a chain, each with its part of the configuration.
pub(super) fn chain<'m>(scenario: &Scenario, modules: &'m [(String, Module)]) -> Vec<Plugin<'m>> {
    let parts = modules.iter().map(|(field, module)| (field.as_str(), module, scenario.part(field)));
    parts.filter(|(_, _, part)| part.is_some()).collect()
}

fn run_all(scenario: &Scenario, plugins: &[Plugin<'_>]) -> Result<Outcome, RunError> {
    let (mut outcome, mut proxy) = play(scenario, plugins, None, None, None)?;
    if outcome.config_error.is_none() && !scenario.allow.contains_key(&Lint::StreamMemory) {
        outcome.findings.extend(growth::watch(&mut proxy, &scenario.exchanges));
    }
    Ok(outcome)
}

/// Of the starts of several VMs, which are alike, the last one.
fn last_start(steps: &[Step]) -> &[Step] {
    let is_first = |step: &Step| match (step, steps.first()) {
        (Step::Callback { name, .. }, Some(Step::Callback { name: first, .. })) => name == first,
        _ => false,
    };
    let last = steps.iter().rposition(is_first).unwrap_or(0);
    steps.get(last..).unwrap_or_default()
}

/// Runs a scenario, and gives its proxy as it is then. What is said meanwhile is added to the trace.
pub(super) fn play(
    scenario: &Scenario,
    plugins: &[Plugin<'_>],
    without: Option<&str>,
    schedule: Option<Schedule>,
    mut trace: Option<&mut String>,
) -> Result<(Outcome, Proxy), RunError> {
    let mut proxy = Proxy::new(Settings {
        seed: scenario.seed,
        clock: scenario.clock,
        clusters: scenario.upstreams.clone(),
        routes: scenario.routes.clone(),
        ..Settings::default()
    });
    proxy.world.0.borrow_mut().schedule = schedule;
    if trace.is_some() {
        proxy.start_trace();
    }
    let mut take_down = |proxy: &mut Proxy, what: &str, take: fn(&[Step]) -> &[Step]| {
        if let Some(trace) = &mut trace {
            let _ = writeln!(trace, "# {what}\n{}", super::trace::text(take(&proxy.take_trace())));
        }
    };
    let mut outcome = Outcome::default();
    for (id, module, config) in plugins {
        let options = Options {
            seed: scenario.seed,
            environment: scenario.env.clone(),
            vm_id: (*id).to_owned(),
            root_id: scenario.root_id.clone(),
            vm_config: scenario.vm_config.clone().unwrap_or_default().into_bytes(),
            without: without.map(str::to_owned),
            ..Options::default()
        };
        let added = proxy.add(module, &options, config.as_deref());
        take_down(&mut proxy, "the configuration", last_start);
        match added {
            Ok(()) => {}
            // Where a refusal is expected this is one: Envoy refuses such a configuration as a whole.
            Err(StartError::Start(trap)) if scenario.config_error.is_none() => {
                return Err(RunError::Start(trap));
            }
            Err(refused) => {
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
    for (number, exchange) in scenario.exchanges.iter().enumerate() {
        let mut exchange = exchange.clone();
        if scenario.cookies {
            jar.add_to(&mut exchange.request);
        }
        let mut result = proxy.exchange(&exchange);
        take_down(&mut proxy, &format!("exchange {}", number + 1), |steps| steps);
        jar.keep(&result.response_headers);
        result.findings.retain(is_on);
        outcome.exchanges.push(result);
    }
    outcome.traps = proxy.traps().into_iter().map(ToString::to_string).collect();
    outcome.normalise();
    Ok((outcome, proxy))
}

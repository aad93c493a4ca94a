//! A plugin under test, for `#[test]`s of a few lines.

use super::{
    explore::explore,
    module::{LoadError, Module},
    options::Settings,
    run::{run, trace},
};
use crate::{
    Exploration, Lint,
    outcome::{self, ExchangeOutcome, Outcome},
    scenario::{Cluster, Exchange, Response, Route, Scenario},
    snapshot,
};
use std::{fmt::Write as _, path::Path};

/// A plugin with its configuration and what is around it. Each run of it begins with fresh VMs, as a scenario does.
///
/// A run in which the plugin traps, refuses its configuration or breaks a lint panics, with what is wrong.
#[derive(Debug, Clone)]
pub struct Plugin {
    module: Module,
    scenario: Scenario,
}

impl Plugin {
    /// Reads and compiles a module's file, or takes it out of the [cache](super::cache_folder).
    ///
    /// # Errors
    /// The file cannot be read, or is no module that a host can run.
    pub fn open(file: impl AsRef<Path>) -> Result<Self, LoadError> {
        Module::open(file).map(Self::of)
    }

    /// A plugin of a module that is compiled already.
    pub fn of(module: Module) -> Self {
        let name = "a plugin under test".to_owned();
        Self { module, scenario: Scenario { name, clock: Settings::default().clock, ..Scenario::default() } }
    }

    /// With this configuration.
    #[must_use]
    pub fn config(mut self, config: impl Into<Vec<u8>>) -> Self {
        self.scenario.config = Some(config.into());
        self
    }

    /// With this variable in the VM's environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.scenario.env.insert(name.to_owned(), value.to_owned());
        self
    }

    /// With this cluster for callouts.
    #[must_use]
    pub fn cluster(mut self, name: &str, cluster: Cluster) -> Self {
        self.scenario.upstreams.insert(name.to_owned(), cluster);
        self
    }

    /// With a cluster for callouts that answers so, at once.
    #[must_use]
    pub fn answers(self, name: &str, response: Response) -> Self {
        self.cluster(name, Cluster::Answers { response, delay_ms: 0 })
    }

    /// With a further route.
    #[must_use]
    pub fn route(mut self, route: Route) -> Self {
        self.scenario.routes.push(route);
        self
    }

    /// With a lint switched off, for a reason.
    #[must_use]
    pub fn allow(mut self, lint: Lint, reason: &str) -> Self {
        self.scenario.allow.insert(lint, reason.to_owned());
        self
    }

    /// Takes an exchange through the plugin: a request that an upstream answers with 200, or a request and its response.
    ///
    /// # Panics
    /// The plugin refuses its configuration, traps or breaks a lint.
    #[track_caller]
    pub fn exchange(&self, exchange: impl Into<Exchange>) -> ExchangeOutcome {
        self.exchanges([exchange.into()]).pop().unwrap_or_default()
    }

    /// Takes exchanges through the plugin, one after the other.
    ///
    /// # Panics
    /// As [`exchange`](Self::exchange).
    #[track_caller]
    pub fn exchanges<E: Into<Exchange>>(
        &self,
        exchanges: impl IntoIterator<Item = E>,
    ) -> Vec<ExchangeOutcome> {
        let scenario = self.scenario(exchanges);
        self.ran(&scenario).exchanges
    }

    /// What the plugin and the host say to each other in these exchanges, compared with the snapshot in this file, which `OUTRIGGER_UPDATE=1` writes.
    ///
    /// # Panics
    /// It is not as the snapshot says; the message has the lines that differ. Or as [`exchange`](Self::exchange).
    #[track_caller]
    pub fn snapshot<E: Into<Exchange>>(
        &self,
        file: impl AsRef<Path>,
        exchanges: impl IntoIterator<Item = E>,
    ) {
        let scenario = self.scenario(exchanges);
        self.ran(&scenario);
        let trace = trace(&scenario, &self.module).map_err(|error| error.to_string());
        let checked = trace.and_then(|trace| {
            snapshot::check(file.as_ref(), &trace, snapshot::is_updating()).map_err(|error| error.to_string())
        });
        if let Err(error) = checked {
            fail(&error);
        }
    }

    /// [Explores](super::explore()) these exchanges: over splits of their bodies, orders of callouts' answers, and callouts that fail.
    ///
    /// # Panics
    /// Something is wrong in one of the runs: the message has the smallest case of each. Or as [`exchange`](Self::exchange).
    #[track_caller]
    pub fn explore<E: Into<Exchange>>(&self, exchanges: impl IntoIterator<Item = E>) {
        let scenario = self.scenario(exchanges);
        self.ran(&scenario);
        match explore(&scenario, &self.module, &Exploration::default()) {
            Err(error) => fail(&error.to_string()),
            Ok(explored) if explored.cases.is_empty() => {}
            Ok(explored) => {
                let mut text = explored.to_string();
                for case in &explored.cases {
                    let _ = write!(text, "\n{case}");
                }
                fail(&text);
            }
        }
    }

    fn scenario<E: Into<Exchange>>(&self, exchanges: impl IntoIterator<Item = E>) -> Scenario {
        Scenario { exchanges: exchanges.into_iter().map(Into::into).collect(), ..self.scenario.clone() }
    }

    /// What comes of a scenario in which nothing is wrong.
    #[track_caller]
    fn ran(&self, scenario: &Scenario) -> Outcome {
        let outcome = run(scenario, &self.module).unwrap_or_else(|error| fail(&error.to_string()));
        let wrong = outcome::check(scenario, &outcome).into_iter().map(|mismatch| mismatch.to_string());
        let wrong: Vec<String> = wrong.chain(outcome.traps.iter().cloned()).collect();
        if !wrong.is_empty() {
            fail(&wrong.join("\n"));
        }
        outcome
    }
}

/// Ends a test.
#[track_caller]
#[expect(clippy::panic, reason = "that is how a test fails")]
fn fail(why: &str) -> ! {
    panic!("{why}")
}

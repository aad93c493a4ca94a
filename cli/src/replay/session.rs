//! A filter with a configuration, and what it decides.

use super::{
    decision::{Clause, Decision},
    request::Recorded,
    why,
};
use crate::{
    configuration::Configuration,
    modules::{Dist, ModuleError},
};
use filter_kit::{Environment, load};
use harness::{Module, Options, Proxy, Settings};
use policy::Policy;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// A filter that requests go through, in order, through one VM.
pub struct Session {
    /// The filter's name.
    pub filter: String,
    proxy: Proxy,
    /// Experiments with the headers that say their arms.
    experiments: Vec<(String, String)>,
    /// Whether there is a policy, which allows or denies.
    has_policy: bool,
    /// The same policies in this tool, which say what rules say of a request. None where they are of another version.
    policy: Option<Policy>,
    configuration: Configuration,
}

/// What a session is started with.
#[derive(Debug, Clone, clap::Args)]
pub struct Common {
    /// The filter: a name that is looked up in the folder of modules, or the path of a .wasm.
    #[arg(long)]
    pub filter: String,
    /// The folder of modules [default: $OUTRIGGER_DIST, or else dist].
    #[arg(long)]
    pub dist: Option<PathBuf>,
    /// A variable of the VM's environment; what a bootstrap or a manifest sets is set in any case.
    #[arg(long, value_name = "NAME=VALUE", value_parser = crate::check::variable)]
    pub env: Vec<(String, String)>,
    /// The seed of everything random.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
}

impl Common {
    /// Loads the module.
    ///
    /// # Errors
    /// There is none.
    pub fn module(&self) -> Result<Module, ModuleError> {
        Dist::find(self.dist.as_deref()).load(&self.filter)
    }

    /// The filter's name in decisions.
    pub fn name(&self) -> String {
        let path = Path::new(&self.filter);
        let is_path = path.extension().is_some_and(|extension| extension == "wasm");
        let stem = path.file_stem().filter(|_| is_path).and_then(|stem| stem.to_str());
        stem.unwrap_or(&self.filter).to_owned()
    }

    /// Reads a configuration and starts a session of it.
    ///
    /// # Errors
    /// The file cannot be read, or the module refuses what is in it: with its path.
    pub fn start(&self, module: &Module, config: Option<&Path>) -> Result<Session, String> {
        let name = self.name();
        let configuration = match config {
            Some(path) => crate::configuration::read(path, &name)?,
            None => Configuration::default(),
        };
        let at =
            config.map_or_else(|| "the empty configuration".to_owned(), |path| path.display().to_string());
        Session::new(&name, module, &configuration, self).map_err(|error| format!("{at}: {error}"))
    }
}

impl Session {
    fn new(
        name: &str,
        module: &Module,
        configuration: &Configuration,
        common: &Common,
    ) -> Result<Self, String> {
        let mut environment = configuration.environment.clone();
        environment.extend(common.env.iter().cloned());
        let mut proxy = Proxy::new(Settings { seed: common.seed, ..Settings::default() });
        let options = Options { seed: common.seed, environment, ..Options::default() };
        proxy.add(module, &options, configuration.bytes.as_deref()).map_err(|error| error.to_string())?;
        proxy.settle();
        let config: Value =
            serde_json::from_slice(configuration.bytes.as_deref().unwrap_or(b"{}")).unwrap_or_default();
        let has_policy = name == "policy" || config.get("policy").is_some_and(Value::is_object);
        let configuration = Configuration { environment: options.environment, ..configuration.clone() };
        let experiments = experiments(&config);
        let own = if name == "policy" { Some(&config) } else { config.get("policy") };
        let variable = |name: &str| configuration.environment.get(name).cloned();
        let policy = own
            .filter(|_| has_policy)
            .and_then(|own| load(own.to_string().as_bytes(), &Environment::new(&variable)).ok());
        Ok(Self { filter: name.to_owned(), proxy, experiments, has_policy, policy, configuration })
    }

    /// Takes a request through the filter.
    pub fn decide(&mut self, recorded: &Recorded) -> Decision {
        if let Some(time) = recorded.time {
            self.proxy.set_clock(time);
        }
        let outcome = self.proxy.exchange(&recorded.exchange);
        let kind = |stat: &str| self.proxy.metric_kind(stat).unwrap_or("counter");
        Decision::new(&self.filter, recorded, outcome, &self.experiments, self.has_policy, &kind)
    }

    /// Why a request was decided so, clause by clause, where the filter says it.
    ///
    /// # Errors
    /// This tool and the module are of two versions.
    pub fn why(&self, recorded: &Recorded, decision: &Decision) -> Result<Option<Vec<Clause>>, String> {
        why::clauses(&self.filter, &self.configuration, self.proxy.now(), recorded, decision)
    }

    /// The policies that it has.
    pub fn policy(&self) -> Option<&Policy> {
        self.policy.as_ref()
    }

    /// The time in the proxy, in nanoseconds since 1970.
    pub fn now(&self) -> u64 {
        self.proxy.now()
    }

    /// The proxy behind it.
    pub fn proxy(&mut self) -> &mut Proxy {
        &mut self.proxy
    }
}

/// The experiments of a configuration with the headers that say their arms: those of ab-routing.
fn experiments(config: &Value) -> Vec<(String, String)> {
    let list =
        ["/experiments", "/ab_routing/experiments"].iter().find_map(|path| config.pointer(path)?.as_array());
    let one = |experiment: &Value| {
        let text = |name: &str| experiment.get(name).and_then(Value::as_str);
        Some((text("name")?.to_owned(), text("header").unwrap_or("x-arm").to_ascii_lowercase()))
    };
    list.into_iter().flatten().filter_map(one).collect()
}

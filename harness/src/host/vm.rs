//! A VM: an instance of a module, its callbacks and what they leave behind.

use super::{abi::Callback, module::Module, state::State};
use crate::outcome::LogLine;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};
use wasmtime::{Instance, Store, Val};

/// The root context's id.
pub const ROOT: u32 = 1;

/// The most instructions of one callback, in wasmtime's units of fuel; about a second.
const FUEL: u64 = 1_000_000_000;

/// What a VM is started with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The seed of the random source.
    pub seed: u64,
    /// Where the clock stands, in nanoseconds since 1970.
    pub clock: u64,
    /// The lowest level that is logged: 0 is trace, 2 info, 5 critical.
    pub log_level: u32,
    /// The VM's configuration.
    pub vm_config: Vec<u8>,
    /// The VM's environment.
    pub environment: BTreeMap<String, String>,
    /// The VM's id.
    pub vm_id: String,
    /// The plugin's name.
    pub plugin_name: String,
    /// The plugin's root id.
    pub root_id: String,
    /// The clusters that callouts can go to.
    pub clusters: BTreeSet<String>,
}

impl Default for Options {
    /// Seed 0, the first second of 2026, and what is logged at info and above.
    fn default() -> Self {
        Self {
            seed: 0,
            clock: 1_767_225_600_000_000_000,
            log_level: 2,
            vm_config: Vec::new(),
            environment: BTreeMap::new(),
            vm_id: String::new(),
            plugin_name: "plugin".to_owned(),
            root_id: String::new(),
            clusters: BTreeSet::new(),
        }
    }
}

/// A trap: the VM is dead. Envoy answers 503 to the request and, unless told otherwise, to all that follow on that worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trap {
    /// The export that was running.
    pub export: String,
    /// What happened, in the engine's words.
    pub message: String,
}

impl fmt::Display for Trap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} trapped: {}", self.export, self.message)
    }
}

impl std::error::Error for Trap {}

/// A configuration that the module refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigureError {
    /// What it logged meanwhile.
    pub log: Vec<LogLine>,
    /// The trap that kept it from answering, if that was it.
    pub trap: Option<Trap>,
}

impl fmt::Display for ConfigureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.trap {
            Some(trap) => trap.fmt(f)?,
            None => f.write_str("proxy_on_configure refused the configuration")?,
        }
        self.log.iter().try_for_each(|line| write!(f, "\n  {}: {}", line.level, line.text))
    }
}

impl std::error::Error for ConfigureError {}

/// An instance of a module.
pub struct Vm {
    pub(super) store: Store<State>,
    instance: Instance,
    /// The trap that killed it.
    pub(super) dead: Option<Trap>,
    last_context: u32,
    fuel: u64,
}

impl fmt::Debug for Vm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vm")
            .field("dead", &self.dead)
            .field("last_context", &self.last_context)
            .finish_non_exhaustive()
    }
}

impl Vm {
    /// Instantiates a module and starts it: `_initialize` or `_start`, the root context, `proxy_on_vm_start`.
    ///
    /// # Errors
    /// A trap in any of these, or `proxy_on_vm_start` says no.
    pub fn new(module: &Module, options: &Options) -> Result<Self, Trap> {
        let loaded = &module.inner;
        let mut store = Store::new(&loaded.engine, State::new(options.clone()));
        store.limiter(|state| &mut state.limits);
        let failed = |error: wasmtime::Error| Trap {
            export: "instantiation".to_owned(),
            message: format!("{error:#}"),
        };
        store.set_fuel(FUEL).map_err(failed)?;
        let instance = loaded.linker.instantiate(&mut store, &loaded.module).map_err(failed)?;
        let mut vm = Self { store, instance, dead: None, last_context: ROOT, fuel: 0 };
        let start = if vm.has("_initialize") { "_initialize" } else { "_start" };
        vm.call(Callback::Start, start, &[])?;
        vm.call(Callback::Configure, "proxy_on_context_create", &[ROOT, 0])?;
        let size = u32::try_from(options.vm_config.len()).unwrap_or(u32::MAX);
        if vm.call(Callback::Start, "proxy_on_vm_start", &[ROOT, size])? == Some(0) {
            return Err(Trap {
                export: "proxy_on_vm_start".to_owned(),
                message: "returned false".to_owned(),
            });
        }
        Ok(vm)
    }

    /// Hands the module a plugin's configuration; none is no bytes.
    ///
    /// # Errors
    /// The module refuses it, or traps.
    pub fn configure(&mut self, config: Option<&[u8]>) -> Result<(), ConfigureError> {
        let before = self.store.data().log.len();
        self.store.data_mut().config = config.map(<[u8]>::to_vec);
        let size = u32::try_from(config.map_or(0, <[u8]>::len)).unwrap_or(u32::MAX);
        let answer = self.call(Callback::Configure, "proxy_on_configure", &[ROOT, size]);
        let log = || self.store.data().log.iter().skip(before).cloned().collect();
        match answer {
            Ok(Some(0)) => Err(ConfigureError { log: log(), trap: None }),
            Ok(_) => Ok(()),
            Err(trap) => Err(ConfigureError { log: log(), trap: Some(trap) }),
        }
    }

    /// Calls `proxy_on_tick`, if the module has asked for it.
    ///
    /// # Errors
    /// A trap.
    pub fn tick(&mut self) -> Result<(), Trap> {
        if self.tick_period().is_some() {
            self.call(Callback::Tick, "proxy_on_tick", &[ROOT])?;
        }
        Ok(())
    }

    /// The period of the timer that the module has asked for, in milliseconds.
    pub fn tick_period(&self) -> Option<u32> {
        Some(self.store.data().tick_period).filter(|period| *period > 0)
    }

    /// All stats by name: counters and gauges with their values, histograms with the count of samples.
    pub fn metrics(&self) -> BTreeMap<String, u64> {
        self.store.data().metrics.all()
    }

    /// All that was logged.
    pub fn log(&self) -> &[LogLine] {
        &self.store.data().log
    }

    /// How many host calls the module has made.
    pub fn host_calls(&self) -> u64 {
        self.store.data().host_calls
    }

    /// How many instructions the module has run, in wasmtime's units of fuel: the same for the same run.
    pub fn fuel(&self) -> u64 {
        self.fuel
    }

    pub(super) fn next_context(&mut self) -> u32 {
        self.last_context += 1;
        self.last_context
    }

    pub(super) fn has(&mut self, export: &str) -> bool {
        self.instance.get_func(&mut self.store, export).is_some()
    }

    /// Calls an export; none where the module has no such callback.
    pub(super) fn call(
        &mut self,
        callback: Callback,
        export: &str,
        arguments: &[u32],
    ) -> Result<Option<u32>, Trap> {
        if let Some(trap) = &self.dead {
            return Err(trap.clone());
        }
        let Some(function) = self.instance.get_func(&mut self.store, export) else { return Ok(None) };
        self.store.data_mut().callback = callback;
        let arguments: Vec<Val> = arguments.iter().map(|argument| Val::I32(argument.cast_signed())).collect();
        let mut results = vec![Val::I32(0); function.ty(&self.store).results().len()];
        let called =
            self.store.set_fuel(FUEL).and_then(|()| function.call(&mut self.store, &arguments, &mut results));
        self.store.data_mut().callback = Callback::Start;
        self.fuel += FUEL.saturating_sub(self.store.get_fuel().unwrap_or(0));
        match called {
            Ok(()) => Ok(results.first().and_then(Val::i32).map(i32::cast_unsigned)),
            Err(error) => {
                let trap = Trap { export: export.to_owned(), message: root_cause(&error) };
                self.dead = Some(trap.clone());
                Err(trap)
            }
        }
    }
}

/// The trap's own words, without the backtrace.
fn root_cause(error: &wasmtime::Error) -> String {
    match error.downcast_ref::<wasmtime::Trap>() {
        Some(wasmtime::Trap::OutOfFuel) => "took more instructions than a callback may".to_owned(),
        Some(trap) => trap.to_string(),
        None => format!("{error:#}"),
    }
}

//! A VM: an instance of a module, its callbacks and what they leave behind.

use super::{abi::Callback, memory::HostTrap, metrics, module::Module, state::State, world::World};
use crate::outcome::LogLine;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};
use wasmtime::{Instance, Store, Val};

/// The root context's id.
pub const ROOT: u32 = 1;

/// How long a VM stays dead at least before it is started anew, in nanoseconds: Envoy's default.
const RELOAD_INTERVAL: u64 = 1_000_000_000;

/// The most instructions of one callback by default, in wasmtime's units of fuel; about a second.
const FUEL: u64 = 1_000_000_000;

/// The most memory of a VM by default, in bytes.
const MEMORY: usize = 256 << 20;

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
    /// What becomes of requests when the VM is dead.
    pub failure_policy: FailurePolicy,
    /// Where the plugin is.
    pub place: Place,
    /// The clusters that callouts can go to.
    pub clusters: BTreeSet<String>,
    /// Those of them that have no hosts: a callout to one fails at once.
    pub empty_clusters: BTreeSet<String>,
    /// The most instructions of one callback, in wasmtime's units of fuel. A callback that needs more traps.
    pub fuel: u64,
    /// The most memory, in bytes. What asks for more does not get it.
    pub memory: usize,
}

/// What becomes of requests when a trap has killed the VM. The request that it trapped on gets 503 in any case.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum FailurePolicy {
    /// They get 503, until the plugin is configured anew. What Envoy 1.40 does unless told otherwise.
    #[default]
    Closed,
    /// They pass without the plugin.
    Open,
    /// The VM starts anew with the first of them that comes a second or more after its last start; until then they get 503.
    Reload,
}

/// Where a plugin is, as `xds` properties tell it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// The proxy's id.
    pub node_id: String,
    /// The proxy's own cluster.
    pub node_cluster: String,
    /// The filter chain.
    pub filter_chain: String,
    /// The virtual host.
    pub virtual_host: String,
    /// The route.
    pub route: String,
}

impl Default for Options {
    /// Seed 0, the first second of 2026, what is logged at info and above, and about a second for a callback.
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
            failure_policy: FailurePolicy::default(),
            place: Place::default(),
            clusters: BTreeSet::new(),
            empty_clusters: BTreeSet::new(),
            fuel: FUEL,
            memory: MEMORY,
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
    /// What the module logged in that callback, such as the message of a panic.
    pub log: Vec<LogLine>,
}

impl fmt::Display for Trap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} trapped: {}", self.export, self.message)?;
        self.log.iter().try_for_each(|line| write!(f, "\n  {}: {}", line.level, line.text))
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
            Some(trap) => write!(f, "{} trapped: {}", trap.export, trap.message)?,
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
    /// How many callouts may still be answered in this exchange.
    pub(super) callouts_left: u32,
    fuel: u64,
    module: Module,
    /// When it was started, by its own clock.
    started: u64,
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
        Self::in_world(module, options, &World::default())
    }

    /// As [`new`](Self::new), in a proxy that has further VMs.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn in_world(module: &Module, options: &Options, world: &World) -> Result<Self, Trap> {
        let loaded = &module.inner;
        let mut store = Store::new(&loaded.engine, State::new(options.clone(), world.clone()));
        store.limiter(|state| &mut state.limits);
        let started = store.set_fuel(options.fuel).and_then(|()| loaded.instance.instantiate(&mut store));
        let instance = started.map_err(|error| trap(&store, "instantiation", root_cause(&error), 0))?;
        let mut vm = Self {
            store,
            instance,
            dead: None,
            last_context: ROOT,
            callouts_left: 0,
            fuel: 0,
            module: module.clone(),
            started: options.clock,
        };
        // A reactor is initialised, and then has a main function only in some languages; a command is started.
        let start: &[&str] =
            if vm.has("_initialize") { &["_initialize", "main", "__main_void"] } else { &["_start"] };
        for export in start {
            vm.call(Callback::Start, export, &[0, 0])?;
        }
        vm.call(Callback::Other, "proxy_on_context_create", &[ROOT, 0])?;
        let before = vm.log().len();
        let size = u32::try_from(options.vm_config.len()).unwrap_or(u32::MAX);
        if vm.call(Callback::Other, "proxy_on_vm_start", &[ROOT, size])? == Some(0) {
            return Err(trap(&vm.store, "proxy_on_vm_start", "returned false".to_owned(), before));
        }
        Ok(vm)
    }

    /// Hands the module a plugin's configuration; none is no bytes.
    ///
    /// # Errors
    /// The module refuses it, or traps.
    pub fn configure(&mut self, config: Option<&[u8]>) -> Result<(), ConfigureError> {
        let before = self.store.data().log.len();
        self.store.data_mut().config = config.unwrap_or_default().to_vec();
        let size = u32::try_from(config.map_or(0, <[u8]>::len)).unwrap_or(u32::MAX);
        let answer = self.call(Callback::Configure, "proxy_on_configure", &[ROOT, size]);
        let log = || self.store.data().log.iter().skip(before).cloned().collect();
        match answer {
            Ok(Some(0)) => Err(ConfigureError { log: log(), trap: None }),
            Ok(_) => Ok(()),
            Err(trap) => Err(ConfigureError { log: log(), trap: Some(trap) }),
        }
    }

    /// Lets time pass.
    pub fn advance(&mut self, time: Duration) {
        let clock = &mut self.store.data_mut().options.clock;
        *clock = clock.saturating_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Starts a dead VM anew, if that is its policy and it is time.
    pub(super) fn reload(&mut self) {
        let state = self.store.data();
        let is_time = state.options.clock.saturating_sub(self.started) >= RELOAD_INTERVAL;
        if self.dead.is_none() || state.options.failure_policy != FailurePolicy::Reload || !is_time {
            return;
        }
        let (options, world, config) = (state.options.clone(), state.world.clone(), state.config.clone());
        self.started = options.clock;
        if let Ok(mut fresh) = Self::in_world(&self.module, &options, &world)
            && fresh.configure(Some(&config)).is_ok()
        {
            fresh.fuel += self.fuel;
            *self = fresh;
        }
    }

    /// Calls `proxy_on_tick`, if the module has asked for it.
    ///
    /// # Errors
    /// A trap.
    pub fn tick(&mut self) -> Result<(), Trap> {
        if self.tick_period().is_some() {
            self.call(Callback::Other, "proxy_on_tick", &[ROOT])?;
        }
        Ok(())
    }

    /// The period of the timer that the module has asked for, in milliseconds.
    pub fn tick_period(&self) -> Option<u32> {
        Some(self.store.data().tick_period).filter(|period| *period > 0)
    }

    /// All stats by name: counters and gauges with their values, histograms with the count of samples.
    pub fn metrics(&self) -> BTreeMap<String, u64> {
        metrics::all(&self.store.data().world.0.borrow().stats)
    }

    /// What was logged since the last exchange began.
    pub fn log(&self) -> &[LogLine] {
        &self.store.data().log
    }

    /// How many calls of the ABI the module has made since the last exchange began; WASI is not counted.
    pub fn host_calls(&self) -> u64 {
        self.store.data().host_calls.values().sum()
    }

    /// The same by the functions' names, such as `proxy_get_header_map_pairs`.
    pub fn host_calls_by_name(&self) -> &BTreeMap<&'static str, u64> {
        &self.store.data().host_calls
    }

    /// The trap that killed the VM, if one did.
    pub fn trap(&self) -> Option<&Trap> {
        self.dead.as_ref()
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

    /// Calls an export with as many of the arguments as it takes; none where the module has no such callback, or one without a result.
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
        let ty = function.ty(&self.store);
        let arguments: Vec<Val> = arguments
            .iter()
            .take(ty.params().len())
            .map(|argument| Val::I32(argument.cast_signed()))
            .collect();
        let mut results = vec![Val::I32(0); ty.results().len()];
        let state = self.store.data_mut();
        state.enter(callback, arguments.first().and_then(Val::i32).map_or(0, i32::cast_unsigned));
        let (before, fuel) = (state.log.len(), state.options.fuel);
        let called =
            self.store.set_fuel(fuel).and_then(|()| function.call(&mut self.store, &arguments, &mut results));
        self.fuel += fuel.saturating_sub(self.store.get_fuel().unwrap_or(0));
        match called {
            Ok(()) => Ok(results.first().and_then(Val::i32).map(i32::cast_unsigned)),
            Err(error) => {
                let trap = trap(&self.store, export, root_cause(&error), before);
                self.dead = Some(trap.clone());
                Err(trap)
            }
        }
    }
}

/// A trap, with what was logged after the first lines.
fn trap(store: &Store<State>, export: &str, message: String, logged: usize) -> Trap {
    Trap { export: export.to_owned(), message, log: store.data().log.iter().skip(logged).cloned().collect() }
}

/// The trap's own words, without the backtrace.
fn root_cause(error: &wasmtime::Error) -> String {
    if let Some(trap) = error.downcast_ref::<HostTrap>() {
        return trap.to_string();
    }
    match error.downcast_ref::<wasmtime::Trap>() {
        Some(wasmtime::Trap::OutOfFuel) => "took more instructions than a callback may".to_owned(),
        Some(trap) => trap.to_string(),
        None => error.root_cause().to_string(),
    }
}

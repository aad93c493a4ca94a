//! A VM: an instance of a module, its callbacks and what they leave behind.

use super::{
    abi::Callback,
    grpc::Event,
    memory::HostTrap,
    module::{Module, Version},
    options::{FailurePolicy, Options},
    state::{Answer, Root, State},
    trace::Step,
    world::World,
};
use crate::outcome::LogLine;
use std::fmt;
use wasmtime::{Instance, Store, Val};

/// The most gRPC calls of one callback that fail at once and are told of: a module that makes another when it is told would never end.
const FAILED_LIMIT: usize = 1000;

/// The first root context's id.
pub(super) const ROOT: u32 = 1;

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
    fuel: u64,
    module: Module,
    /// When it was started, in nanoseconds since 1970.
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
    pub(super) fn in_world(module: &Module, options: &Options, world: &World) -> Result<Self, Trap> {
        let loaded = &module.inner;
        let mut store = Store::new(&loaded.engine, State::new(options.clone(), world.clone()));
        store.limiter(|state| &mut state.limits);
        store.data_mut().memory.clone_from(&loaded.memory);
        store.data_mut().is_of_first_version = loaded.version == Version::V0_1_0;
        let before = world.log_len();
        let started = store.set_fuel(options.fuel).and_then(|()| loaded.instance.instantiate(&mut store));
        let instance = started.map_err(|error| trap(world, "instantiation", root_cause(&error), before))?;
        let mut vm = Self {
            store,
            instance,
            dead: None,
            last_context: 0,
            fuel: 0,
            module: module.clone(),
            started: world.now(),
        };
        // A reactor is initialised, and then has a main function only in some languages; a command is started.
        let start: &[&'static str] =
            if vm.has("_initialize") { &["_initialize", "main", "__main_void"] } else { &["_start"] };
        for export in start {
            vm.call(Callback::Start, export, &[0, 0])?;
        }
        vm.start(options)?;
        Ok(vm)
    }

    /// Makes a root context and tells it that the VM has started, each plugin of one that several share. Envoy asks a VM that has failed before
    /// too, and starts with it if it says yes.
    fn start(&mut self, options: &Options) -> Result<u32, Trap> {
        let root = self.create_root(options);
        let world = self.store.data().world.clone();
        let before = world.log_len();
        let size = u32::try_from(options.vm_config.len()).unwrap_or(u32::MAX);
        let failed = self.dead.take();
        if self.run(Callback::VmStart, "proxy_on_vm_start", &[root, size])? == Some(0) {
            return Err(trap(&world, "proxy_on_vm_start", "returned false".to_owned(), before));
        }
        self.tell_of_failed();
        self.dead = failed.or(self.dead.take());
        Ok(root)
    }

    /// Makes a root context, for the plugin that the options name. A trap kills the VM, and nothing else comes of it yet.
    fn create_root(&mut self, options: &Options) -> u32 {
        let id = self.next_context();
        let (plugin, root_id) = (options.plugin_name.clone(), options.root_id.clone());
        self.state().roots.insert(id, Root { plugin, id: root_id, ..Root::default() });
        drop(self.call(Callback::Other, "proxy_on_context_create", &[id, 0]));
        id
    }

    /// Hands the module the configuration of the plugin that it was started for; none is no bytes.
    ///
    /// # Errors
    /// The module refuses it, or traps.
    pub fn configure(&mut self, config: Option<&[u8]>) -> Result<(), ConfigureError> {
        self.configure_root(ROOT, config)
    }

    /// Adds a plugin to a VM that another one was started for. Gives its root context.
    pub(super) fn add(&mut self, options: &Options, config: Option<&[u8]>) -> Result<u32, ConfigureError> {
        let refused = |trap: Trap| ConfigureError { log: trap.log.clone(), trap: Some(trap) };
        let root = self.start(options).map_err(refused)?;
        self.configure_root(root, config).map(|()| root)
    }

    fn configure_root(&mut self, root: u32, config: Option<&[u8]>) -> Result<(), ConfigureError> {
        let world = self.store.data().world.clone();
        let before = world.log_len();
        // Envoy does not ask a VM that has failed.
        if self.dead.is_some() {
            return Ok(());
        }
        if let Some(root) = self.state().roots.get_mut(&root) {
            root.config = config.unwrap_or_default().to_vec();
        }
        let size = u32::try_from(config.map_or(0, <[u8]>::len)).unwrap_or(u32::MAX);
        let answer = self.run(Callback::Configure, "proxy_on_configure", &[root, size]);
        self.tell_of_failed();
        match answer {
            Ok(Some(0)) => Err(ConfigureError { log: world.log_since(before), trap: None }),
            Ok(_) => Ok(()),
            Err(trap) => Err(ConfigureError { log: world.log_since(before), trap: Some(trap) }),
        }
    }

    /// Starts a dead VM anew for one of its plugins, if that is its policy and it is time. Its streams and its other plugins are gone: true then.
    pub(super) fn reload(&mut self, options: &Options, config: Option<&[u8]>) -> bool {
        let world = self.store.data().world.clone();
        let wait = u64::try_from(options.reload_interval.as_nanos()).unwrap_or(u64::MAX);
        let is_time = world.now().saturating_sub(self.started) >= wait;
        if self.dead.is_none() || options.failure_policy != FailurePolicy::Reload || !is_time {
            return false;
        }
        self.started = world.now();
        let Ok(mut fresh) = Self::in_world(&self.module, options, &world) else { return false };
        if fresh.configure(config).is_err() {
            return false;
        }
        fresh.fuel += self.fuel;
        *self = fresh;
        true
    }

    /// Ends the root contexts: `proxy_on_done`, and `proxy_on_delete` at once, or when the module calls `proxy_done` because it has said no.
    pub(super) fn shut_down(&mut self) -> Result<(), Trap> {
        for root in self.state().roots.keys().copied().collect::<Vec<_>>() {
            if self.call(Callback::Other, "proxy_on_done", &[root])? == Some(0) {
                if let Some(root) = self.state().roots.get_mut(&root) {
                    root.is_end_pending = true;
                }
            } else {
                self.call(Callback::Other, "proxy_on_delete", &[root])?;
            }
        }
        Ok(())
    }

    /// Ends the VM for something that its last callback has done.
    pub(super) fn kill(&mut self, export: &str, why: &HostTrap) {
        let world = &self.store.data().world;
        self.dead.get_or_insert_with(|| trap(world, export, why.to_string(), world.log_len()));
    }

    /// Tells a root context what came of a gRPC call or stream.
    pub(super) fn tell_of_grpc(&mut self, root: u32, token: u32, event: &Event) -> Result<(), Trap> {
        if let (Event::Close(status, _), Some(root)) = (event, self.state().roots.get_mut(&root)) {
            root.status = *status;
        }
        let (export, number, answer) = event.callback();
        self.state().answer = answer;
        let called = self.call(Callback::Other, export, &[root, token, number]);
        self.state().answer = Answer::default();
        called.map(drop)
    }

    /// Tells of the gRPC calls and streams that failed within the callback that has just ended. A trap leaves the VM dead.
    pub(super) fn tell_of_failed(&mut self) {
        for _ in 0..FAILED_LIMIT {
            let failed = &mut self.state().grpc.failed;
            if failed.is_empty() {
                return;
            }
            let (root, token, close) = failed.remove(0);
            if self.tell_of_grpc(root, token, &close).is_err() {
                break;
            }
        }
        self.state().grpc.failed.clear();
    }

    /// What was logged so far.
    pub fn log(&self) -> Vec<LogLine> {
        self.store.data().world.log_since(0)
    }

    /// The trap that killed the VM, if one did.
    pub fn trap(&self) -> Option<&Trap> {
        self.dead.as_ref()
    }

    /// How many instructions the module has run, in wasmtime's units of fuel: the same for the same run.
    pub fn fuel(&self) -> u64 {
        self.fuel
    }

    /// The module's linear memory, in bytes.
    pub fn memory_size(&mut self) -> usize {
        let name = self.store.data().memory.clone();
        let memory = name.and_then(|name| self.instance.get_memory(&mut self.store, &name));
        memory.map_or(0, |memory| memory.data_size(&self.store))
    }

    /// How far the module has written into its linear memory: the place behind the last byte that is not 0.
    pub(super) fn touched(&mut self) -> usize {
        let name = self.store.data().memory.clone();
        let memory = name.and_then(|name| self.instance.get_memory(&mut self.store, &name));
        let last = memory.and_then(|memory| memory.data(&self.store).iter().rposition(|byte| *byte != 0));
        last.map_or(0, |last| last + 1)
    }

    pub(super) fn state(&mut self) -> &mut State {
        self.store.data_mut()
    }

    pub(super) fn next_context(&mut self) -> u32 {
        self.last_context += 1;
        self.last_context
    }

    fn export(&mut self, name: &str) -> Option<wasmtime::Func> {
        let function = self.instance.get_func(&mut self.store, name);
        function.filter(|_| !self.store.data().options.leaves_out(name))
    }

    pub(super) fn has(&mut self, export: &str) -> bool {
        self.export(export).is_some()
    }

    /// Calls an export with as many of the arguments as it takes; none where the module has no such callback, or one without a result.
    pub(super) fn call(
        &mut self,
        callback: Callback,
        export: &'static str,
        arguments: &[u32],
    ) -> Result<Option<u32>, Trap> {
        let answer = self.run(callback, export, arguments)?;
        self.dead.clone().map_or(Ok(answer), Err)
    }

    /// As [`call`](Self::call), with the export's answer also where the VM has failed while it allocated memory for the host.
    fn run(
        &mut self,
        callback: Callback,
        export: &'static str,
        arguments: &[u32],
    ) -> Result<Option<u32>, Trap> {
        if let Some(trap) = &self.dead {
            return Err(trap.clone());
        }
        let Some(function) = self.export(export) else { return Ok(None) };
        let ty = function.ty(&self.store);
        let arguments: Vec<Val> = arguments
            .iter()
            .take(ty.params().len())
            .map(|argument| Val::I32(argument.cast_signed()))
            .collect();
        let mut results = vec![Val::I32(0); ty.results().len()];
        let state = self.store.data_mut();
        state.enter(callback, export, arguments.first().and_then(Val::i32).map_or(0, i32::cast_unsigned));
        let (world, fuel) = (state.world.clone(), state.options.fuel);
        let before = world.log_len();
        world.trace(|trace| {
            let arguments = arguments.iter().filter_map(Val::i32).map(i32::cast_unsigned).collect();
            trace.add(Step::Callback { name: export.to_owned(), arguments });
        });
        let called =
            self.store.set_fuel(fuel).and_then(|()| function.call(&mut self.store, &arguments, &mut results));
        let taken = fuel.saturating_sub(self.store.get_fuel().unwrap_or(0));
        self.fuel += taken;
        world.trace(|trace| {
            let value = results.first().and_then(Val::i32).map(i32::cast_unsigned);
            trace.add(Step::Return { name: export.to_owned(), value, instructions: taken });
        });
        let failure = self.state().failure.take();
        let is_fine = called.is_ok();
        if let Some(error) = failure.or(called.err()) {
            let trap = trap(&world, export, root_cause(&error), before);
            self.dead = Some(trap.clone());
            if !is_fine {
                return Err(trap);
            }
        }
        Ok(results.first().and_then(Val::i32).map(i32::cast_unsigned))
    }
}

/// A trap, with what was logged after the first lines.
fn trap(world: &World, export: &str, message: String, logged: usize) -> Trap {
    Trap { export: export.to_owned(), message, log: world.log_since(logged) }
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

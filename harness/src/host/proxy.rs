//! A proxy: its threads with their VMs, its plugins, and what happens in it, in virtual time.

mod callouts;
mod inspect;

use super::{
    abi::Callback,
    chain::Active,
    events::{Event, Events, Opening},
    module::Module,
    options::{FailurePolicy, Options, Settings},
    stream::Reply,
    tcp::Pipe,
    vm::{ConfigureError, ROOT, Trap, Vm},
    world::World,
};
use crate::{
    outcome::{Call, Cost, ExchangeOutcome, LogLine},
    scenario::Exchange,
};
use std::{collections::BTreeMap, fmt, mem, time::Duration};

/// The most events of an exchange and its aftermath, beside the parts of its bodies. Those beyond are left out: a module may ask again whenever it gets an answer.
const EVENT_LIMIT: usize = 10_000;

/// The most callouts that are answered in an exchange, likewise.
const CALLOUT_LIMIT: u32 = 1000;

/// The most workers.
const WORKERS_LIMIT: usize = 64;

/// A proxy with a chain of plugins around its routes and upstreams, driven by whole exchanges. All that happens in it happens in virtual time, so that
/// the same run twice is the same run.
///
/// ```no_run
/// # use harness::{Module, Options, Proxy, Settings, scenario::Exchange};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let module = Module::load(&std::fs::read("plugin.wasm")?)?;
/// let mut proxy = Proxy::new(Settings::default());
/// proxy.add(&module, &Options::default(), Some(b"{}"))?;
/// assert_eq!(proxy.exchange(&Exchange::default()).status, Some(200));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Proxy {
    pub(super) settings: Settings,
    pub(super) world: World,
    /// The main thread, then the workers.
    threads: Vec<Vec<Vm>>,
    pub(super) plugins: Vec<Plugin>,
    pub(super) events: Events,
    pub(super) streams: BTreeMap<u64, Active>,
    /// TCP connections that are under way.
    pub(super) pipes: BTreeMap<u64, Pipe>,
    pub(super) finished: BTreeMap<u64, ExchangeOutcome>,
    /// What plugins have sent to clusters and nobody was told of yet.
    pub(super) calls: Vec<Call>,
    last_stream: u64,
    pub(super) callouts_left: u32,
}

/// A plugin of a chain.
#[derive(Debug)]
pub(super) struct Plugin {
    pub(super) chain: String,
    key: (String, Vec<u8>, usize),
    pub(super) options: Options,
    config: Option<Vec<u8>>,
    /// Where it is on each thread.
    places: Vec<Seat>,
}

/// Where a plugin is on a thread: its VM, as the thread numbers it and by its own number, which a VM that was started anew has not; and its root
/// context there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seat {
    pub(super) vm: usize,
    serial: u64,
    pub(super) root: u32,
}

/// Why a plugin cannot be added.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartError {
    /// The VM does not start.
    Start(Trap),
    /// The plugin refuses its configuration.
    Configure(ConfigureError),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(trap) => write!(f, "the module does not start: {trap}"),
            Self::Configure(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for StartError {}

impl Proxy {
    /// A proxy without plugins.
    pub fn new(mut settings: Settings) -> Self {
        settings.workers = settings.workers.clamp(1, WORKERS_LIMIT);
        Self {
            world: World::new(&settings),
            threads: (0..=settings.workers).map(|_| Vec::new()).collect(),
            settings,
            plugins: Vec::new(),
            events: Events::default(),
            streams: BTreeMap::new(),
            pipes: BTreeMap::new(),
            finished: BTreeMap::new(),
            calls: Vec::new(),
            last_stream: 0,
            callouts_left: CALLOUT_LIMIT,
        }
    }

    /// Registers a foreign function under a name, in place of the host's own if it has one: it gets the argument and gives a result, or a status of
    /// the ABI.
    pub fn add_foreign(&mut self, name: &str, call: impl Fn(&[u8]) -> Result<Vec<u8>, u32> + 'static) {
        self.world.0.borrow_mut().foreign.insert(name.to_owned(), std::rc::Rc::new(call));
    }

    /// Adds a plugin behind the others of the one chain. As in Envoy it is tried out first, in a VM of its own, and then started on the main thread
    /// and on each worker. What it does meanwhile to shared data, queues and stats stays.
    ///
    /// # Errors
    /// The VM does not start, or the plugin refuses its configuration. The chain is as before then.
    pub fn add(
        &mut self,
        module: &Module,
        options: &Options,
        config: Option<&[u8]>,
    ) -> Result<(), StartError> {
        self.add_to("", module, options, config)
    }

    /// As [`add`](Self::add), to the chain of this name: a proxy may have several, each of another listener.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub fn add_to(
        &mut self,
        chain: &str,
        module: &Module,
        options: &Options,
        config: Option<&[u8]>,
    ) -> Result<(), StartError> {
        let key = (options.vm_id.clone(), options.vm_config.clone(), module.address());
        let mut canary = Vm::in_world(module, options, &self.world).map_err(StartError::Start)?;
        canary.configure(config).map_err(StartError::Configure)?;
        self.tell_queues(Some(&mut canary));
        drop(canary);
        let mut places = Vec::new();
        for thread in 0..self.threads.len() {
            let shared = self.plugins.iter().find(|plugin| plugin.key == key);
            let place = if let Some(seat) = shared.and_then(|plugin| plugin.places.get(thread)) {
                let number = seat.vm;
                let Some(vm) = self.vm(thread, number) else { continue };
                let root = vm.add(options, config).map_err(StartError::Configure)?;
                Seat { vm: number, serial: vm.state().serial, root }
            } else {
                let options = Options {
                    // Each worker draws other numbers; the first one's are those of the seed.
                    seed: options.seed ^ (thread.saturating_sub(1) as u64) << 48,
                    ..options.clone()
                };
                let mut vm = Vm::in_world(module, &options, &self.world).map_err(StartError::Start)?;
                vm.configure(config).map_err(StartError::Configure)?;
                let Some(vms) = self.threads.get_mut(thread) else { continue };
                let seat = Seat { vm: vms.len(), serial: vm.state().serial, root: ROOT };
                vms.push(vm);
                seat
            };
            places.push(place);
            self.after_call(thread, place.vm);
        }
        let (options, config) = (options.clone(), config.map(<[u8]>::to_vec));
        self.plugins.push(Plugin { chain: chain.to_owned(), key, options, config, places });
        self.tell_queues(None);
        Ok(())
    }

    /// Takes one exchange through the one chain, on the first worker, and says what came of it. Callouts that outlive it are answered too. A trap
    /// ends in what Envoy does.
    pub fn exchange(&mut self, exchange: &Exchange) -> ExchangeOutcome {
        self.exchange_on("", 0, exchange)
    }

    /// As [`exchange`](Self::exchange), through the chain of this name and on this worker, from 0.
    pub fn exchange_on(&mut self, chain: &str, worker: usize, exchange: &Exchange) -> ExchangeOutcome {
        self.all_at_once(chain, worker, std::slice::from_ref(exchange)).pop().unwrap_or_default()
    }

    /// Takes exchanges through a chain on a worker that are all under way at once: each begins when its `after_ms` has passed. What was logged and
    /// counted by any of them, and what they cost, is told with the first.
    pub fn all_at_once(
        &mut self,
        chain: &str,
        worker: usize,
        exchanges: &[Exchange],
    ) -> Vec<ExchangeOutcome> {
        let thread = 1 + worker % self.settings.workers;
        let fuel_before = self.begin(thread);
        let ids: Vec<u64> = exchanges
            .iter()
            .map(|exchange| {
                self.last_stream += 1;
                let opening = Opening { chain: chain.to_owned(), thread, exchange: exchange.clone() };
                let begin = Event::Begin(self.last_stream, Box::new(opening));
                self.events.add(self.world.now() + millis(exchange.after_ms), begin);
                self.last_stream
            })
            .collect();
        let parts = |exchange: &Exchange| exchange.request.chunks.len() + exchange.response.chunks.len();
        let limit = EVENT_LIMIT + exchanges.iter().map(parts).sum::<usize>();
        for _ in 0..limit {
            if ids.iter().all(|id| self.finished.contains_key(id)) && !self.events.has_loose_ends() {
                break;
            }
            if !self.step() {
                break;
            }
        }
        let mut outcomes: Vec<_> =
            ids.iter().map(|id| self.finished.remove(id).unwrap_or_default()).collect();
        if let Some(first) = outcomes.first_mut() {
            self.conclude(thread, fuel_before, first);
        }
        outcomes
    }

    /// Lets time pass: timers run, and callouts are answered.
    pub fn advance(&mut self, time: Duration) {
        let until = self.world.now().saturating_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
        for _ in 0..EVENT_LIMIT {
            if self.events.next_time().is_none_or(|next| next > until) {
                break;
            }
            self.step();
        }
        self.world.0.borrow_mut().clock = until;
    }

    /// Answers what plugins have asked when they were configured.
    pub fn settle(&mut self) {
        for _ in 0..EVENT_LIMIT {
            if !self.events.has_loose_ends() || !self.step() {
                break;
            }
        }
    }

    /// Ends all plugins: `proxy_on_done` and `proxy_on_delete` of their root contexts.
    pub fn shut_down(&mut self) {
        for thread in 0..self.threads.len() {
            let count = self.threads.get(thread).map_or(0, Vec::len);
            for number in 0..count {
                drop(self.vm(thread, number).map(Vm::shut_down));
                self.after_call(thread, number);
            }
        }
        self.settle();
    }

    /// All stats by name: counters and gauges with their values, histograms with the count of samples.
    pub fn metrics(&self) -> BTreeMap<String, u64> {
        self.world.metrics()
    }

    /// The log since the last exchange began, each line with its VM's id.
    pub fn log(&self) -> Vec<(String, LogLine)> {
        self.world.0.borrow().log.clone()
    }

    /// Takes the log: the next lines are the first again.
    pub fn take_log(&mut self) -> Vec<(String, LogLine)> {
        mem::take(&mut self.world.0.borrow_mut().log)
    }

    /// The time, in nanoseconds since 1970.
    pub fn now(&self) -> u64 {
        self.world.now()
    }

    /// The linear memory of all VMs together, in bytes.
    pub fn memory_size(&mut self) -> usize {
        self.threads.iter_mut().flatten().map(Vm::memory_size).sum()
    }

    /// The traps that have killed VMs, on any thread.
    pub fn traps(&self) -> Vec<&Trap> {
        self.threads.iter().flatten().filter_map(Vm::trap).collect()
    }

    /// Begins an exchange, and gives the fuel that the thread has used before it.
    fn begin(&mut self, thread: usize) -> u64 {
        self.callouts_left = CALLOUT_LIMIT;
        for vm in self.threads.get_mut(thread).into_iter().flatten() {
            vm.state().host_calls.clear();
        }
        self.take_log();
        self.world.0.borrow_mut().stats.mark();
        self.fuel(thread)
    }

    fn conclude(&mut self, thread: usize, fuel_before: u64, outcome: &mut ExchangeOutcome) {
        outcome.metrics = self.world.0.borrow().stats.steps();
        outcome.log = self.world.log_since(0);
        outcome.calls = self.take_calls();
        outcome.findings = self.take_findings();
        let vms = self.threads.get(thread).into_iter().flatten();
        let host_calls = vms.flat_map(|vm| vm.store.data().host_calls.values()).sum();
        outcome.cost = Some(Cost { instructions: self.fuel(thread) - fuel_before, host_calls });
    }

    fn fuel(&self, thread: usize) -> u64 {
        self.threads.get(thread).into_iter().flatten().map(Vm::fuel).sum()
    }

    /// Where a plugin is on a thread.
    pub(super) fn seat(&self, thread: usize, plugin: usize) -> Option<Seat> {
        self.plugins.get(plugin)?.places.get(thread).copied()
    }

    /// As [`seat`](Self::seat), for a stream that begins: a VM that has failed is started anew if it is time, and a plugin that has no root
    /// context in the new one gets one.
    pub(super) fn take_seat(&mut self, thread: usize, plugin: usize) -> Option<Seat> {
        let of = self.plugins.get_mut(plugin)?;
        let seat = of.places.get_mut(thread)?;
        let vm = self.threads.get_mut(thread)?.get_mut(seat.vm)?;
        let config = of.config.as_deref();
        if vm.reload(&of.options, config) {
            seat.root = ROOT;
        } else if vm.dead.is_none() && vm.state().serial != seat.serial {
            seat.root = vm.add(&of.options, config).unwrap_or(0);
        }
        seat.serial = vm.state().serial;
        let seat = *seat;
        self.after_call(thread, seat.vm);
        Some(seat)
    }

    pub(super) fn vm(&mut self, thread: usize, number: usize) -> Option<&mut Vm> {
        self.threads.get_mut(thread)?.get_mut(number)
    }

    /// Whether a plugin lets requests pass because its VM is dead.
    pub(super) fn is_open(&self, thread: usize, plugin: usize) -> bool {
        let Some(seat) = self.seat(thread, plugin) else { return true };
        let vm = self.threads.get(thread).and_then(|vms| vms.get(seat.vm));
        let policy = self.plugins.get(plugin).map(|plugin| plugin.options.failure_policy);
        vm.is_some_and(|vm| vm.dead.is_some()) && policy == Some(FailurePolicy::Open)
    }

    fn find(&self, serial: u64) -> Option<(usize, usize)> {
        self.threads.iter().enumerate().find_map(|(thread, vms)| {
            vms.iter().position(|vm| vm.store.data().serial == serial).map(|number| (thread, number))
        })
    }

    /// Makes the next thing happen. False when there is none.
    fn step(&mut self) -> bool {
        let next = match &mut self.world.0.borrow_mut().schedule {
            Some(schedule) => self.events.take_by(schedule),
            None => self.events.take(),
        };
        let Some((time, event)) = next else { return false };
        {
            let clock = &mut self.world.0.borrow_mut().clock;
            *clock = time.max(*clock);
        }
        match event {
            Event::Begin(id, opening) if opening.exchange.is_tcp => self.connect(id, *opening),
            Event::Begin(stream, opening) => self.open(stream, *opening),
            Event::Tcp(id, way, bytes, ends) => self.pour(id, way, bytes, ends),
            Event::Client(stream, part) => self.client(stream, part),
            Event::Upstream(at, part) => self.upstream(at, part),
            Event::Fail(at, failure) => self.fall_short(at, failure),
            Event::GiveUp(id) if self.pipes.contains_key(&id) => self.hang_up(id),
            Event::GiveUp(stream) => self.give_up(stream),
            Event::Tick { vm, root, period_ms } => {
                if let Some((thread, number)) = self.find(vm) {
                    self.root_call(thread, number, "proxy_on_tick", &[root]);
                    if !self.events.has_tick(vm, root) && self.period(thread, number, root) == Some(period_ms)
                    {
                        self.events.add(time + millis(period_ms.into()), Event::Tick { vm, root, period_ms });
                    }
                }
            }
            Event::Answer { vm, root, token, answer, .. } => self.answered(vm, root, token, *answer),
            Event::Grpc { vm, token, event } => self.grpc(vm, token, event),
        }
        self.tell_queues(None);
        self.go_on_where_told();
        self.pipes_go_on();
        true
    }

    fn period(&self, thread: usize, number: usize, root: u32) -> Option<u32> {
        let state = self.threads.get(thread)?.get(number)?.store.data();
        state.roots.get(&root).map(|root| root.tick_period).filter(|period| *period > 0)
    }

    /// Calls a callback of a root context, and does what it asked for. A trap fails all streams of the VM.
    fn root_call(&mut self, thread: usize, number: usize, export: &'static str, arguments: &[u32]) {
        let Some(vm) = self.vm(thread, number) else { return };
        if vm.dead.is_some() {
            return;
        }
        let called = vm.call(Callback::Other, export, arguments);
        self.after_call(thread, number);
        if called.is_err() {
            self.fail_all(thread, number);
        }
    }

    /// Does what a callback has asked for, beside its stream: timers, callouts, ends.
    pub(super) fn after_call(&mut self, thread: usize, number: usize) {
        let now = self.world.now();
        let Some(vm) = self.vm(thread, number) else { return };
        let was_alive = vm.dead.is_none();
        vm.tell_of_failed();
        let has_died = was_alive && vm.dead.is_some();
        let state = vm.state();
        let serial = state.serial;
        let (periods, ended) = (state.new_periods(), mem::take(&mut state.ended));
        let (callouts, deeds) = (mem::take(&mut state.callouts), mem::take(&mut state.grpc.deeds));
        for (root, period_ms) in periods {
            self.events.remove_tick(serial, root);
            if period_ms > 0 {
                self.events.add(now + millis(period_ms.into()), Event::Tick { vm: serial, root, period_ms });
            }
        }
        for callout in callouts {
            self.call_out(thread, number, now, &callout);
        }
        for deed in deeds {
            self.do_grpc(thread, number, now, deed);
        }
        for root in ended {
            self.root_call(thread, number, "proxy_on_delete", &[root]);
        }
        if has_died {
            self.fail_all(thread, number);
        }
    }

    /// Tells consumers what was put into their queues; what they put in meanwhile too, within bounds.
    fn tell_queues(&mut self, mut canary: Option<&mut Vm>) {
        for _ in 0..CALLOUT_LIMIT {
            let next = self.world.0.borrow_mut().ready.pop_front();
            let Some((token, (serial, root))) = next else { return };
            if let Some(canary) = canary.as_mut().filter(|vm| vm.store.data().serial == serial) {
                drop(canary.call(Callback::Other, "proxy_on_queue_ready", &[root, token]));
            } else if let Some((thread, number)) = self.find(serial) {
                self.root_call(thread, number, "proxy_on_queue_ready", &[root, token]);
            }
        }
        self.world.0.borrow_mut().ready.clear();
    }

    /// A VM has trapped: every stream that it has a part in fails.
    pub(super) fn fail_all(&mut self, thread: usize, number: usize) {
        let fail = |(id, active): (&u64, &mut Active)| active.fail(thread, number).then_some(*id);
        let failed: Vec<u64> = self.streams.iter_mut().filter_map(fail).collect();
        for stream in failed {
            self.reply(stream, Reply::of(503, "", "wasm_fail_stream"));
        }
        let is_of = |(id, pipe): (&u64, &Pipe)| pipe.is_of(thread, number).then_some(*id);
        for pipe in self.pipes.iter().filter_map(is_of).collect::<Vec<_>>() {
            self.hang_up(pipe);
        }
    }
}

/// Milliseconds in nanoseconds.
pub(super) fn millis(count: u64) -> u64 {
    count.saturating_mul(1_000_000)
}

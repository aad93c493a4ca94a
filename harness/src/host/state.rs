//! What a VM knows, behind its host calls, and what of it is at hand in which callback.

use super::{
    abi::{BufferType, Callback, MapType, Status},
    grpc::Calls,
    memory::HostTrap,
    metrics::Metrics,
    options::Options,
    random::Random,
    schedule::Failure,
    stream::{Stream, Way},
    world::World,
};
use crate::{
    Bytes,
    lint::{Finding, Lint},
    outcome::LEVELS,
    scenario::Headers,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    sync::Arc,
};
use wasmtime::{StoreLimits, StoreLimitsBuilder};

/// The most elements of a table of a VM.
const TABLE_LIMIT: usize = 1 << 20;

/// What one callback may do through host calls: each costs [`CALL_COST`] and a unit for every byte that it moves. It bounds what the host
/// allocates for a module, and how long.
const BUDGET: u64 = 256 << 20;
const CALL_COST: u64 = 64;

/// The store's data.
pub(crate) struct State {
    pub(crate) limits: StoreLimits,
    pub(crate) options: Options,
    pub(crate) random: Random,
    pub(crate) callback: Callback,
    /// The export that runs.
    export: &'static str,
    /// The context that host calls are about: the callback's own, or the one that `proxy_set_effective_context` has chosen.
    pub(crate) context: u32,
    /// The callback's own.
    pub(crate) own_context: u32,
    /// Whether the host has asked the module for memory.
    pub(crate) is_allocating: bool,
    /// The name of the memory that the module exports.
    pub(crate) memory: Option<Arc<str>>,
    /// Whether the module is of ABI 0.1.0.
    pub(crate) is_of_first_version: bool,
    /// The trap that the module has caused while it allocated memory for the host.
    pub(crate) failure: Option<wasmtime::Error>,
    /// The number of this VM in its proxy.
    pub(crate) serial: u64,
    /// Root contexts by id, one a plugin.
    pub(crate) roots: BTreeMap<u32, Root>,
    /// Streams by the ids of their contexts.
    pub(crate) streams: BTreeMap<u32, Stream>,
    pub(crate) metrics: Metrics,
    pub(crate) world: World,
    /// The buffer that was read last, and by which context.
    pub(crate) last_buffer: (u32, Vec<u8>),
    /// Properties that a context has declared.
    pub(crate) declared: BTreeSet<(u32, String)>,
    /// Root contexts whose end the module has called `proxy_done` for in this callback.
    pub(crate) ended: Vec<u32>,
    /// HTTP callouts that were made in this callback.
    pub(crate) callouts: Vec<Callout>,
    pub(crate) last_token: u32,
    /// gRPC callouts.
    pub(crate) grpc: Calls,
    /// What this callback is told of a callout.
    pub(crate) answer: Answer,
    pub(crate) host_calls: BTreeMap<&'static str, u64>,
    budget: u64,
}

/// A root context.
#[derive(Debug, Default)]
pub(crate) struct Root {
    pub(crate) plugin: String,
    pub(crate) id: String,
    pub(crate) config: Vec<u8>,
    /// In milliseconds; 0 is no timer.
    pub(crate) tick_period: u32,
    /// Whether the period was set in this callback.
    pub(crate) is_period_new: bool,
    /// Whether its end waits for `proxy_done`.
    pub(crate) is_end_pending: bool,
    /// The code that `proxy_get_status` tells: that of the gRPC call that failed last, or of the stream that was closed last. It stays.
    pub(crate) status: u32,
}

/// A request of a plugin's own.
#[derive(Debug, Default)]
pub(crate) struct Callout {
    pub(crate) token: u32,
    /// The root context that gets the answer.
    pub(crate) root: u32,
    /// The stream that it belongs to; 0 is none.
    pub(crate) origin: u32,
    pub(crate) cluster: String,
    pub(crate) headers: Headers,
    pub(crate) body: Vec<u8>,
    pub(crate) timeout_ms: u32,
    /// How it fails, whatever its cluster does.
    pub(crate) failure: Option<Failure>,
}

/// What is at hand of a callout's answer.
#[derive(Debug, Default, Clone)]
pub(crate) struct Answer {
    pub(crate) maps: Vec<(MapType, Headers)>,
    pub(crate) body: Option<(BufferType, Vec<u8>)>,
    /// The message that `proxy_get_status` tells.
    pub(crate) status_message: Vec<u8>,
}

impl Answer {
    fn map(&self, map: MapType) -> Option<&Headers> {
        self.maps.iter().find(|(other, _)| *other == map).map(|(_, headers)| headers)
    }

    fn body_mut(&mut self, buffer: BufferType) -> Option<&mut Vec<u8>> {
        self.body.as_mut().filter(|(other, _)| *other == buffer).map(|(_, body)| body)
    }

    fn body(&self, buffer: BufferType) -> Option<&Vec<u8>> {
        self.body.as_ref().filter(|(other, _)| *other == buffer).map(|(_, body)| body)
    }
}

impl State {
    pub(crate) fn new(options: Options, world: World) -> Self {
        Self {
            limits: StoreLimitsBuilder::new().memory_size(options.memory).table_elements(TABLE_LIMIT).build(),
            random: Random::new(options.seed),
            callback: Callback::Start,
            export: "",
            context: 0,
            own_context: 0,
            is_allocating: false,
            memory: None,
            is_of_first_version: false,
            failure: None,
            serial: world.next_serial(),
            roots: BTreeMap::new(),
            streams: BTreeMap::new(),
            metrics: Metrics::default(),
            world,
            last_buffer: (0, Vec::new()),
            declared: BTreeSet::new(),
            ended: Vec::new(),
            callouts: Vec::new(),
            last_token: 0,
            grpc: Calls::default(),
            answer: Answer::default(),
            host_calls: BTreeMap::new(),
            budget: BUDGET,
            options,
        }
    }

    /// A callback begins.
    pub(crate) fn enter(&mut self, callback: Callback, export: &'static str, context: u32) {
        self.callback = callback;
        self.export = export;
        self.context = context;
        self.own_context = context;
        self.is_allocating = false;
        self.budget = BUDGET;
    }

    /// A callback of a root context begins within another one. Gives what comes back when it ends.
    pub(crate) fn enter_within(&mut self, root: u32, answer: Answer) -> (Callback, u32) {
        self.answer.maps.extend(answer.maps);
        (mem::replace(&mut self.callback, Callback::Other), mem::replace(&mut self.context, root))
    }

    /// It ends. Its metadata are gone, and with them those of the outer callback; if it was called, all else that the outer one was told, too: Envoy
    /// cleans up behind whichever callback ends first.
    pub(crate) fn leave_within(&mut self, before: (Callback, u32), was_called: bool) {
        (self.callback, self.context) = before;
        if was_called {
            self.answer = Answer::default();
        }
        let is_of_grpc =
            |map: &MapType| matches!(map, MapType::GrpcInitialMetadata | MapType::GrpcTrailingMetadata);
        self.answer.maps.retain(|(map, _)| !is_of_grpc(map));
    }

    /// Notes a mistake of the module's in this callback.
    pub(crate) fn note(&self, lint: Lint, what: impl Into<String>) {
        self.world.note(Finding { lint, callback: self.export.to_owned(), what: what.into() });
    }

    /// Notes a call about something that is not there in this phase, and gives Envoy's answer.
    fn out_of_reach(&self, what: &str) -> Status {
        self.note(Lint::CallOutOfPhase, format!("{what} are out of reach"));
        Status::BadArgument
    }

    /// Whether the module is told of a callout: of one that was reset there is nothing to read, and no other place to ask.
    fn is_answering(&self) -> bool {
        self.export == "proxy_on_http_call_response"
    }

    /// The stream that a callout belongs to: none on a root context, and where a stream is over.
    pub(crate) fn origin(&self) -> u32 {
        let is_over = matches!(self.callback, Callback::Log | Callback::End);
        if is_over || self.stream().is_none() { 0 } else { self.context }
    }

    /// Whether what the module does now is done 2+N times, with N workers.
    pub(crate) fn is_configuring(&self) -> bool {
        matches!(self.callback, Callback::VmStart | Callback::Configure)
    }

    /// Whether the module may not call the ABI's functions now.
    pub(crate) fn is_restricted(&self) -> bool {
        self.is_allocating || self.callback == Callback::Start
    }

    /// Takes a host call, or bytes that one moves, out of the callback's budget.
    pub(crate) fn charge(&mut self, bytes: usize) -> Result<(), HostTrap> {
        let cost = if bytes == 0 { CALL_COST } else { bytes as u64 };
        self.budget = self.budget.checked_sub(cost).ok_or(HostTrap::OverBudget)?;
        Ok(())
    }

    /// The stream that host calls are about; none on a root context.
    pub(crate) fn stream(&self) -> Option<&Stream> {
        self.streams.get(&self.context)
    }

    /// The stream that host calls are about, to be changed.
    pub(crate) fn stream_mut(&mut self) -> Option<&mut Stream> {
        self.streams.get_mut(&self.context)
    }

    /// The id of the root context that host calls are about, or whose stream they are about.
    pub(crate) fn root_id(&self) -> u32 {
        self.stream().map_or(self.context, |stream| stream.root)
    }

    /// That root context.
    pub(crate) fn root(&self) -> Option<&Root> {
        self.roots.get(&self.root_id())
    }

    /// Reads a header map that the module asks for. One that is out of reach in this phase is a bad argument; in `proxy_on_log` it is not found.
    pub(crate) fn map<R>(&self, map: MapType, read: impl FnOnce(&Headers) -> R) -> Result<R, Status> {
        self.world.trace(|trace| trace.about(map.words()));
        let found = self.map_if_any(map, read);
        let is_of_callout = matches!(map, MapType::CalloutHeaders | MapType::CalloutTrailers);
        if matches!(found, Err(Status::BadArgument)) && !(is_of_callout && self.is_answering()) {
            self.out_of_reach(map.words());
        }
        found
    }

    /// As [`map`](Self::map), for an attribute that may be asked for at any time.
    pub(crate) fn map_if_any<R>(&self, map: MapType, read: impl FnOnce(&Headers) -> R) -> Result<R, Status> {
        if self.callback == Callback::Log {
            let stream = self.stream().ok_or(Status::NotFound)?;
            return stream.common.borrow().logged(map).map(read).ok_or(Status::NotFound);
        }
        if let Some(headers) = self.answer.map(map) {
            return Ok(read(headers));
        }
        let stream = self.stream().ok_or(Status::BadArgument)?;
        let way = stream.at_hand(map).ok_or(Status::BadArgument)?;
        Ok(read(stream.common.borrow().half(way).map(map)))
    }

    /// Changes or measures a header map. At the end of a body, trailers that are not there yet come to be.
    pub(crate) fn map_mut<R>(
        &mut self,
        map: MapType,
        change: impl FnOnce(&mut Headers) -> R,
    ) -> Result<R, Status> {
        self.world.trace(|trace| trace.about(map.words()));
        let Some(stream) = self.streams.get_mut(&self.context) else {
            return Err(self.out_of_reach(map.words()));
        };
        let way = match map {
            MapType::RequestHeaders | MapType::RequestTrailers => Way::Request,
            MapType::ResponseHeaders | MapType::ResponseTrailers => Way::Response,
            _ => return Err(self.out_of_reach(map.words())),
        };
        if matches!(map, MapType::RequestTrailers | MapType::ResponseTrailers) {
            let side = stream.side(way);
            if !side.are_trailers_at_hand && side.is_body_at_hand && side.is_last {
                side.are_trailers_at_hand = true;
                stream.common.borrow_mut().half_mut(way).has_trailers = true;
            }
        }
        if stream.at_hand(map).is_none() {
            return Err(self.out_of_reach(map.words()));
        }
        Ok(change(stream.common.borrow_mut().half_mut(way).map_mut(map)))
    }

    /// A buffer's bytes. A body that is out of reach is empty, and no error; other buffers are not found. The buffer of a foreign call is the
    /// one that was read last.
    pub(crate) fn buffer(&mut self, buffer: BufferType) -> Result<&[u8], Status> {
        self.world.trace(|trace| trace.about(buffer.words()));
        let body = |way, is_tcp: bool| match (way, self.stream().filter(|stream| stream.is_tcp() == is_tcp)) {
            (Way::Request, Some(stream)) if stream.request.is_body_at_hand => stream.request.body.clone(),
            (Way::Response, Some(stream)) if stream.response.is_body_at_hand => stream.response.body.clone(),
            _ => {
                if !is_tcp {
                    self.out_of_reach(buffer.words());
                }
                Vec::new()
            }
        };
        let bytes = match buffer {
            BufferType::RequestBody => body(Way::Request, false),
            BufferType::ResponseBody => body(Way::Response, false),
            BufferType::Downstream => body(Way::Request, true),
            BufferType::Upstream => body(Way::Response, true),
            BufferType::CalloutBody if self.answer.body(buffer).is_some() => {
                self.answer.body(buffer).cloned().unwrap_or_default()
            }
            BufferType::GrpcMessage => self.answer.body(buffer).cloned().unwrap_or_default(),
            BufferType::VmConfig => self.options.vm_config.clone(),
            BufferType::PluginConfig if self.callback == Callback::Configure => {
                self.root().map(|root| root.config.clone()).unwrap_or_default()
            }
            BufferType::CalloutBody if self.is_answering() => return Err(Status::NotFound),
            BufferType::CalloutBody | BufferType::PluginConfig => {
                self.out_of_reach(buffer.words());
                return Err(Status::NotFound);
            }
            BufferType::CallData if self.last_buffer.0 == self.context => return Ok(&self.last_buffer.1),
            BufferType::CallData => return Ok(&[]),
        };
        self.last_buffer = (self.context, bytes);
        Ok(&self.last_buffer.1)
    }

    /// A body, to be changed.
    pub(crate) fn buffer_mut(&mut self, buffer: BufferType) -> Result<&mut Vec<u8>, Status> {
        self.world.trace(|trace| trace.about(buffer.words()));
        let is_absent = match buffer {
            BufferType::CalloutBody => self.answer.body(buffer).is_none(),
            BufferType::PluginConfig => self.callback != Callback::Configure,
            _ => false,
        };
        if is_absent {
            self.out_of_reach(buffer.words());
            return Err(Status::NotFound);
        }
        let has_message = buffer == BufferType::GrpcMessage && self.answer.body(buffer).is_some();
        let way = self.stream().and_then(|stream| match (buffer, stream.is_tcp()) {
            (BufferType::RequestBody, false) | (BufferType::Downstream, true) => Some(Way::Request),
            (BufferType::ResponseBody, false) | (BufferType::Upstream, true) => Some(Way::Response),
            _ => None,
        });
        let is_at_hand = has_message
            || self.stream().is_some_and(|stream| match way {
                Some(Way::Request) => stream.request.is_body_at_hand,
                Some(Way::Response) => stream.response.is_body_at_hand,
                None => false,
            });
        if !is_at_hand {
            return Err(self.out_of_reach(buffer.words()));
        }
        if has_message {
            return self.answer.body_mut(buffer).ok_or(Status::BadArgument);
        }
        let stream = self.stream_mut().ok_or(Status::BadArgument)?;
        Ok(&mut stream.side(way.ok_or(Status::BadArgument)?).body)
    }

    /// Writes a line to the log, if its level is logged.
    pub(crate) fn log(&mut self, level: u32, text: &[u8]) {
        let is_logged = level >= self.options.log_level;
        let level = LEVELS.get(level as usize).copied().unwrap_or("critical");
        self.world.trace(|trace| trace.about(level));
        if is_logged {
            self.world.log(&self.options.vm_id, level, Bytes::from(text).lossy());
        }
    }

    /// The root contexts whose timers were set in this callback, with their periods in milliseconds.
    pub(crate) fn new_periods(&mut self) -> Vec<(u32, u32)> {
        let roots = self.roots.iter_mut();
        roots
            .filter_map(|(id, root)| mem::take(&mut root.is_period_new).then_some((*id, root.tick_period)))
            .collect()
    }
}

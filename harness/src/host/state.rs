//! What a VM knows, behind its host calls, and what of it is at hand in which callback.

use super::{
    abi::{BufferType, Callback, MapType, Status},
    memory::HostTrap,
    metrics::Metrics,
    random::Random,
    vm::Options,
    world::World,
};
use crate::{
    Bytes,
    outcome::{LEVELS, LogLine},
    scenario::Headers,
};
use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, VecDeque},
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
    /// The context that host calls are about: the callback's own, or the one that `proxy_set_effective_context` has chosen.
    pub(crate) context: u32,
    /// Whether the host has asked the module for memory.
    pub(crate) is_allocating: bool,
    pub(crate) config: Vec<u8>,
    pub(crate) stream: Option<Stream>,
    pub(crate) metrics: Metrics,
    pub(crate) log: Vec<LogLine>,
    pub(crate) world: World,
    /// Queues that got something and whose consumers were not told yet.
    pub(crate) ready: VecDeque<u32>,
    /// The buffer that was read last, and by which context.
    pub(crate) last_buffer: (u32, Vec<u8>),
    /// Properties that a context has declared.
    pub(crate) declared: BTreeSet<(u32, String)>,
    /// Bits of the last tokens of gRPC callouts: calls and streams.
    pub(crate) last_grpc: [u32; 2],
    /// Callouts that were made and not answered yet.
    pub(crate) callouts: Vec<Callout>,
    pub(crate) last_token: u32,
    /// The answer that `proxy_on_http_call_response` is about.
    pub(crate) answer: Option<Answer>,
    pub(crate) tick_period: u32,
    pub(crate) host_calls: BTreeMap<&'static str, u64>,
    budget: u64,
}

/// A stream, from its creation to its end.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    pub(crate) context: u32,
    pub(crate) request: Side,
    pub(crate) response: Side,
    /// The filter's reply, until it is sent.
    pub(crate) reply: Option<Reply>,
    /// Whether there was a reply: of several the first counts.
    pub(crate) has_replied: bool,
    /// Whether that was in place of a response that was on its way.
    pub(crate) has_replied_late: bool,
    /// Whether the filter has closed the stream.
    pub(crate) is_closed: bool,
    /// What Envoy says of how it ended.
    pub(crate) details: Cow<'static, str>,
    pub(crate) filter_state: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The cluster of the route.
    pub(crate) cluster: String,
}

/// One direction of a stream. What is at hand is what Envoy holds a pointer to in this phase.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own that Envoy keeps too")]
#[derive(Debug, Default)]
pub(crate) struct Side {
    pub(crate) headers: Headers,
    pub(crate) trailers: Headers,
    /// What the filter sees of the body: the part at hand, behind what it has buffered.
    pub(crate) body: Vec<u8>,
    /// What is held back before it, and that the filter does not see.
    pub(crate) ahead: Vec<u8>,
    /// Whether the next part is added to what the filter sees.
    pub(crate) is_buffering: bool,
    /// How many bytes of the body have come so far, and how many the filter has let go.
    pub(crate) size: u64,
    pub(crate) sent: u64,
    pub(crate) has_headers: bool,
    pub(crate) has_trailers: bool,
    pub(crate) are_headers_at_hand: bool,
    pub(crate) is_body_at_hand: bool,
    pub(crate) are_trailers_at_hand: bool,
    /// Whether the part at hand is the last of this direction.
    pub(crate) is_last: bool,
    /// Whether a call has let the direction go on.
    pub(crate) is_resumed: bool,
    /// Whether the headers have left for the other end.
    pub(crate) are_headers_sent: bool,
}

/// A response of the filter's own.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Headers,
    pub(crate) body: Vec<u8>,
    pub(crate) details: Cow<'static, str>,
    /// 0 to 16, where the filter gave one.
    pub(crate) grpc_status: Option<u32>,
}

impl Reply {
    /// A reply of Envoy's own.
    pub(crate) fn of(status: u16, body: &str, details: &'static str) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: body.as_bytes().to_vec(),
            details: details.into(),
            grpc_status: None,
        }
    }
}

/// A request of the filter's own.
#[derive(Debug)]
pub(crate) struct Callout {
    pub(crate) token: u32,
    pub(crate) cluster: String,
    pub(crate) headers: Headers,
    pub(crate) body: Vec<u8>,
    pub(crate) timeout_ms: u32,
}

/// What a callout was answered.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) headers: Headers,
    pub(crate) body: Vec<u8>,
}

impl State {
    pub(crate) fn new(options: Options, world: World) -> Self {
        Self {
            limits: StoreLimitsBuilder::new().memory_size(options.memory).table_elements(TABLE_LIMIT).build(),
            random: Random::new(options.seed),
            callback: Callback::Start,
            context: 0,
            is_allocating: false,
            config: Vec::new(),
            stream: None,
            metrics: Metrics::default(),
            log: Vec::new(),
            world,
            ready: VecDeque::new(),
            last_buffer: (0, Vec::new()),
            declared: BTreeSet::new(),
            last_grpc: [1, 2],
            callouts: Vec::new(),
            last_token: 0,
            answer: None,
            tick_period: 0,
            host_calls: BTreeMap::new(),
            budget: BUDGET,
            options,
        }
    }

    /// A callback begins.
    pub(crate) fn enter(&mut self, callback: Callback, context: u32) {
        self.callback = callback;
        self.context = context;
        self.is_allocating = false;
        self.budget = BUDGET;
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

    /// The stream that host calls are about; none on the root context.
    pub(crate) fn stream(&self) -> Option<&Stream> {
        self.stream.as_ref().filter(|stream| stream.context == self.context)
    }

    /// The stream that host calls are about, to be changed.
    pub(crate) fn stream_mut(&mut self) -> Option<&mut Stream> {
        self.stream.as_mut().filter(|stream| stream.context == self.context)
    }

    /// A header map, to be read. One that is out of reach in this phase is a bad argument; in `proxy_on_log` it is not found.
    pub(crate) fn map(&self, map: MapType) -> Result<&Headers, Status> {
        if self.callback == Callback::Log {
            let logged = self.stream().and_then(|stream| stream.logged(map));
            return logged.ok_or(Status::NotFound);
        }
        let map = match map {
            MapType::CalloutHeaders => self.answer.as_ref().map(|answer| &answer.headers),
            _ => self.stream().and_then(|stream| stream.at_hand(map)),
        };
        map.ok_or(Status::BadArgument)
    }

    /// A header map, to be changed or measured. At the end of a body, trailers that are not there yet come to be.
    pub(crate) fn map_mut(&mut self, map: MapType) -> Result<&mut Headers, Status> {
        let stream = self.stream_mut().ok_or(Status::BadArgument)?;
        let side = match map {
            MapType::RequestHeaders | MapType::RequestTrailers => &mut stream.request,
            MapType::ResponseHeaders | MapType::ResponseTrailers => &mut stream.response,
            MapType::Grpc | MapType::CalloutHeaders | MapType::CalloutTrailers => {
                return Err(Status::BadArgument);
            }
        };
        match map {
            MapType::RequestHeaders | MapType::ResponseHeaders => {
                side.are_headers_at_hand.then_some(&mut side.headers).ok_or(Status::BadArgument)
            }
            _ => {
                if !side.are_trailers_at_hand && side.is_body_at_hand && side.is_last {
                    side.are_trailers_at_hand = true;
                    side.has_trailers = true;
                }
                side.are_trailers_at_hand.then_some(&mut side.trailers).ok_or(Status::BadArgument)
            }
        }
    }

    /// A buffer's bytes. A body that is out of reach is empty, and no error; other buffers are not found. The buffer of a foreign call is the
    /// one that was read last.
    pub(crate) fn buffer(&mut self, buffer: BufferType) -> Result<&[u8], Status> {
        let body = |side: fn(&Stream) -> &Side| {
            let side = self.stream().map(side).filter(|side| side.is_body_at_hand);
            side.map(|side| side.body.clone()).unwrap_or_default()
        };
        let bytes = match buffer {
            BufferType::RequestBody => body(|stream| &stream.request),
            BufferType::ResponseBody => body(|stream| &stream.response),
            BufferType::CalloutBody => self.answer.as_ref().ok_or(Status::NotFound)?.body.clone(),
            BufferType::VmConfig => self.options.vm_config.clone(),
            BufferType::PluginConfig if self.callback == Callback::Configure => self.config.clone(),
            BufferType::PluginConfig => return Err(Status::NotFound),
            BufferType::Other => Vec::new(),
            BufferType::CallData if self.last_buffer.0 == self.context => return Ok(&self.last_buffer.1),
            BufferType::CallData => return Ok(&[]),
        };
        self.last_buffer = (self.context, bytes);
        Ok(&self.last_buffer.1)
    }

    /// A body, to be changed.
    pub(crate) fn buffer_mut(&mut self, buffer: BufferType) -> Result<&mut Vec<u8>, Status> {
        let is_absent = match buffer {
            BufferType::CalloutBody => self.answer.is_none(),
            BufferType::PluginConfig => self.callback != Callback::Configure,
            _ => false,
        };
        if is_absent {
            return Err(Status::NotFound);
        }
        let stream = self.stream_mut().ok_or(Status::BadArgument)?;
        let side = match buffer {
            BufferType::RequestBody => &mut stream.request,
            BufferType::ResponseBody => &mut stream.response,
            _ => return Err(Status::BadArgument),
        };
        side.is_body_at_hand.then_some(&mut side.body).ok_or(Status::BadArgument)
    }

    /// Writes a line to the log, if its level is logged.
    pub(crate) fn log(&mut self, level: u32, text: &[u8]) {
        if level < self.options.log_level {
            return;
        }
        let level = LEVELS.get(level as usize).copied().unwrap_or("critical");
        self.log.push(LogLine { level: level.to_owned(), text: Bytes::from(text).lossy() });
    }
}

impl Stream {
    /// Whether a reply counts: the first one, and one in place of a response on its way.
    pub(crate) fn may_reply(&self) -> bool {
        !self.has_replied || self.response.has_headers && !self.has_replied_late
    }

    /// A map as the access log sees it: all that came to be, until the end.
    fn logged(&self, map: MapType) -> Option<&Headers> {
        let (side, is_there) = match map {
            MapType::RequestHeaders => (&self.request, self.request.has_headers),
            MapType::ResponseHeaders => (&self.response, self.response.has_headers),
            MapType::ResponseTrailers => (&self.response, self.response.has_trailers),
            // The access log is not given a request's trailers.
            MapType::RequestTrailers | MapType::Grpc | MapType::CalloutHeaders | MapType::CalloutTrailers => {
                return None;
            }
        };
        let is_headers = matches!(map, MapType::RequestHeaders | MapType::ResponseHeaders);
        is_there.then_some(if is_headers { &side.headers } else { &side.trailers })
    }

    fn at_hand(&self, map: MapType) -> Option<&Headers> {
        let headers = |side: &'_ Side| side.are_headers_at_hand;
        let trailers = |side: &'_ Side| side.are_trailers_at_hand;
        match map {
            MapType::RequestHeaders => headers(&self.request).then_some(&self.request.headers),
            MapType::RequestTrailers => trailers(&self.request).then_some(&self.request.trailers),
            MapType::ResponseHeaders => headers(&self.response).then_some(&self.response.headers),
            MapType::ResponseTrailers => trailers(&self.response).then_some(&self.response.trailers),
            MapType::Grpc | MapType::CalloutHeaders | MapType::CalloutTrailers => None,
        }
    }
}

impl Side {
    /// The headers of a direction, which begins.
    pub(crate) fn begin(headers: Headers) -> Self {
        Self { headers, has_headers: true, are_headers_at_hand: true, ..Self::default() }
    }

    /// Puts the next part of the body before the filter.
    pub(crate) fn put(&mut self, part: Vec<u8>, is_last: bool) {
        self.size += part.len() as u64;
        if self.is_buffering {
            self.body.extend(part);
        } else {
            self.ahead.append(&mut self.body);
            self.body = part;
        }
        self.is_last = is_last;
        self.is_body_at_hand = true;
    }

    /// Takes the body that is let go.
    pub(crate) fn release(&mut self) -> Vec<u8> {
        let mut body = std::mem::take(&mut self.ahead);
        body.append(&mut self.body);
        self.sent += body.len() as u64;
        self.is_buffering = false;
        self.is_body_at_hand = false;
        body
    }
}

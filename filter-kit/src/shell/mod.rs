//! The wasm shell: contexts, callbacks and the order in which effects are applied. One for every filter.

pub mod abi;
mod export;

pub use export::{Cell, cell};

use crate::{
    Buffer, Callbacks, Callout, Effects, Filter, Flow, HeaderChange, Level, MetricChange, Pairs, Phase,
    Source, View, load, metrics::Table,
};
use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
    rc::Rc,
    time::Duration,
};

/// The most callouts that wait for an answer in one VM. A further one fails at once.
const CALLOUT_LIMIT: usize = 1024;

/// How often in a row a filter may answer a callout that failed at once with another callout.
const RETRY_LIMIT: usize = 8;

/// What a VM keeps: its plugins' filters, the streams of which something is remembered, callouts under way, and series.
pub struct Shell<F: Filter> {
    roots: Vec<Rc<Root<F>>>,
    streams: ById<Stream<F>>,
    callouts: ById<Waiting>,
    table: Table,
}

/// What is found by an id of the host's.
type ById<T> = HashMap<u32, T, BuildHasherDefault<IdHasher>>;

const fn by_id<T>() -> ById<T> {
    HashMap::with_hasher(BuildHasherDefault::new())
}

/// Spreads ids, which the host hands out one after the other: a client cannot choose them, so no secret is needed.
#[derive(Default)]
struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u32(u32::from(*byte));
        }
    }

    fn write_u32(&mut self, id: u32) {
        self.0 = (self.0 ^ u64::from(id)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(20);
    }
}

/// A plugin: a configuration of the filter in this VM.
struct Root<F> {
    context: u32,
    filter: F,
    /// The host's ids of the known series, by their place.
    series: Vec<Option<u32>>,
}

/// What is remembered of a stream.
struct Stream<F: Filter> {
    /// `None` means the first root. A stream is noted down at its creation only where there are several plugins in the VM.
    root: Option<Rc<Root<F>>>,
    state: Option<F::Stream>,
    /// The side that is held: 0 is the request, 1 the response.
    held: Option<u32>,
}

impl<F: Filter> Default for Stream<F> {
    fn default() -> Self {
        Self { root: None, state: None, held: None }
    }
}

/// A callout under way.
struct Waiting {
    context: u32,
    tag: u32,
}

impl<F: Filter> Shell<F> {
    /// A VM without plugins.
    pub const fn new() -> Self {
        Self { roots: Vec::new(), streams: by_id(), callouts: by_id(), table: Table::new() }
    }

    /// `proxy_on_configure`: reads the plugin's configuration. A refused one is logged and leaves the old one in place.
    pub fn configure(&mut self, context: u32) -> bool {
        let filter = match load::<F>(&abi::Host.buffer(Buffer::PluginConfiguration)) {
            Ok(filter) => filter,
            Err(error) => {
                abi::log(Level::Error, &format!("{}: configuration refused: {error}", F::NAME));
                return false;
            }
        };
        let table = &mut self.table;
        let series =
            filter.metrics().known().map(|(kind, name)| table.known(kind, name, abi::define)).collect();
        if let Some(period) = filter.tick_period() {
            abi::set_tick_period(milliseconds(period));
        }
        let root = Rc::new(Root { context, filter, series });
        match self.roots.iter_mut().find(|root| root.context == context) {
            Some(old) => *old = root,
            None => self.roots.push(root),
        }
        true
    }

    /// `proxy_on_context_create`.
    pub fn create(&mut self, context: u32, parent: u32) {
        if parent == 0 || self.roots.len() < 2 {
            return;
        }
        let root = self.roots.iter().find(|root| root.context == parent).cloned();
        self.streams.insert(context, Stream { root, ..Stream::default() });
    }

    /// `proxy_on_delete`.
    pub fn delete(&mut self, context: u32) {
        if !self.streams.is_empty() {
            self.streams.remove(&context);
        }
        if F::CALLBACKS.contains(Callbacks::CALLOUT) && !self.callouts.is_empty() {
            self.callouts.retain(|_, waiting| waiting.context != context);
        }
        self.roots.retain(|root| root.context != context);
    }

    /// A callback of a stream.
    pub fn stream(&mut self, context: u32, phase: Phase, size: usize, last: bool) -> Flow {
        let Some((root, mut stream)) = self.enter(context) else { return Flow::Continue };
        let view = View::new(&abi::Host, phase, size, last);
        let filter = &root.filter;
        let effects = match phase {
            Phase::RequestHeaders => filter.on_request_headers(&view, &mut stream.state),
            Phase::RequestBody => filter.on_request_body(&view, &mut stream.state),
            Phase::RequestTrailers => filter.on_request_trailers(&view, &mut stream.state),
            Phase::ResponseHeaders => filter.on_response_headers(&view, &mut stream.state),
            Phase::ResponseBody => filter.on_response_body(&view, &mut stream.state),
            Phase::ResponseTrailers => filter.on_response_trailers(&view, &mut stream.state),
            Phase::Log => filter.on_log(&view, &mut stream.state),
            Phase::Callout | Phase::Tick => Effects::default(),
        };
        let flow = self.apply(&root, context, phase, &effects, &mut stream);
        if flow == Flow::Pause {
            stream.held = match phase {
                Phase::RequestHeaders | Phase::RequestBody | Phase::RequestTrailers => Some(0),
                _ => Some(1),
            };
        }
        self.leave(context, stream);
        flow
    }

    /// `proxy_on_http_call_response`, which arrives at the root context.
    pub fn callout(&mut self, token: u32, size: usize) {
        let Some(Waiting { context, tag }) = self.callouts.remove(&token) else { return };
        abi::set_effective_context(context);
        let Some((root, mut stream)) = self.enter(context) else { return };
        let view = View::new(&abi::Host, Phase::Callout, size, true);
        let effects = root.filter.on_callout(&view, &mut stream.state, tag);
        let replied = effects.reply.is_some();
        let flow = self.apply(&root, context, Phase::Callout, &effects, &mut stream);
        if flow == Flow::Continue
            && !replied
            && let Some(side) = stream.held.take()
        {
            abi::resume(side);
        }
        self.leave(context, stream);
    }

    /// `proxy_on_tick`.
    pub fn tick(&mut self, context: u32) {
        let Some(root) = self.roots.iter().find(|root| root.context == context).cloned() else { return };
        let view = View::new(&abi::Host, Phase::Tick, 0, true);
        let effects = root.filter.on_tick(&view);
        self.apply(&root, context, Phase::Tick, &effects, &mut Stream::default());
    }

    fn enter(&mut self, context: u32) -> Option<(Rc<Root<F>>, Stream<F>)> {
        let stream =
            if self.streams.is_empty() { None } else { self.streams.remove(&context) }.unwrap_or_default();
        let root = stream.root.as_ref().or_else(|| self.roots.iter().find(|root| root.context == context));
        let root = root.or_else(|| self.roots.first())?.clone();
        Some((root, stream))
    }

    fn leave(&mut self, context: u32, stream: Stream<F>) {
        if stream.root.is_some() || stream.state.is_some() || stream.held.is_some() {
            self.streams.insert(context, stream);
        }
    }

    /// Applies effects in their fixed order, and tells the filter at once of callouts that Envoy refuses.
    fn apply(
        &mut self,
        root: &Root<F>,
        context: u32,
        phase: Phase,
        effects: &Effects<'_>,
        stream: &mut Stream<F>,
    ) -> Flow {
        let mut failed = Vec::new();
        let mut flow = self.apply_once(root, context, phase, effects, &mut failed);
        for _ in 0..RETRY_LIMIT {
            let Some(tag) = failed.pop() else { return flow };
            let view = View::new(&abi::Host, Phase::Callout, 0, true);
            let effects = root.filter.on_callout(&view, &mut stream.state, tag);
            flow = self.apply_once(root, context, phase, &effects, &mut failed);
        }
        if failed.is_empty() { flow } else { Flow::Continue }
    }

    fn apply_once(
        &mut self,
        root: &Root<F>,
        context: u32,
        phase: Phase,
        effects: &Effects<'_>,
        failed: &mut Vec<u32>,
    ) -> Flow {
        for (map, change) in &effects.headers {
            if !phase.can_write(*map) {
                continue;
            }
            match change {
                HeaderChange::Set(name, value) => abi::set_header(*map, name.as_str(), value),
                HeaderChange::Add(name, value) => abi::add_header(*map, name.as_str(), value),
                HeaderChange::Remove(name) => abi::remove_header(*map, name.as_str()),
            }
        }
        if let (Some(body), Some(buffer @ (Buffer::RequestBody | Buffer::ResponseBody))) =
            (&effects.body, phase.body())
        {
            abi::set_buffer(buffer, body);
        }
        for (key, value) in &effects.state {
            abi::set_state(key, value.as_str());
        }
        for change in &effects.metrics {
            self.measure(root, change);
        }
        for (level, text) in &effects.log {
            abi::log(*level, text.as_str());
        }
        // Known when a module is compiled: one that declares no callouts has none of what follows.
        for callout in effects.callouts.iter().filter(|_| F::CALLBACKS.contains(Callbacks::CALLOUT)) {
            match self.send(callout) {
                Some(token) => _ = self.callouts.insert(token, Waiting { context, tag: callout.tag }),
                None => failed.push(callout.tag),
            }
        }
        if let Some(reply) = &effects.reply {
            let headers = reply
                .headers
                .iter()
                .map(|(name, value)| (name.as_str().as_bytes(), value.as_str().as_bytes()));
            abi::reply(reply.status, reply.details, &reply.body, &Pairs::encode(headers));
            return Flow::Pause;
        }
        effects.flow
    }

    fn measure(&mut self, root: &Root<F>, change: &MetricChange<'_>) {
        let metrics = root.filter.metrics();
        let (kind, id, value) = match change {
            MetricChange::Known(series, value) => {
                let Some((kind, _)) = metrics.get(*series) else { return };
                (kind, root.series.get(series.index()).copied().flatten(), *value)
            }
            MetricChange::Labelled(family, values, value) => {
                let Some(kind) = metrics.kind(*family) else { return };
                (kind, self.table.labelled(metrics, *family, values, abi::define), *value)
            }
        };
        if let Some(id) = id {
            abi::measure(kind, id, value);
        }
    }

    fn send(&self, callout: &Callout<'_>) -> Option<u32> {
        if self.callouts.len() >= CALLOUT_LIMIT {
            return None;
        }
        let fixed: [(&[u8], &[u8]); 3] = [
            (b":method", callout.method.as_bytes()),
            (b":path", callout.path.as_bytes()),
            (b":authority", callout.authority.as_bytes()),
        ];
        let further = callout.headers.iter().map(|(name, value)| (name.as_str().as_bytes(), &**value));
        let headers = Pairs::encode(fixed.into_iter().chain(further));
        abi::call(callout.cluster, &headers, &callout.body, milliseconds(callout.timeout))
    }
}

impl<F: Filter> Default for Shell<F> {
    fn default() -> Self {
        Self::new()
    }
}

/// A duration as the host takes it: 1 to 2^31 - 1 ms.
fn milliseconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX).clamp(1, i32::MAX.cast_unsigned())
}

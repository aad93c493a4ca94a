//! The wasm shell: contexts, callbacks and the order in which effects are applied. One for every filter.

pub mod abi;
mod export;
mod lost;

pub use export::{Cell, cell};

use crate::{
    Buffer, Callbacks, Callout, Effects, Environment, Filter, Flow, Level, Pairs, Phase, Source, View,
    by_id::ById,
    effects::{Rare, Verb},
    load,
    metrics::{Kind, SeriesId, Table},
};
use std::{cell::RefCell, rc::Rc, time::Duration};

/// The most plugins of one module in one VM. The one that was configured first makes room.
const ROOT_LIMIT: usize = 64;

/// The counter of streams that were forgotten, perhaps before their end, to make room for younger ones.
const FORGOTTEN: &str = "outrigger_streams_forgotten_total";

/// The most callouts that wait for an answer in one VM. A further one fails at once.
const CALLOUT_LIMIT: usize = 1024;

/// How often in a row a filter may answer a callout that failed at once with another callout.
const RETRY_LIMIT: usize = 8;

/// What a VM keeps: its plugins' filters, the streams of which something is remembered, callouts under way, and series.
pub struct Shell<F: Filter> {
    roots: Vec<Rc<Root<F>>>,
    kept: Kept<F>,
}

/// What a VM keeps beside its plugins.
struct Kept<F: Filter> {
    /// By their contexts' ids.
    streams: ById<Stream<F>>,
    callouts: Vec<(u32, Waiting)>,
    table: Table,
}

/// A plugin: a configuration of the filter in this VM.
struct Root<F> {
    context: u32,
    /// The plugin's name and root id.
    name: Box<[u8]>,
    filter: F,
    /// The host's ids of series, by their place.
    series: RefCell<Vec<Option<(Kind, u32)>>>,
}

impl<F: Filter> Root<F> {
    /// Changes series.
    #[inline]
    fn measure(&self, table: &mut Table, effects: &Effects<'_>) {
        effects.each_known(|series, value| self.measure_one(table, series, value));
    }

    #[inline]
    fn measure_one(&self, table: &mut Table, series: SeriesId, value: u64) {
        let known = self.series.try_borrow().ok().and_then(|all| all.get(series.index()).copied().flatten());
        let known = if F::HAS_LABELS { known.or_else(|| self.define(table, series)) } else { known };
        if let Some((kind, id)) = known {
            abi::measure(kind, id, value);
        }
    }

    /// The host's id of a series that is measured for the first time.
    #[cold]
    #[inline(never)]
    fn define(&self, table: &mut Table, series: SeriesId) -> Option<(Kind, u32)> {
        let (part, own) = series.split(F::PARTS);
        let (kind, name) = self.filter.part(part)?.named(own)?;
        let id = table.id(kind, &name, abi::define)?;
        let mut all = self.series.try_borrow_mut().ok()?;
        if all.len() <= series.index() {
            all.resize(series.index() + 1, None);
        }
        *all.get_mut(series.index())? = Some((kind, id));
        Some((kind, id))
    }
}

/// What is remembered of a stream.
struct Stream<F: Filter> {
    /// Noted down where it is known from the stream's creation, or where more is remembered: what one configuration has left of a stream means
    /// nothing to another one.
    root: Option<Rc<Root<F>>>,
    state: Option<F::Stream>,
    /// The side that is held: 0 is the request, 1 the response.
    held: Option<u32>,
    /// Whether the filter has replied in place of a response on its way.
    replied_late: bool,
}

impl<F: Filter> Default for Stream<F> {
    fn default() -> Self {
        Self { root: None, state: None, held: None, replied_late: false }
    }
}

impl<F: Filter> Stream<F> {
    fn is_worth_keeping(&self) -> bool {
        F::CALLBACKS.contains(Callbacks::CREATE) && self.root.is_some()
            || self.state.is_some()
            || self.held.is_some()
            || self.replied_late
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
        let kept = Kept { streams: ById::new(), callouts: Vec::new(), table: Table::new() };
        Self { roots: Vec::new(), kept }
    }

    /// `proxy_on_configure`: reads the plugin's configuration. A refused one is logged and leaves the old one in place.
    pub fn configure(&mut self, context: u32) -> bool {
        let environment = Environment::new(&abi::variable);
        let mut filter = match load::<F>(&abi::Host.buffer(Buffer::PluginConfiguration, 0), &environment) {
            Ok(filter) => filter,
            Err(error) => {
                abi::log(Level::Error, &format!("{}: configuration refused: {error}", F::NAME));
                return false;
            }
        };
        for warning in filter.warnings() {
            abi::log(Level::Warn, &format!("{}: configuration: {warning}", F::NAME));
        }
        let table = &mut self.kept.table;
        let mut series = Vec::new();
        for part in 0..F::PARTS {
            let Some(metrics) = filter.part(part) else { continue };
            for (own, (kind, name)) in metrics.known().enumerate() {
                let place = own * F::PARTS as usize + part as usize;
                if series.len() <= place {
                    series.resize(place + 1, None);
                }
                if let Some(known) = series.get_mut(place) {
                    *known = table.id(kind, name, abi::define).map(|id| (kind, id));
                }
            }
            if F::HAS_LABELS {
                metrics.prepare(&abi::Host);
            }
        }
        if let Some(period) = filter.tick_period() {
            abi::set_tick_period(milliseconds(period));
        }
        let name = plugin_name();
        // A push makes a new root context of the plugin in the same VM. Streams of which something is remembered end with the old one; where streams
        // are known by their plugin's name, the new one has all others.
        if let Some(old) = self.roots.iter().rev().find(|root| root.name == name) {
            filter.inherit(&old.filter);
            self.kept.forget_lost(context);
        }
        let is_exact = F::CALLBACKS.contains(Callbacks::CREATE);
        self.roots.retain(|root| root.context != context && (is_exact || root.name != name));
        let root = Rc::new(Root { context, name, filter, series: RefCell::new(series) });
        let view = View::new(&abi::Host, Phase::Tick, 0, true);
        let effects = root.filter.on_configured(&view);
        self.kept.apply(&root, context, Phase::Tick, &effects, &mut Stream::default());
        self.roots.push(Rc::clone(&root));
        if self.roots.len() > ROOT_LIMIT {
            self.roots.remove(0);
        }
        true
    }

    /// `proxy_on_context_create`.
    pub fn create(&mut self, context: u32, parent: u32) {
        if parent == 0 || self.roots.len() < 2 {
            return;
        }
        let root = self.roots.iter().find(|root| root.context == parent).cloned();
        if let Some(root) = root {
            self.kept.leave(&root, context, Stream { root: Some(Rc::clone(&root)), ..Stream::default() });
        }
    }

    /// `proxy_on_delete`.
    pub fn delete(&mut self, context: u32) {
        self.kept.forget(context);
        self.roots.retain(|root| root.context != context);
    }

    /// A callback of a stream. It is compiled anew for every phase, and does little where there is nothing to do.
    #[expect(clippy::inline_always, reason = "so that the other phases' code falls away")]
    #[inline(always)]
    pub fn stream(&mut self, context: u32, phase: Phase, size: usize, last: bool) -> Flow {
        let Self { roots, kept } = self;
        if kept.streams.is_empty() && F::ONLY_REMEMBERED.contains(phase.callback()) {
            return Flow::Continue;
        }
        if F::BRIEF.contains(phase.callback())
            && let Some(state) = kept.streams.get_mut(context).and_then(|stream| stream.state.as_mut())
            && F::brief(state, phase, size)
        {
            return Flow::Continue;
        }
        let mut stream = kept.recall(context);
        let known = stream.root.clone();
        let Some(root) = plugin(known.as_ref(), roots, context) else { return Flow::Continue };
        if stream.state.is_none() && F::ONLY_REMEMBERED.contains(phase.callback()) {
            kept.leave(root, context, stream);
            return Flow::Continue;
        }
        let filter = &root.filter;
        let view = View::new(&abi::Host, phase, size, last).with_singles(filter.single_headers());
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
        // The log ends a stream, and with it the wait for its callouts.
        let is_waited_for = phase == Phase::Log && !kept.callouts.is_empty();
        if effects.is_plain() && !stream.is_worth_keeping() && !is_waited_for {
            if effects.has_headers() {
                change_headers(phase, &effects);
            }
            root.measure(&mut kept.table, &effects);
            return Flow::Continue;
        }
        kept.settle(root, context, phase, &effects, stream)
    }

    /// `proxy_on_http_call_response`, which arrives at the root context.
    pub fn callout(&mut self, token: u32, size: usize) {
        let Self { roots, kept } = self;
        let Some(place) = kept.callouts.iter().position(|(other, _)| *other == token) else { return };
        let (_, Waiting { context, tag }) = kept.callouts.swap_remove(place);
        abi::set_effective_context(context);
        let mut stream = kept.recall(context);
        let known = stream.root.clone();
        let Some(root) = plugin(known.as_ref(), roots, context) else { return };
        let view = View::new(&abi::Host, Phase::Callout, size, true);
        let effects = root.filter.on_callout(&view, &mut stream.state, tag);
        let replied = effects.seldom().is_some_and(|rare| rare.reply.is_some());
        let flow = kept.apply(root, context, Phase::Callout, &effects, &mut stream);
        if flow == Flow::Continue
            && !replied
            && let Some(side) = stream.held.take()
        {
            abi::resume(side);
        }
        kept.leave(root, context, stream);
    }

    /// `proxy_on_tick`.
    pub fn tick(&mut self, context: u32) {
        let Self { roots, kept } = self;
        let Some(root) = roots.iter().find(|root| root.context == context) else { return };
        let view = View::new(&abi::Host, Phase::Tick, 0, true);
        let effects = root.filter.on_tick(&view);
        kept.apply(root, context, Phase::Tick, &effects, &mut Stream::default());
        if F::CALLBACKS.contains(Callbacks::CALLOUT) && !kept.callouts.is_empty() {
            kept.tell_lost(root, context);
        }
    }
}

impl<F: Filter> Kept<F> {
    /// What is remembered of a stream, for a callback.
    #[inline]
    fn recall(&mut self, context: u32) -> Stream<F> {
        if self.streams.is_empty() { None } else { self.streams.remove(context) }.unwrap_or_default()
    }

    /// A stream is over.
    fn forget(&mut self, context: u32) {
        if !self.streams.is_empty() {
            self.streams.remove(context);
        }
        if F::CALLBACKS.contains(Callbacks::CALLOUT) && !self.callouts.is_empty() {
            self.callouts.retain(|(_, waiting)| waiting.context != context);
        }
    }

    /// Applies the effects of a stream's callback, and remembers what there is to remember.
    #[inline(never)]
    fn settle(
        &mut self,
        root: &Rc<Root<F>>,
        context: u32,
        phase: Phase,
        effects: &Effects<'_>,
        mut stream: Stream<F>,
    ) -> Flow {
        let flow = self.apply(root, context, phase, effects, &mut stream);
        if phase == Phase::Log {
            // Nothing of the stream comes after it.
            self.forget(context);
            return flow;
        }
        if flow == Flow::Pause {
            stream.held = match phase {
                Phase::RequestHeaders | Phase::RequestBody | Phase::RequestTrailers => Some(0),
                _ => Some(1),
            };
        }
        self.leave(root, context, stream);
        flow
    }

    #[inline]
    fn leave(&mut self, root: &Rc<Root<F>>, context: u32, mut stream: Stream<F>) {
        if stream.is_worth_keeping() {
            stream.root.get_or_insert_with(|| Rc::clone(root));
            self.remember(context, stream);
        }
    }

    #[cold]
    fn remember(&mut self, context: u32, stream: Stream<F>) {
        if self.streams.insert(context, stream).is_some()
            && let Some(id) = self.table.id(Kind::Counter, FORGOTTEN, abi::define)
        {
            abi::measure(Kind::Counter, id, 1);
        }
    }

    /// Applies effects in their fixed order. Tells the filter at once of callouts that Envoy refuses.
    fn apply(
        &mut self,
        root: &Root<F>,
        context: u32,
        phase: Phase,
        effects: &Effects<'_>,
        stream: &mut Stream<F>,
    ) -> Flow {
        let mut failed = Vec::new();
        let mut flow = self.apply_once(root, context, phase, effects, stream, &mut failed);
        for _ in 0..RETRY_LIMIT {
            let Some(tag) = failed.pop() else { return flow };
            let view = View::unanswered(&abi::Host);
            let effects = root.filter.on_callout(&view, &mut stream.state, tag);
            flow = self.apply_once(root, context, phase, &effects, stream, &mut failed);
        }
        if failed.is_empty() { flow } else { Flow::Continue }
    }

    fn apply_once(
        &mut self,
        root: &Root<F>,
        context: u32,
        phase: Phase,
        effects: &Effects<'_>,
        stream: &mut Stream<F>,
        failed: &mut Vec<u32>,
    ) -> Flow {
        #[cfg(feature = "parts")]
        let headers = effects.phase_of_headers(phase);
        #[cfg(not(feature = "parts"))]
        let headers = phase;
        change_headers(headers, effects);
        let rare = effects.seldom();
        if let Some(rare) = rare {
            if let (Some(body), Some(buffer @ (Buffer::RequestBody | Buffer::ResponseBody))) =
                (&rare.body, phase.body())
            {
                abi::set_buffer(buffer, body);
            }
            for (key, value) in &rare.state {
                abi::set_state(key, value.as_str());
            }
        }
        root.measure(&mut self.table, effects);
        match rare {
            Some(rare) => self.apply_rare(root, context, phase, rare, stream, failed).unwrap_or(effects.flow),
            None => effects.flow,
        }
    }

    fn apply_rare(
        &mut self,
        root: &Root<F>,
        context: u32,
        phase: Phase,
        rare: &Rare<'_>,
        stream: &mut Stream<F>,
        failed: &mut Vec<u32>,
    ) -> Option<Flow> {
        // Known when a module is compiled: one without labels that requests bring has none of it.
        for (family, values, value) in rare.labelled.iter().filter(|_| F::HAS_LABELS) {
            let (part, family) = family.split(F::PARTS);
            let Some(metrics) = root.filter.part(part) else { continue };
            let found = metrics.find_texts(&abi::Host, family, values);
            root.measure_one(&mut self.table, found.first.among(part, F::PARTS), *value);
        }
        for (level, text) in &rare.log {
            abi::log(*level, text.as_str());
        }
        // Known when a module is compiled: one that declares no callouts has none of what follows.
        for callout in rare.callouts.iter().filter(|_| F::CALLBACKS.contains(Callbacks::CALLOUT)) {
            match self.send(callout) {
                Some(token) => self.callouts.push((token, Waiting { context, tag: callout.tag })),
                None => failed.push(callout.tag),
            }
        }
        let reply = rare.reply.as_ref().filter(|_| phase.can_reply() && !stream.replied_late)?;
        stream.replied_late = phase.is_response() || phase == Phase::Callout && stream.held == Some(1);
        let headers =
            reply.headers.iter().map(|(name, value)| (name.as_str().as_bytes(), value.as_str().as_bytes()));
        abi::reply(reply.status, &reply.details, &reply.body, &Pairs::encode(headers));
        Some(Flow::Pause)
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

/// Changes headers and trailers, but for what Envoy refuses in this phase.
fn change_headers(phase: Phase, effects: &Effects<'_>) {
    effects.each_header(|change, value| {
        let (map, name) = (change.map, change.name.as_str());
        if !phase.can_write(map) {
            return;
        }
        match change.verb {
            Verb::Set => abi::set_header(map, name, value),
            Verb::Add => abi::add_header(map, name, value),
            Verb::Remove => abi::remove_header(map, name),
        }
    });
}

/// The plugin of a stream: the one that is noted down, or else the VM's only one, or else the one of its name.
#[inline]
fn plugin<'r, F>(
    known: Option<&'r Rc<Root<F>>>,
    roots: &'r [Rc<Root<F>>],
    context: u32,
) -> Option<&'r Rc<Root<F>>> {
    match (known, roots) {
        (Some(root), _) | (None, [root]) => Some(root),
        (None, several) => find(several, context),
    }
}

/// The plugin of a stream, by its name: the newest of that name, or else the newest of all.
#[cold]
fn find<F>(roots: &[Rc<Root<F>>], context: u32) -> Option<&Rc<Root<F>>> {
    let name = |root: &&Rc<Root<F>>| root.context == context;
    roots.iter().find(name).or_else(|| {
        let name = plugin_name();
        roots.iter().rev().find(|root| root.name == name).or(roots.last())
    })
}

/// The name and the root id of the plugin whose callback this is.
fn plugin_name() -> Box<[u8]> {
    let part = |name| abi::Host.property(&[name]).unwrap_or_default();
    [&*part("plugin_name"), &*part("plugin_root_id")].join(&0).into()
}

/// A duration as the host takes it: 1 to 2^31 - 1 ms.
fn milliseconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX).clamp(1, i32::MAX.cast_unsigned())
}

//! Takes a stream through a chain of filters, in Envoy's order and with Envoy's rules.
//!
//! What passes is a [`Part`]: headers, some of a body, trailers. A filter lets a part go on, or holds it; then it goes on when the filter says so, from
//! where it was held. Behind the last filter of a request is the router, behind the last of a response the client.

mod ends;
mod mistakes;
mod pass;
mod router;

use router::DOWNSTREAM_CONNECTION_TERMINATION;
pub(super) use router::{DOWNSTREAM_PROTOCOL_ERROR, Failure};

use super::{
    abi::Callback,
    events::{Event, Opening},
    memory::HostTrap,
    message::{self, Message},
    proxy::{Plugin, Proxy, Seat, millis},
    random::Random,
    stream::{Both, Common, Side, Stream, Way},
    vm::Vm,
};
use crate::{
    outcome::ExchangeOutcome,
    scenario::{Exchange, Headers},
};
use std::{cell::RefCell, mem, rc::Rc};

/// A place in a chain, as a direction passes it: 0 is the first filter that it meets. The epoch tells what belongs to a response that was replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct At {
    pub(super) stream: u64,
    epoch: u32,
    position: usize,
}

impl At {
    fn next(self) -> Self {
        Self { position: self.position + 1, ..self }
    }
}

/// What passes a chain.
#[derive(Debug)]
pub(super) enum Part {
    Headers { ends: bool },
    Data { bytes: Vec<u8>, ends: bool },
    Trailers,
}

/// A stream that is under way.
#[derive(Debug)]
pub(super) struct Active {
    thread: usize,
    links: Vec<Link>,
    common: Rc<RefCell<Common>>,
    exchange: Exchange,
    epoch: u32,
    /// Trailers that are still to come, of the request and of the response.
    trailers: Both<Headers>,
    /// What has arrived of the bodies, at the upstream and at the client.
    bodies: Both<Vec<u8>>,
    /// Whether the request has been sent on, whole.
    is_delivered: bool,
    /// Whether the client cannot make out the body's chunks.
    is_garbled: bool,
    /// Whether the whole response has come from the upstream.
    has_answer: bool,
    outcome: ExchangeOutcome,
}

/// A filter's part in a stream.
#[derive(Debug)]
struct Link {
    plugin: usize,
    /// Its VM on the thread, and the stream's context there.
    vm: usize,
    context: u32,
    is_created: bool,
    /// The request has come to it.
    has_request: bool,
    /// It takes no part: its VM is dead and lets requests pass, or has failed on the way.
    is_out: bool,
    holds: Both<Hold>,
}

/// What a filter holds of a direction, beside its body.
#[derive(Debug, Default)]
struct Hold {
    state: Held,
    /// The callback that has stopped it.
    since: &'static str,
    /// Headers that have not gone on yet, and whether nothing follows them.
    headers: Option<bool>,
    /// What came while all was held: it goes through the filter's own callbacks later.
    queue: Option<(Vec<u8>, bool)>,
    /// Trailers likewise.
    has_queued_trailers: bool,
    /// Whether the end of the body has come.
    has_ended: bool,
    /// Trailers that have passed the filter's callback, and have not gone on yet.
    has_trailers: bool,
}

/// Whether a filter holds anything back.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Held {
    #[default]
    Nothing,
    /// What it was given. Further parts come to it.
    What,
    /// That, and all that follows.
    All,
}

impl Active {
    /// The filter at a place, or none behind the last.
    fn index(&self, way: Way, position: usize) -> Option<usize> {
        match way {
            Way::Request => (position < self.links.len()).then_some(position),
            Way::Response => self.links.len().checked_sub(1 + position),
        }
    }

    fn at(&self, stream: u64, way: Way, index: usize) -> At {
        let position = match way {
            Way::Request => index,
            Way::Response => self.links.len() - 1 - index,
        };
        At { stream, epoch: self.epoch, position }
    }

    /// Takes out the filters that a VM has in this stream, since it has failed. False if there are none.
    pub(super) fn fail(&mut self, thread: usize, vm: usize) -> bool {
        let is_of = |link: &&mut Link| link.vm == vm && !link.is_out;
        let links = self.links.iter_mut().filter(|_| self.thread == thread).filter(is_of);
        links.map(|link| link.is_out = true).count() > 0
    }
}

impl Proxy {
    /// A client's request begins.
    pub(in crate::host) fn open(&mut self, id: u64, opening: Opening) {
        let Opening { chain, thread, exchange } = opening;
        let connection = exchange.connection.clone();
        let state = |(key, value): (&String, &crate::Bytes)| (key.clone().into_bytes(), value.0.clone());
        let filter_state = connection.state.iter().map(state).collect();
        let common = Common { started: self.world.now(), connection, filter_state, ..Common::default() };
        let common = Rc::new(RefCell::new(common));
        let mut links = Vec::new();
        let of_chain = |(number, plugin): (usize, &Plugin)| (plugin.chain == chain).then_some(number);
        let plugins: Vec<_> = self.plugins.iter().enumerate().filter_map(of_chain).collect();
        for plugin in plugins {
            let Some(Seat { vm, root, .. }) = self.take_seat(thread, plugin) else { continue };
            let is_out = self.is_open(thread, plugin);
            let common = Rc::clone(&common);
            let context = self.vm(thread, vm).filter(|vm| vm.dead.is_none()).map_or(0, |vm| {
                let context = vm.next_context();
                vm.state().streams.insert(context, Stream { root, common, ..Stream::default() });
                context
            });
            links.push(Link {
                plugin,
                vm,
                context,
                is_created: false,
                has_request: false,
                is_out,
                holds: Both::default(),
            });
        }
        let is_too_large = message::is_too_large(&exchange.request);
        // A source of its own, so that what modules draw does not depend on it.
        let request_id = Random::new(self.settings.seed ^ id << 32).uuid();
        let request = message::request(&exchange.request, &request_id);
        let mut active = Active {
            thread,
            links,
            common,
            exchange,
            epoch: 0,
            trailers: Both::default(),
            bodies: Both::default(),
            is_delivered: false,
            is_garbled: false,
            has_answer: false,
            outcome: ExchangeOutcome::default(),
        };
        if is_too_large {
            self.streams.insert(id, active);
            return self.refuse(id);
        }
        let now = self.world.now();
        active.trailers.request.clone_from(&request.trailers);
        let steps = steps(&request);
        let mut common = active.common.borrow_mut();
        common.request.headers = request.headers;
        common.is_route_stale = true;
        drop(common);
        self.streams.insert(id, active);
        self.pick_route(id);
        for (after, part) in steps {
            self.events.add(now + millis(after), Event::Client(id, part));
        }
        let patience = u64::try_from(self.settings.patience.as_nanos()).unwrap_or(u64::MAX);
        self.events.add(now.saturating_add(patience), Event::GiveUp(id));
    }

    /// A part of a request comes.
    pub(in crate::host) fn client(&mut self, id: u64, part: Part) {
        let Some(active) = self.streams.get_mut(&id) else { return };
        // The client sends on, whatever becomes of it.
        if active.epoch > 0 {
            return;
        }
        arrives(active, Way::Request, &part);
        let at = At { stream: id, epoch: 0, position: 0 };
        self.push(at, Way::Request, part);
    }

    /// A part of a response comes.
    pub(in crate::host) fn upstream(&mut self, at: At, part: Part) {
        let Some(active) = self.streams.get_mut(&at.stream).filter(|active| active.epoch == at.epoch) else {
            return;
        };
        if matches!(part, Part::Headers { .. }) {
            let (exchange, waited_ms) = (&active.exchange, active.exchange.response.after_ms);
            let response = message::response(&exchange.response, &exchange.request.method, waited_ms);
            active.trailers.response.clone_from(&response.trailers);
            let mut common = active.common.borrow_mut();
            common.details = "via_upstream".into();
            common.response.headers = response.headers;
        }
        active.has_answer = match &part {
            Part::Headers { ends } | Part::Data { ends, .. } => *ends,
            Part::Trailers => true,
        };
        arrives(active, Way::Response, &part);
        self.push(at, Way::Response, part);
    }

    /// The client waits no longer.
    pub(in crate::host) fn give_up(&mut self, id: u64) {
        self.note_holds(id);
        self.with_common(id, |common| common.flags |= DOWNSTREAM_CONNECTION_TERMINATION);
        self.reset(id, "downstream_remote_disconnect");
    }

    /// Calls `proxy_on_context_create` before a filter's first callback. False if it trapped.
    fn create(&mut self, at: At, way: Way) -> bool {
        let Some(link) = self.link(at, way) else { return false };
        if mem::replace(&mut link.is_created, true) {
            return true;
        }
        let (plugin, vm, context) = (link.plugin, link.vm, link.context);
        let thread = self.streams.get(&at.stream).map_or(0, |active| active.thread);
        let root = self.seat(thread, plugin).map_or(0, |seat| seat.root);
        let is_fine = self.vm(thread, vm).is_some_and(|vm: &mut Vm| {
            vm.call(Callback::Other, "proxy_on_context_create", &[context, root]).is_ok()
        });
        self.after_call(thread, vm);
        if !is_fine {
            self.fail_all(thread, vm);
        }
        is_fine
    }

    /// Calls a callback of a filter. None if the stream does not go on from here: the VM has trapped, or the filter has
    /// replied or closed the stream. A callback that the module does not have is as one that says 0.
    fn callback(&mut self, at: At, way: Way, export: &'static str, arguments: &[u32]) -> Option<u32> {
        let active = self.streams.get(&at.stream)?;
        let (thread, index) = (active.thread, active.index(way, at.position)?);
        let link = self.link(at, way)?;
        let (vm, context) = (link.vm, link.context);
        let arguments: Vec<u32> = std::iter::once(context).chain(arguments.iter().copied()).collect();
        let action = self.vm(thread, vm)?.call(Callback::Other, export, &arguments);
        self.after_call(thread, vm);
        let Ok(action) = action else {
            self.fail_all(thread, vm);
            return None;
        };
        self.obey(at.stream, index)?;
        self.link(at, way).map(|_| action.unwrap_or(0))
    }

    /// A filter has done what Envoy itself ends at.
    fn crash(&mut self, at: At, export: &str, why: &'static str) {
        let thread = self.streams.get(&at.stream).map_or(0, |active| active.thread);
        let Some(number) = self.link(at, Way::Response).map(|link| link.vm) else { return };
        if let Some(vm) = self.vm(thread, number) {
            vm.kill(export, &HostTrap::Crash(why));
        }
        self.fail_all(thread, number);
    }

    /// A filter's link, as long as the stream has not taken another turn.
    fn link(&mut self, at: At, way: Way) -> Option<&mut Link> {
        let active = self.streams.get_mut(&at.stream).filter(|active| active.epoch == at.epoch)?;
        let index = active.index(way, at.position)?;
        active.links.get_mut(index)
    }

    /// What a filter holds of a direction, likewise.
    fn hold(&mut self, at: At, way: Way) -> Option<&mut Hold> {
        self.link(at, way).map(|link| link.holds.of(way))
    }

    fn with_common(&mut self, id: u64, change: impl FnOnce(&mut Common)) {
        if let Some(active) = self.streams.get(&id) {
            change(&mut active.common.borrow_mut());
        }
    }

    fn with_stream(&mut self, id: u64, index: usize, change: impl FnOnce(&mut Stream)) {
        let Some(active) = self.streams.get(&id) else { return };
        let Some(link) = active.links.get(index) else { return };
        let (thread, vm, context) = (active.thread, link.vm, link.context);
        if let Some(stream) = self.vm(thread, vm).and_then(|vm| vm.state().streams.get_mut(&context)) {
            change(stream);
        }
    }

    fn with_side(&mut self, at: At, way: Way, change: impl FnOnce(&mut Side)) {
        let active = self.streams.get(&at.stream).filter(|active| active.epoch == at.epoch);
        if let Some(index) = active.and_then(|active| active.index(way, at.position)) {
            self.with_stream(at.stream, index, |stream| change(stream.side(way)));
        }
    }
}

/// A part has come from the client or the upstream: what Envoy counts and keeps of it.
fn arrives(active: &mut Active, way: Way, part: &Part) {
    let mut common = active.common.borrow_mut();
    let half = common.half_mut(way);
    match part {
        Part::Headers { .. } => half.length = message::content_length(&half.headers),
        Part::Data { bytes, .. } => half.size += bytes.len() as u64,
        Part::Trailers => {
            half.trailers = mem::take(active.trailers.of(way));
            half.has_trailers = true;
        }
    }
}

/// The parts of a message, each with the milliseconds after which it comes.
fn steps(message: &Message) -> Vec<(u64, Part)> {
    let has_trailers = !message.trailers.is_empty();
    let mut after = 0;
    let mut steps = vec![(0, Part::Headers { ends: !message.has_body && !has_trailers })];
    if message.has_body {
        for chunk in &message.parts {
            after += chunk.after_ms;
            steps.push((after, Part::Data { bytes: chunk.bytes.0.clone(), ends: false }));
        }
        after += message.end_after_ms;
        if !has_trailers {
            match steps.last_mut() {
                Some((_, Part::Data { ends, .. })) if !message.ends_apart => *ends = true,
                _ => steps.push((after, Part::Data { bytes: Vec::new(), ends: true })),
            }
        }
    }
    if has_trailers {
        steps.push((after, Part::Trailers));
    }
    steps
}

fn size(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

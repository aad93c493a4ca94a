//! A TCP connection: past a chain of plugins as network filters, to an upstream that Envoy's TCP proxy picks.
//!
//! As in Envoy what the client has sent is one buffer, which every filter sees and only the TCP proxy takes; each time more of it comes the first filter
//! is asked again. What the upstream has sent passes the filters in the other order.

use super::{
    abi::Callback,
    events::{Event, Opening},
    proxy::{Plugin, Proxy, Seat, millis},
    stream::{Both, Common, Side, Stream, Way},
};
use crate::{
    Bytes,
    outcome::ExchangeOutcome,
    scenario::{Chunk, Exchange, PAUSE_MS, UPSTREAMS},
};
use std::{cell::RefCell, collections::VecDeque, mem, rc::Rc};

/// The key of filter state that names the TCP proxy's cluster in place of its own.
pub(super) const CLUSTER_KEY: &str = "envoy.tcp_proxy.cluster";

/// Who has closed a connection, as callbacks are told.
const LOCAL: u32 = 1;
const REMOTE: u32 = 2;

/// A connection that is under way.
#[derive(Debug)]
pub(super) struct Pipe {
    thread: usize,
    links: Vec<Link>,
    common: Rc<RefCell<Common>>,
    /// What has come of each direction and not gone on, and whether its end has come.
    waiting: Both<(Vec<u8>, bool)>,
    /// What the upstream has still to send.
    answers: VecDeque<Chunk>,
    outcome: ExchangeOutcome,
}

/// A filter's part in a connection: its VM on the thread, and its context there.
#[derive(Debug)]
struct Link {
    vm: usize,
    root: u32,
    context: u32,
    is_told: bool,
}

impl Pipe {
    /// The thread, if a VM of it has a part in the connection.
    pub(super) fn is_of(&self, thread: usize, vm: usize) -> bool {
        self.thread == thread && self.links.iter().any(|link| link.vm == vm)
    }
}

impl Proxy {
    /// A client connects.
    pub(super) fn connect(&mut self, id: u64, opening: Opening) {
        let Opening { chain, thread, exchange } = opening;
        let Exchange { connection, request, response, .. } = exchange;
        let common = Common { started: self.world.now(), connection, is_tcp: true, ..Common::default() };
        let common = Rc::new(RefCell::new(common));
        let of_chain = |(number, plugin): (usize, &Plugin)| (plugin.chain == chain).then_some(number);
        let plugins: Vec<_> = self.plugins.iter().enumerate().filter_map(of_chain).collect();
        let mut links = Vec::new();
        for plugin in plugins {
            let Some(Seat { vm, root, .. }) = self.take_seat(thread, plugin) else { continue };
            if self.is_open(thread, plugin) {
                continue;
            }
            let Some(living) = self.vm(thread, vm).filter(|vm| vm.dead.is_none()) else {
                // A plugin that has failed lets no connection through.
                self.finished.insert(id, ExchangeOutcome::default());
                return;
            };
            let context = living.next_context();
            let stream = Stream { root, common: Rc::clone(&common), ..Stream::default() };
            living.state().streams.insert(context, stream);
            links.push(Link { vm, root, context, is_told: false });
        }
        let (answers, outcome) = (response.chunks.into(), ExchangeOutcome::default());
        self.pipes.insert(id, Pipe { thread, links, common, waiting: Both::default(), answers, outcome });
        let mut time = self.world.now();
        for chunk in request.chunks {
            time += millis(chunk.after_ms.max(PAUSE_MS));
            self.events.add(time, Event::Tcp(id, Way::Request, chunk.bytes.0, false));
        }
        self.events.add(time + millis(PAUSE_MS), Event::Tcp(id, Way::Request, Vec::new(), true));
        let patience = u64::try_from(self.settings.patience.as_nanos()).unwrap_or(u64::MAX);
        self.events.add(time.saturating_add(patience), Event::GiveUp(id));
        self.read(id, 0);
    }

    /// Bytes come from the client or the upstream, or their end.
    pub(super) fn pour(&mut self, id: u64, way: Way, bytes: Vec<u8>, ends: bool) {
        let Some(pipe) = self.pipes.get_mut(&id) else { return };
        let (waiting, has_ended) = pipe.waiting.of(way);
        waiting.extend(bytes);
        *has_ended |= ends;
        match way {
            Way::Request => self.read(id, 0),
            Way::Response => self.write(id),
        }
    }

    /// Takes what the client has sent past the filters from this one on.
    fn read(&mut self, id: u64, from: usize) {
        let count = self.pipes.get(&id).map_or(0, |pipe| pipe.links.len());
        for index in from..count {
            let Some(link) = self.pipes.get_mut(&id).and_then(|pipe| pipe.links.get_mut(index)) else {
                return;
            };
            let root = link.root;
            if !mem::replace(&mut link.is_told, true) {
                let is_made = self.tell(id, index, "proxy_on_context_create", &[root]).is_some();
                if !is_made || self.tell(id, index, "proxy_on_new_connection", &[]) != Some(0) {
                    return;
                }
            }
            if !self.pass(id, index, Way::Request) {
                return;
            }
        }
        self.reach(id);
    }

    /// Takes what the upstream has sent past the filters.
    fn write(&mut self, id: u64) {
        let count = self.pipes.get(&id).map_or(0, |pipe| pipe.links.len());
        for index in (0..count).rev() {
            let is_through = self.pass(id, index, Way::Response);
            let has_ended = self.pipes.get(&id).is_some_and(|pipe| pipe.waiting.response.1);
            if has_ended {
                self.tell(id, index, "proxy_on_upstream_connection_close", &[REMOTE]);
            }
            if !is_through {
                return;
            }
        }
        let Some(pipe) = self.pipes.get_mut(&id) else { return };
        pipe.outcome.response_body.0.append(&mut pipe.waiting.response.0);
        if pipe.waiting.response.1 && pipe.waiting.request.1 {
            self.disconnect(id, LOCAL);
        }
    }

    /// Shows a filter what there is of a direction. Whether it goes on from here.
    fn pass(&mut self, id: u64, index: usize, way: Way) -> bool {
        let Some(pipe) = self.pipes.get_mut(&id) else { return false };
        let (bytes, ends) = mem::take(pipe.waiting.of(way));
        pipe.waiting.of(way).1 = ends;
        if bytes.is_empty() && !ends {
            return true;
        }
        let size = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        self.with_link(
            id,
            index,
            |side| {
                (side.body, side.is_body_at_hand, side.is_last) = (bytes, true, ends);
            },
            way,
        );
        let export = match way {
            Way::Request => "proxy_on_downstream_data",
            Way::Response => "proxy_on_upstream_data",
        };
        let action = self.tell(id, index, export, &[size, ends.into()]);
        // What it holds stays at hand.
        let mut left = Vec::new();
        self.with_link(
            id,
            index,
            |side| {
                side.is_body_at_hand = action != Some(0);
                left.clone_from(&side.body);
            },
            way,
        );
        if let Some(pipe) = self.pipes.get_mut(&id) {
            pipe.waiting.of(way).0 = left;
        }
        action == Some(0)
    }

    /// Sends on what has passed all filters. With the first of it the upstream is picked.
    fn reach(&mut self, id: u64) {
        let now = self.world.now();
        let Some(pipe) = self.pipes.get_mut(&id) else { return };
        if pipe.outcome.upstream.is_none() {
            let mut common = pipe.common.borrow_mut();
            let chosen = common.filter_state.get(CLUSTER_KEY.as_bytes());
            let name = chosen.map_or_else(|| "v1".to_owned(), |name| Bytes::from(&name[..]).lossy());
            if !UPSTREAMS.contains(&name.as_str()) && !self.settings.clusters.contains_key(&name) {
                drop(common);
                return self.disconnect(id, LOCAL);
            }
            common.request.are_headers_sent = true;
            pipe.outcome.upstream = Some(name);
        }
        let (bytes, ends) = &mut pipe.waiting.request;
        let bytes = mem::take(bytes);
        let mut answers = Vec::new();
        if !bytes.is_empty() {
            answers.extend(pipe.answers.pop_front().map(|chunk| chunk.bytes.0));
        }
        if *ends {
            let rest: Vec<u8> = pipe.answers.drain(..).flat_map(|chunk| chunk.bytes.0).collect();
            answers.extend((!rest.is_empty()).then_some(rest));
        }
        let ends = *ends;
        pipe.outcome.request_body.0.extend(bytes);
        for answer in answers {
            self.events.add(now + millis(1), Event::Tcp(id, Way::Response, answer, false));
        }
        if ends {
            self.events.add(now + millis(PAUSE_MS), Event::Tcp(id, Way::Response, Vec::new(), true));
        }
    }

    /// The connection is over.
    pub(super) fn disconnect(&mut self, id: u64, by: u32) {
        let count = self.pipes.get(&id).map_or(0, |pipe| pipe.links.len());
        for index in 0..count {
            self.tell(id, index, "proxy_on_downstream_connection_close", &[by]);
        }
        let Some(pipe) = self.pipes.remove(&id) else { return };
        for link in &pipe.links {
            let Some(vm) = self.vm(pipe.thread, link.vm) else { continue };
            if link.is_told {
                // Not as a stream of HTTP, of which the log comes first.
                drop(vm.call(Callback::End, "proxy_on_done", &[link.context]));
                drop(vm.call(Callback::Log, "proxy_on_log", &[link.context]));
                drop(vm.call(Callback::End, "proxy_on_delete", &[link.context]));
            }
            vm.state().streams.remove(&link.context);
            self.after_call(pipe.thread, link.vm);
        }
        self.events.forget(id);
        self.finished.insert(id, pipe.outcome);
    }

    /// The client waits no longer.
    pub(super) fn hang_up(&mut self, id: u64) {
        self.disconnect(id, REMOTE);
    }

    /// Lets connections go on, or closes them, where a filter has said so.
    pub(super) fn pipes_go_on(&mut self) {
        for id in self.pipes.keys().copied().collect::<Vec<_>>() {
            for index in 0..self.pipes.get(&id).map_or(0, |pipe| pipe.links.len()) {
                let (mut is_closed, mut is_resumed) = (false, false);
                self.with_stream_of(id, index, |stream| {
                    is_closed = stream.is_closed;
                    is_resumed = mem::take(&mut stream.request.is_resumed);
                });
                if is_closed {
                    self.disconnect(id, LOCAL);
                } else if is_resumed {
                    self.read(id, index + 1);
                }
            }
        }
    }

    /// Calls a callback of a filter for its context. None if the connection does not go on: the VM has trapped, or the filter has closed it.
    fn tell(&mut self, id: u64, index: usize, export: &'static str, more: &[u32]) -> Option<u32> {
        let pipe = self.pipes.get(&id)?;
        let (thread, link) = (pipe.thread, pipe.links.get(index)?);
        if !link.is_told {
            return None;
        }
        let (vm, arguments) = (link.vm, [&[link.context], more].concat());
        let living = self.vm(thread, vm).filter(|vm| vm.dead.is_none())?;
        let answer = living.call(Callback::Other, export, &arguments);
        self.after_call(thread, vm);
        let Ok(answer) = answer else {
            self.fail_all(thread, vm);
            return None;
        };
        let mut is_closed = false;
        self.with_stream_of(id, index, |stream| is_closed = stream.is_closed);
        if is_closed { None } else { Some(answer.unwrap_or(0)) }
    }

    fn with_link(&mut self, id: u64, index: usize, change: impl FnOnce(&mut Side), way: Way) {
        self.with_stream_of(id, index, |stream| change(stream.side(way)));
    }

    fn with_stream_of(&mut self, id: u64, index: usize, change: impl FnOnce(&mut Stream)) {
        let Some(pipe) = self.pipes.get(&id) else { return };
        let Some((vm, context)) = pipe.links.get(index).map(|link| (link.vm, link.context)) else { return };
        let thread = pipe.thread;
        if let Some(stream) = self.vm(thread, vm).and_then(|vm| vm.state().streams.get_mut(&context)) {
            change(stream);
        }
    }
}

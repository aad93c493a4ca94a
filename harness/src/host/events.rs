//! What will happen, by the time when it does.

use super::{
    chain::{At, Failure, Part},
    grpc,
    schedule::Schedule,
    state::Answer,
    stream::Way,
};
use crate::scenario::Exchange;
use std::collections::{BTreeMap, BTreeSet};

/// Something that happens.
#[derive(Debug)]
pub(super) enum Event {
    /// A client's request begins.
    Begin(u64, Box<Opening>),
    /// A part of a client's request comes.
    Client(u64, Part),
    /// A part of an upstream's response comes.
    Upstream(At, Part),
    /// There is no response, or no more of one, for this reason.
    Fail(At, Failure),
    /// A client waits no longer.
    GiveUp(u64),
    /// A timer of a root context runs out.
    Tick { vm: u64, root: u32, period_ms: u32 },
    /// A callout is answered.
    Answer { vm: u64, root: u32, origin: u32, token: u32, answer: Box<Answer> },
    /// Bytes come over a TCP connection, from the client or the upstream, or their end.
    Tcp(u64, Way, Vec<u8>, bool),
    /// Something comes of a gRPC call.
    Grpc { vm: u64, token: u32, event: grpc::Event },
}

impl Event {
    /// The callout that it is an answer to: the VM and the token.
    fn callout(&self) -> Option<(u64, u32)> {
        match self {
            Self::Answer { vm, token, .. } | Self::Grpc { vm, token, .. } => Some((*vm, *token)),
            _ => None,
        }
    }
}

/// A client's request, the chain that it goes through, and the thread.
#[derive(Debug)]
pub(super) struct Opening {
    pub(super) chain: String,
    pub(super) thread: usize,
    pub(super) exchange: Exchange,
}

/// The events to come. Of those at one time the first that was added comes first.
#[derive(Debug, Default)]
pub(super) struct Events {
    by_time: BTreeMap<(u64, u64), Event>,
    count: u64,
}

impl Events {
    pub(super) fn add(&mut self, time: u64, event: Event) {
        self.count += 1;
        self.by_time.insert((time, self.count), event);
    }

    pub(super) fn take(&mut self) -> Option<(u64, Event)> {
        self.by_time.pop_first().map(|((time, _), event)| (time, event))
    }

    /// As [`take`](Self::take), but of answers to callouts, when one is next, the one that the schedule picks. Those of one callout keep their order.
    pub(super) fn take_by(&mut self, schedule: &mut Schedule) -> Option<(u64, Event)> {
        let (_, next) = self.by_time.first_key_value()?;
        if next.callout().is_none() {
            return self.take();
        }
        let mut callouts = BTreeSet::new();
        let mut keys = Vec::new();
        for (key, event) in &self.by_time {
            if event.callout().is_some_and(|callout| callouts.insert(callout)) {
                keys.push(*key);
            }
        }
        let key = *keys.get(schedule.pick(keys.len()))?;
        let event = self.by_time.remove(&key)?;
        if let Some((vm, token)) = event.callout() {
            schedule.note(vm, token);
        }
        Some((key.0, event))
    }

    pub(super) fn next_time(&self) -> Option<u64> {
        self.by_time.first_key_value().map(|((time, _), _)| *time)
    }

    /// Whether anything is to come but timers, which never end, and clients that give up.
    pub(super) fn has_loose_ends(&self) -> bool {
        self.by_time.values().any(|event| !matches!(event, Event::Tick { .. } | Event::GiveUp(_)))
    }

    /// Whether a callout is to be answered that this stream of a VM has made.
    pub(super) fn has_answer(&self, of: u64, context: u32) -> bool {
        let is_its = |event: &Event| matches!(event, Event::Answer { vm, origin, .. } if (*vm, *origin) == (of, context));
        self.by_time.values().any(is_its)
    }

    pub(super) fn has_tick(&self, of: u64, context: u32) -> bool {
        self.by_time.values().any(|event| is_tick(event, of, context))
    }

    pub(super) fn remove_tick(&mut self, of: u64, context: u32) {
        self.by_time.retain(|_, event| !is_tick(event, of, context));
    }

    /// Takes out what concerns a stream that is over.
    pub(super) fn forget(&mut self, stream: u64) {
        self.by_time.retain(|_, event| match event {
            Event::Client(of, _) | Event::GiveUp(of) | Event::Tcp(of, ..) => *of != stream,
            Event::Upstream(at, _) | Event::Fail(at, _) => at.stream != stream,
            _ => true,
        });
    }
}

fn is_tick(event: &Event, of: u64, context: u32) -> bool {
    matches!(event, Event::Tick { vm, root, .. } if (*vm, *root) == (of, context))
}

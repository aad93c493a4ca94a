//! gRPC callouts, as a VM knows them.

use super::{
    abi::{BufferType, MapType, Status},
    memory::HostTrap,
    state::Answer,
};
use crate::scenario::Headers;
use std::collections::BTreeMap;

/// What a token is of: its low bits say it.
const CALL: u32 = 1;
const STREAM: u32 = 2;
const KIND: u32 = 3;

/// The calls and streams of a VM.
#[derive(Debug)]
pub(crate) struct Calls {
    /// The last tokens of calls and of streams.
    last: [u32; 2],
    open: BTreeMap<u32, Call>,
    /// What was done in this callback.
    pub(crate) deeds: Vec<Deed>,
    /// What failed at once in this callback, with the root contexts and tokens: they are told of it behind the callback.
    pub(crate) failed: Vec<(u32, u32, Event)>,
}

/// A call or a stream.
#[derive(Debug)]
struct Call {
    root: u32,
    cluster: String,
    /// Whether its side has ended, so that messages are dropped.
    has_ended: bool,
    /// Whether the module has closed it.
    is_closed_here: bool,
    /// Whether the module has been told, or is being told, that the other side is closed.
    is_closed_there: bool,
    /// Whether Envoy has freed what is behind it.
    is_freed: bool,
    server: Server,
}

/// How far a server is with a stream.
#[derive(Debug, Default, Clone)]
pub(crate) struct Server {
    /// How many messages it has answered.
    pub(crate) answered: usize,
    pub(crate) has_ended: bool,
}

/// What a module does with a call or a stream.
#[derive(Debug)]
pub(crate) enum Deed {
    /// It has made a call, which fails after so many milliseconds; 0 is never.
    Call { token: u32, cluster: String, timeout_ms: u32, refusal: Option<Event> },
    /// It has opened a stream.
    Open { token: u32, cluster: String, refusal: Option<Event> },
    /// It has sent a message on a stream, or has ended its side, or both.
    Send { token: u32, has_message: bool, is_last: bool },
}

/// What comes of it.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    InitialMetadata(Headers),
    Message(Vec<u8>),
    TrailingMetadata(Headers),
    Close(u32, String),
}

/// Why a call or stream is not to be had.
pub(crate) enum Refusal {
    Status(Status),
    Crash(HostTrap),
}

/// What Envoy 1.40 does with a stream whose server has ended is up to what is in freed memory: it reads there.
const FREED: HostTrap =
    HostTrap::Crash("a gRPC stream is used that its server has closed: Envoy has freed it already");

impl Default for Calls {
    fn default() -> Self {
        Self { last: [CALL, STREAM], open: BTreeMap::new(), deeds: Vec::new(), failed: Vec::new() }
    }
}

impl Calls {
    /// A call is made, which may be refused by Envoy itself: its token.
    pub(crate) fn call(
        &mut self,
        root: u32,
        cluster: String,
        timeout_ms: u32,
        refusal: Option<Event>,
    ) -> u32 {
        let token = self.next_call();
        self.add(token, root, &cluster);
        self.deeds.push(Deed::Call { token, cluster, timeout_ms, refusal });
        token
    }

    /// A stream is opened, likewise: its token.
    pub(crate) fn stream(&mut self, root: u32, cluster: String, refusal: Option<Event>) -> u32 {
        let token = self.next_stream();
        self.add(token, root, &cluster);
        self.deeds.push(Deed::Open { token, cluster, refusal });
        token
    }

    /// The next call's token.
    pub(crate) fn next_call(&mut self) -> u32 {
        self.last[0] = self.last[0].wrapping_add(4);
        self.last[0]
    }

    /// The next stream's token.
    pub(crate) fn next_stream(&mut self) -> u32 {
        self.last[1] = self.last[1].wrapping_add(4);
        self.last[1]
    }

    fn add(&mut self, token: u32, root: u32, cluster: &str) {
        let call = Call {
            root,
            cluster: cluster.to_owned(),
            has_ended: false,
            is_closed_here: false,
            is_closed_there: false,
            is_freed: false,
            server: Server::default(),
        };
        self.open.insert(token, call);
    }

    /// A message is sent on a stream. Behind the end of the module's side it is dropped.
    pub(crate) fn send(&mut self, root: u32, token: u32, is_last: bool) -> Result<(), Refusal> {
        if token & KIND != STREAM {
            return Err(Refusal::Status(Status::BadArgument));
        }
        let call = self.get(root, token)?;
        if !call.has_ended {
            call.has_ended = is_last;
            self.deeds.push(Deed::Send { token, has_message: true, is_last });
        }
        Ok(())
    }

    /// The module's side of a stream ends, or a call is given up.
    pub(crate) fn close(&mut self, root: u32, token: u32) -> Result<(), Refusal> {
        let call = self.get(root, token)?;
        if token & KIND == CALL || call.is_closed_there {
            self.open.remove(&token);
            return Ok(());
        }
        call.is_closed_here = true;
        if !call.has_ended {
            call.has_ended = true;
            self.deeds.push(Deed::Send { token, has_message: false, is_last: true });
        }
        Ok(())
    }

    /// A call or stream is given up: nothing more comes of it.
    pub(crate) fn cancel(&mut self, root: u32, token: u32) -> Result<(), Refusal> {
        self.get(root, token)?;
        self.open.remove(&token);
        Ok(())
    }

    fn get(&mut self, root: u32, token: u32) -> Result<&mut Call, Refusal> {
        if !matches!(token & KIND, CALL | STREAM) {
            return Err(Refusal::Status(Status::BadArgument));
        }
        match self.open.get_mut(&token).filter(|call| call.root == root) {
            None => Err(Refusal::Status(Status::NotFound)),
            Some(call) if call.is_freed => Err(Refusal::Crash(FREED)),
            Some(call) => Ok(call),
        }
    }

    /// The cluster and the server of a stream.
    pub(crate) fn server(&mut self, token: u32) -> Option<(&str, &mut Server)> {
        self.open.get_mut(&token).map(|call| (call.cluster.as_str(), &mut call.server))
    }

    /// The root context that an event of a call or stream goes to; none if it was given up, or is over.
    pub(crate) fn receiver(&mut self, token: u32, event: &Event) -> Option<u32> {
        let call = self.open.get_mut(&token).filter(|call| !call.is_closed_there)?;
        call.is_closed_there = token & KIND == STREAM && matches!(event, Event::Close(..));
        Some(call.root)
    }

    /// An event was told: a call ends with its first, a stream when both sides are closed.
    pub(crate) fn told(&mut self, token: u32) {
        match self.open.get_mut(&token) {
            Some(call) if token & KIND == STREAM && !(call.is_closed_here && call.is_closed_there) => {
                call.is_freed = call.is_closed_there;
            }
            Some(_) => _ = self.open.remove(&token),
            None => {}
        }
    }
}

impl Event {
    /// The callback that tells of it, with its number, and what is at hand in it.
    pub(crate) fn callback(&self) -> (&'static str, u32, Answer) {
        let size = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        let with =
            |map, headers: &Headers| Answer { maps: vec![(map, headers.clone())], ..Answer::default() };
        match self {
            Self::InitialMetadata(headers) => (
                "proxy_on_grpc_receive_initial_metadata",
                size(headers.len()),
                with(MapType::GrpcInitialMetadata, headers),
            ),
            Self::Message(message) => (
                "proxy_on_grpc_receive",
                size(message.len()),
                Answer { body: Some((BufferType::GrpcMessage, message.clone())), ..Answer::default() },
            ),
            Self::TrailingMetadata(headers) => (
                "proxy_on_grpc_receive_trailing_metadata",
                size(headers.len()),
                with(MapType::GrpcTrailingMetadata, headers),
            ),
            Self::Close(status, message) => (
                "proxy_on_grpc_close",
                *status,
                Answer { status_message: message.clone().into_bytes(), ..Answer::default() },
            ),
        }
    }
}

//! gRPC callouts, as a VM knows them.

use super::{
    abi::{BufferType, MapType, Status},
    schedule::Failure,
    state::Answer,
};
use crate::{Bytes, scenario::Headers};
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
    /// The stream that it belongs to; 0 is none.
    origin: u32,
    /// None is a server that Google's client is to speak to.
    cluster: Option<String>,
    /// Whether its side has ended, so that messages are dropped.
    has_ended: bool,
    /// Whether the module has closed it.
    is_closed_here: bool,
    /// Whether the module has been told, or is being told, that the other side is closed.
    is_closed_there: bool,
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
    Call { token: u32, cluster: Option<String>, timeout_ms: u32, failure: Option<Failure> },
    /// It has opened a stream.
    Open { token: u32, cluster: Option<String>, failure: Option<Failure> },
    /// It has sent a message on a stream, or has ended its side, or both.
    Send { token: u32, has_message: bool, is_last: bool },
}

/// What comes of it.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    InitialMetadata(Headers),
    Message(Vec<u8>),
    TrailingMetadata(Headers),
    Close(u32, Bytes),
}

/// A header that Envoy adds to an answer once the request has ended.
pub(crate) const SERVICE_TIME: &str = "x-envoy-upstream-service-time";

impl Default for Calls {
    fn default() -> Self {
        Self { last: [CALL, STREAM], open: BTreeMap::new(), deeds: Vec::new(), failed: Vec::new() }
    }
}

impl Calls {
    /// A call is made: its token.
    pub(crate) fn call(
        &mut self,
        (root, origin): (u32, u32),
        cluster: Option<String>,
        timeout_ms: u32,
        failure: Option<Failure>,
    ) -> u32 {
        let token = self.next_call();
        self.add(token, (root, origin), cluster.clone(), true);
        self.deeds.push(Deed::Call { token, cluster, timeout_ms, failure });
        token
    }

    /// A stream is opened: its token.
    pub(crate) fn stream(
        &mut self,
        (root, origin): (u32, u32),
        cluster: Option<String>,
        failure: Option<Failure>,
    ) -> u32 {
        let token = self.next_stream();
        self.add(token, (root, origin), cluster.clone(), false);
        self.deeds.push(Deed::Open { token, cluster, failure });
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

    fn add(&mut self, token: u32, (root, origin): (u32, u32), cluster: Option<String>, has_ended: bool) {
        let call = Call {
            root,
            origin,
            cluster,
            has_ended,
            is_closed_here: false,
            is_closed_there: false,
            server: Server::default(),
        };
        self.open.insert(token, call);
    }

    /// A message is sent on a stream. Behind the end of the module's side it is dropped.
    pub(crate) fn send(&mut self, root: u32, token: u32, is_last: bool) -> Result<(), Status> {
        if token & KIND != STREAM {
            return Err(Status::BadArgument);
        }
        let call = self.get(root, token)?;
        if !call.has_ended {
            call.has_ended = is_last;
            self.deeds.push(Deed::Send { token, has_message: true, is_last });
        }
        Ok(())
    }

    /// The module's side of a stream ends, or a call is given up.
    pub(crate) fn close(&mut self, root: u32, token: u32) -> Result<(), Status> {
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
    pub(crate) fn cancel(&mut self, root: u32, token: u32) -> Result<(), Status> {
        self.get(root, token)?;
        self.open.remove(&token);
        Ok(())
    }

    fn get(&mut self, root: u32, token: u32) -> Result<&mut Call, Status> {
        if !matches!(token & KIND, CALL | STREAM) {
            return Err(Status::BadArgument);
        }
        self.open.get_mut(&token).filter(|call| call.root == root).ok_or(Status::NotFound)
    }

    /// Whether a stream has a call or a stream of gRPC that is open.
    pub(crate) fn has_open(&self, context: u32) -> bool {
        self.open.values().any(|call| call.origin == context && !call.is_closed_here && !call.is_closed_there)
    }

    /// The cluster and the server of a stream.
    pub(crate) fn server(&mut self, token: u32) -> Option<(Option<&str>, &mut Server)> {
        self.open.get_mut(&token).map(|call| (call.cluster.as_deref(), &mut call.server))
    }

    /// The root context that an event of a call or stream goes to; none if it was given up, or is over. The event is changed into what it is by now.
    pub(crate) fn receiver(&mut self, token: u32, event: &mut Event) -> Option<u32> {
        let call = self.open.get_mut(&token).filter(|call| !call.is_closed_there)?;
        if let Event::InitialMetadata(headers) | Event::TrailingMetadata(headers) = event
            && !call.has_ended
        {
            headers.retain(|(name, _)| name.0 != SERVICE_TIME.as_bytes());
        }
        call.is_closed_there = token & KIND == STREAM && matches!(event, Event::Close(..));
        Some(call.root)
    }

    /// An event was told: a call ends with its first, a stream when both sides are closed. One that the module has not closed stays: Envoy 1.40 reads in
    /// freed memory when it is used then, and has not been seen to end by it.
    pub(crate) fn told(&mut self, token: u32) {
        let is_over = |call: &Call| token & KIND == CALL || call.is_closed_here && call.is_closed_there;
        if self.open.get(&token).is_some_and(is_over) {
            self.open.remove(&token);
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
                Answer { status_message: message.0.clone(), ..Answer::default() },
            ),
        }
    }
}

//! gRPC callouts, as a VM knows them.

use super::{
    abi::{BufferType, MapType, Status},
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
}

/// A call or a stream.
#[derive(Debug)]
struct Call {
    root: u32,
    cluster: String,
    /// How many messages were sent.
    sent: usize,
    is_closed_here: bool,
    is_closed_there: bool,
}

/// What a module does with a call or a stream.
#[derive(Debug)]
pub(crate) enum Deed {
    /// It has made a call, which fails after so many milliseconds.
    Call { token: u32, cluster: String, timeout_ms: u32 },
    /// It has opened a stream.
    Open { token: u32, cluster: String },
    /// It has sent a stream's message of this number, from 0, or has ended its side.
    Send { token: u32, cluster: String, number: Option<usize>, is_last: bool },
}

/// What comes of it.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    InitialMetadata(Headers),
    Message(Vec<u8>),
    TrailingMetadata(Headers),
    Close(u32, String),
}

impl Default for Calls {
    fn default() -> Self {
        Self { last: [CALL, STREAM], open: BTreeMap::new(), deeds: Vec::new() }
    }
}

impl Calls {
    /// A call is made: its token.
    pub(crate) fn call(&mut self, root: u32, cluster: String, timeout_ms: u32) -> u32 {
        let token = self.add(CALL, root, &cluster);
        self.deeds.push(Deed::Call { token, cluster, timeout_ms });
        token
    }

    /// A stream is opened: its token.
    pub(crate) fn stream(&mut self, root: u32, cluster: String) -> u32 {
        let token = self.add(STREAM, root, &cluster);
        self.deeds.push(Deed::Open { token, cluster });
        token
    }

    fn add(&mut self, kind: u32, root: u32, cluster: &str) -> u32 {
        let [calls, streams] = &mut self.last;
        let last = if kind == STREAM { streams } else { calls };
        *last = last.wrapping_add(4);
        let cluster = cluster.to_owned();
        self.open
            .insert(*last, Call { root, cluster, sent: 0, is_closed_here: false, is_closed_there: false });
        *last
    }

    /// A message is sent on a stream.
    pub(crate) fn send(&mut self, token: u32, is_last: bool) -> Result<(), Status> {
        if token & KIND != STREAM {
            return Err(Status::BadArgument);
        }
        let call = self.open.get_mut(&token).ok_or(Status::NotFound)?;
        let number = call.sent;
        call.sent += 1;
        let cluster = call.cluster.clone();
        self.deeds.push(Deed::Send { token, cluster, number: Some(number), is_last });
        Ok(())
    }

    /// The module's side of a stream ends, or a call is given up.
    pub(crate) fn close(&mut self, token: u32) -> Result<(), Status> {
        let call = self.get(token)?;
        if token & KIND == CALL || call.is_closed_there {
            self.open.remove(&token);
            return Ok(());
        }
        call.is_closed_here = true;
        let cluster = call.cluster.clone();
        self.deeds.push(Deed::Send { token, cluster, number: None, is_last: true });
        Ok(())
    }

    /// A call or stream is given up: nothing more comes of it.
    pub(crate) fn cancel(&mut self, token: u32) -> Result<(), Status> {
        self.get(token)?;
        self.open.remove(&token);
        Ok(())
    }

    fn get(&mut self, token: u32) -> Result<&mut Call, Status> {
        match token & KIND {
            CALL | STREAM => self.open.get_mut(&token).ok_or(Status::NotFound),
            _ => Err(Status::BadArgument),
        }
    }

    /// The root context that an event of a call or stream goes to; none if it was given up, or is over.
    pub(crate) fn receiver(&self, token: u32) -> Option<u32> {
        self.open.get(&token).filter(|call| !call.is_closed_there).map(|call| call.root)
    }

    /// An event was told: a call ends with its first, a stream when both sides are closed.
    pub(crate) fn told(&mut self, token: u32, event: &Event) {
        let is_close = matches!(event, Event::Close(..));
        match self.open.get_mut(&token) {
            Some(call) if token & KIND == STREAM => {
                call.is_closed_there |= is_close;
                if call.is_closed_here && call.is_closed_there {
                    self.open.remove(&token);
                }
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
                Answer { status: (*status, message.clone().into_bytes()), ..Answer::default() },
            ),
        }
    }
}

//! What a VM knows, behind its host calls.

use super::{abi::Callback, metrics::Metrics, vm::Options};
use crate::{Bytes, outcome::LogLine, scenario::Headers};
use std::collections::BTreeMap;
use wasmtime::{StoreLimits, StoreLimitsBuilder};

/// The most memory of a VM, in bytes.
const MEMORY_LIMIT: usize = 256 << 20;

/// The store's data.
pub(crate) struct State {
    pub(crate) limits: StoreLimits,
    pub(crate) options: Options,
    pub(crate) random: u64,
    pub(crate) callback: Callback,
    pub(crate) config: Option<Vec<u8>>,
    pub(crate) stream: Option<Stream>,
    pub(crate) metrics: Metrics,
    pub(crate) log: Vec<LogLine>,
    pub(crate) shared_data: BTreeMap<Vec<u8>, (Vec<u8>, u32)>,
    pub(crate) last_cas: u32,
    /// Callouts that were made and not answered yet.
    pub(crate) callouts: Vec<Callout>,
    pub(crate) last_token: u32,
    /// The answer that `proxy_on_http_call_response` is about.
    pub(crate) answer: Option<Answer>,
    pub(crate) tick_period: u32,
    pub(crate) host_calls: u64,
}

/// A stream, from its creation to its end.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stream {
    pub(crate) context: u32,
    pub(crate) request: Side,
    pub(crate) response: Side,
    pub(crate) reply: Option<Reply>,
    pub(crate) filter_state: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// One direction of a stream.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own that Envoy keeps too")]
#[derive(Debug, Clone, Default)]
pub(crate) struct Side {
    pub(crate) headers: Headers,
    pub(crate) trailers: Headers,
    /// What the filter sees of the body in a callback: the part at hand, with what was held back.
    pub(crate) body: Vec<u8>,
    /// Whether the header callback held the headers back, so that they stay at hand.
    pub(crate) is_held: bool,
    /// Whether a call has let the stream go on.
    pub(crate) is_resumed: bool,
    /// Whether the callback at hand is the last of this direction.
    pub(crate) is_last: bool,
    /// Whether the headers are there at all.
    pub(crate) has_headers: bool,
    pub(crate) has_trailers: bool,
}

/// A response of the filter's own.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Headers,
    pub(crate) body: Vec<u8>,
}

/// A request of the filter's own.
#[derive(Debug, Clone)]
pub(crate) struct Callout {
    pub(crate) token: u32,
    pub(crate) cluster: String,
    pub(crate) headers: Headers,
    pub(crate) body: Vec<u8>,
    pub(crate) timeout_ms: u32,
}

/// What a callout was answered.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answer {
    pub(crate) headers: Headers,
    pub(crate) body: Vec<u8>,
}

/// What a filter may do with a header map in this callback (Envoy 1.40, settled by observation).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Read and change.
    Write,
    /// Read. What is missing is not found.
    Read,
    /// The map is out of reach: lookups and changes are bad arguments, and the list of pairs is empty.
    Gone,
}

impl State {
    pub(crate) fn new(options: Options) -> Self {
        Self {
            limits: StoreLimitsBuilder::new().memory_size(MEMORY_LIMIT).build(),
            random: options.seed,
            callback: Callback::Start,
            config: None,
            stream: None,
            metrics: Metrics::default(),
            log: Vec::new(),
            shared_data: BTreeMap::new(),
            last_cas: 0,
            callouts: Vec::new(),
            last_token: 0,
            answer: None,
            tick_period: 0,
            host_calls: 0,
            options,
        }
    }

    /// What may be done with a header map, by its number.
    pub(crate) fn access(&self, map: u32) -> Access {
        let Some(stream) = &self.stream else {
            return if map == 6 || map == 7 { self.answer_access() } else { Access::Gone };
        };
        if self.callback == Callback::Log {
            return if map <= 3 { Access::Read } else { Access::Gone };
        }
        let is_at_hand = match map {
            0 => self.callback == Callback::RequestHeaders || stream.request.is_held,
            1 => {
                self.callback == Callback::RequestTrailers
                    || (self.callback == Callback::RequestBody && stream.request.is_last)
            }
            2 => self.callback == Callback::ResponseHeaders || stream.response.is_held,
            3 => {
                self.callback == Callback::ResponseTrailers
                    || (self.callback == Callback::ResponseBody && stream.response.is_last)
            }
            6 | 7 => return self.answer_access(),
            _ => false,
        };
        let is_over = self.callback == Callback::End || self.callback == Callback::Start;
        if is_at_hand && !is_over { Access::Write } else { Access::Gone }
    }

    fn answer_access(&self) -> Access {
        if self.callback == Callback::Callout && self.answer.is_some() { Access::Read } else { Access::Gone }
    }

    /// A header map by its number; none where there is no such map.
    pub(crate) fn map(&mut self, map: u32) -> Option<&mut Headers> {
        match map {
            6 => return self.answer.as_mut().map(|answer| &mut answer.headers),
            0..=3 => {}
            _ => return None,
        }
        let is_logged = self.callback == Callback::Log;
        let stream = self.stream.as_mut()?;
        let side = if map < 2 { &mut stream.request } else { &mut stream.response };
        match map {
            0 | 2 => (side.has_headers || !is_logged).then_some(&mut side.headers),
            _ => (side.has_trailers || !is_logged).then_some(&mut side.trailers),
        }
    }

    /// The next 64 random bits: SplitMix64 (Steele, Lea and Flood, 2014).
    pub(crate) fn next_random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.random;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    pub(crate) fn log(&mut self, level: u32, text: &[u8]) {
        const LEVELS: [&str; 6] = ["trace", "debug", "info", "warn", "error", "critical"];
        if level < self.options.log_level {
            return;
        }
        let level = LEVELS.get(level as usize).copied().unwrap_or("critical");
        self.log.push(LogLine { level: level.to_owned(), text: Bytes::from(text).lossy() });
    }
}

//! A body that comes in many parts.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that panics has failed, as it should")]

use filter_kit::{
    Buffer, Environment, Filter, HeaderMap, HostBytes, Pairs, Phase, Source, View, fake::Stream, load,
};
use policy::Policy;
use serde_json::json;
use std::cell::Cell;

/// A host that holds a body back, and counts what is read of it.
struct Host {
    stream: Stream,
    held: Vec<u8>,
    read: Cell<usize>,
}

impl Source for Host {
    fn pairs(&self, map: HeaderMap) -> Pairs {
        self.stream.pairs(map)
    }

    fn header(&self, map: HeaderMap, name: &str) -> Option<HostBytes> {
        Source::header(&self.stream, map, name)
    }

    fn buffer(&self, _: Buffer, from: usize) -> HostBytes {
        let bytes = self.held.get(from..).unwrap_or_default().to_vec();
        self.read.set(self.read.get() + bytes.len());
        bytes.into()
    }

    fn property(&self, path: &[&str]) -> Option<HostBytes> {
        Source::property(&self.stream, path)
    }

    fn now(&self) -> u64 {
        0
    }

    fn random(&self, _: &mut [u8]) -> bool {
        false
    }
}

#[test]
fn each_byte_of_a_body_that_comes_byte_by_byte_is_read_once() {
    let filter: Policy = load(
        json!({"policies": [{"metadata": {"name": "dear"}, "spec": {"action": "DENY", "rules": [
            {"outrigger": {"body": {"fields": [{"pointer": "/amount", "over": 1000}]}}}
        ]}}]})
        .to_string()
        .as_bytes(),
        &Environment::EMPTY,
    )
    .unwrap();
    for (amount, is_denied) in [(7, false), (7000, true)] {
        let body = format!("{{\"note\": \"{}\", \"amount\": {amount}}}", "n".repeat(10_000));
        let stream = Stream::get("/orders").method("POST").header("content-type", "application/json");
        let mut host = Host { stream, held: Vec::new(), read: Cell::new(0) };
        let mut state = None;
        filter.on_request_headers(&View::new(&host, Phase::RequestHeaders, 6, false), &mut state);
        let mut is_answered = false;
        for (place, byte) in body.bytes().enumerate() {
            assert!(!is_answered, "it was decided before the whole of it was there");
            host.held.push(byte);
            let view = View::new(&host, Phase::RequestBody, host.held.len(), place + 1 == body.len());
            is_answered = format!("{:?}", filter.on_request_body(&view, &mut state)).contains("status: 403");
        }
        assert_eq!(is_answered, is_denied);
        assert_eq!(host.read.get(), body.len(), "bytes were read");
    }
}

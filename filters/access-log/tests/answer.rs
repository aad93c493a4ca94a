//! What a collector answers, and how much of it comes into the VM.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use access_log::AccessLog;
use filter_kit::{
    Buffer, Environment, Filter, HeaderMap, HostBytes, Pairs, Phase, Source, View, fake::Stream, load,
};
use std::cell::Cell;

/// A host with an answer of so many bytes, which counts what is read of it.
struct Host {
    stream: Stream,
    size: usize,
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
        let bytes = vec![b' '; self.size.saturating_sub(from)];
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
fn an_answer_of_megabytes_stays_with_the_host() {
    let config = br#"{"outputs": {"otlp": {"cluster": "collector"}}}"#;
    let filter: AccessLog = load(config, &Environment::EMPTY).unwrap();
    for (size, read) in [(0, 0), (100, 100), (65_536, 65_536), (65_537, 0), (4 << 20, 0)] {
        let host = Host { stream: Stream::get("/"), size, read: Cell::new(0) };
        let view = View::new(&host, Phase::Callout, size, true);
        filter.on_callout(&view, &mut None, 0);
        assert_eq!(host.read.get(), read, "of an answer of {size} bytes");
    }
}

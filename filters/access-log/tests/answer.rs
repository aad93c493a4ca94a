//! What a collector answers, and how much of it comes into the VM.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use access_log::AccessLog;
use filter_kit::{Environment, Filter, Phase, View, fake::Stream, load};

#[test]
fn an_answer_of_megabytes_stays_with_the_host() {
    let config = br#"{"outputs": {"otlp": {"cluster": "collector"}}}"#;
    let filter: AccessLog = load(config, &Environment::EMPTY).unwrap();
    for (size, read) in [(0, 0), (100, 100), (65_536, 65_536), (65_537, 0), (4 << 20, 0)] {
        let mut host = Stream::get("/");
        host.hold(&vec![b' '; size]);
        let view = View::new(&host, Phase::Callout, size, true);
        filter.on_callout(&view, &mut None, 0);
        assert_eq!(host.bytes_read(), read, "of an answer of {size} bytes");
    }
}

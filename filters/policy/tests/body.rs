//! A body that comes in many parts.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that panics has failed, as it should")]

use filter_kit::{Environment, Filter, Phase, View, fake::Stream, load};
use policy::Policy;
use serde_json::json;

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
        let mut host = Stream::get("/orders").method("POST").header("content-type", "application/json");
        let mut state = None;
        filter.on_request_headers(&View::new(&host, Phase::RequestHeaders, 6, false), &mut state);
        let mut is_answered = false;
        for (place, byte) in body.bytes().enumerate() {
            assert!(!is_answered, "it was decided before the whole of it was there");
            host.hold(&[byte]);
            let view = View::new(&host, Phase::RequestBody, place + 1, place + 1 == body.len());
            is_answered = format!("{:?}", filter.on_request_body(&view, &mut state)).contains("status: 403");
        }
        assert_eq!(is_answered, is_denied);
        assert_eq!(host.bytes_read(), body.len(), "bytes were read");
    }
}

//! Each lint finds its mistake, and says nothing of the same thing done well.

use super::probe::{callout, exchange, module, with_clusters};
use crate::{
    Finding, Lint,
    host::run,
    outcome::{self, Outcome},
    scenario::{Cluster, Exchange, Response, Scenario},
};
use std::collections::BTreeMap;

fn clusters() -> BTreeMap<String, Cluster> {
    let cluster = Cluster::Answers { response: Response::of("yes"), delay_ms: 5 };
    [("auth".to_owned(), cluster), ("gone".to_owned(), Cluster::Empty)].into()
}

fn scenario(exchange: Exchange) -> Scenario {
    Scenario {
        name: "x".to_owned(),
        config: Some(b"{}".to_vec()),
        upstreams: clusters(),
        exchanges: vec![exchange],
        ..Scenario::default()
    }
}

fn ran(more: &str, exchange: &Exchange) -> Outcome {
    run(&scenario(exchange.clone()), &module(more)).unwrap_or_else(|error| panic!("{error}"))
}

fn findings(outcome: &Outcome) -> Vec<Finding> {
    outcome
        .findings
        .iter()
        .chain(outcome.exchanges.iter().flat_map(|exchange| &exchange.findings))
        .cloned()
        .collect()
}

/// The plugin has this one mistake, which makes the scenario fail unless the lint is switched off.
#[track_caller]
fn check_found(more: &str, exchange: &Exchange, lint: Lint, expected: &str) {
    let outcome = ran(more, exchange);
    let [found] = findings(&outcome).try_into().unwrap_or_else(|found| panic!("{found:?}"));
    assert_eq!((found.lint, found.to_string().as_str()), (lint, expected));
    let mut scenario = scenario(exchange.clone());
    let [mismatch] = outcome::check(&scenario, &outcome).try_into().unwrap();
    assert!(mismatch.to_string().contains(expected), "{mismatch}");
    scenario.allow.insert(lint, "it is a test".to_owned());
    let outcome = run(&scenario, &module(more)).unwrap();
    assert_eq!(findings(&outcome), []);
}

#[track_caller]
fn check_clean(more: &str, exchange: &Exchange) {
    assert_eq!(findings(&ran(more, exchange)), []);
}

#[test]
fn a_call_out_of_its_phase() {
    let lint = Lint::CallOutOfPhase;
    let get = "(drop (call $get (i32.const 0) [:path] (i32.const 8) (i32.const 12)))";
    let pairs = "(drop (call $pairs (i32.const 2) (i32.const 8) (i32.const 12)))";
    let body =
        "(drop (call $buffer (i32.const 0) (i32.const 0) (i32.const 99) (i32.const 8) (i32.const 12)))";
    let plain = exchange("hello", "");
    check_found(
        &format!("(@response_headers {get} (i32.const 0))"),
        &plain,
        lint,
        "call-out-of-phase: proxy_on_response_headers: request headers are out of reach",
    );
    check_found(
        &format!("(@request_headers {pairs} (i32.const 0))"),
        &plain,
        lint,
        "call-out-of-phase: proxy_on_request_headers: response headers are out of reach",
    );
    check_found(
        &format!("(@request_headers {body} (i32.const 0))"),
        &plain,
        lint,
        "call-out-of-phase: proxy_on_request_headers: bytes of the request's body are out of reach",
    );
    check_found(
        "(@tick (drop (call $continue (i32.const 0)))) (@configure (drop (call $period (i32.const 10))) (i32.const 1))",
        &Exchange { after_ms: 50, ..plain.clone() },
        lint,
        "call-out-of-phase: proxy_on_tick: there is no stream to let go on",
    );
    check_clean(
        &format!(
            "(@request_headers {get} (i32.const 0)) (@request_body {body} (i32.const 0)) (@response_headers {pairs} (i32.const 0)) (@log {get})"
        ),
        &plain,
    );
}

#[test]
fn a_changed_body_with_its_old_length() {
    let change =
        |way: u32| format!("(drop (call $set_buffer (i32.const {way}) (i32.const 0) (i32.const 99) [hi]))");
    let unset = |map: u32| format!("(drop (call $remove (i32.const {map}) [content-length]))");
    let (request, response) = (change(0), change(1));
    check_found(
        &format!("(@response_body {response} (i32.const 0))"),
        &Exchange { request: exchange("", "").request, ..exchange("", "hello") },
        Lint::ContentLength,
        "content-length: the response says 5 bytes and has 4: the client waits for the rest",
    );
    check_found(
        "(@request_body (drop (call $set_buffer (i32.const 0) (i32.const 0) (i32.const 0) [more])) (i32.const 0))",
        &exchange("hello", ""),
        Lint::ContentLength,
        "content-length: the request says 5 bytes and has 13: the upstream does not get the rest",
    );
    check_clean(
        &format!(
            "(@request_headers {} (i32.const 0)) (@request_body {request} (i32.const 0)) (@response_headers {} (i32.const 0)) (@response_body {response} (i32.const 0))",
            unset(0),
            unset(2)
        ),
        &exchange("hello", "hello"),
    );
}

#[test]
fn a_pause_that_nothing_resumes() {
    let lint = Lint::PauseNotResumed;
    check_found(
        "(@request_headers (i32.const 1))",
        &exchange("", ""),
        lint,
        "pause-not-resumed: proxy_on_request_headers: the request is held and nothing lets it go on: it never reaches the upstream",
    );
    check_found(
        "(@response_body (i32.const 1))",
        &exchange("", "hello"),
        lint,
        "pause-not-resumed: proxy_on_response_body: the response is held and nothing lets it go on: the client never gets it",
    );
    let go = callout("auth", 100);
    check_clean(
        &format!(
            "{go} (@request_headers (drop (call $go)) (i32.const 1)) (@http_call_response (drop (call $context (i32.const 2))) (drop (call $continue (i32.const 0))))"
        ),
        &exchange("", ""),
    );
}

#[test]
fn a_second_reply() {
    let reply = "(drop (call $reply (i32.const 403) (i32.const 0) (i32.const 0) [no] (i32.const 0) (i32.const 0) (i32.const -1)))";
    check_found(
        &format!("(@request_headers {reply} {reply} (i32.const 1))"),
        &exchange("", ""),
        Lint::SecondReply,
        "second-reply: proxy_on_request_headers: a reply of 403 behind another one",
    );
    check_clean(&format!("(@request_headers {reply} (i32.const 1))"), &exchange("", ""));
}

#[test]
fn a_header_that_is_changed_too_late() {
    let add = |map: u32| format!("(drop (call $add (i32.const {map}) [x] [1]))");
    let (request, response) = (add(0), add(2));
    // A request that is held keeps its headers at hand, also behind a reply.
    check_found(
        &format!(
            "(@request_headers (drop (call $reply (i32.const 403) (i32.const 0) (i32.const 0) [no] (i32.const 0) (i32.const 0) (i32.const -1))) (i32.const 1)) \
             (@response_headers {request} (i32.const 0))"
        ),
        &exchange("", ""),
        Lint::LateHeaderChange,
        "late-header-change: proxy_on_response_headers: request headers are changed when it is too late",
    );
    check_clean(
        &format!("(@request_headers {request} (i32.const 0)) (@response_headers {response} (i32.const 0))"),
        &exchange("", ""),
    );
}

#[test]
fn what_a_configuration_changes_more_than_once() {
    let define = "(drop (call $define (i32.const 1) [starts] (i32.const 16)))";
    let with = |body: &str| format!("(@configure {define} {body} (i32.const 1))");
    check_found(
        &with("(drop (call $increment (i32.load (i32.const 16)) (i64.const 1)))"),
        &exchange("", ""),
        Lint::ConfigureEffect,
        "configure-effect: proxy_on_configure: a metric is incremented",
    );
    // A value that is there and gets another one.
    check_found(
        &with(
            "(i32.store8 (i32.const 20) (i32.add (i32.const 1) (i32.load8_u (i32.const 20)))) \
               (drop (call $set [runs] (i32.const 20) (i32.const 1) (i32.const 0))) \
               (i32.store8 (i32.const 20) (i32.add (i32.const 1) (i32.load8_u (i32.const 20)))) \
               (drop (call $set [runs] (i32.const 20) (i32.const 1) (i32.const 0)))",
        ),
        &exchange("", ""),
        Lint::ConfigureEffect,
        "configure-effect: proxy_on_configure: the shared value \"runs\" is changed",
    );
    check_clean(
        &with(
            "(drop (call $record (i32.load (i32.const 16)) (i64.const 7))) (drop (call $set [once] [always] (i32.const 0)))",
        ),
        &exchange("", ""),
    );
}

/// Takes 40 bytes for each stream, and gives them back when `$free` says so.
fn heap(free: &str) -> String {
    format!(
        "(global $top (mut i32) (i32.const 70000))
         (@context_create (if (local.get 1) (then
             (if (i32.gt_u (i32.add (global.get $top) (i32.const 64)) (i32.mul (memory.size) (i32.const 65536))) (then (drop (memory.grow (i32.const 1)))))
             (i32.store (global.get $top) (i32.const -1))
             (global.set $top (i32.add (global.get $top) (i32.const 40))))))
         (@delete {free})"
    )
}

#[test]
fn memory_that_each_stream_takes() {
    check_found(
        &heap(""),
        &exchange("", ""),
        Lint::StreamMemory,
        "stream-memory: the module's memory grows with each stream, by about 40 bytes",
    );
    check_clean(&heap("(global.set $top (i32.sub (global.get $top) (i32.const 40)))"), &exchange("", ""));
    // A cache that fills up is none.
    let cache = heap(
        "(if (i32.gt_u (global.get $top) (i32.const 110000)) (then (global.set $top (i32.const 70000))))",
    );
    check_clean(&cache, &exchange("", ""));
    // Nor is a heap of garbage that is first collected after 12,000 streams, and is a little larger each time.
    let collected = heap(
        "(if (i32.gt_u (global.get $top) (global.get $limit))
             (then (global.set $top (i32.const 70000)) (global.set $limit (i32.add (global.get $limit) (i32.const 160)))))",
    );
    let limit = "(global $limit (mut i32) (i32.const 550000))";
    check_clean(&format!("{limit} {collected}"), &exchange("", ""));
}

#[test]
fn a_callout_that_outlives_its_stream() {
    let go = callout("auth", 100);
    check_found(
        &format!("{go} (@request_headers (drop (call $go)) (i32.const 0))"),
        &exchange("", ""),
        Lint::CalloutAfterDelete,
        "callout-after-delete: proxy_on_delete: the stream is deleted before a callout that it made is answered: nobody is left to take the answer",
    );
    // What is sent when the stream is over is meant to outlive it.
    check_clean(&format!("{go} (@log (drop (call $go)))"), &exchange("", ""));
}

#[test]
fn a_proxy_tells_its_findings_with_each_exchange() {
    let mut proxy = with_clusters("(@request_headers (i32.const 1))", clusters());
    let outcomes = [proxy.exchange(&exchange("", "")), proxy.exchange(&exchange("", ""))];
    assert_eq!(outcomes.map(|outcome| outcome.findings.len()), [1, 1]);
    assert_eq!(proxy.take_findings(), []);
}

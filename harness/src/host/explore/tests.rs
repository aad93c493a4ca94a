//! Plugins with a planted mistake each, which an exploration finds by default and within seconds, and one without.

use super::{Case, ExploreError, Explored, explore};
use crate::{
    Exploration, Lint,
    host::tests::probe::{callout, exchange, module},
    scenario::{Cluster, Exchange, Response, Scenario},
};
use std::time::{Duration, Instant};

/// `$has`: whether the request's body, as it is at hand, has the word.
const SEARCH: &str = r#"
    (data (i32.const 900) "secret")
    (func $has (result i32) (local $at i32) (local $end i32) (local $i i32)
      (drop (call $buffer (i32.const 0) (i32.const 0) (i32.const 60000) (i32.const 8) (i32.const 12)))
      (local.set $at (i32.load (i32.const 8)))
      (local.set $end (i32.sub (i32.add (local.get $at) (i32.load (i32.const 12))) (i32.const 5)))
      (if (i32.lt_u (i32.load (i32.const 12)) (i32.const 6)) (then (return (i32.const 0))))
      (loop $next
        (if (i32.lt_u (local.get $at) (local.get $end)) (then
          (local.set $i (i32.const 0))
          (loop $same
            (if (i32.eq (i32.load8_u (i32.add (local.get $at) (local.get $i))) (i32.load8_u (i32.add (i32.const 900) (local.get $i)))) (then
              (local.set $i (i32.add (local.get $i) (i32.const 1)))
              (if (i32.eq (local.get $i) (i32.const 6)) (then (return (i32.const 1))))
              (br $same))))
          (local.set $at (i32.add (local.get $at) (i32.const 1)))
          (br $next))))
      (i32.const 0))"#;

const DENY: &str = "(drop (call $reply (i32.const 403) (i32.const 0) (i32.const 0) [no] (i32.const 0) (i32.const 0) (i32.const -1)))";
const GO_ON: &str = "(drop (call $continue (i32.const 0)))";
/// The context of the only stream; an answer is about the root context otherwise.
const OF_STREAM: &str = "(drop (call $context (i32.const 2)))";

/// Waits for the whole body, looks for the word, and then asks whether the request may pass. Whatever goes wrong, it may not.
fn good() -> String {
    format!(
        "{SEARCH} {} (@request_body
           (if (i32.eqz (local.get 2)) (then (return (i32.const 1))))
           (if (call $has) (then {DENY} (return (i32.const 1))))
           (if (call $go) (then {DENY}))
           (i32.const 1))
         (@http_call_response {OF_STREAM} (if (local.get 3) (then {GO_ON}) (else {DENY})))",
        callout("auth", 50)
    )
}

fn scenario(exchange: Exchange) -> Scenario {
    let cluster = |body: &str, delay_ms| Cluster::Answers { response: Response::of(body), delay_ms };
    Scenario {
        name: "x".to_owned(),
        config: Some(b"{}".to_vec()),
        upstreams: [("auth".to_owned(), cluster("yes", 5)), ("other".to_owned(), cluster("yes indeed", 5))]
            .into(),
        exchanges: vec![exchange],
        ..Scenario::default()
    }
}

fn explored(more: &str, exchange: &Exchange) -> Explored {
    let begun = Instant::now();
    let explored = explore(&scenario(exchange.clone()), &module(more), &Exploration::default());
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    explored.unwrap_or_else(|error| panic!("{error}"))
}

/// What is found first, as a person reads it.
#[track_caller]
fn check_found(more: &str, exchange: &Exchange, expected: &str) -> Vec<Case> {
    let explored = explored(more, exchange);
    assert_eq!(explored.cases.first().map(ToString::to_string).as_deref(), Some(expected));
    explored.cases
}

#[test]
fn a_correct_plugin_is_clean() {
    let clean = explored(&good(), &exchange("a hidden thing", "and its long answer"));
    assert_eq!(clean.cases, []);
    // Whole bodies; 13 and 18 splits in two, 200 random ones and single bytes of each; 6 failures.
    assert_eq!((clean.runs, clean.bodies, clean.callouts), (1 + 13 + 18 + 2 * 201 + 6, 2, 1));
    assert_eq!(explored(&good(), &exchange("a secret thing", "")).cases, []);
}

#[test]
fn a_value_that_is_split_over_chunks_and_missed() {
    let plugin = format!("{SEARCH} (@request_body (if (call $has) (then {DENY})) (i32.const 0))");
    let cases = check_found(
        &plugin,
        &exchange("my secret", ""),
        "exchange 1: the request's body in 2 parts\n  \
         chunks = [\"my s\", \"ecret\"]\n  \
         exchange 1: upstream: otherwise None, here Some(\"v1\")\n  \
         exchange 1: request body: otherwise \"\", here \"my secret\"\n  \
         exchange 1: status: otherwise Some(403), here Some(200)\n  \
         exchange 1: response content-type: otherwise \"text/plain\", here (none)\n  \
         exchange 1: response body: otherwise \"no\", here \"\"\n  \
         exchange 1: request :authority: otherwise (none), here \"shop.example\"\n  \
         exchange 1: request :method: otherwise (none), here \"GET\"\n  \
         exchange 1: request :path: otherwise (none), here \"/\"",
    );
    assert_eq!(cases.len(), 1);
    // Also where it is long, and where only three parts do it.
    let long = format!("{}secret{}", "x".repeat(300), "y".repeat(300));
    let [case] = explored(&plugin, &exchange(&long, "")).cases.try_into().unwrap();
    assert_eq!(case.how.len(), 1);
    assert!(
        case.how[0].starts_with("chunks = [\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\" ...(301 bytes)... \"xx"),
        "{case}"
    );
    assert!(case.how[0].contains("xs\", \"ecretyyy"), "{case}");
}

#[test]
fn a_stream_that_is_not_resumed_when_a_callout_fails() {
    let plugin = format!(
        "{} (@request_headers (drop (call $go)) (i32.const 1))
         (@http_call_response (if (local.get 3) (then {OF_STREAM} {GO_ON})))",
        callout("auth", 50)
    );
    let cases = check_found(
        &plugin,
        &exchange("", ""),
        "callout 1 (GET a/ to auth) is refused when it is sent (no healthy host)\n  \
         exchange 1: lint pause-not-resumed: proxy_on_request_headers: the request is held and nothing lets it go on: it never reaches the upstream\n  \
         exchange 1: the client gets no response",
    );
    let failures: Vec<&str> = cases.iter().map(|case| case.what.as_str()).collect();
    assert_eq!(failures.len(), 4, "{failures:?}");
}

#[test]
fn a_second_reply_when_a_callout_fails() {
    let plugin = format!(
        "{} (@request_headers (if (call $go) (then {DENY})) (i32.const 1))
         (@http_call_response {OF_STREAM} (if (i32.eqz (local.get 3)) (then {DENY})) (if (i32.eqz (local.get 2)) (then {DENY}) (else {GO_ON})))",
        callout("auth", 50)
    );
    check_found(
        &plugin,
        &exchange("", ""),
        "callout 1 (GET a/ to auth) is reset (no headers, no body)\n  \
         exchange 1: lint second-reply: proxy_on_http_call_response: a reply of 403 behind another one",
    );
}

#[test]
fn a_callout_that_is_left_behind() {
    // It asks two and goes on with the first answer; the other one comes to nobody when it is late.
    let plugin = format!(
        "{} {} (@request_headers (if (i32.or (call $go) (call $ask)) (then {DENY})) (i32.const 1))
         (@http_call_response {OF_STREAM} {GO_ON})",
        callout("auth", 500),
        callout("other", 500).replace("$go", "$ask").replace("512", "612")
    );
    check_found(
        &plugin,
        &exchange("", ""),
        "callout 1 (GET a/ to auth) is refused when it is sent (no healthy host)\n  \
         exchange 1: lint callout-after-delete: proxy_on_delete: the stream is deleted before a callout that it made is answered: nobody is left to take the answer\n  \
         exchange 1: lint call-out-of-phase: proxy_on_http_call_response: there is no stream to let go on",
    );
}

#[test]
fn memory_that_a_stream_leaks() {
    let leak = "(global $top (mut i32) (i32.const 70000)) (@context_create (if (local.get 1) (then
        (if (i32.gt_u (i32.add (global.get $top) (i32.const 64)) (i32.mul (memory.size) (i32.const 65536))) (then (drop (memory.grow (i32.const 1)))))
        (i32.store (global.get $top) (i32.const -1)) (global.set $top (i32.add (global.get $top) (i32.const 24))))))";
    let found =
        "many streams\n  lint stream-memory: the module's memory grows with each stream, by about 24 bytes";
    check_found(leak, &exchange("", ""), found);
}

#[test]
fn an_answer_that_counts_for_its_place_in_the_order() {
    // What the first answer is like decides: 3 bytes let the request pass.
    let plugin = format!(
        "(global $answers (mut i32) (i32.const 0)) {} {} (@request_headers (drop (call $go)) (drop (call $ask)) (i32.const 1))
         (@http_call_response {OF_STREAM}
           (global.set $answers (i32.add (global.get $answers) (i32.const 1)))
           (if (i32.eq (global.get $answers) (i32.const 1)) (then (if (i32.eq (local.get 3) (i32.const 3)) (then {GO_ON}) (else {DENY})))))",
        callout("auth", 500),
        callout("other", 500).replace("$go", "$ask").replace("512", "612")
    );
    let mut scenario = scenario(exchange("", ""));
    scenario.allow.insert(Lint::CalloutAfterDelete, "that is not what this is about".to_owned());
    let explored = explore(&scenario, &module(&plugin), &Exploration::default()).unwrap();
    let case = explored.cases[0].to_string();
    assert!(
        case.starts_with(
            "callouts that are answered in another order\n  first the answer to callout 2 (GET a/ to other)\n  then  the answer to callout 1 (GET a/ to auth)\n  exchange 1: upstream: otherwise Some(\"v1\"), here None"
        ),
        "{case}"
    );
}

#[test]
fn what_has_no_end_or_is_too_large_is_an_error() {
    let again = format!(
        "{} (@request_headers (drop (call $go)) (i32.const 0)) (@http_call_response (drop (call $go)))",
        callout("auth", 50)
    );
    let error = explore(&scenario(exchange("", "")), &module(&again), &Exploration::default()).unwrap_err();
    assert!(matches!(error, ExploreError::Endless { .. }));
    assert_eq!(
        error.to_string(),
        "the exploration has no end: the plugin made 500 callouts in one run, the last of them GET a/ to auth"
    );
    let large = scenario(exchange(&"x".repeat(30_000), ""));
    let error = explore(&large, &module(""), &Exploration::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the exploration is too large: the splits of the request's body of exchange 1 (30000 bytes) take 30200 exchanges, and the budget is 20000; \
         give it a larger one, or the scenario less to try"
    );
    let many = (0..8).fold(String::new(), |many, _| many + "(drop (call $go))");
    let many = format!("{} (@request_headers {many} (i32.const 0))", callout("auth", 50));
    let mut scenario = scenario(exchange("", ""));
    scenario.allow.insert(Lint::CalloutAfterDelete, "that is not what this is about".to_owned());
    let few = Exploration { budget: 100, ..Exploration::default() };
    let error = explore(&scenario, &module(&many), &few).unwrap_err();
    assert!(
        error.to_string().contains("the orders of 8 callouts take more exchanges than the budget of 100"),
        "{error}"
    );
}

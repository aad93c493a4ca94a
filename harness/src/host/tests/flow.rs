//! The order of callbacks, pausing and going on, replies, and callouts.

use super::probe::{exchange, get, lines, proxy, saying, with_clusters};
use crate::{
    Bytes,
    outcome::ExchangeOutcome,
    scenario::{Chunk, Cluster, Exchange, Headers, Response},
};
use std::collections::BTreeMap;

/// Says every callback of a stream: a letter, the count or size, and whether the stream ends.
fn traced(more: &str) -> String {
    saying(
        more,
        &[
            ("context_create", 'C', "(local.get 0)", "(local.get 1)", ""),
            ("request_headers", 'H', "(local.get 1)", "(local.get 2)", "(i32.const 0)"),
            ("request_body", 'B', "(local.get 1)", "(local.get 2)", "(i32.const 0)"),
            ("request_trailers", 'T', "(local.get 1)", "(i32.const 0)", "(i32.const 0)"),
            ("response_headers", 'h', "(local.get 1)", "(local.get 2)", "(i32.const 0)"),
            ("response_body", 'b', "(local.get 1)", "(local.get 2)", "(i32.const 0)"),
            ("response_trailers", 't', "(local.get 1)", "(i32.const 0)", "(i32.const 0)"),
            ("log", 'l', "(i32.const 0)", "(i32.const 0)", ""),
            ("done", 'd', "(i32.const 0)", "(i32.const 0)", "(i32.const 0)"),
            ("delete", 'x', "(i32.const 0)", "(i32.const 0)", ""),
        ],
    )
}

fn pairs(pairs: &[(&str, &str)]) -> Headers {
    pairs.iter().map(|(name, value)| (Bytes::from(*name), Bytes::from(*value))).collect()
}

#[track_caller]
fn check(more: &str, exchange: &Exchange, expected: &str) -> ExchangeOutcome {
    let outcome = proxy(&traced(more)).exchange(exchange);
    assert_eq!(lines(&outcome).join(" "), expected);
    outcome
}

/// A POST of "hello", in one part with its length or in two.
fn post(parts: &[&str]) -> Exchange {
    let mut exchange = exchange("", "");
    exchange.request.chunks = parts.iter().map(|part| Chunk::from(*part)).collect();
    exchange.request.is_chunked = parts.len() > 1;
    exchange
}

#[test]
fn callbacks_come_in_envoys_order_and_the_log_before_done() {
    check("", &exchange("", ""), "C21 H61 h31 l00 d00 x00");
    check("", &exchange("hello", "hi"), "C21 H70 B50 B01 h30 b20 b01 l00 d00 x00");
    check("", &post(&["hel", "lo"]), "C21 H60 B30 B20 B01 h31 l00 d00 x00");
}

#[test]
fn trailers_end_a_body_and_pass() {
    let mut exchange = post(&["hel", "lo"]);
    exchange.request.trailers = pairs(&[("X-T", "1")]);
    exchange.response = Response { is_chunked: true, trailers: pairs(&[("x-r", "2")]), ..Response::of("hi") };
    let outcome = check("", &exchange, "C21 H60 B30 B20 T10 h30 b20 t10 l00 d00 x00");
    assert_eq!(outcome.request_trailers, pairs(&[("x-t", "1")]));
    assert_eq!(outcome.response_trailers, pairs(&[("x-r", "2")]));
    assert_eq!((outcome.request_body, outcome.response_body), (Bytes::from("hello"), Bytes::from("hi")));
}

#[test]
fn trailers_come_to_be_at_the_end_of_a_body_in_chunks() {
    let add = "(@request_body (call $status (call $add (i32.const 1) [x-t] [1])) (i32.const 0))";
    let outcome = proxy(add).exchange(&post(&["hel", "lo"]));
    assert_eq!((lines(&outcome), &outcome.request_trailers), (vec!["2", "2", "0"], &pairs(&[("x-t", "1")])));
    // Behind a body with a length there is no place for them.
    let outcome = proxy(add).exchange(&post(&["hello"]));
    assert_eq!((lines(&outcome), &outcome.request_trailers), (vec!["2", "0"], &Headers::new()));
}

#[test]
fn a_response_without_a_body_ends_with_its_headers() {
    for (method, status) in [("HEAD", 200), ("GET", 204), ("GET", 304)] {
        let mut exchange = exchange("", "hi");
        exchange.request.method = method.to_owned();
        exchange.response.status = status;
        let outcome = check("", &exchange, "C21 H61 h31 l00 d00 x00");
        assert_eq!((outcome.status, outcome.response_body), (Some(status), Bytes::default()));
    }
}

#[test]
fn a_held_body_is_seen_as_it_grows_and_goes_on_whole() {
    let hold = "(@request_body (if (result i32) (local.get 2) (then (i32.const 0)) (else (i32.const 1))))";
    let outcome = check(hold, &post(&["hel", "lo"]), "C21 H60 B30 B50 B51 h31 l00 d00 x00");
    assert_eq!(outcome.request_body, Bytes::from("hello"));
    // Held without being shown again, and dropped.
    let outcome = check(
        &hold.replace("const 1", "const 2"),
        &post(&["hel", "lo"]),
        "C21 H60 B30 B20 B01 h31 l00 d00 x00",
    );
    assert_eq!(outcome.request_body, Bytes::from("hello"));
    let outcome = check(
        &hold.replace("const 1", "const 3"),
        &post(&["hel", "lo"]),
        "C21 H60 B30 B20 B01 h31 l00 d00 x00",
    );
    assert_eq!(outcome.request_body, Bytes::default());
}

#[test]
fn a_length_that_a_filter_has_made_wrong_cuts_the_body_or_hangs() {
    let set = |with: &str| {
        format!(
            "(@request_body (if (i32.eqz (local.get 2)) (then (drop (call $set_buffer (i32.const 0) (i32.const 0) (i32.const 99) [{with}])))) (i32.const 0))"
        )
    };
    let outcome = proxy(&set("REPLACED")).exchange(&post(&["hello"]));
    assert_eq!(outcome.request_body, Bytes::from("REPLA"));
    let outcome = proxy(&set("no")).exchange(&post(&["hello"]));
    assert_eq!((outcome.upstream, outcome.status), (None, None));
}

#[test]
fn more_than_envoy_holds_back_is_413() {
    let hold = "(@request_body (i32.const 1)) (@response_headers (call $text [response]) (i32.const 0))";
    let large = "x".repeat((1 << 20) + 1);
    let outcome = proxy(hold).exchange(&exchange(&large, ""));
    assert_eq!((outcome.status, &outcome.upstream), (Some(413), &None));
    assert_eq!(
        (outcome.response_body.lossy().as_str(), lines(&outcome)),
        ("Payload Too Large", vec!["response"])
    );
}

#[test]
fn of_two_replies_the_first_counts_and_passes_the_filters_own_response_callbacks() {
    let reply = |status: u32| {
        format!(
            "(call $status (call $reply (i32.const {status}) [some details] [no] [\x01\0\0\0\x03\0\0\0\x01\0\0\0X-A\0b\0] (i32.const -1)))"
        )
    };
    let outcome = check(
        &format!("(@request_headers {} {} (i32.const 0))", reply(401), reply(402)),
        &exchange("hello", ""),
        "C21 H70 0 0 h40 b21 l00 d00 x00",
    );
    assert_eq!(
        (outcome.status, &outcome.upstream, outcome.response_body),
        (Some(401), &None, Bytes::from("no"))
    );
    assert_eq!(
        outcome.response_headers,
        pairs(&[(":status", "401"), ("x-a", "b"), ("content-length", "2"), ("content-type", "text/plain")])
    );
}

#[test]
fn a_reply_in_place_of_a_response_is_not_seen_but_logged() {
    let outcome = check(
        "(@response_headers (drop (call $reply (i32.const 500) [] [] [] (i32.const -1))) (i32.const 0))
         (@log (call $show (call $get (i32.const 2) [:status] (i32.const 8) (i32.const 12))))",
        &exchange("", "hi"),
        "C21 H61 h30 l00 0 500 d00 x00",
    );
    assert_eq!(
        (outcome.status, outcome.upstream.as_deref(), outcome.response_body),
        (Some(500), Some("v1"), Bytes::default())
    );
}

#[test]
fn a_reply_after_the_headers_and_a_closed_stream_are_resets() {
    let late = "(@response_body (drop (call $reply (i32.const 500) [] [] [] (i32.const -1))) (i32.const 0))";
    assert_eq!(check(late, &exchange("", "hi"), "C21 H61 h30 b20 l00 d00 x00").status, None);
    let close = "(@request_headers (drop (call $close (i32.const 0))) (i32.const 1))";
    assert_eq!(check(close, &exchange("", "hi"), "C21 H61 l00 d00 x00").status, None);
}

#[test]
fn a_grpc_request_is_answered_by_headers_alone() {
    let mut exchange = exchange("", "");
    exchange.request.headers = pairs(&[("content-type", "application/grpc")]);
    let text =
        "(@request_headers (drop (call $reply (i32.const 403) [] [no %] [] (i32.const 99))) (i32.const 0))";
    let outcome = proxy(text).exchange(&exchange);
    assert_eq!((outcome.status, outcome.response_body), (Some(200), Bytes::default()));
    assert_eq!(outcome.response_headers[2..], pairs(&[("grpc-status", "7"), ("grpc-message", "no %25")]));
}

#[test]
fn a_stream_that_nothing_lets_go_on_gets_no_answer_but_a_log() {
    let outcome = check("(@request_headers (i32.const 7))", &exchange("hello", ""), "C21 H70 l00 d00 x00");
    assert_eq!((outcome.status, outcome.upstream), (None, None));
    let outcome = check("(@request_headers (i32.const 2))", &exchange("", ""), "C21 H61 h31 l00 d00 x00");
    assert_eq!(outcome.status, Some(200));
}

const CALL: &str = "(func $ask (param i32 i32) (call $status (call $call (local.get 0) (local.get 1)
    [\x03\0\0\0\x07\0\0\0\x03\0\0\0\x05\0\0\0\x01\0\0\0\x0a\0\0\0\x01\0\0\0:method\0GET\0:path\0/\0:authority\0a\0]
    (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 300) (i32.const 32))))";
const ANSWER: &str =
    "(call $show (call $buffer (i32.const 4) (i32.const 0) (i32.const 99) (i32.const 8) (i32.const 12)))";

fn cluster(body: &str, delay_ms: u64) -> Cluster {
    Cluster::Answers { response: Response::of(body), delay_ms }
}

#[test]
fn a_held_request_goes_on_with_its_body_in_one_part_when_the_callout_is_answered() {
    let text = traced(&format!(
        "{CALL} (@request_headers (call $ask [auth]) (i32.const 1))
         (@http_call_response (call $say (i32.const 65) (local.get 0) (i32.div_u (local.get 1) (i32.const 4)))
           (call $show (call $get (i32.const 6) [:status] (i32.const 8) (i32.const 12))) {ANSWER}
           (call $status (call $add (i32.const 0) [x] [1])) (call $status (call $context (i32.const 2))) (call $status (call $add (i32.const 0) [x] [1]))
           (call $status (call $continue (i32.const 0))) (call $status (call $add (i32.const 0) [x] [1])))"
    ));
    let clusters = BTreeMap::from([("auth".to_owned(), cluster("welcome", 0))]);
    let outcome = with_clusters(&text, clusters).exchange(&post(&["hel", "lo"]));
    // The answer arrives at the root context, where no map of the stream is at hand; after the call that lets it go on there is none either.
    assert_eq!(lines(&outcome).join(" "), "C21 H60 0 A11 0 200 0 welcome 2 0 0 0 2 B51 h31 l00 d00 x00");
    assert_eq!(outcome.request_body, Bytes::from("hello"));
    assert!(outcome.request_headers.contains(&(Bytes::from("x"), Bytes::from("1"))));
}

#[test]
fn callouts_are_answered_in_the_order_of_their_delays_and_outlive_their_stream() {
    let text = format!(
        "{CALL} (@request_headers (call $ask [slow]) (call $ask [fast]) (call $ask [gone]) (call $ask [none]) (i32.const 0))
         (@log (call $text [log])) (@http_call_response {ANSWER} (call $status (call $context (i32.const 2))))"
    );
    let clusters = BTreeMap::from([
        ("slow".to_owned(), cluster("slow", 60)),
        ("fast".to_owned(), cluster("fast", 10)),
        ("gone".to_owned(), cluster("gone", 900)),
    ]);
    let outcome = with_clusters(&text, clusters).exchange(&exchange("", ""));
    assert_eq!(outcome.status, Some(200));
    assert_eq!(lines(&outcome).join(" "), "0 0 0 2 log 0 fast 2 0 slow 2 0 upstream request timeout 2");
}

#[test]
fn a_cluster_that_refuses_is_answered_503() {
    let text = format!(
        "{CALL} (@request_headers (call $ask [auth]) (i32.const 0)) (@http_call_response (call $show (call $get (i32.const 6) [:status] (i32.const 8) (i32.const 12))))"
    );
    let clusters = BTreeMap::from([("auth".to_owned(), Cluster::Refuses)]);
    let outcome = with_clusters(&text, clusters).exchange(&exchange("", ""));
    assert_eq!(lines(&outcome), ["0", "0", "503"]);
}

#[test]
fn host_calls_are_counted_by_name_for_each_exchange() {
    let mut proxy =
        proxy("(@request_headers (call $status (call $add (i32.const 0) [x] [1])) (i32.const 0))");
    for _ in 0..2 {
        let cost = proxy.exchange(&exchange("", "")).cost;
        assert_eq!(cost.map(|cost| cost.host_calls), Some(2));
        assert_eq!(
            proxy.host_calls().into_iter().collect::<Vec<_>>(),
            [("proxy_add_header_map_value", 1), ("proxy_log", 1)]
        );
    }
}

#[test]
fn the_same_seed_gives_the_same_request_id_and_each_stream_its_own() {
    let id = |outcome: &ExchangeOutcome| {
        outcome.request_headers.iter().find(|(name, _)| name.0 == b"x-request-id").cloned()
    };
    let mut proxy = proxy("");
    let (one, other) = (proxy.exchange(&exchange("", "")), proxy.exchange(&exchange("", "")));
    assert_eq!(id(&one), id(&get("")));
    assert_ne!(id(&one), id(&other));
}

#[test]
fn headers_of_which_envoy_keeps_one_line_are_joined() {
    let mut exchange = exchange("", "");
    exchange.request.headers = pairs(&[
        ("Accept", "a"),
        ("x-a", "1"),
        ("accept", "b"),
        ("X-A", "2"),
        ("cookie", "1"),
        ("cookie", "2"),
    ]);
    exchange.response.headers =
        pairs(&[("vary", "a"), ("set-cookie", "1"), ("Vary", "b"), ("set-cookie", "2")]);
    let text = "(@request_headers (drop (call $add (i32.const 0) [accept] [c])) (drop (call $add (i32.const 0) [x-a] [3])) (i32.const 0))";
    let outcome = proxy(text).exchange(&exchange);
    let own = |headers: &Headers| {
        let own = headers
            .iter()
            .filter(|(name, _)| name.0[0] != b':' && !crate::outcome::is_added_by_proxy(&name.0));
        own.map(|(name, value)| format!("{}={}", name.lossy(), value.lossy())).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(own(&outcome.request_headers), "accept=a,b,c x-a=1 x-a=2 cookie=1 cookie=2 x-a=3");
    assert_eq!(own(&outcome.response_headers), "vary=a,b set-cookie=1 set-cookie=2");
}

#[test]
fn headers_of_the_connection_do_not_reach_the_filter() {
    let mut exchange = exchange("", "");
    exchange.request.headers =
        pairs(&[("host", "h"), ("Keep-Alive", "1"), ("te", "trailers"), ("x-request-id", "r")]);
    let outcome = check("", &exchange, "C21 H71 h31 l00 d00 x00");
    assert!(outcome.request_headers.contains(&(Bytes::from("x-request-id"), Bytes::from("r"))));
}

#[test]
fn more_headers_than_envoy_takes_are_431_and_only_logged() {
    let mut exchange = exchange("", "");
    exchange.request.headers = vec![(Bytes::from("x"), Bytes::from("1")); 99];
    assert_eq!(proxy("").exchange(&exchange).status, Some(200));
    exchange.request.headers.push((Bytes::from("x"), Bytes::from("1")));
    let log = "(@log (call $show (call $get (i32.const 0) [:path] (i32.const 8) (i32.const 12))) (call $show (call $get (i32.const 2) [:status] (i32.const 8) (i32.const 12))))";
    let outcome = check(log, &exchange, "C21 l00 1 0 431 d00 x00");
    assert_eq!((outcome.status, outcome.upstream), (Some(431), None));
}

#[test]
fn a_204_comes_without_the_length_0() {
    let mut exchange = exchange("", "");
    exchange.response.status = 204;
    check("", &exchange, "C21 H61 h21 l00 d00 x00");
}

#[test]
fn several_hosts_are_one_authority() {
    let mut exchange = exchange("", "");
    exchange.request.headers = pairs(&[("Host", "other.example"), ("x-a", "1")]);
    let outcome = proxy("").exchange(&exchange);
    let authority = outcome.request_headers.iter().find(|(name, _)| name.0 == b":authority");
    assert_eq!(authority.map(|(_, value)| value.lossy()).as_deref(), Some("shop.example,other.example"));
}

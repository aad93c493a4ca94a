//! TCP connections through a plugin as a network filter. The orders are those that Envoy 1.40 was seen to have.

use super::probe::{lines, proxy, saying};
use crate::{
    outcome::ExchangeOutcome,
    scenario::{Chunk, Exchange, Request, Response},
};

/// Says every callback of a connection: a letter, the count or who closes, and whether the direction ends. `more` may do more, or something else than
/// go on.
fn traced(more: &str) -> String {
    saying(
        more,
        &[
            ("new_connection", 'N', "(i32.const 0)", "(i32.const 0)", "(i32.const 0)"),
            ("downstream_data", 'D', "(local.get 1)", "(local.get 2)", "(i32.const 0)"),
            ("upstream_data", 'U', "(local.get 1)", "(local.get 2)", "(i32.const 0)"),
            ("downstream_connection_close", 'c', "(local.get 1)", "(i32.const 0)", ""),
            ("upstream_connection_close", 'u', "(local.get 1)", "(i32.const 0)", ""),
            ("log", 'l', "(i32.const 0)", "(i32.const 0)", ""),
            ("done", 'd', "(i32.const 0)", "(i32.const 0)", "(i32.const 0)"),
            ("delete", 'x', "(i32.const 0)", "(i32.const 0)", ""),
        ],
    )
}

/// What comes of a client that sends "abc" and "de" to an upstream that sends "one" and "two".
#[track_caller]
fn check(more: &str, expected: &str) -> (ExchangeOutcome, [String; 2]) {
    let request = Request { chunks: ["abc", "de"].map(Chunk::from).into(), ..Request::default() };
    let response = Response { chunks: ["one", "two"].map(Chunk::from).into(), ..Response::default() };
    let exchange = Exchange { is_tcp: true, request, response, ..Exchange::default() };
    let outcome = proxy(&traced(more)).exchange(&exchange);
    assert_eq!(lines(&outcome).join(" "), expected);
    let bodies = [outcome.request_body.lossy(), outcome.response_body.lossy()];
    (outcome, bodies)
}

#[test]
fn bytes_pass_both_ways_and_each_end_is_told() {
    let (outcome, bodies) = check("", "N00 D30 U30 D20 U30 D01 U01 u20 c10 d00 l00 x00");
    assert_eq!(bodies, ["abcde", "onetwo"]);
    assert_eq!(outcome.upstream.as_deref(), Some("v1"));
}

#[test]
fn what_a_filter_holds_is_shown_again_with_what_follows() {
    let (_, bodies) = check(
        "(@downstream_data (i32.eqz (local.get 2)))",
        "N00 D30 D50 D51 U30 U30 U01 u20 c10 d00 l00 x00",
    );
    assert_eq!(bodies, ["abcde", "onetwo"]);
}

#[test]
fn a_filter_changes_what_passes() {
    let (_, bodies) = check(
        "(@upstream_data (drop (call $set_buffer (i32.const 3) (i32.const 0) (local.get 1) [X])) (i32.const 0))",
        "N00 D30 U30 D20 U30 D01 U01 u20 c10 d00 l00 x00",
    );
    assert_eq!(bodies, ["abcde", "XXX"]);
}

#[test]
fn a_filter_closes_the_connection() {
    let (outcome, bodies) =
        check("(@new_connection (drop (call $close (i32.const 2))) (i32.const 0))", "N00 c10 d00 l00 x00");
    assert_eq!((outcome.upstream, bodies), (None, [String::new(), String::new()]));
}

#[test]
fn bodies_of_http_are_not_those_of_a_connection() {
    check(
        "(@downstream_data (call $status (call $set_buffer (i32.const 0) (i32.const 0) (i32.const 0) [X])) (i32.const 0))",
        "N00 D30 2 U30 D20 2 U30 D01 2 U01 u20 c10 d00 l00 x00",
    );
}

#[test]
fn a_trap_ends_the_connection() {
    let (_, bodies) = check("(@downstream_data (unreachable))", "N00 D30");
    assert_eq!(bodies, [String::new(), String::new()]);
}

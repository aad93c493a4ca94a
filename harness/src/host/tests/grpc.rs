//! gRPC where a sheet of conformance cannot go: without end, or beyond what Envoy survives.

use super::probe::{exchange, lines, with_clusters};
use crate::scenario::{Cluster, GrpcAnswers};

/// Functions that call and open a stream to the cluster whose name, or message, stands at the given place.
const ASK: &str =
    "(func $ask (param i32 i32) (call $status (call $grpc_call (local.get 0) (local.get 1) [s] [m]
        (i32.const 0) (i32.const 0) [hi] (i32.const 100) (i32.const 8))))
    (func $open (param i32 i32) (call $status (call $grpc_stream (local.get 0) (local.get 1) [s] [m]
        (i32.const 0) (i32.const 0) (i32.const 8))))";

/// The message that names the cluster `empty`, whose bare name would be a message itself.
const EMPTY: &str = "[\n\x07\n\x05empty]";

#[track_caller]
fn check(module: &str, check: impl FnOnce(Option<u16>, &[&str], &[String])) {
    let answers = GrpcAnswers { messages: vec!["pong".into()], ..GrpcAnswers::default() };
    let clusters = [("one", Cluster::Grpc(answers)), ("empty", Cluster::Empty)];
    let clusters = clusters.map(|(name, cluster)| (name.to_owned(), cluster)).into();
    let mut proxy = with_clusters(&format!("{ASK} {module}"), clusters);
    let outcome = proxy.exchange(&exchange("", ""));
    let traps: Vec<String> = proxy.traps().iter().map(ToString::to_string).collect();
    check(outcome.status, &lines(&outcome), &traps);
}

#[test]
fn an_answer_reaches_the_root_context() {
    let receive =
        "(@grpc_receive (call $say (i32.const 82) (local.get 0) (i32.shr_u (local.get 1) (i32.const 2)))
        (call $show (call $buffer (i32.const 5) (i32.const 0) (i32.const 99) (i32.const 8) (i32.const 12))))";
    check(
        &format!("{receive} (@request_headers (call $ask [one]) (i32.const 0))"),
        |status, lines, traps| {
            assert_eq!((status, lines), (Some(200), &["0", "R11", "0", "pong"][..]));
            assert!(traps.is_empty());
        },
    );
}

#[test]
fn a_stream_that_opens_itself_anew_while_it_fails_is_ended() {
    check(
        &format!(
            "(@grpc_receive_initial_metadata (call $open {EMPTY})) (@request_headers (call $open {EMPTY}) (i32.const 0))"
        ),
        |status, _, traps| {
            assert_eq!(status, Some(503));
            assert!(traps[0].contains("exhausted"), "{traps:?}");
        },
    );
}

#[test]
fn a_call_that_is_made_anew_whenever_it_fails_is_left_at_some_time() {
    check(
        &format!("(@grpc_close (call $ask {EMPTY})) (@request_headers (call $ask {EMPTY}) (i32.const 0))"),
        |status, lines, traps| {
            assert_eq!((status, lines.len()), (Some(200), 1001));
            assert!(traps.is_empty());
        },
    );
}

#[test]
fn a_stream_that_fails_behind_a_call_is_the_end() {
    check(
        &format!(
            "(@grpc_receive_initial_metadata (call $text [told])) (@request_headers (call $ask {EMPTY}) (call $open {EMPTY}) (i32.const 0))"
        ),
        |_, lines, traps| {
            assert_eq!(lines, ["\u{3a}", "told"]);
            assert!(traps[0].contains("spins for ever"), "{traps:?}");
        },
    );
}

#[test]
fn a_name_that_is_a_message_is_the_end() {
    check("(@request_headers (call $ask [users]) (i32.const 0))", |_, _, traps| {
        assert!(traps[0].contains("a message without a target"), "{traps:?}");
    });
}

//! What broken and hostile modules come to: an error with a name or Envoy's 503, never a panic or a hang.

use super::probe::{exchange, get, lines, module, options, proxy, text, with_clusters};
use crate::{
    host::{Module, Options, Proxy, Settings, Vm},
    scenario::{Cluster, Response},
};
use std::{collections::BTreeMap, fmt::Write as _};

#[track_caller]
fn start_fails(more: &str, expected: &str) {
    let error = Vm::new(&module(more), &options()).unwrap_err().to_string();
    assert!(error.starts_with(expected), "{error}");
}

#[track_caller]
fn is_refused(more: &str, expected: &str) {
    let error = Module::load(&wat::parse_str(text(more)).unwrap()).unwrap_err().to_string();
    assert!(error.starts_with(expected), "{error}");
}

#[test]
fn a_module_that_does_not_start_says_where_and_why() {
    let endless = "(loop (br 0))";
    start_fails(&format!("(func $s {endless}) (start $s)"), "instantiation trapped: took more instructions");
    start_fails(
        &format!("(func (export \"_initialize\") {endless})"),
        "_initialize trapped: took more instructions",
    );
    start_fails("(func (export \"_start\") unreachable)", "_start trapped: wasm trap: wasm `unreachable`");
    start_fails("(@vm_start i32.const 0)", "proxy_on_vm_start trapped: returned false");
    start_fails(
        "(@vm_start (call $text [told you]) unreachable)",
        "proxy_on_vm_start trapped: wasm trap: wasm `unreachable` instruction executed\n  info: told you",
    );
    start_fails("(memory $more 5000)", "instantiation trapped: ");
    start_fails("(table 2000000 funcref)", "instantiation trapped: ");
}

#[test]
fn host_calls_are_restricted_while_a_module_starts_or_allocates() {
    start_fails(
        "(func (export \"_initialize\") (call $text [fine]) (call $status (call $period (i32.const 1))))",
        "_initialize trapped: proxy_set_tick_period_milliseconds must not be called",
    );
    let outcome = get(
        r#"(func (export "proxy_on_memory_allocate") (param i32) (result i32) (call $status (call $close (i32.const 0))) (i32.const 8))
           (@request_headers (call $show (call $pairs (i32.const 0) (i32.const 8) (i32.const 12))) (i32.const 0))"#,
    );
    // What asked for the memory is told so and goes on; then the VM has failed.
    assert_eq!((outcome.status, lines(&outcome)), (Some(503), vec!["6"]));
}

#[test]
fn a_signature_that_the_abi_does_not_have_is_refused() {
    is_refused("(func (export \"proxy_on_log\") (param i64))", "exports proxy_on_log with a signature");
    is_refused(
        "(func (export \"proxy_on_request_headers\") (param i32 i32) (result i32) (i32.const 0))",
        "exports proxy_on_request_headers with",
    );
    let bytes = wat::parse_str(
        r#"(module (import "env" "proxy_log" (func (param i64))) (memory (export "memory") 1)
           (func (export "proxy_abi_version_0_2_0")) (func (export "malloc") (param i32) (result i32) (i32.const 0)))"#,
    );
    let error = Module::load(&bytes.unwrap()).unwrap_err().to_string();
    assert!(error.starts_with("imports what no host has: "), "{error}");
}

#[test]
fn headers_of_abi_0_1_0_come_without_the_end_of_the_stream() {
    let bytes = wat::parse_str(
        r#"(module (memory (export "memory") 1) (func (export "proxy_abi_version_0_1_0")) (func (export "malloc") (param i32) (result i32) (i32.const 0))
           (func (export "proxy_on_request_headers") (param i32 i32) (result i32) (i32.const 0)))"#,
    );
    let mut proxy = Proxy::new(Settings::default());
    proxy.add(&Module::load(&bytes.unwrap()).unwrap(), &Options::default(), None).unwrap();
    assert_eq!(proxy.exchange(&exchange("", "")).status, Some(200));
}

#[test]
fn a_request_on_which_a_module_traps_gets_503_and_so_do_all_that_follow() {
    for trap in [
        "unreachable",
        "(loop (br 0)) (i32.const 0)",
        "(call $deep) (i32.const 0)",
        "(i32.load (i32.const -4))",
        "(loop (call $text (i32.const 0) (i32.const 131072)) (br 0)) (i32.const 0)",
        "(loop (call $status (call $period (i32.const 1))) (br 0)) (i32.const 0)",
    ] {
        let mut proxy = proxy(&format!("(func $deep (call $deep)) (@request_headers {trap})"));
        let outcome = proxy.exchange(&exchange("", ""));
        assert_eq!((outcome.status, &outcome.upstream, outcome.response_body.0.len()), (Some(503), &None, 0));
        assert_eq!(proxy.traps()[0].export, "proxy_on_request_headers");
        assert_eq!(proxy.exchange(&exchange("", "")).status, Some(503));
    }
}

#[test]
fn a_trap_after_the_request_is_503_or_a_reset_or_too_late() {
    let status = |callback: &str| {
        let mut proxy = proxy(callback);
        let outcome = proxy.exchange(&exchange("", "answer"));
        assert_eq!(outcome.upstream.as_deref(), Some("v1"));
        assert!(!proxy.traps().is_empty());
        outcome.status
    };
    assert_eq!(status("(@response_headers unreachable)"), Some(503));
    assert_eq!(status("(@response_body unreachable)"), None);
    assert_eq!(status("(@log unreachable)"), Some(200));
}

#[test]
fn a_panic_is_logged_as_an_error() {
    let outcome = get(
        "(@request_headers (i32.store (i32.const 16) (i32.const 1024)) (i32.store (i32.const 20) (i32.const 9))
           (drop (call $fd_write (i32.const 2) (i32.const 16) (i32.const 1) (i32.const 24))) (call $text [panicked\n]) unreachable)",
    );
    assert_eq!(outcome.log[0].level, "error");
    assert_eq!(outcome.log[0].text, "panicked");
}

#[test]
fn memory_ends_where_the_host_says_and_no_vm_dies_of_it() {
    let outcome = get(
        "(@request_headers (loop (br_if 0 (i32.ne (memory.grow (i32.const 256)) (i32.const -1)))) (i32.const 0))",
    );
    assert_eq!(outcome.status, Some(200));
}

#[test]
fn an_allocator_that_gives_nothing_or_nonsense_is_answered_with_a_status() {
    for place in ["0", "-8"] {
        let outcome = get(&format!(
            r#"(func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const {place}))
               (@request_headers (call $status (call $pairs (i32.const 0) (i32.const 8) (i32.const 12))) (i32.const 0))"#
        ));
        assert_eq!((outcome.status, lines(&outcome)), (Some(200), vec!["6"]));
    }
}

#[test]
fn a_module_that_calls_out_whenever_it_is_answered_comes_to_an_end() {
    let call = "(call $status (call $call [auth] [\x03\0\0\0\x07\0\0\0\x03\0\0\0\x05\0\0\0\x01\0\0\0\x0a\0\0\0\x01\0\0\0:method\0GET\0:path\0/\0:authority\0a\0] (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 99) (i32.const 8)))";
    let clusters = BTreeMap::from([("auth".to_owned(), Cluster::Refuses)]);
    let mut proxy = with_clusters(
        &format!("(@http_call_response {call}) (@request_headers {call} (i32.const 1))"),
        clusters,
    );
    let outcome = proxy.exchange(&exchange("", ""));
    assert_eq!((outcome.status, outcome.log.len()), (None, 1001));
}

/// Every function with 32-bit arguments, and how many it has.
const FUNCTIONS: [(&str, &str, usize); 42] = [
    ("env", "proxy_log", 3),
    ("env", "proxy_get_log_level", 1),
    ("env", "proxy_get_current_time_nanoseconds", 1),
    ("env", "proxy_get_property", 4),
    ("env", "proxy_set_property", 4),
    ("env", "proxy_get_header_map_value", 5),
    ("env", "proxy_get_header_map_pairs", 3),
    ("env", "proxy_get_header_map_size", 2),
    ("env", "proxy_add_header_map_value", 5),
    ("env", "proxy_replace_header_map_value", 5),
    ("env", "proxy_remove_header_map_value", 3),
    ("env", "proxy_set_header_map_pairs", 3),
    ("env", "proxy_get_buffer_bytes", 5),
    ("env", "proxy_get_buffer_status", 3),
    ("env", "proxy_set_buffer_bytes", 5),
    ("env", "proxy_continue_stream", 1),
    ("env", "proxy_http_call", 10),
    ("env", "proxy_set_effective_context", 1),
    ("env", "proxy_set_tick_period_milliseconds", 1),
    ("env", "proxy_define_metric", 4),
    ("env", "proxy_get_metric", 2),
    ("env", "proxy_get_shared_data", 5),
    ("env", "proxy_set_shared_data", 5),
    ("env", "proxy_get_status", 3),
    ("env", "proxy_done", 0),
    ("env", "proxy_call_foreign_function", 6),
    ("env", "proxy_grpc_call", 12),
    ("env", "proxy_register_shared_queue", 3),
    ("env", "proxy_dequeue_shared_queue", 3),
    ("env", "proxy_resolve_shared_queue", 5),
    ("wasi_snapshot_preview1", "fd_write", 4),
    ("wasi_snapshot_preview1", "fd_read", 4),
    ("wasi_snapshot_preview1", "fd_fdstat_get", 2),
    ("wasi_snapshot_preview1", "environ_get", 2),
    ("wasi_snapshot_preview1", "environ_sizes_get", 2),
    ("wasi_snapshot_preview1", "args_get", 2),
    ("wasi_snapshot_preview1", "args_sizes_get", 2),
    ("wasi_snapshot_preview1", "random_get", 2),
    ("wasi_snapshot_preview1", "poll_oneoff", 4),
    ("wasi_snapshot_preview1", "clock_res_get", 2),
    ("wasi_snapshot_preview1", "sched_yield", 0),
    ("env", "proxy_send_local_response", 8),
];

#[test]
fn every_function_answers_whatever_it_is_handed() {
    for value in ["0", "1", "-1", "65532", "131071", "2147483647"] {
        let (mut imports, mut calls, mut last) = (String::new(), String::new(), String::new());
        for (from, name, count) in FUNCTIONS {
            let (types, values) = ("i32 ".repeat(count), format!("(i32.const {value})").repeat(count));
            let _ =
                write!(imports, "(import \"{from}\" \"{name}\" (func ${name} (param {types}) (result i32)))");
            let _ = write!(calls, "(drop (call ${name} {values}))");
            // A reply or a closing there ends Envoy itself.
            if !matches!(name, "proxy_send_local_response" | "proxy_close_stream") {
                let _ = write!(last, "(drop (call ${name} {values}))");
            }
        }
        let text = format!(
            r#"(module {imports} (memory (export "memory") 2) (func (export "proxy_abi_version_0_2_1"))
               (func (export "malloc") (param i32) (result i32) (i32.const 4096)) (func $all {calls}) (func $last {last})
               (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (call $all) (i32.const 0))
               (func (export "proxy_on_request_body") (param i32 i32 i32) (result i32) (call $all) (i32.const 0))
               (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32) (call $all) (i32.const 0))
               (func (export "proxy_on_response_body") (param i32 i32 i32) (result i32) (call $all) (i32.const 0))
               (func (export "proxy_on_configure") (param i32 i32) (result i32) (call $all) (i32.const 1))
               (func (export "proxy_on_log") (param i32) (call $last)) (func (export "proxy_on_delete") (param i32) (call $last)))"#
        );
        let module = Module::load(&wat::parse_str(text).unwrap()).unwrap();
        let mut proxy = Proxy::new(Settings::default());
        let added = proxy.add(&module, &Options::default(), Some(b"{}"));
        proxy.exchange(&exchange("body", "answer"));
        // A gRPC service of no bytes ends Envoy itself, and the VM here.
        // So does a response that goes on (stream 1) before there is one.
        let expected = match value {
            "0" => Some("gRPC"),
            "1" => Some("a response goes on"),
            _ => None,
        };
        let configured = added.as_ref().err().map(ToString::to_string);
        let trap = configured.or_else(|| proxy.traps().first().map(|trap| trap.message.clone()));
        assert_eq!(trap.is_some(), expected.is_some(), "{value}: {trap:?}");
        assert!(expected.is_none_or(|text| trap.is_some_and(|trap| trap.contains(text))));
        assert_eq!(added.is_err(), value == "0");
    }
}

#[test]
fn a_response_of_an_upstream_may_have_any_headers() {
    let mut exchange = exchange("", "");
    exchange.response = Response { headers: vec![(b"\xff\0".into(), b"\r\n".into())], ..Response::default() };
    let outcome = proxy("").exchange(&exchange);
    assert_eq!(outcome.status, Some(200));
}

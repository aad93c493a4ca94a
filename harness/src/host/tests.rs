//! Modules that are broken, hostile or plain, and what the host makes of them.

mod flow;
mod hostile;
mod phases;
mod probe;

use super::{Clusters, Module, Options, Vm};
use crate::{
    mock::Mocks,
    outcome::ExchangeOutcome,
    scenario::{Exchange, Scenario},
};
use std::collections::BTreeMap;

/// A module that can be loaded, with further definitions.
fn module(more: &str) -> String {
    format!(
        r#"(module
            (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
            (import "env" "proxy_get_header_map_value" (func $get (param i32 i32 i32 i32 i32) (result i32)))
            (import "env" "proxy_get_header_map_pairs" (func $pairs (param i32 i32 i32) (result i32)))
            (import "env" "proxy_set_header_map_pairs" (func $set_pairs (param i32 i32 i32) (result i32)))
            (import "env" "proxy_define_metric" (func $define (param i32 i32 i32 i32) (result i32)))
            (import "env" "proxy_increment_metric" (func $increment (param i32 i64) (result i32)))
            (memory (export "memory") 1)
            (data (i32.const 16) "status_0status_1status_2status_6other...:path")
            ;; Counts what a call answered: the metric is called after the status.
            (func $note (param $status i32)
              (local $name i32)
              (local.set $name (i32.const 48))
              (if (i32.eq (local.get $status) (i32.const 0)) (then (local.set $name (i32.const 16))))
              (if (i32.eq (local.get $status) (i32.const 1)) (then (local.set $name (i32.const 24))))
              (if (i32.eq (local.get $status) (i32.const 2)) (then (local.set $name (i32.const 32))))
              (if (i32.eq (local.get $status) (i32.const 6)) (then (local.set $name (i32.const 40))))
              (drop (call $define (i32.const 0) (local.get $name) (i32.const 8) (i32.const 0)))
              (drop (call $increment (i32.load (i32.const 0)) (i64.const 1))))
            (func (export "proxy_abi_version_0_2_1"))
            (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 4096))
            {more})"#
    )
}

fn load(text: &str) -> Result<Module, String> {
    Module::load(&wat::parse_str(text).unwrap()).map_err(|error| error.to_string())
}

/// Sends one request through a module.
fn send(more: &str) -> (Vm, ExchangeOutcome) {
    let mut vm = Vm::new(&load(&module(more)).unwrap(), &Options::default()).unwrap();
    vm.configure(None).unwrap();
    let outcome = vm.exchange(
        &Scenario::default(),
        &Exchange::default(),
        &Clusters::new(Mocks::start(&BTreeMap::new())),
    );
    (vm, outcome)
}

#[track_caller]
fn check_refused(text: &str, expected: &str) {
    let error = load(text).unwrap_err();
    assert!(error.contains(expected), "{error}");
}

#[test]
fn a_module_that_cannot_be_run_is_refused_by_name() {
    assert!(Module::load(b"not wasm").unwrap_err().to_string().starts_with("is no WebAssembly module"));
    check_refused("(module)", "proxy_abi_version");
    check_refused(
        r#"(module (func (export "proxy_abi_version_0_2_1")))"#,
        "neither proxy_on_memory_allocate nor malloc",
    );
    let allocator = r#"(func (export "proxy_abi_version_0_2_1")) (func (export "malloc") (param i32) (result i32) (i32.const 0))"#;
    check_refused(&format!("(module {allocator})"), "no memory");
    let import =
        r#"(import "env" "proxy_fly" (func)) (import "here" "there" (func)) (memory (export "memory") 1)"#;
    check_refused(
        &format!("(module {import} {allocator})"),
        "imports what no host has: env.proxy_fly, here.there",
    );
}

/// Calls something in `on_request_headers` and notes the status.
fn on_request(call: &str) -> BTreeMap<String, i64> {
    let (_, outcome) = send(&format!(
        r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (call $note {call}) (i32.const 0))"#
    ));
    assert_eq!(outcome.status, Some(200));
    outcome.metrics
}

#[test]
fn pointers_outside_memory_are_answered_and_do_no_harm() {
    let six = BTreeMap::from([("status_6".to_owned(), 1)]);
    assert_eq!(
        on_request("(call $get (i32.const 0) (i32.const -8) (i32.const 64) (i32.const 8) (i32.const 12))"),
        six
    );
    assert_eq!(
        on_request("(call $get (i32.const 0) (i32.const 56) (i32.const 5) (i32.const -4) (i32.const 12))"),
        six
    );
    assert_eq!(on_request("(call $log (i32.const 2) (i32.const 0) (i32.const -1))"), six);
}

#[test]
fn malformed_pairs_clear_a_map_and_are_ok() {
    let (_, outcome) = send(
        r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
             (call $note (call $set_pairs (i32.const 0) (i32.const 16) (i32.const 40))) (i32.const 0))"#,
    );
    // A request without any headers has no route.
    assert_eq!(outcome.status, Some(404));
    assert_eq!(outcome.metrics, BTreeMap::from([("status_0".to_owned(), 1)]));
}

#[test]
fn a_map_can_be_read_in_its_own_callback_and_in_the_log() {
    let get =
        "(call $note (call $get (i32.const 0) (i32.const 56) (i32.const 5) (i32.const 8) (i32.const 12)))";
    let pairs = "(call $note (call $pairs (i32.const 0) (i32.const 8) (i32.const 12)))";
    let (_, outcome) = send(&format!(
        r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) {get} (i32.const 0))
           (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32) {get} {pairs} (i32.const 0))
           (func (export "proxy_on_log") (param i32) {get})"#
    ));
    // Ok in its own callback, a bad argument in the response's (where the list of pairs is empty and ok), ok in the log.
    let expected = [("status_0", 3), ("status_2", 1)].map(|(name, count)| (name.to_owned(), count));
    assert_eq!(
        outcome.metrics.into_iter().filter(|(_, step)| *step != 0).collect::<BTreeMap<_, _>>(),
        BTreeMap::from(expected)
    );
}

#[test]
fn a_trap_ends_in_503_for_this_request_and_all_that_follow() {
    let (mut vm, outcome) =
        send(r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) unreachable)"#);
    assert_eq!((outcome.status, outcome.upstream), (Some(503), None));
    let again = vm.exchange(
        &Scenario::default(),
        &Exchange::default(),
        &Clusters::new(Mocks::start(&BTreeMap::new())),
    );
    assert_eq!(again.status, Some(503));
}

#[test]
fn a_loop_without_end_is_ended() {
    let (_, outcome) = send(
        r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (loop (br 0)) (i32.const 0))"#,
    );
    assert_eq!(outcome.status, Some(503));
}

#[test]
fn a_stream_that_nothing_resumes_gets_no_answer() {
    let (_, outcome) =
        send(r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (i32.const 1))"#);
    assert_eq!((outcome.status, outcome.upstream), (None, None));
}

#[test]
fn a_refused_configuration_is_an_error_with_the_log() {
    let no = r#"(func (export "proxy_on_configure") (param i32 i32) (result i32)
        (drop (call $log (i32.const 4) (i32.const 16) (i32.const 8))) (i32.const 0))"#;
    let mut vm = Vm::new(&load(&module(no)).unwrap(), &Options::default()).unwrap();
    let refused = vm.configure(Some(b"{}")).unwrap_err();
    assert_eq!(refused.log[0].text, "status_0");
}

//! Modules that are broken, hostile or plain, and what the host makes of them.

mod chain;
mod flow;
mod grpc;
mod hostile;
mod lints;
mod phases;
mod plugin;
pub(super) mod probe;
mod tcp;

use super::{Module, Vm};
use probe::{get, lines, module, options};

#[track_caller]
fn check_refused(text: &str, expected: &str) {
    let error = Module::load(&wat::parse_str(text).unwrap()).unwrap_err().to_string();
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
    let import =
        r#"(import "env" "proxy_fly" (func)) (import "here" "there" (func)) (memory (export "memory") 1)"#;
    check_refused(
        &format!("(module {import} {allocator})"),
        "imports what no host has: env.proxy_fly, here.there",
    );
}

#[test]
fn pointers_outside_memory_are_answered_and_do_no_harm() {
    let outcome = get("(@request_headers (call $status (call $get (i32.const 0) (i32.const -8) (i32.const 64) (i32.const 8) (i32.const 12)))
        (call $status (call $get (i32.const 0) [:path] (i32.const -4) (i32.const 12)))
        (call $status (call $log (i32.const 2) (i32.const 0) (i32.const -1))) (i32.const 0))");
    assert_eq!((outcome.status, lines(&outcome)), (Some(200), vec!["6", "6", "6"]));
}

#[test]
fn malformed_pairs_clear_a_map_and_are_ok() {
    let outcome = get(
        "(@request_headers (call $status (call $set_pairs (i32.const 0) [no pairs at all])) (i32.const 0))",
    );
    // A request without any headers has no route.
    assert_eq!((outcome.status, lines(&outcome)), (Some(404), vec!["0"]));
}

#[test]
fn a_refused_configuration_is_an_error_with_the_log() {
    let no = "(@configure (call $text [no such thing]) (i32.const 0))";
    let refused = Vm::new(&module(no), &options()).unwrap().configure(Some(b"{}")).unwrap_err();
    assert_eq!(refused.log[0].text, "no such thing");
}

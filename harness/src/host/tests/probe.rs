//! Small modules that say in the log what they see.

use crate::{
    Bytes,
    host::{Module, Options, Proxy, Settings, abi::write_pairs},
    outcome::ExchangeOutcome,
    scenario::{Chunk, Cluster, Exchange, Request, Response},
};
use std::{collections::BTreeMap, fmt::Write as _};

/// What every probe has: the calls that it makes, and ways to log. `$show` logs a status as a digit (`:` is 10) and, if it is 0, the bytes that the
/// call has handed over, at 8 and 12. `$say` logs a letter and two digits.
const HEAD: &str = r#"
    (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
    (import "env" "proxy_get_header_map_value" (func $get (param i32 i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_get_header_map_pairs" (func $pairs (param i32 i32 i32) (result i32)))
    (import "env" "proxy_set_header_map_pairs" (func $set_pairs (param i32 i32 i32) (result i32)))
    (import "env" "proxy_get_header_map_size" (func $map_size (param i32 i32) (result i32)))
    (import "env" "proxy_add_header_map_value" (func $add (param i32 i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_replace_header_map_value" (func $replace (param i32 i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_remove_header_map_value" (func $remove (param i32 i32 i32) (result i32)))
    (import "env" "proxy_get_buffer_bytes" (func $buffer (param i32 i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_set_buffer_bytes" (func $set_buffer (param i32 i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_get_property" (func $property (param i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_set_property" (func $set_property (param i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_send_local_response" (func $reply (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_continue_stream" (func $continue (param i32) (result i32)))
    (import "env" "proxy_close_stream" (func $close (param i32) (result i32)))
    (import "env" "proxy_http_call" (func $call (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_grpc_call" (func $grpc_call (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_grpc_stream" (func $grpc_stream (param i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_define_metric" (func $define (param i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_increment_metric" (func $increment (param i32 i64) (result i32)))
    (import "env" "proxy_record_metric" (func $record (param i32 i64) (result i32)))
    (import "env" "proxy_set_shared_data" (func $set (param i32 i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_set_effective_context" (func $context (param i32) (result i32)))
    (import "env" "proxy_set_tick_period_milliseconds" (func $period (param i32) (result i32)))
    (import "env" "proxy_call_foreign_function" (func $foreign (param i32 i32 i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
    (import "wasi_snapshot_preview1" "environ_get" (func $environ (param i32 i32) (result i32)))
    (memory (export "memory") 2)
    (func (export "proxy_abi_version_0_2_1"))
    (func $text (param i32 i32) (drop (call $log (i32.const 2) (local.get 0) (local.get 1))))
    (func $show (param $status i32)
      (i32.store8 (i32.const 0) (i32.add (i32.const 48) (local.get $status)))
      (call $text (i32.const 0) (i32.const 1))
      (if (i32.eqz (local.get $status)) (then (call $text (i32.load (i32.const 8)) (i32.load (i32.const 12))))))
    (func $status (param i32)
      (i32.store8 (i32.const 0) (i32.add (i32.const 48) (local.get 0)))
      (call $text (i32.const 0) (i32.const 1)))
    (func $say (param i32 i32 i32)
      (i32.store8 (i32.const 0) (local.get 0))
      (i32.store8 (i32.const 1) (i32.add (i32.const 48) (local.get 1)))
      (i32.store8 (i32.const 2) (i32.add (i32.const 48) (local.get 2)))
      (call $text (i32.const 0) (i32.const 3)))
"#;

const ALLOCATOR: &str =
    r#"(func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 65536))"#;

/// The text of a probe. `[text]` stands for the place and length of that text; `@` before a callback's name for its export, with parameters and
/// result: `(@request_headers ...)`.
pub fn text(more: &str) -> String {
    let has_allocator = more.contains("proxy_on_memory_allocate");
    let mut text = format!("(module {HEAD} {} {more}", if has_allocator { "" } else { ALLOCATOR });
    for (name, parameters, result) in [
        ("request_headers", 3, true),
        ("request_body", 3, true),
        ("request_trailers", 2, true),
        ("response_headers", 3, true),
        ("response_body", 3, true),
        ("response_trailers", 2, true),
        ("http_call_response", 5, false),
        ("grpc_receive_initial_metadata", 3, false),
        ("grpc_receive", 3, false),
        ("grpc_close", 3, false),
        ("context_create", 2, false),
        ("configure", 2, true),
        ("vm_start", 2, true),
        ("tick", 1, false),
        ("new_connection", 1, true),
        ("downstream_data", 3, true),
        ("upstream_data", 3, true),
        ("downstream_connection_close", 2, false),
        ("upstream_connection_close", 2, false),
        ("log", 1, false),
        ("done", 1, true),
        ("delete", 1, false),
    ] {
        let result = if result { "(result i32)" } else { "" };
        let export =
            format!("(func (export \"proxy_on_{name}\") (param {}) {result} ", "i32 ".repeat(parameters));
        for space in [' ', '\n'] {
            text = text.replace(&format!("(@{name}{space}"), &export);
        }
    }
    let mut place = 1024;
    while let Some((before, (inside, after))) =
        text.split_once('[').and_then(|(before, rest)| Some((before, rest.split_once(']')?)))
    {
        let mut next = format!("{before}(i32.const {place}) (i32.const {}){after}", inside.len());
        let bytes: String = inside.bytes().fold(String::new(), |mut bytes, byte| {
            let _ = write!(bytes, "\\{byte:02x}");
            bytes
        });
        let _ = write!(next, " (data (i32.const {place}) \"{bytes}\")");
        place += inside.len();
        text = next;
    }
    text + ")"
}

pub fn module(more: &str) -> Module {
    let bytes = wat::parse_str(text(more)).unwrap_or_else(|error| panic!("{error}"));
    Module::load(&bytes).unwrap_or_else(|error| panic!("{error}"))
}

/// Little fuel, so that a loop without end is short.
pub fn options() -> Options {
    Options { seed: 7, fuel: 20_000_000, ..Options::default() }
}

/// A proxy with one plugin and these clusters.
pub fn with_clusters(more: &str, clusters: BTreeMap<String, Cluster>) -> Proxy {
    let mut proxy = Proxy::new(Settings { seed: 7, clusters, ..Settings::default() });
    proxy.add(&module(more), &options(), Some(b"{}")).unwrap_or_else(|error| panic!("{error}"));
    proxy
}

/// A proxy with one plugin.
pub fn proxy(more: &str) -> Proxy {
    with_clusters(more, BTreeMap::new())
}

/// `$go`, which sends a GET to a cluster, with this many milliseconds as its timeout. The token is then at 16.
pub fn callout(cluster: &str, timeout_ms: u32) -> String {
    let headers = [(":method", "GET"), (":path", "/"), (":authority", "a")];
    let pairs = headers.map(|(name, value)| (Bytes::from(name), Bytes::from(value))).to_vec();
    let pairs = write_pairs(&pairs);
    let data = pairs.iter().fold(String::new(), |mut data, byte| {
        let _ = write!(data, "\\{byte:02x}");
        data
    });
    let size = pairs.len();
    format!(
        "(data (i32.const 512) \"{data}\") (func $go (result i32) (call $call [{cluster}] (i32.const 512) (i32.const {size}) \
         (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const {timeout_ms}) (i32.const 16)))"
    )
}

pub fn exchange(body: &str, answer: &str) -> Exchange {
    let chunks = if body.is_empty() { Vec::new() } else { vec![Chunk::from(body)] };
    let response = if answer.is_empty() { Response::default() } else { Response::of(answer) };
    Exchange { request: Request { chunks, ..Request::default() }, response, ..Exchange::default() }
}

/// Sends a request without a body through a probe.
pub fn get(more: &str) -> ExchangeOutcome {
    proxy(more).exchange(&exchange("", ""))
}

/// The log, line by line.
pub fn lines(outcome: &ExchangeOutcome) -> Vec<&str> {
    outcome.log.iter().map(|line| line.text.as_str()).collect()
}

/// A module's functions, of which each callback says that it is called: its name, a letter, two numbers, and what it gives back. `more` may do more in one,
/// or something else than go on.
pub(super) fn saying(more: &str, callbacks: &[(&str, char, &str, &str, &str)]) -> String {
    let mut text = more.to_owned();
    for (name, letter, size, last, result) in callbacks {
        let say = format!("(call $say (i32.const {}) {size} {last})", u32::from(*letter));
        let export = format!("(@{name} ");
        if text.contains(&export) {
            text = text.replace(&export, &format!("{export}{say} "));
        } else {
            text = format!("{text} {export}{say} {result})");
        }
    }
    text
}

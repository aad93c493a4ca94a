//! Tests of a few lines, as an author writes them.

use super::probe::{callout, module};
use crate::{
    Lint, Plugin,
    scenario::{Request, Response},
};
use std::{env, fs, process};

#[test]
fn a_test_of_a_few_lines() {
    let plugin =
        Plugin::of(module("(@request_headers (drop (call $add (i32.const 0) [x-arm] [b])) (i32.const 0))"));
    let seen = plugin.exchange(Request::get("/a").header("x-user", "joe"));
    assert_eq!(
        (seen.status, seen.request_header("X-Arm"), seen.request_header("x-user")),
        (Some(200), Some("b"), Some("joe"))
    );
    let seen = plugin.exchange((Request::post("/", "hello"), Response::of("hi").header("x-a", "1")));
    assert_eq!((seen.request_body.lossy().as_str(), seen.response_header("x-a")), ("hello", Some("1")));
    plugin.explore([(Request::post("/", "hello"), Response::of("hi"))]);
}

#[test]
#[should_panic(expected = "exchange 1: lint pause-not-resumed")]
fn a_lint_fails_a_test() {
    Plugin::of(module("(@request_headers (i32.const 1))")).exchange(Request::get("/"));
}

#[test]
#[should_panic(
    expected = "proxy_on_request_headers trapped: wasm trap: wasm `unreachable` instruction executed"
)]
fn a_trap_fails_a_test() {
    Plugin::of(module("(@request_headers (unreachable))")).exchange(Request::get("/"));
}

#[test]
#[should_panic(
    expected = "callout 1 (GET a/ to auth) is refused when it is sent (no healthy host)\n  exchange 1: lint pause-not-resumed"
)]
fn an_exploration_fails_a_test() {
    let waits = "(@request_headers (drop (call $go)) (i32.const 1)) \
                 (@http_call_response (drop (call $context (i32.const 2))) (drop (call $continue (i32.const 0))))";
    let plugin =
        Plugin::of(module(&format!("{} {waits}", callout("auth", 50)))).answers("auth", Response::of("yes"));
    assert_eq!(plugin.exchange(Request::get("/")).status, Some(200));
    plugin.explore([Request::get("/")]);
}

#[test]
fn a_snapshot_holds_all_host_calls_with_their_answers() {
    let folder = env::temp_dir().join(format!("outrigger-plugin-{}", process::id()));
    let file = folder.join("path.trace");
    fs::create_dir_all(&folder).unwrap();
    let expected = "# the configuration\nproxy_on_configure(1, 2)\n  returns 1\n\n# exchange 1\nproxy_on_request_headers(2, 6, 1)\n  \
                    proxy_get_header_map_value(request headers, :path) -> /a ok\n  returns 0\n\n";
    fs::write(&file, expected).unwrap();
    let plugin = Plugin::of(module(
        "(@configure (i32.const 1)) (@request_headers (drop (call $get (i32.const 0) [:path] (i32.const 8) (i32.const 12))) (i32.const 0))",
    ));
    plugin.config("{}").allow(Lint::StreamMemory, "it has none").snapshot(&file, [Request::get("/a")]);
    fs::remove_dir_all(&folder).unwrap();
}

//! Which map, buffer and property is at hand in which callback (Envoy 1.40, settled by observation).

use super::probe::{exchange, get, lines, proxy};
use std::time::Duration;

const PATH: &str = "(call $show (call $get (i32.const 0) [:path] (i32.const 8) (i32.const 12)))";
const ADD: &str = "(call $status (call $add (i32.const 0) [x] [1]))";
const PAIRS: &str = "(call $show (call $pairs (i32.const 0) (i32.const 8) (i32.const 12)))";
const STATUS: &str = "(call $show (call $get (i32.const 2) [:status] (i32.const 8) (i32.const 12)))";

#[track_caller]
fn check(callbacks: &str, expected: &[&str]) {
    let outcome = get(callbacks);
    assert_eq!(lines(&outcome), expected);
}

#[test]
fn a_map_is_gone_after_its_callback_and_the_log_may_read_but_not_change_it() {
    let all = format!("{PATH} {ADD}");
    check(&format!("(@request_headers {all} (i32.const 0))"), &["0", "/", "0"]);
    check(&format!("(@response_headers {all} {PAIRS} (i32.const 0))"), &["2", "2", "0", ""]);
    check(&format!("(@log {all} {STATUS})"), &["0", "/", "2", "0", "200"]);
    check(&format!("(@done {all} {PAIRS} (i32.const 1))"), &["2", "2", "0", ""]);
    check(&format!("(@context_create {all})"), &["2", "2"]);
}

#[test]
fn what_is_missing_is_not_found_and_what_is_no_map_is_a_bad_argument() {
    check(
        "(@request_headers (call $show (call $get (i32.const 0) [X-None] (i32.const 8) (i32.const 12)))
           (call $show (call $get (i32.const 0) [:METHOD] (i32.const 8) (i32.const 12)))
           (call $show (call $get (i32.const 8) [a] (i32.const 8) (i32.const 12)))
           (call $show (call $pairs (i32.const 8) (i32.const 8) (i32.const 12)))
           (call $show (call $get (i32.const 6) [a] (i32.const 8) (i32.const 12))) (i32.const 0))",
        &["1", "0", "GET", "2", "2", "2"],
    );
    check(
        "(@log (call $show (call $get (i32.const 1) [a] (i32.const 8) (i32.const 12)))
           (call $show (call $get (i32.const 0) [host] (i32.const 8) (i32.const 12))))",
        &["1", "0", "shop.example"],
    );
}

#[test]
fn the_maps_of_a_request_that_was_held_stay_at_hand_until_it_goes_on() {
    // A reply holds the request for good.
    let reply = "(call $status (call $reply (i32.const 401) [] [] [] (i32.const -1)))";
    check(
        &format!("(@request_headers {reply} (i32.const 0)) (@response_headers {PATH} (i32.const 0))"),
        &["0", "0", "/"],
    );
    let go = "(call $status (call $continue (i32.const 0)))";
    check(&format!("(@request_headers {PATH} {go} {PATH} (i32.const 0))"), &["0", "/", "0", "2"]);
}

#[test]
fn headers_are_replaced_at_the_end_added_as_duplicates_and_removed_without_complaint() {
    let outcome = get(
        "(@request_headers (call $status (call $add (i32.const 0) [X-A] [1])) (call $status (call $add (i32.const 0) [x-a] [2]))
           (call $status (call $add (i32.const 0) [x-b] [])) (call $status (call $replace (i32.const 0) [x-A] [3]))
           (call $status (call $remove (i32.const 0) [none])) (call $status (call $remove (i32.const 0) [x-request-id])) (i32.const 0))",
    );
    assert_eq!(lines(&outcome), ["0"; 6]);
    let names: Vec<_> =
        outcome.request_headers.iter().map(|(name, value)| format!("{name:?}={value:?}")).collect();
    assert_eq!(
        names.join(" "),
        "\":authority\"=\"shop.example\" \":path\"=\"/\" \":method\"=\"GET\" \":scheme\"=\"http\" \"x-forwarded-proto\"=\"http\" \"x-b\"=\"\" \"x-a\"=\"3\" \"x-envoy-expected-rq-timeout-ms\"=\"15000\""
    );
}

#[test]
fn the_size_of_a_map_is_in_bytes() {
    let outcome = get(
        "(@response_headers (call $status (call $map_size (i32.const 2) (i32.const 16)))
           (call $say (i32.const 66) (i32.div_u (i32.load (i32.const 16)) (i32.const 10)) (i32.rem_u (i32.load (i32.const 16)) (i32.const 10))) (i32.const 0))",
    );
    // `:status 200`, `content-length 0` and `x-envoy-upstream-service-time 0`.
    assert_eq!(lines(&outcome), ["0", "B55"]);
}

#[test]
fn a_body_that_is_not_at_hand_is_empty_and_no_error() {
    let body = |at: u32| {
        format!(
            "(call $show (call $buffer (i32.const {at}) (i32.const 0) (i32.const 99) (i32.const 8) (i32.const 12)))"
        )
    };
    let [request, plugin, vm_config, callout, none] = [0, 7, 6, 4, 9].map(body);
    check(
        &format!("(@request_headers {request} {plugin} {vm_config} {callout} {none} (i32.const 0))"),
        &["0", "", "1", "0", "", "1", "2"],
    );
    let mut proxy = proxy(&format!("(@configure {plugin} (i32.const 1)) (@vm_start {plugin} (i32.const 1))"));
    // On the canary, the main thread and the worker.
    let logged: Vec<_> = proxy.log().into_iter().map(|(_, line)| line.text).collect();
    assert_eq!(logged, ["1", "0", "{}"].repeat(3));
    proxy.exchange(&exchange("", ""));
    assert_eq!(proxy.log(), []);
}

#[test]
fn a_part_of_a_body_is_cut_to_what_there_is() {
    let part = |start: i32, max: i32| {
        format!(
            "(call $show (call $buffer (i32.const 0) (i32.const {start}) (i32.const {max}) (i32.const 8) (i32.const 12)))"
        )
    };
    let parts = [part(1, 2), part(3, 99), part(9, 1), part(-1, 2)].concat();
    let outcome =
        proxy(&format!("(@request_body (if (i32.eqz (local.get 2)) (then {parts})) (i32.const 0))"))
            .exchange(&exchange("hello", ""));
    assert_eq!(lines(&outcome), ["0", "el", "0", "lo", "0", "", "0", ""]);
}

#[test]
fn a_body_is_changed_at_its_ends_only() {
    let set = |start: u32, size: u32| {
        format!("(call $status (call $set_buffer (i32.const 1) (i32.const {start}) (i32.const {size}) [ab]))")
    };
    for (start, size, status, body) in [
        (0, 0, "0", "abhello"),
        (0, 2, "0", "abllo"),
        (0, 99, "0", "ab"),
        (99, 0, "0", "helloab"),
        (2, 1, "2", "hello"),
    ] {
        let call = set(start, size);
        let text = format!(
            "(@response_headers (drop (call $remove (i32.const 2) [content-length])) (i32.const 0))
             (@response_body (if (i32.eqz (local.get 2)) (then {call})) (i32.const 0)) (@log {call})"
        );
        let outcome = proxy(&text).exchange(&exchange("", "hello"));
        assert_eq!((lines(&outcome), outcome.response_body.lossy().as_str()), (vec![status, "2"], body));
    }
}

#[test]
fn properties_are_written_as_envoy_writes_them() {
    let property =
        |path: &str| format!("(call $show (call $property [{path}] (i32.const 8) (i32.const 12)))");
    let of = |paths: &[&str]| paths.iter().map(|path| property(path)).collect::<String>();
    check(
        &format!(
            "(@request_headers {} (i32.const 0))",
            of(&[
                "request\0path",
                "request\0host",
                "request\0query",
                "plugin_name",
                "",
                "node",
                "response\0code",
                "request\0size",
                "connection\0mtls"
            ])
        ),
        &[
            "0",
            "/",
            "0",
            "shop.example",
            "0",
            "",
            "0",
            "plugin",
            "3",
            "1",
            "1",
            "0",
            "\0\0\0\0\0\0\0\0",
            "0",
            "\0",
        ],
    );
    check(
        &format!("(@log {})", of(&["response\0code", "response\0code_details", "request\0method"])),
        &["0", "\u{fffd}\0\0\0\0\0\0\0", "0", "via_upstream", "0", "GET"],
    );
    check(&format!("(@context_create {})", of(&["plugin_root_id"])), &["0", ""]);
}

#[test]
fn filter_state_is_of_its_stream_and_has_a_prefix() {
    let property =
        |path: &str| format!("(call $show (call $property [{path}] (i32.const 8) (i32.const 12)))");
    let text = format!(
        "(@request_headers (call $status (call $set_property [k] [v])) (call $status (call $set_property [a\0b] [v])) (i32.const 0))
         (@log {} {} {} {}) (@tick (call $status (call $set_property [k] [v]))) (@configure (drop (call $period (i32.const 5))) (i32.const 1))",
        property("k"),
        property("filter_state\0wasm.k"),
        property("a\0b"),
        property("filter_state")
    );
    let mut proxy = proxy(&text);
    let outcome = proxy.exchange(&exchange("", ""));
    assert_eq!(lines(&outcome), ["0", "0", "0", "v", "0", "v", "1", "3"]);
    // Both threads have a timer.
    proxy.take_log();
    proxy.advance(Duration::from_millis(10));
    let ticks: Vec<_> = proxy.log().into_iter().map(|(_, line)| line.text).collect();
    assert_eq!(ticks, ["1"; 4]);
}

#[test]
fn random_and_clock_are_those_that_the_test_sets() {
    let text = "(@request_headers (drop (call $random (i32.const 32) (i32.const 8))) (drop (call $clock (i32.const 0) (i64.const 0) (i32.const 40)))
        (if (i64.eq (i64.load (i32.const 32)) (i64.const 7191089600892374487)) (then (call $text [random])))
        (if (i64.eq (i64.load (i32.const 40)) (i64.const 1767225600000000000)) (then (call $text [clock])))
        (call $status (call $foreign [clear_route_cache] (i32.const 0) (i32.const 0) (i32.const 8) (i32.const 12)))
        (call $status (call $foreign [none] (i32.const 0) (i32.const 0) (i32.const 8) (i32.const 12))) (i32.const 0))";
    check(text, &["random", "clock", "0", "1"]);
}

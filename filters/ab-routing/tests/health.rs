//! How arms do, and what is done about it, on plain data.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, as it should"
)]

use ab_routing::AbRouting;
use filter_kit::{
    Environment, Filter as _, Phase, View,
    fake::{Outcome, Shared, Stream},
    load,
};

/// Keys of the arms a and b, of an experiment with the name e and halves.
const A: &str = "3";
const B: &str = "1";

fn filter(more: &str) -> AbRouting {
    let config = format!(
        r#"{{"experiments":[{{"name":"e","key":[{{"header":"u"}}],"arms":[{{"name":"a","weight":5000}},{{"name":"b","weight":5000}}]{more}}}]}}"#
    );
    load(config.as_bytes(), &Environment::EMPTY).unwrap_or_else(|error| panic!("{error}\n{config}"))
}

const GUARDRAIL: &str = r#","guardrail":{"errors":{"margin":500}}"#;

/// One request of a user, answered so.
fn ask(filter: &AbRouting, shared: &Shared, user: &str, status: u16) -> Outcome {
    Stream::get("/").header("u", user).status(status).sharing(shared).drive(filter)
}

/// The arm of a user, who is answered well.
fn arm(filter: &AbRouting, shared: &Shared, user: &str) -> String {
    ask(filter, shared, user, 200).request_header("x-arm").concat()
}

fn begin(filter: &AbRouting, shared: &Shared) {
    let stream = Stream::get("/").sharing(shared);
    let view = View::new(&stream, Phase::Tick, 0, true);
    drop(filter.on_configured(&view));
}

/// The timer of a worker.
fn tick(filter: &AbRouting, shared: &Shared) {
    let stream = Stream::get("/").sharing(shared);
    let view = View::new(&stream, Phase::Tick, 0, true);
    drop(filter.on_tick(&view));
}

/// How many requests of b fail until it is closed, while those of a do well.
fn fail_until_closed(filter: &AbRouting, shared: &Shared) -> usize {
    (1..=500)
        .find(|_| {
            ask(filter, shared, A, 200);
            ask(filter, shared, B, 503).request_header("x-arm") == ["a"]
        })
        .expect("the guardrail closes an arm that fails")
}

#[test]
fn responses_are_counted_by_class_and_their_time() {
    let shared = Shared::default();
    let filter = filter(r#","health":{}"#);
    for (status, class) in [(200, "2xx"), (404, "4xx"), (503, "5xx")] {
        let outcome = ask(&filter, &shared, B, status);
        assert_eq!(outcome.metrics[&format!("ab_responses_total;experiment=e;arm=b;class={class}")], 1);
        assert_eq!(outcome.metrics["ab_exposures_total;experiment=e;arm=b"], 1);
        assert!(outcome.metrics.contains_key("ab_duration_milliseconds;experiment=e;arm=b"));
    }
}

#[test]
fn an_arm_that_fails_is_closed_and_its_users_go_to_control() {
    let shared = Shared::default();
    let filter = filter(GUARDRAIL);
    begin(&filter, &shared);
    let count = fail_until_closed(&filter, &shared);
    assert!((8..100).contains(&count), "{count}");
    let outcome = ask(&filter, &shared, B, 200);
    assert_eq!(outcome.metrics["ab_uncounted_total;experiment=e;reason=closed"], 1);
    assert!(!outcome.metrics.keys().any(|name| name.starts_with("ab_exposures_total")));
    assert!(!outcome.metrics.keys().any(|name| name.starts_with("ab_responses_total")));
    assert_eq!(arm(&filter, &shared, A), "a");
}

#[test]
fn an_arm_that_fails_as_control_does_is_not_closed() {
    let shared = Shared::default();
    let filter = filter(GUARDRAIL);
    begin(&filter, &shared);
    for _ in 0..2000 {
        ask(&filter, &shared, A, 503);
        ask(&filter, &shared, B, 503);
    }
    assert_eq!(arm(&filter, &shared, B), "b");
}

#[test]
fn workers_add_up_what_they_see_and_all_close_what_one_has_closed() {
    let shared = Shared::default();
    let [first, second] = [filter(GUARDRAIL), filter(GUARDRAIL)];
    begin(&first, &shared);
    begin(&second, &shared);
    // Control is only seen by one worker, and b by the other.
    for _ in 0..64 {
        ask(&first, &shared, A, 200);
    }
    for _ in 0..64 {
        ask(&second, &shared, B, 500);
    }
    assert_eq!(arm(&second, &shared, B), "a");
    assert_eq!(arm(&first, &shared, B), "b", "it has not heard of it");
    tick(&first, &shared);
    assert_eq!(arm(&first, &shared, B), "a");
}

#[test]
fn a_push_and_a_new_vm_keep_what_was_learned_and_other_arms_begin_anew() {
    let shared = Shared::default();
    let first = filter(GUARDRAIL);
    begin(&first, &shared);
    fail_until_closed(&first, &shared);
    let pushed = filter(&format!("{GUARDRAIL},\"coverage\":9999"));
    begin(&pushed, &shared);
    assert_eq!(arm(&pushed, &shared, B), "a");
    let config = r#"{"experiments":[{"name":"e","key":[{"header":"u"}],"guardrail":{"errors":{"margin":500}},
        "arms":[{"name":"a","weight":9000},{"name":"b","weight":1000}]}]}"#;
    let moved: AbRouting = load(config.as_bytes(), &Environment::EMPTY).unwrap();
    begin(&moved, &shared);
    let user = (0..1000).map(|user| user.to_string()).find(|user| {
        ask(&moved, &shared, user, 200).metrics.contains_key("ab_uncounted_total;experiment=e;reason=closed")
    });
    assert!(user.is_some(), "what is closed stays closed where the weights change");
    let config = r#"{"experiments":[{"name":"e","key":[{"header":"u"}],"guardrail":{"errors":{"margin":500}},
        "arms":[{"name":"a","weight":5000},{"name":"c","weight":5000}]}]}"#;
    let other: AbRouting = load(config.as_bytes(), &Environment::EMPTY).unwrap();
    begin(&other, &shared);
    assert_eq!(arm(&other, &shared, B), "c");
}

#[test]
fn an_arm_without_a_host_is_left_alone_for_a_while() {
    let shared = Shared::default();
    let filter = filter(r#","health":{"fallback_seconds":2}"#);
    let at = |seconds: u64, status: u16| {
        let stream = Stream::get("/").header("u", B).status(status).sharing(&shared);
        stream
            .property("response.code_details", "no_healthy_upstream")
            .at(seconds * 1_000_000_000)
            .drive(&filter)
    };
    assert_eq!(at(100, 503).request_header("x-arm"), ["b"]);
    let outcome = at(101, 200);
    assert_eq!(outcome.request_header("x-arm"), ["a"]);
    assert_eq!(outcome.metrics["ab_fallbacks_total;experiment=e;arm=b"], 1);
    assert_eq!(outcome.metrics["ab_uncounted_total;experiment=e;reason=no_host"], 1);
    assert_eq!(at(102, 200).request_header("x-arm"), ["b"]);
    assert_eq!(at(103, 200).request_header("x-arm"), ["b"]);
}

#[test]
fn what_is_in_shared_data_and_is_no_record_is_as_if_there_were_none() {
    for value in [&b""[..], b"x", &[0; 176], &[255; 176], &[255; 4096]] {
        let shared = Shared::default();
        filter_kit::Source::set_shared(&shared, "outrigger.ab.e", value, 0);
        let filter = filter(GUARDRAIL);
        begin(&filter, &shared);
        assert_eq!(arm(&filter, &shared, B), "b");
        fail_until_closed(&filter, &shared);
    }
}

#[test]
fn a_worker_whose_shared_data_is_lost_goes_on() {
    let filter = filter(GUARDRAIL);
    for _ in 0..100 {
        assert_eq!(Stream::get("/").header("u", B).status(503).drive(&filter).request_header("x-arm"), ["b"]);
    }
}

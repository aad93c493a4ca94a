//! What the configuration refuses, and in which words.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::cast_precision_loss,
    clippy::too_many_lines,
    reason = "a test that panics has failed, as it should"
)]

use ab_routing::AbRouting;
use filter_kit::{Environment, load};
use serde_json::{Value, json};

/// A configuration that is fine.
fn fine() -> Value {
    json!({"experiments": [
        {"name": "e", "key": [{"header": "u"}], "arms": [{"name": "a", "weight": 9000}, {"name": "b", "weight": 1000}]},
        {"name": "f", "key": [{"cookie": "u"}], "arms": [{"name": "a", "weight": 10000}]}
    ]})
}

/// Changes one value of the fine configuration and compares the refusal's beginning.
#[track_caller]
fn check(pointer: &str, value: Value, expected: &str) {
    let mut config = fine();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    match config.pointer_mut(parent).unwrap() {
        Value::Object(fields) => _ = fields.insert(key.to_owned(), value),
        Value::Array(items) => items[key.parse::<usize>().unwrap()] = value,
        _ => panic!("{pointer}"),
    }
    let got = match load::<AbRouting>(config.to_string().as_bytes(), &Environment::EMPTY) {
        Ok(_) => "fine".to_owned(),
        Err(error) => error.to_string(),
    };
    assert!(got.starts_with(expected), "{pointer}: got {got:?}, expected {expected:?}");
}

#[test]
fn a_bad_configuration_is_refused_with_the_fields_path() {
    check("/experiments/0/salt", json!("s"), "fine");
    check("/experiment", json!([]), "experiment: unknown field `experiment`");
    check("/experiments/1/arm", json!([]), "experiments[1].arm: unknown field `arm`");
    check("/experiments/1/arms/0/wait", json!(1), "experiments[1].arms[0].wait: unknown field `wait`");
    check(
        "/experiments/0/arms/1/weight",
        json!("1000"),
        "experiments[0].arms[1].weight: invalid type: string \"1000\"",
    );
    check(
        "/experiments/0/arms/1/weight",
        json!(-1),
        "experiments[0].arms[1].weight: must be 0..=10000, got -1",
    );
    check(
        "/experiments/0/arms/1/weight",
        json!(10001),
        "experiments[0].arms[1].weight: must be 0..=10000, got 10001",
    );
    check(
        "/experiments/0/arms/1/weight",
        json!(999),
        "experiments[0].arms: must have weights that add up to 10000, got 9999",
    );
    check(
        "/experiments/0/arms/1/name",
        json!("a"),
        "experiments[0].arms[1].name: must be the arm's own, got \"a\" again",
    );
    check(
        "/experiments/0/arms/1/name",
        json!("a b"),
        "experiments[0].arms[1].name: must be 1 to 64 letters, digits",
    );
    check("/experiments/0/arms", json!([]), "experiments[0].arms: must hold at least one arm, got none");
    check(
        "/experiments/1/name",
        json!("e"),
        "experiments[1].name: must be the experiment's own, got \"e\" again",
    );
    check("/experiments/1/name", json!(""), "experiments[1].name: must be 1 to 64");
    check("/experiments/0/name", json!("x".repeat(65)), "experiments[0].name: must be 1 to 64");
    check("/experiments/0/salt", json!(""), "experiments[0].salt: must not be empty");
    check("/experiments/0/coverage", json!(10001), "experiments[0].coverage: must be 0..=10000, got 10001");
    check(
        "/experiments/0/key",
        json!([]),
        "experiments[0].key: must name a header, cookie or query parameter",
    );
    check(
        "/experiments/0/key/0",
        json!({"header": "u", "cookie": "u"}),
        "experiments[0].key[0]: must have exactly one of",
    );
    check(
        "/experiments/0/key/0",
        json!({"header": "u v"}),
        "experiments[0].key[0].header: must be a header name, got the character ' '",
    );
    check("/experiments/0/key/0", json!({"query": ""}), "experiments[0].key[0].query: must not be empty");
    check(
        "/experiments/0/header",
        json!("x arm"),
        "experiments[0].header: must be a header name, got the character ' ', got \"x arm\"",
    );
    check(
        "/experiments/0/header",
        json!(":path"),
        "experiments[0].header: must be a header that a filter may write",
    );
    check(
        "/experiments/0/match",
        json!([{"on": "path", "regex": "a("}]),
        "experiments[0].match[0].regex: must be a regular expression",
    );
    check(
        "/experiments/0/match",
        json!([{"on": "pith"}]),
        "experiments[0].match[0].on: unknown variant `pith`",
    );
    check(
        "/experiments/0/previous",
        json!([[{"name": "a", "weight": 1}]]),
        "experiments[0].previous[0]: must have weights that add up",
    );
    check(
        "/experiments/0/visitor_cookie",
        json!({"name": "a b"}),
        "experiments[0].visitor_cookie.name: must be a token",
    );
    check("/metrics", json!({"budget": 0}), "metrics.budget: must be 1..=100000, got 0");
    check(
        "/metrics",
        json!({"budget": 3}),
        "metrics.budget: must hold the 13 series of this configuration, got 3",
    );
    check(
        "/metrics",
        json!({"labels": "prometheus"}),
        "metrics.labels: unknown variant `prometheus`, expected `envoy` or `istio`",
    );
    check("/experiments/0/arms/0", json!(null), "experiments[0].arms[0]: invalid type: null");
}

#[test]
fn a_cookie_that_no_browser_would_keep_is_refused() {
    let cookie = |more: Value| {
        let mut cookie = json!({"name": "v"});
        cookie.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        cookie
    };
    let path = "experiments[0].visitor_cookie";
    for (more, field) in [
        (json!({"max_age": 0}), ".max_age: must be 1..=34560000"),
        (json!({"max_age": 34_560_001}), ".max_age: must be 1..=34560000"),
        (json!({"path": "a"}), ".path: must begin with `/`"),
        (json!({"path": "/; Secure"}), ".path: must begin with `/`"),
        (json!({"domain": "a b"}), ".domain: must be a host name"),
        (json!({"secure": false, "same_site": "none"}), ".secure: must be true with same_site none"),
        (json!({"name": "__Host-v", "path": "/a"}), ".name: must not begin with __Host-"),
        (
            json!({"name": "__Secure-v", "secure": false}),
            ".secure: must be true with same_site none, and for a name that begins",
        ),
        (json!({"same_site": "Lax"}), ".same_site: unknown variant `Lax`"),
    ] {
        check("/experiments/0/visitor_cookie", cookie(more), &format!("{path}{field}"));
    }
}

#[test]
fn experiments_that_share_a_cookie_agree_on_it() {
    let mut config = fine();
    config["experiments"][0]["visitor_cookie"] = json!({"name": "v"});
    config["experiments"][1]["visitor_cookie"] = json!({"name": "v", "max_age": 60});
    let error =
        load::<AbRouting>(config.to_string().as_bytes(), &Environment::EMPTY).unwrap_err().to_string();
    assert_eq!(
        error,
        "experiments[1].visitor_cookie.name: must have the same attributes in each experiment, got others for \"v\""
    );
}

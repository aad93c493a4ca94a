//! A candidate set beside the live one, and records in the proxy's log.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, as it should"
)]

use filter_kit::{
    Environment, Filter, Level,
    fake::{Outcome, Stream},
    load,
};
use policy::Policy;
use serde_json::{Value, json};

fn filter(config: &Value) -> Policy {
    load(config.to_string().as_bytes(), &Environment::EMPTY).unwrap()
}

fn deny(name: &str, paths: &[&str]) -> Value {
    json!({"metadata": {"name": name}, "spec": {"action": "DENY", "rules": [{"to": [{"operation": {"paths": paths}}]}]}})
}

fn lines(outcome: &Outcome) -> Vec<Value> {
    outcome.log.iter().map(|(_, line)| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_difference_is_counted_by_the_rules_that_decide() {
    let filter = filter(&json!({
        "policies": [deny("a", &["/a"])],
        "candidate": {"policies": [deny("b", &["/b*"])]},
    }));
    let of = |path: &str| {
        let outcome = Stream::get(path).drive(&filter);
        let counted = outcome.metrics.keys().find(|name| name.starts_with("policy_candidate_total"));
        (outcome.reply, counted.cloned().unwrap_or_default())
    };
    let (reply, counted) = of("/a");
    assert_eq!(reply, Some(403));
    for part in ["ns[default]-policy[a]-rule[0]", "none", "would_allow"] {
        assert!(counted.contains(part), "{counted}");
    }
    let (reply, counted) = of("/b");
    assert_eq!(reply, None);
    for part in ["ns[default]-policy[b]-rule[0]", "none", "would_deny"] {
        assert!(counted.contains(part), "{counted}");
    }
    assert_eq!(of("/c"), (None, String::new()));
}

#[test]
fn examples_are_bounded_in_number_and_redacted() {
    let filter = filter(&json!({
        "policies": [],
        "candidate": {"policies": [deny("b", &["/users/*"])], "examples": 2},
    }));
    let stream = Stream::get("/users/joe@example.com?password=hunter2").authority("joe@example.com");
    let first = stream.drive(&filter);
    let [line] = &lines(&first)[..] else { panic!("{:?}", first.log) };
    assert_eq!(first.log[0].0, Level::Info);
    assert_eq!(line["path"], "/users/[EMAIL]?password=[PASSWORD]");
    assert_eq!((&line["method"], &line["authority"]), (&json!("GET"), &json!("[EMAIL]")));
    assert_eq!(line["policy_candidate"]["candidate"], "ns[default]-policy[b]-rule[0]");
    let shown = (0..9).filter(|_| !stream.drive(&filter).log.is_empty()).count();
    assert_eq!(shown, 1);
    let dropped = stream.drive(&filter).metrics["policy_candidate_examples_dropped_total"];
    assert_eq!(dropped, 1);
    let long = Stream::get(&format!("/users/{}", "a".repeat(9000))).drive(&self::filter(&json!({
        "candidate": {"policies": [deny("b", &["/users/*"])]},
    })));
    assert_eq!(lines(&long)[0]["path"], "[TOO_LONG]");
}

#[test]
fn all_examples_together_are_at_most_64() {
    let rules: Vec<Value> =
        (0..100).map(|n| json!({"to": [{"operation": {"paths": [format!("/{n}")]}}]})).collect();
    let filter = filter(&json!({"candidate": {"examples": 16, "policies": [
        {"metadata": {"name": "p"}, "spec": {"action": "DENY", "rules": rules}}]}}));
    let shown = (0..100).flat_map(|n| [n, n]).map(|n| Stream::get(&format!("/{n}")).drive(&filter).log.len());
    assert_eq!(shown.sum::<usize>(), 64);
}

#[test]
fn a_candidate_that_is_refused_leaves_the_live_set_in_place() {
    for (candidate, path) in [
        (
            json!({"policies": [deny("b", &["/b"]), {"metadata": {"name": "c"}, "spec": {"action": "CUSTOM"}}]}),
            "candidate.policies[1].spec.action: ",
        ),
        (json!({"policy": []}), "candidate.policy: "),
        (json!({"examples": 17}), "candidate.examples: "),
        (json!({"mode": "strict"}), "policies[1].spec.rules: "),
        (json!({"sets": {"values": 3}}), "candidate.sets.values: "),
    ] {
        let config = json!({"policies": [deny("a", &["/a"]), {"metadata": {"name": "n"}, "spec": {"action": "DENY"}}], "candidate": candidate});
        let filter = filter(&config);
        assert_eq!(Stream::get("/a").drive(&filter).reply, Some(403));
        let stream = Stream::get("/");
        let view = stream.request_view(true);
        let effects = format!("{:?}", filter.on_configured(&view));
        let expected = ["policy: candidate refused: ", path].concat();
        assert!(effects.contains(&expected), "{candidate}: {effects}");
    }
}

#[test]
fn what_a_candidate_does_not_say_is_the_live_sets() {
    let live = json!([deny("a", &["/a"])]);
    let config = json!({"policies": live, "candidate": {"mode": "strict"}});
    let outcome = Stream::get("//a").drive(&filter(&config));
    assert_eq!(outcome.reply, None);
    assert_eq!(lines(&outcome)[0]["policy_candidate"]["result"], "would_deny");
    let rule = |set: &str| {
        json!({"metadata": {"name": "s"}, "spec": {"action": "DENY", "rules": [
            {"outrigger": {"in": [{"on": "header", "name": "x-key", "set": set}]}}]}})
    };
    let config = json!({
        "sets": {"values": {"stolen": ["k"]}},
        "policies": [],
        "candidate": {"policies": [rule("stolen")]},
    });
    let outcome = Stream::get("/").header("x-key", "k").drive(&filter(&config));
    assert_eq!(lines(&outcome)[0]["policy_candidate"]["result"], "would_deny");
}

#[test]
fn audited_and_tried_requests_leave_a_record_in_the_log() {
    let policy = |name: &str, action: &str, paths: &str, dry: &str| json!({"metadata": {"name": name, "annotations": {"istio.io/dry-run": dry}}, "spec": {"action": action, "rules": [{"to": [{"operation": {"paths": [paths]}}]}]}});
    let policies = json!([
        policy("audit", "AUDIT", "/audited/*", "false"),
        policy("tried", "DENY", "/tried/*", "true"),
        policy("denied", "DENY", "/denied/*", "false"),
    ]);
    let config = json!({"policies": policies, "decision_log": {"per_second": 3}});
    let filter = filter(&config);
    let record = |path: &str| lines(&Stream::get(path).drive(&filter)).into_iter().next().unwrap_or_default();
    let audited = record("/audited/joe@example.com");
    assert_eq!(audited["policy_record"]["audit"], json!(["ns[default]-policy[audit]-rule[0]"]));
    assert_eq!(audited["path"], "/audited/[EMAIL]");
    assert_eq!(record("/tried/1")["policy_record"]["dry_run_verdict"], "deny");
    assert_eq!(record("/denied/1"), Value::Null);
    assert_eq!(record("/other"), Value::Null);
    assert_ne!(record("/tried/1"), Value::Null);
    let fourth = Stream::get("/tried/1").drive(&filter);
    assert_eq!((fourth.log.len(), fourth.metrics["policy_records_dropped_total"]), (0, 1));
    assert!(!fourth.state.is_empty());
    let quiet = json!({"policies": policies, "decision_log": {"enabled": false}});
    assert!(Stream::get("/tried/1").drive(&self::filter(&quiet)).log.is_empty());
}

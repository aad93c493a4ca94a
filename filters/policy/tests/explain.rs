//! A trace of one request, asked for by a signed header.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, as it should"
)]

use filter_kit::{
    Environment, Secret,
    fake::{Outcome, Stream},
    load,
};
use policy::{Policy, sign};
use serde_json::{Value, json};

const SECRET: &str = "0123456789abcdef";
const NOW: u64 = 1_764_122_400;
const HEADER: &str = "x-outrigger-explain";

fn filter(more: &Value) -> Policy {
    let mut config = json!({"explain": {"secret_env": "SECRET"}, "policies": [
        {"metadata": {"name": "no"}, "spec": {"action": "DENY", "rules": [
            {"to": [{"operation": {"paths": ["/admin/*"], "notMethods": ["HEAD"]}}], "when": [{"key": "request.headers[x-mail]", "notValues": ["x"]}]},
            {"to": [{"operation": {"paths": ["/other"]}}], "outrigger": {"headers": {"count_over": 100}}}]}}]});
    for (name, value) in more.as_object().unwrap() {
        config["explain"][name] = value.clone();
    }
    let variable = |name: &str| (name == "SECRET").then(|| SECRET.to_owned());
    load(config.to_string().as_bytes(), &Environment::new(&variable)).unwrap()
}

fn signature(path: &str, until: u64) -> String {
    let secret = Secret::new(SECRET.as_bytes()).unwrap();
    sign(&secret, [b"GET", b"shop.example", path.as_bytes()], until)
}

fn ask(path: &str, headers: &[&str]) -> Outcome {
    let stream = Stream::get(path).header("x-mail", "joe@example.com").at(NOW * 1_000_000_000);
    let stream = headers.iter().fold(stream, |stream, value| stream.header(HEADER, value));
    stream.drive(&filter(&json!({})))
}

#[track_caller]
fn check(headers: &[&str], expected: &str) {
    let outcome = ask("/admin/1", headers);
    let counted = outcome.metrics.keys().find(|name| name.starts_with("policy_explain_total"));
    assert!(counted.is_some_and(|name| name.contains(expected)), "{headers:?}: {:?}", outcome.metrics);
    assert_eq!(outcome.log.len(), usize::from(expected == "explained"), "{headers:?}");
    // The upstream gets none of it, and the client neither.
    assert!(outcome.request_header(HEADER).is_empty() && outcome.response_header(HEADER).is_empty());
    assert_eq!(outcome.reply, Some(403));
}

#[test]
fn a_header_is_believed_for_the_request_and_the_time_that_are_signed() {
    let good = signature("/admin/1", NOW + 60);
    check(&[&good], "explained");
    check(&[&signature("/admin/1", NOW)], "expired");
    check(&[&signature("/admin/1", NOW + 61)], "too_far");
    check(&[&signature("/admin/2", NOW + 60)], "forged");
    check(&[&signature("/admin/1?x", NOW + 60)], "forged");
    check(&[&good.replace(&(NOW + 60).to_string(), &(NOW + 59).to_string())], "forged");
    check(&[&[good.as_str(), "0"].concat()], "forged");
    check(&[&good, &good], "repeated");
    check(&[&[good.as_str(), &"0".repeat(200)].concat()], "oversized");
    for malformed in ["", "x", ".", "-1.00", "99999999999999999999999.0"] {
        check(&[malformed], "malformed");
    }
    let other = Secret::new(b"fedcba9876543210").unwrap();
    check(&[&sign(&other, [b"GET", b"shop.example", b"/admin/1"], NOW + 60)], "forged");
    let unasked = ask("/admin/1", &[]);
    assert!(unasked.log.is_empty() && unasked.metrics.keys().all(|name| !name.contains("explain")));
}

#[test]
fn a_trace_has_every_clause_and_no_personal_data() {
    let outcome = ask("/admin/1", &[&signature("/admin/1", NOW + 30)]);
    let line: Value = serde_json::from_str(&outcome.log[0].1).unwrap();
    let trace = &line["policy_explain"];
    assert_eq!(
        (&trace["verdict"], &trace["policy"]),
        (&json!("deny"), &json!("ns[default]-policy[no]-rule[0]"))
    );
    assert_eq!(trace["rules_left_out"], 0);
    let clause = |number: usize| &trace["clauses"][number];
    let at = "policies[0].spec.rules[0]";
    assert_eq!(
        *clause(0),
        json!({"path": format!("{at}.to[0].operation.notMethods"), "result": true, "reason": "GET"})
    );
    assert_eq!(
        *clause(1),
        json!({"path": format!("{at}.to[0].operation.paths"), "result": true, "reason": "/admin/1"})
    );
    let mail = "when[request.headers[x-mail]].notValues";
    assert_eq!(*clause(2), json!({"path": format!("{at}.{mail}"), "result": true, "reason": "[EMAIL]"}));
    assert_eq!(
        *clause(3),
        json!({"path": at, "result": true, "reason": "deny: ns[default]-policy[no]-rule[0]"})
    );
    assert_eq!(clause(4)["result"], false);
    assert_eq!(clause(5)["path"], "policies[0].spec.rules[1].outrigger.headers");
}

#[test]
fn a_trace_is_bounded_and_in_the_response_only_where_it_is_asked_for() {
    let rules: Vec<Value> =
        (0..1000).map(|n| json!({"to": [{"operation": {"paths": [format!("/{n}")]}}]})).collect();
    let config = json!({"explain": {"secret_env": "SECRET", "respond": true, "header": "x-why"}, "policies": [
        {"metadata": {"name": "no"}, "spec": {"action": "DENY", "rules": rules}}]});
    let variable = |_: &str| Some(SECRET.to_owned());
    let filter: Policy = load(config.to_string().as_bytes(), &Environment::new(&variable)).unwrap();
    for path in ["/700", "/allowed"] {
        let stream = Stream::get(path).at(NOW * 1_000_000_000).header("x-why", signature(path, NOW + 9));
        let outcome = stream.drive(&filter);
        let line: Value = serde_json::from_str(&outcome.log[0].1).unwrap();
        assert!(outcome.log[0].1.len() < 8000);
        assert!(line["policy_explain"]["rules_left_out"].as_u64().unwrap() > 900);
        let [told] = &outcome.response_header("x-why")[..] else { panic!("{path}: {:?}", outcome.response) };
        assert!(told.starts_with("{\"verdict\":") && told.len() <= 4096);
        if path == "/700" {
            assert_eq!(
                line["policy_explain"]["clauses"][0]["path"],
                "policies[0].spec.rules[700].to[0].operation.paths"
            );
        }
    }
}

#[test]
fn signatures_that_are_looked_at_are_bounded() {
    let filter = filter(&json!({}));
    let stream =
        Stream::get("/admin/1").at(NOW * 1_000_000_000).header(HEADER, signature("/admin/1", NOW + 60));
    let shown: usize = (0..30).map(|_| stream.drive(&filter).log.len()).sum();
    assert_eq!(shown, 10);
    assert!(stream.drive(&filter).metrics.keys().any(|name| name.contains("limited")));
}

#[test]
fn a_secret_must_be_named() {
    let read = |explain: &str| {
        load::<Policy>(format!("{{\"explain\":{explain}}}").as_bytes(), &Environment::EMPTY)
            .unwrap_err()
            .to_string()
    };
    assert!(read("{}").starts_with("explain.secret_env: must name a variable"));
    assert!(
        read(r#"{"secret_env":"X"}"#)
            .starts_with("explain.secret_env: must name a variable of the VM's environment that is set")
    );
    assert!(
        read(r#"{"secret":"0123456789abcdef"}"#)
            .starts_with("explain.secret: must not stand in a configuration")
    );
}

//! What is no Envoy, what stops and comes back, and who asks: the page says what is wrong and goes on.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on has failed")]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "an admin interface is played by threads"
)]

mod fake;

use fake::{Admin, Answers, ask, envoy, page, response, wait};
use std::{io::Write as _, net::TcpListener, thread};

/// The interface answers so; the page says this.
#[track_caller]
fn says(answers: Answers, expected: &str) {
    let admin = Admin::start(answers);
    let page = page(admin.address);
    let state = wait(&page, |state| state["envoy"]["problem"].is_string());
    let problem = state["envoy"]["problem"].as_str().unwrap();
    assert!(problem.contains(expected), "{problem}");
    assert!(!state["envoy"]["fix"].as_str().unwrap().is_empty());
    // And goes on.
    admin.set(envoy(1, &[("wasmcustom.ab_exposures_total;experiment=x;arm=b", 7)], &[]));
    let state = wait(&page, |state| state["envoy"]["is_up"] == true);
    assert!(state["envoy"]["problem"].is_null());
    assert_eq!(state["experiments"][0]["arms"][0]["exposures"], 7);
}

#[test]
fn what_is_no_envoy_is_said_to_be_none() {
    let with = |body: &[u8]| Answers::from([("/", Some(body.to_vec()))]);
    says(with(&response(200, b"<html>a shop</html>")), "/server_info is no JSON");
    says(with(&response(404, b"")), "/server_info is answered 404");
    says(with(&response(302, b"")), "/server_info is answered 302");
    says(with(&response(200, b"{\"version\":1}")), "has no version and no state");
    says(with(b"SSH-2.0-OpenSSH_9.2\r\n"), "is no Envoy's admin interface");
}

#[test]
fn an_envoy_whose_stats_are_no_stats_is_said_to_be_none() {
    let mut answers = envoy(1, &[], &[]);
    answers.insert("/stats", Some(response(200, b"[1,")));
    says(answers, "/stats is no JSON");
}

#[test]
fn one_that_does_not_answer_in_time_is_waited_for() {
    says(Answers::from([("/", None)]), "does not answer within 3 s");
}

#[test]
fn an_answer_without_an_end_is_cut() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
                while stream.write_all(&[b' '; 1 << 13]).is_ok() {}
            });
        }
    });
    let page = page(address);
    let state = wait(&page, |state| state["envoy"]["problem"].is_string());
    let problem = state["envoy"]["problem"].as_str().unwrap();
    assert!(problem.contains("more than 64 MB") || problem.contains("within 3 s"), "{problem}");
}

#[test]
fn one_that_stops_keeps_its_last_numbers_and_goes_on_when_it_is_back() {
    let stat = "wasmcustom.ab_exposures_total;experiment=x;arm=b";
    let admin = Admin::start(envoy(100, &[(stat, 40)], &["outrigger.ab_routing"]));
    let page = page(admin.address);
    wait(&page, |state| state["totals"]["exposures"] == 40);
    admin.set(Answers::from([("/", Some(Vec::new()))]));
    let state = wait(&page, |state| state["envoy"]["is_up"] == false);
    assert_eq!(state["totals"]["exposures"], 40);
    assert!(state["envoy"]["down_since_ms"].is_u64());
    // Another process, which begins to count anew.
    admin.set(envoy(1, &[(stat, 3)], &["outrigger.ab_routing"]));
    let state = wait(&page, |state| state["envoy"]["is_up"] == true);
    assert_eq!((&state["totals"]["exposures"], &state["envoy"]["restarts"]), (&3.into(), &1.into()));
    let points = state["points"].as_array().unwrap();
    assert!(points.iter().all(|point| point["exposures"].as_f64().unwrap() >= 0.0), "{points:?}");
}

#[test]
fn an_envoy_without_our_filters_has_traffic_and_no_filter() {
    let counted = [("http.main.downstream_rq_total", 12), ("http.admin.downstream_rq_total", 1000)];
    let admin = Admin::start(envoy(1, &counted, &["their.plugin"]));
    let page = page(admin.address);
    let state = wait(&page, |state| state["totals"]["requests"] == 12);
    assert!(state["filters"][0]["kind"].is_null());
    assert_eq!(state["filters"][0]["health"], "other");
    for absent in ["routes", "policy", "personal"] {
        assert!(state[absent].is_null(), "{absent}");
    }
    assert_eq!(state["has_experiments"], false);
}

#[test]
fn a_candidate_s_changes_are_summed_by_live_and_candidate_rule() {
    let of = |result: &str| format!("wasmcustom.policy_candidate_total;live=a;candidate=b;result={result}");
    let (deny, allow) = (of("would_deny"), of("would_allow"));
    let admin = Admin::start(envoy(1, &[(&deny, 5), (&allow, 2)], &[]));
    let page = page(admin.address);
    let state = wait(&page, |state| !state["policy"].is_null());
    let expected = serde_json::json!({"rows": [{"live": "a", "new": "b", "would_deny": 5, "would_allow": 2}], "more": 0});
    assert_eq!(state["policy"]["candidates"], expected);
}

#[test]
fn the_page_answers_no_other_name_and_takes_nothing() {
    let admin = Admin::start(envoy(1, &[], &[]));
    let page = page(admin.address);
    let own = page.address().to_string();
    for (method, path, host, expected) in [
        ("GET", "/", own.as_str(), "200"),
        ("GET", "/state.json", "localhost:1", "200"),
        ("GET", "/state.json", "rebound.example", "421"),
        ("GET", "/", "127.0.0.1.nip.example:80", "421"),
        ("POST", "/", &own, "405"),
        ("GET", "/../Cargo.toml", &own, "404"),
        ("GET", "/page.css?x", &own, "200"),
    ] {
        let (head, _) = ask(&page, method, path, host);
        assert!(head.starts_with(&format!("http/1.1 {expected} ")), "{method} {path} {host}: {head}");
        assert!(head.contains("content-security-policy: default-src 'none'; script-src 'self'"), "{head}");
        assert!(!head.contains("access-control"), "{head}");
    }
}

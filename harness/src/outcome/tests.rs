//! Checking, comparing and showing outcomes.

use super::{Cost, ExchangeOutcome, LogLine, Outcome, check, compare, render};
use crate::{
    Bytes,
    scenario::{Headers, Scenario, load_file},
};
use std::{fs, path::PathBuf, process};

fn scenario(name: &str, text: &str) -> Scenario {
    let file: PathBuf = std::env::temp_dir().join(format!("harness-{}-{name}.toml", process::id()));
    // What is explored needs no expectation.
    let explored = if text.contains("expect") { "" } else { "explore = true\n" };
    fs::write(&file, format!("{explored}{text}")).unwrap();
    let scenario = load_file(&file).map(|mut scenarios| scenarios.remove(0));
    fs::remove_file(&file).unwrap();
    scenario.unwrap_or_else(|error| panic!("{error}"))
}

fn headers(pairs: &[(&str, &str)]) -> Headers {
    pairs.iter().map(|(name, value)| (Bytes::from(*name), Bytes::from(*value))).collect()
}

fn outcome(request: &[(&str, &str)]) -> Outcome {
    let exchange = ExchangeOutcome {
        upstream: Some("v1".to_owned()),
        request_headers: headers(request),
        status: Some(200),
        metrics: [("hits_total;arm=a".to_owned(), 1), ("other".to_owned(), 0)].into(),
        log: vec![LogLine { level: "warn".to_owned(), text: "took 12 ms".to_owned() }],
        ..ExchangeOutcome::default()
    };
    let mut outcome = Outcome { config_error: None, exchanges: vec![exchange], ..Outcome::default() };
    outcome.normalise();
    outcome
}

#[test]
fn a_filter_that_grows_past_its_budget_fails_where_cost_is_known() {
    let scenario = scenario(
        "budget",
        "name = 'a'\nrequest = { path = '/' }\nexpect = { max_instructions = 100, max_host_calls = 3 }\n",
    );
    let mut outcome = outcome(&[]);
    assert_eq!(check(&scenario, &outcome), []);
    for (instructions, host_calls, expected) in
        [(100, 3, vec![]), (101, 3, vec!["max_instructions"]), (9, 4, vec!["max_host_calls"])]
    {
        outcome.exchanges[0].cost = Some(Cost { instructions, host_calls });
        let found = check(&scenario, &outcome);
        let what: Vec<_> = found.iter().map(|found| found.what.trim_start_matches("exchange 1: ")).collect();
        assert_eq!(what, expected);
    }
}

#[test]
fn normalising_sorts_names_keeps_duplicates_in_order_and_drops_what_a_proxy_adds() {
    let outcome =
        outcome(&[("X-B", "2"), ("x-request-id", "r"), ("x-b", "1"), ("X-Envoy-A", "1"), ("a", "")]);
    let exchange = &outcome.exchanges[0];
    assert_eq!(exchange.request_headers, headers(&[("a", ""), ("x-b", "2"), ("x-b", "1")]));
    assert_eq!(exchange.metrics.keys().collect::<Vec<_>>(), ["hits_total;arm=a"]);
}

#[test]
fn every_expectation_that_is_not_met_is_named() {
    let unmet = scenario(
        "unmet",
        "name = 'a'\nrequest = { headers = { x = '1' } }\n\
         expect = { upstream = 'v2', status = 201, untouched = true, request_headers = { x = '2' }, request_trailers = { t = '1' }, response_headers = { y = { matches = '.+' } }, \
         request_body = 'b', response_body = 'c', metrics = { hits_total = { arm = 'b', value = 1 } }, log = [] }\n",
    );
    let found = check(&unmet, &outcome(&[("x", "1"), (":path", "/")]));
    let what: Vec<_> = found.iter().map(|found| found.what.trim_start_matches("exchange 1: ")).collect();
    assert_eq!(
        what,
        [
            "upstream",
            "status",
            "untouched",
            "request_headers.x",
            "request_trailers.t",
            "response_headers.y",
            "request_body",
            "response_body",
            "metrics.hits_total{\"arm\": \"b\"}",
            "log"
        ]
    );
}

#[test]
fn expectations_that_are_met_are_not_named() {
    let met = scenario(
        "met",
        "name = 'a'\nrequest = { headers = { X = '1' } }\n\
         expect = { upstream = 'v1', status = 200, untouched = true, metrics = { hits_total = { value = 1 }, misses_total = { value = 0 } }, log = [{ level = 'warn', text = { matches = 'took [0-9]+ ms' } }] }\n",
    );
    let sent = [("x", "1"), (":path", "/"), (":method", "GET"), (":authority", "shop.example")];
    assert_eq!(check(&met, &outcome(&sent)), []);
}

#[test]
fn a_refused_configuration_must_say_what_is_expected() {
    let refused = scenario("refused", "name = 'a'\nexpect = { config_error = 'weight' }\n");
    let outcome =
        |text: Option<&str>| Outcome { config_error: text.map(str::to_owned), ..Outcome::default() };
    assert_eq!(check(&refused, &outcome(Some("bad weight"))), []);
    assert_eq!(check(&refused, &outcome(Some("bad name"))).len(), 1);
    assert_eq!(check(&refused, &outcome(None)).len(), 1);
    assert_eq!(compare(&refused, &outcome(Some("bad weight")), &outcome(Some("log: bad weight!"))), []);
}

#[test]
fn values_that_a_regex_allows_may_differ_and_others_may_not() {
    let open = scenario(
        "open",
        "name = 'a'\nrequest = {}\nexpect = { request_headers = { id = { matches = '[0-9]' } }, log = [{ level = 'warn', text = { matches = 'took .*' } }] }\n",
    );
    let one = outcome(&[("id", "1"), ("x", "1")]);
    assert_eq!(compare(&open, &one, &outcome(&[("id", "2"), ("x", "1")])), []);
    let found = compare(&open, &one, &outcome(&[("id", "zz"), ("x", "1"), ("y", "1")]));
    let what: Vec<_> = found.iter().map(|found| (found.what.as_str(), found.envoy.as_str())).collect();
    assert_eq!(what, [("exchange 1: request id", "\"zz\""), ("exchange 1: request y", "\"1\"")]);
    assert_eq!(found[1].harness, "(none)");
}

#[test]
fn differing_lines_are_marked_and_long_ones_shown_whole() {
    let any = scenario("any", "name = 'a'\nrequest = {}\n");
    let long = "v".repeat(100);
    let text = render(&any, &outcome(&[("x", "1"), ("y", "same")]), &outcome(&[("x", &long), ("y", "same")]));
    let marked: Vec<_> = text.lines().filter(|line| line.starts_with('!')).collect();
    assert_eq!(marked.len(), 1, "{text}");
    assert!(marked[0].contains("request x: \"1\"") && text.contains(&long), "{text}");
    assert!(text.lines().any(|line| line.starts_with("  exchange 1: request y")), "{text}");
}

#[test]
fn an_outcome_survives_json_with_bytes_that_are_no_utf_8() {
    let mut outcome = outcome(&[("x", "1")]);
    outcome.exchanges[0].request_headers.push((Bytes::from("raw"), Bytes::from(b"\xff\0")));
    let json = serde_json::to_string(&outcome).unwrap();
    assert!(json.contains(r#"["raw",{"base64":"/wA="}]"#), "{json}");
    assert_eq!(serde_json::from_str::<Outcome>(&json).unwrap(), outcome);
}

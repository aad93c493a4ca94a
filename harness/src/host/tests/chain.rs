//! Chains of filters, routes, workers, and what goes on beside a stream.

use super::probe::{exchange, lines, module, options};
use crate::{
    host::{FailurePolicy, Options, Proxy, Settings},
    outcome::ExchangeOutcome,
    scenario::{Cluster, Cut, Exchange, Response, Route},
};
use std::{collections::BTreeMap, time::Duration};

/// A proxy with these plugins in a row, each in a VM of its own.
fn chain(settings: Settings, plugins: &[&str]) -> Proxy {
    let mut proxy = Proxy::new(settings);
    for (number, plugin) in plugins.iter().enumerate() {
        let options = Options { vm_id: number.to_string(), ..options() };
        proxy.add(&module(plugin), &options, Some(b"{}")).unwrap();
    }
    proxy
}

/// Says a letter in each headers callback: of the request in lower case, of the response in upper case.
fn says(letter: &str, more: &str) -> String {
    let upper = letter.to_uppercase();
    let request = format!("(@request_headers (call $text [{letter}]) ");
    let more = if more.contains("(@request_headers ") {
        more.replace("(@request_headers ", &request)
    } else {
        format!("{more} {request} (i32.const 0))")
    };
    format!("{more} (@response_headers (call $text [{upper}]) (i32.const 0))")
}

#[track_caller]
fn check(plugins: &[&str], expected: &str) -> ExchangeOutcome {
    let outcome = chain(Settings::default(), plugins).exchange(&exchange("", ""));
    assert_eq!(lines(&outcome).join(""), expected);
    outcome
}

const REPLY: &str = "(@request_headers (drop (call $reply (i32.const 403) [no] [no] (i32.const 0) (i32.const 0) (i32.const -1))) (i32.const 1))";

#[test]
fn a_request_passes_the_filters_in_their_order_and_the_response_the_other_way() {
    check(&[&says("a", ""), &says("b", ""), &says("c", "")], "abcCBA");
}

#[test]
fn a_reply_passes_the_filters_that_have_seen_the_request() {
    let outcome = check(&[&says("a", ""), &says("b", REPLY), &says("c", "")], "abBA");
    assert_eq!((outcome.status, outcome.upstream), (Some(403), None));
}

#[test]
fn a_trap_ends_one_filter_and_the_others_see_the_503() {
    let trap = "(@request_headers unreachable)";
    let outcome = check(&[&says("a", ""), &says("b", trap), &says("c", "")], "abA");
    assert_eq!(outcome.status, Some(503));
}

#[test]
fn plugins_of_one_vm_fail_together_and_once() {
    let mut proxy = Proxy::new(Settings::default());
    let text = says("x", "(@response_body unreachable)");
    let module = module(&text);
    for root_id in ["one", "two"] {
        let options = Options { root_id: root_id.to_owned(), ..options() };
        proxy.add(&module, &options, Some(b"{}")).unwrap();
    }
    let outcome = proxy.exchange(&exchange("", "answer"));
    assert_eq!((outcome.status, lines(&outcome).join("")), (None, "xxXX".to_owned()));
    // On the main thread and on the worker there is one VM for both.
    assert_eq!(proxy.traps().len(), 1);
}

#[test]
fn a_header_that_a_filter_adds_picks_the_route_again() {
    let add = "(@request_headers (drop (call $add (i32.const 0) [x-route] [two])) (i32.const 0))";
    let routes = vec![Route {
        header: Some(("x-route".to_owned(), "two".to_owned())),
        upstream: "v2".to_owned(),
        ..Route::default()
    }];
    let settings = || Settings { routes: routes.clone(), ..Settings::default() };
    let upstream = |plugins: &[&str]| chain(settings(), plugins).exchange(&exchange("", "")).upstream;
    assert_eq!(upstream(&[add]).as_deref(), Some("v2"));
    assert_eq!(upstream(&[&says("a", "")]).as_deref(), Some("v1"));
}

#[test]
fn what_a_router_cannot_do_it_answers_itself() {
    let routed = |upstream: &str, timeout_ms, response: Response| {
        let settings = Settings {
            routes: vec![Route { upstream: upstream.to_owned(), timeout_ms, ..Route::default() }],
            clusters: BTreeMap::from([
                ("dead".to_owned(), Cluster::Refuses),
                ("empty".to_owned(), Cluster::Empty),
            ]),
            ..Settings::default()
        };
        let mut exchange = exchange("", "");
        exchange.response = response;
        let outcome = chain(settings, &[&says("a", "")]).exchange(&exchange);
        (outcome.status, lines(&outcome).join(""))
    };
    let answer = |status| (Some(status), "aA".to_owned());
    assert_eq!(routed("dead", None, Response::default()), answer(503));
    assert_eq!(routed("empty", None, Response::default()), answer(503));
    assert_eq!(routed("nowhere", None, Response::default()), answer(503));
    assert_eq!(routed("v1", Some(10), Response { after_ms: 20, ..Response::default() }), answer(504));
    assert_eq!(routed("v1", Some(30), Response { after_ms: 20, ..Response::default() }), answer(200));
    let cut = |cut| Response { cut: Some(cut), ..Response::of("answer") };
    assert_eq!(routed("v1", None, cut(Cut::BeforeHeaders)), answer(503));
    assert_eq!(routed("v1", None, cut(Cut::InBody)), (None, "aA".to_owned()));
}

#[test]
fn each_worker_has_its_own_vm_and_stats_are_everybodys() {
    let settings = Settings { workers: 2, ..Settings::default() };
    // It counts its requests in a cell of its memory.
    let count =
        "(@request_headers (i32.store8 (i32.const 100) (i32.add (i32.load8_u (i32.const 100)) (i32.const 1)))
        (call $status (i32.load8_u (i32.const 100))) (i32.const 0))";
    let mut proxy = chain(settings, &[count]);
    let mut on = |worker| lines(&proxy.exchange_on("", worker, &exchange("", ""))).join("");
    assert_eq!([on(0), on(0), on(1), on(0)], ["1", "2", "1", "3"]);
}

#[test]
fn exchanges_that_are_under_way_at_once_take_turns_by_the_clock() {
    let slow = |after_ms, wait_ms| Exchange {
        after_ms,
        response: Response { after_ms: wait_ms, ..Response::default() },
        ..Exchange::default()
    };
    let run = || {
        let mut proxy = chain(Settings::default(), &[&says("a", "")]);
        let begun = proxy.now();
        let outcomes = proxy.all_at_once("", 0, &[slow(0, 50), slow(10, 10), slow(30, 100)]);
        assert!(outcomes.iter().all(|outcome| outcome.status == Some(200)));
        (lines(&outcomes[0]).join(""), proxy.now() - begun)
    };
    // Two begin, the second is answered at 20 ms, the third begins at 30, and so on.
    assert_eq!(run(), ("aaAaAA".to_owned(), 130_000_000));
    assert_eq!(run(), run());
}

#[test]
fn timers_go_on_between_exchanges() {
    let tick = "(@configure (drop (call $period (i32.const 100))) (i32.const 1)) (@tick (call $text [t]))";
    let mut proxy = chain(Settings::default(), &[tick]);
    proxy.take_log();
    proxy.advance(Duration::from_millis(350));
    // On the main thread and on the worker.
    assert_eq!(proxy.take_log().len(), 6);
}

#[test]
fn an_author_adds_foreign_functions_or_takes_the_place_of_the_hosts_own() {
    let call = "(@request_headers (call $show (call $foreign [double] [ab] (i32.const 8) (i32.const 12)))
        (call $show (call $foreign [compress] [ab] (i32.const 8) (i32.const 12)))
        (call $show (call $foreign [nothing] [ab] (i32.const 8) (i32.const 12))) (i32.const 0))";
    let mut proxy = Proxy::new(Settings::default());
    proxy.add_foreign("double", |argument| Ok([argument, argument].concat()));
    proxy.add_foreign("compress", |_| Err(5));
    proxy.add(&module(call), &options(), Some(b"{}")).unwrap();
    assert_eq!(lines(&proxy.exchange(&exchange("", ""))), ["0", "abab", "5", "1"]);
}

#[test]
fn a_vm_that_has_died_is_started_anew_no_sooner_than_it_may() {
    let deadly = "(@request_headers (if (i32.eqz (call $get (i32.const 0) [x-die] (i32.const 8) (i32.const 12))) (then unreachable)) (i32.const 0))";
    let mut proxy = Proxy::new(Settings::default());
    let options = Options { failure_policy: FailurePolicy::Reload, ..options() };
    proxy.add(&module(deadly), &options, Some(b"{}")).unwrap();
    let mut ask = |dies: bool, after_ms| {
        let mut exchange = exchange("", "");
        if dies {
            exchange.request.headers.push(("x-die".into(), "1".into()));
        }
        proxy.advance(Duration::from_millis(after_ms));
        proxy.exchange(&exchange).status
    };
    assert_eq!([ask(false, 0), ask(true, 0), ask(false, 500)], [Some(200), Some(503), Some(503)]);
    assert_eq!(ask(false, 501), Some(200));
    // The wait does not grow.
    assert_eq!([ask(true, 0), ask(false, 500), ask(false, 501)], [Some(503), Some(503), Some(200)]);
}

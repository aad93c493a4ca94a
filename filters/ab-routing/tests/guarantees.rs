//! What an experimentation team must be able to rely on: who moves, what is kept, and what nobody sees.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, as it should"
)]

use ab_routing::AbRouting;
use filter_kit::{
    Environment,
    fake::{Outcome, Stream},
    load,
};
use proptest::prelude::*;
use serde_json::{Value, json};

fn filter(config: &Value) -> AbRouting {
    let variable = |name: &str| (name == "SECRET").then(|| "a secret of the virtual machine".to_owned());
    match load(config.to_string().as_bytes(), &Environment::new(&variable)) {
        Ok(filter) => filter,
        Err(error) => panic!("{error}\n{config:#}"),
    }
}

/// The arms of five hundred users.
fn arms(experiment: &Value) -> Vec<Vec<String>> {
    let filter = filter(&json!({"experiments": [experiment]}));
    let arm =
        |user: u32| Stream::get("/").header("x-id", user.to_string()).drive(&filter).request_header("x-arm");
    (0..500).map(arm).collect()
}

/// Experiments of which a share of keys takes part, 0 to 100 percent.
fn covered(percent: u32) -> Vec<Value> {
    let share = f64::from(percent) / 100.0;
    let key = json!([{"header": "x-id"}]);
    vec![
        json!({"name": "e", "key": key, "coverage": percent * 100, "arms": [{"name": "a", "weight": 3000}, {"name": "b", "weight": 7000}]}),
        json!({"name": "e", "algorithm": "growthbook-v1", "key": key, "coverage": share, "arms": [{"name": "a", "weight": 0.3}, {"name": "b", "weight": 0.7}]}),
        json!({"name": "e", "algorithm": "growthbook-v2", "key": key, "coverage": share, "arms": [{"name": "a"}, {"name": "b"}, {"name": "c"}]}),
        json!({"name": "e", "algorithm": "unleash", "key": key, "arms": [{"name": "on", "weight": percent}]}),
        json!({"name": "e", "algorithm": "unleash-variant", "key": key, "coverage": percent, "arms": [{"name": "a", "weight": 1}, {"name": "b", "weight": 2}]}),
        json!({"name": "e", "algorithm": "eppo", "salt": "s", "key": key, "filters": [{"salt": "traffic", "ranges": [[0, percent * 100]]}],
            "arms": [{"name": "a", "ranges": [[0, 5000]]}, {"name": "b", "ranges": [[5000, 10000]]}]}),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn raising_coverage_moves_nobody_who_is_enrolled(one in 0_u32..=100, other in 0_u32..=100) {
        for (before, after) in covered(one.min(other)).iter().zip(&covered(one.max(other))) {
            for (old, new) in arms(before).iter().zip(&arms(after)) {
                prop_assert!(old.is_empty() || old == new, "{}: {:?} -> {:?}", after, old, new);
            }
        }
    }

    #[test]
    fn a_kept_assignment_survives_any_change_of_weights(before in 0_u32..=10_000, after in 0_u32..=10_000, signed: bool, user in "[a-z0-9]{1,12}") {
        let config = |weight: u32, coverage: u32| {
            let secret = if signed { json!({"secret_env": "SECRET"}) } else { json!({}) };
            json!({"sticky": secret, "experiments": [{
                "name": "e", "sticky": {}, "coverage": coverage, "key": [{"header": "x-id"}],
                "arms": [{"name": "a", "weight": weight}, {"name": "b", "weight": 10_000 - weight}],
            }]})
        };
        let first = Stream::get("/").header("x-id", &user).drive(&filter(&config(before, 10_000)));
        let cookie = first.response_header("set-cookie")[0].split(';').next().unwrap().to_owned();
        // Not even a coverage of nobody moves who has one.
        let again = Stream::get("/").header("x-id", &user).header("cookie", &cookie).drive(&filter(&config(after, 0)));
        prop_assert_eq!(first.request_header("x-arm"), again.request_header("x-arm"));
        prop_assert_eq!(again.response_header("set-cookie"), Vec::<String>::new());
        if signed {
            let stolen = Stream::get("/").header("x-id", "another").header("cookie", &cookie).drive(&filter(&config(after, 0)));
            prop_assert_eq!(stolen.request_header("x-arm"), Vec::<String>::new());
        }
    }

    #[test]
    fn experiments_of_a_layer_exclude_one_another(ends in prop::collection::vec(0_u32..=10_000, 3), user: u64) {
        let mut ends = ends;
        ends.sort_unstable();
        let bounds = [0, ends[0], ends[1], ends[2]];
        let one = |(place, pair): (usize, &[u32])| json!({
            "name": format!("e{place}"), "header": format!("x-e{place}"), "layer": {"name": "l", "ranges": [[pair[0], pair[1]]]},
            "key": [{"header": "x-id"}], "arms": [{"name": "in", "weight": 10_000}],
        });
        let experiments: Vec<Value> = bounds.windows(2).enumerate().map(one).collect();
        let filter = filter(&json!({"layers": [{"name": "l"}], "experiments": experiments}));
        let outcome = Stream::get("/").header("x-id", user.to_string()).drive(&filter);
        let entered = (0..3).filter(|place| !outcome.request_header(&format!("x-e{place}")).is_empty()).count();
        prop_assert!(entered <= 1 && (ends[2] < 10_000 || entered == 1));
    }
}

/// A configuration with all there is.
fn everything() -> Value {
    let arms = json!([
        {"name": "a", "weight": 5000, "request": {"set": {"x-tier": "a"}, "query": {"set": {"v": "1"}}}},
        {"name": "b", "weight": 5000, "request": {"path_prefix": {"from": "/shop", "to": "/b"}}},
    ]);
    let keys = json!([{"header": "x-id"}, {"cookie": "uid"}, {"query": "u"}]);
    json!({
        "layers": [{"name": "l"}],
        "holdouts": [{"name": "h", "share": 1}],
        "sticky": {"secret_env": "SECRET"},
        "overrides": {"header": "x-force", "query": "force", "cookie": "force", "secret_env": "SECRET", "trusted_principals": ["spiffe://test/*"]},
        "exposures": {"bots": false, "prefetch": false},
        "count_forged": true,
        "experiments": [
            {"name": "e", "key": keys, "sticky": {}, "layer": {"name": "l", "ranges": [[0, 10000]]}, "holdouts": ["h"],
                "response": {"header": "x-served", "cookie": {"name": "arm"}, "cache": "private"}, "arms": arms},
            {"name": "f", "header": "x-f", "key": keys, "visitor_cookie": {}, "algorithm": "growthbook-v2", "namespace": ["n", 0, 1],
                "force": [{"arm": "a", "keys": ["person@example.com"]}], "arms": [{"name": "a"}, {"name": "b"}]},
        ],
    })
}

/// The arms that come of the clauses are those that the request's headers say.
fn explains_what_it_does(filter: &AbRouting, request: &Stream) {
    let (_, explained) = filter.explain(&request.clone().request_view(true));
    let outcome = request.clone().drive(filter);
    for one in &explained {
        let arm = explained.iter().find(|other| other.header == one.header && other.arm.is_some());
        let expected: Vec<String> = arm.and_then(|arm| arm.arm.clone()).into_iter().collect();
        assert_eq!(outcome.request_header(&one.header), expected, "{explained:#?}");
        let last = one.clauses.last().unwrap();
        assert_eq!(last.result, Some(one.arm.is_some()), "{one:#?}");
    }
}

/// The places of a document.
fn places(value: &Value, here: String, all: &mut Vec<String>) {
    match value {
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                places(item, format!("{here}/{index}"), all);
            }
        }
        Value::Object(fields) => {
            for (name, value) in fields {
                places(value, format!("{here}/{name}"), all);
            }
        }
        _ => {}
    }
    all.push(here);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, ..ProptestConfig::default() })]

    #[test]
    fn a_configuration_with_anything_anywhere_is_refused_or_runs(
        at in any::<prop::sample::Index>(),
        value in prop::sample::select(vec![
            json!(null), json!(true), json!(0), json!(-1), json!(1.5), json!(10_000), json!(u64::MAX), json!(1e300), json!(""), json!("a"), json!("outrigger"),
            json!("unleash-variant"), json!("flagd"), json!("flagd-v1"), json!("optimizely"), json!("launchdarkly"), json!("eppo"), json!([]), json!([0]),
            json!([[0, 0]]), json!([{}]), json!({}), json!({"name": "x"}), json!({"header": "x-id"}), json!("\u{0}\n\u{e9}"),
        ]),
    ) {
        let mut config = everything();
        config["propagate"] = json!({"trusted_principals": ["spiffe://test/*"]});
        let mut all = Vec::new();
        places(&config, String::new(), &mut all);
        *config.pointer_mut(&all[at.index(all.len())]).unwrap() = value;
        let variable = |_: &str| Some("a secret of the virtual machine".to_owned());
        if let Ok(filter) = load::<AbRouting>(config.to_string().as_bytes(), &Environment::new(&variable)) {
            let request = Stream::get("/shop?u=1&force=b").header("x-id", "user").header("x-force", "b").header("cookie", "ab-sticky=e:0:a");
            let trusted = request.clone().property("connection.uri_san_peer_certificate", "spiffe://test/qa");
            let visitor = Stream::get("/shop?force=f:a");
            let carried = Stream::get("/shop").header("x-id", "user").header("baggage", "ab-arms=e:b").property("connection.uri_san_peer_certificate", "spiffe://test/qa");
            let stranger = Stream::get("/x").header("x-id", "person@example.com").at(1_795_392_000_000_000_000).seed(7);
            for request in [request, trusted, visitor, carried, stranger] {
                explains_what_it_does(&filter, &request);
            }
        }
    }
}

/// All texts that leave the filter, but for what the client itself sent.
fn written(before: &Outcome, after: &Outcome) -> String {
    let of = |headers: &filter_kit::fake::Headers| {
        headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value)))
            .collect::<Vec<_>>()
    };
    let sent = of(&before.request);
    let mut texts: Vec<String> =
        of(&after.request).into_iter().filter(|header| !sent.contains(header)).collect();
    texts.extend(of(&after.response));
    texts.extend(after.metrics.keys().cloned());
    texts.extend(after.log.iter().map(|(_, text)| text.clone()));
    texts.extend(after.state.iter().map(|(key, value)| format!("{key}: {value}")));
    texts.join("\n")
}

#[test]
fn a_key_is_in_nothing_that_the_filter_writes() {
    let untouched = filter(&json!({}));
    let filter = filter(&everything());
    for key in ["person@example.com", "4111111111111111", "o'neill%40example.com"] {
        for request in [
            Stream::get("/shop").header("x-id", key),
            Stream::get("/shop").header("cookie", format!("uid={key}; force=b")),
            Stream::get("/shop").header("x-id", key).header("x-force", format!("e:{key}")),
            Stream::get("/shop")
                .header("x-id", key)
                .header("cookie", format!("ab-sticky=e:0:{key}~{key}; arm={key}; visitor={key}")),
            Stream::get("/shop").header("x-id", format!("{key}{}", "x".repeat(5000))),
            Stream::get("/shop")
                .header("x-id", key)
                .header("user-agent", format!("bot {key}"))
                .header("x-arm", key),
        ] {
            let (before, after) = (request.drive(&untouched), request.drive(&filter));
            let written = written(&before, &after);
            // A cookie of the client's stays in its own header, less what was asked for.
            let leaks: Vec<&str> =
                written.lines().filter(|line| line.contains(key) && !line.starts_with("cookie: ")).collect();
            assert!(leaks.is_empty(), "{leaks:?}");
            assert!(!after.metrics.is_empty());
        }
    }
}

#[test]
fn a_trusted_principal_asks_without_a_signature_until_the_time_is_up() {
    let filter = filter(&everything());
    let ask = |principal: &str, list: &str, now: u64| {
        let request =
            Stream::get("/shop").header("x-id", "user").header("x-force", list).at(now * 1_000_000_000);
        let outcome = request.property("connection.uri_san_peer_certificate", principal).drive(&filter);
        (outcome.request_header("x-arm")[0].clone(), outcome.metrics["ab_overrides_total;result=honoured"])
    };
    let usual = Stream::get("/shop").header("x-id", "user").drive(&filter).request_header("x-arm")[0].clone();
    let other = if usual == "a" { "b" } else { "a" };
    assert_eq!(ask("spiffe://test/qa", &format!("e:{other}"), 0), (other.to_owned(), 1));
    assert_eq!(ask("spiffe://test/qa", &format!("e:{other}~@100"), 99), (other.to_owned(), 1));
    for (principal, list, now) in [
        ("spiffe://other/qa", format!("e:{other}"), 0),
        ("", format!("e:{other}"), 0),
        ("spiffe://test/qa", format!("e:{other}~@100"), 100),
        ("spiffe://test/qa", format!("e:{other}~@soon"), 0),
    ] {
        let request =
            Stream::get("/shop").header("x-id", "user").header("x-force", &list).at(now * 1_000_000_000);
        let outcome = request.property("connection.uri_san_peer_certificate", principal).drive(&filter);
        assert_eq!(outcome.request_header("x-arm"), [usual.as_str()], "{principal} {list}");
        assert_eq!(outcome.metrics["ab_overrides_total;result=refused"], 1);
        assert_eq!(outcome.request_header("x-force"), Vec::<String>::new());
    }
}

#[test]
fn an_experiment_runs_while_its_clock_says_so() {
    let filter = filter(&json!({"experiments": [{
        "name": "e", "start": "2026-11-23T00:00:00Z", "end": "2026-11-24T00:00:00Z", "key": [{"header": "x-id"}], "arms": [{"name": "a", "weight": 10000}],
    }]}));
    let begin = 1_795_392_000_000_000_000;
    let day = 86_400_000_000_000;
    for (now, runs) in [(begin - 1, false), (begin, true), (begin + day - 1, true), (begin + day, false)] {
        let outcome = Stream::get("/").header("x-id", "1").at(now).drive(&filter);
        assert_eq!(outcome.request_header("x-arm").len(), usize::from(runs), "{now}");
        assert_eq!(outcome.metrics.len(), usize::from(runs));
    }
}

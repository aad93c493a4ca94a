//! What a platform engineer must be able to rely on when policies change, and that an index changes nothing.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, as it should"
)]

use filter_kit::{Environment, fake::Stream, load};
use policy::{Policy, Seen};
use proptest::{prelude::*, sample::select};
use serde_json::{Value, json};

fn filter(config: &Value) -> Policy {
    match load(config.to_string().as_bytes(), &Environment::EMPTY) {
        Ok(filter) => filter,
        Err(error) => panic!("{error}\n{config:#}"),
    }
}

fn is_allowed(config: &Value, request: &Stream) -> bool {
    request.drive(&filter(config)).reply.is_none()
}

fn values(of: &'static [&'static str]) -> impl Strategy<Value = Vec<&'static str>> {
    prop::collection::vec(select(of), 1..4)
}

const PATHS: [&str; 14] = [
    "/a", "/a*", "*/b", "*", "/a/{*}", "/a/{**}", "/{*}/b", "/{**}/b", "/a/b", "/", "/a;*", "/a%2fb", "//*",
    "/a/b/c*",
];
const HOSTS: [&str; 6] = ["shop.example", "*.example", "shop.*", "*", "a.example:80", "SHOP.EXAMPLE"];

/// One part of a rule: a field of an operation, a source or a condition.
fn part() -> impl Strategy<Value = Value> {
    prop_oneof![
        (any::<bool>(), values(&PATHS)).prop_map(|(not, list)| json!({"to": [{"operation": {if not { "notPaths" } else { "paths" }: list}}]})),
        (any::<bool>(), values(&HOSTS)).prop_map(|(not, list)| json!({"to": [{"operation": {if not { "notHosts" } else { "hosts" }: list}}]})),
        (any::<bool>(), values(&["GET", "POST", "P*", "*"])).prop_map(|(not, list)| json!({"to": [{"operation": {if not { "notMethods" } else { "methods" }: list}}]})),
        (any::<bool>(), values(&["td/ns/a/sa/b", "td/*", "*/b", "*"])).prop_map(|(not, list)| json!({"from": [{"source": {if not { "notPrincipals" } else { "principals" }: list}}]})),
        (any::<bool>(), values(&["a", "a*", "b"])).prop_map(|(not, list)| json!({"from": [{"source": {if not { "notNamespaces" } else { "namespaces" }: list}}]})),
        values(&["a/b", "a/c"]).prop_map(|list| json!({"from": [{"source": {"serviceAccounts": list}}]})),
        (any::<bool>(), values(&["10.0.0.0/8", "10.1.0.0/16", "10.1.2.3", "::/0", "0.0.0.0/0"])).prop_map(|(not, list)| json!({"from": [{"source": {if not { "notRemoteIpBlocks" } else { "remoteIpBlocks" }: list}}]})),
        values(&["10.0.0.0/8"]).prop_map(|list| json!({"from": [{"source": {"ipBlocks": list}}]})),
        (any::<bool>(), values(&["1", "1*", "*1", "*", "1,2"])).prop_map(|(not, list)| json!({"when": [{"key": "request.headers[x-a]", if not { "notValues" } else { "values" }: list}]})),
        values(&["8080", "80"]).prop_map(|list| json!({"when": [{"key": "destination.port", "values": list}]})),
        Just(json!({})),
    ]
}

/// A rule of up to three parts; parts of one kind become alternatives, or conditions.
fn rule() -> impl Strategy<Value = Value> {
    prop::collection::vec(part(), 0..4).prop_map(|parts| {
        let mut rule = json!({});
        for part in parts {
            for (name, list) in part.as_object().unwrap() {
                let into = rule.as_object_mut().unwrap().entry(name.clone()).or_insert(json!([]));
                into.as_array_mut().unwrap().extend(list.as_array().unwrap().iter().cloned());
            }
        }
        rule
    })
}

fn rules() -> impl Strategy<Value = Vec<Value>> {
    prop::collection::vec(rule(), 0..8)
}

fn request() -> impl Strategy<Value = Stream> {
    (
        select(vec![
            "/", "/a", "/ab", "/a/b", "/a/b/c", "//b", "/a//b", "/a%2fb", "/a;x", "/x/..;/a", "/a?b", "/%00",
            "/a/b=c", "/a/=/b", "/b",
        ]),
        select(vec!["shop.example", "Shop.Example:80", "a.example:80", "x"]),
        select(vec!["GET", "POST", "PUT"]),
        select(vec!["", "spiffe://td/ns/a/sa/b", "spiffe://td/ns/ab/sa/c", "x"]),
        select(vec!["10.1.2.3:1", "10.9.9.9:1", "[::1]:1", "11.0.0.1:1", "/pipe"]),
        prop::collection::vec(select(vec!["1", "2", "12", ""]), 0..3),
        any::<bool>(),
    )
        .prop_map(|(path, host, method, peer, address, headers, has_peer)| {
            let mut request =
                Stream::get(path).authority(host).method(method).property("source.address", address);
            request = request.property("destination.address", "10.0.0.9:8080");
            if !peer.is_empty() {
                request = request.property("connection.uri_san_peer_certificate", peer);
            }
            if has_peer {
                request = request.property("filter_state.outrigger.peer", "10.0.0.1");
            }
            headers.into_iter().fold(request, |request, value| request.header("x-a", value))
        })
}

fn policy(name: &str, action: &str, rules: &[Value]) -> Value {
    json!({"metadata": {"name": name}, "spec": {"action": action, "rules": rules}})
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn a_further_deny_policy_never_allows_more(deny in rules(), allow in rules(), further in rule(), request in request(), mode in select(vec!["istio", "strict"])) {
        let config = |list: &[Value]| json!({"mode": mode, "policies": list});
        let mut list = vec![policy("a", "ALLOW", &allow)];
        if !deny.is_empty() {
            list.push(policy("d", "DENY", &deny));
        }
        let before = is_allowed(&config(&list), &request);
        list.push(policy("e", "DENY", &[further]));
        let after = is_allowed(&config(&list), &request);
        prop_assert!(before || !after);
    }

    #[test]
    fn a_further_rule_of_an_allow_policy_never_allows_less(deny in rules(), mut allow in rules(), further in rule(), request in request(), mode in select(vec!["istio", "strict"])) {
        let config = |allow: &[Value]| {
            let mut list = vec![policy("a", "ALLOW", allow)];
            list.extend((!deny.is_empty()).then(|| policy("d", "DENY", &deny)));
            json!({"mode": mode, "policies": list})
        };
        let before = is_allowed(&config(&allow), &request);
        allow.push(further);
        prop_assert!(!before || is_allowed(&config(&allow), &request));
    }

    /// Every clause is asked there, without an index and without an end at the first rule that decides.
    #[test]
    fn what_comes_of_the_clauses_is_what_the_filter_does(deny in rules(), allow in rules(), audit in rules(), request in request(), mode in select(vec!["istio", "strict"])) {
        let list = [("a", "ALLOW", &allow), ("d", "DENY", &deny), ("l", "AUDIT", &audit)];
        let list: Vec<Value> = list.iter().filter(|(.., rules)| !rules.is_empty()).map(|(name, action, rules)| policy(name, action, rules)).collect();
        let filter = filter(&json!({"mode": mode, "policies": list}));
        let (headers, response) = (request.request_view(true), request.response_view());
        let explained = filter.explain(Seen { request: &headers, body: b"", response: &response });
        let outcome = request.drive(&filter);
        prop_assert_eq!(explained.is_allowed, outcome.reply.is_none(), "{:#?}", explained);
        let state: Value = outcome.state.get("outrigger.policy").and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        if let Some(rule) = state.get("policy").and_then(Value::as_str) {
            prop_assert_eq!(explained.rule.as_deref(), Some(rule));
        }
        let rules = list.iter().map(|policy| policy["spec"]["rules"].as_array().unwrap().len()).sum::<usize>();
        let of_rules = explained.clauses.iter().filter(|clause| clause.path.ends_with(']') && clause.path.matches('[').count() == 2);
        prop_assert!(of_rules.count() <= rules);
    }

    /// What is counted of a candidate is what two filters say, each with one of the sets.
    #[test]
    fn a_candidate_changes_nothing_and_counts_what_would_change(live in rules(), deny in rules(), allow in rules(), request in request(), modes in (select(vec!["istio", "strict"]), select(vec!["istio", "strict"]))) {
        let list = |list: [(&str, &str, &Vec<Value>); 2]| -> Vec<Value> {
            list.iter().filter(|(.., rules)| !rules.is_empty()).map(|(name, action, rules)| policy(name, action, rules)).collect()
        };
        let (live, beside) = (list([("a", "ALLOW", &allow), ("d", "DENY", &live)]), list([("d", "DENY", &deny), ("a", "ALLOW", &live)]));
        let alone = request.drive(&filter(&json!({"mode": modes.0, "policies": live})));
        let other = request.drive(&filter(&json!({"mode": modes.1, "policies": beside})));
        let both = request.drive(&filter(&json!({"mode": modes.0, "policies": live, "candidate": {"mode": modes.1, "policies": beside}})));
        prop_assert_eq!((&alone.reply, &alone.state, &alone.request), (&both.reply, &both.state, &both.request));
        let counted: Vec<_> = both.metrics.iter().filter(|(name, _)| name.starts_with("policy_candidate_total")).collect();
        if alone.reply.is_some() == other.reply.is_some() {
            prop_assert!(counted.is_empty(), "{:?}", counted);
        } else {
            let result = if other.reply.is_some() { "would_deny" } else { "would_allow" };
            prop_assert_eq!(counted.len(), 1, "{:?}", counted);
            let id = |outcome: &filter_kit::fake::Outcome| {
                let state: Value = outcome.state.get("outrigger.policy").and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
                state["policy"].as_str().or(state["cause"].as_str()).map(str::to_owned)
            };
            let line: Value = serde_json::from_str(&both.log.last().unwrap().1).unwrap();
            let told = &line["policy_candidate"];
            prop_assert_eq!(&told["result"], result);
            for (side, outcome) in [("live", &alone), ("candidate", &other)] {
                // What is allowed has no record to compare with.
                if outcome.reply.is_some() {
                    prop_assert_eq!(told[side].as_str().map(str::to_owned), id(outcome));
                }
            }
        }
    }

    /// A rule that any request may concern is tried whatever the index says: a policy is the same without one.
    #[test]
    fn an_index_changes_no_decision(list in rules(), request in request(), is_strict in any::<bool>(), is_deny in any::<bool>()) {
        let config = |rules: &[Value]| {
            let action = if is_deny { "DENY" } else { "ALLOW" };
            // Strict mode refuses what has nothing in it, so every rule stands in a policy of its own.
            let list: Vec<Value> = rules.iter().enumerate().map(|(n, rule)| policy(&format!("p{n}"), action, std::slice::from_ref(rule))).collect();
            json!({"mode": if is_strict { "strict" } else { "istio" }, "policies": list})
        };
        // A `when` that always holds, and that no index can use, in each alternative: the negation of what is not.
        let unindexed: Vec<Value> = list.iter().map(|rule| {
            let mut rule = rule.clone();
            for (outer, inner) in [("from", "source"), ("to", "operation")] {
                if let Some(alternatives) = rule.get_mut(outer).and_then(Value::as_array_mut) {
                    // An alternative that never holds, with nothing that it could be found by.
                    let never = if outer == "from" {
                        json!({"notPrincipals": ["*"], "principals": ["*"]})
                    } else {
                        json!({"notMethods": ["*"]})
                    };
                    alternatives.push(json!({inner: never}));
                }
            }
            rule
        }).collect();
        let one = Stream::clone(&request).drive(&filter(&config(&list)));
        let other = request.drive(&filter(&config(&unindexed)));
        prop_assert_eq!(one.reply, other.reply);
        prop_assert_eq!(one.state, other.state);
    }
}

#[test]
fn a_large_configuration_is_read_quickly_and_finds_its_rules() {
    let rules: Vec<Value> = (0..10_000)
        .map(|n| json!({"to": [{"operation": {"paths": [format!("/service{n}/items*")], "methods": ["POST"]}}]}))
        .collect();
    let config = json!({"policies": [policy("p", "DENY", &rules)]});
    let filter = filter(&config);
    for (path, expected) in
        [("/service7/items", Some(403)), ("/service9999/items/1", Some(403)), ("/service10000/items", None)]
    {
        let outcome = Stream::get(path).method("POST").drive(&filter);
        assert_eq!(outcome.reply, expected, "{path}");
    }
}

#[test]
fn keys_of_any_length_are_found() {
    for length in [1, 2, 62, 63, 64, 65, 66, 100, 126, 127, 128, 129, 200, 300] {
        let text = format!("/{}", "a".repeat(length - 1));
        let (longer, other) = (format!("{text}b"), format!("/{}b", "a".repeat(length)));
        for (values, path, expected) in [
            (vec![text.clone()], &text, true),
            (vec![text.clone()], &longer, false),
            (vec![format!("{text}*")], &longer, true),
            (vec![format!("{text}*"), "/x".to_owned(), "/a*".to_owned()], &other, true),
            (vec![format!("*{text}")], &format!("/x{text}"), true),
            (vec![format!("*{text}")], &format!("{text}x"), false),
            (vec![format!("*{text}"), format!("*/{}", "b".repeat(90))], &format!("/x{text}"), true),
            (vec![format!("/x{}/{{*}}", "a".repeat(length))], &format!("/x{}/x", "a".repeat(length)), true),
        ] {
            let rule = json!({"to": [{"operation": {"paths": values}}]});
            let filter = filter(&json!({"policies": [policy("p", "DENY", &[rule])]}));
            assert_eq!(Stream::get(path).drive(&filter).reply.is_some(), expected, "{values:?} {path}");
        }
    }
}

#[test]
fn a_set_may_have_a_hundred_thousand_entries() {
    let addresses: Vec<String> =
        (0..100_000).map(|n| format!("10.{}.{}.{}/32", n / 65536, n / 256 % 256, n % 256)).collect();
    let keys: Vec<String> = (0..100_000).map(|n| format!("key-{n}")).collect();
    let rules = json!([
        {"outrigger": {"in": [{"on": "remote", "set": "bots"}]}},
        {"outrigger": {"in": [{"on": "header", "name": "x-key", "set": "keys"}]}},
    ]);
    let config = json!({"sets": {"addresses": {"bots": addresses}, "values": {"keys": keys}}, "policies": [policy("p", "DENY", rules.as_array().unwrap())]});
    let filter = filter(&config);
    let status = |address: &str, key: &str| {
        Stream::get("/").property("source.address", address).header("x-key", key).drive(&filter).reply
    };
    assert_eq!(status("10.1.134.159:1", ""), Some(403));
    assert_eq!(status("10.1.134.160:1", ""), None);
    assert_eq!(status("1.1.1.1:1", "key-99999"), Some(403));
    assert_eq!(status("1.1.1.1:1", "key-100000"), None);
    // A client that is not known is an error.
    assert_eq!(Stream::get("/").drive(&filter).reply, Some(403));
}

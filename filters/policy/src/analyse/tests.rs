#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that panics has failed, as it should")]

use super::{Analysis, Kind};
use crate::Policy;
use filter_kit::{Environment, load};
use serde_json::{Value, json};

fn analysis(config: &Value) -> Analysis {
    match load::<Policy>(config.to_string().as_bytes(), &Environment::EMPTY) {
        Ok(policy) => policy.analyse(),
        Err(error) => panic!("{error}\n{config:#}"),
    }
}

/// Policies named a, b, ... in one namespace, each of an action and rules.
fn set(policies: &[(&str, Value)]) -> Value {
    let list: Vec<Value> = policies
        .iter()
        .zip('a'..)
        .map(|((action, rules), name)| {
            json!({"metadata": {"name": name.to_string(), "namespace": "n"}, "spec": {"action": action, "rules": rules}})
        })
        .collect();
    json!({"policies": list})
}

/// What is found of some kinds, as `KIND POLICY.RULE: MESSAGE`.
#[track_caller]
fn check(config: &Value, kinds: &[Kind], expected: &[&str]) {
    let found: Vec<String> = analysis(config)
        .findings
        .iter()
        .filter(|finding| kinds.contains(&finding.kind))
        .map(|finding| {
            let rule = finding.place.rule.map_or_else(|| "-".to_owned(), |rule| rule.to_string());
            format!("{}.{rule}: {}", finding.place.policy, finding.message)
        })
        .collect();
    assert_eq!(found, expected, "{config:#}");
}

fn to(operation: &Value) -> Value {
    json!([{"to": [{"operation": operation}]}])
}

fn from(source: &Value) -> Value {
    json!([{"from": [{"source": source}]}])
}

#[track_caller]
fn never(rules: Value, expected: &str) {
    let expected = if expected.is_empty() { String::new() } else { format!("0.0: {expected}") };
    let expected: Vec<&str> = if expected.is_empty() { vec![] } else { vec![&expected] };
    check(&set(&[("DENY", rules)]), &[Kind::NeverMatches], &expected);
}

#[test]
fn what_a_rule_asks_for_and_excludes_never_matches() {
    never(
        to(&json!({"methods": ["GET"], "notMethods": ["GET", "POST"]})),
        "methods asks for `GET`, and notMethods excludes `GET`",
    );
    never(to(&json!({"methods": ["GET", "PUT"], "notMethods": ["GET"]})), "");
    never(to(&json!({"notMethods": ["*"]})), "every request has a method, and `*` excludes it");
    never(
        to(&json!({"paths": ["/a/b", "/a/c*"], "notPaths": ["/a/*"]})),
        "paths asks for `/a/b`, and notPaths excludes `/a/*`",
    );
    never(
        to(&json!({"paths": ["/a/{*}/c"], "notPaths": ["/a/{**}"]})),
        "paths asks for `/a/{*}/c`, and notPaths excludes `/a/{**}`",
    );
    never(to(&json!({"paths": ["/a/*"], "notPaths": ["/a/{**}"]})), "");
    never(to(&json!({"paths": ["/a/{**}"], "notPaths": ["/a/{*}"]})), "");
    never(
        to(&json!({"hosts": ["a.example"], "notHosts": ["*.EXAMPLE"]})),
        "hosts asks for `a.example`, and notHosts excludes `*.example`",
    );
    never(
        to(&json!({"ports": ["80"], "notPorts": ["80"]})),
        "ports asks for `80`, and notPorts excludes `80`",
    );
    never(
        from(&json!({"ipBlocks": ["10.1.0.0/16"], "notIpBlocks": ["10.0.0.0/8"]})),
        "ipBlocks asks for `10.1.0.0/16`, and notIpBlocks excludes `10.0.0.0/8`",
    );
    never(from(&json!({"ipBlocks": ["10.0.0.0/8"], "notIpBlocks": ["10.1.0.0/16"]})), "");
    never(from(&json!({"ipBlocks": ["10.0.0.0/9"], "notIpBlocks": ["10.128.0.0/9"]})), "");
    never(
        from(&json!({"principals": ["td/ns/a/sa/b"], "notNamespaces": ["a"]})),
        "principals asks for `td/ns/a/sa/b`, and notNamespaces excludes `a`",
    );
    never(
        from(&json!({"principals": ["td/ns/a/sa/b"], "namespaces": ["b"]})),
        "nothing is one of principals (`td/ns/a/sa/b`) and one of namespaces (`b`) at once",
    );
    never(
        from(&json!({"namespaces": ["a"], "notNamespaces": ["a*"]})),
        "namespaces asks for `a`, and notNamespaces excludes `a*`",
    );
    never(
        from(&json!({"requestPrincipals": ["iss/a"], "notRequestPrincipals": ["iss/*"]})),
        "requestPrincipals asks for `iss/a`, and notRequestPrincipals excludes `iss/*`",
    );
    never(
        json!([{"when": [{"key": "request.headers[x-a]", "values": ["a1"], "notValues": ["a*"]}]}]),
        "request.headers[x-a] values asks for a value, and request.headers[x-a] notValues excludes it",
    );
    // A header may have both values.
    never(
        json!([{"when": [{"key": "request.headers[x-a]", "values": ["a"]}, {"key": "request.headers[x-a]", "values": ["b"]}]}]),
        "",
    );
    never(
        json!([{"to": [{"operation": {"methods": ["GET"]}}], "when": [{"key": "request.headers[:method]", "values": ["POST"]}]}]),
        "",
    );
    never(
        json!([{"from": [{"source": {"remoteIpBlocks": ["10.0.0.0/8"]}}], "when": [{"key": "remote.ip", "values": ["192.168.0.0/16"]}]}]),
        "nothing is one of remoteIpBlocks (`10.0.0.0/8`) and one of remoteIpBlocks (`192.168.0.0/16`) at once",
    );
    // One of two operations can.
    never(json!([{"to": [{"operation": {"paths": ["a"]}}, {"operation": {"paths": ["/a"]}}]}]), "");
}

#[test]
fn values_that_no_request_has() {
    never(to(&json!({"paths": ["admin"]})), "paths has `admin`, and a path begins with `/`");
    never(
        to(&json!({"paths": ["/a?b=c"]})),
        "paths has `/a?b=c`, and paths are compared without their query",
    );
    never(to(&json!({"paths": ["/a#b"]})), "paths has `/a#b`, and paths are compared without their fragment");
    never(to(&json!({"methods": ["GET, POST"]})), "methods has `GET, POST`, and a method is one word");
    never(
        to(&json!({"hosts": ["https://a.example"]})),
        "hosts has `https://a.example`, and a host has no scheme, no path and no space",
    );
    never(
        json!([{"when": [{"key": "request.headers[x a]", "values": ["b"]}]}]),
        "request.headers[x a] values has a value, and no header can have this name",
    );
    check(
        &set(&[("ALLOW", to(&json!({"paths": ["/a", "b*"], "notPaths": ["/a/?x"], "methods": ["get"]})))]),
        &[Kind::NeverMatches, Kind::ValueNever, Kind::MethodCase],
        &[
            "0.0: `b*` in paths never matches: a path begins with `/`",
            "0.0: `/a/?x` in notPaths excludes nothing: paths are compared without their query",
            "0.0: `get` in methods is not GET: case counts, and Envoy refuses it over HTTP/1",
        ],
    );
}

#[test]
fn a_rule_that_another_one_says_all_of_is_shadowed() {
    let kinds = [Kind::Shadowed, Kind::AllowDenied];
    let narrow = to(&json!({"paths": ["/a/b"], "methods": ["GET"]}));
    let wide = to(&json!({"paths": ["/a/*", "/c"]}));
    check(
        &set(&[("ALLOW", narrow.clone()), ("ALLOW", wide.clone())]),
        &kinds,
        &["0.0: ns[n]-policy[b]-rule[0] matches every request that it matches"],
    );
    check(
        &set(&[("ALLOW", narrow.clone()), ("DENY", wide.clone())]),
        &kinds,
        &["0.0: ns[n]-policy[b]-rule[0] denies every request that it matches"],
    );
    check(&set(&[("DENY", narrow.clone()), ("ALLOW", wide.clone())]), &kinds, &[]);
    check(&set(&[("AUDIT", narrow.clone()), ("AUDIT", wide)]), &kinds, &[]);
    check(
        &set(&[("DENY", narrow.clone()), ("DENY", narrow.clone())]),
        &kinds,
        &["1.0: ns[n]-policy[a]-rule[0] says the same"],
    );
    check(
        &set(&[("ALLOW", narrow.clone()), ("ALLOW", json!([{}]))]),
        &kinds,
        &["0.0: ns[n]-policy[b]-rule[0] matches every request that it matches"],
    );
    check(
        &set(&[("ALLOW", narrow), ("ALLOW", to(&json!({"paths": ["/a/b"], "methods": ["POST", "P*"]})))]),
        &kinds,
        &[],
    );
    let excluding = to(&json!({"paths": ["/a"], "notMethods": ["GET", "PUT"]}));
    check(
        &set(&[("DENY", excluding), ("DENY", to(&json!({"notMethods": ["GET"]})))]),
        &kinds,
        &["0.0: ns[n]-policy[b]-rule[0] matches every request that it matches"],
    );
    let blocks = |block: &str| from(&json!({"ipBlocks": [block]}));
    check(
        &set(&[("ALLOW", blocks("10.1.0.0/16")), ("ALLOW", blocks("10.0.0.0/8"))]),
        &kinds,
        &["0.0: ns[n]-policy[b]-rule[0] matches every request that it matches"],
    );
    // What is answered in a way of its own says more.
    let own = set(&[("DENY", to(&json!({"paths": ["/a/b"]}))), ("DENY", to(&json!({"paths": ["/a/*"]})))]);
    for place in [0, 1] {
        let mut own = own.clone();
        own["policies"][place]["outrigger"] = json!({"status": 404});
        check(&own, &kinds, &[]);
    }
    // What is only tried is compared with its own kind.
    let mut dry =
        set(&[("DENY", to(&json!({"paths": ["/a/b"]}))), ("DENY", to(&json!({"paths": ["/a/*"]})))]);
    dry["policies"][1]["metadata"]["annotations"] = json!({"istio.io/dry-run": "true"});
    check(&dry, &kinds, &[]);
}

#[test]
fn paths_that_get_past_are_shown() {
    let kinds = [Kind::DenySlips];
    let deny = |path: &str| set(&[("DENY", to(&json!({"paths": [path]})))]);
    check(
        &deny("/admin"),
        &kinds,
        &[
            "0.0: denies `/admin` and lets `/admin/`, `//admin`, `/admin;v`, `/Admin` through, which servers may take for the same",
        ],
    );
    check(
        &deny("/admin/{*}"),
        &kinds,
        &[
            "0.0: denies `/admin/x` and lets `/admin/x/`, `//admin/x`, `/admin%2Fx`, `/admin;v/x`, `/Admin/x` through, which servers may take for the same; lets `/admin/x[` through, for a template's characters have no `[`",
        ],
    );
    check(&deny("*"), &kinds, &[]);
    let mut strict = deny("/admin");
    strict["mode"] = json!("strict");
    check(
        &strict,
        &kinds,
        &["0.0: denies `/admin` and lets `/admin/`, `/Admin` through, which servers may take for the same"],
    );
    // What no ALLOW policy allows does not get past.
    let deny = ("DENY", to(&json!({"paths": ["/admin"]})));
    check(&set(&[deny.clone(), ("ALLOW", to(&json!({"paths": ["/shop/*"]})))]), &kinds, &[]);
    check(
        &set(&[deny.clone(), ("ALLOW", from(&json!({"namespaces": ["web"]})))]),
        &kinds,
        &[
            "0.0: denies `/admin` and lets `/admin/`, `//admin`, `/admin;v`, `/Admin` through, which servers may take for the same",
        ],
    );
    check(&set(&[deny, ("DENY", to(&json!({"notPaths": ["/admin", "/public"]})))]), &kinds, &[]);
}

#[test]
fn hosts_overlaps_and_empty_policies() {
    check(
        &set(&[
            ("ALLOW", to(&json!({"hosts": ["a.example", "b.example", "b.example:*", "*.c.example"]}))),
            ("DENY", to(&json!({"hosts": ["*.d.example"]}))),
        ]),
        &[Kind::HostPort],
        &[
            "0.0: `a.example` in hosts without a port: `a.example:8080` is not allowed by it",
            "1.0: `*.d.example` in hosts without a port: `x.d.example:8080` is not denied by it",
        ],
    );
    check(
        &set(&[
            ("ALLOW", to(&json!({"paths": ["/shop/*"]}))),
            ("DENY", to(&json!({"paths": ["/shop/admin"]}))),
            ("DENY", from(&json!({"namespaces": ["bad"]}))),
        ]),
        &[Kind::Overlap],
        &["1.0: denies some of what is allowed by ns[n]-policy[a]-rule[0] (`GET /shop/admin`)"],
    );
    check(
        &set(&[("ALLOW", json!([]))]),
        &[Kind::AllowsNothing],
        &["0.-: allows nothing, and so every request is denied: no other ALLOW policy here has a rule"],
    );
    check(
        &set(&[("ALLOW", json!([])), ("ALLOW", json!([{}]))]),
        &[Kind::AllowsNothing],
        &["0.-: allows nothing: what no other ALLOW policy allows is denied"],
    );
    check(&set(&[("DENY", json!([]))]), &[Kind::AllowsNothing], &[]);
}

#[test]
fn rules_are_found_and_not_all_compared_with_all() {
    let rule = |n: usize| {
        let paths = match n % 10 {
            0 => json!([format!("/a/{}*", n / 100)]),
            _ => json!([format!("/a/{}/{n}", n / 100)]),
        };
        json!({"to": [{"operation": {"paths": paths, "methods": ["GET", "POST"]}}]})
    };
    let rules: Vec<Value> = (0..10_000).map(rule).collect();
    let deny: Vec<Value> = (0..10_000)
        .map(|n| json!({"when": [{"key": "request.headers[x-a]", "notValues": [n.to_string()]}]}))
        .collect();
    let found = analysis(&set(&[("ALLOW", json!(rules))]));
    assert!(found.findings.iter().filter(|finding| finding.kind == Kind::Shadowed).count() > 9_000);
    assert_eq!(found.uncompared, 0);
    // Rules that any request may concern.
    let found = analysis(&set(&[("DENY", json!(deny))]));
    assert!(found.uncompared > 0);
}

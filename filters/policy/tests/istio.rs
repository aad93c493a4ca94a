//! Istio's AuthorizationPolicy, field by field and trap by trap (istio `pilot/pkg/security/authz`, envoy `source/extensions/filters/common/rbac`).
#![allow(
    clippy::unwrap_used,
    clippy::needless_pass_by_value,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, as it should"
)]

use filter_kit::{Environment, fake::Stream, load, settings::Node};
use policy::Policy;
use serde_json::{Value, json};

fn filter(config: &Value) -> Policy {
    match load(config.to_string().as_bytes(), &Environment::EMPTY) {
        Ok(filter) => filter,
        Err(error) => panic!("{error}\n{config:#}"),
    }
}

/// A configuration of one policy with one rule.
fn one(mode: &str, action: &str, rule: &Value) -> Value {
    json!({"mode": mode, "policies": [{"metadata": {"name": "p", "namespace": "ns"}, "spec": {"action": action, "rules": [rule]}}]})
}

/// Whether a rule matches, as a DENY policy and as an ALLOW policy, which must agree.
#[track_caller]
fn matches(mode: &str, rule: &Value, request: &Stream) -> bool {
    let denied = request.drive(&filter(&one(mode, "DENY", rule))).reply.is_some();
    let allowed = request.drive(&filter(&one(mode, "ALLOW", rule))).reply.is_none();
    assert_eq!(denied, allowed, "{rule}");
    denied
}

#[track_caller]
fn check(rule: Value, request: &Stream, expected: bool) {
    assert_eq!(matches("istio", &rule, request), expected, "{rule}");
}

/// A rule with one field of an operation.
fn to(field: &str, values: &[&str]) -> Value {
    json!({"to": [{"operation": {field: values}}]})
}

fn from(field: &str, values: &[&str]) -> Value {
    json!({"from": [{"source": {field: values}}]})
}

fn when(key: &str, values: &[&str]) -> Value {
    json!({"when": [{"key": key, "values": values}]})
}

fn unless(key: &str, values: &[&str]) -> Value {
    json!({"when": [{"key": key, "notValues": values}]})
}

fn paths(values: &[&str], matching: &[&str], others: &[&str]) {
    for path in matching {
        check(to("paths", values), &Stream::get(path), true);
        check(to("notPaths", values), &Stream::get(path), false);
    }
    for path in others {
        check(to("paths", values), &Stream::get(path), false);
        check(to("notPaths", values), &Stream::get(path), true);
    }
}

#[test]
fn paths_are_compared_without_query_and_fragment() {
    paths(&["/a"], &["/a", "/a?b", "/a#b", "/a?b#c"], &["/A", "/a/", "/ab", "/", "/%61"]);
    paths(&["/a*"], &["/a", "/ab", "/a/b?c"], &["/", "/b/a"]);
    paths(&["*/b"], &["/a/b", "/b", "/a//b?x"], &["/b/", "/ab", "/?/b"]);
    paths(&["*"], &["/", "/a"], &[]);
    paths(&["*a*"], &["/xa*"], &["/xay", "/a"]);
    paths(&["/x", "/y"], &["/x", "/y"], &["/z"]);
    paths(&["/a//b", "/c%2fd"], &["/a//b", "/c%2fd"], &["/a/b", "/c/d", "/c%2Fd"]);
    paths(
        &["/admin/{*}"],
        &["/admin/a", "/admin/a%2fb", "/admin/a=b", "/admin/a*"],
        &["/admin/a\"b", "/admin/", "/admin", "/admin/a/b"],
    );
    paths(&["/store/{**}/cart"], &["/store//cart", "/store/1/2/cart"], &["/store/cart"]);
    paths(&["/a/{**}"], &["/a/", "/a/b/c"], &["/a"]);
    paths(&["/v1/{*}/x", "/v2/{**}"], &["/v1/a/x", "/v2/"], &["/v1/a/y", "/v2"]);
}

#[test]
fn methods_and_headers_respect_case_and_names_of_headers_do_not() {
    check(to("methods", &["GET"]), &Stream::get("/"), true);
    check(to("methods", &["get", "PO*"]), &Stream::get("/"), false);
    check(to("notMethods", &["GET"]), &Stream::get("/"), false);
    check(to("methods", &["*"]), &Stream::get("/"), true);
    let request = Stream::get("/")
        .header("X-Tenant", "Gold")
        .header("x-two", "a")
        .header("x-two", "b")
        .header("x-empty", "");
    check(when("request.headers[X-TENANT]", &["Gold"]), &request, true);
    check(when("request.headers[x-tenant]", &["gold"]), &request, false);
    check(when("request.headers[x-tenant]", &["G*"]), &request, true);
    check(when("request.headers[x-tenant]", &["*ld"]), &request, true);
    // Each of several values by itself.
    for (value, expected) in
        [("a", true), ("b", true), ("a,b", false), ("a*", true), ("*b", true), ("*,b", false), ("c", false)]
    {
        check(when("request.headers[x-two]", &[value]), &request, expected);
        check(unless("request.headers[x-two]", &[value]), &request, !expected);
    }
    // An empty header is there; one that is not there is no value at all.
    check(when("request.headers[x-empty]", &["*"]), &request, true);
    check(when("request.headers[x-none]", &["*"]), &request, false);
    check(unless("request.headers[x-none]", &["*"]), &request, true);
    check(unless("request.headers[x-none]", &["a"]), &request, true);
    // The header of HTTP/1 is the authority.
    check(when("request.headers[Host]", &["shop.example"]), &request, true);
    check(when("request.headers[:authority]", &["shop.example"]), &request, true);
}

#[test]
fn hosts_ignore_case_and_keep_the_port() {
    let host = |host: &str| Stream::get("/").property("x", "").authority(host);
    for (pattern, sent, expected) in [
        ("shop.example", "Shop.EXAMPLE", true),
        ("SHOP.example", "shop.example", true),
        ("shop.example", "shop.example:8080", false),
        ("shop.example:*", "shop.example:8080", true),
        ("*.example", "a.EXAMPLE", true),
        ("*.example", "example", false),
        ("SHOP.*", "shop.x", true),
        ("*", "anything", true),
        ("shop.example", "shop.example.", false),
    ] {
        check(to("hosts", &[pattern]), &host(sent), expected);
        check(to("notHosts", &[pattern]), &host(sent), !expected);
    }
}

#[test]
fn ports_and_addresses_of_the_destination() {
    let request = Stream::get("/").property("destination.address", "10.1.2.3:8080");
    check(to("ports", &["80", "8080"]), &request, true);
    check(to("ports", &["80"]), &request, false);
    check(to("notPorts", &["8080"]), &request, false);
    check(when("destination.port", &["8080"]), &request, true);
    check(when("destination.ip", &["10.1.0.0/16"]), &request, true);
    check(when("destination.ip", &["10.1.2.3"]), &request, true);
    check(unless("destination.ip", &["10.1.0.0/24"]), &request, true);
}

#[test]
fn blocks_look_at_the_direct_peer_and_remote_blocks_at_the_client() {
    let request = Stream::get("/")
        .property("filter_state.outrigger.peer", "10.0.0.7")
        .property("source.address", "203.0.113.9:0");
    for (field, values, expected) in [
        ("ipBlocks", &["10.0.0.0/8"][..], true),
        ("ipBlocks", &["203.0.113.9"], false),
        ("notIpBlocks", &["10.0.0.0/8"], false),
        ("remoteIpBlocks", &["203.0.113.0/24"], true),
        ("remoteIpBlocks", &["10.0.0.7", "::/0"], false),
        ("notRemoteIpBlocks", &["10.0.0.7"], true),
    ] {
        check(from(field, values), &request, expected);
    }
    check(when("source.ip", &["10.0.0.7"]), &request, true);
    check(when("remote.ip", &["203.0.113.9"]), &request, true);
    let six = Stream::get("/").property("source.address", "[2001:db8::1]:443");
    check(from("remoteIpBlocks", &["2001:db8::/32"]), &six, true);
    check(from("remoteIpBlocks", &["0.0.0.0/0"]), &six, false);
}

#[test]
fn a_peer_that_is_not_known_is_an_error() {
    for (rule, on_error, denied) in [
        (from("ipBlocks", &["10.0.0.0/8"]), json!("deny"), true),
        (from("notIpBlocks", &["10.0.0.0/8"]), json!("deny"), true),
        (from("ipBlocks", &["10.0.0.0/8"]), json!({"deny": "allow"}), false),
        // What is false is false, whoever the peer is.
        (
            json!({"from": [{"source": {"ipBlocks": ["10.0.0.1"]}}], "to": [{"operation": {"methods": ["POST"]}}]}),
            json!("deny"),
            false,
        ),
    ] {
        let mut config = one("istio", "DENY", &rule);
        config["on_error"] = on_error;
        let outcome = Stream::get("/").drive(&filter(&config));
        assert_eq!(outcome.reply.is_some(), denied, "{config}");
    }
    let mut config = one("istio", "ALLOW", &from("ipBlocks", &["10.0.0.0/8"]));
    assert_eq!(Stream::get("/").drive(&filter(&config)).reply, Some(403));
    config["on_error"] = json!({"allow": "allow"});
    assert_eq!(Stream::get("/").drive(&filter(&config)).reply, None);
}

#[test]
fn principals_have_a_scheme_and_aliases() {
    let peer =
        Stream::get("/").property("connection.uri_san_peer_certificate", "spiffe://td1/ns/shop/sa/web");
    for (field, value, expected) in [
        ("principals", "td1/ns/shop/sa/web", true),
        ("principals", "spiffe://td1/ns/shop/sa/web", false),
        ("principals", "td1/*", true),
        ("principals", "*/sa/web", true),
        ("principals", "*", true),
        ("principals", "td2/ns/shop/sa/web", false),
        ("notPrincipals", "td1/*", false),
        ("namespaces", "shop", true),
        ("namespaces", "sh*", true),
        ("namespaces", "sho", false),
        ("notNamespaces", "shop", false),
        ("serviceAccounts", "shop/web", true),
        ("serviceAccounts", "web", false),
        ("notServiceAccounts", "shop/web", false),
        ("trustDomains", "td1", true),
        ("trustDomains", "td*", true),
        ("trustDomains", "td", false),
        ("notTrustDomains", "*", false),
    ] {
        check(from(field, &[value]), &peer, expected);
        let nobody = Stream::get("/");
        check(from(field, &[value]), &nobody, field.starts_with("not"));
    }
    check(when("source.principal", &["td1/ns/shop/sa/web"]), &peer, true);
    check(when("source.namespace", &["shop"]), &peer, true);
    check(when("source.serviceAccount", &["shop/web"]), &peer, true);
    check(when("source.trustDomain", &["td1"]), &peer, true);
    let own = Stream::get("/").property("connection.uri_san_peer_certificate", "spiffe://td1/ns/ns/sa/web");
    check(from("serviceAccounts", &["web"]), &own, true);
    // A certificate without such a URI: Envoy looks at DNS names, and at the subject.
    let dns = Stream::get("/").property("connection.dns_san_peer_certificate", "web.shop");
    check(from("principals", &["*"]), &dns, true);
    check(from("namespaces", &["shop"]), &dns, false);
    let subject = Stream::get("/").property("connection.subject_peer_certificate", "CN=/ns/shop/x");
    check(from("namespaces", &["shop"]), &subject, true);
    let mut config = one("istio", "ALLOW", &from("principals", &["cluster.local/ns/shop/sa/web"]));
    assert_eq!(peer.drive(&filter(&config)).reply, Some(403));
    config["trust_domains"] = json!(["td2", "td1"]);
    assert_eq!(peer.drive(&filter(&config)).reply, None);
}

fn token(claims: Value) -> Stream {
    let filters = json!({"envoy.filters.http.jwt_authn": {"payload": claims}, "envoy.filters.http.other": {"k": "v", "list": ["a", "b"]}});
    Stream::get("/").metadata(&Node::parse(filters.to_string().as_bytes()).unwrap())
}

#[test]
fn claims_are_strings_or_lists_of_them() {
    let request = token(
        json!({"iss": "https://i.example", "sub": "joe", "aud": ["a", "b"], "azp": "app", "n": 7, "yes": true, "none": null,
        "groups": ["x", "y", 3], "realm": {"roles": ["admin"], "name": "r"}, "": "e"}),
    );
    for (value, expected) in [
        ("https://i.example/joe", true),
        ("https://i.example/*", true),
        ("*/joe", true),
        ("*", true),
        ("*joe", true),
        ("https://i*", false),
        ("https://i.example/jo", false),
        ("joe", false),
        ("https://i.example", false),
    ] {
        check(from("requestPrincipals", &[value]), &request, expected);
        check(from("notRequestPrincipals", &[value]), &request, !expected);
        check(when("request.auth.principal", &[value]), &request, expected);
    }
    for (key, value, expected) in [
        ("request.auth.audiences", "b", true),
        ("request.auth.audiences", "a,b", false),
        ("request.auth.presenter", "app", true),
        ("request.auth.claims[groups]", "y", true),
        ("request.auth.claims[groups]", "3", false),
        ("request.auth.claims[groups]", "*", true),
        ("request.auth.claims[sub]", "j*", true),
        ("request.auth.claims[realm][roles]", "admin", true),
        ("request.auth.claims[realm][name]", "r", true),
        ("request.auth.claims[realm]", "*", false),
        ("request.auth.claims[n]", "7", false),
        ("request.auth.claims[yes]", "*", false),
        ("request.auth.claims[none]", "*", false),
        ("request.auth.claims[absent]", "*", false),
        ("request.auth.claims[sub][x]", "*", false),
        ("experimental.envoy.filters.http.other[k]", "v", true),
        ("experimental.envoy.filters.http.other[k]", "[v]", false),
        ("experimental.envoy.filters.http.other[list]", "[b]", true),
        ("experimental.envoy.filters.http.other[list]", "b", false),
    ] {
        check(when(key, &[value]), &request, expected);
        check(unless(key, &[value]), &request, !expected);
    }
    // Without a token nothing is there.
    check(from("requestPrincipals", &["*"]), &Stream::get("/"), false);
    check(from("notRequestPrincipals", &["*"]), &Stream::get("/"), true);
    // A claim of another type: to Istio it does not match, and in strict mode nothing can be said.
    let mut config = one("strict", "DENY", &when("request.auth.claims[n]", &["7"]));
    assert_eq!(request.drive(&filter(&config)).reply, Some(403));
    config["mode"] = json!("istio");
    assert_eq!(request.drive(&filter(&config)).reply, None);
}

#[test]
fn a_subject_that_is_a_list_is_of_another_type_whatever_the_index_finds() {
    for claims in [
        json!({"iss": "i", "sub": ["joe"]}),
        json!({"iss": ["i"], "sub": "joe"}),
        json!({"iss": "i", "sub": [["joe"]]}),
    ] {
        for value in ["i/joe", "*/joe", "i/*", "*"] {
            let config = one("strict", "DENY", &from("requestPrincipals", &[value]));
            assert_eq!(token(claims.clone()).drive(&filter(&config)).reply, Some(403), "{claims} {value}");
            let config = one("istio", "DENY", &from("requestPrincipals", &[value]));
            assert_eq!(token(claims.clone()).drive(&filter(&config)).reply, None, "{claims} {value}");
        }
    }
}

#[test]
fn the_name_of_the_server_is_empty_without_tls() {
    let request = Stream::get("/").property("connection.requested_server_name", "a.example");
    check(when("connection.sni", &["*.example"]), &request, true);
    check(when("connection.sni", &["*"]), &request, true);
    check(when("connection.sni", &["*"]), &Stream::get("/"), false);
    check(unless("connection.sni", &["a"]), &Stream::get("/"), true);
}

#[test]
fn fields_are_anded_and_values_ored() {
    let request = Stream::get("/a").header("x-a", "1");
    check(json!({}), &request, true);
    check(json!({"to": [{"operation": {"paths": ["/a"], "methods": ["POST"]}}]}), &request, false);
    check(
        json!({"to": [{"operation": {"paths": ["/b"]}}, {"operation": {"methods": ["GET"]}}]}),
        &request,
        true,
    );
    check(json!({"to": [{"operation": {"paths": ["/a", "/b"], "notPaths": ["/a"]}}]}), &request, false);
    check(
        json!({"to": [{"operation": {"paths": ["/a*"], "notPaths": ["/ab"]}}], "when": [{"key": "request.headers[x-a]", "values": ["1"]}]}),
        &request,
        true,
    );
    check(
        json!({"when": [{"key": "request.headers[x-a]", "values": ["1"]}, {"key": "request.headers[x-b]", "values": ["1"]}]}),
        &request,
        false,
    );
    check(
        json!({"to": [{"operation": {"paths": ["/a"]}}], "from": [{"source": {"requestPrincipals": ["*"]}}]}),
        &request,
        false,
    );
    check(json!({"from": [{"source": {}}], "to": [{}]}), &request, true);
    check(json!({"from": [], "to": []}), &request, true);
}

fn policies(list: Value) -> Policy {
    filter(&json!({"policies": list}))
}

fn policy(name: &str, action: &str, rules: Value) -> Value {
    json!({"metadata": {"name": name, "namespace": "x"}, "spec": {"action": action, "rules": rules}})
}

#[test]
fn deny_comes_before_allow_and_allow_must_match_where_there_is_one() {
    let deny = policy("d", "DENY", json!([to("paths", &["/a/b"])]));
    let allow = policy("a", "ALLOW", json!([to("paths", &["/a/*"])]));
    let audit = policy("l", "AUDIT", json!([to("paths", &["/*"])]));
    let status = |list: Value, path: &str| Stream::get(path).drive(&policies(list)).reply;
    assert_eq!(status(json!([]), "/"), None);
    assert_eq!(status(json!([deny]), "/"), None);
    assert_eq!(status(json!([deny]), "/a/b"), Some(403));
    assert_eq!(status(json!([allow, deny]), "/a/b"), Some(403));
    assert_eq!(status(json!([allow, deny]), "/a/c"), None);
    assert_eq!(status(json!([allow, deny]), "/c"), Some(403));
    assert_eq!(status(json!([audit]), "/c"), None);
    // An ALLOW policy without rules allows nothing; a DENY policy without rules denies nothing.
    assert_eq!(status(json!([{"metadata": {"name": "n"}, "spec": {}}]), "/"), Some(403));
    assert_eq!(status(json!([{"metadata": {"name": "n"}}]), "/"), Some(403));
    assert_eq!(status(json!([policy("n", "ALLOW", json!([{}]))]), "/"), None);
    assert_eq!(status(json!([policy("n", "DENY", json!([]))]), "/"), None);
    assert_eq!(status(json!([policy("n", "DENY", json!([{}]))]), "/"), Some(403));
}

#[test]
fn bad_values_make_allow_narrower_and_deny_wider() {
    let request = Stream::get("/a").property("source.address", "10.0.0.1:1");
    let status = |action: &str, rule: Value| {
        request.drive(&policies(json!([policy("p", action, json!([rule]))]))).reply
    };
    let blocks = |values: &[&str]| json!({"from": [{"source": {"remoteIpBlocks": values}}], "to": [{"operation": {"paths": ["/a"]}}]});
    assert_eq!(status("ALLOW", blocks(&["10.0.0.1", "bad"])), Some(403));
    assert_eq!(status("DENY", blocks(&["bad"])), Some(403));
    assert_eq!(status("DENY", blocks(&["10.0.0.2", "bad"])), None);
    assert_eq!(status("ALLOW", to("ports", &["99999"])), Some(403));
    assert_eq!(status("DENY", to("ports", &["99999"])), Some(403));
    assert_eq!(status("ALLOW", when("request.headers", &["x"])), Some(403));
    assert_eq!(status("DENY", when("request.headersx[a]", &["x"])), Some(403));
    assert_eq!(status("DENY", when("request.auth.claims[a", &["x"])), Some(403));
    // A key that nobody knows: the whole rule goes, whatever the action.
    assert_eq!(status("ALLOW", when("source.port", &["1"])), Some(403));
    assert_eq!(status("DENY", when("source.port", &["1"])), None);
}

#[test]
fn the_first_rule_by_the_order_of_ids_is_named() {
    let rules: Vec<Value> = (0..12).map(|_| to("paths", &["/a"])).collect();
    let outcome = Stream::get("/a").drive(&policies(json!([
        policy("p", "DENY", json!(rules[2..])),
        policy("b", "DENY", json!([{}, {}]))
    ])));
    assert_eq!(outcome.state["outrigger.policy"], r#"{"verdict":"deny","policy":"ns[x]-policy[b]-rule[0]"}"#);
    let outcome = Stream::get("/a").drive(&policies(json!([policy(
        "p",
        "DENY",
        json!([[to("paths", &["/b"]), to("paths", &["/b"])].as_slice(), &rules[2..], &rules[2..3]].concat())
    )])));
    // Strings are sorted: 10 before 2.
    assert_eq!(
        outcome.state["outrigger.policy"],
        r#"{"verdict":"deny","policy":"ns[x]-policy[p]-rule[10]"}"#
    );
}

#[test]
fn audits_and_dry_runs_are_told_of_and_never_decide() {
    let dry = |action: &str, rules: Value| json!({"metadata": {"name": "dry", "namespace": "x", "annotations": {"istio.io/dry-run": "true"}}, "spec": {"action": action, "rules": rules}});
    let outcome = Stream::get("/a").drive(&policies(json!([policy("l", "AUDIT", json!([{}]))])));
    assert_eq!(outcome.reply, None);
    assert_eq!(
        outcome.state["outrigger.policy"],
        r#"{"verdict":"allow","audit":["ns[x]-policy[l]-rule[0]"]}"#
    );
    assert_eq!(
        outcome.metrics["policy_decisions_total;policy=ns[x]-policy[l]-rule[0];action=audit;result=audited"],
        1
    );
    let outcome = Stream::get("/a").drive(&policies(json!([dry("DENY", json!([{}]))])));
    assert_eq!(outcome.reply, None);
    assert_eq!(
        outcome.state["outrigger.policy"],
        r#"{"verdict":"allow","dry_run":["ns[x]-policy[dry]-rule[0]"],"dry_run_verdict":"deny"}"#
    );
    // An ALLOW policy that is only tried does not make ALLOW policies necessary.
    let outcome = Stream::get("/a").drive(&policies(json!([dry("ALLOW", json!([to("paths", &["/b"])]))])));
    assert_eq!(outcome.reply, None);
    assert_eq!(outcome.state["outrigger.policy"], r#"{"verdict":"allow","dry_run_verdict":"deny"}"#);
}

#[test]
fn custom_is_refused_with_a_reason() {
    let config = json!({"policies": [{"metadata": {"name": "c"}, "spec": {"action": "CUSTOM", "provider": {"name": "x"}, "rules": [{}]}}]});
    let error = load::<Policy>(config.to_string().as_bytes(), &Environment::EMPTY).unwrap_err().to_string();
    assert!(
        error.starts_with("policies[0].spec.action: must be ALLOW, DENY or AUDIT: CUSTOM asks"),
        "{error}"
    );
}

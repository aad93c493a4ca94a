//! Rows after Istio's own (`pilot/pkg/security/authz/builder/testdata/http`): what its pilot writes for a policy.

#![expect(clippy::needless_pass_by_value, reason = "a row is read as it is written")]

use super::filters;
use serde_json::{Value, json};

fn policy(action: &str, rules: Value) -> Value {
    json!({"metadata": {"name": "p", "namespace": "foo"}, "spec": {"action": action, "rules": rules}})
}

fn local() -> Vec<String> {
    vec!["cluster.local".to_owned()]
}

/// The only rule that the pilot writes of the only policy.
#[track_caller]
fn rule(action: &str, rule: Value, trust_domains: &[&str]) -> Value {
    let domains: Vec<String> = trust_domains.iter().map(|domain| (*domain).to_owned()).collect();
    let filters = filters(&[policy(action, json!([rule]))], &domains);
    assert_eq!(filters.len(), 1);
    filters[0]["typed_config"]["rules"]["policies"]["ns[foo]-policy[p]-rule[0]"].clone()
}

/// What stands for a rule's only `to` or `from`.
#[track_caller]
fn check(given: Value, half: &str, expected: Value) {
    let set = if half == "permissions" { ("and_rules", "rules") } else { ("and_ids", "ids") };
    assert_eq!(rule("ALLOW", given, &["cluster.local"])[half], json!([{set.0: {set.1: expected}}]));
}

#[track_caller]
fn check_source(source: Value, expected: Value) {
    check(json!({"from": [{"source": source}]}), "principals", expected);
}

#[track_caller]
fn check_operation(operation: Value, expected: Value) {
    check(json!({"to": [{"operation": operation}]}), "permissions", expected);
}

#[track_caller]
fn check_when(half: &str, key: &str, values: Value, expected: Value) {
    check(json!({"when": [{"key": key, "values": values}]}), half, expected);
}

#[test]
fn a_rule_without_conditions_is_for_anybody_and_anything() {
    let any = json!({"permissions": [{"and_rules": {"rules": [{"any": true}]}}], "principals": [{"and_ids": {"ids": [{"any": true}]}}]});
    assert_eq!(rule("ALLOW", json!({}), &["cluster.local"]), any);
    assert_eq!(rule("DENY", json!({}), &["cluster.local"]), any);
}

#[test]
fn a_policy_without_rules_never_matches() {
    let policy = json!({"metadata": {"name": "allow-none", "namespace": "foo"}, "spec": {}});
    let filters = filters(&[policy], &local());
    let rules = &filters[0]["typed_config"]["rules"];
    assert_eq!(
        *rules,
        json!({"action": "ALLOW", "policies": {"ns[foo]-policy[allow-none]-rule[0]": {
            "permissions": [{"not_rule": {"any": true}}], "principals": [{"not_id": {"any": true}}]
        }}})
    );
}

#[test]
fn audit_comes_before_deny_and_deny_before_allow() {
    let policies = ["ALLOW", "DENY", "AUDIT"].map(|action| policy(action, json!([{}])));
    let filters = filters(&policies, &local());
    let actions: Vec<&Value> =
        filters.iter().map(|filter| &filter["typed_config"]["rules"]["action"]).collect();
    assert_eq!(actions, ["LOG", "DENY", "ALLOW"]);
}

#[test]
fn a_dry_run_is_a_shadow_rule() {
    let mut tried = policy("ALLOW", json!([{}]));
    tried["metadata"]["annotations"] = json!({"istio.io/dry-run": "true"});
    let config = &filters(&[tried], &local())[0]["typed_config"];
    assert!(config["rules"].is_null());
    assert_eq!(config["shadow_rules"]["action"], "ALLOW");
    assert_eq!(config["shadow_rules_stat_prefix"], "istio_dry_run_allow_");
}

#[test]
fn hosts_ignore_case_and_methods_do_not() {
    check_operation(
        json!({"hosts": ["a.com", "*.b.com", "c.*", "*"], "notMethods": ["GET", "P*"]}),
        json!([
            {"or_rules": {"rules": [
                {"header": {"name": ":authority", "string_match": {"exact": "a.com", "ignore_case": true}}},
                {"header": {"name": ":authority", "string_match": {"suffix": ".b.com", "ignore_case": true}}},
                {"header": {"name": ":authority", "string_match": {"prefix": "c.", "ignore_case": true}}},
                {"header": {"name": ":authority", "present_match": true}}
            ]}},
            {"not_rule": {"or_rules": {"rules": [
                {"header": {"name": ":method", "string_match": {"exact": "GET"}}},
                {"header": {"name": ":method", "string_match": {"prefix": "P"}}}
            ]}}}
        ]),
    );
}

#[test]
fn paths_are_strings_or_templates() {
    let template = |path: &str| json!({"uri_template": {"name": "uri-template", "typed_config": {"@type": super::attribute::TEMPLATE, "path_template": path}}});
    check_operation(
        json!({"paths": ["/exact", "/prefix/*", "*/suffix", "*", "/t/{*}", "/{**}/t"]}),
        json!([{"or_rules": {"rules": [
            {"url_path": {"path": {"exact": "/exact"}}},
            {"url_path": {"path": {"prefix": "/prefix/"}}},
            {"url_path": {"path": {"suffix": "/suffix"}}},
            {"url_path": {"path": {"safe_regex": {"regex": ".+"}}}},
            template("/t/*"),
            template("/**/t")
        ]}}]),
    );
}

#[test]
fn principals_stand_after_spiffe() {
    let name = |matcher: Value| json!({"authenticated": {"principal_name": matcher}});
    check_source(
        json!({"principals": ["principal", "prefix-*", "*-suffix", "*"]}),
        json!([{"or_ids": {"ids": [
            name(json!({"exact": "spiffe://principal"})),
            name(json!({"prefix": "spiffe://prefix-"})),
            name(json!({"safe_regex": {"regex": "spiffe://.*-suffix"}})),
            name(json!({"safe_regex": {"regex": ".+"}}))
        ]}}]),
    );
    check_source(
        json!({"namespaces": ["a.b", "*-c"], "notServiceAccounts": ["my-ns/my-sa", "sa-only"]}),
        json!([
            {"not_id": {"or_ids": {"ids": [
                name(json!({"safe_regex": {"regex": "spiffe://.+/ns/my-ns/(.+/|)sa/my-sa(/.+)?"}})),
                name(json!({"safe_regex": {"regex": "spiffe://.+/ns/foo/(.+/|)sa/sa-only(/.+)?"}}))
            ]}}},
            {"or_ids": {"ids": [
                name(json!({"safe_regex": {"regex": r".*/ns/a\.b/.*"}})),
                name(json!({"safe_regex": {"regex": ".*/ns/.*-c/.*"}}))
            ]}}
        ]),
    );
    check_source(
        json!({"trustDomains": ["untrusted", "bad*", "*"]}),
        json!([{"or_ids": {"ids": [
            name(json!({"prefix": "spiffe://untrusted/"})),
            name(json!({"safe_regex": {"regex": "spiffe://bad[^/]*/.*"}})),
            name(json!({"prefix": "spiffe://"}))
        ]}}]),
    );
}

/// The rows `simple-policy-principal-with-wildcard` and `td-aliases-source-principal`.
#[test]
fn trust_domains_have_aliases() {
    let names = |values: Value, trust_domains: &[&str]| {
        let rule =
            rule("ALLOW", json!({"when": [{"key": "source.principal", "values": values}]}), trust_domains);
        let all = rule["principals"][0]["and_ids"]["ids"][0]["or_ids"]["ids"].clone();
        let all = all.as_array().unwrap().iter().map(|id| {
            let name = &id["authenticated"]["principal_name"];
            let name = name["exact"].as_str().or(name["safe_regex"]["regex"].as_str());
            name.unwrap().to_owned()
        });
        all.collect::<Vec<_>>()
    };
    assert_eq!(
        names(json!(["*/ns/foo/sa/rule[0]", "*bar/ns/foo/sa/x"]), &["td1", "foobar"]),
        [r"spiffe://.*/ns/foo/sa/rule\[0\]", "spiffe://td1/ns/foo/sa/x", "spiffe://.*bar/ns/foo/sa/x"]
    );
    assert_eq!(
        names(json!(["*", "*/ns/foo/sa/all", "*-td/ns/foo/sa/p"]), &["new-td", "old-td", "some-trustdomain"]),
        [
            ".+",
            "spiffe://.*/ns/foo/sa/all",
            "spiffe://.*-td/ns/foo/sa/p",
            "spiffe://some-trustdomain/ns/foo/sa/p"
        ]
    );
    assert_eq!(
        names(json!(["cluster.local/ns/foo/sa/p", "other/ns/foo/sa/p"]), &["td1", "td2"]),
        ["spiffe://td1/ns/foo/sa/p", "spiffe://td2/ns/foo/sa/p", "spiffe://other/ns/foo/sa/p"]
    );
}

#[test]
fn request_principals_are_parted_by_the_last_slash() {
    let claim = |name: &str, matcher: Value| json!({"metadata": {"filter": "envoy.filters.http.jwt_authn", "path": [{"key": "payload"}, {"key": name}], "value": {"string_match": matcher}}});
    let any = json!({"safe_regex": {"regex": ".+"}});
    let rows = [
        ("alone", json!({"exact": "alone"}), json!({"exact": ""})),
        ("prefix-*", json!({"prefix": "prefix-"}), any.clone()),
        ("*-suffix", any.clone(), json!({"suffix": "-suffix"})),
        ("*", any.clone(), any.clone()),
        ("https://example.com/*", json!({"exact": "https://example.com"}), any.clone()),
        ("https://example.com/a*", json!({"exact": "https://example.com"}), json!({"prefix": "a"})),
        ("*.com/sub", json!({"suffix": ".com"}), json!({"exact": "sub"})),
        ("*/sub", any.clone(), json!({"exact": "sub"})),
        // The issuer decides first: the subject is a star to the letter.
        ("*/*", any, json!({"exact": "*"})),
    ];
    for (value, issuer, subject) in rows {
        let both = json!([{"and_ids": {"ids": [claim("iss", issuer), claim("sub", subject)]}}]);
        check_source(json!({"requestPrincipals": [value]}), both);
    }
}

#[test]
fn claims_are_a_value_or_a_list() {
    let metadata = |path: &[&str], value: Value| {
        let path: Vec<Value> = ["payload"].iter().chain(path).map(|key| json!({"key": key})).collect();
        let either = json!({"or_match": {"value_matchers": [{"list_match": {"one_of": value}}, value]}});
        json!([{"metadata": {"filter": "envoy.filters.http.jwt_authn", "path": path, "value": either}}])
    };
    let both = json!({"or_match": {"value_matchers": [{"string_match": {"exact": "a"}}, {"string_match": {"prefix": "b"}}]}});
    let one = json!({"string_match": {"exact": "a"}});
    check_when("principals", "request.auth.audiences", json!(["a", "b*"]), metadata(&["aud"], both));
    check_when("principals", "request.auth.presenter", json!(["a"]), metadata(&["azp"], one.clone()));
    check_when("principals", "request.auth.claims[x][y]", json!(["a"]), metadata(&["x", "y"], one.clone()));
    check_when("principals", "request.auth.claims[x]y]", json!(["a"]), metadata(&["x]y"], one));
}

#[test]
fn addresses_ports_and_names_of_servers() {
    let block = |address: &str, length: u32| json!({"address_prefix": address, "prefix_len": length});
    check_source(
        json!({"ipBlocks": ["1.2.3.4"], "remoteIpBlocks": ["5.6.0.0/16", "2001:DB8::/32"]}),
        json!([
            {"or_ids": {"ids": [{"remote_ip": block("5.6.0.0", 16)}, {"remote_ip": block("2001:db8::", 32)}]}},
            {"or_ids": {"ids": [{"direct_remote_ip": block("1.2.3.4", 32)}]}}
        ]),
    );
    let half = "permissions";
    let any = |of: Value| json!([{"or_rules": {"rules": [of]}}]);
    check_when(
        half,
        "destination.ip",
        json!(["1.2.3.4"]),
        any(json!({"destination_ip": block("1.2.3.4", 32)})),
    );
    check_when(half, "destination.port", json!(["80"]), any(json!({"destination_port": 80})));
    check_when(
        half,
        "connection.sni",
        json!(["a.*"]),
        any(json!({"requested_server_name": {"prefix": "a."}})),
    );
    let value = json!({"or_match": {"value_matchers": [{"string_match": {"exact": "v"}}, {"list_match": {"one_of": {"string_match": {"suffix": "w"}}}}]}});
    let metadata =
        json!([{"metadata": {"filter": "envoy.filters.a.b", "path": [{"key": "c"}], "value": value}}]);
    check_when(half, "experimental.envoy.filters.a.b[c]", json!(["v", "[*w]"]), metadata);
}

#[test]
fn headers_are_named_as_written() {
    let header = |value: Value| json!([{"or_ids": {"ids": [value]}}]);
    let half = "principals";
    check_when(
        half,
        "request.headers[X-H]",
        json!(["*"]),
        header(json!({"header": {"name": "X-H", "present_match": true}})),
    );
    // Istio looks for a star at the beginning first.
    let both = json!({"header": {"name": "X-H", "string_match": {"suffix": "a*"}}});
    check_when(half, "request.headers[X-H]", json!(["*a*"]), header(both));
}

#[test]
fn a_bad_value_costs_a_rule_of_allow_and_only_itself_elsewhere() {
    let bad = json!({"to": [{"operation": {"ports": ["99999", "80"], "methods": ["GET"]}}]});
    assert!(rule("ALLOW", bad.clone(), &["cluster.local"]).is_null());
    let kept = json!([{"and_rules": {"rules": [
        {"or_rules": {"rules": [{"header": {"name": ":method", "string_match": {"exact": "GET"}}}]}},
        {"or_rules": {"rules": [{"destination_port": 80}]}}
    ]}}]);
    assert_eq!(rule("DENY", bad, &["cluster.local"])["permissions"], kept);
    let unknown = json!({"when": [{"key": "source.colour", "values": ["red"]}]});
    for action in ["ALLOW", "DENY", "AUDIT"] {
        assert!(rule(action, unknown.clone(), &["cluster.local"]).is_null());
    }
    for address in ["10.0.0.0/33", "10.0.0.0/08", "300.1.1.1", "a", "10.0.0.0/+8", ""] {
        assert!(super::matcher::cidr(address).is_err(), "{address}");
    }
}

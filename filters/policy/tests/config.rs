//! What is wrong with a configuration is refused with its field.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, as it should"
)]

use filter_kit::{Environment, Filter, load};
use policy::Policy;

fn read(config: &str) -> Result<Policy, String> {
    load(config.as_bytes(), &Environment::EMPTY).map_err(|error| error.to_string())
}

#[track_caller]
fn refused(config: &str, expected: &str) {
    let error = read(config).unwrap_err();
    assert!(error.starts_with(expected), "{config}: got {error:?}, expected {expected:?}");
}

/// A rule of a policy, in a mode.
#[track_caller]
fn rule(mode: &str, action: &str, rule: &str, expected: Option<&str>) {
    let config = format!(
        r#"{{"mode":"{mode}","policies":[{{"metadata":{{"name":"p"}},"spec":{{"action":"{action}","rules":[{rule}]}}}}]}}"#
    );
    match expected {
        Some(expected) => refused(&config, &["policies[0].spec.rules[0]", expected].concat()),
        None => assert!(read(&config).is_ok(), "{rule}: {:?}", read(&config).err()),
    }
}

#[test]
fn what_istio_drops_is_told_of_with_its_path() {
    let dropped = |action: &str, rule: &str| {
        let config = format!(
            r#"{{"policies":[{{"metadata":{{"name":"p"}},"spec":{{"action":"{action}","rules":[{{}},{rule}]}}}}]}}"#
        );
        let policy = read(&config).unwrap();
        policy.warnings().iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let at = "policies[0].spec.rules[1]";
    let unknown = r#"{"when":[{"key":"request.mood","values":["good"]}]}"#;
    let port = r#"{"to":[{"operation":{"ports":["80","http"]}}]}"#;
    let block = r#"{"from":[{"source":{"notIpBlocks":["10.0.0.0/33"]}}]}"#;
    let nameless = r#"{"when":[{"key":"request.headers","values":["x"]}]}"#;
    for (action, rule, expected) in [
        ("ALLOW", unknown, ".when[0].key: must be a key of Istio's conditions: Istio drops the rule"),
        ("DENY", unknown, ".when[0].key: must be a key of Istio's conditions: Istio drops the rule"),
        ("ALLOW", port, ".to[0].operation.ports[1]: must be a port: Istio drops the rule"),
        ("DENY", port, ".to[0].operation.ports[1]: must be a port: Istio drops the value"),
        (
            "AUDIT",
            block,
            ".from[0].source.notIpBlocks[0]: must be an address or a block: Istio drops the value",
        ),
        (
            "ALLOW",
            nameless,
            ".when[0].values[0]: must be of a key with a name in brackets: Istio drops the rule",
        ),
    ] {
        assert_eq!(dropped(action, rule), [[at, expected].concat()], "{action} {rule}");
    }
    assert_eq!(dropped("ALLOW", r#"{"to":[{"operation":{"ports":["80"]}}]}"#), Vec::<String>::new());
}

#[test]
fn a_configuration_is_refused_with_its_path() {
    assert!(read("").is_ok() && read("{}").is_ok());
    refused(r#"{"mode":"lax"}"#, "mode: unknown variant `lax`");
    refused(r#"{"policy":[]}"#, "policy: unknown field `policy`");
    refused(r#"{"on_error":"maybe"}"#, "on_error: unknown variant `maybe`");
    refused(r#"{"policies":[{}]}"#, "policies[0].metadata.name: must be a name");
    refused(r#"{"policies":[{"kind":"Gateway"}]}"#, "policies[0].kind: must be AuthorizationPolicy");
    refused(r#"{"policies":[{"metadata":{"name":"a\"b"}}]}"#, "policies[0].metadata.name: must be a name");
    refused(
        r#"{"policies":[{"metadata":{"name":"p"},"spec":{"action":"LOG"}}]}"#,
        "policies[0].spec.action: unknown variant `LOG`",
    );
    refused(
        r#"{"policies":[{"metadata":{"name":"p"},"spec":{"rule":[]}}]}"#,
        "policies[0].spec.rule: unknown field",
    );
    refused(
        r#"{"policies":[{"metadata":{"name":"p"},"spec":{"provider":{"name":"x"}}}]}"#,
        "policies[0].spec.provider: ",
    );
    refused(
        r#"{"policies":[{"metadata":{"name":"p"},"spec":{"rules":[{}]}},{"metadata":{"name":"p"},"spec":{"rules":[{}]}}]}"#,
        "policies: must be policies of different names",
    );
    refused(
        r#"{"policies":[{"metadata":{"name":"p"},"outrigger":{}}]}"#,
        "policies[0].outrigger: must have status",
    );
    refused(
        r#"{"policies":[{"metadata":{"name":"p"},"outrigger":{"status":200}}]}"#,
        "policies[0].outrigger.status: must be 400..=599, got 200",
    );
    refused(
        r#"{"policies":[{"metadata":{"name":"p"},"outrigger":{"headers":{"content-length":"1"}}}]}"#,
        "policies[0].outrigger.headers.content-length: ",
    );
    refused(r#"{"denial":{"reason":"a b"}}"#, "denial.reason: must be 1 to 64");
    refused(r#"{"verdict_header":"host"}"#, "verdict_header: ");
    refused(r#"{"body":{"limit_bytes":0}}"#, "body.limit_bytes: must be 1..=1048576, got 0");
    refused(
        r#"{"sets":{"addresses":{"a":["x"]}}}"#,
        "sets.addresses.a[0]: must be an address or a block, got \"x\"",
    );
    refused(
        r#"{"sets":{"values":{"a":[]},"addresses":{"a":[]}}}"#,
        "sets.addresses.a: must have a name that no other set has",
    );
    refused(r#"{"metrics":{"budget":1}}"#, "metrics.budget: must hold the 4 series");
}

#[test]
fn istio_mode_drops_what_istio_drops_and_strict_mode_refuses_it() {
    for (text, expected) in [
        (r#"{"when":[{"key":"source.port","values":["1"]}]}"#, ".when[0].key: must be a key"),
        (
            r#"{"when":[{"key":"request.headers","values":["1"]}]}"#,
            ".when[0].key: must have a name in brackets",
        ),
        (
            r#"{"when":[{"key":"request.headers[a b]","values":["1"]}]}"#,
            ".when[0].key: must be a header name",
        ),
        (r#"{"when":[{"key":"source.ip"}]}"#, ".when[0]: must have values"),
        (
            r#"{"from":[{"source":{"ipBlocks":["10.0.0.0/33"]}}]}"#,
            ".from[0].source.ipBlocks[0]: must be an address",
        ),
        (r#"{"to":[{"operation":{"ports":["http"]}}]}"#, ".to[0].operation.ports[0]: must be a port"),
        (r#"{"to":[{"operation":{"paths":[""]}}]}"#, ".to[0].operation.paths[0]: must not be empty"),
        (r#"{"to":[{"operation":{"paths":["/a{b}"]}}]}"#, ".to[0].operation.paths[0]: must have braces"),
        (r#"{"from":[{"source":{}}]}"#, ".from[0].source: must have a field"),
        (r#"{"to":[]}"#, ".to: must not be empty"),
    ] {
        rule("istio", "DENY", text, None);
        rule("strict", "DENY", text, Some(expected));
    }
}

#[test]
fn both_modes_refuse_what_could_never_be_meant() {
    for (action, text, expected) in [
        ("DENY", r#"{"to":[{"operation":{"path":["/"]}}]}"#, ".to[0].operation.path: unknown field `path`"),
        ("DENY", r#"{"from":[{"principals":["a"]}]}"#, ".from[0].principals: unknown field"),
        (
            "DENY",
            r#"{"to":[{"operation":{"paths":["{*}"]}}]}"#,
            ".to[0].operation.paths[0]: must begin with `/`",
        ),
        (
            "DENY",
            r#"{"to":[{"operation":{"paths":["/a{*}"]}}]}"#,
            ".to[0].operation.paths[0]: must have `{*}`",
        ),
        ("DENY", r#"{"to":[{"operation":{"paths":[1.5]}}]}"#, ".to[0].operation.paths[0]: invalid type"),
        (
            "DENY",
            r#"{"from":[{"source":{"serviceAccounts":["a"],"namespaces":["b"]}}]}"#,
            ".from[0].source: must not have serviceAccounts",
        ),
        (
            "DENY",
            r#"{"from":[{"source":{"serviceAccounts":["a/b/c"]}}]}"#,
            ".from[0].source.serviceAccounts[0]: ",
        ),
        (
            "DENY",
            r#"{"from":[{"source":{"serviceAccounts":["a*"]}}]}"#,
            ".from[0].source.serviceAccounts[0]: ",
        ),
        ("DENY", r#"{"when":[{"values":["1"]}]}"#, ".when[0].key: "),
        ("DENY", r#"{"outrigger":{"regex":"a"}}"#, ".outrigger.regex: unknown field"),
        (
            "DENY",
            r#"{"outrigger":{"match":[{"on":"path","regex":"("}]}}"#,
            ".outrigger.match[0].regex: must be a regular expression",
        ),
        (
            "DENY",
            r#"{"outrigger":{"in":[{"on":"remote","set":"x"}]}}"#,
            ".outrigger.in[0].set: must be one of `sets.addresses`",
        ),
        ("DENY", r#"{"outrigger":{"body":{"fields":[]}}}"#, ".outrigger.body.fields: must hold a field"),
        (
            "DENY",
            r#"{"outrigger":{"body":{"fields":[{"pointer":"a","exact":"b"}]}}}"#,
            ".outrigger.body.fields[0].pointer: must be a JSON Pointer",
        ),
        (
            "DENY",
            r#"{"outrigger":{"body":{"fields":[{"pointer":"/a"}]}}}"#,
            ".outrigger.body.fields[0]: must have exactly one test",
        ),
        (
            "ALLOW",
            r#"{"outrigger":{"response":{"status":["2xx"]}}}"#,
            ".outrigger.response: must stand in a DENY or AUDIT policy",
        ),
        (
            "DENY",
            r#"{"outrigger":{"response":{"status":["9xx"]}}}"#,
            ".outrigger.response.status[0]: must be a status",
        ),
        ("DENY", r#"{"outrigger":{"time":{"from":"8"}}}"#, ".outrigger.time.from: must be a time of the day"),
        (
            "DENY",
            r#"{"outrigger":{"personal_data":{"entities":["emial"]}}}"#,
            ".outrigger.personal_data.entities[0]: must be the id",
        ),
        (
            "DENY",
            r#"{"outrigger":{"personal_data":{"in":["query"],"redact":true}}}"#,
            ".outrigger.personal_data.redact: must stand in an AUDIT policy",
        ),
        (
            "AUDIT",
            r#"{"outrigger":{"personal_data":{"in":["path"],"redact":true}}}"#,
            ".outrigger.personal_data.redact: must stand",
        ),
    ] {
        rule("istio", action, text, Some(expected));
        rule("strict", action, text, Some(expected));
    }
}

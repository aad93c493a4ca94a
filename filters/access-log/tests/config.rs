//! What a configuration must be.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that panics has failed, as it should")]

use access_log::AccessLog;
use filter_kit::{Environment, load};

fn read(config: &str) -> Result<AccessLog, String> {
    let variables = |name: &str| (name == "PII_KEY").then(|| "0123456789abcdef".to_owned());
    load(config.as_bytes(), &Environment::new(&variables)).map_err(|error| error.to_string())
}

#[track_caller]
fn refused(config: &str, expected: &str) {
    match read(config) {
        Ok(_) => panic!("{config} was taken"),
        Err(error) => assert!(error.contains(expected), "{config}\n  {error}\n  {expected}"),
    }
}

#[test]
fn nothing_is_a_configuration() {
    for config in ["", "{}", r#"{"outputs":{}}"#, r#"{"pii":{"token":{"key_env":"PII_KEY"}}}"#] {
        read(config).unwrap();
    }
}

#[test]
fn what_is_wrong_is_refused_with_its_path() {
    refused(r#"{"output":{}}"#, "output: unknown field `output`");
    refused(
        r#"{"names":"oTel"}"#,
        "names: unknown variant `oTel`, expected one of `istio`, `opentelemetry`, `ecs`",
    );
    refused(r#"{"fields":["path","pth"]}"#, "fields[1]: unknown variant `pth`");
    refused(
        r#"{"fields":["path","path"]}"#,
        "fields[1]: must be another field than those before it, got \"path\"",
    );
    refused(r#"{"fields":[null]}"#, "fields[0]: must be the name of a field, got nothing");
    refused(r#"{"headers":{"request":["user agent"]}}"#, "headers.request[0]: ");
    refused(r#"{"headers":{"request":["a","A"]}}"#, "headers.request[1]: must be another header");
    refused(r#"{"arms":[{"header":"x-arm"}]}"#, "arms[0].experiment: must be the experiment's name");
    refused(r#"{"arms":[{"experiment":"a"}]}"#, "arms[0].header: must be the name of the header");
    refused(r#"{"verdict":{}}"#, "verdict.header: must be the name of the header");
    refused(r#"{"body":{"fields":["a..b"]}}"#, "body.fields[0]: must be names of members with dots");
    refused(r#"{"body":{"fields":["a","a"]}}"#, "body.fields[1]: must be another field");
    refused(r#"{"body":{"limit_bytes":0}}"#, "body.limit_bytes: must be 1..=10485760, got 0");
    refused(r#"{"value_bytes":1}"#, "value_bytes: must be 16..=65536, got 1");
    refused(r#"{"routes":{"given":["a"]}}"#, "routes.given[0]: ");
    refused(r#"{"sampling":{"rate":2}}"#, "sampling.rate: must be 0..=1, got 2");
    refused(r#"{"flow":{"scan":["trailers"]}}"#, "flow.scan[0]: unknown variant `trailers`");
    refused(
        r#"{"flow":{"known":[{"route":"/a","entities":["emial"]}]}}"#,
        "flow.known[0].entities[0]: must be the id",
    );
    refused(
        r#"{"canaries":[{"name":"a","value":"short"}]}"#,
        "canaries[0].value: must have 6 to 128 bytes, got 5",
    );
    refused(
        r#"{"canaries":[{"name":"a","value":"long enough"},{"name":"a","value":"long enough"}]}"#,
        "canaries[1].name: ",
    );
    refused(
        r#"{"outputs":{"filter_state":{"key":"a b"}}}"#,
        "outputs.filter_state.key: must be 1 to 64 letters",
    );
    refused(
        r#"{"fields":["path"],"outputs":{"filter_state":{"fields":["query"]}}}"#,
        "outputs.filter_state.fields[0]: must be one of `fields`",
    );
    refused(r#"{"outputs":{"otlp":{}}}"#, "outputs.otlp.cluster: ");
    refused(
        r#"{"pii":{"operators":{"card":{"do":"mask","first":8,"last":4}}}}"#,
        "pii.operators.card: must keep at most the first 6",
    );
    refused(r#"{"pii":{"operators":{"phone":{"do":"hash"}}}}"#, "pii.operators.phone: must be token");
    refused(
        r#"{"pii":{"token":{"key":"hunter2hunter2hunter2"}}}"#,
        "pii.token.key: must not stand in the configuration",
    );
    refused(r#"{"pii":{"token":{"key_env":"NONE"}}}"#, "pii.token.key_env: must name a variable");
    refused(r#"{"pii":{"regexes":[{"pattern":"("}]}}"#, "pii.regexes");
}

#[test]
fn a_planted_value_is_not_written_into_an_error() {
    let long = "x".repeat(200);
    let error = read(&format!(r#"{{"canaries":[{{"name":"a","value":"{long}"}}]}}"#)).unwrap_err();
    assert!(!error.contains("xxx"), "{error}");
}

//! Configurations: what they change, and what is refused with which field's path.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use filter_kit::{
    ConfigError, Environment,
    settings::{Field, Node},
};
use pii::{Engine, Pii, Place, TokenKey};
use std::cell::RefCell;

fn read(config: &str) -> Result<Pii, ConfigError> {
    let variable = |name: &str| match name {
        "PII_KEY" => Some("0123456789abcdef".to_owned()),
        "SHORT" => Some("0123456789abcde".to_owned()),
        _ => None,
    };
    let (node, refused) = (Node::parse(config.as_bytes())?, RefCell::default());
    let root = Field::root(&node, &refused);
    root.finish(Pii::read(&root, &Environment::new(&variable)))
}

#[track_caller]
fn engine(config: &str) -> Engine {
    read(config).unwrap().engine
}

#[track_caller]
fn redacts(config: &str, text: &str, expected: &str) {
    assert_eq!(engine(config).redact(text.as_bytes(), Place::Text, None).as_str(), expected, "{config}");
}

#[track_caller]
fn refuses(config: &str, expected: &str) {
    let got = read(config).map_or_else(|error| error.to_string(), |_| String::new());
    assert!(got.starts_with(expected), "{config}: got {got:?}, expected {expected:?}");
}

#[test]
fn a_configuration_says_what_is_found_and_what_is_done() {
    redacts("{}", "joe@example.com 198.51.100.7", "[EMAIL] 198.51.100.0");
    redacts(r#"{"detect":["network"]}"#, "joe@example.com 198.51.100.7", "joe@example.com 198.51.100.0");
    redacts(
        r#"{"detect":["email","ipv4"],"ignore":["network"]}"#,
        "joe@example.com 198.51.100.7",
        "[EMAIL] 198.51.100.7",
    );
    redacts(
        r#"{"operators":{"network":{"do":"drop"},"ipv4":{"do":"keep"}}}"#,
        "198.51.100.7 2001:db8::1",
        "198.51.100.7 [IPV6]",
    );
    redacts(
        r#"{"operators":{"card":{"do":"mask","first":6,"last":4,"hide_length":true}}}"#,
        "4111111111111111",
        "411111***1111",
    );
    redacts(r#"{"operators":{"email":{"do":"fixed","text":"<mail>"}}}"#, "joe@example.com", "<mail>");
    redacts(r#"{"keys":{"Kunden-Nr":"custom"}}"#, "kunden_nr=12&b=1", "kunden_nr=[CUSTOM]&b=1");
    redacts(r#"{"literals":[{"text":"Project Swan"}]}"#, "on Project%20Swan now", "on [CUSTOM] now");
    // What is encoded deeper than the budget is dropped, not written.
    redacts(r#"{"base64_layers":0}"#, "d=am9lQGV4YW1wbGUuY29t", "d=[UNDECODABLE]");
}

#[test]
fn what_would_leak_is_refused_with_the_fields_path() {
    refuses(
        r#"{"operators":{"card":{"do":"mask","first":6,"last":6}}}"#,
        "operators.card: must keep at most the first 6 and the last 4 characters of card, got 12",
    );
    refuses(
        r#"{"operators":{"payment":{"do":"mask","last":5}}}"#,
        "operators.payment: must keep at most the first 6 and the last 4 characters of card, got 5",
    );
    refuses(
        r#"{"operators":{"phone":{"do":"hash"}}}"#,
        "operators.phone: must be token, which has a key: an unkeyed hash of phone hides nothing, for its values are so few",
    );
    refuses(r#"{"operators":{"us_ssn":{"do":"hash"}}}"#, "operators.us_ssn: must be token");
    refuses(r#"{"token":{"key":"0123456789abcdef"}}"#, "token.key: must not stand in the configuration");
    refuses(r#"{"operators":{"email":{"do":"truncate"}}}"#, "operators.email: must be another operator");
    refuses(
        r#"{"operators":{"phone":{"do":"token","domain":true}}}"#,
        "operators.phone: must not keep a domain",
    );
    refuses(
        r#"{"operators":{"fone":{"do":"drop"}}}"#,
        "operators.fone: must be the id of an entity or a group, got \"fone\"",
    );
    refuses(
        r#"{"detect":["email","nothing"]}"#,
        "detect[1]: must be the id of an entity or a group, got \"nothing\"",
    );
    refuses(r#"{"ignore":["nothing"]}"#, "ignore[0]: must be the id of an entity or a group");
    refuses(r#"{"keys":{"a":"nothing"}}"#, "keys.a: must be the id of an entity, got \"nothing\"");
    refuses(r#"{"keys":{"--":"email"}}"#, "keys.--: must be a name of 1 to 40 bytes");
    refuses(r#"{"literals":[{"text":"a"}]}"#, "literals[0].text: must have 3 to 256 bytes, got 1");
    refuses(r#"{"base64_layers":9}"#, "base64_layers: must be 0..=8, got 9");
    refuses(
        r#"{"operators":{"email":{"do":"mask","frist":2}}}"#,
        "operators.email.frist: unknown field `frist`",
    );
    refuses(
        r#"{"operators":{"email":{"do":"drop","last":2}}}"#,
        "operators.email.last: unknown field `last`",
    );
    refuses(r#"{"operators":{"email":{"last":2}}}"#, "operators.email.do: must say what is done");
    refuses(
        r#"{"operators":{"email":"drop"}}"#,
        "operators.email: invalid type: string \"drop\", expected an object",
    );
    refuses(
        r#"{"operators":{"email":{"do":"dorp"}}}"#,
        "operators.email.do: unknown variant `dorp`, expected one of",
    );
    refuses(
        r#"{"operators":{"email":{"do":"mask","last":-1}}}"#,
        "operators.email.last: must be 0..=255, got -1",
    );
    refuses(
        r#"{"operators":{"email":{"do":"fixed"}}}"#,
        "operators.email: must be a text of at most 64 bytes",
    );
    refuses(r#"{"detects":[]}"#, "detects: unknown field `detects`");
    refuses("[]", "invalid type: a list, expected an object");
}

#[cfg(not(feature = "regex"))]
#[test]
fn regexes_need_the_feature() {
    refuses(
        r#"{"regexes":[{"pattern":"a+"}]}"#,
        "regexes: must be empty: this build has no engine for regexes",
    );
}

#[cfg(feature = "regex")]
#[test]
fn regexes_are_found_in_every_encoding_and_refused_when_they_do_not_compile() {
    let config = r#"{"regexes":[{"pattern":"EMP-[0-9]{6}","entity":"national_id"},{"pattern":"swan\\d+"}]}"#;
    redacts(config, "id EMP-123456, swan7", "id [NATIONAL_ID], [CUSTOM]");
    redacts(config, "id=EMP%2D123456&d=RU1QLTEyMzQ1Ng", "id=[NATIONAL_ID]&d=[NATIONAL_ID]");
    refuses(r#"{"regexes":[{"pattern":"ok"},{"pattern":"a("}]}"#, "regexes[1].pattern: must be a regex:");
    refuses(r#"{"regexes":[{"pattern":"a*"}]}"#, "regexes[0].pattern: must not match the empty text");
}

#[test]
fn equal_values_have_equal_tokens_however_they_are_encoded() {
    let engine = engine(r#"{"operators":{"card":{"do":"token"}}}"#);
    let key = TokenKey::new(b"0123456789abcdef", "k1", "shop", 20_000).unwrap();
    let token = |text: &str| engine.redact(text.as_bytes(), Place::Text, Some(&key)).into_string();
    let plain = token("joe@example.com");
    assert!(plain.starts_with("t1:k1:email:"), "{plain}");
    assert_eq!(token("JOE%2540example.com"), plain);
    assert_eq!(token("am9lQGV4YW1wbGUuY29t"), plain);
    assert_eq!(token("4111%201111%201111%201111"), token("4111-1111-1111-1111"));
    let jwt = token("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln");
    assert!(jwt.starts_with("HS256.t1:k1:jwt:"), "{jwt}");
}

#[test]
fn the_secret_of_tokens_is_a_variable_and_nowhere_else() {
    refuses(
        r#"{"token":{"key_env":"OTHER"}}"#,
        "token.key_env: must name a variable of the VM's environment that is set, got \"OTHER\"",
    );
    refuses(
        r#"{"token":{"key_env":"SHORT"}}"#,
        "token.key_env: must name a variable whose value has at least 16 bytes, got \"SHORT\"",
    );
    refuses(r#"{"token":{"key_id":"k1"}}"#, "token.key_env: must name a variable");
    refuses(r#"{"token":{"key_env":"PII_KEY","key_id":"a:b"}}"#, "token.key_id: must be 1 to 16 letters");
    let literal = read(r#"{"token":{"key":"hunter2-hunter2-hunter2"}}"#).unwrap_err().to_string();
    assert!(!literal.contains("hunter2"), "{literal}");

    let pii = read(r#"{"token":{"key_env":"PII_KEY","key_id":"k2","tenant":"shop"}}"#).unwrap();
    assert!(!format!("{pii:?}").contains("0123456789abcdef"));
    let token = |pii: &Pii, day| {
        let key = pii.tokens.key(day);
        pii.engine.redact(b"joe@example.com", Place::Text, key.as_ref()).into_string()
    };
    let today = token(&pii, 20_000);
    assert!(today.starts_with("t1:k2:email:"), "{today}");
    assert_ne!(token(&pii, 20_001), today);
    assert_eq!(token(&pii, 20_000), today);
    let other = read(r#"{"token":{"key_env":"PII_KEY","key_id":"k2","tenant":"blog"}}"#).unwrap();
    assert_ne!(token(&other, 20_000), today);
    let none = read("{}").unwrap();
    assert_eq!(token(&none, 20_000), "[EMAIL]");
}

#[test]
fn a_refusal_has_the_path_from_the_root() {
    let config = r#"{"pii":{"operators":{"card":{"do":"mask","first":6,"last":6}}}}"#;
    let (node, refused) = (Node::parse(config.as_bytes()).unwrap(), RefCell::default());
    let root = Field::root(&node, &refused);
    let error = root.finish(Pii::read(&root.get("pii"), &Environment::EMPTY)).unwrap_err();
    assert_eq!(error.path(), "pii.operators.card");
}

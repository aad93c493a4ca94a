//! Configurations: what they change, and what is refused with which field's path.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use pii::{Config, Engine, Place, TokenKey};

#[track_caller]
fn engine(config: &str) -> Engine {
    serde_json::from_str::<Config>(config).unwrap().compile().unwrap()
}

#[track_caller]
fn redacts(config: &str, text: &str, expected: &str) {
    assert_eq!(engine(config).redact(text.as_bytes(), Place::Text, None).as_str(), expected, "{config}");
}

#[track_caller]
fn refuses(config: &str, expected: &str) {
    let got = match serde_json::from_str::<Config>(config) {
        Ok(config) => config.compile().map_or_else(|error| error.to_string(), |_| String::new()),
        Err(error) => error.to_string(),
    };
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
    refuses(r#"{"operators":{"email":{"do":"mask","frist":2}}}"#, "unknown field `frist`");
    refuses(r#"{"detects":[]}"#, "unknown field `detects`");
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

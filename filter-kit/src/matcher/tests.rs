use super::{Matcher, compile_all};
use crate::{
    Phase, View, fake,
    settings::{Field, Node},
};
use std::cell::RefCell;

fn read(condition: &str) -> Result<Vec<Matcher>, String> {
    let text = format!("[{condition}]");
    let node = Node::parse(text.as_bytes()).unwrap();
    let refused = RefCell::default();
    let field = Field::root(&node, &refused);
    field.finish(compile_all(&field)).map_err(|error| error.to_string())
}

#[track_caller]
fn check(condition: &str, request: &fake::Stream, expected: bool) {
    let view = View::new(request, Phase::RequestHeaders, 0, true);
    assert_eq!(read(condition).unwrap()[0].matches(&view), expected, "{condition}");
}

fn shop() -> fake::Stream {
    fake::Stream::get("/shop/cart?coupon=A%20B&empty=")
        .header("x-env", "prod")
        .header("x-env", "canary")
        .header("x-bytes", b"\xff\xfe")
        .header("cookie", "tier=gold; empty=")
        .property("connection.uri_san_peer_certificate", "spiffe://cluster.local/ns/qa/sa/tester")
}

#[test]
fn each_part_of_a_request_can_be_tested_in_each_way() {
    let shop = shop();
    for (condition, expected) in [
        (r#"{"on":"header","name":"X-Env","exact":"canary"}"#, true),
        (r#"{"on":"header","name":"x-env","exact":"can"}"#, false),
        (r#"{"on":"header","name":"x-env","prefix":"can"}"#, true),
        (r#"{"on":"header","name":"x-env","suffix":"ry"}"#, true),
        (r#"{"on":"header","name":"x-env","regex":"p.*d"}"#, true),
        (r#"{"on":"header","name":"x-env","regex":"anar"}"#, false),
        (r#"{"on":"header","name":"x-env","regex":"x|canary"}"#, true),
        (r#"{"on":"header","name":"x-bytes","regex":".*"}"#, false),
        (r#"{"on":"header","name":"x-bytes","present":true}"#, true),
        (r#"{"on":"header","name":"x-none","present":true}"#, false),
        (r#"{"on":"header","name":"x-none","present":false}"#, true),
        (r#"{"on":"header","name":"x-env","exact":"prod","not":true}"#, false),
        (r#"{"on":"header","name":"x-none","exact":"prod","not":true}"#, true),
        (r#"{"on":"cookie","name":"tier","exact":"gold"}"#, true),
        (r#"{"on":"cookie","name":"Tier","exact":"gold"}"#, false),
        (r#"{"on":"cookie","name":"empty","present":true}"#, true),
        (r#"{"on":"query","name":"coupon","exact":"A B"}"#, true),
        (r#"{"on":"query","name":"empty","exact":""}"#, true),
        (r#"{"on":"method","exact":"GET"}"#, true),
        (r#"{"on":"method","exact":"get"}"#, false),
        (r#"{"on":"path","exact":"/shop/cart"}"#, true),
        (r#"{"on":"path","prefix":"/shop"}"#, true),
        (r#"{"on":"path","prefix":"/shop/"}"#, true),
        (r#"{"on":"path","prefix":"/"}"#, true),
        (r#"{"on":"path","prefix":"/sho"}"#, false),
        (r#"{"on":"path","suffix":"/cart"}"#, true),
        (r#"{"on":"path","template":"/shop/{page}"}"#, true),
        (r#"{"on":"path","template":"/{page}"}"#, false),
        (r#"{"on":"path","regex":"/[a-z]+/cart"}"#, true),
        (r#"{"on":"principal","prefix":"spiffe://cluster.local/ns/qa/"}"#, true),
        (r#"{"on":"principal","present":false}"#, false),
    ] {
        check(condition, &shop, expected);
    }
}

#[test]
fn conditions_are_joined_by_all_any_and_not() {
    const TRUE: &str = r#"{"on":"method","exact":"GET"}"#;
    const FALSE: &str = r#"{"on":"method","exact":"POST"}"#;
    let shop = shop();
    for (form, expected) in [
        (r#"{"all":[T,T]}"#, true),
        (r#"{"all":[T,F]}"#, false),
        (r#"{"any":[F,T]}"#, true),
        (r#"{"any":[F,F]}"#, false),
        (r#"{"not":T}"#, false),
        (r#"{"not":F}"#, true),
        (r#"{"not":{"any":[F,F]}}"#, true),
        (r#"{"not":{"not":T}}"#, true),
        (r#"{"all":[T,F],"not":true}"#, true),
        (r#"{"any":[F,{"all":[T,{"not":F}]}],"not":false}"#, true),
    ] {
        check(&form.replace('T', TRUE).replace('F', FALSE), &shop, expected);
    }
    check(r#"{"on":"principal","exact":"x","not":true}"#, &fake::Stream::get("/"), true);
}

#[test]
fn a_regex_is_not_tried_on_a_value_that_is_too_long() {
    let condition = r#"{"on":"header","name":"x","regex":"a*"}"#;
    check(condition, &fake::Stream::get("/").header("x", vec![b'a'; 4096]), true);
    check(condition, &fake::Stream::get("/").header("x", vec![b'a'; 4097]), false);
}

#[track_caller]
fn check_refused(condition: &str, expected: &str) {
    let error = read(condition).unwrap_err();
    assert!(error.starts_with(expected), "{condition}: got {error:?}");
}

#[test]
fn a_condition_that_says_too_little_or_too_much_is_refused_with_its_field() {
    check_refused(r#"{"exact":"a"}"#, "[0].on: must be one of");
    check_refused(r#"{"on":"header","exact":"a"}"#, "[0].name: must be given");
    check_refused(r#"{"on":"header","name":"x y","exact":"a"}"#, "[0].name: must be a header name");
    check_refused(r#"{"on":"path","name":"x","exact":"a"}"#, "[0].name: must not be given");
    check_refused(
        r#"{"on":"path"}"#,
        "[0]: must have exactly one of exact, prefix, suffix, regex, template, present, got 0",
    );
    check_refused(
        r#"{"on":"path","exact":"/","prefix":"/"}"#,
        "[0]: must have exactly one of exact, prefix, suffix, regex, template, present, got 2",
    );
    check_refused(r#"{"on":"path","prefix":"shop"}"#, "[0].prefix: must begin");
    check_refused(r#"{"on":"path","template":"/a/{**}/b"}"#, "[0].template: must have `{**}`");
    check_refused(r#"{"on":"method","template":"/a"}"#, "[0].template: must stand on a path");
    check_refused(r#"{"on":"path","regex":"a(b"}"#, "[0].regex: must be a regular expression");
    check_refused("{}", "[0].on: must be one of");
    check_refused(r#"{"on":"principal","name":"x","exact":"a"}"#, "[0].name: must not be given on a method");
    check_refused(r#"{"all":[]}"#, "[0].all: must hold at least one condition");
    check_refused(
        r#"{"any":[{"on":"path","exact":"/"},{"on":"path"}]}"#,
        "[0].any[1]: must have exactly one of",
    );
    check_refused(r#"{"not":{"all":[{"exact":"/"}]}}"#, "[0].not.all[0].on: must be one of");
    check_refused(r#"{"on":"path","exact":"/","all":[]}"#, "[0]: must have exactly one of on, all, any, not");
    check_refused(r#"{"any":[],"not":{}}"#, "[0]: must have exactly one of on, all, any, not");
    check_refused(r#"{"on":"path","regex":"a)|(b"}"#, "[0].regex: must be a regular expression");
}

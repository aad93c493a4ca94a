//! The filter's rules, on plain data.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::cast_precision_loss,
    clippy::too_many_lines,
    reason = "a test that panics has failed, as it should"
)]

use ab_routing::AbRouting;
use filter_kit::{Environment, fake::Stream, load};
use std::collections::BTreeMap;

fn filter(config: &str) -> AbRouting {
    load(config.as_bytes(), &Environment::EMPTY).unwrap_or_else(|error| panic!("{error}\n{config}"))
}

/// An experiment on the header `u`, with more fields of its own.
fn experiment(more: &str) -> String {
    format!(
        r#"{{"experiments":[{{"name":"e","key":[{{"header":"u"}}],"arms":[{{"name":"a","weight":5000}},{{"name":"b","weight":5000}}]{more}}}]}}"#
    )
}

/// Sends one request and compares the arm's header and the metrics that moved.
#[track_caller]
fn check(config: &str, request: &Stream, arm: &[&str], metrics: &[(&str, u64)]) {
    let outcome = request.drive(&filter(config));
    assert_eq!(outcome.request_header("x-arm"), arm);
    let expected: BTreeMap<String, u64> =
        metrics.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
    assert_eq!(outcome.metrics, expected);
}

const NO_KEY: (&str, u64) = ("ab_not_bucketed_total;experiment=e;reason=no_key", 1);
const EMPTY_KEY: (&str, u64) = ("ab_not_bucketed_total;experiment=e;reason=empty_key", 1);
const EXPOSED_A: (&str, u64) = ("ab_exposures_total;experiment=e;arm=a", 1);
const EXPOSED_B: (&str, u64) = ("ab_exposures_total;experiment=e;arm=b", 1);
const STRIPPED: (&str, u64) = ("ab_client_headers_stripped_total", 1);

#[test]
fn a_user_gets_the_arm_of_the_key() {
    check(&experiment(""), &Stream::get("/").header("u", "1"), &["b"], &[EXPOSED_B]);
    check(&experiment(""), &Stream::get("/").header("u", "3"), &["a"], &[EXPOSED_A]);
}

#[test]
fn no_key_or_an_empty_one_is_not_bucketed() {
    check(&experiment(""), &Stream::get("/"), &[], &[NO_KEY]);
    check(&experiment(""), &Stream::get("/").header("u", ""), &[], &[EMPTY_KEY]);
    let fallback =
        experiment("").replace(r#"{"header":"u"}"#, r#"{"header":"u"},{"cookie":"c"},{"query":"q"}"#);
    check(&fallback, &Stream::get("/?q=1").header("u", ""), &[], &[EMPTY_KEY]);
    check(&fallback, &Stream::get("/?q=1"), &["b"], &[EXPOSED_B]);
    check(&fallback, &Stream::get("/?q=2").header("cookie", "c=1"), &["b"], &[EXPOSED_B]);
    check(&fallback, &Stream::get("/?q="), &[], &[EMPTY_KEY]);
}

#[test]
fn a_key_is_bucketed_up_to_its_limit() {
    let too_long = ("ab_not_bucketed_total;experiment=e;reason=key_too_long", 1);
    check(&experiment(""), &Stream::get("/").header("u", vec![b'x'; 4097]), &[], &[too_long]);
    assert_eq!(
        Stream::get("/")
            .header("u", vec![b'x'; 4096])
            .drive(&filter(&experiment("")))
            .request_header("x-arm")
            .len(),
        1
    );
}

#[test]
fn a_clients_own_arm_never_survives() {
    let forged = |stream: Stream| stream.header("x-arm", "b").header("x-arm", "c");
    let in_shop = r#","match":[{"on":"path","prefix":"/shop"}]"#;
    // Read header by header, and out of the whole map.
    for more in ["", r#","visitor_cookie":{},"match":[{"on":"header","name":"absent","present":false}]"#] {
        check(&experiment(more), &forged(Stream::get("/").header("u", "3")), &["a"], &[EXPOSED_A]);
    }
    check(&experiment(""), &forged(Stream::get("/")), &[], &[NO_KEY]);
    check(&experiment(in_shop), &forged(Stream::get("/").header("u", "3")), &[], &[]);
    check(&experiment(in_shop), &Stream::get("/shop").header("u", "3"), &["a"], &[EXPOSED_A]);
    let counted = |more| experiment(more).replacen('{', r#"{"count_forged":true,"#, 1);
    check(&counted(""), &forged(Stream::get("/").header("u", "3")), &["a"], &[EXPOSED_A, STRIPPED]);
    check(&counted(""), &forged(Stream::get("/")), &[], &[NO_KEY, STRIPPED]);
    check(&counted(in_shop), &forged(Stream::get("/").header("u", "3")), &[], &[STRIPPED]);
    check(&counted(in_shop), &Stream::get("/shop").header("u", "3"), &["a"], &[EXPOSED_A]);
}

#[test]
fn without_experiments_nothing_is_touched() {
    check("{}", &Stream::get("/").header("x-arm", "b"), &["b"], &[]);
}

#[test]
fn experiments_that_share_a_header_are_tried_in_order() {
    let config = r#"{"experiments":[
        {"name":"first","match":[{"on":"path","prefix":"/a"}],"key":[{"header":"u"}],"arms":[{"name":"one","weight":10000}]},
        {"name":"second","key":[{"header":"u"}],"arms":[{"name":"two","weight":10000}]},
        {"name":"other","header":"x-other","key":[{"header":"u"}],"arms":[{"name":"three","weight":10000}]}
    ]}"#;
    for (path, arm) in [("/a", "one"), ("/b", "two")] {
        let outcome = Stream::get(path).header("u", "1").drive(&filter(config));
        assert_eq!(outcome.request_header("x-arm"), [arm]);
        assert_eq!(outcome.request_header("x-other"), ["three"]);
        assert_eq!(outcome.metrics.len(), 2);
    }
}

#[test]
fn a_new_visitor_gets_a_cookie_and_keeps_the_arm() {
    let config = r#"{"experiments":[{"name":"e","visitor_cookie":{"name":"v","domain":"shop.example","same_site":"strict"},
        "arms":[{"name":"a","weight":5000},{"name":"b","weight":5000}]}]}"#;
    let filter = filter(config);
    let mut arms = BTreeMap::new();
    for seed in 0..200 {
        let first = Stream::get("/").header("cookie", "other=1").seed(seed).drive(&filter);
        let [cookie] = first.response_header("set-cookie").try_into().unwrap();
        let (pair, attributes) = cookie.split_once("; ").unwrap();
        assert_eq!(
            attributes,
            "Max-Age=31536000; Path=/; Domain=shop.example; Secure; HttpOnly; SameSite=Strict"
        );
        let id = pair.strip_prefix("v=").unwrap();
        assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
        let again = Stream::get("/x").header("cookie", format!("a=b; {pair}")).drive(&filter);
        assert_eq!(first.request_header("x-arm"), again.request_header("x-arm"));
        assert_eq!(again.response_header("set-cookie"), Vec::<String>::new());
        *arms.entry(again.request_header("x-arm")).or_insert(0) += 1;
    }
    assert!(arms.len() == 2 && arms.values().all(|count| *count > 60), "{arms:?}");
}

#[test]
fn experiments_that_share_a_cookie_give_one_id() {
    let config = r#"{"experiments":[
        {"name":"e","visitor_cookie":{"name":"v"},"arms":[{"name":"a","weight":10000}]},
        {"name":"f","visitor_cookie":{"name":"v"},"header":"x-f","arms":[{"name":"a","weight":10000}]},
        {"name":"g","visitor_cookie":{"name":"w"},"header":"x-g","arms":[{"name":"a","weight":10000}]}
    ]}"#;
    let cookies = Stream::get("/").drive(&filter(config)).response_header("set-cookie");
    let ids: Vec<_> = cookies.iter().map(|cookie| &cookie[2..34]).collect();
    assert!(cookies.len() == 2 && ids[0] == ids[1], "{cookies:?}");
}

#[test]
fn a_host_without_random_bytes_leaves_the_request_alone() {
    let config = r#"{"experiments":[{"name":"e","visitor_cookie":{"name":"v"},"arms":[{"name":"a","weight":10000}]}]}"#;
    let no_random = ("ab_not_bucketed_total;experiment=e;reason=no_random", 1);
    check(config, &Stream::get("/").without_random(), &[], &[no_random]);
}

#[test]
fn raising_coverage_moves_nobody_who_is_enrolled() {
    let arms = |coverage: u32| {
        let filter = filter(&experiment(&format!(r#","coverage":{coverage}"#)));
        (0..2000)
            .map(move |user| {
                Stream::get("/").header("u", user.to_string()).drive(&filter).request_header("x-arm")
            })
            .collect::<Vec<_>>()
    };
    let mut before = arms(0);
    assert!(before.iter().all(Vec::is_empty));
    for coverage in [1, 500, 3000, 9999, 10000] {
        let after = arms(coverage);
        assert!(before.iter().zip(&after).all(|(old, new)| old.is_empty() || old == new));
        let enrolled = after.iter().filter(|arm| !arm.is_empty()).count();
        let expected = 2000.0 * f64::from(coverage) / 10000.0;
        assert!((enrolled as f64 - expected).abs() < 100.0, "{coverage}: {enrolled}");
        before = after;
    }
    assert!(before.iter().all(|arm| arm.len() == 1));
}

#[test]
fn a_hundred_thousand_random_keys_fit_ten_unequal_weights() {
    const WEIGHTS: [u32; 10] = [100, 200, 300, 400, 600, 900, 1200, 1600, 2000, 2700];
    let arms: Vec<_> = WEIGHTS
        .iter()
        .enumerate()
        .map(|(index, weight)| format!(r#"{{"name":"arm{index}","weight":{weight}}}"#))
        .collect();
    let config =
        format!(r#"{{"experiments":[{{"name":"e","key":[{{"header":"u"}}],"arms":[{}]}}]}}"#, arms.join(","));
    let filter = filter(&config);
    let mut counts = [0_u32; 10];
    let mut random = 1_u64;
    for _ in 0..100_000 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let arm = Stream::get("/")
            .header("u", format!("{:016x}", random ^ (random >> 29)))
            .drive(&filter)
            .request_header("x-arm");
        counts[arm[0][3..].parse::<usize>().unwrap()] += 1;
    }
    let chi_square: f64 = counts
        .iter()
        .zip(WEIGHTS)
        .map(|(count, weight)| {
            let expected = f64::from(weight) * 10.0;
            (f64::from(*count) - expected).powi(2) / expected
        })
        .sum();
    // The 0.999 quantile of chi-square with 9 degrees of freedom.
    assert!(chi_square < 27.877, "chi-square {chi_square}, {counts:?}");
}

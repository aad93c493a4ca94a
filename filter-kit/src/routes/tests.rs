use super::{DEPTH, PROVEN, RouteId, Routes, kinds};
use crate::settings::{Field, Node};
use proptest::prelude::*;
use std::cell::RefCell;

mod table;

fn read(config: &str) -> Result<Routes, String> {
    let node = Node::parse(config.as_bytes()).unwrap();
    let refused = RefCell::default();
    let field = Field::root(&node, &refused);
    let routes = Routes::read(&field);
    field.finish(routes).map_err(|error| error.to_string())
}

fn label(routes: &Routes, path: impl AsRef<[u8]>) -> String {
    routes.label(routes.of(path.as_ref())).to_string()
}

#[track_caller]
fn check(path: impl AsRef<[u8]>, expected: &str) {
    let routes = Routes::default();
    assert_eq!(label(&routes, &path), expected, "{}", String::from_utf8_lossy(path.as_ref()));
}

#[test]
fn words_stay_and_values_are_their_kind() {
    for line in table::PATHS.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("# "))
    {
        let (path, expected) = line.split_once(" => ").unwrap();
        check(path, expected);
    }
}

#[test]
fn a_path_of_any_bytes_has_a_label() {
    check("", "{invalid}");
    check("no/slash", "{invalid}");
    check("http://absolute/form", "{invalid}");
    check("*", "*");
    check("/*", "/{text}");
    check(b"/\xff\xfe/a", "/{text}/a");
    check(b"/a\0b/c d/\r\n", "/{text}/{text}/{text}");
    check("/naïve/日本語", "/{text}/{text}");
    check(format!("/{}", "a".repeat(60_000)), "/{text}");
    check(format!("/{}/b", "1".repeat(60_000)), "/{text}/b");
    check("/".repeat(60_000), "/");
    check("/a".repeat(30_000), "/a/a/a/a/a/a/a/a/a/a/{**}");
    check(format!("/{}", ";/".repeat(30_000)), &format!("{}/{{**}}", "/{text}".repeat(DEPTH)));
    for (length, expected) in [(40, "a"), (41, "{text}"), (79, "{text}"), (80, "{text}"), (81, "{text}")] {
        let expected = expected.replace('a', &"o".repeat(length));
        check(format!("/{}/b", "o".repeat(length)), &format!("/{expected}/b"));
        check(format!("/{};b", "o".repeat(length)), &format!("/{expected}"));
    }
}

#[test]
fn given_templates_come_first_and_in_their_order() {
    let config = r#"{"given": ["/users/{id}/orders/{*}", "/users/me/orders/{x}", "/users/me", "/static/{**}", "/a/{number}"]}"#;
    let routes = read(config).unwrap();
    for (path, expected) in [
        ("/users/alice/orders/x", "/users/{id}/orders/{*}"),
        ("/users/me/orders/x", "/users/{id}/orders/{*}"),
        ("/users/me", "/users/me"),
        ("/users/you", "/users/{id}"),
        ("/static", "/static/{**}"),
        ("/static/a/b/c.js", "/static/{**}"),
        ("/users/alice/orders/", "/users/{id}/orders"),
        ("/a/b", "/a/{number}"),
        ("/a/5/", "/a/{number}"),
        ("/", "/"),
        ("/x/5", "/x/{number}"),
    ] {
        assert_eq!(label(&routes, path), expected, "{path}");
    }
    // What is learned under a given label's name has its id.
    assert_eq!(routes.of(b"/a/5/"), routes.of(b"/a/b"));
    assert_eq!((routes.len(), routes.capacity()), (3 + 5 + 4, 3 + 5 + 500));
}

#[test]
fn where_nothing_is_learned_the_rest_is_other() {
    let routes = read(r#"{"given": ["/a"], "learn": false}"#).unwrap();
    assert_eq!((label(&routes, "/a").as_str(), label(&routes, "/b").as_str()), ("/a", "{other}"));
    assert_eq!((routes.others(), routes.len(), routes.capacity()), (1, 4, 4));
}

#[test]
fn a_configuration_that_cannot_be_one_is_refused_with_its_path() {
    for (config, expected) in [
        (r#"{"given": ["/a", "b"]}"#, "given[1]: must begin with `/`, got \"b\""),
        (
            r#"{"given": ["/a/{x"]}"#,
            "given[0]: must have `{name}`, `{*}` or `{**}` as a whole segment, got \"/a/{x\"",
        ),
        (r#"{"given": ["/{**}/a"]}"#, "given[0]: must have `{**}` as its last segment only, got \"/{**}/a\""),
        (
            r#"{"given": ["/x", "/a/{id}", "/a/{name}"]}"#,
            "given[2]: must not match the same paths as /a/{id}, got \"/a/{name}\"",
        ),
        (r#"{"given": ["/a b"]}"#, "given[0]: must be at most 256 bytes of visible ASCII, got \"/a b\""),
        (r#"{"given": ["/ä"]}"#, "given[0]: must be at most 256 bytes of visible ASCII, got \"/ä\""),
        (r#"{"given": "/a"}"#, "given: invalid type: string \"/a\", expected a list"),
        (r#"{"given": [7]}"#, "given[0]: invalid type: number `7`, expected a string"),
        (r#"{"limit": 0}"#, "limit: must be 1..=5000, got 0"),
        (r#"{"limit": 5001}"#, "limit: must be 1..=5000, got 5001"),
        (r#"{"learn": "yes"}"#, "learn: invalid type: string \"yes\", expected a boolean"),
        (r#"{"learnt": true}"#, "learnt: unknown field `learnt`, expected one of `given`, `learn`, `limit`"),
    ] {
        assert_eq!(read(config).err().as_deref(), Some(expected));
    }
    let deep = format!(r#"{{"given": ["{}"]}}"#, "/a".repeat(33));
    assert!(read(&deep).unwrap_err().starts_with("given[0]: must have at most 32 segments"));
    let many = (0..1001).map(|n| format!("\"/{n}\"")).collect::<Vec<_>>().join(",");
    assert_eq!(
        read(&format!(r#"{{"given": [{many}]}}"#)).unwrap_err(),
        "given: must hold at most 1000, got 1001"
    );
    for config in ["{}", "null", r#"{"given": null, "limit": null}"#] {
        assert_eq!(read(config).unwrap().capacity(), 503, "{config}");
    }
}

/// The word that stands for a number.
fn word(mut number: usize) -> String {
    let mut text = String::new();
    for letters in [b"bdfgklmnprst".as_slice(), b"aeiou"].iter().cycle().take(9) {
        text.push(char::from(letters[number % letters.len()]));
        number /= letters.len();
    }
    text
}

#[test]
fn a_place_with_too_many_words_takes_any_and_keeps_what_was_seen_often() {
    let routes = Routes::default();
    for _ in 0..PROVEN {
        assert_eq!(label(&routes, "/shops/berlin/products/1"), "/shops/berlin/products/{number}");
    }
    for n in 1..50 {
        let word = word(n);
        assert_eq!(
            label(&routes, format!("/shops/{word}/products/1")),
            format!("/shops/{word}/products/{{number}}")
        );
    }
    for n in (1..1000).rev() {
        assert_eq!(label(&routes, format!("/shops/{}/products/1", word(n))), "/shops/{*}/products/{number}");
    }
    assert_eq!(label(&routes, "/shops/berlin/products/2"), "/shops/berlin/products/{number}");
    assert_eq!(label(&routes, "/shops/17"), "/shops/{number}");
    assert_eq!(label(&routes, "/carts"), "/carts");
    assert_eq!((routes.len(), routes.others()), (3 + 50 + 1 + 2, 0));
}

#[test]
fn nobody_is_named_where_any_word_may_stand() {
    let routes = Routes::default();
    for n in 0..100 {
        routes.of(format!("/{}", word(n)).as_bytes());
    }
    assert_eq!(label(&routes, "/shops/alice"), "/{*}/alice");
    assert_eq!(label(&routes, "/users/alice"), "/{*}/{id}");
    assert_eq!(label(&routes, "/users/search"), "/{*}/search");
}

#[test]
fn looking_teaches_nothing() {
    let routes = Routes::default();
    for path in ["/a", "/a/b", "/users/alice", "/1/2", &"/a".repeat(20)] {
        assert_eq!(routes.known(path.as_bytes()), RouteId::OTHER, "{path}");
        assert_eq!(routes.len(), 3);
    }
    let taught = routes.of(b"/a/17");
    assert_eq!(routes.known(b"/a/18"), taught);
    assert_eq!(routes.known(b"/a"), RouteId::OTHER);
    assert_eq!(routes.known(b"a"), RouteId::INVALID);
    for n in 0..100 {
        routes.of(format!("/{}", word(n)).as_bytes());
    }
    assert_eq!(&*routes.label(routes.known(b"/anything")), "/{*}");
    assert_eq!(routes.others(), 0);
    let deep = "/b".repeat(20);
    assert_eq!(routes.of(deep.as_bytes()), routes.known(deep.as_bytes()));
}

#[test]
fn the_limit_holds_and_leaves_room_for_what_is_general() {
    let routes = read(r#"{"limit": 100}"#).unwrap();
    let mut others = 0;
    for place in 0..10 {
        for n in 0..10 {
            let label = label(&routes, format!("/{}/{}/x", word(place), word(n)));
            others += u64::from(label == "{other}");
        }
    }
    assert_eq!((routes.len(), routes.others()), (3 + 75, 25));
    assert_eq!(others, 25);
    assert_eq!(label(&routes, "/brandnew"), "/{*}");
    assert_eq!(label(&routes, "/another/one"), "/{*}/one");
}

/// A random source (SplitMix64; Steele, Lea and Flood, 2014).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((word ^ (word >> 31)) % limit).unwrap()
    }

    fn path(&mut self) -> String {
        (0..=self.below(12))
            .map(|_| match self.below(6) {
                0 => format!("/{}", self.below(1_000_000)),
                1 => format!("/{:x}", self.below(u64::MAX)),
                2 => format!("/%{:02X}", self.below(256)),
                3 => format!("/{}-{}", word(self.below(50)), word(self.below(50))),
                _ => format!("/{}", word(self.below(1_000_000))),
            })
            .collect()
    }
}

#[test]
fn a_million_paths_that_nobody_has_take_no_more_than_the_limit() {
    for limit in [1, 7, 500] {
        let routes = read(&format!(r#"{{"limit": {limit}}}"#)).unwrap();
        let known: Vec<_> =
            ["/", "/v1/orders/17", "/health"].map(|path| (path, routes.of(path.as_bytes()))).into();
        let mut random = Random(limit);
        for n in 0..1_000_000 / 3 {
            let path = random.path();
            let id = routes.of(path.as_bytes());
            if n % 16 == 0 {
                let label = routes.label(id);
                assert!(label.len() <= 660 && label.bytes().all(|byte| byte.is_ascii_graphic()), "{label}");
                // Learning never changes what it has just said.
                assert_eq!(routes.of(path.as_bytes()), id, "{path}");
                assert!(id == RouteId::OTHER || routes.known(path.as_bytes()) == id, "{path}");
            }
        }
        let learned = routes.learned.as_ref().unwrap().borrow();
        let (used, most) = learned.size();
        assert!(used <= most && routes.len() <= routes.capacity(), "{used} {}", routes.len());
        assert_eq!(
            routes.len(),
            routes.labels.borrow().iter().collect::<std::collections::BTreeSet<_>>().len()
        );
        drop(learned);
        for (path, id) in known {
            let label = label(&routes, path);
            assert!(
                routes.of(path.as_bytes()) == id || label.contains("{*}") || label == "{other}",
                "{path}: {label}"
            );
        }
    }
}

#[test]
fn the_same_paths_have_the_same_labels_again() {
    let (first, second) = (Routes::default(), Routes::default());
    let (mut one, mut two) = (Random(3), Random(3));
    for _ in 0..50_000 {
        let (path, again) = (one.path(), two.path());
        assert_eq!(first.of(path.as_bytes()), second.of(again.as_bytes()));
    }
    assert_eq!(*first.labels.borrow(), *second.labels.borrow());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_have_a_label_of_visible_ascii(path in prop::collection::vec(any::<u8>(), 0..200)) {
        let routes = Routes::default();
        let path = [b"/", path.as_slice()].concat();
        let label = routes.label(routes.of(&path));
        prop_assert!(label.len() <= 660 && label.bytes().all(|byte| byte.is_ascii_graphic()), "{}", label);
    }

    #[test]
    fn a_label_is_its_own_label(path in "(/([a-z]{1,5}|[a-zA-Z0-9._~:;@%$-]{1,12}|users|v1)){1,9}") {
        let routes = Routes::default();
        let label = label(&routes, &path);
        prop_assert_eq!(self::label(&routes, &label), label.as_str());
    }

    #[test]
    fn digits_get_into_a_label_as_known_words_alone(segment in "[a-zA-Z0-9._~:@-]{1,40}") {
        // Versions, and words such as `x509`, are all the digits that a label can hold.
        if kinds::of(segment.as_bytes(), false).is_none() {
            let is_joint = |c: char| !c.is_ascii_alphanumeric();
            let digits = |token: &str| token.bytes().filter(u8::is_ascii_digit).count();
            let is_version = segment.starts_with(['v', 'V']);
            let most = if is_version { 9 } else { 3 };
            prop_assert!(segment.split(is_joint).all(|token| digits(token) <= most), "{}", segment);
        }
    }

    #[test]
    fn no_value_of_a_person_gets_into_a_label(
        email in "[a-z]{1,8}[.+_-]?[a-z0-9]{0,8}@[a-z]{2,9}[.](com|de|co[.]uk)",
        phone in "([+]|00)?[1-9][0-9]{1,2}[ .-]?[0-9]{3}[ .-]?[0-9]{4,7}",
        card in "[3-6][0-9]{3}[ -]?[0-9]{4}[ -]?[0-9]{4}[ -]?[0-9]{1,7}",
        iban in "(DE|FR|GB|NL)[0-9]{2}[A-Z0-9]{0,4}[0-9]{10,18}",
        ssn in "[0-9]{3}-[0-9]{2}-[0-9]{4}",
        address in "[0-9]{1,3}[.][0-9]{1,3}[.][0-9]{1,3}[.][0-9]{1,3}|[0-9a-f]{1,4}:[0-9a-f]{0,4}:[0-9a-f:]{3,30}",
        token in "(sk_live_|ghp_|glpat-|AKIA|xoxb-|eyJ)[A-Za-z0-9]{12}[0-9][A-Za-z0-9]{3,20}",
        born in "(19|20)[0-9]{2}[-._][01][0-9][-._][0-3][0-9]",
        parent in "shops|users|x|v1",
    ) {
        for value in [email, phone, card, iban, ssn, address, token, born] {
            let escaped = value.replace('@', "%40").replace('+', "%2B").replace(' ', "%20").replace(':', "%3A");
            for value in [&value, &escaped, &escaped.replace('%', "%25")] {
                let label = label(&Routes::default(), format!("/{parent}/{value}/a"));
                prop_assert!(label.starts_with(&format!("/{parent}/{{")) && label.ends_with("}/a"), "{}: {}", value, label);
            }
        }
    }

    #[test]
    fn an_id_is_no_word(digits in "[0-9]{2,20}", hex in "[0-9a-f]{8,64}", base58 in "[1-9A-HJ-NP-Za-km-z]{20,44}", name in "[a-z]{3,9}") {
        let has_both = |text: &str| text.bytes().filter(u8::is_ascii_digit).count() > 1;
        for text in [digits.clone(), format!("{name}-{digits}"), format!("{name}_{digits}"), format!("{name}.{digits}"), format!("{name}{digits}@example.com")] {
            prop_assert!(kinds::of(text.as_bytes(), false).is_some(), "{}", text);
        }
        for text in [hex, base58] {
            prop_assert!(!has_both(&text) || kinds::of(text.as_bytes(), false).is_some(), "{}", text);
        }
    }
}

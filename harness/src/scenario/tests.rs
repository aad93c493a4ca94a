//! What the loader reads, and what it refuses.

use super::{Cluster, CookieJar, Request, Response, Route, Scenario, load::parse};
use crate::{Bytes, Exploration, expect::Expected, lint::Lint};
use std::path::Path;

#[track_caller]
fn read(text: &str) -> Vec<Scenario> {
    // What is explored needs no expectation.
    let explored = if text.contains("expect") { "" } else { "explore = true\n" };
    parse(Path::new("x.toml"), &format!("{explored}{text}")).unwrap_or_else(|error| panic!("{error}"))
}

/// The error names the file, then what `expected` says.
#[track_caller]
fn refused(text: &str, expected: &str) {
    let error = parse(Path::new("x.toml"), text).map(|_| ()).unwrap_err().to_string();
    let (_, said) = error.split_once(": ").unwrap();
    assert!(error.starts_with("x.toml") && said.starts_with(expected), "{error}");
}

const ONE: &str = "name = 'a'\nrequest = {}\nexpect = { status = 200 }\n";

#[test]
fn a_file_is_a_scenario_with_one_exchange() {
    let [scenario] = read(ONE).try_into().unwrap();
    assert_eq!((scenario.name.as_str(), scenario.file.as_path()), ("a", Path::new("x.toml")));
    assert_eq!((scenario.seed, scenario.clock, scenario.config), (0, 1_767_225_600_000_000_000, None));
    let [exchange] = scenario.exchanges.try_into().unwrap();
    assert_eq!((exchange.request, exchange.response), (Request::default(), Response::default()));
}

#[test]
fn scenarios_share_what_stands_above_them_and_may_override_it() {
    let scenarios = read(
        "seed = 7\nenv = { SECRET = 's' }\nconfig = { a = 1 }\nroutes = [{ header = 'X-Arm', value = 'b', upstream = 'v2' }]\n\
         [[scenario]]\nname = 'one'\nrequest = {}\nexpect = { status = 200 }\n\
         [[scenario]]\nname = 'two'\nconfig = '{\"a\":'\nclock = '2026-11-23T00:00:01.5Z'\nrequest = {}\nexpect = { status = 200 }\n\
         [[scenario]]\nname = 'three'\nseed = 8\nexpect = { config_error = 'no' }\n",
    );
    let [one, two, three] = scenarios.try_into().unwrap();
    assert_eq!(one.config.as_deref(), Some(&b"{\"a\":1}"[..]));
    assert_eq!(two.env, [("SECRET".to_owned(), "s".to_owned())].into());
    assert_eq!(two.config.as_deref(), Some(&b"{\"a\":"[..]));
    assert_eq!((one.seed, two.clock, three.seed), (7, 1_795_392_001_500_000_000, 8));
    assert_eq!((three.config_error.as_deref(), three.exchanges.len()), (Some("no"), 0));
    let header = Some(("x-arm".to_owned(), "b".to_owned()));
    assert_eq!(one.routes, [Route { header, upstream: "v2".to_owned(), ..Route::default() }]);
}

#[test]
fn the_first_route_that_matches_picks_the_upstream_and_v1_is_the_default() {
    let [scenario] = read(
        "name = 'a'\nrequest = {}\n\
         routes = [{ prefix = '/x', header = 'h', value = '1', upstream = 'v2' }, { prefix = '/x', upstream = 'v1' }, { prefix = '/', upstream = 'v2' }]\n",
    )
    .try_into()
    .unwrap();
    let route = |path: &str, value: &'static str| {
        let headers = vec![(Bytes::from(":path"), Bytes::from(path)), (Bytes::from("h"), Bytes::from(value))];
        super::pick(&scenario.routes, &headers).map_or("v1", |route| &route.upstream).to_owned()
    };
    assert_eq!(
        [route("/x", "1"), route("/x", "2"), route("/y", "1"), route("*", "1")],
        ["v2", "v1", "v2", "v1"]
    );
}

#[test]
fn exchanges_repeat_and_keep_their_order() {
    let [scenario] = read(
        "name = 'a'\n[[exchange]]\nrequest = { path = '/1' }\n[[exchange]]\nrepeat = 2\nrequest = { path = '/2' }\n",
    )
    .try_into()
    .unwrap();
    let paths: Vec<_> = scenario.exchanges.iter().map(|exchange| exchange.request.path.as_str()).collect();
    assert_eq!(paths, ["/1", "/2", "/2"]);
}

#[test]
fn headers_and_bodies_are_any_bytes() {
    let [scenario] = read(
        "name = 'a'\n\
         request = { headers = [['B', '1'], ['a', { hex = 'fF00' }], ['b', { repeat = 'ab', times = 3 }]], chunks = ['x', { hex = '00' }], trailers = [['t', '1']] }\n\
         response = { status = 404, headers = { set-cookie = ['a=1', { hex = 'ff' }], x = '1' }, body = { hex = 'fe' }, trailers = { t = '2' } }\n",
    )
    .try_into()
    .unwrap();
    let [exchange] = scenario.exchanges.try_into().unwrap();
    let pairs = |pairs: &[(&str, &[u8])]| {
        pairs.iter().map(|(name, value)| (Bytes::from(*name), Bytes::from(*value))).collect::<Vec<_>>()
    };
    let request = &exchange.request;
    assert_eq!(request.headers, pairs(&[("B", b"1"), ("a", b"\xff\0"), ("b", b"ababab")]));
    assert_eq!((request.chunks.len(), request.is_chunked), (2, true));
    assert_eq!(request.trailers, pairs(&[("t", b"1")]));
    let response = exchange.response;
    assert_eq!(response.headers, pairs(&[("set-cookie", b"a=1"), ("set-cookie", b"\xff"), ("x", b"1")]));
    assert_eq!((response.status, response.body()), (404, b"\xfe".to_vec()));
    assert_eq!(response.trailers, pairs(&[("t", b"2")]));
}

#[test]
fn clusters_answer_or_refuse() {
    let [scenario] = read(
        "name = 'a'\nrequest = {}\nupstreams = { a = { status = 201, delay_ms = 5 }, b = { refuse = true } }\n",
    )
    .try_into()
    .unwrap();
    let response = Response { status: 201, ..Response::default() };
    assert_eq!(scenario.upstreams["a"], Cluster::Answers { response, delay_ms: 5 });
    assert_eq!(scenario.upstreams["b"], Cluster::Refuses);
}

#[test]
fn expectations_are_exact_or_lists_or_anchored_regexes_or_absence() {
    let [scenario] = read(
        "name = 'a'\nrequest = {}\n\
         expect = { request_headers = { X-A = 'v', x-b = ['1', { matches = '[0-9]' }], x-c = { absent = true }, x-d = { matches = 'a|b' } }, log = [{ level = 'warn', text = 't' }], metrics = { n = [{ arm = 'b', value = 1 }, { value = 0 }] } }\n",
    )
    .try_into()
    .unwrap();
    let expect = &scenario.exchanges[0].expect;
    let holds = |name: &str, values: &[&str]| {
        let (_, expected) = expect.request_headers.iter().find(|(other, _)| other == name).unwrap();
        let values: Vec<_> = values.iter().map(Bytes::from).collect();
        expected.holds(&values.iter().collect::<Vec<_>>())
    };
    assert!(
        holds("x-a", &["v"]) && !holds("x-a", &["w"]) && !holds("x-a", &[]) && !holds("x-a", &["v", "v"])
    );
    assert!(holds("x-b", &["1", "7"]) && !holds("x-b", &["7", "1"]) && !holds("x-b", &["1"]));
    assert!(holds("x-c", &[]) && !holds("x-c", &[""]));
    assert!(holds("x-d", &["b"]) && !holds("x-d", &["ab"]) && !holds("x-d", &["b\n"]));
    assert_eq!((expect.metrics.len(), expect.log.as_ref().map(Vec::len)), (2, Some(1)));
    assert!(matches!(expect.log.as_ref().unwrap()[0].text, Expected::Exactly(_)));
}

#[test]
fn what_cannot_be_used_is_refused_with_file_scenario_and_key() {
    refused("name = ", "TOML parse error");
    refused("request = {}", "name: must say");
    refused("name = 'a'", "\"a\": .: must have exchanges");
    refused("name = 'a'\ntypo = 1\nrequest = {}", "\"a\": typo: unknown field `typo`");
    refused(
        "[[scenario]]\nname = 'a'\nrequest = { boby = 'x' }",
        "\"a\": request.boby: unknown field `boby`",
    );
    refused(
        "name = 'a'\n[[exchange]]\nrequest = {}\n[[exchange]]\nrequest = { path = 1 }",
        "\"a\": exchange[1].request.path: invalid type",
    );
    refused(
        "name = 'a'\n[[exchange]]\nrequest = { headers = { x = { hex = 'f' } } }",
        "\"a\": exchange[0].request.headers.x: must be a string, { hex }",
    );
    refused("name = 'a'\nrequest = { body = { repeat = 'ab', times = -1 } }", "\"a\": request.body: must be");
    refused("name = 'a'\nrequest = { body = 'a', chunks = ['b'] }", "\"a\": request.chunks: must not");
    refused(
        "name = 'a'\nrequest = { headers = [['a']] }",
        "\"a\": request.headers: must be a list of [name, value]",
    );
    refused(
        "name = 'a'\nrequest = {}\nexpect = { request_headers = { x = { matches = '(' } } }",
        "\"a\": expect.request_headers.x: `matches` must be a regex",
    );
    refused(
        "name = 'a'\nrequest = {}\nexpect = { metrics = { n = { arm = 'b' } } }",
        "\"a\": expect.metrics.n: must be a table of labels",
    );
    refused(
        "name = 'a'\nrequest = {}\nexpect = { log = [{ level = 'warning', text = '' }] }",
        "\"a\": expect.log[0].level: must be one of trace",
    );
    refused("name = 'a'\nrequest = {}\nexpect = { config_error = 'x' }", "\"a\": .: must have exchanges, or");
    refused("name = 'a'\nexpect = { status = 200 }", "\"a\": request: must be given");
    refused(
        "name = 'a'\nrequest = {}\nresponse = { status = 99 }",
        "\"a\": response.status: must be 200..=599, got 99",
    );
    refused(
        "name = 'a'\nrequest = {}\nresponse = { delay_ms = 1 }",
        "\"a\": response.delay_ms: is for `upstreams`",
    );
    refused(
        "name = 'a'\nrequest = {}\nupstreams = { b = { refuse = true, delay_ms = 1 } }",
        "\"a\": upstreams.b.refuse: must stand alone",
    );
    refused("name = 'a'\nrequest = {}\nonly = 'harness'", "\"a\": reason: must be given");
    refused("name = 'a'\nrequest = {}\nonly = 'envoy'\nreason = 'x'", "\"a\": only: must be \"harness\"");
    refused("name = 'a'\nrequest = {}\nclock = '2026-11-23'", "\"a\": clock: must be a time such as");
    refused(
        "name = 'a'\nrequest = {}\nroutes = [{ upstream = 'v3' }]",
        "\"a\": routes[0].upstream: must be v1, v2, or a cluster that refuses",
    );
    refused(
        "name = 'a'\nrequest = {}\nupstreams = { b = { cut = 'in_body' } }",
        "\"a\": upstreams.b.cut: is for `response`",
    );
    refused(
        "name = 'a'\nrequest = {}\nresponse = { cut = 'never' }",
        "\"a\": response.cut: unknown variant `never`",
    );
    refused(
        "name = 'a'\nrequest = {}\nroutes = [{ header = 'h', upstream = 'v1' }]",
        "\"a\": routes[0].value: must be given",
    );
    refused("name = 'a'\n[[exchange]]\nrepeat = 0\nrequest = {}", "\"a\": exchange[0].repeat: must be 1..=");
    refused("request = {}\n[[scenario]]\nname = 'a'", "request: cannot be shared by scenarios");
    refused("scenario = []", "scenario: must be [[scenario]] tables");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = super::load_file(Path::new("no/such.toml")).map(|_| ()).unwrap_err().to_string();
    assert!(error.starts_with("no/such.toml: "), "{error}");
}

#[test]
fn the_client_keeps_cookies_without_their_attributes() {
    let mut jar = CookieJar::default();
    let set = |value: &str| (Bytes::from("Set-Cookie"), Bytes::from(value));
    jar.keep(&vec![set("b=1; Path=/"), set("a=x=y"), set("none")]);
    jar.keep(&vec![set("b=2")]);
    let mut request = Request::default();
    jar.add_to(&mut request);
    assert_eq!(request.headers, [(Bytes::from("cookie"), Bytes::from("a=x=y; b=2"))]);
}

#[test]
fn a_lint_is_switched_off_by_its_name_and_with_a_reason() {
    let [scenario] = read("name = 'a'\nrequest = {}\nallow = { content-length = 'the client cuts it' }\n")
        .try_into()
        .unwrap();
    assert_eq!(scenario.allow, [(Lint::ContentLength, "the client cuts it".to_owned())].into());
    refused(&format!("{ONE}allow = {{ content-length = ' ' }}"), "\"a\": allow.content-length: must say why");
    refused(
        &format!("{ONE}allow = {{ pauses = 'x' }}"),
        "\"a\": allow.pauses: there is no such lint; there are call-out",
    );
}

#[test]
fn a_scenario_is_explored_when_it_says_so() {
    let explore = |text: &str| read(&format!("{ONE}{text}")).remove(0).explore;
    assert_eq!(explore(""), None);
    assert_eq!(explore("explore = false"), None);
    assert_eq!(explore("explore = true"), Some(Exploration::default()));
    let small = Exploration { budget: 5, seed: 2, ignores_log: true, ..Exploration::default() };
    assert_eq!(explore("explore = { budget = 5, seed = 2, ignore = ['log'] }"), Some(small));
    refused(&format!("{ONE}explore = {{ budget = 0 }}"), "\"a\": explore.budget: must be a number");
    refused(&format!("{ONE}explore = {{ ignore = ['all'] }}"), "\"a\": explore.ignore: must be \"log\" or");
    refused(&format!("{ONE}explore = {{ bodget = 5 }}"), "\"a\": explore: must be true, or a table");
}

#[test]
fn an_error_says_the_line_of_its_key() {
    for (text, expected) in [
        (
            "name = 'a'\n\nrequest = { metod = 'GET' }\nexpect = { status = 200 }",
            "x.toml:3: \"a\": request.metod: unknown field `metod`",
        ),
        (
            "seed = 1\nname = 'a'\nexpct = { status = 200 }\nrequest = {}",
            "x.toml:3: \"a\": expct: unknown field `expct`",
        ),
        (
            "[[scenario]]\nname = 'a'\nrequest = {}\nexpect = { status = 200 }\n\n[[scenario]]\nname = 'b'\n[[scenario.exchange]]\n\
             request = {}\nexpect = { status = 200 }\n[[scenario.exchange]]\nrequest.path = '/'\n[scenario.exchange.expect]\nlog = [{ level = 'loud', text = 'x' }]",
            "x.toml:14: \"b\": exchange[1].expect.log[0].level: must be one of",
        ),
        (
            "clock = 'now'\n[[scenario]]\nname = 'a'\nrequest = {}\nexpect = { status = 200 }",
            "x.toml:1: \"a\": clock: must be a time",
        ),
    ] {
        let error = parse(Path::new("x.toml"), text).map(|_| ()).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
    let lines: Vec<_> = read(&format!("[[scenario]]\n{ONE}\n[[scenario]]\n{ONE}"))
        .iter()
        .map(|scenario| scenario.line)
        .collect();
    assert_eq!(lines, [1, 6]);
}

#[test]
fn a_scenario_that_checks_nothing_is_refused() {
    let nothing = "\"a\": expect: must expect something";
    refused("name = 'a'\nrequest = {}", nothing);
    refused("name = 'a'\nrequest = {}\nexpect = { request_headers = {}, reset = false }", nothing);
    refused("name = 'a'\nexchange = [{ request = {} }, { request = {} }]", nothing);
    refused(
        "name = 'a'\nexpect = { config_error = 'x', status = 200 }",
        "\"a\": expect.config_error: must stand alone",
    );
    assert_eq!(
        read("name = 'a'\nexchange = [{ request = {} }, { request = {}, expect = { status = 200 } }]")[0]
            .exchanges
            .len(),
        2
    );
    assert_eq!(
        read("name = 'a'\nrequest = {}\nsnapshot = 'a.trace'")[0].snapshot.as_deref(),
        Some(Path::new("a.trace"))
    );
}

#[test]
fn a_connection_has_bytes_and_nothing_of_http() {
    let [scenario] = read("tcp = true\nname = 'a'\n[[exchange]]\nrequest = { chunks = ['a', 'b'] }\nresponse = { body = 'c' }\n")
        .try_into()
        .unwrap();
    assert!(scenario.is_tcp && scenario.exchanges.iter().all(|exchange| exchange.is_tcp));
    for (line, part) in [
        ("request = { path = '/a' }", "request"),
        ("request = { headers = { a = 'b' } }", "request"),
        ("request = {}\nresponse = { status = 404 }", "response"),
        ("request = {}\nexpect = { status = 200 }", "expect"),
        ("request = {}\nexpect = { response_headers = { a = 'b' } }", "expect"),
    ] {
        refused(
            &format!("tcp = true\nname = 'a'\n[[exchange]]\n{line}\n"),
            &format!("\"a\": exchange[0].{part}: is of a TCP connection"),
        );
    }
}

#[test]
fn a_plugin_is_one_of_a_module_and_finds_what_other_filters_left() {
    let [scenario] =
        read(&format!("root_id = 'r'\nvm_config = 'v'\n{ONE}[metadata.'a.b']\nc = 1\n")).try_into().unwrap();
    assert_eq!((scenario.root_id.as_str(), scenario.vm_config.as_deref()), ("r", Some("v")));
    let metadata = &scenario.exchanges.first().unwrap().connection.metadata;
    assert_eq!(metadata.get("a.b"), Some(&serde_json::json!({"c": 1})));
}

#[test]
fn the_scenarios_of_modules_that_are_not_here_can_be_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("modules");
    assert!(super::load(&folder).unwrap_or_else(|error| panic!("{error}")).len() >= 60);
}

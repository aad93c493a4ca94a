//! `outrigger test` and `run` for who has a module and no Rust: what is wrong is said with its place, and never passed over.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test that cannot go on has failed")]

use std::{env, fs, path::PathBuf, process, process::Command};

/// A plugin that adds a header, and forgets to let a stream go on where the path is /stop.
const PLUGIN: &str = r#"(module
    (import "env" "proxy_add_header_map_value" (func $add (param i32 i32 i32 i32 i32) (result i32)))
    (import "env" "proxy_get_header_map_value" (func $get (param i32 i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 2)
    (data (i32.const 100) "x-arm") (data (i32.const 110) "b") (data (i32.const 120) ":path")
    (func (export "proxy_abi_version_0_2_1"))
    (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 65536))
    (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
      (drop (call $add (i32.const 0) (i32.const 100) (i32.const 5) (i32.const 110) (i32.const 1)))
      (drop (call $get (i32.const 0) (i32.const 120) (i32.const 5) (i32.const 8) (i32.const 12)))
      (i32.eq (i32.load (i32.const 12)) (i32.const 5))))"#;

/// A folder with the plugin and a scenario file, and the tool in it.
struct Site(PathBuf);

impl Site {
    fn new(name: &str, scenario: &str) -> Self {
        let folder = env::temp_dir().join(format!("outrigger-harness-{name}-{}", process::id()));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("plugin.wasm"), wat::parse_str(PLUGIN).unwrap()).unwrap();
        fs::write(folder.join("a.toml"), scenario).unwrap();
        Self(folder)
    }

    /// Runs the tool: its exit code and all that it prints.
    fn run(&self, arguments: &[&str]) -> (i32, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_outrigger"))
            .args(arguments)
            .current_dir(&self.0)
            .env("OUTRIGGER_CACHE", self.0.join("cache"))
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap(), String::from_utf8(text).unwrap())
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

const TEST: [&str; 4] = ["test", "--wasm", "plugin.wasm", "a.toml"];

#[track_caller]
fn check(name: &str, scenario: &str, code: i32, expected: &str) {
    let (got, text) = Site::new(name, scenario).run(&TEST);
    assert_eq!(got, code, "{text}");
    assert!(text.contains(expected), "{text}");
}

#[test]
fn a_first_scenario_passes_and_the_compiled_module_is_kept() {
    let scenario =
        "name = 'a header'\nrequest = { path = '/' }\nexpect = { request_headers = { x-arm = 'b' } }\n";
    let site = Site::new("first", scenario);
    for _ in 0..2 {
        assert_eq!(site.run(&TEST), (0, "ok     a.toml:1: a header\n1 passed, 0 failed\n".to_owned()));
    }
    assert_eq!(fs::read_dir(site.0.join("cache")).unwrap().count(), 1);
}

#[test]
fn bad_input_is_an_error_with_its_place_and_never_green() {
    let field = "name = 'a'\nrequest = { metod = 'GET' }\nexpect = { status = 200 }";
    check("field", field, 2, "error: a.toml:2: \"a\": request.metod: unknown field `metod`");
    check("empty", "name = 'a'\nrequest = {}", 2, "error: a.toml:1: \"a\": expect: must expect something");
    let vain = "name = 'a'\nrequest = { path = '/stop' }\nexpect = { request_headers = { y = { absent = true } } }\nallow = { pause-not-resumed = 'meant' }";
    check(
        "vain",
        vain,
        1,
        "exchange 1: request_headers: expected a request at the upstream, got none, so that this checks nothing",
    );
    let nothing = "name = 'a'\nexplore = true\nrequest = {}\nexpect = { status = 200 }";
    check("nothing", nothing, 1, "FAILED a.toml:1: a\n       explore: there is nothing to explore");
    let large = "name = 'a'\nexplore = { budget = 10 }\nrequest = { body = 'hello world' }\nexpect = { status = 200 }";
    check(
        "large",
        large,
        1,
        "the exploration is too large: the splits of the request's body of exchange 1 (11 bytes) take 1023 exchanges, and the budget is 10",
    );
    let lint = "name = 'a'\n\nrequest = { path = '/stop' }\nexpect = { reset = true }";
    check(
        "lint",
        lint,
        1,
        "exchange 1: lint pause-not-resumed: expected nothing to find, got pause-not-resumed: proxy_on_request_headers: the request is held",
    );
    let unknown = "name = 'a'\nrequest = {}\nallow = { pause = 'x' }\nexpect = { status = 200 }";
    check("unknown", unknown, 2, "error: a.toml:3: \"a\": allow.pause: there is no such lint");
}

#[test]
fn a_module_or_a_scenario_that_is_not_there_is_an_error() {
    let site = Site::new("gone", "name = 'a'\nrequest = {}\nexpect = { status = 200 }");
    let (code, text) = site.run(&["test", "--wasm", "no.wasm", "a.toml"]);
    assert!(code == 2 && text.starts_with("error: no.wasm: No such file"), "{text}");
    let (code, text) = site.run(&["test", "--wasm", "plugin.wasm", "cache"]);
    assert!(code == 2 && text.starts_with("error: cache: "), "{text}");
    fs::create_dir(site.0.join("none")).unwrap();
    assert_eq!(
        site.run(&["test", "--wasm", "plugin.wasm", "none"]),
        (2, "error: none: there is no scenario\n".to_owned())
    );
    let (code, text) = site.run(&["test", "--wasm", "plugin.wasm", "--allow", "pause", "a.toml"]);
    assert!(code == 2 && text.contains("there is no such lint; there are call-out-of-phase"), "{text}");
}

#[test]
fn a_snapshot_is_written_when_that_is_asked_for_and_compared_otherwise() {
    let site = Site::new("snapshot", "name = 'a'\nsnapshot = 'a.trace'\nrequest = { path = '/' }");
    let (code, text) = site.run(&TEST);
    assert!(
        code == 1
            && text.contains("a.trace: there is no such snapshot; OUTRIGGER_UPDATE=1 or --update writes it"),
        "{text}"
    );
    assert_eq!(site.run(&["test", "--update", "--wasm", "plugin.wasm", "a.toml"]).0, 0);
    assert_eq!(site.run(&TEST).0, 0);
    let trace = fs::read_to_string(site.0.join("a.trace")).unwrap();
    assert_eq!(
        trace,
        "# the configuration\nproxy_on_vm_start(1, 0)\n  returns\n\n# exchange 1\nproxy_on_request_headers(2, 6, 1)\n  \
         proxy_add_header_map_value(request headers, x-arm, b) ok\n  proxy_get_header_map_value(request headers, :path) -> / ok\n  returns 0\n\n"
            .replace("proxy_on_vm_start(1, 0)\n  returns\n\n", "\n")
    );
    fs::write(site.0.join("a.trace"), trace.replace("x-arm, b", "x-arm, a")).unwrap();
    let (code, text) = site.run(&TEST);
    assert!(
        code == 1 && text.contains("- \u{20} proxy_add_header_map_value(request headers, x-arm, a) ok"),
        "{text}"
    );
}

#[test]
fn run_prints_each_host_call_with_its_answer_and_what_lints_find() {
    let site = Site::new("run", "");
    fs::write(site.0.join("good.json"), r#"{"method":"GET","path":"/"}"#).unwrap();
    fs::write(site.0.join("bad.json"), r#"{"method":"GET","path":"/stop"}"#).unwrap();
    let (code, text) = site.run(&["run", "plugin.wasm", "--request", "good.json", "--explore"]);
    assert!(
        code == 0 && text.contains("  proxy_get_header_map_value(request headers, :path) -> / ok\n"),
        "{text}"
    );
    assert!(text.contains("explored in 1 runs: 0 bodies, 0 callouts"), "{text}");
    let (code, text) = site.run(&["run", "plugin.wasm", "--request", "bad.json"]);
    assert!(
        code == 1 && text.contains("lint pause-not-resumed: proxy_on_request_headers: the request is held"),
        "{text}"
    );
    let allow = ["run", "plugin.wasm", "--request", "bad.json", "--allow", "pause-not-resumed"];
    assert_eq!(site.run(&allow).0, 0);
}

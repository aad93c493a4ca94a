//! `outrigger check`, as a person, a program and a code host use it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test that cannot go on has failed"
)]

mod modules;
mod table;

use serde_json::Value;
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::OnceLock,
    time::{Duration, Instant},
};

/// A folder of this run's own, with the modules in `dist`.
fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("check");
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(folder.join("dist")).unwrap();
        modules::write(&folder.join("dist"));
        fs::write(folder.join("old"), "# what is still good\nregistry.example/shop:1.4.0\n").unwrap();
        folder
    })
}

fn write(name: &str, text: &str) -> String {
    let path = folder().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    path.display().to_string()
}

fn check(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_outrigger"));
    command.current_dir(folder()).args(["check", "--dist", "dist"]).args(arguments).output().unwrap()
}

fn findings(arguments: &[&str]) -> Vec<Value> {
    let output = check(&[&["--json"], arguments].concat());
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    report["findings"].as_array().unwrap().clone()
}

fn ids(findings: &[Value]) -> BTreeSet<&str> {
    findings.iter().map(|finding| finding["id"].as_str().unwrap()).collect()
}

fn rules() -> Vec<Value> {
    let output = check(&["--rules", "--json"]);
    serde_json::from_slice::<Value>(&output.stdout).unwrap()["rules"].as_array().unwrap().clone()
}

#[test]
fn good_manifests_have_no_finding() {
    for (index, text) in table::GOOD.iter().enumerate() {
        let file = write(&format!("good-{index}.yaml"), text);
        assert_eq!(findings(&["--old-images", "old", &file]), Vec::<Value>::new(), "{file}");
    }
}

/// Policies of three selections: of a workload, of its namespace, and of a gateway.
const POLICIES: &str = r#"
kind: AuthorizationPolicy
metadata: { name: shop, namespace: shop }
spec:
  selector: { matchLabels: { app: shop } }
  rules:
    - from: [{ source: { ipBlocks: ["10.0.0.0/8"] } }]
    - when: [{ key: request.mood, values: [good] }]
---
kind: AuthorizationPolicy
metadata: { name: no-admin, namespace: shop }
spec: { action: DENY, rules: [{ to: [{ operation: { paths: ["/admin*"] } }] }] }
---
kind: AuthorizationPolicy
metadata: { name: asked, namespace: shop }
spec: { action: CUSTOM, provider: { name: opa }, rules: [{}] }
---
kind: AuthorizationPolicy
metadata: { name: edge, namespace: edge }
spec:
  targetRefs: [{ group: gateway.networking.k8s.io, kind: Gateway, name: edge }]
  action: DENY
  rules: [{ when: [{ key: source.ip, values: ["192.0.2.0/24"] }] }]
"#;

fn manifest(policies: &str) -> Output {
    let file = write("manifest/policies.yaml", policies);
    let mut command = Command::new(env!("CARGO_BIN_EXE_outrigger"));
    let url = "oci://registry.example/outrigger/policy:0.1.0";
    command.args(["manifest", "policy", "--url", url, "--config", &file]).output().unwrap()
}

#[test]
fn what_is_written_for_policies_has_no_finding() {
    let output = manifest(POLICIES);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("shop/asked: CUSTOM is left to Istio"), "{said}");
    assert!(said.contains("policy-shop: policies[0].spec.rules[1].when[0].key: must be a key"), "{said}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.matches("kind: WasmPlugin").count(), 3, "{text}");
    assert_eq!(text.matches("kind: EnvoyFilter").count(), 2, "{text}");
    assert_eq!(text.matches("mode: SERVER").count(), 2, "{text}");
    let file = write("manifest/out.yaml", &text);
    // A DENY on a path is as Istio reads it, unless it is asked to be strict.
    assert_eq!(findings(&["--strict", "--ignore", "policy-deny-slips", &file]), Vec::<Value>::new());
    // One workload, two plugins that allow: Istio asks for one of them, plugins for both.
    let divided = manifest(&POLICIES.replace("action: DENY, rules", "rules"));
    let said = String::from_utf8(divided.stderr).unwrap();
    assert!(
        divided.status.code() == Some(2)
            && said.contains("shop/shop and shop/no-admin can be for one workload"),
        "{said}"
    );
    let wrong = manifest(&POLICIES.replace("paths: [", "path: ["));
    let said = String::from_utf8(wrong.stderr).unwrap();
    assert!(said.contains("policies[0].spec.rules[0].to[0].operation.path: unknown field"), "{said}");
}

#[test]
fn each_row_of_the_table_breaks_its_rule_at_its_field() {
    let mut failed = Vec::new();
    for (index, (rule, good, from, to, field)) in table::ROWS.iter().enumerate() {
        assert!(good.contains(from), "row {index}, {rule}: the good file has no `{from}`");
        let file = write(&format!("rows/{index}-{rule}.yaml"), &good.replacen(from, to, 1));
        let found = findings(&["--old-images", "old", &file]);
        let is_found = found.iter().any(|finding| {
            finding["id"] == *rule
                && finding["field"].as_str().unwrap_or_default() == *field
                && finding["line"].as_u64() > Some(0)
        });
        if !is_found {
            let got: Vec<_> = found
                .iter()
                .map(|one| format!("{} {} {}", one["id"], one["field"], one["message"]))
                .collect();
            failed.push(format!("row {index}, {rule} at {field}: {got:#?}"));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn a_finding_has_every_key_of_the_contract() {
    let file = write("keys.yaml", &table::GOOD[1].replace("FAIL_CLOSE", "FAIL_OPEN"));
    let keys = ["id", "severity", "file", "line", "field", "message", "fix", "link"];
    for finding in findings(&[&file]) {
        let own: BTreeSet<_> = finding.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(own, BTreeSet::from(keys));
    }
}

#[test]
fn every_rule_has_a_row() {
    let rows: BTreeSet<_> = table::ROWS
        .iter()
        .map(|row| row.0)
        .chain(["unknown-document", "helm-template", "policy-uncompared"])
        .collect();
    let rules = rules();
    let rules: BTreeSet<_> = rules.iter().map(|rule| rule["id"].as_str().unwrap()).collect();
    assert_eq!(rows, rules);
}

#[test]
fn no_message_has_a_secret_or_a_persons_data() {
    for (rule, good, from, to, _) in table::ROWS
        .iter()
        .filter(|row| ["secret-in-config", "secret-literal", "personal-data"].contains(&row.0))
    {
        let file = write(&format!("quiet/{rule}.yaml"), &good.replacen(from, to, 1));
        for form in ["--json", "--sarif", "--strict"] {
            let output = check(&[form, &file]);
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(text.contains(rule), "{rule} {form}: {text}");
            for value in ["hunter2", "jane.doe", "41111111", "16C7e42F"] {
                assert!(!text.contains(value), "{rule} {form}: {text}");
            }
        }
    }
}

#[test]
fn exit_codes_are_those_of_the_design() {
    let bad = write("code/error.yaml", &table::GOOD[1].replace("FAIL_CLOSE", "FAIL_OPEN"));
    let warned = write("code/warning.yaml", &table::GOOD[0].replace("replicas: 3", "replicas: 1"));
    let unknown = write("code/missing.yaml", &table::GOOD[3].replace("policy.wasm", "nosuch.wasm"));
    let plain = write("code/plain.json", "{}");
    for (arguments, code) in [
        (vec![bad.as_str()], 1),
        (vec![warned.as_str()], 0),
        (vec!["--strict", &warned], 1),
        (vec!["--strict", "--ignore", "replicas", &warned], 0),
        (vec!["--ignore", "replica", &warned], 2),
        (vec![&unknown], 2),
        (vec![&plain], 2),
        (vec!["--filter", "policy", &plain], 0),
        (vec!["nosuch.yaml"], 2),
        (vec![], 2),
    ] {
        let output = check(&arguments);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let said = String::from_utf8(check(&[&unknown]).stderr).unwrap();
    assert!(said.contains("nosuch.wasm") && said.contains("cargo xtask build"), "{said}");
}

#[test]
fn what_cannot_be_read_is_named_and_the_rest_goes_on() {
    write("input/a.yaml", "a: 1\nb:\n\tc: 1\n---\nkind: Deployment\nspec:\n  replicas: 1\n  template: {}\n");
    write("input/deep/er/b.yml", "kind: Deployment\r\nspec:\r\n  replicas: 1\r\n  template: {}\r\n");
    write(
        "input/c.json",
        "{\n\t\"kind\": \"Deployment\",\n\t\"spec\": {\n\t\t\"replicas\": 1, \"template\": {}\n\t}\n}\n",
    );
    write(
        "input/list.yaml",
        "kind: List\nitems:\n  - kind: Deployment\n    spec:\n      replicas: 1\n      template: {}\n",
    );
    write(
        "input/anchor.yaml",
        "kind: Deployment\nx: &one\n  replicas: 1\nspec:\n  <<: *one\n  template: {}\n",
    );
    write("input/brackets.yaml", "kind: Deployment\nargs: [\n  a\n]\nspec:\n  replicas: 1\n  template: {}\n");
    write("input/values.yaml", "image: x\n");
    write("input/chart.yaml", "kind: {{ .Values.kind }}\n{{- if x }}\na: 1\n{{- end }}\n");
    write("input/notes.txt", "\tno: yaml");
    fs::write(folder().join("input/bytes.yaml"), [b'a', b'\n', 0xff]).unwrap();
    let found = findings(&["input"]);
    let of = |id: &str| -> Vec<(String, u64)> {
        let of = found.iter().filter(|finding| finding["id"] == id);
        of.map(|one| (one["file"].as_str().unwrap().replace("input/", ""), one["line"].as_u64().unwrap()))
            .collect()
    };
    let own = |list: &[(&str, u64)]| -> Vec<(String, u64)> {
        list.iter().map(|(file, line)| ((*file).to_owned(), *line)).collect()
    };
    assert_eq!(of("syntax"), own(&[("a.yaml", 3), ("bytes.yaml", 2)]));
    assert_eq!(of("helm-template"), own(&[("chart.yaml", 1)]));
    assert_eq!(of("unknown-document"), own(&[("values.yaml", 1)]));
    assert_eq!(
        of("replicas"),
        own(&[
            ("a.yaml", 7),
            ("anchor.yaml", 3),
            ("brackets.yaml", 6),
            ("c.json", 4),
            ("deep/er/b.yml", 3),
            ("list.yaml", 5)
        ])
    );
}

#[test]
fn what_stands_beside_an_object_is_looked_for_in_all_files() {
    let shop = table::GOOD[0]
        .replace("replicas: 3", "replicas: 1")
        .replace("      automountServiceAccountToken: false\n", "");
    write("beside/one/shop.yaml", &shop);
    assert_eq!(ids(&findings(&["beside"])), BTreeSet::from(["replicas", "service-account-token"]));
    write(
        "beside/two/more.yaml",
        "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: { name: shop, namespace: shop }\n\
         spec: { minReplicas: 2, scaleTargetRef: { kind: Deployment, name: shop } }\n---\n\
         apiVersion: v1\nkind: ServiceAccount\nmetadata: { name: default, namespace: shop }\nautomountServiceAccountToken: false\n",
    );
    assert_eq!(findings(&["beside"]), Vec::<Value>::new());
    // Istio's provider `envoy` writes the raw path beside access-log.
    write(
        "beside/three/log.yaml",
        "apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nmetadata: { name: log, namespace: shop }\n\
         spec: { url: \"oci://registry.example/access-log:1\", match: [{ mode: SERVER }] }\n---\n\
         apiVersion: telemetry.istio.io/v1\nkind: Telemetry\nmetadata: { name: log, namespace: shop }\n\
         spec: { accessLogging: [{ providers: [{ name: envoy }] }] }\n",
    );
    assert_eq!(ids(&findings(&["beside"])), BTreeSet::from(["access-log-raw-path"]));
}

#[test]
fn a_plugin_in_a_patch_is_read_by_its_module() {
    for (kind, value) in [
        ("type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm", "CONFIG"),
        (
            "type.googleapis.com/udpa.type.v1.TypedStruct",
            "type_url: type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm, value: { CONFIG }",
        ),
    ] {
        let config = "config: { vm_config: { code: { remote: { http_uri: { uri: \"https://registry.example/refuses.wasm\" } } } }, \
                      configuration: { \"@type\": type.googleapis.com/google.protobuf.StringValue, value: \"{}\" } }";
        let patch = format!(
            "{{ name: x, typed_config: {{ \"@type\": {kind}, {} }} }}",
            value.replace("CONFIG", config)
        );
        let file = write("patch.yaml", &table::GOOD[2].replace("{ name: envoy.filters.http.cors }", &patch));
        let found = findings(&[&file]);
        assert_eq!(ids(&found), BTreeSet::from(["config-refused"]), "{found:?}");
        assert!(
            found[0]["field"].as_str().unwrap().ends_with("configuration.value.experiments[0].arms"),
            "{found:?}"
        );
    }
}

#[test]
fn an_annotation_suppresses_a_rule_on_its_object_and_is_counted() {
    let text = table::GOOD[0]
        .replace("replicas: 3", "replicas: 1")
        .replace("team: checkout", "outrigger.dev/ignore: \"zone-spread, replicas\"");
    let file = write("suppressed.yaml", &text);
    assert_eq!(findings(&[&file]), Vec::<Value>::new());
    let text = String::from_utf8(check(&[&file]).stdout).unwrap();
    assert!(text.ends_with("1 files checked: 0 errors, 0 warnings, 1 suppressed\n"), "{text}");
    assert!(text.contains("replicas") && !text.contains('\u{1b}'), "{text}");
}

#[test]
fn sarif_has_what_its_schema_requires() {
    let file =
        write("sarif/a b.yaml", &table::GOOD[1].replace("FAIL_CLOSE", "FAIL_OPEN").replace("STATS", "STAT"));
    let log: Value = serde_json::from_slice(&check(&["--sarif", &file]).stdout).unwrap();
    assert_eq!(log["version"], "2.1.0");
    let run = &log["runs"][0];
    assert!(run["tool"]["driver"]["name"].is_string());
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    for rule in rules {
        assert!(rule["id"].is_string() && rule["shortDescription"]["text"].is_string(), "{rule}");
        assert!(rule["helpUri"].as_str().unwrap().starts_with("https://"), "{rule}");
    }
    let results = run["results"].as_array().unwrap();
    assert!(results.len() >= 2);
    for result in results {
        let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(rules[index]["id"], result["ruleId"]);
        assert!(["none", "note", "warning", "error"].contains(&result["level"].as_str().unwrap()));
        assert!(result["message"]["text"].is_string());
        let place = &result["locations"][0]["physicalLocation"];
        assert!(place["region"]["startLine"].as_u64() > Some(0));
        assert!(place["artifactLocation"]["uri"].as_str().unwrap().ends_with("/a%20b.yaml"));
    }
}

#[test]
fn a_thousand_manifests_take_less_than_five_seconds() {
    let mut manifests = 0;
    for index in 0..200 {
        let text = if index % 4 == 0 {
            table::GOOD[1].replace("name: checkout", &format!("name: checkout-{index}"))
        } else {
            table::GOOD[0].replace("shop", &format!("shop-{index}")).replace("replicas: 3", "replicas: 1")
        };
        manifests += text.matches("\nkind: ").count();
        write(&format!("many/{index}.yaml"), &text);
    }
    let start = Instant::now();
    let found = findings(&["many"]);
    let took = start.elapsed();
    println!("{manifests} manifests: {took:?}");
    assert!(manifests >= 1_000, "{manifests}");
    assert_eq!(found.len(), 150);
    assert!(took < Duration::from_secs(5), "{took:?}");
}

/// A policy of so many rules.
fn large(count: usize, rule: impl Fn(usize) -> String) -> String {
    let rules: Vec<String> = (0..count).map(|number| format!("    - {}\n", rule(number))).collect();
    format!(
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{ name: large, namespace: shop }}\nspec:\n  rules:\n{}",
        rules.concat()
    )
}

#[test]
fn a_policy_of_ten_thousand_rules_is_looked_at_in_seconds() {
    let rule = |number: usize| {
        let part = number / 100;
        let path =
            if number.is_multiple_of(100) { format!("/a/{part}/*") } else { format!("/a/{part}/{number}") };
        format!("to: [{{ operation: {{ paths: [\"{path}\"], methods: [GET] }} }}]")
    };
    let file = write("large.yaml", &large(10_000, rule));
    let begun = Instant::now();
    let found = findings(&[&file]);
    assert_eq!(found.iter().filter(|finding| finding["id"] == "policy-shadowed").count(), 9_900);
    assert!(begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
    // What has exclusions alone is not compared with all others, and that is told.
    let excluding = |number| format!("to: [{{ operation: {{ notPaths: [\"/a/{number}\"] }} }}]");
    let file = write("excluding.yaml", &large(3_000, excluding));
    let found = findings(&[&file]);
    assert_eq!(ids(&found), BTreeSet::from(["policy-uncompared"]), "{:?}", found.first());
}

#[test]
fn a_plugins_policies_and_its_candidate_are_looked_at() {
    let config = serde_json::json!({
        "policies": [{"metadata": {"name": "a"}, "spec": {"action": "DENY", "rules": [{"to": [{"operation": {"paths": ["admin"]}}]}]}}],
        "candidate": {"policies": [{"metadata": {"name": "b"}, "spec": {"rules": []}}]},
    });
    let file = write("policy/config.json", &config.to_string());
    let found = findings(&["--filter", "policy", &file]);
    let told: Vec<_> =
        found.iter().map(|one| (one["id"].as_str().unwrap(), one["field"].as_str().unwrap())).collect();
    let expected = [
        ("policy-never-matches", "policies[0].spec.rules[0]"),
        ("policy-allows-nothing", "candidate.policies[0].spec"),
    ];
    assert_eq!(told, expected);
    // A part of all-in-one is looked at as the filter by itself.
    let all = serde_json::json!({ "policy": config }).to_string();
    let found = findings(&["--filter", "all-in-one", &write("policy/all.json", &all)]);
    assert_eq!(found[1]["field"], "policy.candidate.policies[0].spec");
    let refused = config.to_string().replace("paths", "path");
    let found = findings(&["--filter", "policy", &write("policy/refused.json", &refused)]);
    assert!(found.iter().all(|finding| !finding["id"].as_str().unwrap().starts_with("policy-")), "{found:?}");
}

#[test]
fn the_docs_list_the_rules_as_they_are() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/check.md");
    let docs = fs::read_to_string(&path).unwrap();
    let begin = "<!-- rules: generated by cli/tests/check -->\n";
    let (before, rest) = docs.split_once(begin).unwrap();
    let (_, after) = rest.split_once("<!-- end of rules -->").unwrap();
    let table = String::from_utf8(check(&["--rules-markdown"]).stdout).unwrap();
    let wanted = format!("{before}{begin}{table}\n<!-- end of rules -->{after}");
    if docs != wanted {
        fs::write(&path, wanted).unwrap();
        panic!("docs/check.md was stale, and has been written anew");
    }
    assert_eq!(ids(&rules()).len(), rules().len());
}

//! `outrigger manifest metrics`: what is generated agrees with the configuration, and with what Prometheus takes.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, as it should"
)]

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::{Command, Output},
};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn manifest(arguments: &[&str]) -> Output {
    let mut outrigger = Command::new(env!("CARGO_BIN_EXE_outrigger"));
    outrigger.current_dir(root()).args(["manifest", "metrics"]).args(arguments).output().unwrap()
}

#[track_caller]
fn text(arguments: &[&str]) -> String {
    let output = manifest(arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn scratch(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// Debian's package `prometheus` has it.
fn promtool(arguments: &[&str], folder: &Path) -> bool {
    let Ok(output) = Command::new("promtool").args(arguments).current_dir(folder).output() else {
        // Not by a macro, whose output the test harness keeps back.
        let _ = writeln!(
            io::stderr(),
            "SKIPPED: promtool {}: install the package prometheus",
            arguments.join(" ")
        );
        return false;
    };
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
    true
}

const EXAMPLE: [&str; 2] = ["--config", "filters/metrics/config.example.json"];
const ARMS: [&str; 4] = ["--arm", "control=0.5", "--arm", "b=0.5"];

/// What docker-compose.yml runs, whose Prometheus and Grafana have the committed files.
const SHIPPED: [&str; 6] = ["--config", "envoy-configs/all.yaml", "--arm", "control=0.8", "--arm", "b=0.2"];

#[test]
fn the_committed_files_are_those_of_the_bootstrap_with_all_filters() {
    for (part, file) in [
        ("envoy", "stats-config.yaml"),
        ("rules", "rules.yaml"),
        ("dashboard", "dashboard.json"),
        ("collector", "collector.yaml"),
    ] {
        let expected = text(&[&SHIPPED[..], &["--part", part]].concat());
        let path = root().join("dashboards").join(file);
        let is_fresh = fs::read_to_string(&path).is_ok_and(|found| found == expected);
        let command = format!("outrigger manifest metrics {} --out dashboards", SHIPPED.join(" "));
        assert!(is_fresh, "dashboards/{file} is stale: {command}");
    }
}

#[test]
fn the_shipped_files_have_the_tags_and_buckets_of_their_plugins() {
    for name in ["envoy-configs/metrics.yaml", "envoy-configs/all.yaml"] {
        let bootstrap = fs::read_to_string(root().join(name)).unwrap();
        let expected = text(&["--config", name, "--part", "envoy"]);
        assert!(bootstrap.contains(&expected), "{name} must have\n{expected}");
    }
    // Annotations have labels of the other filters behind those of metrics.
    for (place, file) in [("sidecar", "kustomization.yaml"), ("gateway", "gateway-values.yaml")] {
        let plugin = format!("istio/{place}/wasm-plugins/metrics.yaml");
        let expected = text(&["--config", &plugin, "--part", "istio"]);
        let found = fs::read_to_string(root().join("istio").join(place).join(file)).unwrap();
        for line in expected.lines().filter(|line| line.contains("istio.io/")) {
            let line = line.trim().trim_end_matches('"');
            assert!(found.contains(line), "istio/{place}/{file} must have\n{line}");
        }
    }
}

#[test]
fn prometheus_takes_the_rules_and_they_fire_when_they_must() {
    let folder = scratch("rules");
    text(&[&EXAMPLE[..], &ARMS, &["--out", folder.to_str().unwrap()]].concat());
    if !promtool(&["check", "rules", "rules.yaml"], &folder) {
        return;
    }
    fs::write(folder.join("tests.yaml"), include_str!("rules.yaml")).unwrap();
    promtool(&["test", "rules", "tests.yaml"], &folder);
    for config in
        [r#"{"names":"istio","unit":"us","metrics":{"labels":"istio"}}"#, r#"{"default_set":{"on":false}}"#]
    {
        fs::write(folder.join("config.json"), config).unwrap();
        text(&["--config", folder.join("config.json").to_str().unwrap(), "--out", folder.to_str().unwrap()]);
        promtool(&["check", "rules", "rules.yaml"], &folder);
    }
}

#[test]
fn istio_gets_labels_and_buckets_in_its_own_encoding_only() {
    let folder = scratch("istio");
    let path = folder.join("config.json");
    fs::write(&path, r#"{"metrics":{"labels":"istio"},"default_set":{"on":false},"define":[{"name":"a_bytes","kind":"histogram","value":{"on":"request_size"},"buckets":[1,10],"labels":[{"label":"route","on":"route"}]}]}"#).unwrap();
    let path = path.to_str().unwrap();
    let annotations = text(&["--config", path, "--part", "istio"]);
    assert!(
        annotations.contains("sidecar.istio.io/extraStatTags: \"metric,route,otel_metric_overflow\""),
        "{annotations}"
    );
    assert!(
        annotations.contains(r#"sidecar.istio.io/statsHistogramBuckets: "{\"wasmcustom\":[1,10]}""#),
        "{annotations}"
    );
    assert!(
        text(&["--config", path, "--part", "mesh"])
            .contains("extraStatTags: [metric, route, otel_metric_overflow]")
    );
    assert!(text(&["--config", path, "--part", "envoy"]).contains(r#"regex: "(route=\\.=(.*?);\\.;)""#));
    let refused = manifest(&[&EXAMPLE[..], &["--part", "istio"]].concat());
    assert_eq!(refused.status.code(), Some(2));
}

#[test]
fn a_configuration_that_is_refused_writes_nothing() {
    let path = scratch("refused").join("config.json");
    fs::write(&path, r#"{"define":[{"name":"9x","kind":"counter"}]}"#).unwrap();
    let output = manifest(&["--config", path.to_str().unwrap()]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("define[0].name: must be 1 to 100 letters"), "{said}");
}

use super::{FILTERS, POLICY, Proxy, STATS, loads};
use crate::document::{self, Node};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect()
}

#[test]
fn filters_are_loaded_as_the_manifests_of_istio_load_them() {
    let mut seen = BTreeSet::new();
    for path in files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../istio")) {
        let is_gateway = path.components().any(|part| part.as_os_str() == "gateway");
        let proxy = if is_gateway { Proxy::Gateway } else { Proxy::Sidecar };
        for plugin in document::parse(&fs::read_to_string(&path).unwrap()).unwrap() {
            let wasm: &[&str] = match plugin.get("kind").and_then(Node::as_str) {
                Some("WasmPlugin") => &["spec"],
                Some("TrafficExtension") => &["spec", "wasm"],
                _ => continue,
            };
            let Some(wasm) = plugin.at(wasm) else { continue };
            let url = wasm.get("url").and_then(Node::as_str).unwrap_or_default();
            let Some(filter) = FILTERS.iter().find(|filter| url.contains(&format!("/{filter}"))) else {
                continue;
            };
            let config = wasm.get("pluginConfig").map_or(Value::Null, Node::to_json);
            let expected: Vec<_> = loads(filter, proxy, config).into_iter().map(|load| load.choice).collect();
            let text = |node: Option<&Node>| node.and_then(Node::as_str).map(str::to_owned);
            let modes = plugin.at(&["spec", "match"]).map(Node::items).unwrap_or_default();
            let modes: Vec<_> = modes.iter().map(|item| text(item.get("mode"))).collect();
            let found = (
                text(plugin.at(&["spec", "phase"])),
                plugin.at(&["spec", "priority"]).and_then(|node| node.to_json().as_i64()),
                text(wasm.get("failStrategy")),
            );
            let is_so = expected.iter().any(|choice| {
                let phase = Some(choice.phase.to_owned());
                (modes.is_empty() || modes == [Some(choice.mode.to_owned())])
                    && found == (phase, choice.priority.map(i64::from), Some(choice.fail_strategy.to_owned()))
            });
            assert!(is_so, "{}: {found:?} {modes:?}, and {expected:?} is written", path.display());
            seen.insert(*filter);
        }
    }
    assert!(
        ["ab-routing", "access-log", "metrics", "policy"].iter().all(|filter| seen.contains(filter)),
        "{seen:?}"
    );
}

#[test]
fn all_in_one_is_two_plugins_at_a_sidecar_and_one_at_a_gateway() {
    let config = json!({"ab_routing": {"experiments": []}, "access_log": {}, "metrics": {}, "policy": {}});
    let both = loads("all-in-one", Proxy::Sidecar, config.clone());
    let [outbound, inbound] = both.as_slice() else { panic!("{} plugins", both.len()) };
    assert_eq!(outbound.config, json!({"ab_routing": {"experiments": []}, "metrics": {}}));
    assert_eq!(inbound.config, json!({"access_log": {}, "metrics": {}, "policy": {}}));
    assert_eq!(outbound.choice, super::Choice { mode: "CLIENT", ..STATS });
    assert_eq!(inbound.choice, POLICY);
    assert_eq!((outbound.suffix, inbound.suffix), ("-outbound", "-inbound"));
    let one = loads("all-in-one", Proxy::Gateway, config.clone());
    let [gateway] = one.as_slice() else { panic!("{} plugins", one.len()) };
    assert_eq!((gateway.suffix, &gateway.config, gateway.choice.mode), ("", &config, "CLIENT"));
    for (config, suffixes) in [
        (json!({"ab_routing": {}}), &["-outbound"][..]),
        (json!({"ab_routing": {}, "metrics": {}}), &["-outbound", "-inbound"]),
        (json!({"ab_routing": null, "metrics": {}}), &["-inbound"]),
        (json!({"policy": null, "access_log": {}}), &["-inbound"]),
        (Value::Null, &["-inbound"]),
    ] {
        let loads = loads("all-in-one", Proxy::Sidecar, config.clone());
        assert_eq!(loads.iter().map(|load| load.suffix).collect::<Vec<_>>(), suffixes, "{config}");
        assert!(loads.iter().all(|load| load.choice.fail_strategy == "FAIL_OPEN"), "{config}");
    }
}

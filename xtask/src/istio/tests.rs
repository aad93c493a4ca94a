use super::{EXTENSIONS, OVERLAYS, PLACES, WAYS, complete, folder, links, parts, plugins, read, twins};
use crate::project;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    env, fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

/// All YAML files of a folder and the folders in it.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "yaml") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// A structural schema drops fields that it does not name; here they are wrong.
fn close(schema: &mut Value) {
    if schema["x-kubernetes-preserve-unknown-fields"] == true {
        return;
    }
    if let Some(items) = schema.get_mut("items") {
        close(items);
    }
    if let Some(values) = schema.get_mut("additionalProperties").filter(|values| values.is_object()) {
        close(values);
    }
    if let Some(fields) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        fields.values_mut().for_each(close);
        if schema.get("additionalProperties").is_none() {
            schema["additionalProperties"] = json!(false);
        }
    }
}

/// The schemas of Istio's kinds, by kind and version.
fn schemas(folder: &Path) -> BTreeMap<(String, String), Value> {
    let mut schemas = BTreeMap::new();
    for file in files(folder) {
        for crd in read(&file).expect("a CRD is YAML") {
            let spec = &crd["spec"];
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            for version in spec["versions"].as_array().into_iter().flatten() {
                let mut schema = version["schema"]["openAPIV3Schema"].clone();
                close(&mut schema);
                for (field, any) in [("apiVersion", json!({})), ("kind", json!({})), ("metadata", json!({}))]
                {
                    schema["properties"][field] = any;
                }
                let version = format!("{}/{}", text(&spec["group"]), text(&version["name"]));
                schemas.insert((text(&spec["names"]["kind"]), version), schema);
            }
        }
    }
    schemas
}

fn crds() -> Option<PathBuf> {
    let beside = project::root().join("../shared/crds");
    let folder = env::var_os("OUTRIGGER_CRDS").map_or(beside, PathBuf::from);
    if folder.is_dir() {
        return Some(folder);
    }
    // Not by a macro, whose output the test harness keeps back.
    let _ = writeln!(
        io::stderr(),
        "NOT CHECKED: no CRDs in ../shared/crds beside the repository or in $OUTRIGGER_CRDS, so no schema of Istio's was held against istio/"
    );
    None
}

#[test]
fn the_manifests_are_what_istios_crds_allow() {
    let Some(crds) = crds() else { return };
    let schemas = schemas(&crds);
    let (mut checked, mut wrong) = (0, Vec::new());
    for file in files(&folder()) {
        for document in read(&file).expect("a manifest is YAML") {
            let text = |field: &str| document[field].as_str().unwrap_or_default().to_owned();
            let Some(schema) = schemas.get(&(text("kind"), text("apiVersion"))) else { continue };
            let validator = jsonschema::draft4::new(schema).expect("a CRD's schema is one");
            wrong.extend(
                validator
                    .iter_errors(&document)
                    .map(|error| format!("{}: {}: {error}", file.display(), error.instance_path())),
            );
            checked += 1;
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(checked >= 28, "only {checked} objects have a schema");
}

#[test]
fn a_schema_refuses_what_it_does_not_name() {
    let Some(crds) = crds() else { return };
    let schemas = schemas(&crds);
    let plugin = |spec: Value| json!({"apiVersion": "extensions.istio.io/v1alpha1", "kind": "WasmPlugin", "metadata": {"name": "x"}, "spec": spec});
    let schema = &schemas[&("WasmPlugin".to_owned(), "extensions.istio.io/v1alpha1".to_owned())];
    let validator = jsonschema::draft4::new(schema).expect("a CRD's schema is one");
    assert!(
        validator
            .is_valid(&plugin(json!({"url": "oci://registry.example/x:1", "pluginConfig": {"any": [1]}})))
    );
    for bad in [
        json!({"url": "oci://registry.example/x:1", "failStrategie": "FAIL_OPEN"}),
        json!({"url": "oci://registry.example/x:1", "failStrategy": "FAIL_OFTEN"}),
        json!({"url": "oci://registry.example/x:1", "priority": "high"}),
        json!({"pluginConfig": {}}),
    ] {
        assert!(!validator.is_valid(&plugin(bad.clone())), "{bad}");
    }
}

/// The objects of an overlay without its patches, which kustomize makes.
fn objects(overlay: &str) -> Vec<Value> {
    let base = files(&folder().join("base"));
    let own = files(&folder().join(overlay))
        .into_iter()
        .filter(|file| !file.to_string_lossy().contains(EXTENSIONS));
    let all = base.into_iter().chain(own.filter(|_| overlay != "base"));
    all.flat_map(|file| read(&file).expect("a manifest is YAML"))
        .filter(|object| object["kind"].is_string())
        .collect()
}

#[test]
fn what_is_named_is_there() {
    for overlay in OVERLAYS {
        links::check(&objects(overlay)).expect(overlay);
    }
}

#[test]
fn what_is_named_and_not_there_is_found() {
    let change = |kind: &str, at: &str, value: Value| {
        let mut objects = objects("sidecar");
        let object = objects.iter_mut().find(|object| object["kind"] == kind).expect(kind);
        *object.pointer_mut(at).expect(at) = value;
        links::check(&objects).expect_err(at)
    };
    for (kind, at, value) in [
        ("VirtualService", "/spec/http/0/route/0/destination/subset", json!("v3")),
        ("VirtualService", "/spec/http/0/route/0/destination/host", json!("other.shop.svc.cluster.local")),
        ("DestinationRule", "/spec/subsets/0/labels/version", json!("v9")),
        ("DestinationRule", "/spec/trafficPolicy/outlierDetection", Value::Null),
        ("Telemetry", "/spec/accessLogging/0/providers/0/name", json!("other")),
        ("WasmPlugin", "/spec/selector/matchLabels/app", json!("other")),
        ("EnvoyFilter", "/spec/workloadSelector/labels/app", json!("other")),
        ("PodDisruptionBudget", "/spec/selector/matchLabels/app", json!("other")),
        ("Deployment", "/spec/template/spec/serviceAccountName", json!("other")),
        ("Service", "/spec/selector/app", json!("other")),
    ] {
        change(kind, at, value);
    }
}

#[test]
fn plugins_that_do_not_say_the_same_are_found() {
    for place in PLACES {
        let [own, extensions, whole, _] = WAYS.map(|way| plugins(place, way).expect("the folder is there"));
        twins(&own, &extensions).expect(place);
        complete(&own, &whole).expect(place);
        parts(&own, &whole).expect(place);
        let changed = |plugins: &[(String, Value)], at: &str| {
            let mut plugins = plugins.to_vec();
            *plugins[0].1.pointer_mut(at).expect(at) = json!("other");
            plugins
        };
        for at in ["/metadata/name", "/spec/phase", "/spec/failStrategy", "/spec/pluginConfig/metrics"] {
            twins(&changed(&own, at), &extensions).expect_err(at);
        }
        complete(&changed(&own, "/spec/url"), &whole).expect_err("a filter without a plugin");
        complete(&own, &changed(&whole, "/spec/url")).expect_err("a plugin of another module");
        parts(&changed(&own, "/spec/pluginConfig/metrics"), &whole).expect_err("a part that differs");
        parts(&own, &[]).expect_err("no part");
        twins(&own, &extensions[1..]).expect_err("a kind that is missing");
    }
}

#[test]
fn kustomizations_name_all_their_files() {
    for place in ["base", "sidecar", "gateway"] {
        let ways = WAYS.map(|way| format!("{place}/{way}"));
        for folder in ways.into_iter().chain([place.to_owned()]) {
            let folder = folder_of(&folder);
            if !folder.is_dir() {
                continue;
            }
            let kustomization = &read(&folder.join("kustomization.yaml")).expect("a kustomization")[0];
            let resources: Vec<&str> = kustomization["resources"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .collect();
            for name in project::yaml(&folder).expect("the folder") {
                let is_named = resources.contains(&format!("{name}.yaml").as_str());
                let is_other = name == "kustomization" || name.ends_with("-values");
                assert!(is_named != is_other, "{}: {name}.yaml", folder.display());
            }
        }
    }
}

fn folder_of(name: &str) -> PathBuf {
    folder().join(name)
}

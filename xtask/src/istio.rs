//! The manifests of istio/: as files and as kustomize renders them, `outrigger check` has nothing against them, and what they name is there.

mod links;
#[cfg(test)]
mod tests;

use crate::{build, command, e2e::Count, progress, project, setup};
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// What is applied, from istio/.
const OVERLAYS: [&str; 3] = ["base", "sidecar", "gateway"];
/// The places of plugins among these.
const PLACES: [&str; 2] = ["sidecar", "gateway"];
/// The two ways to say what a plugin is.
const PLUGINS: &str = "wasm-plugins";
const EXTENSIONS: &str = "traffic-extensions";
/// The folders of a place with plugins, of which its kustomization names one: each way for the filters by themselves, and for all in one module.
const WAYS: [&str; 4] = [PLUGINS, EXTENSIONS, "all-in-one/wasm-plugins", "all-in-one/traffic-extensions"];

/// The folder.
fn folder() -> PathBuf {
    project::root().join("istio")
}

/// Checks all of it.
///
/// # Errors
/// A module does not build, or a file is not there. What is wrong in a manifest is counted.
pub fn check() -> Result<Count> {
    build::modules()?;
    let mut count = Count::default();
    let mut note = |what: &str, outcome: Result<()>| match outcome {
        Ok(()) => count.passed += 1,
        Err(error) => {
            progress::failed(&format!("istio: {what}"), &format!("{error:#}"));
            count.failed += 1;
        }
    };
    note("the files", strict(&folder()));
    for place in PLACES {
        let [own, own_extensions, whole, whole_extensions] = WAYS.map(|way| plugins(place, way));
        let (own, whole) = (own?, whole?);
        note(&format!("{place}: both kinds say the same"), twins(&own, &own_extensions?));
        note(&format!("{place}: both kinds of all-in-one say the same"), twins(&whole, &whole_extensions?));
        note(&format!("{place}: a plugin for every filter"), complete(&own, &whole));
        note(
            &format!("{place}: all-in-one says of each filter what its own plugin does"),
            parts(&own, &whole),
        );
    }
    let kubectl = setup::kubectl()?;
    let rendered = project::scratch("istio")?;
    for way in WAYS {
        let root = with_way(way)?;
        for overlay in OVERLAYS {
            let name = format!("{overlay} with {way}");
            let text = command::run(Command::new(&kubectl).arg("kustomize").arg(root.join(overlay)))?;
            let file = rendered.join(format!("{overlay}-{}.yaml", way.replace('/', "-")));
            fs::write(&file, &text)?;
            let kind = if way.ends_with(PLUGINS) { "TrafficExtension" } else { "WasmPlugin" };
            note(&name, ensure_without(&text, kind).and_then(|()| strict(&file)));
            note(&format!("{name}: what is named is there"), links::check(&documents(&text)?));
        }
    }
    Ok(count)
}

fn ensure_without(text: &str, kind: &str) -> Result<()> {
    ensure!(
        !text.contains(&format!("kind: {kind}\n")),
        "{kind} beside the other way: every filter is there twice"
    );
    Ok(())
}

/// `outrigger check --strict`, with the modules of dist/.
fn strict(path: &Path) -> Result<()> {
    let mut check = Command::new(build::outrigger()?);
    check.current_dir(project::root()).args(["check", "--strict"]).arg(path);
    command::run(&mut check).map(drop)
}

/// The documents of a text.
fn documents(text: &str) -> Result<Vec<Value>> {
    Ok(serde_saphyr::from_multiple(text)?)
}

fn read(path: &Path) -> Result<Vec<Value>> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    documents(&text).with_context(|| format!("cannot read {}", path.display()))
}

/// A copy of the folder whose overlays have plugins in this way, as their comments say to write it.
fn with_way(way: &str) -> Result<PathBuf> {
    let copy = project::scratch("istio")?.join(way.replace('/', "-"));
    if copy.exists() {
        fs::remove_dir_all(&copy)?;
    }
    project::copy_folder(&folder(), &copy, &[])?;
    for place in PLACES {
        let file = copy.join(place).join("kustomization.yaml");
        let text = fs::read_to_string(&file)?;
        let own = format!("- {PLUGINS}\n");
        ensure!(text.contains(&own), "{} has no {PLUGINS}", file.display());
        fs::write(file, text.replace(&own, &format!("- {way}\n")))?;
    }
    Ok(copy)
}

/// A plugin and the name of its file.
type Named = (String, Value);

/// The plugins of a place, of one of its folders.
fn plugins(place: &str, way: &str) -> Result<Vec<Named>> {
    let folder = folder().join(place).join(way);
    let mut found = Vec::new();
    for name in project::yaml(&folder)? {
        if name != "kustomization" {
            let [document] = <[Value; 1]>::try_from(read(&folder.join(format!("{name}.yaml")))?)
                .map_err(|all| anyhow::anyhow!("{name}.yaml has {} documents", all.len()))?;
            found.push((name, document));
        }
    }
    Ok(found)
}

/// A `TrafficExtension` has under `wasm` what concerns the module, and says otherwise what the `WasmPlugin` does.
fn twins(plugins: &[Named], extensions: &[Named]) -> Result<()> {
    ensure!(plugins.len() == extensions.len(), "not as many TrafficExtensions as WasmPlugins");
    for (name, plugin) in plugins {
        let extension = extensions.iter().find(|(other, _)| other == name);
        let (_, extension) = extension.with_context(|| format!("{name} is no TrafficExtension"))?;
        let mut plugin = plugin.clone();
        plugin["kind"] = json!("TrafficExtension");
        let spec = plugin["spec"].as_object_mut().context("a plugin has a spec")?;
        let outer = ["selector", "targetRefs", "phase", "priority", "match"];
        let (kept, wasm) =
            std::mem::take(spec).into_iter().partition(|(key, _)| outer.contains(&key.as_str()));
        *spec = kept;
        spec.insert("wasm".to_owned(), Value::Object(wasm));
        ensure!(plugin == *extension, "{name}.yaml differs");
    }
    Ok(())
}

/// Every filter has a plugin of its own module, and the others are of all-in-one.
fn complete(own: &[Named], whole: &[Named]) -> Result<()> {
    let filters = project::filters()?.into_iter().filter(|filter| filter != "all-in-one").collect();
    for (plugins, filters) in [(own, filters), (whole, vec!["all-in-one".to_owned()])] {
        let is_of = |plugin: &Value, filter: &str| {
            plugin["spec"]["url"].as_str().is_some_and(|url| url.contains(&format!("/{filter}:")))
        };
        for filter in &filters {
            ensure!(
                plugins.iter().any(|(_, plugin)| is_of(plugin, filter)),
                "there is no plugin of {filter}"
            );
        }
        for (name, plugin) in plugins {
            ensure!(
                filters.iter().any(|filter| is_of(plugin, filter)),
                "{name}.yaml is of none of {filters:?}"
            );
        }
    }
    Ok(())
}

/// A part of all-in-one is configured as the filter by itself: with the same values, if not with all of them. And every filter is a part.
fn parts(own: &[Named], whole: &[Named]) -> Result<()> {
    let mut seen = Vec::new();
    for (name, plugin) in whole {
        for (field, part) in
            plugin["spec"]["pluginConfig"].as_object().context("a plugin has a configuration")?
        {
            let filter = field.replace('_', "-");
            let found = own.iter().find(|(name, _)| *name == filter);
            let (_, own) = found.with_context(|| format!("{name}: {filter} has no plugin of its own"))?;
            for (key, value) in part.as_object().context("a part is an object")? {
                let same = own["spec"]["pluginConfig"][key] == *value;
                ensure!(same, "{name}: {field}.{key} is not as in {filter}.yaml");
            }
            seen.push(filter);
        }
    }
    for (name, _) in own {
        ensure!(seen.contains(name), "no plugin of all-in-one has {name}");
    }
    Ok(())
}

//! The manifests of istio/: as files and as kustomize renders them, `outrigger check` has nothing against them, and what they name is there.

mod links;
#[cfg(test)]
mod tests;

use crate::{build, command, e2e::Count, project, setup};
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// What is applied, from istio/.
const OVERLAYS: [&str; 3] = ["base", "sidecar", "gateway"];
/// The two ways to say what a plugin is. An overlay's kustomization has one of them.
const PLUGINS: &str = "wasm-plugins";
const EXTENSIONS: &str = "traffic-extensions";

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
            println!("FAILED istio: {what}: {error:#}");
            count.failed += 1;
        }
    };
    note("the files", strict(&folder()));
    for place in ["sidecar", "gateway"] {
        note(&format!("{place}: both ways say the same"), twins(place));
        note(&format!("{place}: a plugin for every filter"), complete(place));
    }
    let kubectl = setup::kubectl()?;
    let rendered = project::scratch("istio")?;
    for (ways, root) in [(PLUGINS, folder()), (EXTENSIONS, with_extensions()?)] {
        for overlay in OVERLAYS {
            let name = format!("{overlay} with {ways}");
            let text = command::run(Command::new(&kubectl).arg("kustomize").arg(root.join(overlay)))?;
            let file = rendered.join(format!("{overlay}-{ways}.yaml"));
            fs::write(&file, &text)?;
            let kind = if ways == PLUGINS { "TrafficExtension" } else { "WasmPlugin" };
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

/// A copy of the folder whose overlays have traffic extensions, as their comments say to write it.
fn with_extensions() -> Result<PathBuf> {
    let copy = project::scratch("istio")?.join(EXTENSIONS);
    if copy.exists() {
        fs::remove_dir_all(&copy)?;
    }
    copy_folder(&folder(), &copy)?;
    for place in ["sidecar", "gateway"] {
        let file = copy.join(place).join("kustomization.yaml");
        let text = fs::read_to_string(&file)?;
        let changed = text.replace(&format!("- {PLUGINS}\n"), &format!("- {EXTENSIONS}\n"));
        ensure!(text != changed, "{} has no {PLUGINS}", file.display());
        fs::write(file, changed)?;
    }
    Ok(copy)
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &to.join(entry.file_name()))?;
        } else {
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

/// The plugins of a place, by the names of their files.
fn plugins(place: &str, way: &str) -> Result<Vec<(String, Value)>> {
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
fn twins(place: &str) -> Result<()> {
    let (plugins, extensions) = (plugins(place, PLUGINS)?, plugins(place, EXTENSIONS)?);
    for (name, mut plugin) in plugins {
        let extension = extensions.iter().find(|(other, _)| *other == name);
        let (_, extension) = extension.with_context(|| format!("{EXTENSIONS}/{name}.yaml is not there"))?;
        plugin["kind"] = json!("TrafficExtension");
        let spec = plugin["spec"].as_object_mut().context("a plugin has a spec")?;
        let outer = ["selector", "targetRefs", "phase", "priority", "match"];
        let (kept, wasm) =
            std::mem::take(spec).into_iter().partition(|(key, _)| outer.contains(&key.as_str()));
        *spec = kept;
        spec.insert("wasm".to_owned(), Value::Object(wasm));
        ensure!(plugin == *extension, "{name}.yaml of {PLUGINS} and of {EXTENSIONS} differ");
    }
    Ok(())
}

/// Every filter has a plugin, but for the one that holds all.
fn complete(place: &str) -> Result<()> {
    let plugins = plugins(place, PLUGINS)?;
    for filter in project::filters()?.into_iter().filter(|filter| filter != "all-in-one") {
        ensure!(plugins.iter().any(|(name, _)| *name == filter), "{PLUGINS}/{filter}.yaml is not there");
    }
    Ok(())
}

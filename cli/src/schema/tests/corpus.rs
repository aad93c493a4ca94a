//! The project's own configurations: those that filters take are right by their schema, and of those that they refuse a schema refuses what it can.

use super::{FILTERS, load, validator};
use crate::configuration;
use serde_json::Value;
use std::{fs, path::Path};

/// Configurations that filters refuse for what no schema says: between which fields, or of which text it is.
const BEYOND: [(&str, &str); 0] = [];

/// A configuration, and where it stands.
pub struct Found {
    pub from: String,
    pub config: Value,
}

fn folder(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// Every configuration of a filter in the scenarios, the docs, the examples and the manifests.
pub fn all(filter: &str) -> Vec<Found> {
    let mut found = Vec::new();
    let mut add = |from: String, bytes: &[u8]| {
        if let Ok(config @ Value::Object(_)) = serde_json::from_slice(bytes) {
            found.push(Found { from, config });
        }
    };
    for scenario in harness::scenario::load_dir(&folder(&format!("filters/{filter}/scenarios"))).unwrap() {
        add(scenario.name.clone(), scenario.config.as_deref().unwrap_or(b"{}"));
    }
    let example = format!("filters/{filter}/config.example.json");
    add(example.clone(), &fs::read(folder(&example)).unwrap());
    for page in [format!("filters/{filter}/README.md"), "README.md".to_owned()] {
        let text = fs::read_to_string(folder(&page)).unwrap();
        // The project's own page has one of ab-routing.
        for block in text.split("```json\n").skip(1).filter(|_| page != "README.md" || filter == "ab-routing")
        {
            add(page.clone(), block.split("```").next().unwrap().as_bytes());
        }
    }
    for name in ["envoy-configs", "istio"] {
        for entry in fs::read_dir(folder(name)).unwrap().flatten() {
            if let Ok(read) = configuration::read(&entry.path(), filter) {
                add(entry.path().display().to_string(), read.bytes.as_deref().unwrap_or(b"{}"));
            }
        }
    }
    found
}

#[test]
fn every_configuration_of_the_project_is_right_by_its_schema() {
    let mut wrong = Vec::new();
    for (filter, _) in FILTERS {
        let validator = validator(filter);
        let mut count = 0;
        for Found { from, config } in all(filter) {
            if load(filter, &config.to_string()).0.is_err() {
                continue;
            }
            count += 1;
            for error in validator.iter_errors(&config) {
                wrong.push(format!("{filter}: {from}: {}: {error}", error.instance_path()));
            }
        }
        assert!(count > 5, "{filter}: only {count}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_configuration_that_a_filter_refuses_is_wrong_by_its_schema_or_listed() {
    let mut unlisted = Vec::new();
    let mut used = Vec::new();
    let mut count = 0;
    for (filter, _) in FILTERS {
        let validator = validator(filter);
        for Found { from, config } in all(filter) {
            let Err(error) = load(filter, &config.to_string()).0 else { continue };
            count += 1;
            if !validator.is_valid(&config) {
                continue;
            }
            match BEYOND.iter().find(|(rule, _)| error.contains(rule)) {
                Some((rule, _)) => used.push(*rule),
                None => unlisted.push(format!("{filter}: {from}: {error}")),
            }
        }
    }
    assert!(unlisted.is_empty(), "{}", unlisted.join("\n"));
    assert!(count > 60, "only {count}");
}

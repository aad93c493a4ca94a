//! The project's own configurations: those that filters take are right by their schema, and of those that they refuse a schema refuses what it can.

use super::{FILTERS, SINGLE, generate, load, validator};
use crate::{configuration, schema::ALL_IN_ONE};
use filter_kit::settings::Asked;
use serde_json::{Value, json};
use std::{collections::BTreeSet, fs, path::Path};

/// Why filters refuse configurations that are right by their schema: what is between fields, what a text means, how bytes are counted.
const BEYOND: [&str; 47] = [
    "must have weights that add up to",
    "must all have weights that add up to",
    "'s own, got ",
    "must be the name of ",
    "must not go round in a circle",
    "must not overlap ",
    "must be whole numbers with 0 <= start <= end",
    "must have the cookie of the filter's own `sticky`",
    "must be a cookie of its own",
    "must not change a header that names arms",
    "must not be a header that names arms",
    "must be a header of its own",
    "must not be forced already",
    "must be behind the start",
    "must be a time such as",
    "must be a regular expression",
    "must be true with same_site none",
    "must hold the ",
    "must not end like a response code",
    "must be another name than",
    "must be another label than",
    "must not end in another label's name",
    "must be larger than the bucket before it",
    "must be a header that holds a number",
    "must be known when the request arrives",
    "must be at hand when the metric counts",
    "must not be `verdict` where",
    "must be the names of a property's path",
    "must be names of members with dots",
    "must be one of `fields`, and one value",
    "must hold at least a batch",
    "must be at least initial_ms",
    "has no coarser value",
    "must keep at most the first",
    "must not keep a domain",
    "must not be given with this algorithm, or beside ranges",
    "must hold a rule: without one",
    "must have status, content_type or header",
    "must be an address or a block",
    "must be one of `sets.",
    "must not be given beside ranges",
    "must not be empty",
    "must have values or notValues",
    "must be an arm of that experiment",
    "must have a field with a value",
    "must stand in an AUDIT policy",
    "must stand in a DENY or AUDIT policy",
];

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
fn what_a_filter_refuses_is_wrong_by_its_schema_or_refused_for_what_no_schema_says() {
    let mut unlisted = BTreeSet::new();
    for filter in SINGLE {
        let validator = validator(filter);
        let (mut taken, mut refused) = (0, 0);
        let generated = generate::some(filter, 600).into_iter();
        let generated = generated.map(|config| Found { from: "generated".to_owned(), config });
        for Found { from, config } in all(filter).into_iter().chain(generated) {
            let Err(error) = load(filter, &config.to_string()).0 else {
                taken += 1;
                continue;
            };
            refused += 1;
            if validator.is_valid(&config) && !BEYOND.iter().any(|rule| error.contains(rule)) {
                unlisted.insert(format!("{filter}: {from}: {error}"));
            }
        }
        assert!(taken > 30 && refused > 10, "{filter} takes {taken} and refuses {refused}");
    }
    assert!(unlisted.is_empty(), "{}", unlisted.into_iter().collect::<Vec<_>>().join("\n"));
}

#[test]
fn a_part_of_all_in_one_has_the_schema_of_its_filter() {
    let all = validator(ALL_IN_ONE);
    let mut asked = load(ALL_IN_ONE, "{}").1.into_iter();
    let Some((_, Asked::Only(names))) = asked.next() else { panic!("it asks for no object") };
    for part in names {
        let filter = part.replace('_', "-");
        let one = validator(&filter);
        let mut refused = 0;
        for Found { from, config } in self::all(&filter) {
            let is_right = one.is_valid(&config);
            refused += usize::from(!is_right);
            assert_eq!(all.is_valid(&json!({ part.as_str(): config })), is_right, "{filter}: {from}");
        }
        assert!(refused > 0 && all.is_valid(&json!({ part.as_str(): null })), "{filter}");
    }
    assert!(!all.is_valid(&json!({"pii": {}})));
}

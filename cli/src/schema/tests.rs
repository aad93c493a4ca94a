//! A schema never lies: what a filter asks of its configuration, takes and refuses is what its schema says.

mod asked;
mod corpus;
mod generate;
mod walk;

use super::{FILTERS, of};
use ab_routing::AbRouting;
use access_log::AccessLog;
use all_in_one::AllInOne;
use filter_kit::{Environment, load_recorded, settings::Asked};
use metrics::MetricsFilter;
use policy::Policy;
use serde_json::Value;
use std::{fs, path::Path};

/// The filters with a configuration of their own.
const SINGLE: [&str; 4] = ["ab-routing", "access-log", "metrics", "policy"];

/// What a filter asks of a configuration, and what it says of it.
fn load(filter: &str, config: &str) -> (Result<(), String>, Vec<(String, Asked)>) {
    // Whatever variable is asked for holds a secret.
    let secret = |_: &str| Some("0123456789abcdef0123456789abcdef".to_owned());
    let environment = Environment::new(&secret);
    macro_rules! of {
        ($filter:ty) => {{
            let (loaded, asked) = load_recorded::<$filter>(config.as_bytes(), &environment);
            (loaded.map(drop).map_err(|error| error.to_string()), asked)
        }};
    }
    match filter {
        "ab-routing" => of!(AbRouting),
        "access-log" => of!(AccessLog),
        "all-in-one" => of!(AllInOne),
        "metrics" => of!(MetricsFilter),
        _ => {
            let (loaded, asked) = load_recorded::<Policy>(config.as_bytes(), &environment);
            // What is wrong with a candidate stops no filter, and is wrong all the same.
            let loaded = loaded.and_then(|policy| policy.refused().cloned().map_or(Ok(()), Err));
            (loaded.map_err(|error| error.to_string()), asked)
        }
    }
}

fn validator(filter: &str) -> jsonschema::Validator {
    jsonschema::draft202012::new(&of(filter).unwrap()).unwrap()
}

#[test]
fn the_published_schemas_and_pages_of_fields_are_those_of_the_tool() {
    for (filter, _) in FILTERS {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../docs/schema/{filter}.json"));
        let published = fs::read_to_string(path).unwrap_or_default();
        let current = serde_json::to_string_pretty(&of(filter).unwrap()).unwrap() + "\n";
        assert!(published == current, "outrigger schema {filter} > docs/schema/{filter}.json");
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../docs/schema/{filter}.md"));
        let page = super::fields::page(filter, &of(filter).unwrap());
        let published = fs::read_to_string(path).unwrap_or_default();
        assert!(published == page, "outrigger schema {filter} --fields > docs/schema/{filter}.md");
    }
}

#[test]
fn every_schema_is_one_and_says_what_each_field_is() {
    for (filter, _) in FILTERS {
        let schema = of(filter).unwrap();
        jsonschema::draft202012::meta::validate(&schema).unwrap_or_else(|error| panic!("{filter}: {error}"));
        assert!(schema["title"] == filter && schema["description"].is_string());
        for (path, property) in walk::properties(&schema) {
            let at = walk::resolve(&schema, property);
            let is_told = property.get("description").or_else(|| at.get("description")).is_some();
            assert!(is_told || *at == Value::Bool(false), "{filter}: {path} has no description");
        }
    }
}

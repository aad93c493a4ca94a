//! What a filter asks of its configuration, field by field, against what its schema says of each.

use super::{SINGLE, corpus, generate, load, walk};
use crate::schema::of;
use filter_kit::settings::Asked;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Fields that filters know so that they can refuse them with a reason: a schema does not offer them.
const REFUSED: [&str; 3] = ["secret", "key", "provider"];

/// Words that filters know so that they can refuse them with a reason.
const REFUSED_WORDS: [&str; 2] = ["CUSTOM", "hash"];

/// Numbers whose bounds depend on the algorithm: a schema says them where it says which algorithm it is.
const BY_ALGORITHM: [&str; 3] = ["weight", "coverage", "share"];

/// Parts of a manifest that are in it for others, and objects that may have any fields.
const UNREAD: [&str; 8] =
    ["apiVersion", "selector", "targetRef", "targetRefs", "status", "query", "metadata", "annotations"];

/// Fields that one reader of policies asks for wherever it reads, and that mean nothing here.
const NOT_HERE: [&str; 2] = [
    "policies[].spec.rules[].to[].operation.serviceAccounts",
    "policies[].spec.rules[].to[].operation.notServiceAccounts",
];

/// What is wrong with what a schema says of a field that is asked for.
fn wrong(schemas: &[&Value], parts: &[&Value], path: &str, asked: &Asked) -> Option<String> {
    if schemas.is_empty() {
        return Some("is not in the schema".to_owned());
    }
    // What a module has no engine for is asked for, to be refused.
    if parts.contains(&&Value::Bool(false)) {
        return None;
    }
    let has_type = |wanted: &[&str]| {
        parts.iter().any(|part| match part.get("type") {
            Some(Value::Array(types)) => types.iter().any(|kind| wanted.contains(&kind.as_str().unwrap())),
            Some(kind) => wanted.contains(&kind.as_str().unwrap()),
            None => part.get("enum").is_some() && wanted.contains(&"string"),
        })
    };
    let has = |key: &str, value: &Value| parts.iter().any(|part| part.get(key) == Some(value));
    let name = path.rsplit('.').next().unwrap_or_default();
    let is_right = match asked {
        Asked::Text => has_type(&["string"]) || parts.iter().any(|part| part.get("const").is_some()),
        Asked::Flag(default) => {
            has_type(&["boolean"]) && {
                let defaults: Vec<&Value> = parts.iter().filter_map(|part| part.get("default")).collect();
                defaults.is_empty() && ["present", "is"].contains(&name)
                    || defaults.contains(&&json!(default))
            }
        }
        Asked::Number => has_type(&["number", "integer"]),
        Asked::Whole(..) if BY_ALGORITHM.contains(&name) => has_type(&["number", "integer"]),
        Asked::Whole(least, most) => has("minimum", &json!(least)) && has("maximum", &json!(most)),
        Asked::List => has_type(&["array"]),
        Asked::ListUpTo(limit) => has("maxItems", &json!(limit)),
        Asked::Fields => has_type(&["object"]),
        Asked::Choice(words) => {
            let known: BTreeSet<&str> =
                words.iter().map(String::as_str).filter(|word| !REFUSED_WORDS.contains(word)).collect();
            parts
                .iter()
                .filter_map(|part| part.get("enum")?.as_array())
                .any(|words| words.iter().filter_map(Value::as_str).collect::<BTreeSet<_>>() == known)
        }
        Asked::Only(names) => {
            let asked: BTreeSet<&str> = names.iter().map(String::as_str).collect();
            let said: BTreeSet<&str> = parts
                .iter()
                .filter(|part| part.get("type").is_some())
                .filter_map(|part| part.get("properties")?.as_object())
                .flat_map(|properties| properties.keys().map(String::as_str))
                .collect();
            // An operator may have the fields of what it does, and no others.
            let is_operator = path.starts_with("pii.operators.");
            asked.difference(&said).all(|name| REFUSED.contains(name))
                && (is_operator || said.difference(&asked).next().is_none())
        }
    };
    (!is_right).then(|| format!("is asked as {asked:?}, and the schema says {schemas:?}"))
}

#[test]
fn what_a_filter_asks_is_what_its_schema_says_and_it_asks_all_that_its_schema_says() {
    let mut problems = BTreeSet::new();
    for filter in SINGLE {
        let schema = of(filter).unwrap();
        let mut seen: BTreeSet<*const Value> = BTreeSet::new();
        let mut configs: Vec<Value> = corpus::all(filter).into_iter().map(|found| found.config).collect();
        configs.extend(generate::some(filter, 1500));
        let right = super::validator(filter);
        for config in configs {
            let is_right = right.is_valid(&config);
            let all = load(filter, &config.to_string()).1;
            // One reader may read several kinds of objects: what the object itself may not have is not looked at.
            let only: BTreeMap<&str, &[String]> = all
                .iter()
                .filter_map(|(path, asked)| match asked {
                    Asked::Only(names) => Some((path.as_str(), names.as_slice())),
                    _ => None,
                })
                .collect();
            for (path, asked) in &all {
                let (object, name) = path.rsplit_once('.').unwrap_or(("", path));
                if NOT_HERE.contains(&shape_of(path).trim_start_matches("candidate.")) {
                    continue;
                }
                if only.get(object).is_some_and(|names| !path.is_empty() && !is_among(names, name)) {
                    continue;
                }
                let schemas = walk::at(&schema, path);
                let parts: Vec<&Value> = schemas.iter().flat_map(|one| walk::parts(&schema, one)).collect();
                seen.extend(parts.iter().map(|part| std::ptr::from_ref(*part)));
                // Of what is wrong anything may be asked.
                if is_right && let Some(problem) = wrong(&schemas, &parts, path, asked) {
                    let shape = shape_of(path);
                    let problem: String = problem.chars().take(300).collect();
                    problems.insert(format!("{filter}: {shape} {problem}"));
                }
            }
        }
        for (path, property) in walk::properties(&schema) {
            let name = path.rsplit('.').next().unwrap_or_default();
            if walk::resolve(&schema, property).is_object()
                && !seen.contains(&std::ptr::from_ref(property))
                && !UNREAD.contains(&name)
            {
                problems.insert(format!("{filter}: {path} is in the schema, and nobody asks for it"));
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.into_iter().collect::<Vec<_>>().join("\n"));
}

/// A path without the places of items.
fn shape_of(path: &str) -> String {
    path.chars().filter(|c| !c.is_ascii_digit()).collect()
}

/// Whether a field's name, with or without the place of an item, is among these.
fn is_among(names: &[String], field: &str) -> bool {
    let name = field.split('[').next().unwrap_or_default();
    names.iter().any(|other| other == name)
}

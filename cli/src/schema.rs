//! `outrigger schema`: the JSON Schema of a filter's configuration, for editors.
//!
//! What a filter reads of its configuration is code; what can be said of it in a schema stands in `schema/*.yaml`, by hand, and
//! `cli/tests/schema` holds the one against the other: by the questions that the filters ask, by configurations that they take and refuse.

mod fields;
#[cfg(test)]
mod tests;

use crate::document::{self, Node};
use pii::{Entity, Group};
use serde_json::{Map, Value, json};
use std::{collections::BTreeSet, process::ExitCode};

/// The filters that have a schema, and what is said of each.
const FILTERS: [(&str, &str); 5] = [
    ("ab-routing", include_str!("schema/ab-routing.yaml")),
    ("access-log", include_str!("schema/access-log.yaml")),
    (ALL_IN_ONE, include_str!("schema/all-in-one.yaml")),
    ("metrics", include_str!("schema/metrics.yaml")),
    ("policy", include_str!("schema/policy.yaml")),
];

/// The filter whose parts have the configurations of the others: each is a definition of its own.
const ALL_IN_ONE: &str = "all-in-one";

/// What they have in common.
const SHARED: &str = include_str!("schema/shared.yaml");

const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// Prints the JSON Schema (draft 2020-12) of a filter's configuration, for editors.
///
/// docs/schema/ has them as files. An editor with a YAML language server completes and checks a configuration that begins with
/// `# yaml-language-server: $schema=policy.schema.json`.
///
///   outrigger schema policy > policy.schema.json
///   outrigger schema metrics --plugin > metrics.plugin.schema.json
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// The filter.
    #[arg(value_parser = FILTERS.map(|(name, _)| name))]
    filter: String,
    /// The schema of a WasmPlugin with this configuration in its pluginConfig instead.
    #[arg(long)]
    plugin: bool,
    /// A page of its fields instead, in Markdown: docs/schema/F.md.
    #[arg(long, conflicts_with = "plugin")]
    fields: bool,
}

/// Runs the command.
///
/// # Errors
/// None: the schemas are in the tool.
pub fn run(args: &Args) -> Result<ExitCode, String> {
    let schema = of(&args.filter)?;
    if args.fields {
        print!("{}", fields::page(&args.filter, &schema));
        return Ok(ExitCode::SUCCESS);
    }
    let schema = if args.plugin { in_plugin(schema) } else { schema };
    let text = serde_json::to_string_pretty(&schema).map_err(|error| error.to_string())?;
    println!("{text}");
    Ok(ExitCode::SUCCESS)
}

/// The schema of a filter's configuration, complete in itself.
fn of(filter: &str) -> Result<Value, String> {
    let (_, own) = FILTERS.iter().find(|(name, _)| *name == filter).ok_or("there is no such filter")?;
    let mut schema = read(own)?;
    if filter == ALL_IN_ONE {
        put(&mut schema, "$defs", Value::Object(parts()?));
        return Ok(finished(schema));
    }
    let own = take(&mut schema, "$defs");
    let shared = shared()?;
    let find = |name: &str| own.get(name).or_else(|| shared.get(name)).cloned();
    // The definitions that are reached from the root, and no others.
    let mut wanted = BTreeSet::new();
    references(&schema, &mut wanted);
    let mut definitions = Map::new();
    while let Some(name) = wanted.pop_first() {
        if definitions.contains_key(&name) {
            continue;
        }
        let definition = find(&name).ok_or_else(|| format!("{filter}: there is no definition of {name}"))?;
        references(&definition, &mut wanted);
        definitions.insert(name, definition);
    }
    put(&mut schema, "$defs", Value::Object(definitions));
    Ok(finished(schema))
}

fn finished(mut schema: Value) -> Value {
    put(&mut schema, "$schema", json!(DIALECT));
    close(&mut schema);
    schema
}

/// What the filters have in common, with the names of what the pii engine finds.
fn shared() -> Result<Value, String> {
    let mut shared = read(SHARED)?;
    let entities = Entity::ALL.iter().map(|entity| entity.id());
    let groups = Group::ALL.iter().map(|group| group.id());
    let both: Vec<&str> = entities.clone().chain(groups).collect();
    for (name, ids) in [("entity", entities.collect()), ("entity_or_group", both)] {
        if let Some(definition) = shared.get_mut(name) {
            put(definition, "enum", json!(ids));
        }
    }
    Ok(shared)
}

fn put(schema: &mut Value, name: &str, value: Value) {
    if let Value::Object(fields) = schema {
        fields.insert(name.to_owned(), value);
    }
}

fn take(schema: &mut Value, name: &str) -> Value {
    schema.as_object_mut().and_then(|fields| fields.remove(name)).unwrap_or_default()
}

/// The definitions of all other filters, and of what they refer to: under their name and the filter's.
fn parts() -> Result<Map<String, Value>, String> {
    let mut all = Map::new();
    for (filter, _) in FILTERS.iter().filter(|(name, _)| *name != ALL_IN_ONE) {
        let mut schema = of(filter)?;
        rename(&mut schema, filter);
        take(&mut schema, "$schema");
        if let Value::Object(definitions) = take(&mut schema, "$defs") {
            all.extend(definitions.into_iter().map(|(name, one)| (format!("{filter}.{name}"), one)));
        }
        all.insert((*filter).to_owned(), schema);
    }
    Ok(all)
}

/// Lets references of a filter's definitions go to those under the filter's name.
fn rename(schema: &mut Value, filter: &str) {
    match schema {
        Value::Object(fields) => {
            if let Some(Value::String(to)) = fields.get_mut("$ref") {
                *to = to.replace("#/$defs/", &format!("#/$defs/{filter}."));
            }
            fields.values_mut().for_each(|value| rename(value, filter));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| rename(item, filter)),
        _ => {}
    }
}

/// The schema of a WasmPlugin with a configuration of this schema.
fn in_plugin(mut schema: Value) -> Value {
    let definitions = take(&mut schema, "$defs");
    take(&mut schema, "$schema");
    json!({
        "$schema": DIALECT,
        "title": "WasmPlugin",
        "type": "object",
        "properties": {
            "kind": {"const": "WasmPlugin"},
            "spec": {"type": "object", "properties": {"pluginConfig": schema}},
        },
        "$defs": definitions,
    })
}

fn read(text: &str) -> Result<Value, String> {
    let documents = document::parse(text).map_err(|error| error.to_string())?;
    documents.first().map(Node::to_json).ok_or_else(|| "holds nothing".to_owned())
}

/// The names of the definitions that are referred to.
fn references(schema: &Value, found: &mut BTreeSet<String>) {
    match schema {
        Value::Object(fields) => {
            let name = fields.get("$ref").and_then(Value::as_str).and_then(|to| to.strip_prefix("#/$defs/"));
            found.extend(name.map(str::to_owned));
            fields.values().for_each(|value| references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

/// An object that lists its properties has no others, unless it says so.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if fields.get("type").is_some_and(|kind| kind == "object")
                && fields.contains_key("properties")
                && !fields.contains_key("additionalProperties")
            {
                fields.insert("additionalProperties".to_owned(), json!(false));
            }
            fields.values_mut().for_each(close);
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}

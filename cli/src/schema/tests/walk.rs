//! Ways through a schema, and through a value beside its schema.

use serde_json::Value;

/// What a reference stands for, or the schema itself.
pub fn resolve<'s>(root: &'s Value, schema: &'s Value) -> &'s Value {
    match schema.get("$ref").and_then(Value::as_str) {
        Some(to) => resolve(root, root.pointer(to.trim_start_matches('#')).unwrap_or_else(|| panic!("{to}"))),
        None => schema,
    }
}

/// Every property that a schema describes, with its place.
pub fn properties(root: &Value) -> Vec<(String, &Value)> {
    fn walk<'s>(schema: &'s Value, path: &str, found: &mut Vec<(String, &'s Value)>) {
        let Value::Object(fields) = schema else { return };
        // What a condition says of a property is no description of it.
        let is_object = fields.get("type").is_some_and(|kind| kind == "object");
        if let Some(Value::Object(properties)) = fields.get("properties").filter(|_| is_object) {
            found.extend(properties.iter().map(|(name, property)| (format!("{path}.{name}"), property)));
        }
        for (name, inner) in fields {
            match inner {
                Value::Object(_)
                    if !["if", "then", "else", "not"].contains(&name.as_str())
                        || is_object && path.ends_with("properties") =>
                {
                    walk(inner, &format!("{path}/{name}"), found);
                }
                Value::Array(items) if ["anyOf", "oneOf", "prefixItems"].contains(&name.as_str()) => {
                    for item in items {
                        walk(item, &format!("{path}/{name}"), found);
                    }
                }
                _ => {}
            }
        }
    }
    let mut found = Vec::new();
    walk(root, "", &mut found);
    found
}

/// The parts of a schema that describe the same value: what it refers to, and its alternatives.
pub fn parts<'s>(root: &'s Value, schema: &'s Value) -> Vec<&'s Value> {
    let mut parts = vec![schema];
    let mut found = Vec::new();
    while let Some(part) = parts.pop() {
        found.push(part);
        if part.get("$ref").is_some() {
            parts.push(resolve(root, part));
        }
        for name in ["anyOf", "oneOf", "allOf"] {
            parts.extend(part.get(name).and_then(Value::as_array).into_iter().flatten());
        }
    }
    found
}

/// The schemas of the value at a step: a member's name, or the place of an item.
pub fn step<'s>(root: &'s Value, schemas: &[&'s Value], step: &str) -> Vec<&'s Value> {
    let mut found = Vec::new();
    for part in schemas.iter().flat_map(|schema| parts(root, schema)) {
        if let Some(place) = step.strip_prefix('[') {
            let place: usize = place.trim_end_matches(']').parse().unwrap();
            let items =
                part.get("prefixItems").and_then(|items| items.get(place)).or_else(|| part.get("items"));
            found.extend(items);
        } else if let Some(property) = part.get("properties").and_then(|properties| properties.get(step)) {
            found.push(property);
        } else if let Some(others) = part.get("additionalProperties").filter(|others| others.is_object()) {
            found.push(others);
        }
    }
    found.retain(|schema| schema.is_object());
    found
}

/// The schemas of the value at a path such as `experiments[0].arms[1].weight`. A name in a map may have dots itself.
pub fn at<'s>(root: &'s Value, path: &str) -> Vec<&'s Value> {
    let steps: Vec<&str> = path.split('.').collect();
    if path.is_empty() { vec![root] } else { below(root, &[root], &steps) }
}

fn below<'s>(root: &'s Value, schemas: &[&'s Value], steps: &[&str]) -> Vec<&'s Value> {
    if steps.is_empty() {
        return schemas.to_vec();
    }
    for count in 1..=steps.len() {
        let (name, rest) = steps.split_at(count);
        let name = name.join(".");
        let (name, indexes) = name.find('[').map_or((name.as_str(), ""), |at| name.split_at(at));
        let mut here = if name.is_empty() { schemas.to_vec() } else { step(root, schemas, name) };
        for index in indexes.split_inclusive(']') {
            here = step(root, &here, index);
        }
        let found = if here.is_empty() { Vec::new() } else { below(root, &here, rest) };
        if !found.is_empty() {
            return found;
        }
    }
    Vec::new()
}

/// A value of a configuration, with the pointer to it and its schemas.
pub type Place<'s> = (String, Vec<&'s Value>);

/// Every value within a configuration.
pub fn places<'s>(root: &'s Value, config: &Value) -> Vec<Place<'s>> {
    fn walk<'s>(
        root: &'s Value,
        here: &Value,
        pointer: String,
        schemas: Vec<&'s Value>,
        found: &mut Vec<Place<'s>>,
    ) {
        match here {
            Value::Object(members) => {
                for (name, member) in members {
                    let escaped = name.replace('~', "~0").replace('/', "~1");
                    walk(root, member, format!("{pointer}/{escaped}"), step(root, &schemas, name), found);
                }
            }
            Value::Array(items) => {
                for (place, item) in items.iter().enumerate() {
                    walk(
                        root,
                        item,
                        format!("{pointer}/{place}"),
                        step(root, &schemas, &format!("[{place}]")),
                        found,
                    );
                }
            }
            _ => {}
        }
        found.push((pointer, schemas));
    }
    let mut found = Vec::new();
    walk(root, config, String::new(), vec![root], &mut found);
    found
}

//! A schema as a page: its fields, what they take, what they are where they are not given, and what they are for.

use serde_json::{Map, Value};
use std::{borrow::Cow, fmt::Write as _};

/// The longest pattern that is shown.
const PATTERN: usize = 40;
/// How many words of a choice are shown.
const WORDS: usize = 12;

/// A row: the field, what it takes, its default, what it is.
type Row = [String; 4];

/// The page of a schema that is complete in itself.
pub fn page(filter: &str, schema: &Value) -> String {
    let is_of_parts = filter == super::ALL_IN_ONE;
    let page = Page { definitions: &schema["$defs"], is_of_parts };
    let mut text = format!(
        "# Fields of {filter}\n\nWritten by `outrigger schema {filter} --fields`. What is no field here is refused, with its path. `a[].b` is the field b of each item of a,\n`a.*` one of any \
         name.\n"
    );
    page.section(&mut text, "The configuration", schema);
    for (name, definition) in schema["$defs"].as_object().into_iter().flatten() {
        if !is_of_parts && !is_simple(definition) {
            page.section(&mut text, name, definition);
        }
    }
    text
}

struct Page<'s> {
    definitions: &'s Value,
    /// Whether the definitions are other filters, each with a page of its own.
    is_of_parts: bool,
}

impl Page<'_> {
    fn section(&self, text: &mut String, name: &str, schema: &Value) {
        let _ = write!(text, "\n## {name}\n");
        if let Some(description) = schema["description"].as_str() {
            let _ = write!(text, "\n{description}\n");
        }
        let mut rows = Vec::new();
        self.fields(schema, "", &mut rows);
        text.push_str("\n| field | takes | default | is |\n|---|---|---|---|\n");
        for [field, takes, default, is] in rows {
            let _ = writeln!(text, "| `{field}` | {takes} | {default} | {is} |");
        }
    }

    /// The rows of an object's fields, those of objects and lists in it behind them.
    fn fields(&self, schema: &Value, path: &str, rows: &mut Vec<Row>) {
        let join = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let required: Vec<&str> = required.collect();
        for (name, field) in members(schema) {
            self.row(field, &join(name), required.contains(&name.as_str()), rows);
        }
        if let Some(field) = schema.get("additionalProperties").filter(|field| field.is_object()) {
            self.row(field, &join("*"), false, rows);
        }
        // What a condition says of a field that is known is not told again.
        for part in ["allOf", "anyOf", "oneOf"].iter().filter_map(|part| schema[*part].as_array()).flatten() {
            for (name, field) in members(part).filter(|(_, field)| field["description"].is_string()) {
                let path = join(name);
                if !rows.iter().any(|[other, ..]| *other == path) {
                    self.row(field, &path, false, rows);
                }
            }
        }
    }

    fn row(&self, field: &Value, path: &str, is_required: bool, rows: &mut Vec<Row>) {
        let field = &*self.resolved(field);
        let default = match (field.get("default"), is_required) {
            (Some(default), _) => format!("`{default}`"),
            (None, true) => "must be given".to_owned(),
            (None, false) => String::new(),
        };
        // The first sentence of its definition, where it says nothing of its own.
        let definition =
            field["$ref"].as_str().and_then(|to| self.definitions.get(name(to))?.get("description"));
        let first =
            definition.and_then(Value::as_str).map(|text| text.split_inclusive(". ").next().unwrap_or(text));
        let is = field["description"]
            .as_str()
            .or(first)
            .unwrap_or_default()
            .replace('|', "\\|")
            .replace('\n', " ");
        rows.push([path.to_owned(), self.takes(field), default, is.trim().to_owned()]);
        self.fields(field, path, rows);
        if let Some(items) = field.get("items") {
            self.fields(items, &format!("{path}[]"), rows);
        }
    }

    /// A field with all that its definition says, where that is one value.
    fn resolved<'f>(&self, field: &'f Value) -> Cow<'f, Value> {
        let Some(definition) = field["$ref"].as_str().map(|to| &self.definitions[name(to)]) else {
            return Cow::Borrowed(field);
        };
        if !is_simple(definition) {
            return Cow::Borrowed(field);
        }
        let mut all: Map<String, Value> = self.resolved(definition).as_object().cloned().unwrap_or_default();
        let own = field.as_object().into_iter().flatten().filter(|(name, _)| *name != "$ref");
        all.extend(own.map(|(name, value)| (name.clone(), value.clone())));
        Cow::Owned(Value::Object(all))
    }

    /// What a value may be, in words.
    fn takes(&self, field: &Value) -> String {
        let field = &*self.resolved(field);
        if let Some(words) = field["enum"].as_array() {
            return choice(words);
        }
        if let Some(to) = field["$ref"].as_str() {
            return if self.is_of_parts {
                format!("[{0}]({0}.md)", name(to))
            } else {
                format!("[{0}](#{0})", name(to))
            };
        }
        let mut words = match &field["type"] {
            Value::String(kind) => match field.get("items") {
                Some(items) => format!("a list of: {}", self.takes(items)),
                None => kind_in_words(kind).to_owned(),
            },
            Value::Array(kinds) => {
                let kinds: Vec<&str> = kinds.iter().filter_map(Value::as_str).map(kind_in_words).collect();
                kinds.join(" or ")
            }
            _ => {
                let parts = ["anyOf", "oneOf"].iter().filter_map(|part| field[*part].as_array()).flatten();
                let mut words: Vec<String> =
                    parts.map(|one| self.takes(one)).filter(|word| !word.is_empty()).collect();
                words.dedup();
                words.join(", or ")
            }
        };
        let bound = |names: [&str; 2]| names.iter().find_map(|name| field.get(*name));
        match (bound(["minimum", "minItems"]), bound(["maximum", "maxItems"])) {
            (Some(least), Some(most)) => _ = write!(words, ", {least} to {most}"),
            (Some(least), None) => _ = write!(words, ", {least} or more"),
            (None, Some(most)) => _ = write!(words, ", {most} at most"),
            (None, None) => {}
        }
        if let Some(pattern) = field["pattern"].as_str().filter(|pattern| pattern.len() <= PATTERN) {
            let _ = write!(words, " (`{}`)", pattern.replace('|', "\\|"));
        }
        words
    }
}

/// Whether a definition is one value, or a list of such: it is told of in the field that has it.
fn is_simple(definition: &Value) -> bool {
    let parts = ["allOf", "anyOf", "oneOf"].iter().filter_map(|part| definition[*part].as_array()).flatten();
    let mut all = parts.chain([definition, &definition["items"]]);
    !all.any(|one| one["properties"].is_object() || one["additionalProperties"].is_object())
}

fn members(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    schema["properties"].as_object().into_iter().flatten()
}

/// A type of JSON Schema.
fn kind_in_words(kind: &str) -> &str {
    match kind {
        "integer" => "a whole number",
        "number" => "a number",
        "boolean" => "true or false",
        "string" => "a text",
        "array" => "a list",
        "object" => "an object",
        other => other,
    }
}

/// What a reference names.
fn name(to: &str) -> &str {
    to.trim_start_matches("#/$defs/")
}

fn choice(words: &[Value]) -> String {
    let text = |word: &Value| word.as_str().map_or_else(|| word.to_string(), str::to_owned);
    let shown: Vec<String> = words.iter().take(WORDS).map(|word| format!("`{}`", text(word))).collect();
    match words.len().checked_sub(WORDS) {
        Some(more) if more > 0 => format!("{}, and {more} more", shown.join(", ")),
        _ => shown.join(", "),
    }
}

//! JSON written as YAML in blocks, in the order of its fields.

use serde_json::Value;

/// The text of a document.
pub fn write(value: &Value) -> String {
    let mut text = String::new();
    block(value, 0, &mut text);
    text
}

fn block(value: &Value, depth: usize, text: &mut String) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (name, value) in fields {
                indent(depth, text);
                text.push_str(&scalar(&Value::from(name.as_str())));
                text.push(':');
                nested(value, depth, text);
            }
        }
        Value::Array(items) if is_long(items) => {
            for item in items {
                let mut inner = String::new();
                block(item, depth + 1, &mut inner);
                indent(depth, text);
                text.push_str("- ");
                text.push_str(inner.trim_start());
            }
        }
        other => {
            indent(depth, text);
            text.push_str(&scalar(other));
            text.push('\n');
        }
    }
}

fn nested(value: &Value, depth: usize, text: &mut String) {
    let is_block = match value {
        Value::Object(fields) => !fields.is_empty(),
        Value::Array(items) => is_long(items),
        _ => false,
    };
    if is_block {
        text.push('\n');
        block(value, depth + 1, text);
    } else {
        text.push(' ');
        text.push_str(&scalar(value));
        text.push('\n');
    }
}

/// Whether a list needs more than a line.
fn is_long(items: &[Value]) -> bool {
    let length = |item: &Value| item.as_str().map_or(6, str::len);
    items.iter().any(is_nested) || items.iter().map(length).sum::<usize>() > 100
}

fn is_nested(value: &Value) -> bool {
    matches!(value, Value::Object(fields) if !fields.is_empty()) || value.is_array()
}

fn indent(depth: usize, text: &mut String) {
    text.extend(std::iter::repeat_n("  ", depth));
}

/// A value on one line. JSON's quotes are YAML's too.
fn scalar(value: &Value) -> String {
    match value {
        Value::String(word) if is_plain(word) => word.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(scalar).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}

fn is_plain(word: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || "_./-".contains(c);
    word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && word.chars().all(is_word)
        && !["true", "false", "null", "yes", "no", "on", "off", "y", "n"]
            .contains(&word.to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::write;
    use serde_json::json;

    #[test]
    fn what_is_written_is_read_again() {
        let value = json!({"a": {"b": [1, 2.5, "x: y"], "c": [], "on": "off"}, "d": [{"e": "1", "f": {"g": null}}, {"h": ["i", {"j": "a\"\\\n"}]}], "k": {}});
        let text = write(&value);
        let document = crate::document::parse(&text).unwrap();
        assert_eq!(document.first().map(crate::document::Node::to_json), Some(value), "{text}");
    }
}

//! From the bytes of a plugin configuration to a filter.

use crate::{ConfigError, Filter};
use std::fmt::Write as _;

/// Reads a plugin configuration and compiles the filter.
///
/// Istio sends no bytes for an empty configuration; they mean `{}`.
///
/// # Errors
/// The first thing wrong with the configuration, with the field's path.
pub fn load<F: Filter>(configuration: &[u8]) -> Result<F, ConfigError> {
    let bytes = if configuration.trim_ascii().is_empty() { b"{}" } else { configuration };
    match serde_json::from_slice(bytes) {
        Ok(config) => F::compile(config),
        Err(error) => Err(ConfigError::new(path_at(bytes, error.line(), error.column()), error.to_string())),
    }
}

/// A container that is open where the reading stopped.
enum Open {
    /// An object, and the key that was read last.
    Object(Option<String>),
    /// An array, and the index of the element that is being read.
    Array(usize),
}

/// The path of the field that stands at a position of a JSON document, as serde_json counts lines and columns: from 1, the column of the
/// last byte read.
///
/// serde_path_to_error finds the same path while it reads, at the cost of a second copy of every derived reader: 28 KB of this module.
fn path_at(document: &[u8], line: usize, column: usize) -> String {
    let mut stack: Vec<Open> = Vec::new();
    let mut expects_key = false;
    let before = document
        .split_inclusive(|&byte| byte == b'\n')
        .take(line.saturating_sub(1))
        .map(<[u8]>::len)
        .sum::<usize>();
    let mut rest = document.get(..before.saturating_add(column)).unwrap_or(document);
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'{' => stack.push(Open::Object(None)),
            b'[' => stack.push(Open::Array(0)),
            b'}' | b']' => _ = stack.pop(),
            b',' => {
                if let Some(Open::Array(index)) = stack.last_mut() {
                    *index += 1;
                }
            }
            b'"' => {
                let length = string_length(rest);
                let (text, after) = rest.split_at_checked(length).unwrap_or((rest, &[]));
                rest = after.get(1..).unwrap_or_default();
                if let (true, Some(Open::Object(key))) = (expects_key, stack.last_mut()) {
                    *key = Some(String::from_utf8_lossy(text).into_owned());
                }
            }
            _ => {}
        }
        match byte {
            b'{' => expects_key = true,
            b',' => expects_key = matches!(stack.last(), Some(Open::Object(_))),
            b' ' | b'\t' | b'\r' | b'\n' => {}
            _ => expects_key = false,
        }
    }
    let mut path = String::new();
    for open in &stack {
        match open {
            Open::Object(Some(key)) => {
                path.push_str(if path.is_empty() { "" } else { "." });
                path.push_str(key);
            }
            Open::Object(None) => {}
            Open::Array(index) => _ = write!(path, "[{index}]"),
        }
    }
    path
}

/// The bytes of a JSON string up to its closing quote.
fn string_length(text: &[u8]) -> usize {
    let mut is_escaped = false;
    let end = text.iter().position(|&byte| {
        let ends = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        ends
    });
    end.unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::{load, path_at};
    use crate::{Callbacks, ConfigError, Filter, metrics::Metrics};
    use proptest::prelude::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize, Default)]
    #[serde(default, deny_unknown_fields)]
    struct Config {
        items: Vec<Item>,
        more: Option<Box<Config>>,
    }

    #[derive(Debug, Deserialize, Default)]
    #[serde(default, deny_unknown_fields)]
    struct Item {
        size: u32,
        on: Option<On>,
        names: Vec<String>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum On {
        Path,
    }

    #[derive(Debug)]
    struct Sizes(Vec<u32>, Metrics);

    impl Filter for Sizes {
        const NAME: &'static str = "sizes";
        const CALLBACKS: Callbacks = Callbacks::NONE;
        type Config = Config;
        type Stream = ();
        fn compile(config: Config) -> Result<Self, ConfigError> {
            Ok(Self(config.items.iter().map(|item| item.size).collect(), Metrics::default()))
        }
        fn metrics(&self) -> &Metrics {
            &self.1
        }
    }

    #[track_caller]
    fn check(config: &str, expected: &str) {
        let got = match load::<Sizes>(config.as_bytes()) {
            Ok(sizes) => format!("{:?}", sizes.0),
            Err(error) => error.to_string(),
        };
        assert!(got.starts_with(expected), "{config}: got {got:?}, expected {expected:?}");
    }

    #[test]
    fn a_refused_configuration_names_the_field() {
        check("", "[]");
        check(" \n", "[]");
        check(r#"{"items":[{"size":3}]}"#, "[3]");
        check(
            r#"{"items":[{"size":3},{"size":"x"}]}"#,
            "items[1].size: invalid type: string \"x\", expected u32",
        );
        check(
            "{\n \"items\" : [\n {\"size\" : 3},\n {\"size\" : \"x\" } ] }",
            "items[1].size: invalid type: string \"x\", expected u32",
        );
        check(
            r#"{"items":[{"size":3},{"size":-1}]}"#,
            "items[1].size: invalid value: integer `-1`, expected u32",
        );
        check(
            r#"{"items":[{"size":1.5}]}"#,
            "items[0].size: invalid type: floating point `1.5`, expected u32",
        );
        check(
            r#"{"items":[{"names":["a","\"]}",3]}]}"#,
            "items[0].names[2]: invalid type: integer `3`, expected a string",
        );
        check(r#"{"items":[{"seize":3}]}"#, "items[0].seize: unknown field `seize`, expected one of `size`");
        check(r#"{"items":[{"on":"pith"}]}"#, "items[0].on: unknown variant `pith`, expected `path`");
        check(r#"{"items":[{"size":1},{"size":1,"size":2}]}"#, "items[1].size: duplicate field `size`");
        check(r#"{"more":{"more":{"items":{}}}}"#, "more.more.items: invalid type: map, expected a sequence");
        check(r#"{"itms":[]}"#, "itms: unknown field `itms`, expected `items` or `more`");
        check(r#"{"items":3}"#, "items: invalid type: integer `3`, expected a sequence");
        check("[", "[0]: EOF while parsing");
        check("{} x", "trailing characters");
        check("\u{0}", "expected value");
    }

    /// Documents in which anything may stand anywhere, the right names more often than not.
    fn document() -> impl Strategy<Value = serde_json::Value> {
        use serde_json::{Value, json};
        let leaf = prop_oneof![
            Just(json!(3)),
            Just(json!("path")),
            Just(json!("a\"]},{")),
            Just(json!(null)),
            Just(json!(true)),
            Just(json!(-1.5)),
        ];
        leaf.prop_recursive(5, 40, 4, |inner| {
            let key = prop::sample::select(vec!["items", "more", "size", "on", "names", "other"]);
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
                prop::collection::vec((key, inner), 0..4).prop_map(|pairs| Value::Object(
                    pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
                )),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

        #[test]
        fn the_path_is_the_one_that_serde_path_to_error_tracks(document in document(), pretty: bool) {
            let text = if pretty { serde_json::to_string_pretty(&document) } else { serde_json::to_string(&document) }.unwrap();
            let Err(error) = serde_json::from_str::<Config>(&text) else { return Ok(()) };
            let tracked = serde_path_to_error::deserialize::<_, Config>(&mut serde_json::Deserializer::from_str(&text)).unwrap_err();
            let path = path_at(text.as_bytes(), error.line(), error.column());
            let expected = tracked.path().to_string();
            let expected = if expected == "." { String::new() } else { expected };
            // serde_json takes an array for a struct, field by field, and complains at what is left over; there the element is named too.
            let is_inside = path.strip_prefix(&expected).is_some_and(|rest| rest.starts_with('['));
            prop_assert!(path == expected || is_inside, "{} in {}: {:?}, tracked {:?}", error, text, path, expected);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = load::<Sizes>(&bytes);
        }
    }
}

//! YAML and JSON with the lines that things stand on. (JSON is read as the YAML that it is.)

use saphyr::{LoadableYamlNode as _, MarkedYaml, Scalar, YamlData};
use serde_json::Value;
use std::fmt;

/// A value and the line that it begins on, from 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// The line of the value, or of its key where it has one.
    pub line: usize,
    /// What stands there.
    pub data: Data,
}

/// What stands at a place.
#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    /// A null, truth value, number or string.
    Scalar(Value),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping, in the order of the text.
    Map(Vec<(String, Node)>),
}

/// A text that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntaxError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong there.
    pub message: String,
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}

/// Reads all documents of a text.
///
/// # Errors
/// The text is no YAML, or has something that JSON cannot say: a key that is no scalar, an alias, a tag of its own.
pub fn parse(text: &str) -> Result<Vec<Node>, SyntaxError> {
    let documents = MarkedYaml::load_from_str(text)
        .map_err(|error| SyntaxError { line: error.marker().line(), message: error.info().to_owned() })?;
    documents.iter().map(|document| node(document, document.span.start.line())).collect()
}

fn node(yaml: &MarkedYaml<'_>, line: usize) -> Result<Node, SyntaxError> {
    let own_line = yaml.span.start.line();
    let data = match &yaml.data {
        YamlData::Value(value) => Data::Scalar(scalar(value)),
        YamlData::Sequence(items) => {
            Data::List(items.iter().map(|item| node(item, item.span.start.line())).collect::<Result<_, _>>()?)
        }
        YamlData::Mapping(fields) => {
            let field = |(key, value): (&MarkedYaml<'_>, &MarkedYaml<'_>)| {
                let line = key.span.start.line();
                let name = match &key.data {
                    YamlData::Value(Scalar::String(name)) => name.to_string(),
                    YamlData::Value(other) => scalar(other).to_string(),
                    _ => return Err(SyntaxError { line, message: "a key must be a scalar".to_owned() }),
                };
                Ok((name, node(value, line)?))
            };
            merged(fields.iter().map(field).collect::<Result<_, _>>()?)
        }
        _ => {
            return Err(SyntaxError {
                line: own_line,
                message: "a value must be one that JSON can say".to_owned(),
            });
        }
    };
    Ok(Node { line, data })
}

/// A mapping with what its key `<<` merges into it: the fields of a mapping or of several, where it has none of their names itself.
fn merged(fields: Vec<(String, Node)>) -> Data {
    let (merges, mut own): (Vec<_>, Vec<_>) = fields.into_iter().partition(|(name, _)| name == "<<");
    for (_, merge) in merges {
        let sources = match merge.data {
            Data::List(items) => items,
            _ => vec![merge],
        };
        for (name, node) in sources.iter().flat_map(Node::fields) {
            if !own.iter().any(|(own, _)| own == name) {
                own.push((name.clone(), node.clone()));
            }
        }
    }
    Data::Map(own)
}

fn scalar(scalar: &Scalar<'_>) -> Value {
    match scalar {
        Scalar::Null => Value::Null,
        Scalar::Boolean(value) => Value::Bool(*value),
        Scalar::Integer(value) => Value::from(*value),
        Scalar::FloatingPoint(value) => Value::from(value.into_inner()),
        Scalar::String(value) => Value::from(&**value),
    }
}

impl Node {
    /// The value of a field, if this is a mapping that has it.
    pub fn get(&self, key: &str) -> Option<&Self> {
        match &self.data {
            Data::Map(fields) => fields.iter().find(|(name, _)| name == key).map(|(_, node)| node),
            _ => None,
        }
    }

    /// The value at a path of fields.
    pub fn at(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |node, key| node.get(key))
    }

    /// The string that stands here.
    pub fn as_str(&self) -> Option<&str> {
        match &self.data {
            Data::Scalar(Value::String(text)) => Some(text),
            _ => None,
        }
    }

    /// The items of a sequence; none where this is no sequence.
    pub fn items(&self) -> &[Self] {
        match &self.data {
            Data::List(items) => items,
            _ => &[],
        }
    }

    /// The fields of a mapping; none where this is no mapping.
    pub fn fields(&self) -> &[(String, Self)] {
        match &self.data {
            Data::Map(fields) => fields,
            _ => &[],
        }
    }

    /// The same as JSON.
    pub fn to_json(&self) -> Value {
        match &self.data {
            Data::Scalar(value) => value.clone(),
            Data::List(items) => items.iter().map(Self::to_json).collect(),
            Data::Map(fields) => {
                Value::Object(fields.iter().map(|(name, node)| (name.clone(), node.to_json())).collect())
            }
        }
    }

    /// The line of the field at a path such as `experiments[0].arms[1].weight`, or of the nearest part of the path that is there.
    pub fn line_of(&self, path: &str) -> usize {
        let mut here = self;
        let mut line = self.line;
        for step in
            path.split(['.', '[']).map(|step| step.trim_end_matches(']')).filter(|step| !step.is_empty())
        {
            let next = match (&here.data, step.parse::<usize>()) {
                (Data::List(items), Ok(index)) => items.get(index),
                _ => here.get(step),
            };
            let Some(next) = next else { break };
            here = next;
            line = next.line;
        }
        line
    }

    /// Every mapping in the document that `wanted` picks, with its path.
    pub fn find<'n>(
        &'n self,
        path: &str,
        wanted: &dyn Fn(&Self) -> bool,
        found: &mut Vec<(String, &'n Self)>,
    ) {
        if wanted(self) {
            found.push((path.to_owned(), self));
        }
        match &self.data {
            Data::Scalar(_) => {}
            Data::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    item.find(&format!("{path}[{index}]"), wanted, found);
                }
            }
            Data::Map(fields) => {
                for (name, node) in fields {
                    let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                    node.find(&path, wanted, found);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::parse;
    use serde_json::json;

    #[test]
    fn json_and_yaml_are_read_with_their_lines() {
        let [yaml] = parse("a:\n  - b: 1\n    c: [x, 2.5]\n  - d: null\n").unwrap().try_into().unwrap();
        assert_eq!(yaml.to_json(), json!({"a": [{"b": 1, "c": ["x", 2.5]}, {"d": null}]}));
        assert_eq!(
            [yaml.line_of("a[0].c"), yaml.line_of("a[1].d"), yaml.line_of("a[1].missing"), yaml.line_of("")],
            [3, 4, 4, 1]
        );
        let [document] = parse("{\n  \"a\": {\n    \"b\": \"\\u00e9\\n\",\n    \"c\": -1\n  }\n}")
            .unwrap()
            .try_into()
            .unwrap();
        assert_eq!(document.to_json(), json!({"a": {"b": "é\n", "c": -1}}));
        assert_eq!([document.line_of("a.b"), document.line_of("a.c")], [3, 4]);
    }

    #[test]
    fn anchors_are_followed_and_merged() {
        let text = "base: &base\n  a: 1\n  b: 2\nmore:\n  <<: *base\n  b: 3\nsame: *base\n";
        let [document] = parse(text).unwrap().try_into().unwrap();
        let expected = json!({"base": {"a": 1, "b": 2}, "more": {"b": 3, "a": 1}, "same": {"a": 1, "b": 2}});
        assert_eq!(document.to_json(), expected);
    }

    #[test]
    fn several_documents_and_broken_ones() {
        assert_eq!(parse("a: 1\n---\nb: 2\n").unwrap().len(), 2);
        assert_eq!(parse("").unwrap().len(), 0);
        assert_eq!(parse("a: [1\nb: 2").unwrap_err().line, 2);
        assert_eq!(parse("? [a]\n: 1").unwrap_err().message, "a key must be a scalar");
    }
}

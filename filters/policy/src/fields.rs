//! Fields of a body, JSON by JSON Pointer (RFC 6901) or a form's by name, and what they must be.

use crate::truth::Truth;
use filter_kit::{
    choices, query_parameter,
    settings::{Field, Node},
};
use std::{borrow::Cow, cell::RefCell};

/// The most fields of a rule.
const FIELDS: usize = 32;

/// A type of JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    String,
    Number,
    Boolean,
    Null,
    Array,
    Object,
}

choices!(Kind {
    "string" => String,
    "number" => Number,
    "boolean" => Boolean,
    "null" => Null,
    "array" => Array,
    "object" => Object,
});

#[derive(Debug)]
enum Test {
    Present(bool),
    Kind(Kind),
    Exact(Box<str>),
    Prefix(Box<str>),
    Suffix(Box<str>),
    Equals(f64),
    Over(f64),
    Under(f64),
    Is(bool),
    /// An array of more elements.
    Longer(usize),
}

/// A field and what it must be.
#[derive(Debug)]
struct Condition {
    pointer: Vec<Box<str>>,
    test: Test,
    is_negated: bool,
}

/// What the fields of a body must be. All must hold.
#[derive(Debug)]
pub struct BodyFields(Vec<Condition>);

/// A body, read.
pub enum Body<'b> {
    /// There is none.
    Empty,
    /// JSON.
    Json(Node<'b>),
    /// A form.
    Form(&'b [u8]),
    /// It cannot be read: too long, encoded, malformed, of another type.
    Unread,
}

impl<'b> Body<'b> {
    /// Reads a body by its media type.
    pub fn read(bytes: &'b [u8], is_json: bool, is_form: bool) -> Self {
        if bytes.is_empty() {
            return Self::Empty;
        }
        if is_json {
            return Node::parse(bytes).map_or(Self::Unread, Self::Json);
        }
        if is_form { Self::Form(bytes) } else { Self::Unread }
    }
}

const TESTS: [&str; 10] =
    ["present", "type", "exact", "prefix", "suffix", "equals", "over", "under", "is", "longer_than"];

impl BodyFields {
    /// Reads the list of fields.
    pub fn read(field: &Field<'_, '_>) -> Self {
        if field.is_empty() {
            field.refuse("must hold a field");
        }
        Self(field.items_up_to(FIELDS).filter_map(|item| Condition::read(&item)).collect())
    }

    /// What they say of a body.
    pub fn hold(&self, body: &Body<'_>) -> Truth {
        Truth::all(self.0.iter().map(|condition| condition.holds(body)))
    }
}

impl Condition {
    fn read(item: &Field<'_, '_>) -> Option<Self> {
        item.only(&[&["pointer", "not"][..], &TESTS].concat());
        let pointer_field = item.get("pointer");
        let path = pointer_field.text().unwrap_or_default();
        if !path.is_empty() && !path.starts_with('/') || !pointer_field.is_given() {
            pointer_field.refuse_text("must be a JSON Pointer as /a/0/b", path);
        }
        let unescaped = |token: &str| token.replace("~1", "/").replace("~0", "~").into();
        let pointer = path.split('/').skip(1).map(unescaped).collect();
        let given = TESTS.iter().filter(|name| item.get(name).is_given());
        if given.clone().count() != 1 {
            item.refuse_got("must have exactly one test", &given.count().to_string());
            return None;
        }
        let word = |name: &str| item.get(name).text().map(Box::from);
        let number = |name: &str| item.get(name).number().map(|number| number.value);
        let test = None
            .or_else(|| word("exact").map(Test::Exact))
            .or_else(|| word("prefix").map(Test::Prefix))
            .or_else(|| word("suffix").map(Test::Suffix))
            .or_else(|| number("equals").map(Test::Equals))
            .or_else(|| number("over").map(Test::Over))
            .or_else(|| number("under").map(Test::Under))
            .or_else(|| Kind::read(&item.get("type")).map(Test::Kind))
            .or_else(|| item.get("is").is_given().then(|| Test::Is(item.get("is").flag(true))))
            .or_else(|| {
                let length = item.get("longer_than").whole(0, i64::from(i32::MAX))?;
                usize::try_from(length).ok().map(Test::Longer)
            })
            .or_else(|| {
                item.get("present").is_given().then(|| Test::Present(item.get("present").flag(true)))
            })?;
        Some(Self { pointer, test, is_negated: item.get("not").flag(false) })
    }

    /// A field that is not there is none that holds; one of another type than the test compares is neither.
    fn holds(&self, body: &Body<'_>) -> Truth {
        let truth = match body {
            Body::Unread => Truth::Error,
            Body::Empty => self.of(None),
            Body::Json(root) => self.of(self.find(root)),
            Body::Form(form) => {
                let [name] = self.pointer.as_slice() else { return Truth::Error };
                let mut values = form.split(|byte| *byte == b'&').filter_map(|part| value_of(part, name));
                match (values.next(), values.next()) {
                    (None, _) => self.of(None),
                    (Some(value), None) => {
                        std::str::from_utf8(&value).map_or(Truth::Error, |text| self.of_form(text))
                    }
                    // Servers do not agree on which of several counts.
                    _ => Truth::Error,
                }
            }
        };
        if self.is_negated { !truth } else { truth }
    }

    fn find<'n, 't>(&self, root: &'n Node<'t>) -> Option<&'n Node<'t>> {
        let mut here = root;
        for token in &self.pointer {
            here = match here {
                Node::List(items) => {
                    let is_index = token.bytes().all(|byte| byte.is_ascii_digit())
                        && (token.len() == 1 || !token.starts_with('0'));
                    items.get(is_index.then(|| token.parse::<usize>().ok()).flatten()?)?
                }
                node => node.get(token)?,
            };
        }
        Some(here)
    }

    /// What stands in a form is text; where a number or a boolean is asked for it is read as one.
    fn of_form(&self, text: &str) -> Truth {
        match &self.test {
            Test::Equals(_) | Test::Over(_) | Test::Under(_) | Test::Is(_) => {
                match Node::parse(text.as_bytes()) {
                    Ok(node) => self.of(Some(&node)),
                    Err(_) => Truth::Error,
                }
            }
            _ => self.of(Some(&Node::String(text.into()))),
        }
    }

    fn of(&self, node: Option<&Node<'_>>) -> Truth {
        let Some(node) = node else { return (matches!(self.test, Test::Present(false))).into() };
        let text = |holds: &dyn Fn(&str) -> bool| match node {
            Node::String(text) => holds(text).into(),
            _ => Truth::Error,
        };
        let number = |holds: &dyn Fn(f64) -> bool| match node {
            Node::Number(_) => double(node).map_or(Truth::Error, |number| holds(number).into()),
            _ => Truth::Error,
        };
        match &self.test {
            Test::Present(is_present) => (*is_present).into(),
            Test::Kind(kind) => (*kind == kind_of(node)).into(),
            Test::Exact(exact) => text(&|text| *text == **exact),
            Test::Prefix(prefix) => text(&|text| text.starts_with(&**prefix)),
            Test::Suffix(suffix) => text(&|text| text.ends_with(&**suffix)),
            Test::Equals(other) => number(&|number| (number - other).abs() <= 0.0),
            Test::Over(other) => number(&|number| number > *other),
            Test::Under(other) => number(&|number| number < *other),
            Test::Is(value) => match node {
                Node::Bool(other) => (value == other).into(),
                _ => Truth::Error,
            },
            Test::Longer(length) => match node {
                Node::List(items) => (items.len() > *length).into(),
                _ => Truth::Error,
            },
        }
    }
}

/// The value of a part of a form, where it is of this name. `#` is a character like others there.
fn value_of(part: &[u8], name: &str) -> Option<Vec<u8>> {
    let mut query = vec![b'?'];
    for byte in part {
        match byte {
            b'#' => query.extend_from_slice(b"%23"),
            byte => query.push(*byte),
        }
    }
    query_parameter(&query, name).map(Cow::into_owned)
}

/// A number of a document, of at most so many digits as a configuration may have.
fn double(node: &Node<'_>) -> Option<f64> {
    let refused = RefCell::default();
    Field::root(node, &refused).number().map(|number| number.value)
}

fn kind_of(node: &Node<'_>) -> Kind {
    match node {
        Node::Null => Kind::Null,
        Node::Bool(_) => Kind::Boolean,
        Node::Number(_) => Kind::Number,
        Node::String(_) => Kind::String,
        Node::List(_) => Kind::Array,
        Node::Map(_) => Kind::Object,
    }
}

#[cfg(test)]
mod tests {
    use super::{Body, BodyFields};
    use crate::truth::Truth::{self, Error, False, True};
    use filter_kit::settings::{Field, Node};
    use std::cell::RefCell;

    #[track_caller]
    fn check(field: &str, body: &str, is_json: bool, expected: Truth) {
        let config = format!("[{field}]");
        let node = Node::parse(config.as_bytes()).unwrap();
        let refused = RefCell::default();
        let root = Field::root(&node, &refused);
        let fields = root.finish(BodyFields::read(&root)).unwrap();
        assert_eq!(fields.hold(&Body::read(body.as_bytes(), is_json, !is_json)), expected, "{field} {body}");
    }

    #[test]
    fn fields_of_json_are_compared_by_their_type() {
        let body = r#"{"a":{"b":[1,{"c":"x"}]},"n":10.5,"t":true,"z":null,"a/b":"s","m~n":"t"}"#;
        for (field, expected) in [
            (r#"{"pointer":"/a/b/1/c","exact":"x"}"#, True),
            (r#"{"pointer":"/a/b/1/c","exact":"y"}"#, False),
            (r#"{"pointer":"/a/b/01/c","exact":"x"}"#, False),
            (r#"{"pointer":"/a/b/2","present":true}"#, False),
            (r#"{"pointer":"/a/b/2","present":false}"#, True),
            (r#"{"pointer":"/n","over":10}"#, True),
            (r#"{"pointer":"/n","under":10.5}"#, False),
            (r#"{"pointer":"/n","equals":10.50}"#, True),
            (r#"{"pointer":"/n","exact":"10.5"}"#, Error),
            (r#"{"pointer":"/n","exact":"10.5","not":true}"#, Error),
            (r#"{"pointer":"/x","exact":"1","not":true}"#, True),
            (r#"{"pointer":"/t","is":true}"#, True),
            (r#"{"pointer":"/t","equals":1}"#, Error),
            (r#"{"pointer":"/z","type":"null"}"#, True),
            (r#"{"pointer":"/a~1b","prefix":"s"}"#, True),
            (r#"{"pointer":"/m~0n","suffix":"t"}"#, True),
            (r#"{"pointer":"/a/b","longer_than":1}"#, True),
            (r#"{"pointer":"","type":"object"}"#, True),
        ] {
            check(field, body, true, expected);
        }
        for bad in ["{", "[1,]", r#"{"a":1,"a":2}"#, &"[".repeat(1000)] {
            check(r#"{"pointer":"/a","present":true}"#, bad, true, Error);
        }
        check(r#"{"pointer":"/a","present":true}"#, "", true, False);
        let long = format!("[{}1]", "1,".repeat(9_999));
        check(r#"{"pointer":"","longer_than":1000}"#, &long, true, True);
    }

    #[test]
    fn fields_of_a_form_are_text_and_there_once() {
        check(r#"{"pointer":"/role","exact":"admin user"}"#, "x=1&role=admin+user", false, True);
        check(r#"{"pointer":"/role","exact":"admin"}"#, "x=1#&role=admin", false, True);
        check(r#"{"pointer":"/role","exact":"admin"}"#, "role=user&role=admin", false, Error);
        check(r#"{"pointer":"/n","over":5}"#, "n=6", false, True);
        check(r#"{"pointer":"/n","over":5}"#, "n=x", false, Error);
        check(r#"{"pointer":"/a/b","exact":"x"}"#, "a=x", false, Error);
    }
}

//! A JSON document (RFC 8259) as a tree that borrows from its text.

use crate::ConfigError;
use std::borrow::Cow;

/// How deep lists and objects may stand in one another. It bounds the stack.
const DEPTH_LIMIT: usize = 64;

/// A value of a document.
#[derive(Debug, Clone, PartialEq)]
pub enum Node<'t> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number as it is written, in JSON's grammar.
    Number(&'t str),
    /// A string, its escapes read.
    String(Cow<'t, str>),
    /// An array.
    List(Vec<Node<'t>>),
    /// An object, in the order of the text; no field stands there twice.
    Map(Vec<(Cow<'t, str>, Node<'t>)>),
}

impl<'t> Node<'t> {
    /// Reads a document.
    ///
    /// # Errors
    /// The text is no JSON, has a field twice or is nested too deep: where, by the field's path, the line and the column.
    pub fn parse(text: &'t [u8]) -> Result<Self, ConfigError> {
        let text = match std::str::from_utf8(text) {
            Ok(text) => text,
            Err(error) => return Err(problem(text, error.valid_up_to(), "invalid unicode code point")),
        };
        let mut reader = Reader { text, at: 0 };
        let node = reader.value(0)?;
        reader.space();
        if reader.at < text.len() { Err(reader.fail("trailing characters")) } else { Ok(node) }
    }

    /// The value of a field, where this is an object that has it.
    pub fn get(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Map(fields) => fields.iter().find(|(other, _)| other == name).map(|(_, node)| node),
            _ => None,
        }
    }
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
}

#[cold]
#[inline(never)]
fn problem(text: &[u8], at: usize, what: &str) -> ConfigError {
    let before = text.get(..at).unwrap_or(text);
    let line = before.split(|&byte| byte == b'\n').count();
    let column = before.iter().rev().take_while(|&&byte| byte != b'\n').count() + 1;
    let (line, column) = (line.to_string(), column.to_string());
    ConfigError::new("", [what, " at line ", &line, " column ", &column].concat())
}

impl<'t> Reader<'t> {
    fn fail(&self, what: &str) -> ConfigError {
        problem(self.text.as_bytes(), self.at, what)
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// The next byte that is no space, which stays.
    fn space(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\t' | b'\r' | b'\n') = self.peek() {
            self.at += 1;
        }
        self.peek()
    }

    fn takes(&mut self, byte: u8) -> bool {
        let takes = self.peek() == Some(byte);
        self.at += usize::from(takes);
        takes
    }

    #[inline(never)]
    fn value(&mut self, depth: usize) -> Result<Node<'t>, ConfigError> {
        if depth > DEPTH_LIMIT {
            return Err(self.fail("nested too deep"));
        }
        let begin = self.at;
        match self.space() {
            None => Err(self.fail("EOF while parsing a value")),
            Some(b'{') => self.map(depth),
            Some(b'[') => self.list(depth),
            Some(b'"') => self.string().map(Node::String),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(_) => {
                for (word, node) in
                    [("true", Node::Bool(true)), ("false", Node::Bool(false)), ("null", Node::Null)]
                {
                    if self.text.get(self.at..).is_some_and(|rest| rest.starts_with(word)) {
                        self.at += word.len();
                        return Ok(node);
                    }
                }
                self.at = begin.max(self.at);
                Err(self.fail("expected value"))
            }
        }
    }

    fn list(&mut self, depth: usize) -> Result<Node<'t>, ConfigError> {
        self.at += 1;
        let mut items = Vec::new();
        if self.space() == Some(b']') {
            self.at += 1;
            return Ok(Node::List(items));
        }
        loop {
            let item = self.value(depth + 1);
            items.push(item.map_err(|error| error.inside(&["[", &items.len().to_string(), "]"].concat()))?);
            match self.space() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(Node::List(items));
                }
                Some(_) => return Err(self.fail("expected `,` or `]`")),
                None => return Err(self.fail("EOF while parsing a list")),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Node<'t>, ConfigError> {
        self.at += 1;
        let mut fields: Vec<(Cow<'t, str>, Node<'t>)> = Vec::new();
        if self.space() == Some(b'}') {
            self.at += 1;
            return Ok(Node::Map(fields));
        }
        loop {
            match self.space() {
                Some(b'"') => {}
                Some(_) => return Err(self.fail("key must be a string")),
                None => return Err(self.fail("EOF while parsing an object")),
            }
            let name = self.string()?;
            if fields.iter().any(|(other, _)| *other == name) {
                return Err(self.fail(&["duplicate field `", &name, "`"].concat()).inside(&name));
            }
            if self.space() != Some(b':') {
                return Err(self.fail("expected `:`").inside(&name));
            }
            self.at += 1;
            match self.value(depth + 1) {
                Ok(value) => fields.push((name, value)),
                Err(error) => return Err(error.inside(&name)),
            }
            match self.space() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(Node::Map(fields));
                }
                Some(_) => return Err(self.fail("expected `,` or `}`")),
                None => return Err(self.fail("EOF while parsing an object")),
            }
        }
    }

    #[inline(never)]
    fn number(&mut self) -> Result<Node<'t>, ConfigError> {
        let begin = self.at;
        self.takes(b'-');
        // No number but 0 begins with it.
        let is_whole = self.takes(b'0') || self.digits();
        let has_fraction = !self.takes(b'.') || self.digits();
        let has_exponent = !(self.takes(b'e') || self.takes(b'E')) || {
            let _ = self.takes(b'+') || self.takes(b'-');
            self.digits()
        };
        match self.text.get(begin..self.at) {
            Some(text) if is_whole && has_fraction && has_exponent => Ok(Node::Number(text)),
            _ => Err(self.fail("invalid number")),
        }
    }

    /// Takes digits; whether there were any.
    fn digits(&mut self) -> bool {
        let begin = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        self.at > begin
    }

    #[inline(never)]
    fn string(&mut self) -> Result<Cow<'t, str>, ConfigError> {
        self.at += 1;
        let mut read = String::new();
        let mut begin = self.at;
        loop {
            match self.peek() {
                None => return Err(self.fail("EOF while parsing a string")),
                Some(b'"') => {
                    let rest = self.text.get(begin..self.at).unwrap_or_default();
                    self.at += 1;
                    if read.is_empty() {
                        return Ok(Cow::Borrowed(rest));
                    }
                    read.push_str(rest);
                    return Ok(Cow::Owned(read));
                }
                Some(b'\\') => {
                    read.push_str(self.text.get(begin..self.at).unwrap_or_default());
                    self.at += 1;
                    read.push(self.escape()?);
                    begin = self.at;
                }
                Some(0..=0x1f) => return Err(self.fail("control character found while parsing a string")),
                Some(_) => self.at += 1,
            }
        }
    }

    fn escape(&mut self) -> Result<char, ConfigError> {
        let byte = self.peek().unwrap_or_default();
        self.at += 1;
        Ok(match byte {
            b'"' | b'\\' | b'/' => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let mut code = self.hex()?;
                if (0xd800..0xdc00).contains(&code) && self.takes(b'\\') && self.takes(b'u') {
                    let low = self.hex()?;
                    // A low half that is none leaves a code that is no character.
                    if (0xdc00..0xe000).contains(&low) {
                        code = 0x1_0000 + ((code - 0xd800) << 10) + (low - 0xdc00);
                    }
                }
                char::from_u32(code).ok_or_else(|| self.fail("lone surrogate in an escape"))?
            }
            _ => return Err(self.fail("invalid escape")),
        })
    }

    fn hex(&mut self) -> Result<u32, ConfigError> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16));
            let Some(digit) = digit else { return Err(self.fail("invalid escape")) };
            code = code << 4 | digit;
            self.at += 1;
        }
        Ok(code)
    }
}

#[cfg(test)]
mod tests {
    use super::Node;
    use proptest::prelude::*;
    use serde_json::Value;

    fn to_value(node: &Node<'_>) -> Value {
        match node {
            Node::Null => Value::Null,
            Node::Bool(value) => Value::Bool(*value),
            Node::Number(text) => serde_json::from_str(text).unwrap(),
            Node::String(text) => Value::from(&**text),
            Node::List(items) => items.iter().map(to_value).collect(),
            Node::Map(fields) => {
                Value::Object(fields.iter().map(|(name, node)| (name.to_string(), to_value(node))).collect())
            }
        }
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let error = Node::parse(text.as_bytes()).unwrap_err().to_string();
        assert_eq!(error, expected, "{text}");
    }

    #[test]
    fn what_is_no_document_is_refused_with_its_place() {
        check("", "EOF while parsing a value at line 1 column 1");
        check("{} x", "trailing characters at line 1 column 4");
        check("{experiments: []}", "key must be a string at line 1 column 2");
        check("{\"a\":\n [1, 2,\n 3 4]}", "a: expected `,` or `]` at line 3 column 4");
        check(r#"{"a":[{"b":tru}]}"#, "a[0].b: expected value at line 1 column 12");
        check(r#"{"a":{"b":1,"b":2}}"#, "a.b: duplicate field `b` at line 1 column 16");
        check(r#"["\ud800"]"#, "[0]: lone surrogate in an escape at line 1 column 9");
        check("[01]", "expected `,` or `]` at line 1 column 3");
        check("[1.]", "[0]: invalid number at line 1 column 4");
        check("[\"a\nb\"]", "[0]: control character found while parsing a string at line 1 column 4");
        check(&"[".repeat(100), &format!("{}: nested too deep at line 1 column 66", "[0]".repeat(65)));
        assert!(Node::parse(b"\"\xff\"").is_err());
    }

    /// Documents, with what is hard to read more often than not.
    fn document() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "[ -~é\"\\\\\n\u{1F600}]{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(5, 40, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
                prop::collection::btree_map("[a-c\"]{0,2}", inner, 0..4)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_document_is_read_as_serde_json_reads_it(document in document(), pretty: bool) {
            let text = if pretty { serde_json::to_string_pretty(&document) } else { serde_json::to_string(&document) }.unwrap();
            prop_assert_eq!(to_value(&Node::parse(text.as_bytes()).unwrap()), serde_json::from_str::<Value>(&text).unwrap());
        }

        #[test]
        fn what_serde_json_refuses_is_refused(document in document(), cut in 0_usize..60, with in "[\\[\\]{},:\"\\\\a0.e-]{0,2}") {
            let mut text = serde_json::to_string(&document).unwrap();
            let at = text.char_indices().map(|(at, _)| at).nth(cut).unwrap_or(text.len());
            text.replace_range(at..at, &with);
            let (ours, theirs) = (Node::parse(text.as_bytes()), serde_json::from_str::<Value>(&text));
            match (ours, theirs) {
                (Ok(ours), Ok(theirs)) => prop_assert_eq!(to_value(&ours), theirs),
                (Err(ours), Ok(_)) => prop_assert!(ours.to_string().contains("duplicate field"), "{}: {}", text, ours),
                // serde_json has bounds of its own for numbers.
                (Ok(_), Err(theirs)) => prop_assert!(theirs.to_string().contains("number out of range"), "{}: {}", text, theirs),
                (Err(_), Err(_)) => {}
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = Node::parse(&bytes);
        }
    }
}

//! Chosen fields of a JSON body, read as its chunks pass: nothing of the body is kept but their values.

use crate::settings::Field;
use memchr::memchr2;

/// The most fields that are read.
pub const FIELD_LIMIT: usize = 32;
/// How deep objects and arrays are read; what is deeper ends the reading.
const DEEPEST: usize = 64;
/// The longest name of a member that is compared, in bytes, and the longest value that is kept: a longer one is left out.
const LONGEST_NAME: usize = 128;
const LONGEST_VALUE: usize = 256;

/// The fields that are read of a body.
#[derive(Debug, Default)]
pub struct BodyFields {
    /// The members' names on the way to each.
    paths: Vec<Box<[Box<str>]>>,
    /// How much of a body is read, in bytes.
    limit: usize,
}

impl BodyFields {
    /// Reads `{"fields": ["order.id"], "limit_bytes": 65536}`.
    pub fn read(config: &Field<'_, '_>) -> Self {
        config.only(&["fields", "limit_bytes"]);
        let limit =
            config.get("limit_bytes").whole(1, 10 << 20).and_then(|limit| usize::try_from(limit).ok());
        let mut paths: Vec<Box<[Box<str>]>> = Vec::new();
        for item in config.get("fields").items_up_to(FIELD_LIMIT) {
            let text = item.text().unwrap_or_default();
            let path: Box<[Box<str>]> = text.split('.').map(Into::into).collect();
            if path.iter().any(|name| name.is_empty() || name.len() > LONGEST_NAME) {
                item.refuse_text("must be names of members with dots between them, such as `order.id`", text);
            }
            if paths.contains(&path) {
                item.refuse_text("must be another field than those before it", text);
            }
            paths.push(path);
        }
        Self { paths, limit: limit.unwrap_or(64 << 10) }
    }

    /// The fields of these names of members with dots between them, and how much of a body is read, in bytes.
    pub fn new(names: &[&str], limit: usize) -> Self {
        Self { paths: names.iter().map(|name| name.split('.').map(Into::into).collect()).collect(), limit }
    }

    /// Whether these are the names of a member that can be read, with dots between them.
    pub fn is_name(text: &str) -> bool {
        text.split('.').all(|name| !name.is_empty() && name.len() <= LONGEST_NAME)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }

    /// The names of the fields, with dots.
    pub fn names(&self) -> impl Iterator<Item = String> {
        self.paths.iter().map(|path| path.join("."))
    }

    /// The last name on the way to a field, which says what its value may be.
    pub fn last_name(&self, field: usize) -> &str {
        self.paths.get(field).and_then(|path| path.last()).map_or("", |name| name)
    }

    fn all(&self) -> u32 {
        self.paths.iter().zip(0..).fold(0, |all, (_, bit)| all | 1 << bit)
    }

    /// Which of these fields go on with this name at this depth.
    fn with(&self, fields: u32, depth: usize, name: &[u8]) -> u32 {
        let is_next = |path: &[Box<str>]| path.get(depth).is_some_and(|next| next.as_bytes() == name);
        let matching =
            self.paths.iter().zip(0..).filter(|(path, bit)| fields >> bit & 1 == 1 && is_next(path));
        matching.fold(0, |all, (_, bit)| all | 1 << bit)
    }

    /// The field among these that ends at this depth.
    fn ending(&self, fields: u32, depth: usize) -> Option<usize> {
        (0..self.paths.len()).find(|place| {
            fields >> place & 1 == 1 && self.paths.get(*place).is_some_and(|path| path.len() == depth)
        })
    }
}

/// Why a body was not read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unread {
    /// It is no JSON, or not in UTF-8 where a value stands.
    Malformed,
    /// It is longer than is read.
    TooLong,
    /// It is nested deeper than is read.
    TooDeep,
}

/// An object or an array that is open.
#[derive(Debug, Clone, Copy)]
struct Level {
    is_object: bool,
    /// The fields that may lie in it.
    fields: u32,
    /// How many names lead to it.
    depth: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before a value, or the end of an array.
    Value,
    /// Before a name, or the end of an object.
    Name,
    Colon,
    /// Behind a value.
    Behind,
    /// In a string: a name, or a value.
    String {
        is_name: bool,
    },
    Escape {
        is_name: bool,
    },
    Unicode {
        is_name: bool,
        digits: u8,
        value: u16,
    },
    /// In a number or a literal.
    Scalar,
    End,
}

/// A body that is being read.
#[derive(Debug)]
pub struct BodyReader {
    state: State,
    levels: Vec<Level>,
    /// The fields that may be the value that comes, and how many names lead to it.
    fields: u32,
    depth: usize,
    /// The name or the value that is being read, where it matters.
    text: Vec<u8>,
    is_kept: bool,
    read: usize,
    found: Vec<(usize, Vec<u8>)>,
    unread: Option<Unread>,
}

impl BodyReader {
    /// Of a body that begins.
    pub fn new(fields: &BodyFields) -> Self {
        Self {
            state: State::Value,
            levels: Vec::new(),
            fields: fields.all(),
            depth: 0,
            text: Vec::new(),
            is_kept: false,
            read: 0,
            found: Vec::new(),
            unread: None,
        }
    }

    /// What was found: each field once, its first value.
    pub fn found(&self) -> &[(usize, Vec<u8>)] {
        &self.found
    }

    /// Why the body was not read to its end.
    pub fn unread(&self) -> Option<Unread> {
        self.unread
    }

    /// Whether nothing more is to be read.
    pub fn is_done(&self) -> bool {
        self.unread.is_some() || self.state == State::End
    }

    /// Reads a chunk.
    pub fn push(&mut self, fields: &BodyFields, chunk: &[u8]) {
        let room = fields.limit - self.read.min(fields.limit);
        let within = chunk.get(..room).unwrap_or(chunk);
        self.read += within.len();
        let mut rest = within;
        while !self.is_done()
            && let Some((byte, behind)) = rest.split_first()
        {
            // Within a string only a quote and a backslash are of interest.
            if let State::String { .. } = self.state {
                let length = memchr2(b'"', b'\\', rest).unwrap_or(rest.len());
                if length > 0 {
                    let (text, behind) = rest.split_at(length);
                    self.keep(text);
                    rest = behind;
                    continue;
                }
            }
            rest = behind;
            self.step(fields, *byte);
        }
        if self.state == State::End && !rest.trim_ascii().is_empty() {
            self.unread = Some(Unread::Malformed);
        }
        if within.len() < chunk.len() && !self.is_done() {
            self.unread = Some(Unread::TooLong);
        }
    }

    /// Notes that the body has ended.
    pub fn finish(&mut self, fields: &BodyFields) {
        if self.state == State::Scalar && self.levels.is_empty() {
            self.value(fields);
        }
        if !self.is_done() {
            self.unread = Some(Unread::Malformed);
        }
    }

    fn keep(&mut self, text: &[u8]) {
        if self.is_kept {
            self.text.extend_from_slice(text);
            if self.text.len() > LONGEST_VALUE {
                self.is_kept = false;
            }
        }
    }

    fn begin(&mut self, state: State, is_kept: bool) {
        self.text.clear();
        self.is_kept = is_kept;
        self.state = state;
    }

    fn step(&mut self, fields: &BodyFields, byte: u8) {
        self.state = match self.state {
            State::String { is_name } => match byte {
                b'\\' => State::Escape { is_name },
                _ if is_name => {
                    let (known, depth) =
                        self.levels.last().map_or((0, 0), |level| (level.fields, level.depth));
                    self.fields = if self.is_kept { fields.with(known, depth, &self.text) } else { 0 };
                    self.depth = depth + 1;
                    State::Colon
                }
                _ => return self.value(fields),
            },
            State::Escape { is_name } => {
                let meant = match byte {
                    b'n' => b'\n',
                    b't' => b'\t',
                    b'r' => b'\r',
                    b'b' => 8,
                    b'f' => 12,
                    b'u' => {
                        self.state = State::Unicode { is_name, digits: 0, value: 0 };
                        return;
                    }
                    other => other,
                };
                self.keep(&[meant]);
                State::String { is_name }
            }
            State::Unicode { is_name, digits, value } => {
                let Some(digit) = char::from(byte).to_digit(16).and_then(|digit| u16::try_from(digit).ok())
                else {
                    self.unread = Some(Unread::Malformed);
                    return;
                };
                let value = value << 4 | digit;
                if digits < 3 {
                    State::Unicode { is_name, digits: digits + 1, value }
                } else {
                    // Halves of a pair stand for a character that nobody looks for.
                    let meant = char::from_u32(u32::from(value)).unwrap_or(char::REPLACEMENT_CHARACTER);
                    self.keep(meant.encode_utf8(&mut [0; 4]).as_bytes());
                    State::String { is_name }
                }
            }
            State::Scalar if byte.is_ascii_alphanumeric() || b"+-.".contains(&byte) => {
                self.keep(&[byte]);
                return;
            }
            State::Scalar => {
                self.value(fields);
                if !self.is_done() {
                    self.step(fields, byte);
                }
                return;
            }
            state if byte.is_ascii_whitespace() => state,
            State::Value => return self.begin_value(fields, byte),
            State::Name => match byte {
                b'"' => return self.begin(State::String { is_name: true }, true),
                b'}' => return self.close(),
                _ => return self.unread = Some(Unread::Malformed),
            },
            State::Colon if byte == b':' => State::Value,
            State::Behind => match (byte, self.levels.last()) {
                (b',', Some(level)) if level.is_object => State::Name,
                (b',', Some(level)) => {
                    (self.fields, self.depth) = (level.fields, level.depth);
                    State::Value
                }
                (b'}' | b']', Some(_)) => return self.close(),
                _ => return self.unread = Some(Unread::Malformed),
            },
            _ => return self.unread = Some(Unread::Malformed),
        };
    }

    fn begin_value(&mut self, fields: &BodyFields, byte: u8) {
        let is_wanted = fields.ending(self.fields, self.depth).is_some();
        match byte {
            b'{' | b'[' => {
                if self.levels.len() == DEEPEST {
                    self.unread = Some(Unread::TooDeep);
                    return;
                }
                let is_object = byte == b'{';
                self.levels.push(Level { is_object, fields: self.fields, depth: self.depth });
                self.state = if is_object { State::Name } else { State::Value };
            }
            b']' => self.close(),
            b'"' => self.begin(State::String { is_name: false }, is_wanted),
            b'0'..=b'9' | b'-' | b't' | b'f' | b'n' => {
                self.begin(State::Scalar, is_wanted);
                self.keep(&[byte]);
            }
            _ => self.unread = Some(Unread::Malformed),
        }
    }

    fn close(&mut self) {
        self.levels.pop();
        self.state = if self.levels.is_empty() { State::End } else { State::Behind };
    }

    /// A scalar has ended.
    fn value(&mut self, fields: &BodyFields) {
        self.state = if self.levels.is_empty() { State::End } else { State::Behind };
        if !self.is_kept {
            return;
        }
        if let Some(field) = fields.ending(self.fields, self.depth)
            && !self.found.iter().any(|(known, _)| *known == field)
        {
            self.found.push((field, std::mem::take(&mut self.text)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{BodyFields, BodyReader, Unread};
    use proptest::prelude::*;

    fn fields(names: &[&str], limit: usize) -> BodyFields {
        BodyFields {
            paths: names.iter().map(|name| name.split('.').map(Into::into).collect()).collect(),
            limit,
        }
    }

    /// What is found of a body in chunks of this length.
    fn read(names: &[&str], body: &[u8], length: usize) -> (Vec<(usize, String)>, Option<Unread>) {
        let fields = fields(names, 1000);
        let mut reader = BodyReader::new(&fields);
        for chunk in body.chunks(length) {
            reader.push(&fields, chunk);
        }
        reader.finish(&fields);
        let text = |value: &Vec<u8>| String::from_utf8_lossy(value).into_owned();
        (reader.found().iter().map(|(field, value)| (*field, text(value))).collect(), reader.unread())
    }

    #[track_caller]
    fn check(names: &[&str], body: &str, expected: &[(usize, &str)], unread: Option<Unread>) {
        for length in 1..=body.len().max(1) {
            let (found, why) = read(names, body.as_bytes(), length);
            let found: Vec<_> = found.iter().map(|(field, value)| (*field, value.as_str())).collect();
            assert_eq!((found.as_slice(), why), (expected, unread), "{body} in chunks of {length}");
        }
    }

    #[test]
    fn fields_are_found_wherever_a_chunk_ends() {
        let body = r#"{"id":7,"order":{"id":"a\"\u0041\n","total":-1.5e3,"x":null},"items":[{"sku":"s1"},{"sku":"s2"}],"ok":true}"#;
        check(&["order.id"], body, &[(0, "a\"A\n")], None);
        check(
            &["ok", "items.sku", "order.total", "id"],
            body,
            &[(3, "7"), (2, "-1.5e3"), (1, "s1"), (0, "true")],
            None,
        );
        check(&["order", "order.none", "sku"], body, &[], None);
        check(&["a.b"], r#" [ {"a" : [ {"b":1} , 2 ] } ] "#, &[(0, "1")], None);
        check(&["a"], "{}", &[], None);
        check(&["a"], "3", &[], None);
        check(&["a"], r#"{"a":"x","a":"y"}"#, &[(0, "x")], None);
    }

    #[test]
    fn what_is_no_json_is_read_up_to_where_it_breaks() {
        check(&["a", "b"], r#"{"a":1,b:2}"#, &[(0, "1")], Some(Unread::Malformed));
        check(&["a"], r#"{"a":"x"#, &[], Some(Unread::Malformed));
        check(&["a"], r#"{"a":"\uzzzz"}"#, &[], Some(Unread::Malformed));
        check(&["a"], "a=1&b=2", &[], Some(Unread::Malformed));
        check(&["a"], "", &[], Some(Unread::Malformed));
        check(&["a"], &"[".repeat(100), &[], Some(Unread::TooDeep));
    }

    #[test]
    fn what_is_too_long_is_left_out() {
        let long = format!(r#"{{"a":"{}","b":1}}"#, "x".repeat(300));
        assert_eq!(read(&["a", "b"], long.as_bytes(), 64), (vec![(1, "1".to_owned())], None));
        let longer = format!(r#"{{"b":1,"a":"{}"}}"#, "x".repeat(1000));
        assert_eq!(
            read(&["a", "b"], longer.as_bytes(), 64),
            (vec![(1, "1".to_owned())], Some(Unread::TooLong))
        );
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_chunks_read_the_same(body in prop::collection::vec(any::<u8>(), 0..200), length in 1_usize..50) {
            prop_assert_eq!(read(&["a", "b.c"], &body, length), read(&["a", "b.c"], &body, body.len().max(1)));
        }

        #[test]
        fn json_is_read_as_serde_json_reads_it(value in "[ -~é\"\\\\\n]{0,40}", other in -1000_i64..1000) {
            let body = serde_json::json!({"x": [1, {"y": null}], "a": value, "b": {"c": other}}).to_string();
            let (found, unread) = read(&["a", "b.c"], body.as_bytes(), 7);
            prop_assert_eq!(found, [(0, value), (1, other.to_string())]);
            prop_assert_eq!(unread, None);
        }
    }
}

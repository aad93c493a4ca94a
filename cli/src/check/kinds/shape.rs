//! The language that `kinds.txt` is written in.

use std::{collections::BTreeMap, sync::Arc};

/// What a value must be.
#[derive(Debug, Clone)]
pub enum Shape {
    /// Anything.
    Any,
    /// A text.
    Text,
    /// A whole number.
    Integer(Range),
    /// A number.
    Number(Range),
    /// A truth value.
    Truth,
    /// A duration.
    Duration,
    /// One of these words.
    OneOf(Vec<&'static str>),
    /// A list.
    List(Arc<Shape>),
    /// A mapping from any key.
    Map(Arc<Shape>),
    /// A mapping of these fields.
    Object(Arc<Vec<Field>>),
}

/// The least and the greatest value of a number.
pub type Range = (i64, i64);

/// The range of a number that has none.
pub const ANY: Range = (i64::MIN, i64::MAX);

/// A field of an object.
#[derive(Debug, Clone)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// Whether it must be there.
    pub is_required: bool,
    /// What it must be.
    pub shape: Shape,
}

/// A kind of object.
#[derive(Debug)]
pub struct Kind {
    /// The API's group.
    pub group: &'static str,
    /// The kind.
    pub name: &'static str,
    /// The versions that are served, the newest first.
    pub versions: Vec<&'static str>,
    /// What `spec` must be.
    pub spec: Shape,
}

type Named = BTreeMap<&'static str, Shape>;

/// Reads the descriptions. They are the tool's own, and a test reads them: what is wrong in them is left out.
pub fn parse(text: &'static str) -> Vec<Kind> {
    let mut tokens = Tokens { text };
    let mut named = Named::new();
    let mut kinds = Vec::new();
    while let Some(word) = tokens.next() {
        if word == "$" {
            let name = tokens.next().unwrap_or_default();
            tokens.take_if("=");
            let shape = tokens.shape(&named);
            named.insert(name, shape);
            continue;
        }
        let name = tokens.next().unwrap_or_default();
        let mut versions = Vec::new();
        while tokens.peek().is_some_and(|word| word != "{") {
            versions.extend(tokens.next());
        }
        kinds.push(Kind { group: word, name, versions, spec: tokens.shape(&named) });
    }
    kinds
}

/// The rest of the text.
struct Tokens {
    text: &'static str,
}

impl Iterator for Tokens {
    type Item = &'static str;

    fn next(&mut self) -> Option<&'static str> {
        let (word, rest) = self.split()?;
        self.text = rest;
        Some(word)
    }
}

impl Tokens {
    /// The first token, and what stands behind it: a word, or a sign.
    fn split(&self) -> Option<(&'static str, &'static str)> {
        let mut text = self.text.trim_start();
        while text.starts_with('#') {
            text = text.split_once('\n').map_or("", |(_, rest)| rest).trim_start();
        }
        let is_part = |letter: char| letter.is_ascii_alphanumeric() || ['_', '.'].contains(&letter);
        let first = text.chars().next()?;
        let end = if is_part(first) {
            text.find(|letter| !is_part(letter)).unwrap_or(text.len())
        } else {
            first.len_utf8()
        };
        Some(text.split_at(end))
    }

    fn peek(&self) -> Option<&'static str> {
        self.split().map(|(word, _)| word)
    }

    /// Takes a token if it is this one.
    fn take_if(&mut self, word: &str) -> bool {
        let is_there = self.peek() == Some(word);
        if is_there {
            self.next();
        }
        is_there
    }

    fn shape(&mut self, named: &Named) -> Shape {
        match self.next().unwrap_or_default() {
            "s" => Shape::Text,
            "i" => Shape::Integer(self.range()),
            "u" => Shape::Integer((0, i64::from(u32::MAX))),
            "n" => Shape::Number(self.range()),
            "b" => Shape::Truth,
            "d" => Shape::Duration,
            "$" => self.next().and_then(|name| named.get(name).cloned()).unwrap_or(Shape::Any),
            "[" => {
                let item = self.shape(named);
                self.take_if("]");
                Shape::List(Arc::new(item))
            }
            "(" => {
                let mut words = Vec::new();
                while let Some(word) = self.next().filter(|word| *word != ")") {
                    words.extend((word != "|").then_some(word));
                }
                Shape::OneOf(words)
            }
            "{" => self.members(named),
            _ => Shape::Any,
        }
    }

    /// A range `<LEAST MOST>`, where there is one; a limit that is left out is `_`.
    fn range(&mut self) -> Range {
        if !self.take_if("<") {
            return ANY;
        }
        let mut limit = |none: i64| self.next().and_then(|word| word.parse().ok()).unwrap_or(none);
        let range = (limit(ANY.0), limit(ANY.1));
        self.take_if(">");
        range
    }

    fn members(&mut self, named: &Named) -> Shape {
        let mut fields = Vec::new();
        while let Some(name) = self.next().filter(|word| *word != "}") {
            let is_required = self.take_if("!");
            self.take_if(":");
            let shape = self.shape(named);
            if name == "*" {
                self.take_if("}");
                return Shape::Map(Arc::new(shape));
            }
            fields.push(Field { name, is_required, shape });
        }
        Shape::Object(Arc::new(fields))
    }
}

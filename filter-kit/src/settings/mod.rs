//! A plugin's configuration, from its bytes to a filter.
//!
//! A [`Field`] is a value and the path to it. Reading one never fails: what is wrong is noted with its path, the first such thing counts, and
//! [`Field::finish`] refuses the configuration with it. So the code that compiles a filter goes straight on, without a way out at every field.
//!
//! Structs that serde derives readers for do the same, and took a quarter of a module of 250 KB, with serde_json.

mod json;
mod number;
#[cfg(not(target_arch = "wasm32"))]
mod recorder;

pub use json::Node;
#[cfg(not(target_arch = "wasm32"))]
pub use recorder::{Asked, Recorder};

use crate::{ConfigError, HeaderName};
use std::{borrow::Cow, cell::RefCell};

/// A value of a configuration, or the want of one, and the path to it.
#[derive(Debug, Clone, Copy)]
pub struct Field<'p, 't> {
    node: Option<&'t Node<'t>>,
    step: Step<'p>,
    parent: Option<&'p Field<'p, 't>>,
    refused: &'p RefCell<Option<ConfigError>>,
    /// Who wants to know what is asked. In a module nobody can.
    #[cfg(not(target_arch = "wasm32"))]
    recorder: Option<&'p Recorder>,
}

#[derive(Debug, Clone, Copy)]
enum Step<'p> {
    Root,
    Name(&'p str),
    Index(usize),
}

/// A number, and how it is written: `0.25`, `9000`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Decimal<'t> {
    /// The nearest double.
    pub value: f64,
    /// As it is written.
    pub text: &'t str,
}

impl Decimal<'_> {
    /// The number, where it is written as a whole one.
    pub fn whole(&self) -> Option<i64> {
        self.text.parse().ok()
    }
}

/// Gives an enum the words for its variants: `choices!(SameSite { "strict" => Strict, "lax" => Lax });`.
#[macro_export]
macro_rules! choices {
    ($type:ident { $($name:literal => $variant:ident),+ $(,)? }) => {
        impl $type {
            /// The words, and what they stand for.
            pub const WORDS: &'static [(&'static str, Self)] = &[$(($name, Self::$variant)),+];

            /// The variant whose word stands in the configuration; none where nothing does, or no such word.
            pub fn read(field: &$crate::settings::Field<'_, '_>) -> Option<Self> {
                Self::WORDS.get(field.choice(&[$($name),+])?).map(|(_, choice)| *choice)
            }
        }
    };
}

impl<'p, 't> Field<'p, 't> {
    /// A whole document. What is wrong with it is noted in `refused`.
    pub fn root(node: &'t Node<'t>, refused: &'p RefCell<Option<ConfigError>>) -> Self {
        Self {
            node: Some(node),
            step: Step::Root,
            parent: None,
            refused,
            #[cfg(not(target_arch = "wasm32"))]
            recorder: None,
        }
    }

    /// As [`root`](Self::root), with every question noted in `recorder`.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn recorded(
        node: &'t Node<'t>,
        refused: &'p RefCell<Option<ConfigError>>,
        recorder: &'p Recorder,
    ) -> Self {
        Self { recorder: Some(recorder), ..Self::root(node, refused) }
    }

    #[cfg(not(target_arch = "wasm32"))]
    fn note(&self, asked: impl FnOnce() -> Asked) {
        if let Some(recorder) = self.recorder {
            recorder.note(self.error("").path().to_owned(), asked());
        }
    }

    /// The same, with what is wrong noted in `refused`: it stops nothing that is read by the field itself.
    pub fn aside<'q>(&'q self, refused: &'q RefCell<Option<ConfigError>>) -> Field<'q, 't> {
        Field { refused, ..*self }
    }

    /// The result of reading the document that this field stands in.
    ///
    /// # Errors
    /// The first thing that was wrong with it.
    pub fn finish<T>(&self, read: T) -> Result<T, ConfigError> {
        match self.refused.take() {
            Some(error) => Err(error),
            None => Ok(read),
        }
    }

    /// Whether something stands here, other than null.
    pub fn is_given(&self) -> bool {
        self.node.is_some_and(|node| *node != Node::Null)
    }

    /// Notes that what stands here breaks a rule. Of several such notes the first counts.
    #[cold]
    #[inline(never)]
    pub fn refuse(&self, rule: &str) {
        let mut refused = self.refused.borrow_mut();
        if refused.is_some() {
            return;
        }
        *refused = Some(self.error(rule));
    }

    /// What is to be said of what stands here, with its path.
    #[cold]
    #[inline(never)]
    pub fn error(&self, rule: &str) -> ConfigError {
        let mut error = ConfigError::new("", rule);
        let mut here = Some(self);
        while let Some(field) = here {
            error = match field.step {
                Step::Root => error,
                Step::Name(name) => error.inside(name),
                Step::Index(index) => error.inside(&["[", &index.to_string(), "]"].concat()),
            };
            here = field.parent;
        }
        error
    }

    /// As [`refuse`](Self::refuse), with what is there instead.
    #[cold]
    #[inline(never)]
    pub fn refuse_got(&self, rule: &str, got: &str) {
        self.refuse(&[rule, ", got ", got].concat());
    }

    /// As [`refuse`](Self::refuse), with a text that is there instead, between quotes.
    #[cold]
    #[inline(never)]
    pub fn refuse_text(&self, rule: &str, text: &str) {
        let text: String = text.chars().map(|c| if c.is_control() { '_' } else { c }).collect();
        self.refuse(&[rule, ", got \"", &text, "\""].concat());
    }

    #[cold]
    #[inline(never)]
    fn refuse_type(&self, expected: &str) {
        let (kind, text, quote) = match self.node {
            None | Some(Node::Null) => ("null", "", ""),
            Some(Node::Bool(_)) => ("a boolean", "", ""),
            Some(Node::Number(text)) => ("number ", *text, "`"),
            Some(Node::String(text)) => ("string ", &**text, "\""),
            Some(Node::List(_)) => ("a list", "", ""),
            Some(Node::Map(_)) => ("an object", "", ""),
        };
        self.refuse(&["invalid type: ", kind, quote, text, quote, ", expected ", expected].concat());
    }

    fn child<'a>(&'a self, node: Option<&'t Node<'t>>, step: Step<'a>) -> Field<'a, 't> {
        Field { node, step, parent: Some(self), ..*self }
    }

    /// The field of an object; the want of one where it is not there.
    pub fn get<'a>(&'a self, name: &'a str) -> Field<'a, 't> {
        let node = self.node.and_then(|node| node.get(name));
        self.child(node, Step::Name(name))
    }

    /// Refuses what is no object, or has fields of other names.
    #[inline(never)]
    pub fn only(&self, names: &[&str]) {
        #[cfg(not(target_arch = "wasm32"))]
        self.note(|| Asked::Only(names.iter().map(|name| (*name).to_owned()).collect()));
        match self.node {
            // Null stands for nothing; in a list there is nothing that it could leave out.
            None => {}
            Some(Node::Null) if !matches!(self.step, Step::Index(_)) => {}
            Some(Node::Map(fields)) => {
                for (name, _) in fields {
                    if !names.iter().any(|known| known == name) {
                        let field = self.get(name);
                        field.refuse(&["unknown field `", name, "`, expected ", &one_of(names)].concat());
                    }
                }
            }
            Some(_) => self.refuse_type("an object"),
        }
    }

    /// The text of a string.
    #[inline(never)]
    pub fn text(&self) -> Option<&'t str> {
        #[cfg(not(target_arch = "wasm32"))]
        self.note(|| Asked::Text);
        match self.node {
            Some(Node::String(text)) => Some(text),
            None | Some(Node::Null) => None,
            Some(_) => {
                self.refuse_type("a string");
                None
            }
        }
    }

    /// The text of a string, or of a whole number.
    pub fn word(&self) -> Option<&'t str> {
        match self.node {
            Some(Node::Number(text)) if text.parse::<i64>().is_ok() => Some(text),
            _ => self.text(),
        }
    }

    /// A boolean, or what is meant where nothing stands.
    #[inline(never)]
    pub fn flag(&self, otherwise: bool) -> bool {
        #[cfg(not(target_arch = "wasm32"))]
        self.note(|| Asked::Flag(otherwise));
        match self.node {
            Some(Node::Bool(value)) => return *value,
            None => {}
            Some(_) => self.refuse_type("a boolean"),
        }
        otherwise
    }

    /// A number.
    #[inline(never)]
    pub fn number(&self) -> Option<Decimal<'t>> {
        #[cfg(not(target_arch = "wasm32"))]
        self.note(|| Asked::Number);
        match self.node {
            Some(Node::Number(text)) => {
                let value = number::double(text);
                if value.is_none() {
                    self.refuse_got("must be a number of at most 19 digits", text);
                }
                value.map(|value| Decimal { value, text })
            }
            None | Some(Node::Null) => None,
            Some(_) => {
                self.refuse_type("a number");
                None
            }
        }
    }

    /// A whole number between bounds.
    #[inline(never)]
    pub fn whole(&self, least: i64, most: i64) -> Option<i64> {
        #[cfg(not(target_arch = "wasm32"))]
        self.note(|| Asked::Whole(least, most));
        let number = self.number()?;
        let whole = number.whole().filter(|whole| (least..=most).contains(whole));
        if whole.is_none() {
            let rule = ["must be ", &least.to_string(), "..=", &most.to_string()].concat();
            self.refuse_got(&rule, number.text);
        }
        whole
    }

    /// The place of a word among those that may stand here.
    #[inline(never)]
    pub fn choice(&self, names: &[&str]) -> Option<usize> {
        #[cfg(not(target_arch = "wasm32"))]
        self.note(|| Asked::Choice(names.iter().map(|name| (*name).to_owned()).collect()));
        let word = self.text()?;
        let place = names.iter().position(|name| *name == word);
        if place.is_none() {
            self.refuse(&["unknown variant `", word, "`, expected ", &one_of(names)].concat());
        }
        place
    }

    /// The name of a header, one that a filter may write if it is to.
    pub fn header(&self, is_written: bool) -> Option<HeaderName> {
        self.header_named(self.text()?, is_written)
    }

    /// The name of a header that this text is, as [`header`](Self::header) has it.
    #[inline(never)]
    pub fn header_named(&self, name: &str, is_written: bool) -> Option<HeaderName> {
        let read = if is_written { HeaderName::writable(name) } else { HeaderName::parse(name) };
        match read {
            Ok(name) => Some(name),
            Err(error) => {
                self.refuse_text(&error.to_string(), name);
                None
            }
        }
    }

    /// How many items the list has.
    pub fn len(&self) -> usize {
        self.list().len()
    }

    /// Whether the list has no items, or there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[inline(never)]
    fn list(&self) -> &'t [Node<'t>] {
        #[cfg(not(target_arch = "wasm32"))]
        self.note(|| Asked::List);
        match self.node {
            Some(Node::List(items)) => return items,
            None | Some(Node::Null) => {}
            Some(_) => self.refuse_type("a list"),
        }
        &[]
    }

    /// The items of a list.
    pub fn items<'a>(&'a self) -> impl Iterator<Item = Field<'a, 't>> + Clone {
        let item = |(index, node)| self.child(Some(node), Step::Index(index));
        self.list().iter().enumerate().map(item)
    }

    /// The items of a list, of which there may be so many.
    pub fn items_up_to<'a>(&'a self, limit: usize) -> impl Iterator<Item = Field<'a, 't>> + Clone {
        #[cfg(not(target_arch = "wasm32"))]
        self.note(|| Asked::ListUpTo(limit));
        if self.len() > limit {
            let rule = ["must hold at most ", &limit.to_string()].concat();
            self.refuse_got(&rule, &self.len().to_string());
        }
        self.items().take(limit)
    }

    /// The fields of an object, in the order of the text.
    pub fn fields<'a>(&'a self) -> impl Iterator<Item = (&'t str, Field<'a, 't>)> {
        #[cfg(not(target_arch = "wasm32"))]
        self.note(|| Asked::Fields);
        let fields: &'t [_] = match self.node {
            Some(Node::Map(fields)) => fields,
            None | Some(Node::Null) => &[],
            Some(_) => {
                self.refuse_type("an object");
                &[]
            }
        };
        let field =
            |(name, node): &'t (Cow<'t, str>, Node<'t>)| (&**name, self.child(Some(node), Step::Name(name)));
        fields.iter().map(field)
    }

    /// Whether an object stands here.
    pub fn is_object(&self) -> bool {
        matches!(self.node, Some(Node::Map(_)))
    }
}

#[cold]
#[inline(never)]
fn one_of(names: &[&str]) -> String {
    let mut text = String::new();
    for (place, name) in names.iter().enumerate() {
        text.push_str(match (place, names.len()) {
            (0, 1 | 2) => "",
            (0, _) => "one of ",
            (_, 2) => " or ",
            _ => ", ",
        });
        text.push('`');
        text.push_str(name);
        text.push('`');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{Field, Node};
    use std::cell::RefCell;

    #[derive(Debug, Clone, Copy, PartialEq)]
    enum On {
        Path,
        Header,
    }

    choices!(On { "path" => Path, "header" => Header });

    /// Reads a list of items, each with fields of all types.
    fn read(text: &str) -> Result<Vec<String>, String> {
        let node = Node::parse(text.as_bytes()).unwrap();
        let refused = RefCell::default();
        let root = Field::root(&node, &refused);
        let mut read = Vec::new();
        for item in root.items_up_to(3) {
            item.only(&["size", "share", "on", "names", "loop", "set"]);
            let names: Vec<_> =
                item.get("names").items().filter_map(|name| name.text().map(str::to_owned)).collect();
            let set: Vec<_> =
                item.get("set").fields().map(|(name, value)| format!("{name}={:?}", value.word())).collect();
            let share = item.get("share").number().map(|number| number.value);
            let (size, on) = (item.get("size").whole(0, 9), On::read(&item.get("on")));
            read.push(format!("{size:?} {share:?} {on:?} {names:?} {} {set:?}", item.get("loop").flag(true)));
        }
        root.finish(read).map_err(|error| error.to_string())
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(read(text), Err(expected.to_owned()), "{text}");
    }

    #[test]
    fn fields_are_read_and_others_are_wanting() {
        let text = r#"[{}, {"size": 3, "share": 0.25, "on": "header", "names": ["a"], "loop": false, "set": {"x": 1, "y": "z"}}, {"on": null}]"#;
        let none = "None None None [] true []";
        let full = r#"Some(3) Some(0.25) Some(Header) ["a"] false ["x=Some(\"1\")", "y=Some(\"z\")"]"#;
        assert_eq!(read(text).unwrap(), [none, full, none]);
    }

    #[test]
    fn the_first_value_that_is_wrong_is_refused_with_its_path() {
        check(r#"{"size":3}"#, "invalid type: an object, expected a list");
        check(r#"[{},{"size":"x"},{"on":1}]"#, "[1].size: invalid type: string \"x\", expected a number");
        check(r#"[{"size":-1}]"#, "[0].size: must be 0..=9, got -1");
        check(r#"[{"size":1.5}]"#, "[0].size: must be 0..=9, got 1.5");
        check(r#"[{"share":1e-40}]"#, "[0].share: must be a number of at most 19 digits, got 1e-40");
        check(r#"[{"names":["a",3]}]"#, "[0].names[1]: invalid type: number `3`, expected a string");
        check(r#"[{"names":{}}]"#, "[0].names: invalid type: an object, expected a list");
        check(r#"[{"loop":null}]"#, "[0].loop: invalid type: null, expected a boolean");
        check(r#"[{"on":"pith"}]"#, "[0].on: unknown variant `pith`, expected `path` or `header`");
        check(r#"[{"on":[]}]"#, "[0].on: invalid type: a list, expected a string");
        check(r#"[{"set":{"x":true}}]"#, "[0].set.x: invalid type: a boolean, expected a string");
        check(r#"[{"set":[]}]"#, "[0].set: invalid type: a list, expected an object");
        check("[{},{},{},{}]", "must hold at most 3, got 4");
        check(
            r#"[{"loops":true}]"#,
            "[0].loops: unknown field `loops`, expected one of `size`, `share`, `on`, `names`, `loop`, `set`",
        );
        check("[true]", "[0]: invalid type: a boolean, expected an object");
        check("[null]", "[0]: invalid type: null, expected an object");
    }
}

//! A plugin's configuration, from its bytes to the fields of a filter's own structs.
//!
//! A struct of settings is plain data with a `Default`; [`fields!`](crate::fields) says what its fields are called. An unknown field, a field
//! that is there twice and a value of the wrong type are refused with the field's path.
//!
//! Readers that serde derives are the same in use and took 60 KB of a module of 250, with serde_json: each is compiled for its struct, for
//! objects and for arrays. Here a field costs a call.

mod json;
mod number;

pub use json::Node;

use crate::ConfigError;

/// What can be set from a configuration.
pub trait Setting {
    /// Takes the value that stands in the configuration.
    ///
    /// # Errors
    /// The value is of the wrong type, or holds a field that is unknown.
    fn set(&mut self, node: &Node<'_>) -> Result<(), ConfigError>;
}

/// Makes a struct a [`Setting`] by the names of its fields: `fields!(Config { name, arms, matches as "match" });`. All of them are named.
#[macro_export]
macro_rules! fields {
    ($type:ident { $($field:ident $(as $name:literal)?),* $(,)? }) => {
        impl $crate::settings::Setting for $type {
            #[inline(never)]
            fn set(&mut self, node: &$crate::settings::Node<'_>) -> Result<(), $crate::ConfigError> {
                const NAMES: &[&str] = &[$($crate::fields!(@name $field $($name)?)),*];
                let mut fields: [&mut dyn $crate::settings::Setting; NAMES.len()] = {
                    let Self { $($field),* } = self;
                    [$($field),*]
                };
                $crate::settings::object(node, NAMES, &mut fields)
            }
        }
    };
    (@name $field:ident $name:literal) => { $name };
    (@name $field:ident) => { stringify!($field) };
}

/// Makes an enum a [`Setting`] by the words for its variants: `choices!(SameSite { "strict" => Strict, "lax" => Lax });`.
#[macro_export]
macro_rules! choices {
    ($type:ident { $($name:literal => $variant:ident),+ $(,)? }) => {
        impl $crate::settings::Setting for $type {
            fn set(&mut self, node: &$crate::settings::Node<'_>) -> Result<(), $crate::ConfigError> {
                const CHOICES: &[$type] = &[$($type::$variant),+];
                let place = $crate::settings::choose(node, &[$($name),+])?;
                if let Some(choice) = CHOICES.get(place) {
                    *self = *choice;
                }
                Ok(())
            }
        }
    };
}

/// Reads an object into fields.
///
/// # Errors
/// It is no object, has a field that is not among the names, or one that cannot be read.
#[inline(never)]
pub fn object(node: &Node<'_>, names: &[&str], fields: &mut [&mut dyn Setting]) -> Result<(), ConfigError> {
    let Node::Map(given) = node else { return Err(wrong_type(node, "an object")) };
    for (name, value) in given {
        let field = names.iter().position(|known| known == name).and_then(|place| fields.get_mut(place));
        let set = match field {
            Some(field) => field.set(value),
            None => Err(ConfigError::new("", format!("unknown field `{name}`, expected {}", one_of(names)))),
        };
        set.map_err(|error| error.inside(name))?;
    }
    Ok(())
}

/// The place of a word among those that may stand here.
///
/// # Errors
/// It is no string, or another word.
#[inline(never)]
pub fn choose(node: &Node<'_>, names: &[&str]) -> Result<usize, ConfigError> {
    let Node::String(word) = node else { return Err(wrong_type(node, "a string")) };
    names
        .iter()
        .position(|name| name == word)
        .ok_or_else(|| ConfigError::new("", format!("unknown variant `{word}`, expected {}", one_of(names))))
}

#[cold]
fn one_of(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| ["`", name, "`"].concat()).collect();
    match quoted.as_slice() {
        [one] => one.clone(),
        [one, other] => [one, " or ", other].concat(),
        several => ["one of ", &several.join(", ")].concat(),
    }
}

/// The error for a value of another type.
#[cold]
#[inline(never)]
pub fn wrong_type(node: &Node<'_>, expected: &str) -> ConfigError {
    let got = match node {
        Node::Null => "null".to_owned(),
        Node::Bool(value) => format!("boolean `{value}`"),
        Node::Number(text) => format!("number `{text}`"),
        Node::String(text) => format!("string \"{text}\""),
        Node::List(_) => "a list".to_owned(),
        Node::Map(_) => "an object".to_owned(),
    };
    ConfigError::new("", ["invalid type: ", &got, ", expected ", expected].concat())
}

/// The text of a string.
///
/// # Errors
/// It is none.
#[inline(never)]
pub fn text<'n>(node: &'n Node<'_>) -> Result<&'n str, ConfigError> {
    match node {
        Node::String(text) => Ok(text),
        other => Err(wrong_type(other, "a string")),
    }
}

/// A whole number between bounds.
///
/// # Errors
/// It is none, or out of the bounds.
#[inline(never)]
pub fn whole(node: &Node<'_>, least: i64, most: i64) -> Result<i64, ConfigError> {
    match node {
        Node::Number(text) if !text.contains(['.', 'e', 'E']) => match text.parse() {
            Ok(number) if (least..=most).contains(&number) => Ok(number),
            _ => Err(ConfigError::new("", format!("must be {least}..={most}, got {text}"))),
        },
        other => Err(wrong_type(other, "a whole number")),
    }
}

/// A number.
///
/// # Errors
/// It is none, or has more digits than are read.
#[inline(never)]
pub fn number(node: &Node<'_>) -> Result<f64, ConfigError> {
    match node {
        Node::Number(text) => number::double(text).ok_or_else(|| {
            ConfigError::new("", format!("must be a number of at most 19 digits, got {text}"))
        }),
        other => Err(wrong_type(other, "a number")),
    }
}

/// The items of a list.
///
/// # Errors
/// It is none.
pub fn list<'n, 't>(node: &'n Node<'t>) -> Result<&'n [Node<'t>], ConfigError> {
    match node {
        Node::List(items) => Ok(items),
        other => Err(wrong_type(other, "a list")),
    }
}

impl Setting for bool {
    fn set(&mut self, node: &Node<'_>) -> Result<(), ConfigError> {
        match node {
            Node::Bool(value) => *self = *value,
            other => return Err(wrong_type(other, "a boolean")),
        }
        Ok(())
    }
}

impl Setting for i64 {
    fn set(&mut self, node: &Node<'_>) -> Result<(), ConfigError> {
        *self = whole(node, Self::MIN, Self::MAX)?;
        Ok(())
    }
}

impl Setting for u32 {
    fn set(&mut self, node: &Node<'_>) -> Result<(), ConfigError> {
        let number = whole(node, 0, i64::from(Self::MAX))?;
        *self = Self::try_from(number).unwrap_or(Self::MAX);
        Ok(())
    }
}

impl Setting for f64 {
    fn set(&mut self, node: &Node<'_>) -> Result<(), ConfigError> {
        *self = number(node)?;
        Ok(())
    }
}

impl Setting for String {
    fn set(&mut self, node: &Node<'_>) -> Result<(), ConfigError> {
        text(node)?.clone_into(self);
        Ok(())
    }
}

impl<T: Setting + Default> Setting for Option<T> {
    fn set(&mut self, node: &Node<'_>) -> Result<(), ConfigError> {
        *self = None;
        if *node != Node::Null {
            self.insert(T::default()).set(node)?;
        }
        Ok(())
    }
}

impl<T: Setting + Default> Setting for Vec<T> {
    fn set(&mut self, node: &Node<'_>) -> Result<(), ConfigError> {
        self.clear();
        for (index, node) in list(node)?.iter().enumerate() {
            let mut item = T::default();
            item.set(node).map_err(|error| error.inside(format_args!("[{index}]")))?;
            self.push(item);
        }
        Ok(())
    }
}

/// Pairs of names and values, in the order of the text.
impl<T: Setting + Default> Setting for Vec<(String, T)> {
    fn set(&mut self, node: &Node<'_>) -> Result<(), ConfigError> {
        let Node::Map(fields) = node else { return Err(wrong_type(node, "an object")) };
        self.clear();
        for (name, node) in fields {
            let mut value = T::default();
            value.set(node).map_err(|error| error.inside(name))?;
            self.push((name.to_string(), value));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Node, Setting};

    #[derive(Debug, Default, PartialEq)]
    struct Item {
        size: u32,
        share: f64,
        on: Option<On>,
        names: Vec<String>,
        loops: bool,
    }

    #[derive(Debug, Clone, Copy, Default, PartialEq)]
    enum On {
        #[default]
        Path,
        Header,
    }

    fields!(Item { size, share, on, names, loops as "loop" });
    choices!(On { "path" => Path, "header" => Header });

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let mut items: Vec<Item> = Vec::new();
        let set = items.set(&Node::parse(text.as_bytes()).unwrap());
        assert_eq!(set.map_err(|error| error.to_string()), Err(expected.to_owned()), "{text}");
    }

    #[test]
    fn fields_are_set_and_others_keep_their_default() {
        let mut items: Vec<Item> = Vec::new();
        let text = br#"[{}, {"size": 3, "share": 0.25, "on": "header", "names": ["a"], "loop": true}, {"on": null}]"#;
        items.set(&Node::parse(text).unwrap()).unwrap();
        let full =
            Item { size: 3, share: 0.25, on: Some(On::Header), names: vec!["a".to_owned()], loops: true };
        assert_eq!(items, [Item::default(), full, Item::default()]);
    }

    #[test]
    fn a_value_of_the_wrong_type_is_refused_with_its_path() {
        check(r#"{"size":3}"#, "invalid type: an object, expected a list");
        check(r#"[{},{"size":"x"}]"#, "[1].size: invalid type: string \"x\", expected a whole number");
        check(r#"[{"size":-1}]"#, "[0].size: must be 0..=4294967295, got -1");
        check(r#"[{"size":1.5}]"#, "[0].size: invalid type: number `1.5`, expected a whole number");
        check(
            r#"[{"size":99999999999999999999}]"#,
            "[0].size: must be 0..=4294967295, got 99999999999999999999",
        );
        check(r#"[{"share":1e-40}]"#, "[0].share: must be a number of at most 19 digits, got 1e-40");
        check(r#"[{"names":["a",3]}]"#, "[0].names[1]: invalid type: number `3`, expected a string");
        check(r#"[{"names":{}}]"#, "[0].names: invalid type: an object, expected a list");
        check(r#"[{"loop":null}]"#, "[0].loop: invalid type: null, expected a boolean");
        check(r#"[{"on":"pith"}]"#, "[0].on: unknown variant `pith`, expected `path` or `header`");
        check(r#"[{"on":[]}]"#, "[0].on: invalid type: a list, expected a string");
        check(
            r#"[{"loops":true}]"#,
            "[0].loops: unknown field `loops`, expected one of `size`, `share`, `on`, `names`, `loop`",
        );
        check(r"[true]", "[0]: invalid type: boolean `true`, expected an object");
    }
}

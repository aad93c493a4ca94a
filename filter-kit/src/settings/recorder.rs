//! What a filter asks of its configuration, noted on hosts alone: a schema that is written by hand is compared with it.

use std::cell::RefCell;

/// One question about a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// Whether it is an object with fields of these names alone.
    Only(Vec<String>),
    /// For a text.
    Text,
    /// For a boolean, with the one that is meant where nothing stands.
    Flag(bool),
    /// For a number.
    Number,
    /// For a whole number between bounds.
    Whole(i64, i64),
    /// For one of these words.
    Choice(Vec<String>),
    /// For a list.
    List,
    /// For a list of at most so many items.
    ListUpTo(usize),
    /// For all fields of an object, whatever their names.
    Fields,
}

/// The questions that a filter asked while it was compiled, each with the path of its field.
#[derive(Debug, Default)]
pub struct Recorder(RefCell<Vec<(String, Asked)>>);

impl Recorder {
    pub(super) fn note(&self, path: String, asked: Asked) {
        self.0.borrow_mut().push((path, asked));
    }

    /// All questions, in their order.
    pub fn into_asked(self) -> Vec<(String, Asked)> {
        self.0.into_inner()
    }
}

//! On which line of a file a key stands.

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// A scenario file with the places of its keys.
pub(super) struct Lines<'t> {
    text: &'t str,
    root: Option<Spanned<DeTable<'t>>>,
}

impl<'t> Lines<'t> {
    pub(super) fn of(text: &'t str) -> Self {
        Self { text, root: DeTable::parse(text).ok() }
    }

    /// The line, from 1, of a key's path, such as `exchange[1].request.headers.cookie`, in the scenario of this number where a file has several. Of what is
    /// not there it is the line of what is around it.
    pub(super) fn find(&self, scenario: Option<usize>, key: &str) -> usize {
        let Some(root) = &self.root else { return 1 };
        let mut path: Vec<Part<'_>> = parts(key);
        let shared = path.first().and_then(|part| root.get_ref().get(part.name()));
        let mut place = 0;
        if let Some(index) = scenario {
            let own = root.get_ref().get("scenario").and_then(|list| list.get_ref().as_array()?.get(index));
            let has_own = own.is_some_and(|own| {
                let table = own.get_ref().as_table();
                table.is_some_and(|table| path.first().is_some_and(|part| table.contains_key(part.name())))
            });
            if has_own || shared.is_none() {
                path.splice(0..0, [Part::Name("scenario"), Part::Index(index)]);
            }
        }
        let mut value: Option<&DeValue<'_>> = None;
        for part in path {
            let table = value.map_or(Some(root.get_ref()), DeValue::as_table);
            let found = match part {
                Part::Name(name) => table
                    .and_then(|table| table.get_key_value(name))
                    .map(|(key, value)| (key.span().start, value)),
                Part::Index(index) => {
                    let item = value.and_then(DeValue::as_array).and_then(|list| list.get(index));
                    item.map(|item| (item.span().start, item))
                }
            };
            let Some((start, next)) = found else { break };
            (place, value) = (start, Some(next.get_ref()));
        }
        1 + self.text.bytes().take(place).filter(|byte| *byte == b'\n').count()
    }
}

/// A part of a path.
#[derive(Clone, Copy)]
enum Part<'k> {
    Name(&'k str),
    Index(usize),
}

impl<'k> Part<'k> {
    fn name(self) -> &'k str {
        match self {
            Self::Name(name) => name,
            Self::Index(_) => "",
        }
    }
}

fn parts(key: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    for part in key.split('.').filter(|part| !part.is_empty()) {
        let mut names = part.split('[');
        parts.extend(names.next().filter(|name| !name.is_empty()).map(Part::Name));
        parts.extend(names.filter_map(|index| index.trim_end_matches(']').parse().ok()).map(Part::Index));
    }
    parts
}

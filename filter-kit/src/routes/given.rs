//! Templates that the configuration gives, as a trie: what it takes to find one does not grow with their count.

use super::GIVEN_LIMIT;
use crate::{Template, settings::Field, template::Segment};
use std::rc::Rc;

/// The most bytes of a template, which is a label too.
const LENGTH_LIMIT: usize = 256;

/// The most segments of a template. It bounds the stack.
const DEPTH_LIMIT: usize = 32;

/// Templates by their segments.
#[derive(Debug, Default)]
pub(super) struct Given {
    root: Node,
    count: usize,
}

#[derive(Debug, Default)]
struct Node {
    /// By their texts, in their order.
    literals: Vec<(Box<[u8]>, Node)>,
    any: Option<Box<Node>>,
    /// The template that ends here, and the one that takes whatever follows.
    end: Option<usize>,
    rest: Option<usize>,
    /// The first template at or below this node.
    first: usize,
}

impl Given {
    /// Reads a list of templates, and the label of each.
    pub(super) fn read(field: &Field<'_, '_>) -> (Self, Vec<Rc<str>>) {
        let (mut given, mut texts) = (Self::default(), Vec::new());
        for item in field.items_up_to(GIVEN_LIMIT) {
            let text = item.text().unwrap_or_default();
            if text.len() > LENGTH_LIMIT || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
                item.refuse_text("must be at most 256 bytes of visible ASCII", text);
                continue;
            }
            match Template::parse(text) {
                Ok(template) if template.parts().0.len() > DEPTH_LIMIT => {
                    item.refuse_text("must have at most 32 segments", text);
                }
                Ok(template) => match given.insert(&template) {
                    None => texts.push(text.into()),
                    Some(earlier) => {
                        let earlier = texts.get(earlier).map_or("", |text: &Rc<str>| text);
                        let rule = ["must not match the same paths as ", earlier].concat();
                        item.refuse_text(&rule, text);
                    }
                },
                Err(error) => item.refuse_text(&error.to_string(), text),
            }
        }
        (given, texts)
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// Puts a template in, or says which one of the same form is there already.
    fn insert(&mut self, template: &Template) -> Option<usize> {
        let (segments, is_open) = template.parts();
        let mut node = &mut self.root;
        for segment in segments {
            node = match segment {
                Segment::Literal(text) => match node.literal(text, self.count) {
                    Some(node) => node,
                    None => return Some(0),
                },
                Segment::Any => {
                    node.any.get_or_insert_with(|| Box::new(Node { first: self.count, ..Node::default() }))
                }
            };
        }
        let place = if is_open { &mut node.rest } else { &mut node.end };
        if place.is_some() {
            return *place;
        }
        *place = Some(self.count);
        self.count += 1;
        None
    }

    /// The place of the first template that matches a path, whose first `/` is not there.
    pub(super) fn find(&self, path: &[u8]) -> Option<usize> {
        if self.count == 0 {
            return None;
        }
        let mut best = usize::MAX;
        self.root.find(Some(path), &mut best);
        (best != usize::MAX).then_some(best)
    }
}

impl Node {
    fn literal(&mut self, text: &[u8], place: usize) -> Option<&mut Self> {
        let at = match self.literals.binary_search_by(|(other, _)| (**other).cmp(text)) {
            Ok(at) => at,
            Err(at) => {
                self.literals.insert(at, (text.into(), Self { first: place, ..Self::default() }));
                at
            }
        };
        self.literals.get_mut(at).map(|(_, node)| node)
    }

    /// Looks for a template before the best so far. `path` is what is left, or nothing where the segments have ended.
    fn find(&self, path: Option<&[u8]>, best: &mut usize) {
        *best = self.rest.map_or(*best, |rest| rest.min(*best));
        let Some(path) = path else {
            *best = self.end.map_or(*best, |end| end.min(*best));
            return;
        };
        let (segment, rest) = match memchr::memchr(b'/', path) {
            Some(end) => (path.get(..end).unwrap_or(path), path.get(end + 1..)),
            None => (path, None),
        };
        if let Ok(at) = self.literals.binary_search_by(|(other, _)| (**other).cmp(segment))
            && let Some((_, node)) = self.literals.get(at)
            && node.first < *best
        {
            node.find(rest, best);
        }
        if let Some(node) = &self.any
            && !segment.is_empty()
            && node.first < *best
        {
            node.find(rest, best);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Given;
    use crate::Template;
    use proptest::prelude::*;

    fn template() -> impl Strategy<Value = String> {
        let segments = prop::collection::vec(prop_oneof![Just("a"), Just("b"), Just(""), Just("{x}")], 0..5);
        (segments, any::<bool>()).prop_map(|(segments, is_open)| {
            let text = segments.iter().flat_map(|segment| ["/", *segment]).collect::<String>();
            if is_open || text.is_empty() { format!("{text}/{{**}}") } else { text }
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

        #[test]
        fn the_first_template_that_matches_is_found(texts in prop::collection::vec(template(), 0..12), path in "(/[abc]?){1,6}") {
            let (mut given, mut templates) = (Given::default(), Vec::<Template>::new());
            for text in &texts {
                let template = Template::parse(text).unwrap();
                let earlier = templates.iter().position(|other| *other == template);
                prop_assert_eq!(given.insert(&template), earlier);
                if earlier.is_none() {
                    templates.push(template);
                }
            }
            let expected = templates.iter().position(|template| template.matches(path.as_bytes()));
            prop_assert_eq!(given.find(&path.as_bytes()[1..]), expected);
        }
    }
}

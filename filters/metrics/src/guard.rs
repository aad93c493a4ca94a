//! Keeps personal data and secrets out of labels.

use filter_kit::{concat, metrics::Label, settings::Field};
use pii::{Engine, Entity, Place, Set};

/// Finds what must not stand in a label.
#[derive(Debug, Default)]
pub struct Guard {
    engine: Engine,
    /// What may stand in one.
    allowed: Set,
}

impl Guard {
    /// Reads `{"allow": ["ipv4"]}`.
    pub fn read(field: &Field<'_, '_>) -> Self {
        field.only(&["allow"]);
        let mut allowed = Set::EMPTY;
        for item in field.get("allow").items() {
            let id = item.text().unwrap_or_default();
            match Entity::from_id(id) {
                Some(entity) => allowed = allowed.with(entity),
                None => item.refuse_text("must be the id of an entity, such as `ipv4`", id),
            }
        }
        Self { engine: Engine::default(), allowed }
    }

    /// What stands for a value in which there is something personal: the type of the first of it in brackets, of which there are few.
    pub fn replace(&self, value: &[u8], place: Place<'_>) -> Option<Label<'static>> {
        let findings = self.engine.find(value, place);
        let entity =
            findings.spans().iter().map(|span| span.entity).find(|entity| !self.allowed.has(*entity))?;
        Some(label(name(entity).as_bytes()))
    }

    /// What stands for the label of a route in which there is something personal: a segment in base64 may by chance look like a word.
    pub fn route(&self, route: &[u8]) -> Option<Label<'static>> {
        let findings = self.engine.find(route, Place::Text);
        let (mut text, mut done) = (Vec::new(), 0);
        for span in findings.spans().iter().filter(|span| !self.allowed.has(span.entity)) {
            text.extend_from_slice(route.get(done..span.start).unwrap_or_default());
            text.extend_from_slice(name(span.entity).as_bytes());
            done = span.end;
        }
        if done == 0 {
            return None;
        }
        text.extend_from_slice(route.get(done..).unwrap_or_default());
        Some(label(&text))
    }
}

fn label(text: &[u8]) -> Label<'static> {
    Label::new(text).into_owned()
}

fn name(entity: Entity) -> String {
    concat(&["[", &entity.id().to_ascii_uppercase(), "]"])
}

//! Keeps personal data and secrets out of labels.

use filter_kit::{metrics::Label, settings::Field};
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
    pub fn replace(&self, value: &str, place: Place<'_>) -> Option<Label<'static>> {
        let findings = self.engine.find(value.as_bytes(), place);
        let entity =
            findings.spans().iter().map(|span| span.entity).find(|entity| !self.allowed.has(*entity))?;
        let text = ["[", &entity.id().to_ascii_uppercase(), "]"].concat();
        Some(Label::new(text.as_bytes()).into_owned())
    }
}

//! Texts in which nothing was found, remembered: the values of some headers are the same in most requests.

use crate::{Engine, Findings, Place};
use std::cell::RefCell;

/// How many texts are remembered, one for each value of six bits of a hash. A later one takes an earlier one's place.
const SLOTS: usize = 64;
/// The longest text that is remembered, in bytes.
const LONGEST: usize = 256;

/// Remembers texts in which an engine has found nothing: 64 of at most 256 bytes. They are compared whole, so that no other text is ever taken for
/// one of them, and what has something in it is never kept.
#[derive(Debug)]
pub struct Memo(RefCell<Vec<Slot>>);

/// A text with the hash of it and its field's name.
type Slot = Option<(u64, Box<[u8]>)>;

impl Default for Memo {
    fn default() -> Self {
        Self(RefCell::new((0..SLOTS).map(|_| None).collect()))
    }
}

impl Memo {
    /// What [`Engine::find`] finds. It must be the same engine each time.
    pub fn find(&self, engine: &Engine, text: &[u8], place: Place<'_>) -> Findings {
        if text.len() > LONGEST {
            return engine.find(text, place);
        }
        let name: &[u8] = match place {
            Place::Text => b"",
            Place::Field(name) => name,
        };
        let hash = hash(name, text);
        let slot = usize::try_from(hash >> 58).unwrap_or(0);
        let Ok(mut slots) = self.0.try_borrow_mut() else { return engine.find(text, place) };
        let Some(known) = slots.get_mut(slot) else { return engine.find(text, place) };
        // The hash stands for the field's name, which comes from a configuration; the text is compared.
        if known.as_ref().is_some_and(|(of, known)| *of == hash && **known == *text) {
            return Findings::default();
        }
        let findings = engine.find(text, place);
        if findings.spans().is_empty() {
            *known = Some((hash, text.into()));
        }
        findings
    }
}

/// Eight bytes at a time: multiply and fold, as wyhash does (W. Yi, 2019). No secret depends on it.
fn hash(name: &[u8], text: &[u8]) -> u64 {
    let mut hash = 0x9e37_79b9_7f4a_7c15_u64 ^ text.len() as u64;
    for part in [name, text] {
        let (words, tail) = part.as_chunks();
        for word in words {
            hash = fold(hash ^ u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        for (into, byte) in last.iter_mut().zip(tail) {
            *into = *byte;
        }
        hash = fold(hash ^ u64::from_le_bytes(last));
    }
    hash
}

fn fold(value: u64) -> u64 {
    let mixed = value.wrapping_mul(0xa076_1d64_78bd_642f);
    (mixed ^ mixed >> 32).wrapping_mul(0xe703_7ed1_a0b4_28db)
}

#[cfg(test)]
mod tests {
    use super::Memo;
    use crate::{Engine, Entity, Place};

    #[test]
    fn what_is_remembered_is_what_would_be_found() {
        let (engine, memo) = (Engine::default(), Memo::default());
        let texts: Vec<String> = (0..300)
            .flat_map(|number| {
                [format!("agent/{number}.0 (X11)"), format!("joe{number}@example.com"), format!("17{number}")]
            })
            .collect();
        for _ in 0..3 {
            for text in &texts {
                for place in [Place::Text, Place::Field(b"user-agent"), Place::Field(b"password")] {
                    assert_eq!(
                        memo.find(&engine, text.as_bytes(), place),
                        engine.find(text.as_bytes(), place),
                        "{text}"
                    );
                }
            }
        }
        assert!(memo.find(&engine, b"1234", Place::Field(b"pin")).entities().has(Entity::Password));
    }
}

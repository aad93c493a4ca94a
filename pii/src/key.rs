//! The names of fields, and the words around a value, that say what the value is.

use crate::entity::{Entity, Set};
use std::borrow::Cow;

mod names;

/// How much a field's name decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The value is the entity, whatever it looks like.
    Decides,
    /// The same, but only under this whole name: `pin` is one, `spin` and `map_pin` are none.
    Exactly,
    /// The value is the entity if it looks as one may.
    IfShaped,
    /// The name only looks like one that decides.
    Never,
}

/// What a name or a word says.
#[derive(Debug)]
struct Entry {
    hash: u32,
    name: Cow<'static, str>,
    key: Option<(Entity, Role)>,
    words: Set,
}

/// The longest name that is looked up; a longer one is looked up by its last words.
const LONGEST: usize = 40;
/// The sizes of the table: a power of two, several times the number of names.
const SLOTS: usize = 2048;

/// All names and words, hashed.
#[derive(Debug)]
pub struct Keys {
    entries: Vec<Entry>,
    slots: Vec<u16>,
    /// The lengths of the names that begin with a letter, a bit for each.
    lengths: [u64; 256],
    /// A bit for each last three letters that a name has.
    tails: [u64; TAILS / 64],
}

impl Keys {
    /// The names and words of the entities that are switched on, and the user's own.
    ///
    /// `SLOTS / 4` of the user's are taken at most, which the configuration checks.
    pub fn new(on: Set, own: impl IntoIterator<Item = (String, Entity)>) -> Self {
        let mut keys = Self {
            entries: Vec::with_capacity(640),
            slots: vec![u16::MAX; SLOTS],
            lengths: [0; 256],
            tails: [0; TAILS / 64],
        };
        for (name, entity) in own {
            let name: String = normal(name.as_bytes()).map(char::from).collect();
            keys.entry(Cow::Owned(name)).key = Some((entity, Role::Decides));
        }
        for (entity, role, names) in names::KEYS {
            for name in names.iter().filter(|_| on.has(*entity)) {
                let entry = keys.entry(Cow::Borrowed(name));
                entry.key = entry.key.or(Some((*entity, *role)));
                entry.words = entry.words.with(*entity);
            }
        }
        for (entities, names) in names::WORDS {
            for name in *names {
                let entry = keys.entry(Cow::Borrowed(name));
                entry.words = entities.iter().fold(entry.words, |words, entity| words.with(*entity));
            }
        }
        for name in names::ANY_NUMBER {
            let entry = keys.entry(Cow::Borrowed(name));
            // Firms and physicians have these, and nobody calls them an identity.
            let of_firms =
                |entity| matches!(entity, Entity::UsNpi | Entity::UsDea | Entity::UkUtr | Entity::AuAbn);
            let identity = Entity::ALL
                .iter()
                .filter(|entity| entity.group() == crate::Group::Identity && !of_firms(**entity));
            entry.words = identity.fold(entry.words, |words, entity| words.with(*entity));
        }
        keys
    }

    fn entry(&mut self, name: Cow<'static, str>) -> &mut Entry {
        let found = self.find(name.as_bytes());
        let index = found.unwrap_or_else(|slot| {
            let index = self.entries.len();
            let first = name.bytes().next().unwrap_or(0);
            if let Some(lengths) = self.lengths.get_mut(usize::from(first)) {
                *lengths |= 1 << name.len().min(63);
            }
            if let Some(three) = name.as_bytes().last_chunk() {
                let tail = tail(*three);
                if let Some(bits) = self.tails.get_mut(tail / 64) {
                    *bits |= 1 << (tail % 64);
                }
            }
            let hash = hash(name.as_bytes());
            self.entries.push(Entry { hash, name, key: None, words: Set::EMPTY });
            if let (Some(slot), Ok(index)) = (self.slots.get_mut(slot), u16::try_from(index)) {
                *slot = index;
            }
            index
        });
        // The index is that of an entry: it was found, or has just been made.
        let last = self.entries.len() - 1;
        #[expect(clippy::indexing_slicing, reason = "the index is at most the last, and there is one")]
        &mut self.entries[index.min(last)]
    }

    /// The entry of a normal name, or the slot that it would have.
    #[inline]
    fn find(&self, name: &[u8]) -> Result<usize, usize> {
        let mut slot = slot(hash(name));
        loop {
            let index = self.slots.get(slot).copied().unwrap_or(u16::MAX);
            let Some(entry) = self.entries.get(usize::from(index)) else { return Err(slot) };
            if entry.name.as_bytes() == name {
                return Ok(usize::from(index));
            }
            slot = (slot + 1) % SLOTS;
        }
    }

    #[inline]
    fn get(&self, name: &[u8]) -> Option<&Entry> {
        let lengths = self.lengths.get(usize::from(*name.first()?)).copied().unwrap_or(0);
        if lengths >> name.len().min(63) & 1 == 0 {
            return None;
        }
        self.entries.get(self.find(name).ok()?)
    }

    /// What a field of this name holds: by the whole name, or else by its last words.
    pub fn entity(&self, name: &[u8]) -> Option<(Entity, Role)> {
        let name = name.get(name.len().saturating_sub(LONGEST)..).unwrap_or(name);
        // Most names of fields are known to be none of these by their last three letters. (In `clientIp` a name of two begins within them.)
        if let Some(three @ [_, second, last]) = name.last_chunk()
            && three.iter().all(u8::is_ascii_alphabetic)
            && !(second.is_ascii_uppercase() || last.is_ascii_uppercase())
        {
            let tail = tail(*three);
            if self.tails.get(tail / 64).is_none_or(|bits| bits >> (tail % 64) & 1 == 0) {
                return None;
            }
        }
        let mut text = [0_u8; LONGEST];
        let mut length = 0;
        // Where words begin in the normal name.
        let mut begins = 1_u64;
        let mut before = b'_';
        for byte in name {
            if is_letter(*byte) {
                let is_begin = !is_letter(before) || byte.is_ascii_uppercase() && before.is_ascii_lowercase();
                begins |= u64::from(is_begin) << length;
                if let Some(into) = text.get_mut(length) {
                    *into = byte.to_ascii_lowercase();
                }
                length += 1;
            }
            before = *byte;
        }
        let text = text.get(..length)?;
        let without_number =
            text.iter().rposition(|byte| !byte.is_ascii_digit()).map_or(0, |place| place + 1);
        // `peselNumber`: what a number is of stands before the word for it.
        let last = 63_u32.saturating_sub(begins.leading_zeros());
        let last = usize::try_from(last).unwrap_or(0);
        let is_of = text.get(last..).is_some_and(|word| names::NUMBERS.contains(&word));
        let without_word = if is_of { last } else { length };
        for (turn, end) in [length, without_number, without_word].into_iter().enumerate() {
            if turn > 0 && end == length {
                continue;
            }
            for begin in (0..length.min(64)).filter(|begin| begins >> begin & 1 == 1) {
                let Some(part) = text.get(begin..end).filter(|part| part.len() > 1) else { continue };
                match self.get(part).and_then(|entry| entry.key) {
                    Some((_, Role::Never)) => return None,
                    Some((_, Role::Exactly))
                        if begin > 0
                            && !text.get(..begin).is_some_and(|owner| names::OWNERS.contains(&owner)) => {}
                    Some((entity, _)) if end < without_number && !entity.has_number() => {}
                    Some(found) => return Some(found),
                    None => {}
                }
            }
        }
        None
    }

    /// What the words of a text speak of: each word, and each two in a row.
    pub fn words(&self, text: &[u8]) -> Set {
        let mut found = Set::EMPTY;
        // The word that is being read, and the same with the word before it in front: their hashes, lengths and first letters.
        let (mut word, mut pair) = (Hashed::EMPTY, Hashed::EMPTY);
        for byte in text.iter().copied().chain([b' ']) {
            if is_letter(byte) {
                let byte = byte.to_ascii_lowercase();
                word.push(byte);
                pair.push(byte);
                continue;
            }
            if word.length > 0 {
                found = found.or(self.words_of(word));
                if pair.length > word.length {
                    found = found.or(self.words_of(pair));
                }
                pair = word;
                word = Hashed::EMPTY;
            }
        }
        found
    }

    /// What a hashed word speaks of. Two words with one hash of 32 bits and one length are taken for the same.
    fn words_of(&self, hashed: Hashed) -> Set {
        let lengths = self.lengths.get(usize::from(hashed.first)).copied().unwrap_or(0);
        if lengths >> hashed.length.min(63) & 1 == 0 {
            return Set::EMPTY;
        }
        let mut slot = slot(hashed.hash);
        loop {
            let index = self.slots.get(slot).copied().unwrap_or(u16::MAX);
            let Some(entry) = self.entries.get(usize::from(index)) else { return Set::EMPTY };
            if entry.hash == hashed.hash && entry.name.len() == hashed.length {
                return entry.words;
            }
            slot = (slot + 1) % SLOTS;
        }
    }
}

/// FNV-1a of the letters so far.
#[derive(Clone, Copy)]
struct Hashed {
    hash: u32,
    length: usize,
    first: u8,
}

impl Hashed {
    const EMPTY: Self = Self { hash: 0x811c_9dc5, length: 0, first: 0 };

    #[inline]
    fn push(&mut self, byte: u8) {
        self.hash = (self.hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
        if self.length == 0 {
            self.first = byte;
        }
        self.length += 1;
    }
}

/// The bits of the table of last letters.
const TAILS: usize = 8192;

/// The place of three letters, in any case, in the table.
fn tail(three: [u8; 3]) -> usize {
    three.iter().fold(0, |sum, letter| sum << 4 ^ usize::from(letter & 31) ^ sum >> 9) % TAILS
}

#[inline]
fn hash(name: &[u8]) -> u32 {
    let mut hashed = Hashed::EMPTY;
    for byte in name {
        hashed.push(*byte);
    }
    hashed.hash
}

#[inline]
fn slot(hash: u32) -> usize {
    usize::try_from(hash ^ hash >> 15).unwrap_or(0) % SLOTS
}

/// A letter or digit, also of other scripts: what is left of a name when it is made normal.
#[inline]
fn is_letter(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte >= 0x80
}

fn normal(name: &[u8]) -> impl Iterator<Item = u8> {
    name.iter().filter(|byte| is_letter(**byte)).map(u8::to_ascii_lowercase)
}

#[cfg(test)]
mod tests {
    use super::Keys;
    use crate::entity::{Entity, Set};

    #[test]
    fn a_name_is_known_in_any_spelling_and_by_its_last_words() {
        let keys = Keys::new(Set::all(), [("Kunden-Nr".to_owned(), Entity::Custom)]);
        for (name, expected) in [
            ("email", Some(Entity::Email)),
            ("E-Mail", Some(Entity::Email)),
            ("user_email", Some(Entity::Email)),
            ("billingEmailAddress", Some(Entity::Email)),
            ("userIPAddress", Some(Entity::Ipv4)),
            ("user_ip_address", Some(Entity::Ipv4)),
            ("phone2", Some(Entity::Phone)),
            ("card.number", Some(Entity::Card)),
            ("kundennr", Some(Entity::Custom)),
            ("pin", Some(Entity::Password)),
            ("map_pin", None),
            ("spin", None),
            ("next_page_token", None),
            ("csrf_token", Some(Entity::Secret)),
            ("page", None),
            ("", None),
            ("-", None),
        ] {
            let name_bytes = name.as_bytes();
            assert_eq!(keys.entity(name_bytes).map(|(entity, _)| entity), expected, "{name}");
        }
    }

    #[test]
    fn words_are_known_alone_and_by_two() {
        let keys = Keys::new(Set::all(), []);
        assert!(keys.words(b"my SSN is ").has(Entity::UsSsn));
        assert!(keys.words(b"Social Security no. ").has(Entity::UsSsn));
        assert!(!keys.words(b"security club").has(Entity::UsSsn));
        assert!(keys.words("call me, naïve one, at".as_bytes()).has(Entity::Phone));
    }
}

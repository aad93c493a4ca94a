//! The names of fields, and the words around a value, that say what the value is.

use crate::{
    classify::{Block, Tokens, run},
    entity::{Entity, Set},
    span,
};
use ends::Ends;
use std::borrow::Cow;

mod ends;
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
    /// How the names of fields end, and how the words.
    names: Ends,
    words: Ends,
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
            names: Ends::EMPTY,
            words: Ends::EMPTY,
        };
        for (name, entity) in own {
            let name: String = normal(name.as_bytes()).map(char::from).collect();
            keys.names.insert(name.as_bytes());
            keys.entry(Cow::Owned(name)).key = Some((entity, Role::Decides));
        }
        for (entity, role, names) in names::KEYS {
            for name in names.iter().filter(|_| on.has(*entity)) {
                keys.names.insert(name.as_bytes());
                keys.words.insert(name.as_bytes());
                let entry = keys.entry(Cow::Borrowed(name));
                entry.key = entry.key.or(Some((*entity, *role)));
                entry.words = entry.words.with(*entity);
            }
        }
        for (entities, names) in names::WORDS {
            for name in *names {
                keys.words.insert(name.as_bytes());
                let entry = keys.entry(Cow::Borrowed(name));
                entry.words = entities.iter().fold(entry.words, |words, entity| words.with(*entity));
            }
        }
        // What the dispatcher knows by itself, and what stands behind names.
        for name in span::NAMES.iter().chain(names::NUMBERS) {
            keys.names.insert(name);
        }
        for name in names::ANY_NUMBER {
            keys.words.insert(name.as_bytes());
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

    /// Whether the name may be known. Most are known to be none of these by their last letters.
    #[inline]
    pub fn may_know(&self, name: &[u8]) -> bool {
        self.names.may_end(name)
    }

    /// Whether a name with these four bytes at its end may be known. Where not all of them are letters in lower case, a word may begin within them, or
    /// something else end it.
    #[inline]
    pub fn may_end(&self, four: [u8; 4]) -> bool {
        u32::from_le_bytes(four) & 0xe0e0_e0e0 != 0x6060_6060 || self.names.has(four)
    }

    /// Whether a word of one to three letters and digits may be a name, by four bytes that begin with it.
    #[expect(clippy::inline_always, reason = "a part of the loop over tokens")]
    #[inline(always)]
    pub fn may_be_short(&self, four: [u8; 4], length: usize) -> bool {
        self.names.may_be_short(four, length)
    }

    /// All names and words.
    #[cfg(test)]
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| &*entry.name)
    }

    /// What a field of this name holds: by the whole name, or else by its last words.
    pub fn entity(&self, name: &[u8]) -> Option<(Entity, Role)> {
        if self.may_know(name) { self.known(name) } else { None }
    }

    /// The same for a name that [may be known](Self::may_know).
    pub fn known(&self, name: &[u8]) -> Option<(Entity, Role)> {
        // `x-` before the name of a header is no word of it.
        let first = usize::from(name.len() <= LONGEST && matches!(name, [b'x' | b'X', b'-', ..]));
        let name = name.get(name.len().saturating_sub(LONGEST)..).unwrap_or(name);
        if is_lower(name) {
            // Most names are one word in lower case, and have no other part.
            return match self.get(name).and_then(|entry| entry.key) {
                Some((_, Role::Never)) | None => None,
                found => found.filter(|_| name.len() > 1),
            };
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
                        if begin > first
                            && !text
                                .get(first..begin)
                                .is_some_and(|owner| names::OWNERS.contains(&owner)) => {}
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
        self.words_within(text, 0, text.len())
    }

    /// The same for a part of a text, whose words are cut off at its ends.
    pub fn words_within(&self, text: &[u8], start: usize, end: usize) -> Set {
        let text = text.get(..end).unwrap_or(text);
        let mut found = Set::EMPTY;
        // Where the word before begins and ends.
        let mut before = (start, start);
        let mut place = start;
        while place < text.len() {
            let block = Tokens::of(text, place).block;
            let words = block.letters | block.digits | block.high;
            // Where four letters end.
            let pairs = block.letters & block.letters << 1;
            let fours = pairs & pairs << 2;
            let mut begins = words & !(words << 1);
            let mut next = place + Block::LENGTH;
            while begins != 0 {
                let at = begins.trailing_zeros() as usize;
                begins &= begins - 1;
                let length = run(words, at);
                let mut word = (place + at, place + at + length);
                let mut has_four = fours >> (at + length - 1) & 1 == 1 && length >= 4;
                if at + length == Block::LENGTH && next < text.len() {
                    if at > 0 {
                        // The word goes beyond the block, and the next one begins with it.
                        next = place + at;
                        break;
                    }
                    let rest = text.get(place..).unwrap_or_default();
                    word.1 = place + rest.iter().position(|byte| !is_letter(*byte)).unwrap_or(rest.len());
                    next = word.1;
                    has_four = false;
                }
                // The end of a longer word is that of the word with the one before it in front.
                let four = if has_four { text.get(word.1 - 4..).and_then(<[u8]>::first_chunk) } else { None };
                if four.is_none_or(|four| self.words.has(*four)) {
                    found = found.or(self.words_at(text, before, word));
                }
                before = word;
            }
            place = next;
        }
        found
    }

    #[inline(never)]
    fn words_at(&self, text: &[u8], before: (usize, usize), word: (usize, usize)) -> Set {
        let [before, word] = [before, word].map(|(start, end)| text.get(start..end).unwrap_or_default());
        if !self.words.may_end_words(before, word) {
            return Set::EMPTY;
        }
        let alone = self.words_of(&[], word);
        if before.is_empty() { alone } else { alone.or(self.words_of(before, word)) }
    }

    /// What a word speaks of, with the word before it in front. Two words with one hash of 32 bits and one length are taken for the same.
    fn words_of(&self, before: &[u8], word: &[u8]) -> Set {
        let length = before.len() + word.len();
        let Some(first) = before.iter().chain(word).next() else { return Set::EMPTY };
        let lengths = self.lengths.get(usize::from(first.to_ascii_lowercase())).copied().unwrap_or(0);
        if lengths >> length.min(63) & 1 == 0 {
            return Set::EMPTY;
        }
        let hash = hash(before.iter().chain(word));
        let mut slot = slot(hash);
        loop {
            let index = self.slots.get(slot).copied().unwrap_or(u16::MAX);
            let Some(entry) = self.entries.get(usize::from(index)) else { return Set::EMPTY };
            if entry.hash == hash && entry.name.len() == length {
                return entry.words;
            }
            slot = (slot + 1) % SLOTS;
        }
    }
}

/// Whether a name is nothing but letters in lower case.
#[inline]
fn is_lower(name: &[u8]) -> bool {
    name.iter().all(u8::is_ascii_lowercase)
}

/// FNV-1a of a name in lower case.
#[inline]
fn hash<'n>(name: impl IntoIterator<Item = &'n u8>) -> u32 {
    name.into_iter().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(byte.to_ascii_lowercase())).wrapping_mul(0x0100_0193)
    })
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
            ("x-pin", Some(Entity::Password)),
            ("x-map-pin", None),
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
    fn no_word_has_more_than_one_digit_and_that_is_its_last() {
        for (_, names) in super::names::WORDS {
            assert!(names.iter().all(|name| !name.bytes().any(|byte| byte.is_ascii_digit())), "{names:?}");
        }
        for (_, _, names) in super::names::KEYS {
            for name in *names {
                let digit = name.bytes().position(|byte| byte.is_ascii_digit());
                assert!(digit.is_none_or(|place| place + 1 == name.len()), "{name}");
            }
        }
    }

    #[test]
    fn words_are_known_alone_and_by_two() {
        let keys = Keys::new(Set::all(), []);
        assert!(keys.words(b"my SSN is ").has(Entity::UsSsn));
        assert!(keys.words(b"Social Security no. ").has(Entity::UsSsn));
        assert!(!keys.words(b"security club").has(Entity::UsSsn));
        assert!(keys.words("call me, naïve one, at".as_bytes()).has(Entity::Phone));
        assert!(keys.words(b"an ipv 4").has(Entity::Ipv4) && keys.words(b"x ipv4").has(Entity::Ipv4));
        // Words are found at every place of the blocks, and cut off at the ends of a part.
        for lead in 0..140 {
            let text = format!("{}my social security no. {}", "-".repeat(lead), "-".repeat(lead % 7));
            assert!(keys.words(text.as_bytes()).has(Entity::UsSsn), "{lead}");
            let phones = format!("{}telephones {}", "-".repeat(lead), "-".repeat(lead % 7));
            let cut = |from, to| keys.words_within(phones.as_bytes(), from, to);
            assert!(cut(0, lead + 9).has(Entity::Phone) && !cut(0, lead + 8).has(Entity::Phone), "{lead}");
            assert!(cut(lead + 4, lead + 9).has(Entity::Phone), "{lead}");
        }
    }
}

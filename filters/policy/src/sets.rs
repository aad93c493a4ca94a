//! Named sets of values and of addresses, as large as they may be: a value is looked up by its hash, an address once for each length of block in the set.

use crate::{
    address::{Address, Block},
    intern::Interner,
};
use filter_kit::settings::Field;

/// The most entries of all sets together.
const MOST: usize = 1_000_000;

/// A named set.
#[derive(Debug)]
pub struct Set {
    name: Box<str>,
    entries: Interner,
    /// Of addresses, the lengths of blocks, IPv4's and IPv6's; of values `None`.
    lengths: Option<[u128; 2]>,
    /// Whether there is a block of all 128 bits.
    has_whole: bool,
}

/// The place of a set.
pub type SetId = usize;

/// All named sets.
#[derive(Debug, Default)]
pub struct Sets(Vec<Set>);

impl Sets {
    /// Reads `{"values": {"name": [..]}, "addresses": {"name": [..]}}`.
    pub fn read(field: &Field<'_, '_>) -> Self {
        field.only(&["values", "addresses"]);
        let mut sets = Self::default();
        for (is_addresses, kind) in [(false, "values"), (true, "addresses")] {
            for (name, list) in field.get(kind).fields() {
                if sets.find(name).is_some() {
                    list.refuse("must have a name that no other set has");
                }
                sets.0.push(Set::read(name, &list, is_addresses));
            }
        }
        if sets.0.iter().map(|set| set.entries.len()).sum::<usize>() > MOST {
            field.refuse("must hold at most 1000000 entries");
        }
        sets
    }

    fn find(&self, name: &str) -> Option<SetId> {
        self.0.iter().position(|set| *set.name == *name)
    }

    /// The set whose name stands here, of addresses or of values.
    pub fn named(&self, field: &Field<'_, '_>, is_addresses: bool) -> Option<SetId> {
        let name = field.text().unwrap_or_default();
        let found = self.find(name);
        let of_kind = found.and_then(|id| self.0.get(id)).map(|set| set.lengths.is_some());
        if of_kind != Some(is_addresses) {
            let kind =
                if is_addresses { "must be one of `sets.addresses`" } else { "must be one of `sets.values`" };
            field.refuse_text(kind, name);
            return None;
        }
        found
    }

    /// Whether a set has a value.
    pub fn has(&self, set: SetId, value: &[u8]) -> bool {
        self.0.get(set).is_some_and(|set| set.entries.find(value).is_some())
    }

    /// Whether an address is in a block of a set.
    pub fn holds(&self, set: SetId, address: Address) -> bool {
        let Some(set) = self.0.get(set) else { return false };
        let [four, six] = set.lengths.unwrap_or_default();
        let mut lengths = if address.bits() == 32 { four } else { six };
        let has = |length| set.entries.find(&address.masked(length)).is_some();
        for length in 0..=address.bits().min(127) {
            if lengths & 1 != 0 && has(length) {
                return true;
            }
            lengths >>= 1;
        }
        address.bits() == 128 && set.has_whole && has(128)
    }
}

impl Set {
    fn read(name: &str, list: &Field<'_, '_>, is_addresses: bool) -> Self {
        let mut set =
            Self { name: name.into(), entries: Interner::default(), lengths: None, has_whole: false };
        let [mut four, mut six] = [0_u128; 2];
        for item in list.items_up_to(MOST) {
            let Some(text) = item.text() else {
                item.refuse("must be a string, got null");
                continue;
            };
            if !is_addresses {
                set.entries.intern(text.as_bytes());
                continue;
            }
            let Some(block) = Block::read(text) else {
                item.refuse_text("must be an address or a block", text);
                continue;
            };
            let key = block.key();
            match key {
                [128, 128, ..] => set.has_whole = true,
                [128, length, ..] => six |= 1 << (length & 127),
                [_, length, ..] => four |= 1 << (length & 127),
            }
            set.entries.intern(&key);
        }
        set.lengths = is_addresses.then_some([four, six]);
        set.entries.shrink();
        set
    }
}

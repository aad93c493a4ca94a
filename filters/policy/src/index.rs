//! Which rules a request may concern, without a look at the others.
//!
//! A rule that can match needs one of its conditions to hold, so it is enough to find it by one: of the conditions that say what a text is, begins with or
//! ends with, or in which block an address is, the one that the fewest other rules share. A text is hashed once, byte by byte, and at each length at which
//! some rule has a key it is looked up: the cost depends on the text and not on how many rules there are.

use crate::{
    address::Address,
    facts::Facts,
    intern::{BASIS, Interner, step, steps},
    lengths::Lengths,
    pattern::{Form, Pattern, SPIFFE},
    program::{Attribute, Program, Rule, Test},
    template,
};

/// How a key is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Way {
    Exact,
    Prefix,
    Suffix,
    Block,
    /// A segment behind `/ns/`.
    Namespace,
}

/// Prefixes and suffixes count up to this length: what is longer is found by a part of it.
const LONGEST: usize = 127;

/// An attribute by which rules are found.
#[derive(Debug)]
struct Dimension {
    attribute: Attribute,
    /// The lengths of whole texts.
    exact: Lengths,
    /// The lengths of prefixes.
    prefixes: Lengths,
    /// The lengths of suffixes.
    suffixes: Lengths,
    /// The lengths of blocks, IPv4's and IPv6's, those of all bits in `exact`.
    has_blocks: bool,
    has_namespaces: bool,
}

/// A key and the rules that are found by it.
#[derive(Debug, Clone, Copy)]
struct Slot {
    hash: u32,
    key: u32,
    start: u32,
    end: u32,
}

/// Which rules a request may concern.
#[derive(Debug)]
pub struct Index {
    dimensions: Vec<Dimension>,
    keys: Interner,
    /// A power of two, at most half full; a slot without rules is free.
    slots: Vec<Slot>,
    /// Rules by key.
    lists: Vec<u32>,
    /// Rules that any request may concern.
    residual: Vec<u32>,
}

const FREE: Slot = Slot { hash: 0, key: 0, start: 0, end: 0 };

/// A key: the dimension, the way and the text, as bytes.
fn key_bytes(dimension: usize, way: Way, text: &[u8]) -> Vec<u8> {
    let mut key = u16::try_from(dimension).unwrap_or(u16::MAX).to_le_bytes().to_vec();
    key.push(way as u8);
    key.extend_from_slice(text);
    key
}

fn basis(dimension: usize, way: Way) -> u32 {
    let dimension = u32::try_from(dimension).unwrap_or(u32::MAX);
    // Whole texts and prefixes are hashed in one go.
    let way = if way == Way::Prefix { Way::Exact } else { way };
    step(BASIS ^ dimension.wrapping_mul(0x9e37_79b1), way as u8)
}

/// What makes the index.
struct Maker<'p> {
    program: &'p Program,
    dimensions: Vec<Dimension>,
    keys: Interner,
    /// How often each key is used.
    uses: Vec<u32>,
    /// The keys of each test; `None` for one that no key is known of.
    tests: Vec<Option<Box<[u32]>>>,
}

impl Index {
    /// The index of a program.
    pub fn new(program: &Program) -> Self {
        let mut maker = Maker {
            program,
            dimensions: Vec::new(),
            keys: Interner::default(),
            uses: Vec::new(),
            tests: Vec::new(),
        };
        maker.tests = program.tests.iter().map(|test| maker.keys_of(test).map(Into::into)).collect();
        maker.uses = vec![0; maker.keys.len()];
        for rule in &program.rules {
            maker.each_group(rule, &mut |maker, group| {
                for key in maker.group_tests(group).into_iter().flatten() {
                    if let Some(uses) = maker.uses.get_mut(key as usize) {
                        *uses += 1;
                    }
                }
            });
        }
        maker.finish()
    }

    /// Calls `each` with the rules that the request may concern, in no order, some perhaps twice.
    pub fn each_candidate(&self, facts: &Facts<'_>, all: usize, each: &mut dyn FnMut(u32)) {
        for (place, dimension) in self.dimensions.iter().enumerate() {
            if facts.is_unknown(dimension.attribute) {
                (0..u32::try_from(all).unwrap_or(u32::MAX)).for_each(each);
                return;
            }
            if dimension.has_blocks {
                if let Some(address) = facts.address_of(dimension.attribute) {
                    self.find_blocks(place, dimension, address, each);
                }
                continue;
            }
            facts.each_text(dimension.attribute, &mut |text| self.find_text(place, dimension, text, each));
        }
        self.residual.iter().copied().for_each(each);
    }

    /// The request headers that it reads of any request, where these are few.
    pub fn single_headers(&self) -> Vec<Box<str>> {
        let mut names: Vec<Box<str>> = Vec::new();
        if !self.residual.is_empty() {
            return names;
        }
        for dimension in &self.dimensions {
            match dimension.attribute {
                Attribute::Path => names.push(":path".into()),
                Attribute::Host => names.push(":authority".into()),
                Attribute::Method => names.push(":method".into()),
                Attribute::Header(_) => return Vec::new(),
                _ => {}
            }
        }
        if names.len() > filter_kit::SINGLE_LIMIT { Vec::new() } else { names }
    }

    #[inline(never)]
    fn find_text(&self, place: usize, dimension: &Dimension, text: &[u8], each: &mut dyn FnMut(u32)) {
        let mut hash = basis(place, Way::Exact);
        let mut done = 0;
        let mut lengths = dimension.prefixes;
        while let Some(end) = lengths.next() {
            let (Some(key), Some(next)) = (text.get(..end), text.get(done..end)) else { break };
            hash = steps(hash, next);
            done = end;
            self.probe(place, Way::Prefix, hash, key, each);
        }
        if dimension.exact.has(text.len()) {
            hash = steps(hash, text.get(done..).unwrap_or_default());
            self.probe(place, Way::Exact, hash, text, each);
        }
        if !dimension.suffixes.is_empty() {
            let mut hash = basis(place, Way::Suffix);
            let mut start = text.len();
            let mut lengths = dimension.suffixes;
            while let Some(length) = lengths.next() {
                let Some(at) = text.len().checked_sub(length) else { break };
                let next = text.get(at..start).unwrap_or_default();
                hash = next.iter().rev().fold(hash, |hash, byte| step(hash, *byte));
                start = at;
                self.probe(place, Way::Suffix, hash, text.get(at..).unwrap_or_default(), each);
            }
        }
        if dimension.has_namespaces {
            let mut rest = text;
            while let Some(at) = rest.windows(4).position(|window| window == b"/ns/") {
                rest = rest.get(at + 4..).unwrap_or_default();
                let end = rest.iter().position(|byte| *byte == b'/').unwrap_or(rest.len());
                let name = rest.get(..end).unwrap_or_default();
                let hash = name.iter().fold(basis(place, Way::Namespace), |hash, byte| step(hash, *byte));
                self.probe(place, Way::Namespace, hash, name, each);
                // The slash at its end may begin the next one.
                rest = rest.get(end..).unwrap_or_default();
            }
        }
    }

    fn find_blocks(&self, place: usize, dimension: &Dimension, address: Address, each: &mut dyn FnMut(u32)) {
        for length in 0..=address.bits() {
            let has = if length == 128 {
                !dimension.suffixes.is_empty()
            } else {
                dimension.prefixes.has(usize::from(length))
            };
            if has {
                let key = address.masked(length);
                let hash = key.iter().fold(basis(place, Way::Block), |hash, byte| step(hash, *byte));
                self.probe(place, Way::Block, hash, &key, each);
            }
        }
    }

    fn probe(&self, dimension: usize, way: Way, hash: u32, text: &[u8], each: &mut dyn FnMut(u32)) {
        let mask = self.slots.len().wrapping_sub(1);
        let mut place = hash as usize & mask;
        while let Some(slot) = self.slots.get(place).filter(|slot| slot.end > 0) {
            if slot.hash == hash && self.is_key(slot.key, dimension, way, text) {
                let rules = self.lists.get(slot.start as usize..slot.end as usize).unwrap_or_default();
                rules.iter().copied().for_each(&mut *each);
                return;
            }
            place = (place + 1) & mask;
        }
    }

    fn is_key(&self, key: u32, dimension: usize, way: Way, text: &[u8]) -> bool {
        let known = self.keys.at(key);
        let Some(([low, high, known_way], known_text)) = known.split_first_chunk() else { return false };
        usize::from(u16::from_le_bytes([*low, *high])) == dimension
            && *known_way == way as u8
            && known_text == text
    }
}

impl Maker<'_> {
    /// The keys of a test that must hold for a rule; `None` where it has none, or a value of it has none.
    fn keys_of(&mut self, test: &Test) -> Option<Vec<u32>> {
        if test.is_negated {
            return None;
        }
        let patterns = self.program.patterns(test);
        let mut keys = Vec::with_capacity(patterns.len());
        if test.attribute == Attribute::RequestPrincipal {
            let [issuer, subject] = ["iss", "sub"].map(|claim| {
                let path = [crate::rules::CLAIMS, claim].join("\0");
                self.program.texts.find(path.as_bytes()).map(Attribute::Metadata)
            });
            let (pairs, _) = patterns.as_chunks::<2>();
            for [first, second] in pairs {
                let key = self.key_of(subject?, *second).or_else(|| self.key_of(issuer?, *first));
                keys.push(key?);
            }
            return Some(keys);
        }
        for pattern in patterns {
            keys.push(self.key_of(test.attribute, *pattern)?);
            let read = Pattern { text: self.program.read(pattern.text), ..*pattern };
            if test.attribute == Attribute::Path && read != *pattern {
                keys.push(self.key_of(test.attribute, read)?);
            }
        }
        filter_kit::sort_unique(&mut keys);
        Some(keys)
    }

    fn key_of(&mut self, attribute: Attribute, pattern: Pattern) -> Option<u32> {
        let program = self.program;
        let text = program.texts.get(pattern.text);
        let (way, text) = match pattern.form {
            Form::Exact | Form::Port => (Way::Exact, text),
            Form::Prefix => (Way::Prefix, text.get(..LONGEST).unwrap_or(text)),
            Form::Suffix | Form::SpiffeSuffix => (Way::Suffix, last(text)),
            Form::Template => {
                let (begin, end) = template::ends(text);
                if begin.len() >= end.len() {
                    (Way::Prefix, begin.get(..LONGEST).unwrap_or(begin))
                } else {
                    (Way::Suffix, last(end))
                }
            }
            Form::Block => (Way::Block, text),
            Form::Namespace if !text.contains(&b'*') && !text.contains(&b'/') => (Way::Namespace, text),
            Form::ServiceAccount => {
                (Way::Namespace, text.split(|byte| *byte == b'/').next().unwrap_or_default())
            }
            Form::TrustDomain => (Way::Prefix, SPIFFE),
            Form::Present | Form::Any | Form::Namespace => return None,
        };
        if text.is_empty() && matches!(way, Way::Prefix | Way::Suffix) {
            return None;
        }
        let place = self.dimension(attribute)?;
        Some(self.keys.intern(&key_bytes(place, way, text)).number())
    }

    fn dimension(&mut self, attribute: Attribute) -> Option<usize> {
        if let Some(place) = self.dimensions.iter().position(|known| known.attribute == attribute) {
            return Some(place);
        }
        // Each costs every request a look: rules on ever other headers or claims are among those that are always tried.
        if self.dimensions.len() >= 24 {
            return None;
        }
        self.dimensions.push(Dimension {
            attribute,
            exact: Lengths::default(),
            prefixes: Lengths::default(),
            suffixes: Lengths::default(),
            has_blocks: false,
            has_namespaces: false,
        });
        Some(self.dimensions.len() - 1)
    }

    /// The keys of each test of a group that has some.
    fn group_tests(&self, group: u32) -> Vec<Vec<u32>> {
        let range = self.program.groups.get(group as usize).cloned().unwrap_or_default();
        let tests = crate::program::part(&self.program.members, &range).iter();
        tests.filter_map(|test| self.tests.get(*test as usize)?.as_deref().map(<[u32]>::to_vec)).collect()
    }

    fn each_group(&mut self, rule: &Rule, each: &mut dyn FnMut(&mut Self, u32)) {
        for group in rule.from.clone().chain(rule.to.clone()).chain([rule.when]) {
            each(self, group);
        }
    }

    /// How many rules the test of these keys does not tell apart.
    fn weight(&self, keys: &[u32]) -> u32 {
        keys.iter().filter_map(|key| self.uses.get(*key as usize)).copied().max().unwrap_or(0)
    }

    /// The best test of a group.
    fn best(&self, group: u32) -> Option<(u32, Vec<u32>)> {
        let tests = self.group_tests(group).into_iter();
        tests.map(|keys| (self.weight(&keys), keys)).min_by_key(|(weight, keys)| (*weight, keys.len()))
    }

    /// The keys by which a rule is found, if there are any.
    fn cover(&self, rule: &Rule) -> Option<Vec<u32>> {
        let any = |groups: std::ops::Range<u32>| {
            let mut cover = (0, Vec::new());
            if groups.is_empty() {
                return None;
            }
            for group in groups {
                let (weight, keys) = self.best(group)?;
                cover.0 = cover.0.max(weight);
                cover.1.extend(keys);
            }
            Some(cover)
        };
        let options = [any(rule.from.clone()), any(rule.to.clone()), self.best(rule.when)];
        options.into_iter().flatten().min_by_key(|(weight, keys)| (*weight, keys.len())).map(|(_, keys)| keys)
    }

    fn finish(mut self) -> Index {
        let mut pairs: Vec<(u32, u32)> = Vec::new();
        let mut residual = Vec::new();
        for (number, rule) in self.program.rules.iter().enumerate() {
            let number = u32::try_from(number).unwrap_or(u32::MAX);
            match self.cover(rule) {
                Some(keys) => pairs.extend(keys.into_iter().map(|key| (key, number))),
                None => residual.push(number),
            }
        }
        filter_kit::sort_unique(&mut pairs);
        let used = pairs.chunk_by(|one, other| one.0 == other.0).count();
        let mut slots = vec![FREE; (used * 2).next_power_of_two().max(2)];
        let mask = slots.len() - 1;
        let mut is_used = vec![false; self.dimensions.len()];
        let mut start = 0;
        for chunk in pairs.chunk_by(|one, other| one.0 == other.0) {
            let Some((key, _)) = chunk.first() else { continue };
            let end = start + u32::try_from(chunk.len()).unwrap_or(u32::MAX);
            let hash = self.note(*key, &mut is_used);
            let mut place = hash as usize & mask;
            while slots.get(place).is_some_and(|slot| slot.end > 0) {
                place = (place + 1) & mask;
            }
            if let Some(slot) = slots.get_mut(place) {
                *slot = Slot { hash, key: *key, start, end };
            }
            start = end;
        }
        self.keys.seal();
        // The places of dimensions are in the keys: one that no rule is found by stays, and is not looked at.
        for (dimension, is_used) in self.dimensions.iter_mut().zip(is_used) {
            if !is_used {
                dimension.attribute = Attribute::RequestPrincipal;
            }
        }
        let lists = pairs.into_iter().map(|(_, rule)| rule).collect();
        Index { dimensions: self.dimensions, keys: self.keys, slots, lists, residual }
    }

    /// Notes that a key is used; its hash.
    fn note(&mut self, key: u32, is_used: &mut [bool]) -> u32 {
        let bytes = self.keys.at(key);
        let Some(([low, high, way], text)) = bytes.split_first_chunk() else { return 0 };
        let place = usize::from(u16::from_le_bytes([*low, *high]));
        if let Some(is_used) = is_used.get_mut(place) {
            *is_used = true;
        }
        let Some(dimension) = self.dimensions.get_mut(place) else { return 0 };
        let forward = |way| text.iter().fold(basis(place, way), |hash, byte| step(hash, *byte));
        if *way == Way::Exact as u8 {
            dimension.exact.add(text.len());
            forward(Way::Exact)
        } else if *way == Way::Prefix as u8 {
            dimension.prefixes.add(text.len());
            forward(Way::Prefix)
        } else if *way == Way::Suffix as u8 {
            dimension.suffixes.add(text.len());
            text.iter().rev().fold(basis(place, Way::Suffix), |hash, byte| step(hash, *byte))
        } else if *way == Way::Block as u8 {
            dimension.has_blocks = true;
            match text.get(1) {
                Some(128) => dimension.suffixes.add(0),
                Some(length) => dimension.prefixes.add(usize::from(*length)),
                None => {}
            }
            forward(Way::Block)
        } else {
            dimension.has_namespaces = true;
            forward(Way::Namespace)
        }
    }
}

fn last(text: &[u8]) -> &[u8] {
    text.get(text.len().saturating_sub(LONGEST)..).unwrap_or(text)
}

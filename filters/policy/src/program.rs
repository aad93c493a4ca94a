//! Policies, compiled: rules over tests over patterns over texts, each kept once.

use crate::{
    extension::Extension,
    intern::{Interner, Text},
    normal,
    pattern::Pattern,
};
use std::ops::Range;

/// What a test looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Attribute {
    /// The path, without query and fragment.
    Path,
    /// The host, with its port if one was sent; case does not count.
    Host,
    /// The method.
    Method,
    /// A header of this name, any of its values.
    Header(Text),
    /// The peer's name by its certificate.
    Principal,
    /// The address of the direct peer.
    Peer,
    /// The client's address, from `x-forwarded-for` or the proxy protocol where Envoy trusts them.
    Remote,
    /// The address that was connected to.
    DestinationIp,
    /// The port that was connected to.
    DestinationPort,
    /// The server name of the TLS handshake.
    Sni,
    /// Issuer and subject of the request's token; patterns stand in pairs.
    RequestPrincipal,
    /// Dynamic metadata: the names of the filter and of the keys, joined by NUL.
    Metadata(Text),
}

/// A test: any of the patterns holds for the attribute, or none of them does.
#[derive(Debug, Clone)]
pub struct Test {
    /// What it looks at.
    pub attribute: Attribute,
    /// Whether no pattern may hold.
    pub is_negated: bool,
    /// Its patterns.
    pub patterns: Range<u32>,
}

/// The place of a test.
pub type TestId = u32;

/// When a rule takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// It is noted.
    Audit,
    /// It is denied.
    Deny,
    /// It is allowed.
    Allow,
}

impl Action {
    /// Its name in metrics and records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Audit => "audit",
            Self::Deny => "deny",
            Self::Allow => "allow",
        }
    }
}

/// A rule.
#[derive(Debug)]
pub struct Rule {
    /// What happens where it holds.
    pub action: Action,
    /// Whether it is only tried: annotation `istio.io/dry-run`.
    pub is_dry: bool,
    /// The place of its policy.
    pub policy: u32,
    /// Its place in its policy.
    pub number: u32,
    /// Groups of tests, of which one must hold; none is no condition.
    pub from: Range<u32>,
    /// Groups of tests, of which one must hold; none is no condition.
    pub to: Range<u32>,
    /// A group of tests.
    pub when: u32,
    /// What goes beyond Istio's language.
    pub extension: Option<Box<Extension>>,
}

/// Tests, patterns and texts.
#[derive(Debug, Default)]
pub struct Program {
    /// All texts.
    pub texts: Interner,
    /// All patterns.
    pub patterns: Vec<Pattern>,
    /// All tests.
    pub tests: Vec<Test>,
    /// The tests of groups.
    pub members: Vec<TestId>,
    /// Groups: all of their tests must hold.
    pub groups: Vec<Range<u32>>,
    /// Rules, in the order of their stage and then of their id, as a string: the order of Envoy's map of policies.
    pub rules: Vec<Rule>,
    /// Whether all is read as strictly as it can be.
    pub is_strict: bool,
    /// In strict mode: texts of paths with escapes, in their order, and what they are where these are undone.
    read: Vec<(u32, Text)>,
}

/// A part of a list.
pub fn part<'l, T>(list: &'l [T], range: &Range<u32>) -> &'l [T] {
    list.get(range.start as usize..range.end as usize).unwrap_or_default()
}

impl Program {
    /// The tests of a group.
    pub fn group(&self, group: u32) -> impl Iterator<Item = &Test> {
        let range = self.groups.get(group as usize).cloned().unwrap_or_default();
        part(&self.members, &range).iter().filter_map(|test| self.tests.get(*test as usize))
    }

    /// Notes what a path's text is that has escapes, where these are undone: in strict mode a request's path is compared as it came, and as it is read. An
    /// escape of a brace would become an operator of a template, and stays.
    pub fn note_read(&mut self, text: &str) {
        if let Some(read) = normal::decoded(text).filter(|read| !read.contains(&b'{')) {
            let (text, read) = (self.texts.intern(text.as_bytes()).number(), self.texts.intern(&read));
            if let Err(place) = self.read.binary_search_by_key(&text, |(other, _)| *other) {
                self.read.insert(place, (text, read));
            }
        }
    }

    /// Whether any path of the policies has escapes.
    pub fn has_read(&self) -> bool {
        !self.read.is_empty()
    }

    /// A pattern's text, as a path that has been read is compared with it.
    pub fn read(&self, text: Text) -> Text {
        if self.read.is_empty() {
            return text;
        }
        let place = self.read.binary_search_by_key(&text.number(), |(other, _)| *other).ok();
        place.and_then(|place| self.read.get(place)).map_or(text, |(_, read)| *read)
    }

    /// The patterns of a test.
    pub fn patterns(&self, test: &Test) -> &[Pattern] {
        part(&self.patterns, &test.patterns)
    }
}

/// Makes a [`Program`].
#[derive(Debug, Default)]
pub struct Builder {
    /// What there is so far.
    pub program: Program,
    /// Tests by what they are.
    known_tests: Interner,
    /// Groups by their tests.
    known_groups: Interner,
}

impl Builder {
    /// The number of a test. Equal ones have one.
    pub fn test(&mut self, attribute: Attribute, is_negated: bool, patterns: &[Pattern]) -> TestId {
        let (kind, text) = match attribute {
            Attribute::Path => (0, None),
            Attribute::Host => (1, None),
            Attribute::Method => (2, None),
            Attribute::Header(name) => (3, Some(name)),
            Attribute::Principal => (4, None),
            Attribute::Peer => (5, None),
            Attribute::Remote => (6, None),
            Attribute::DestinationIp => (7, None),
            Attribute::DestinationPort => (8, None),
            Attribute::Sni => (9, None),
            Attribute::RequestPrincipal => (10, None),
            Attribute::Metadata(path) => (11, Some(path)),
        };
        let mut key = vec![kind, u8::from(is_negated)];
        key.extend(text.map_or(0, Text::number).to_le_bytes());
        for pattern in patterns {
            key.extend([pattern.form as u8, pattern.part as u8]);
            key.extend(pattern.text.number().to_le_bytes());
        }
        let id = self.known_tests.intern(&key).number();
        if id as usize == self.program.tests.len() {
            let start = count(&self.program.patterns);
            self.program.patterns.extend_from_slice(patterns);
            let patterns = start..count(&self.program.patterns);
            self.program.tests.push(Test { attribute, is_negated, patterns });
        }
        id
    }

    /// The number of a group of tests. Equal ones have one.
    pub fn group(&mut self, tests: &[TestId]) -> u32 {
        let key: Vec<u8> = tests.iter().flat_map(|test| test.to_le_bytes()).collect();
        let id = self.known_groups.intern(&key).number();
        if id as usize == self.program.groups.len() {
            let start = count(&self.program.members);
            self.program.members.extend_from_slice(tests);
            self.program.groups.push(start..count(&self.program.members));
        }
        id
    }

    /// Groups one behind the other, for a rule's `from` or `to`.
    pub fn alternatives(&mut self, groups: &[Vec<TestId>]) -> Range<u32> {
        if let [one] = groups {
            let id = self.group(one);
            return id..id + 1;
        }
        // Several must stand together, whether they are known or not.
        let first = count(&self.program.groups);
        for group in groups {
            let start = count(&self.program.members);
            self.program.members.extend_from_slice(group);
            self.program.groups.push(start..count(&self.program.members));
            // A number that no key has, so that the numbers of both go on together.
            self.known_groups
                .intern(&[&b"several "[..], &count(&self.program.groups).to_le_bytes()].concat());
        }
        first..count(&self.program.groups)
    }

    /// All of it.
    pub fn finish(mut self) -> Program {
        self.program.patterns.shrink_to_fit();
        self.program.tests.shrink_to_fit();
        self.program.members.shrink_to_fit();
        self.program.groups.shrink_to_fit();
        self.program.rules.shrink_to_fit();
        self.program.texts.shrink();
        self.program
    }
}

/// The length of a list, as places in it are kept.
pub fn count<T>(list: &[T]) -> u32 {
    u32::try_from(list.len()).unwrap_or(u32::MAX)
}

//! The compiled engine: what it finds, and what is left when it is gone.

use crate::{
    Operator, Redacted, TokenKey, context,
    decode::{self, Decoded, Encoding},
    detect::identity::Rules,
    dispatch::Pass,
    entity::{Entity, Set},
    key::{Keys, Role},
    operator, span,
    stream::{self, Stream},
};
use memchr::memmem;
use std::{
    borrow::Cow,
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
    mem,
    ops::Range,
};

/// Where a text comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Place<'a> {
    /// A text of any form: a request target, a query, a cookie, a form, JSON, a line of a log. Keys and values in it are found as they come.
    #[default]
    Text,
    /// The value of a field or a header of this name.
    Field(&'a [u8]),
}

/// Something that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Where it begins in the raw text, in bytes.
    pub start: usize,
    /// Where it ends.
    pub end: usize,
    /// What it is.
    pub entity: Entity,
    /// How sure that is, of 100.
    pub confidence: u8,
    /// Whether the name of its field decided it.
    pub(crate) by_key: bool,
    /// Whether it is one of JSON's values without quotes.
    pub(crate) bare: bool,
    /// The value with its encodings undone.
    pub(crate) value: Option<Box<[u8]>>,
}

/// What was found in a text: sorted, and no two overlap.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Findings {
    pub(crate) spans: Vec<Finding>,
}

impl Findings {
    /// The spans, in order.
    pub fn spans(&self) -> &[Finding] {
        &self.spans
    }

    /// The entities that were found.
    pub fn entities(&self) -> Set {
        self.spans.iter().fold(Set::EMPTY, |set, span| set.with(span.entity))
    }

    /// How many values of an entity were found.
    pub fn count(&self, entity: Entity) -> usize {
        self.spans.iter().filter(|span| span.entity == entity).count()
    }

    /// How many values were dropped because they were encoded more often, or nested deeper, than the budget allows.
    pub fn dropped(&self) -> usize {
        self.count(Entity::Undecodable)
    }
}

/// Finds and redacts personal data and secrets. Made by [`Pii::read`](crate::Pii::read), or with all defaults.
#[derive(Debug)]
pub struct Engine {
    on: Set,
    /// By the entity's index.
    operators: Vec<Operator>,
    keys: Keys,
    rules: Rules,
    literals: Vec<(memmem::Finder<'static>, Entity)>,
    layers: u8,
    /// A decoder that is off, for a test of the tests.
    blind: Option<Encoding>,
    #[cfg(feature = "regex")]
    regexes: Option<crate::regex::Regexes>,
}

/// What an engine is made of; the configuration has checked it.
#[derive(Debug)]
pub(crate) struct Parts {
    pub on: Set,
    pub operators: Vec<Operator>,
    pub keys: Vec<(String, Entity)>,
    pub literals: Vec<(String, Entity)>,
    pub layers: u8,
    #[cfg(feature = "regex")]
    pub regexes: Option<crate::regex::Regexes>,
}

impl Default for Parts {
    fn default() -> Self {
        Self {
            on: Set::all(),
            operators: Entity::ALL.iter().map(|entity| entity.default_operator()).collect(),
            keys: Vec::new(),
            literals: Vec::new(),
            layers: DEFAULT_LAYERS,
            #[cfg(feature = "regex")]
            regexes: None,
        }
    }
}

/// How many layers of base64 are undone where the configuration says nothing.
pub(crate) const DEFAULT_LAYERS: u8 = 3;

impl Default for Engine {
    fn default() -> Self {
        Self::new(Parts::default())
    }
}

impl Engine {
    pub(crate) fn new(parts: Parts) -> Self {
        let literals = parts.literals.into_iter();
        Self {
            on: parts.on,
            operators: parts.operators,
            keys: Keys::new(parts.on, parts.keys),
            rules: Rules::new(parts.on),
            literals: literals
                .map(|(text, entity)| (memmem::Finder::new(text.as_bytes()).into_owned(), entity))
                .collect(),
            layers: parts.layers,
            blind: None,
            #[cfg(feature = "regex")]
            regexes: parts.regexes,
        }
    }

    /// The same engine with a decoder switched off, so that a test can show that it would notice.
    #[doc(hidden)]
    #[must_use]
    pub fn blind_to(self, encoding: Encoding) -> Self {
        Self { blind: Some(encoding), ..self }
    }

    /// Whether the entity's detector is on.
    pub fn finds(&self, entity: Entity) -> bool {
        self.on.has(entity)
    }

    /// What is done with the entity.
    pub fn operator(&self, entity: Entity) -> &Operator {
        self.operators.get(entity.index()).unwrap_or(&Operator::Drop)
    }

    pub(crate) fn keys(&self) -> &Keys {
        &self.keys
    }

    pub(crate) fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Finds what there is in a text.
    ///
    /// Time is linear in the length of the text, and so is memory where something is found. Texts of more than
    /// [`Stream::CAPACITY`] bytes are gone through as a [`Stream`] of one chunk. Nothing is allocated in a text that has nothing in it, and no encoding.
    pub fn find(&self, text: &[u8], place: Place<'_>) -> Findings {
        let given = match self.field(text, place) {
            Ok(given) => given,
            Err(finding) => return Findings { spans: vec![finding] },
        };
        if text.len() <= Stream::CAPACITY {
            return Findings { spans: self.window(text, given) };
        }
        Findings { spans: stream::whole(self, text, given) }
    }

    /// What the name of a field says: what its value is, or what it may be.
    fn field(&self, text: &[u8], place: Place<'_>) -> Result<Set, Finding> {
        let Place::Field(name) = place else { return Ok(Set::EMPTY) };
        let words = self.keys.words(name);
        let signature = Some((Entity::UrlSignature, Role::Decides));
        let signature = signature.filter(|(entity, _)| self.finds(*entity) && span::is_signature(name));
        let Some((entity, role)) = signature.or_else(|| self.keys.entity(name)) else { return Ok(words) };
        let words = words.with(entity);
        let decoded = decode::escapes(text, self.blind);
        let value = decoded.as_ref().map_or(text, |decoded| &decoded.bytes);
        let decides = match role {
            Role::IfShaped => span::is_shaped(entity, value),
            _ => true,
        };
        if !decides || span::says_nothing(value) {
            return Ok(words);
        }
        let lead = text.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        let end = text.trim_ascii_end().len();
        Err(Finding {
            start: lead,
            end,
            entity,
            confidence: 100,
            by_key: true,
            bare: false,
            value: decoded.map(|decoded| decoded.bytes.trim_ascii().into()),
        })
    }

    /// Finds what there is in a text that fits a window.
    #[expect(
        clippy::inline_always,
        reason = "most texts have nothing in them, and this is all there is to do"
    )]
    #[inline(always)]
    pub(crate) fn window(&self, text: &[u8], given: Set) -> Vec<Finding> {
        let mut hits = Vec::new();
        self.layer(text, given, self.layers, &mut hits, Values::InText);
        if hits.len() > 1 {
            resolve(&mut hits);
        }
        hits
    }

    /// Goes through a text as it is, and with its escapes undone where it has any.
    #[inline]
    fn layer(&self, text: &[u8], given: Set, layers: u8, hits: &mut Vec<Finding>, values: Values) {
        if decode::has_escape(text) {
            self.decoded_too(text, given, layers, hits, values);
        } else {
            self.scan(text, given, Some(layers), hits);
        }
    }

    /// Goes through a text that may have escapes, as it is and with them undone.
    #[inline(never)]
    fn decoded_too(&self, text: &[u8], given: Set, layers: u8, hits: &mut Vec<Finding>, values: Values) {
        let Some(decoded) = decode::undone(text, self.blind) else {
            self.scan(text, given, Some(layers), hits);
            return;
        };
        self.scan(text, given, None, hits);
        let from = hits.len();
        self.scan(&decoded.bytes, given, Some(layers), hits);
        to_raw(hits, from, &decoded, text, values);
    }

    #[inline(never)]
    fn scan(&self, text: &[u8], given: Set, layers: Option<u8>, hits: &mut Vec<Finding>) {
        Pass::new(self, text, given, layers, hits).run();
        let note = |hits: &mut Vec<Finding>, start, end, entity| {
            hits.push(Finding {
                start,
                end,
                entity,
                confidence: 100,
                by_key: false,
                bare: false,
                value: None,
            });
        };
        for (literal, entity) in &self.literals {
            for start in literal.find_iter(text) {
                note(hits, start, start + literal.needle().len(), *entity);
            }
        }
        #[cfg(feature = "regex")]
        if let Some(regexes) = &self.regexes {
            regexes.find(text, |start, end, entity| note(hits, start, end, entity));
        }
    }

    /// Undoes a run of base64 and goes through what it says. Says up to where it was read; `None` if it is no base64 of text.
    pub(crate) fn base64(&self, pass: &mut Pass<'_>, start: usize, end: usize) -> Option<usize> {
        if self.blind == Some(Encoding::Base64) {
            return None;
        }
        let decoded = decode::base64(pass.part(start, end), start)?;
        let (_, read) = decoded.raw(0, decoded.bytes.len());
        let layers = pass.layers?;
        if layers == 0 {
            pass.hit(start, end, Entity::Undecodable, 100);
            return Some(end);
        }
        // What stands before the run speaks of what is in it.
        let near = context::around(pass, start, end);
        let from = pass.hits.len();
        self.layer(&decoded.bytes, near, layers - 1, pass.hits, Values::Kept);
        to_raw(pass.hits, from, &decoded, pass.text, Values::Kept);
        Some(if read + 4 > end { end } else { read })
    }

    /// Redacts a text. Without a key, a token is the type in brackets.
    ///
    /// What is no UTF-8 in it is replaced by U+FFFD.
    pub fn redact<'t>(&self, text: &'t [u8], place: Place<'_>, key: Option<&TokenKey>) -> Redacted<'t> {
        self.write(text, &self.find(text, place), key)
    }

    /// Redacts a text in which this engine has found these.
    pub fn write<'t>(&self, text: &'t [u8], findings: &Findings, key: Option<&TokenKey>) -> Redacted<'t> {
        self.write_part(text, 0..text.len(), findings, key)
    }

    /// Redacts a part of a text in which this engine has found these, such as the query of a request target. What was found across an end of the
    /// part is redacted in it too.
    pub fn write_part<'t>(
        &self,
        text: &'t [u8],
        part: Range<usize>,
        findings: &Findings,
        key: Option<&TokenKey>,
    ) -> Redacted<'t> {
        let spans = &findings.spans;
        let first = spans.partition_point(|span| span.end <= part.start);
        let end = spans.partition_point(|span| span.start < part.end);
        let spans = spans.get(first..end).unwrap_or_default();
        if spans.is_empty() {
            return Redacted::new(lossy(text.get(part).unwrap_or_default()));
        }
        let mut out = String::with_capacity(part.len() + 32);
        self.write_within(text, part, spans, key, ("", ""), &mut out);
        Redacted::new(out)
    }

    /// Redacts a text, with marks around what stands for a value, such as colours.
    pub fn write_marked(
        &self,
        text: &[u8],
        findings: &Findings,
        key: Option<&TokenKey>,
        before: &str,
        after: &str,
    ) -> Redacted<'static> {
        let mut out = String::with_capacity(text.len());
        self.write_spans(text, &findings.spans, key, (before, after), &mut out);
        Redacted::new(out)
    }

    pub(crate) fn write_spans(
        &self,
        text: &[u8],
        spans: &[Finding],
        key: Option<&TokenKey>,
        marks: (&str, &str),
        out: &mut String,
    ) {
        self.write_within(text, 0..text.len(), spans, key, marks, out);
    }

    /// Writes a part of a text, with the whole of a value that is found across an end of it.
    fn write_within(
        &self,
        text: &[u8],
        within: Range<usize>,
        spans: &[Finding],
        key: Option<&TokenKey>,
        (before, after): (&str, &str),
        out: &mut String,
    ) {
        let part = |start, end| text.get(start..end).unwrap_or_default();
        let mut place = within.start;
        for span in spans {
            out.push_str(&lossy(part(place, span.start)));
            place = span.end;
            let operator = self.operator(span.entity);
            let raw = part(span.start, span.end);
            if *operator == Operator::Keep {
                out.push_str(&lossy(raw));
                continue;
            }
            let quote = if span.bare { "\"" } else { "" };
            out.push_str(before);
            out.push_str(quote);
            match &span.value {
                Some(value) => operator::apply(operator, span.entity, value, key, out),
                None => match decode::escapes(raw, self.blind) {
                    Some(decoded) => operator::apply(operator, span.entity, &decoded.bytes, key, out),
                    None => operator::apply(operator, span.entity, raw, key, out),
                },
            }
            out.push_str(quote);
            out.push_str(after);
        }
        out.push_str(&lossy(part(place, within.end)));
    }
}

/// What becomes of a value that is decoded.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Values {
    /// Its escapes in the raw text are undone again when it is written.
    InText,
    /// It is kept.
    Kept,
}

/// From places in a decoded text to those in the raw one.
fn to_raw(hits: &mut [Finding], from: usize, decoded: &Decoded, text: &[u8], values: Values) {
    for hit in hits.iter_mut().skip(from) {
        let (start, end) = decoded.raw(hit.start, hit.end);
        if hit.value.is_none() && values == Values::Kept {
            let value = decoded.bytes.get(hit.start..hit.end).unwrap_or_default();
            if text.get(start..end) != Some(value) {
                hit.value = Some(value.into());
            }
        }
        (hit.start, hit.end) = (start, end);
    }
}

/// A match among those of its text: by its beginning, and the longest of those first.
struct InOrder(Finding);

impl Ord for InOrder {
    fn cmp(&self, other: &Self) -> Ordering {
        let key = |InOrder(hit): &Self| {
            let same = (Reverse(hit.by_key), hit.entity, hit.value.is_some(), Reverse(hit.confidence));
            (hit.start, Reverse(hit.end), same)
        };
        key(self).cmp(&key(other))
    }
}

impl PartialOrd for InOrder {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for InOrder {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for InOrder {}

/// Of overlapping matches the longest stands, of equally long ones what a field's name decided, then the entity of the higher priority. It
/// covers what any of them covered, so that no part of a match is left over.
#[inline(never)]
fn resolve(hits: &mut Vec<Finding>) {
    if !hits.is_sorted_by_key(|hit| (hit.start, Reverse(hit.end))) {
        // A heap, in the place that they have: the standard library's sorts are up to 5 KB of a module.
        let heap: BinaryHeap<_> = mem::take(hits).into_iter().map(InOrder).collect();
        *hits = heap.into_sorted_vec().into_iter().map(|InOrder(hit)| hit).collect();
    }
    let rank = |hit: &Finding| (hit.end - hit.start, hit.by_key, Reverse(hit.entity));
    let mut best = None;
    hits.dedup_by(|hit, last| {
        if hit.start >= last.end {
            best = None;
            return false;
        }
        let (start, end) = (last.start, last.end.max(hit.end));
        let old = *best.get_or_insert_with(|| rank(last));
        let new = rank(hit);
        if new > old {
            best = Some(new);
            mem::swap(hit, last);
        }
        // The value of a part is not that of the whole.
        if (last.start, last.end) != (start, end) {
            last.value = None;
            (last.start, last.end) = (start, end);
        }
        true
    });
}

/// Text of bytes: what is no UTF-8 is replaced by U+FFFD. The standard library's own goes byte by byte, also where all of it is ASCII.
fn lossy(bytes: &[u8]) -> Cow<'_, str> {
    std::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
}

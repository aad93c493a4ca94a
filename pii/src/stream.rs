//! Texts that come in chunks.
//!
//! A stream collects a window, goes through it, and lets go of its front: up to a place that no finding and no run of characters crosses, with
//! enough of the text behind it to know that nothing else will. What is gone through next begins with the end of what was let go, for the words and
//! keys there. Windows are cut by the text alone, never by the chunks, so a value that is split anywhere is found as if it were whole.

use crate::{
    Engine, Finding, Redacted, TokenKey,
    entity::{Entity, Set},
};

/// How much of what was let go is read again before a window.
const BACK: usize = 256;
/// How much lies behind the place where a window is cut.
const AHEAD: usize = 768;

/// A text that comes in chunks, gone through in memory of [`CAPACITY`](Stream::CAPACITY) bytes.
#[derive(Debug, Default)]
pub struct Stream {
    window: Vec<u8>,
    /// How much of the window was let go already.
    seen: usize,
    /// Where the window begins in the whole text.
    offset: usize,
    given: Set,
    open: Option<Open>,
}

/// A value longer than a window, which ends when its end comes.
#[derive(Debug)]
struct Open {
    entity: Entity,
    start: usize,
    until: Until,
}

/// What ends a long value.
#[derive(Debug)]
enum Until {
    /// `-----END`.
    Pem,
    /// This quote, unescaped.
    Quote { quote: u8, is_escaped: bool },
    /// The bracket that closes the first.
    Container { depth: usize, in_string: bool, is_escaped: bool },
    /// A character that no run has.
    Run,
    /// What ends a value of several words.
    Line,
    /// The boundary of a multipart body.
    Boundary,
}

/// What is certain of a stream by now.
#[derive(Debug, Default)]
pub struct Piece {
    /// The redacted text that follows that of the pieces before.
    pub text: Redacted<'static>,
    /// What was found, with places in the whole text.
    pub spans: Vec<Finding>,
}

impl Stream {
    /// The bytes that a stream holds at most.
    pub const CAPACITY: usize = 8192;

    /// A stream of a text of any form.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a chunk. Says what is certain by it.
    pub fn push(&mut self, engine: &Engine, key: Option<&TokenKey>, chunk: &[u8]) -> Piece {
        let mut text = String::new();
        let mut spans = Vec::new();
        self.take(
            engine,
            chunk,
            &mut |engine, window, found| {
                engine.write_spans(window, found, key, ("", ""), &mut text);
            },
            &mut spans,
        );
        Piece { text: Redacted::new(text), spans }
    }

    /// Says what is left at the end.
    pub fn finish(mut self, engine: &Engine, key: Option<&TokenKey>) -> Piece {
        let mut text = String::new();
        let mut spans = Vec::new();
        self.go(
            engine,
            true,
            &mut |engine, window, found| {
                engine.write_spans(window, found, key, ("", ""), &mut text);
            },
            &mut spans,
        );
        Piece { text: Redacted::new(text), spans }
    }

    /// Takes a chunk, of which nothing is written. Says what is certain by it.
    pub fn look(&mut self, engine: &Engine, chunk: &[u8]) -> Vec<Finding> {
        let mut spans = Vec::new();
        self.take(engine, chunk, &mut |_, _, _| {}, &mut spans);
        spans
    }

    /// Says what is left at the end, of which nothing is written.
    pub fn finish_look(mut self, engine: &Engine) -> Vec<Finding> {
        let mut spans = Vec::new();
        self.go(engine, true, &mut |_, _, _| {}, &mut spans);
        spans
    }

    fn take(&mut self, engine: &Engine, mut chunk: &[u8], write: Write<'_>, spans: &mut Vec<Finding>) {
        while !chunk.is_empty() {
            let room = (Self::CAPACITY - self.window.len()).min(chunk.len());
            let (now, later) = chunk.split_at(room);
            self.window.extend_from_slice(now);
            chunk = later;
            // A full window is gone through only when more comes, so that a text of that length is one window.
            if self.window.len() == Self::CAPACITY && !chunk.is_empty() {
                self.go(engine, false, write, spans);
            }
        }
    }

    /// Goes through the window and lets go of its front; at the end, of all of it.
    fn go(&mut self, engine: &Engine, is_last: bool, write: Write<'_>, spans: &mut Vec<Finding>) {
        if let Some(open) = &mut self.open {
            let rest = self.window.get(self.seen..).unwrap_or_default();
            let (length, ends) = open.until.end(rest);
            let end = self.seen + length;
            if ends || is_last {
                let end = if ends { end } else { self.window.len() };
                spans.push(Finding {
                    start: open.start,
                    end: self.offset + end,
                    entity: open.entity,
                    confidence: 100,
                    by_key: false,
                    bare: false,
                    value: None,
                });
                self.open = None;
                self.drop_front(end, end);
            } else {
                self.drop_front(end, end);
                return;
            }
            if !is_last {
                return;
            }
        }
        let mut found = engine.window(&self.window, self.given);
        found.retain(|finding| finding.end > self.seen);
        for finding in &mut found {
            finding.start = finding.start.max(self.seen);
        }
        let length = self.window.len();
        let mut cut = if is_last { length } else { self.cut(&found) };
        // What has no end in the window is let go of up to its beginning, so that the next window begins with it.
        if cut <= self.seen
            && let Some(endless) =
                found.iter().find(|finding| finding.end == length && finding.start > self.seen)
        {
            cut = endless.start;
        }
        if cut <= self.seen && !is_last {
            return self.begin_open(engine, &found, write);
        }
        found.retain(|finding| finding.start < cut);
        let seen = self.seen;
        for finding in &mut found {
            finding.start -= seen;
            finding.end -= seen;
        }
        write(engine, self.window.get(seen..cut).unwrap_or_default(), &found);
        let base = self.offset + seen;
        spans.extend(found.into_iter().map(|finding| Finding {
            start: finding.start + base,
            end: finding.end + base,
            ..finding
        }));
        self.drop_front(cut.saturating_sub(BACK), cut);
    }

    /// Where the window can be cut: no finding and no run of characters crosses the place.
    fn cut(&self, found: &[Finding]) -> usize {
        let mut cut = self.window.len().saturating_sub(AHEAD);
        loop {
            let crossing = found.iter().find(|finding| finding.start < cut && cut < finding.end);
            if let Some(finding) = crossing {
                cut = finding.start;
                continue;
            }
            let head = self.window.get(self.seen..cut).unwrap_or_default();
            let run = head.iter().rev().take_while(|byte| !is_break(**byte)).count();
            if run == 0 || cut <= self.seen {
                return cut;
            }
            cut -= run;
        }
    }

    /// The window begins with a value, or a run, that is longer than it: what it is goes until its end comes.
    fn begin_open(&mut self, engine: &Engine, found: &[Finding], write: Write<'_>) {
        let rest = self.window.get(self.seen..).unwrap_or_default();
        let before = self.seen.checked_sub(1).and_then(|place| self.window.get(place)).copied();
        let head = self.window.get(..self.seen).unwrap_or_default();
        let is_multipart = head.ends_with(b"\r\n\r\n") || head.ends_with(b"\n\n");
        let first = found.first().filter(|finding| finding.start == self.seen);
        let entity = first.map_or(Entity::Undecodable, |finding| finding.entity);
        let until = match (rest.first(), before) {
            _ if entity == Entity::PrivateKey => Until::Pem,
            (_, Some(quote @ (b'"' | b'\''))) if first.is_some() => Until::Quote { quote, is_escaped: false },
            _ if first.is_some() && is_multipart => Until::Boundary,
            (Some(b'[' | b'{'), _) => Until::Container { depth: 0, in_string: false, is_escaped: false },
            _ if first.is_some() && rest.contains(&b' ') => Until::Line,
            _ => Until::Run,
        };
        let mut open = Open { entity, start: self.offset + self.seen, until };
        let (length, _) = open.until.end(rest);
        let stand_in = Finding {
            start: 0,
            end: 1,
            entity,
            confidence: 100,
            by_key: false,
            bare: false,
            value: Some([].into()),
        };
        write(engine, b"*", &[stand_in]);
        self.open = Some(open);
        let end = self.seen + length;
        self.drop_front(end, end);
    }

    /// Forgets the front of the window, of which another part has been let go.
    fn drop_front(&mut self, front: usize, seen: usize) {
        self.window.drain(..front);
        self.offset += front;
        self.seen = seen - front;
    }
}

/// Takes a part of the text and what was found in it.
type Write<'w> = &'w mut dyn FnMut(&Engine, &[u8], &[Finding]);

/// All of a text that is longer than a window.
pub fn whole(engine: &Engine, text: &[u8], given: Set) -> Vec<Finding> {
    let mut stream = Stream { given, ..Stream::default() };
    let mut spans = stream.look(engine, text);
    spans.extend(stream.finish_look(engine));
    spans
}

/// Whether a run of characters, such as one of base64 or of percent, ends here.
fn is_break(byte: u8) -> bool {
    matches!(
        byte,
        0..=b' '
            | b'"'
            | b'\''
            | b'<'
            | b'>'
            | b'('
            | b')'
            | b'['
            | b']'
            | b'{'
            | b'}'
            | b'|'
            | b','
            | b'&'
            | b';'
    )
}

impl Until {
    /// How much of a text belongs to the value, and whether its end is there. What may be half an end is left for the next text.
    fn end(&mut self, text: &[u8]) -> (usize, bool) {
        let mut place = 0;
        match self {
            Self::Pem => match memchr::memmem::find(text, b"-----END") {
                Some(place) => return (place, true),
                None => return (text.len().saturating_sub(7), false),
            },
            Self::Boundary => match memchr::memmem::find(text, b"\n--") {
                Some(place) => return (place, true),
                None => return (text.len().saturating_sub(2), false),
            },
            Self::Line => {
                let ends = |byte: &u8| {
                    matches!(byte, b'\r' | b'\n' | b';' | b'&' | b'"' | b'<' | b'>' | b'|' | b'\t' | b',')
                };
                let length = text.iter().position(ends);
                return (length.unwrap_or(text.len()), length.is_some());
            }
            Self::Run => {
                let length = text.iter().position(|byte| is_break(*byte));
                return (length.unwrap_or(text.len()), length.is_some());
            }
            Self::Quote { quote, is_escaped } => {
                for byte in text {
                    if *byte == *quote && !*is_escaped {
                        return (place, true);
                    }
                    *is_escaped = *byte == b'\\' && !*is_escaped;
                    place += 1;
                }
            }
            Self::Container { depth, in_string, is_escaped } => {
                for byte in text {
                    place += 1;
                    match byte {
                        b'"' if !*is_escaped => *in_string = !*in_string,
                        b'[' | b'{' if !*in_string => *depth += 1,
                        b']' | b'}' if !*in_string => {
                            *depth = depth.saturating_sub(1);
                            if *depth == 0 {
                                return (place, true);
                            }
                        }
                        _ => {}
                    }
                    *is_escaped = *byte == b'\\' && !*is_escaped;
                }
            }
        }
        (place, false)
    }
}

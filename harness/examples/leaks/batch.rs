//! Requests with a case in each of their places.

use crate::cases::{self, Case, Random};
use harness::{
    Bytes,
    expect::Expect,
    scenario::{Chunk, Connection, Exchange, Request, Response},
};
use std::{collections::BTreeMap, collections::VecDeque};

/// Headers that have a meaning to a filter: a value that shows what it is by itself stands in one of them in turn.
pub const HEADERS: [&str; 7] =
    ["referer", "user-agent", "x-request-id", "baggage", "x-force-arm", "traceparent", "x-other"];

/// Cases of one entity and encoding, of which each stands in another place of one request.
pub struct Batch {
    /// The name of the field that the values stand under.
    pub key: &'static str,
    pub cases: Vec<Case>,
}

impl Batch {
    /// All cases: so many of each entity, encoding and place.
    pub fn all(count: usize, seed: u64) -> impl Iterator<Item = Self> {
        let mut cases = cases::all(count, seed).peekable();
        let mut ready = VecDeque::new();
        std::iter::from_fn(move || {
            if ready.is_empty() {
                // The cases of an entity and encoding follow one another, place by place.
                let mut places: BTreeMap<&str, VecDeque<Case>> = BTreeMap::new();
                let first = cases.peek()?;
                let (entity, encoding) = (first.entity, first.encoding);
                let mut key = "q";
                while let Some(case) =
                    cases.next_if(|next| (next.entity, next.encoding) == (entity, encoding))
                {
                    key = key_of(&case).unwrap_or(key);
                    places.entry(case.place).or_default().push_back(case);
                }
                ready = batches(key, places);
            }
            ready.pop_front()
        })
    }

    /// The request that has each case's text in its place. A body is cut into three at places drawn by lot.
    pub fn exchange(&self, number: usize, random: &mut Random) -> Exchange {
        let mut request = Request { method: "POST".to_owned(), ..Request::default() };
        let mut response = Response::default();
        let mut body = None;
        for case in &self.cases {
            let text = case.text.as_str();
            match case.place {
                "path" => request.path = [before_query(text), after_query(&request.path)].concat(),
                "query" => request.path = [before_query(&request.path), after_query(text)].concat(),
                "cookie" => request = request.header("cookie", text),
                "form" | "json" | "json array" => {
                    body = Some(match (case.place, body) {
                        ("json array", Some(members)) => joined(members, text),
                        _ => text.to_owned(),
                    });
                    let kind = if case.place == "form" {
                        "application/x-www-form-urlencoded"
                    } else {
                        "application/json"
                    };
                    request.headers.retain(|(name, _)| name.0 != b"content-type");
                    request = request.header("content-type", kind);
                }
                _ => {
                    let (name, value) = self.header(text, number);
                    // A location says nothing of what is in it.
                    let answered = if self.key == "q" { "location" } else { name.as_str() };
                    response.headers.push((Bytes::from(answered), Bytes::from(value)));
                    request = request.header(&name, value);
                }
            }
        }
        if number.is_multiple_of(8) {
            request = request.header("x-deny", "1");
        }
        if let Some(body) = body {
            request.is_chunked = true;
            request.chunks = cut(&body, random);
        }
        Exchange {
            connection: Connection::default(),
            after_ms: 0,
            is_tcp: false,
            request,
            response,
            expect: Expect::default(),
        }
    }

    /// The header of a case, and its value.
    fn header<'t>(&self, text: &'t str, number: usize) -> (String, &'t str) {
        let own = format!("x-{}", self.key.to_ascii_lowercase());
        let value = text
            .strip_prefix(&format!("x-{}: ", self.key))
            .and_then(|rest| rest.strip_suffix("\r\naccept: text/html"))
            .unwrap_or(text);
        let name = HEADERS.get(number % (2 * HEADERS.len())).filter(|_| self.key == "q");
        (name.map_or(own, |name| (*name).to_owned()), value)
    }
}

/// Every batch has a target, a cookie, a header and a body: a form, or JSON with two values.
fn batches(key: &'static str, mut places: BTreeMap<&str, VecDeque<Case>>) -> VecDeque<Batch> {
    let mut batches = VecDeque::new();
    let mut number = 0;
    while places.values().any(|cases| !cases.is_empty()) {
        let bodies: &[&str] = if number % 2 == 0 { &["json", "json array"] } else { &["form"] };
        let mut take = |place: &str| places.get_mut(place).and_then(VecDeque::pop_front);
        let mut cases: Vec<Case> =
            ["path", "query", "cookie", "header"].into_iter().filter_map(&mut take).collect();
        cases.extend(bodies.iter().filter_map(|place| take(place)));
        if !cases.is_empty() {
            batches.push_back(Batch { key, cases });
        }
        number += 1;
    }
    batches
}

/// The name of the field before a case's value: its entity may have several.
fn key_of(case: &Case) -> Option<&'static str> {
    let is_before = |key: &str| {
        let forms = [format!("{key}="), format!("\"{key}\":"), format!("x-{key}:"), format!("/{key}/")];
        forms.iter().any(|form| case.text.contains(form)) || key == "q" && case.place == "path"
    };
    let mut kinds = cases::KINDS.iter().filter(|kind| kind.id == case.entity);
    kinds.find(|kind| is_before(kind.key)).map(|kind| kind.key)
}

fn before_query(target: &str) -> &str {
    target.split_once('?').map_or(target, |(path, _)| path)
}

/// The query with its question mark.
fn after_query(target: &str) -> &str {
    target.find('?').and_then(|place| target.get(place..)).unwrap_or_default()
}

/// Two objects as one: the second's `page` is the first's.
fn joined(mut members: String, more: &str) -> String {
    if let Some(more) = more.strip_prefix("{\"page\":1,").and_then(|more| more.strip_suffix(",\"ok\":true}"))
    {
        members.truncate(members.len().saturating_sub(1));
        members.push(',');
        members.push_str(more);
        members.push('}');
    }
    members
}

fn cut(body: &str, random: &mut Random) -> Vec<Chunk> {
    let mut cuts = [random.below(body.len() + 1), random.below(body.len() + 1)];
    cuts.sort_unstable();
    let [first, second] = cuts;
    let parts =
        [body.as_bytes().get(..first), body.as_bytes().get(first..second), body.as_bytes().get(second..)];
    let parts = parts.into_iter().flatten().filter(|part| !part.is_empty());
    parts.map(|part| Chunk::apart(Bytes(part.to_vec()))).collect()
}

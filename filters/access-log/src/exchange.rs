//! One exchange, from its headers to its record.

use crate::{
    AccessLog, Header, Seen,
    fields::Item,
    flow::{Found, Part},
    host::{HostText, OwnNumber, PolicyRecord},
    record::{Frame, Record, Value},
    sampling, time,
};
use filter_kit::{Effects, Pairs, TraceParent, View, json_body::BodyReader, routes::RouteLabel};
use pii::{Entity, Findings, Place, Redacted, TokenKey};
use std::{cell::OnceCell, mem, ops::Range};

/// The longest text that is gone through, in bytes: Envoy takes headers of at most 96 KB in all.
const LONGEST: usize = 128 << 10;

/// An exchange that is over.
pub struct Exchange<'a> {
    filter: &'a AccessLog,
    view: &'a View<'a>,
    now: u64,
    found: Found,
    key: OnceCell<Option<TokenKey>>,
    effects: Effects<'a>,
}

/// The parts of a request target.
struct Target<'a> {
    text: &'a [u8],
    /// Where the path ends.
    path: usize,
    /// Where the query is.
    query: Option<Range<usize>>,
}

impl<'a> Target<'a> {
    /// The target as the client sent it, before a route rewrote its path: Envoy keeps that in a header of its own.
    fn of(view: &'a View<'_>) -> Self {
        let text = view.request_header("x-envoy-original-path").unwrap_or_else(|| view.target());
        let end = memchr::memchr(b'#', text).unwrap_or(text.len());
        let path = memchr::memchr(b'?', text.get(..end).unwrap_or_default());
        Self { text, path: path.unwrap_or(end), query: path.map(|path| path + 1..end) }
    }
}

impl<'a> Exchange<'a> {
    /// Of an exchange that `on_log` is about.
    pub fn new(filter: &'a AccessLog, view: &'a View<'a>) -> Self {
        let (found, effects) = (Found::default(), Effects::default());
        Self { filter, view, now: view.now(), found, key: OnceCell::new(), effects }
    }

    /// Logs it.
    pub fn log(mut self, mut seen: Option<Seen>) -> Effects<'a> {
        let filter = self.filter;
        let engine = &filter.pii.engine;
        let target = Target::of(self.view);
        let status = self.view.status();
        let (start, duration) = self.times(seen.as_ref());
        let trace = self.trace();
        // What flows where is counted of all exchanges: a share of the records is enough, a share of the leaks is not.
        let is_read = target.text.len() <= LONGEST;
        let findings = if is_read { engine.find(target.text, Place::Text) } else { Findings::default() };
        let path = if is_read {
            self.add_target(&target, &findings);
            self.part(&target, 0..target.path, &findings)
        } else {
            self.too_long()
        };
        // What was found has no way into a label. Paths that do not exist teach nothing: whoever looks for holes asks for many.
        let route = match status {
            Some(404) => filter.routes.known(path.as_str().as_bytes()),
            _ => filter.routes.of(path.as_str().as_bytes()),
        };
        let label = filter.routes.label(route);
        let of_it = sampling::Seen { status, duration, route: &label };
        let record = self.policy_record(seen.as_mut());
        let is_kept = record.as_ref().is_some_and(PolicyRecord::is_kept);
        if is_kept || filter.sampling.is_logged(&of_it, || self.draw(trace.as_ref())) {
            let is_error = of_it.is_error();
            let query =
                target.query.clone().filter(|_| is_read).map(|query| self.part(&target, query, &findings));
            let facts = Facts { path, query, route: label, status, start, duration, trace, record };
            self.write(facts, seen, is_error);
        } else {
            self.effects.count(filter.counters.sampled_out);
            self.body(seen, None);
        }
        self.scan();
        filter.flow.note(&self.found, &filter.routes, route, self.now, &mut self.effects);
        self.effects
    }

    /// The record of a policy's decision: from a filter of the same module, or from filter state where that is asked for.
    fn policy_record(&self, seen: Option<&mut Seen>) -> Option<PolicyRecord> {
        match seen.and_then(|seen| seen.record.take()) {
            Some(record) => Some(*record),
            None if self.filter.is_record_read => PolicyRecord::read(self.view),
            None => None,
        }
    }

    /// When the exchange began and how long it took. One that the filter has not seen pass was answered before it, or this is an access logger.
    fn times(&self, seen: Option<&Seen>) -> (u64, u64) {
        if let Some(seen) = seen {
            return (seen.start, self.now.saturating_sub(seen.start));
        }
        let start = OwnNumber::Start.read(self.view).unwrap_or(self.now);
        let duration = OwnNumber::Duration.read(self.view);
        (start, duration.unwrap_or_else(|| self.now.saturating_sub(start)))
    }

    /// The trace by the rule of W3C: of several headers none counts.
    fn trace(&mut self) -> Option<TraceParent<'a>> {
        let view = self.view;
        let mut all = view.request_headers().all("traceparent");
        let first = all.next()?;
        let trace = if all.next().is_none() { TraceParent::parse(first) } else { None };
        if trace.is_none() {
            self.effects.count(self.filter.counters.bad_trace);
        }
        trace
    }

    /// 56 bits for the sampling: the same for all proxies that see the trace, or the request.
    fn draw(&self, trace: Option<&TraceParent<'_>>) -> u64 {
        if let Some(trace) = trace {
            return sampling::randomness(trace);
        }
        match self.view.request_header("x-request-id") {
            Some(id) => sampling::hash(id),
            None => self.view.random().map_or(0, |bytes: [u8; 8]| u64::from_le_bytes(bytes) >> 8),
        }
    }

    /// Notes what was found of the target, in its path or its query.
    fn add_target(&mut self, target: &Target<'_>, findings: &Findings) {
        for span in findings.spans() {
            let part = if span.start < target.path { Part::Path } else { Part::Query };
            self.note(part, span.entity, 1);
        }
    }

    fn note(&mut self, part: Part, entity: Entity, count: u64) {
        self.found.add(part, entity, count);
        if entity == Entity::Undecodable {
            self.effects.count(self.filter.counters.undecodable);
        }
    }

    /// The key of tokens, which is made once a day and fetched only where something was found.
    fn key(&self) -> Option<&TokenKey> {
        self.key.get_or_init(|| self.filter.pii.tokens.key(time::day(self.now))).as_ref()
    }

    /// What stands for a text that is too long to be gone through.
    fn too_long<'t>(&mut self) -> Redacted<'t> {
        self.effects.count(self.filter.counters.too_long);
        self.filter.pii.engine.redact(b"[TOO_LONG]", Place::Text, None)
    }

    /// Redacts a text of the exchange, and notes what was found in it.
    fn redact<'t>(&mut self, text: &'t [u8], place: Place<'_>, part: Part) -> Redacted<'t> {
        if text.len() > LONGEST {
            return self.too_long();
        }
        let findings = self.filter.known.find(&self.filter.pii.engine, text, place);
        self.write_found(text, &findings, part)
    }

    /// Redacts a text in which these were found, and notes them.
    fn write_found<'t>(&mut self, text: &'t [u8], findings: &Findings, part: Part) -> Redacted<'t> {
        for span in findings.spans() {
            self.note(part, span.entity, 1);
        }
        let key = if findings.spans().is_empty() { None } else { self.key() };
        self.filter.pii.engine.write(text, findings, key).cut(self.filter.value_bytes)
    }

    fn write(&mut self, mut facts: Facts<'a>, seen: Option<Seen>, is_error: bool) {
        let filter = self.filter;
        let headers = filter.request_headers.len() + filter.response_headers.len() + filter.arms.len();
        let mut record = Record::with_capacity(filter.items.len() + headers + 4);
        for (item, name) in &filter.items {
            if let Some(value) = self.value(*item, &mut facts) {
                record.add(name, value);
            }
        }
        if let Some(policy) = facts.record.take() {
            record.add(&filter.record_name, Value::Policy(policy));
        }
        for arm in &filter.arms {
            self.header(arm, self.view.request_headers(), &mut record);
        }
        for header in &filter.request_headers {
            self.header(header, self.view.request_headers(), &mut record);
        }
        for header in &filter.response_headers {
            self.header(header, self.view.response_headers(), &mut record);
        }
        self.others(&mut record);
        self.body(seen, Some(&mut record));
        if filter.items.iter().any(|(item, _)| *item == Item::Entities) {
            for (entity, count) in self.found.entities() {
                record.add_entity(entity, count);
            }
        }
        let frame = Frame { time: facts.start, observed: self.now, is_error, trace: facts.trace };
        filter.outputs.write(&record, &frame, &filter.canaries, &mut self.effects);
    }

    fn value(&mut self, item: Item, facts: &mut Facts<'a>) -> Option<Value<'a>> {
        let filter = self.filter;
        Some(match item {
            Item::Time => Value::Time(facts.start),
            Item::Duration => Value::Duration(facts.duration, filter.names.duration()),
            Item::Method => Value::Word(method(self.view.method())),
            Item::Route => Value::Route(facts.route.clone()),
            // Each stands in a record once.
            Item::Path => mem::take(&mut facts.path).cut(filter.value_bytes).into(),
            Item::Query => facts.query.take()?.cut(filter.value_bytes).into(),
            Item::Authority => {
                let host = self.view.request_header(":authority")?;
                HostText::of_address(host)
                    .map_or_else(|| self.redact(host, Place::Text, Part::Header).into(), Value::Host)
            }
            Item::Status => u64::from(facts.status?).into(),
            // Each is another one: there is nothing to remember.
            Item::RequestId => {
                let id = self.view.request_header("x-request-id")?;
                if id.len() > LONGEST {
                    return Some(self.too_long().into());
                }
                let findings = filter.pii.engine.find(id, Place::Text);
                self.write_found(id, &findings, Part::Header).into()
            }
            Item::TraceId => Value::TraceId(facts.trace?),
            Item::SpanId => Value::SpanId(facts.trace?),
            Item::Verdict => {
                let name = filter.verdict.as_ref()?.as_str();
                self.redact(self.view.request_header(name)?, Place::Text, Part::Header).into()
            }
            // They are known when all else has been gone through.
            Item::Entities => return None,
            Item::Text(text) => Value::Host(HostText::read(self.view, text)?),
            Item::Number(number @ OwnNumber::Flags) => Value::Flags(number.read(self.view)?),
            Item::Number(number) => number.read(self.view)?.into(),
        })
    }

    /// A part of the target.
    fn part(&self, target: &Target<'a>, part: Range<usize>, findings: &Findings) -> Redacted<'a> {
        let key = if findings.spans().is_empty() { None } else { self.key() };
        self.filter.pii.engine.write_part(target.text, part, findings, key)
    }

    /// A header of the allow-list: its first value.
    fn header(&mut self, header: &'a Header, pairs: &'a Pairs, record: &mut Record<'a>) {
        let name = header.name.as_str();
        if let Some(value) = pairs.first(name) {
            let part = if name == "cookie" { Part::Cookie } else { Part::Header };
            record.add(&header.key, self.redact(value, Place::Field(name.as_bytes()), part));
        }
    }

    /// The names of the headers that are not on the allow-list: without their values.
    fn others(&mut self, record: &mut Record<'a>) {
        /// The most bytes of names.
        const ENOUGH: usize = 1024;
        let Some(key) = &self.filter.others else { return };
        let mut names = Vec::new();
        for (name, _) in self.view.request_headers() {
            let is_known = |header: &Header| header.name.as_str().as_bytes() == name;
            if name.starts_with(b":") || self.filter.request_headers.iter().any(is_known) {
                continue;
            }
            if names.len() + name.len() > ENOUGH {
                break;
            }
            if !names.is_empty() {
                names.push(b' ');
            }
            names.extend_from_slice(name);
        }
        // A client may write anything into a name too.
        record.add(key, self.redact(&names, Place::Text, Part::Header).into_owned());
    }

    /// The chosen fields of the body.
    fn body(&mut self, seen: Option<Seen>, record: Option<&mut Record<'a>>) {
        let Some(mut body) = seen.and_then(|seen| seen.body) else { return };
        let filter = self.filter;
        body.finish(filter);
        if let Some(why) = body.reader.as_ref().and_then(BodyReader::unread) {
            self.effects.count(filter.counters.unread(why));
        }
        for (entity, count) in body.found.entities() {
            self.note(Part::Body, entity, count);
        }
        let (Some(record), Some(reader)) = (record, &body.reader) else { return };
        for (field, value) in reader.found() {
            let Some(name) = filter.body_names.get(*field) else { continue };
            let findings =
                filter.pii.engine.find(value, Place::Field(filter.body.last_name(*field).as_bytes()));
            // A body that is gone through as a whole has counted it already.
            if !filter.flow.scan.body {
                for span in findings.spans() {
                    self.note(Part::Body, span.entity, 1);
                }
            }
            let key = if findings.spans().is_empty() { None } else { self.key() };
            let value = filter.pii.engine.write(value, &findings, key).cut(filter.value_bytes);
            record.add(name, value.into_owned());
        }
    }

    /// Goes through what is not logged, to count what flows there.
    fn scan(&mut self) {
        let filter = self.filter;
        let scan = filter.flow.scan;
        if !scan.cookies && !scan.headers {
            return;
        }
        let view = self.view;
        let is_logged =
            |name: &[u8], list: &[Header]| list.iter().any(|header| header.name.as_str().as_bytes() == name);
        for (pairs, list) in [
            (view.request_headers(), &filter.request_headers),
            (view.response_headers(), &filter.response_headers),
        ] {
            for (name, value) in pairs {
                let is_cookie = name == b"cookie" || name == b"set-cookie";
                let is_wanted = if is_cookie { scan.cookies } else { scan.headers };
                // The target and the authority have their own places.
                if is_wanted && !name.starts_with(b":") && !is_logged(name, list) && value.len() <= LONGEST {
                    let part = if is_cookie { Part::Cookie } else { Part::Header };
                    // The name of a cookie's header says that all of it is secret; here it is of interest what is in it.
                    let place = if is_cookie { Place::Text } else { Place::Field(name) };
                    for span in filter.pii.engine.find(value, place).spans() {
                        self.note(part, span.entity, 1);
                    }
                }
            }
        }
    }
}

/// What is known of an exchange before its values are asked for.
struct Facts<'a> {
    path: Redacted<'a>,
    query: Option<Redacted<'a>>,
    route: RouteLabel,
    status: Option<u16>,
    start: u64,
    duration: u64,
    trace: Option<TraceParent<'a>>,
    record: Option<PolicyRecord>,
}

/// The method, if RFC 9110 or RFC 5789 has it; a client may write anything there.
fn method(method: &[u8]) -> &'static str {
    const METHODS: [&str; 9] =
        ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "CONNECT", "TRACE"];
    METHODS.into_iter().find(|known| known.as_bytes() == method).unwrap_or("_OTHER")
}

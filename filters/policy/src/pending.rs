//! Requests that wait for their body or their response.

use crate::{
    Policy,
    candidate::Candidate,
    extension::media_type,
    facts::Known,
    fields::Body,
    line::Request,
    policy_set::Course,
    program::Action,
    tally::{Tally, Verdict},
    truth::Truth,
};
use filter_kit::{Bounded, Effects, View};
use std::mem;

/// What is remembered of a request until its rules are through.
#[derive(Debug, Default)]
pub struct Pending {
    live: Course,
    candidate: Option<Box<Course>>,
    /// The body, while rules wait for it.
    body: Option<Box<Incoming>>,
    /// What log lines have of the request, whose headers are gone by then.
    request: Option<Box<Request<'static>>>,
    /// What the response says of the decision, where it was asked for.
    pub trace: Option<Bounded<'static>>,
}

/// A request's body that comes.
#[derive(Debug)]
pub struct Incoming {
    is_json: bool,
    is_form: bool,
    is_encoded: bool,
    /// What has come.
    seen: Vec<u8>,
}

impl Incoming {
    /// The body of a request by its headers.
    pub fn of(view: &View<'_>) -> Self {
        let kind = view.request_header("content-type").map(media_type).unwrap_or_default();
        let encoding = view.request_header("content-encoding").unwrap_or_default();
        let kind = kind.to_ascii_lowercase();
        Self {
            is_json: kind.ends_with(b"/json") || kind.ends_with(b"+json"),
            is_form: kind == b"application/x-www-form-urlencoded",
            is_encoded: !encoding.is_empty() && !encoding.eq_ignore_ascii_case(b"identity"),
            seen: Vec::new(),
        }
    }

    /// What can be read of it; none is a body that is too long.
    pub fn read<'b>(&self, bytes: Option<&'b [u8]>) -> Body<'b> {
        match bytes {
            Some(bytes) if !self.is_encoded || bytes.is_empty() => {
                Body::read(bytes, self.is_json, self.is_form)
            }
            _ => Body::Unread,
        }
    }
}

impl Policy {
    /// Decides where the headers are enough, and else says what to wait for. `found` are the rules that it may concern, the live set's and the
    /// candidate's.
    #[inline(never)]
    pub fn begin<'a>(
        &'a self,
        view: &'a View<'_>,
        known: &Known<'_>,
        (found, beside): (Vec<u32>, Vec<u32>),
        stream: &mut Option<Pending>,
    ) -> Effects<'a> {
        let mut effects = Effects::default();
        let live = self.live.begin(self.live.judge(known, &self.shared.pii, found, false), view.is_last());
        let candidate = self.candidate.as_ref().map(|candidate| {
            let set = &candidate.set;
            Box::new(set.begin(set.judge(known, &self.shared.pii, beside, true), view.is_last()))
        });
        let is_held = live.waits_for_body();
        if is_held {
            self.redact(view, &live.tally, Verdict::Allow(None), &mut effects);
            self.pass(&mut effects);
            if self.shared.is_held {
                effects.pause();
            }
        } else {
            self.settle(&live.tally, live.verdict, view, &mut effects);
            self.redact(view, &live.tally, live.verdict, &mut effects);
        }
        let mut pending = Pending { live, candidate, ..Pending::default() };
        if !self.conclude(&mut pending, view, &mut effects) {
            let waits = is_held || pending.candidate.as_ref().is_some_and(|course| course.waits_for_body());
            pending.body = waits.then(|| Box::new(Incoming::of(view)));
            let is_told =
                self.record.log.is_some() || self.candidate.as_ref().is_some_and(Candidate::has_room);
            pending.request = is_told.then(|| Box::new(Request::of(view).into_owned()));
            *stream = Some(pending);
        }
        effects
    }

    /// Compares the two verdicts, when both are known or one can no more be; whether nothing is left to wait for.
    fn conclude(&self, pending: &mut Pending, view: &View<'_>, effects: &mut Effects<'_>) -> bool {
        let is_over = pending.live.is_final();
        let Some(course) = &pending.candidate else { return is_over };
        // Nothing comes any more of a request that is denied.
        let is_denied = is_over && !pending.live.verdict.is_allow();
        if !(is_denied || is_over && course.is_final()) {
            return false;
        }
        let verdict = course.is_final().then_some(course.verdict);
        self.compare(pending.live.verdict, verdict, view, pending.request.as_deref(), effects);
        pending.candidate = None;
        true
    }

    /// A part of the body has come. Where the live set waits for it, it is held back until it is whole; what the candidate alone waits for goes on.
    pub fn body<'a>(&'a self, view: &'a View<'_>, stream: &mut Option<Pending>) -> Effects<'a> {
        let mut effects = Effects::default();
        let Some(pending) = stream.as_mut() else { return effects };
        let is_held = pending.live.waits_for_body();
        let Some(incoming) = pending.body.as_mut() else { return effects };
        let before = incoming.seen.len();
        // What is held back comes again, with what is new: that alone is read.
        let held = if is_held { before } else { 0 };
        let mut is_over = before - held + view.body_size() > self.shared.limit_bytes;
        let mut seen = mem::take(&mut incoming.seen);
        // A body that comes whole is not copied.
        let is_whole = is_held && view.is_last() && before == 0;
        if !is_over && !is_whole {
            seen.extend_from_slice(view.body_behind(held));
            is_over = is_held && seen.len() != view.body_size();
        }
        if !view.is_last() && !is_over {
            incoming.seen = seen;
            if is_held {
                effects.pause();
            }
            return effects;
        }
        let bytes = if is_whole { view.body() } else { &seen };
        self.decide((!is_over).then_some(bytes), view, stream, &mut effects);
        effects
    }

    /// Trailers end the body.
    pub fn trailers<'a>(&'a self, view: &'a View<'_>, stream: &mut Option<Pending>) -> Effects<'a> {
        let mut effects = Effects::default();
        if let Some(incoming) = stream.as_mut().and_then(|pending| pending.body.as_mut()) {
            let seen = mem::take(&mut incoming.seen);
            self.decide(Some(&seen), view, stream, &mut effects);
        }
        effects
    }

    /// Decides by the body; none is one that is too long.
    fn decide<'a>(
        &'a self,
        bytes: Option<&[u8]>,
        view: &View<'_>,
        stream: &mut Option<Pending>,
        effects: &mut Effects<'a>,
    ) {
        let Some(pending) = stream.as_mut() else { return };
        let Some(incoming) = pending.body.take() else { return };
        let read = incoming.read(bytes);
        let live = &mut pending.live;
        if live.waits_for_body() {
            self.live.with_body(live, &read);
            let request = pending.request.as_deref();
            self.settle_late(&live.tally, live.verdict, bytes.is_none(), (view, request), effects);
        }
        if let (Some(candidate), Some(course)) = (&self.candidate, &mut pending.candidate) {
            candidate.set.with_body(course, &read);
        }
        if self.conclude(pending, view, effects) && pending.trace.is_none() {
            *stream = None;
        }
    }

    /// The response has come.
    pub fn response<'a>(&'a self, view: &'a View<'_>, stream: &mut Option<Pending>) -> Effects<'a> {
        let mut effects = Effects::default();
        let Some(mut pending) = stream.take() else { return effects };
        let live = &mut pending.live;
        let before = live.verdict;
        if let Some(tally) = self.live.with_response(live, view) {
            // What the request's own rules said was told of before.
            let verdict = if live.verdict == before { Verdict::Allow(None) } else { live.verdict };
            let request = pending.request.as_deref();
            self.settle_late(&tally, verdict, false, (view, request), &mut effects);
        }
        if let (Some(candidate), Some(course)) = (&self.candidate, &mut pending.candidate) {
            candidate.set.with_response(course, view);
            // A response may come before the request's end: then nobody knows what either set would have said of the body.
            if !live.waits_for_body() {
                let verdict = course.is_final().then_some(course.verdict);
                self.compare(live.verdict, verdict, view, pending.request.as_deref(), &mut effects);
            }
        }
        if let (Some(ask), Some(trace)) = (&self.ask, pending.trace) {
            effects.set_response_header(&ask.header, trace);
        }
        effects
    }

    /// Redacts what rules of AUDIT policies found and say to redact.
    fn redact<'a>(&'a self, view: &'a View<'_>, tally: &Tally, verdict: Verdict, effects: &mut Effects<'a>) {
        if tally.is_empty() || !verdict.is_allow() {
            return;
        }
        for (rule, truth) in tally.said(&self.live.program, Action::Audit, false) {
            let rule = self.live.rule(rule);
            let personal = rule.and_then(|rule| rule.extension.as_ref()?.personal());
            if let Some(personal) = personal.filter(|_| truth == Truth::True) {
                personal.redact(view, &self.shared.pii, effects);
            }
        }
    }
}

//! Requests that wait for their body or their response.

#[cfg(not(target_arch = "wasm32"))]
mod explain;

use crate::{
    Policy,
    extension::media_type,
    fields::Body,
    program::{Action, Rule},
    tally::{Tally, Verdict},
    truth::Truth,
};
use filter_kit::{Effects, View};

/// What is remembered of a request until its rules are through.
#[derive(Debug, Default)]
pub struct Pending {
    /// What is said so far, while rules wait for the body.
    body: Option<Box<Waiting>>,
    /// Rules that wait for the response.
    response: Vec<(u32, Truth)>,
}

#[derive(Debug)]
struct Waiting {
    tally: Tally,
    is_json: bool,
    is_form: bool,
    is_encoded: bool,
    /// What has come, for a body that trailers end.
    seen: Vec<u8>,
}

impl Policy {
    /// Decides where the headers are enough, and else says what to wait for.
    #[inline(never)]
    pub fn begin<'a>(
        &'a self,
        view: &'a View<'_>,
        mut tally: Tally,
        stream: &mut Option<Pending>,
    ) -> Effects<'a> {
        let mut effects = Effects::default();
        let waiting = std::mem::take(&mut tally.waiting);
        if waiting.is_empty() {
            let verdict = tally.verdict(&self.program, &self.policies, self.on_error, false);
            self.settle(&tally, verdict, &mut effects);
            self.redact(view, &tally, verdict, &mut effects);
            return effects;
        }
        let (body, response): (Vec<_>, Vec<_>) =
            waiting.into_iter().partition(|(rule, _)| self.is_on(*rule, |rule| rule.body.is_some()));
        let mut pending = Pending { body: None, response };
        let verdict = tally.verdict(&self.program, &self.policies, self.on_error, false);
        // A rule that waits can deny, or allow what no other allows; what is denied for good must not wait, for its headers would go on.
        let is_of = |rule: u32, action| {
            self.program.rules.get(rule as usize).is_some_and(|rule| rule.action == action && !rule.is_dry)
        };
        let is_decided = match verdict {
            Verdict::Allow(_) => false,
            Verdict::Deny(_) => true,
            Verdict::Undecided(rule) if is_of(rule, Action::Deny) => true,
            Verdict::Undecided(_) | Verdict::NotAllowed => {
                !body.iter().any(|(rule, _)| is_of(*rule, Action::Allow))
            }
        };
        if body.is_empty() || view.is_last() || is_decided {
            for (rule, truth) in body.iter().filter(|_| !is_decided) {
                self.note_body(&mut tally, *rule, *truth, &Body::Empty);
            }
            tally.sort();
            let verdict = tally.verdict(&self.program, &self.policies, self.on_error, false);
            self.settle(&tally, verdict, &mut effects);
            self.redact(view, &tally, verdict, &mut effects);
            if verdict.is_allow() && !pending.response.is_empty() {
                *stream = Some(pending);
            }
            return effects;
        }
        self.redact(view, &tally, Verdict::Allow(None), &mut effects);
        self.pass(&mut effects);
        let kind = view.request_header("content-type").map(media_type).unwrap_or_default();
        let encoding = view.request_header("content-encoding").unwrap_or_default();
        let kind = kind.to_ascii_lowercase();
        tally.waiting = body;
        pending.body = Some(Box::new(Waiting {
            tally,
            is_json: kind.ends_with(b"/json") || kind.ends_with(b"+json"),
            is_form: kind == b"application/x-www-form-urlencoded",
            is_encoded: !encoding.is_empty() && !encoding.eq_ignore_ascii_case(b"identity"),
            seen: Vec::new(),
        }));
        *stream = Some(pending);
        if self.shared.is_held {
            effects.pause();
        }
        effects
    }

    /// A part of the body has come: it is held back until it is whole.
    pub fn body<'a>(&'a self, view: &'a View<'_>, stream: &mut Option<Pending>) -> Effects<'a> {
        let mut effects = Effects::default();
        let Some(pending) = stream.as_mut() else { return effects };
        let Some(waiting) = pending.body.as_mut() else { return effects };
        let is_over = view.body_size() > self.shared.limit_bytes;
        if !view.is_last() && !is_over {
            waiting.seen = view.body().to_vec();
            effects.pause();
            return effects;
        }
        let bytes = if is_over { None } else { Some(view.body()) };
        self.decide(bytes, stream, &mut effects);
        effects
    }

    /// Trailers end the body.
    pub fn trailers<'a>(&'a self, stream: &mut Option<Pending>) -> Effects<'a> {
        let mut effects = Effects::default();
        if let Some(waiting) = stream.as_mut().and_then(|pending| pending.body.as_mut()) {
            let seen = std::mem::take(&mut waiting.seen);
            self.decide(Some(&seen), stream, &mut effects);
        }
        effects
    }

    /// Decides by the body; none is one that is too long.
    fn decide<'a>(&'a self, bytes: Option<&[u8]>, stream: &mut Option<Pending>, effects: &mut Effects<'a>) {
        let Some(pending) = stream.as_mut() else { return };
        let Some(waiting) = pending.body.take() else { return };
        let Waiting { mut tally, is_json, is_form, is_encoded, .. } = *waiting;
        let read = match bytes {
            Some(bytes) if !is_encoded || bytes.is_empty() => Body::read(bytes, is_json, is_form),
            _ => Body::Unread,
        };
        for (rule, truth) in std::mem::take(&mut tally.waiting) {
            self.note_body(&mut tally, rule, truth, &read);
        }
        tally.sort();
        let verdict = tally.verdict(&self.program, &self.policies, self.on_error, false);
        self.settle_late(&tally, verdict, bytes.is_none(), effects);
        if !verdict.is_allow() || pending.response.is_empty() {
            *stream = None;
        }
    }

    /// The response has come.
    pub fn response<'a>(&'a self, view: &'a View<'_>, stream: &mut Option<Pending>) -> Effects<'a> {
        let mut effects = Effects::default();
        let Some(pending) = stream.take() else { return effects };
        let mut tally = Tally::default();
        for (number, truth) in pending.response {
            let Some(rule) = self.program.rules.get(number as usize) else { continue };
            let response = rule.extension.as_ref().and_then(|extension| extension.response.as_ref());
            if let Some(response) = response {
                tally.note(number, truth.and(response.holds(view)));
            }
        }
        if !tally.is_empty() {
            tally.sort();
            let verdict = match tally.verdict(&self.program, &self.policies, self.on_error, false) {
                // Whether an ALLOW policy matches was decided before.
                Verdict::NotAllowed => Verdict::Allow(None),
                verdict => verdict,
            };
            self.settle_late(&tally, verdict, false, &mut effects);
        }
        effects
    }

    fn note_body(&self, tally: &mut Tally, number: u32, truth: Truth, body: &Body<'_>) {
        let rule = self.program.rules.get(number as usize);
        if let Some(fields) = rule.and_then(|rule| rule.extension.as_ref()?.body.as_ref()) {
            tally.note(number, truth.and(fields.hold(body)));
        }
    }

    fn is_on(&self, rule: u32, is: impl Fn(&crate::extension::Extension) -> bool) -> bool {
        let rule: Option<&Rule> = self.program.rules.get(rule as usize);
        rule.and_then(|rule| rule.extension.as_deref()).is_some_and(is)
    }

    /// Redacts what rules of AUDIT policies found and say to redact.
    fn redact<'a>(&'a self, view: &'a View<'_>, tally: &Tally, verdict: Verdict, effects: &mut Effects<'a>) {
        if tally.is_empty() || !verdict.is_allow() {
            return;
        }
        for (rule, truth) in tally.said(&self.program, Action::Audit, false) {
            let rule = self.program.rules.get(rule as usize);
            let personal = rule.and_then(|rule| rule.extension.as_ref()?.personal());
            if let Some(personal) = personal.filter(|_| truth == Truth::True) {
                personal.redact(view, &self.shared.pii, effects);
            }
        }
    }
}

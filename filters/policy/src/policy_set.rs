//! A set of policies, compiled: the live one, and a candidate beside it. What it says of an exchange changes nothing of it; what is done is the filter's.

use crate::{
    extension::Extension,
    facts::{Facts, Known},
    fields::Body,
    index::Index,
    policies::{OnError, Policies},
    program::{Action, Program, Rule},
    sets::Sets,
    tally::{Tally, Verdict},
    truth::Truth,
};
use filter_kit::View;
use pii::Pii;
use std::{mem, ops::Range, rc::Rc};

/// A set of policies.
#[derive(Debug)]
pub struct PolicySet {
    pub program: Program,
    pub index: Index,
    pub policies: Policies,
    pub on_error: OnError,
    /// Named sets that its rules look things up in.
    pub sets: Rc<Sets>,
}

/// How far a set has come with an exchange.
#[derive(Debug, Default)]
pub struct Course {
    /// What rules have said of the request.
    pub tally: Tally,
    /// What becomes of it, as far as that is known.
    pub verdict: Verdict,
    /// Rules that wait for the body.
    body: Vec<(u32, Truth)>,
    /// Rules that wait for the response.
    response: Vec<(u32, Truth)>,
}

impl Course {
    /// Whether the request's body decides.
    pub fn waits_for_body(&self) -> bool {
        !self.body.is_empty()
    }

    /// Whether nothing that is yet to come changes the verdict.
    pub fn is_final(&self) -> bool {
        self.body.is_empty() && (self.response.is_empty() || !self.verdict.is_allow())
    }
}

impl PolicySet {
    /// Istio's id of a rule.
    pub fn id(&self, rule: u32) -> String {
        self.rule(rule).map(|rule| self.policies.id(rule)).unwrap_or_default()
    }

    /// A rule by its place.
    pub fn rule(&self, rule: u32) -> Option<&Rule> {
        self.program.rules.get(rule as usize)
    }

    fn extension(&self, rule: u32) -> Option<&Extension> {
        self.rule(rule)?.extension.as_deref()
    }

    /// What is known of a request, for the rules of this set.
    pub fn facts<'f>(&'f self, known: &'f Known<'f>) -> Facts<'f> {
        Facts::new(&self.program, known)
    }

    /// The rules that the request may concern, in no order, some perhaps twice.
    #[inline(never)]
    pub fn found(&self, known: &Known<'_>) -> Vec<u32> {
        let mut found = Vec::new();
        self.index.each_candidate(&self.facts(known), self.program.rules.len(), &mut |rule| found.push(rule));
        found
    }

    /// Whether a request that no rule concerns goes on, with nothing to tell of it.
    #[inline]
    pub fn lets_pass(&self, found: &[u32]) -> bool {
        found.is_empty() && !self.policies.has_allow && !self.policies.has_dry_allow
    }

    /// What is done by what was said: with the policies in force, or with those that are only tried.
    pub fn verdict(&self, tally: &Tally, is_dry: bool) -> Verdict {
        tally.verdict(&self.program, &self.policies, self.on_error, is_dry)
    }

    /// What the rules say that the request may concern: those in force alone, where nothing but the verdict is asked for.
    #[inline(never)]
    pub fn judge(&self, known: &Known<'_>, pii: &Pii, mut found: Vec<u32>, is_brief: bool) -> Tally {
        let facts = self.facts(known);
        filter_kit::sort_unique(&mut found);
        let mut tally = Tally::default();
        for place in found {
            let Some(rule) = self.rule(place) else { continue };
            if is_brief && (rule.is_dry || rule.action == Action::Audit) {
                continue;
            }
            let truth = self.holds(rule, &facts, pii);
            let waits = |extension: &Extension| extension.body.is_some() || extension.response.is_some();
            if truth != Truth::False && rule.extension.as_deref().is_some_and(waits) {
                tally.waiting.push((place, truth));
            } else {
                tally.note(place, truth);
            }
            // AUDIT rules came before it, and nothing that comes after it changes what is done.
            if truth == Truth::True
                && rule.action == Action::Deny
                && tally.waiting.is_empty()
                && (is_brief || !self.policies.has_dry)
            {
                break;
            }
        }
        tally
    }

    /// What a rule says: one of `from`, one of `to`, all of `when`, and what goes beyond.
    pub fn holds(&self, rule: &Rule, facts: &Facts<'_>, pii: &Pii) -> Truth {
        let group = |group| Truth::all(self.program.group(group).map(|test| facts.test(test)));
        let any = |groups: &Range<u32>| {
            if groups.is_empty() { Truth::True } else { Truth::any(groups.clone().map(group)) }
        };
        let parts = [&rule.to, &rule.from];
        let mut truth = group(rule.when);
        for part in parts {
            if truth == Truth::False {
                return truth;
            }
            truth = truth.and(any(part));
        }
        match &rule.extension {
            Some(extension) if truth != Truth::False => truth.and(extension.holds(facts, &self.sets, pii)),
            _ => truth,
        }
    }

    /// Decides where the headers are enough, and else says what to wait for.
    #[inline(never)]
    pub fn begin(&self, mut tally: Tally, is_last: bool) -> Course {
        let waiting = mem::take(&mut tally.waiting);
        let verdict = self.verdict(&tally, false);
        let mut course = Course { tally, verdict, ..Course::default() };
        if waiting.is_empty() {
            return course;
        }
        let is_on_body =
            |rule: &(u32, Truth)| self.extension(rule.0).is_some_and(|extension| extension.body.is_some());
        (course.body, course.response) = waiting.into_iter().partition(is_on_body);
        // A rule that waits can deny, or allow what no other allows; what is denied for good must not wait, for its headers would go on.
        let is_of =
            |rule: u32, action| self.rule(rule).is_some_and(|rule| rule.action == action && !rule.is_dry);
        let is_decided = match verdict {
            Verdict::Allow(_) => false,
            Verdict::Deny(_) => true,
            Verdict::Undecided(rule) if is_of(rule, Action::Deny) => true,
            Verdict::Undecided(_) | Verdict::NotAllowed => {
                !course.body.iter().any(|(rule, _)| is_of(*rule, Action::Allow))
            }
        };
        if is_decided {
            course.body.clear();
        } else if is_last {
            self.with_body(&mut course, &Body::Empty);
        }
        course
    }

    /// Decides by the body.
    pub fn with_body(&self, course: &mut Course, body: &Body<'_>) {
        for (rule, truth) in mem::take(&mut course.body) {
            if let Some(fields) = self.extension(rule).and_then(|extension| extension.body.as_ref()) {
                course.tally.note(rule, truth.and(fields.hold(body)));
            }
        }
        course.tally.sort();
        course.verdict = self.verdict(&course.tally, false);
    }

    /// Decides by the response. What its rules say is told by itself; none where they say nothing.
    pub fn with_response(&self, course: &mut Course, view: &View<'_>) -> Option<Tally> {
        let mut tally = Tally::default();
        for (rule, truth) in mem::take(&mut course.response) {
            if let Some(response) = self.extension(rule).and_then(|extension| extension.response.as_ref()) {
                tally.note(rule, truth.and(response.holds(view)));
            }
        }
        if tally.is_empty() {
            return None;
        }
        tally.sort();
        match self.verdict(&tally, false) {
            // Whether an ALLOW policy matches was decided before.
            Verdict::NotAllowed | Verdict::Allow(_) => {}
            denied => course.verdict = denied,
        }
        Some(tally)
    }
}

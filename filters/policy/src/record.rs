//! What is told of decisions: filter state, the verdict's header, metrics.

use crate::{
    Policy,
    program::{Action, Rule},
    tally::{Tally, Verdict},
    truth::Truth,
};
use filter_kit::{
    Bounded, Effects, HeaderName, MetricChange, Reply,
    metrics::{FamilyId, Kind, Metrics, SeriesId},
    settings::Field,
};

/// The key of the record in filter state.
const STATE: &str = "outrigger.policy";

/// Where decisions are told of.
#[derive(Debug)]
pub struct Record {
    verdict_header: Option<HeaderName>,
    /// Whether a request that a rule allows is told of too.
    is_of_allowed: bool,
    decisions: FamilyId,
    /// Requests that no policy was against.
    pub passed: SeriesId,
    /// Requests that no ALLOW policy matched.
    not_allowed: SeriesId,
}

impl Record {
    /// Reads it from the filter's configuration.
    pub fn new(metrics: &mut Metrics, root: &Field<'_, '_>) -> Self {
        let decisions =
            metrics.family(Kind::Counter, "policy_decisions_total", &["policy", "action", "result"]);
        let mut series = |action: &'static str, result: &'static str| {
            metrics.series(decisions, &["", action, result].map(Bounded::own))
        };
        Self {
            verdict_header: root.get("verdict_header").header(true),
            is_of_allowed: root.get("record_allowed").flag(false),
            passed: series("none", "allowed"),
            not_allowed: series("allow", "denied"),
            decisions,
        }
    }
}

impl Record {
    /// Whether a request header gets the verdict.
    #[inline]
    pub fn has_header(&self) -> bool {
        self.verdict_header.is_some()
    }
}

impl Policy {
    fn id(&self, rule: u32) -> String {
        self.rule(rule).map(|rule| self.policies.id(rule)).unwrap_or_default()
    }

    fn rule(&self, rule: u32) -> Option<&Rule> {
        self.program.rules.get(rule as usize)
    }

    /// Tells of a verdict, and answers where the request is denied.
    pub fn settle<'a>(&'a self, tally: &Tally, verdict: Verdict, effects: &mut Effects<'a>) {
        if tally.is_empty() && verdict == Verdict::Allow(None) && !self.policies.has_dry_allow {
            effects.count(self.record.passed);
        } else {
            self.tell(tally, verdict, None, effects);
        }
        self.mark(verdict, effects);
    }

    /// Tells of a verdict that the body or the response led to, and answers where it denies.
    pub fn settle_late<'a>(
        &'a self,
        tally: &Tally,
        verdict: Verdict,
        is_too_long: bool,
        effects: &mut Effects<'a>,
    ) {
        let status = is_too_long.then_some(413);
        if tally.is_empty() && verdict == Verdict::Allow(None) {
            effects.count(self.record.passed);
        } else {
            self.tell(tally, verdict, status, effects);
        }
    }

    /// Marks a request whose body is yet to come: should it be denied, it gets no further.
    pub fn pass<'a>(&'a self, effects: &mut Effects<'a>) {
        self.mark(Verdict::Allow(None), effects);
    }

    /// Leaves the verdict in its header, where one is configured.
    pub fn mark<'a>(&'a self, verdict: Verdict, effects: &mut Effects<'a>) {
        if let Some(header) = &self.record.verdict_header {
            let word: &'static [u8] = if verdict.is_allow() { b"allow" } else { b"deny" };
            effects.set_request_header(header, word);
        }
    }

    #[cold]
    fn tell<'a>(&'a self, tally: &Tally, verdict: Verdict, status: Option<u16>, effects: &mut Effects<'a>) {
        let mut audits = Vec::new();
        for (rule, truth) in tally.said(&self.program, Action::Audit, false) {
            let result = if truth == Truth::True { "audited" } else { "error" };
            self.count(rule, Action::Audit, result, effects);
            audits.push(self.id(rule));
        }
        let mut tried = Vec::new();
        for action in [Action::Deny, Action::Allow, Action::Audit] {
            for (rule, truth) in tally.said(&self.program, action, true) {
                let result = if truth == Truth::True { "dry_run" } else { "dry_run_error" };
                self.count(rule, action, result, effects);
                tried.push(self.id(rule));
            }
        }
        let would = (!tried.is_empty() || self.policies.has_dry_allow)
            .then(|| tally.verdict(&self.program, &self.policies, self.on_error, true).is_allow());
        match verdict {
            Verdict::Allow(None) => effects.count(self.record.passed),
            Verdict::Allow(Some(rule)) => self.count(rule, Action::Allow, "allowed", effects),
            Verdict::NotAllowed => effects.count(self.record.not_allowed),
            Verdict::Deny(rule) => self.count(rule, Action::Deny, "denied", effects),
            Verdict::Undecided(rule) => {
                let action = self.rule(rule).map_or(Action::Deny, |rule| rule.action);
                self.count(rule, action, "error", effects);
            }
        }
        let denial = verdict
            .rule()
            .and_then(|rule| self.rule(rule))
            .and_then(|rule| self.policies.list.get(rule.policy as usize)?.denial.as_deref());
        let denial = denial.unwrap_or(&self.denial);
        let is_told =
            !verdict.is_allow() || !audits.is_empty() || would.is_some() || self.record.is_of_allowed;
        if is_told {
            let record = self.state(verdict, denial.reason.as_ref(), &audits, &tried, would);
            effects.set_state(STATE, Bounded::own(record));
        }
        if !verdict.is_allow() {
            let mut headers: Vec<_> =
                denial.headers.iter().map(|(name, value)| (name, value.borrowed())).collect();
            if let (Some(name), Some(reason)) = (&denial.reason_header, &denial.reason) {
                headers.push((name, reason.borrowed()));
            }
            // A body that is too long is told apart, where it is what nothing can be said of.
            let status = status.filter(|_| matches!(verdict, Verdict::Undecided(_))).unwrap_or(denial.status);
            let details = match verdict.rule() {
                Some(rule) => self.id(rule).into(),
                None => "no_allow_policy_matched".into(),
            };
            effects.reply(Reply { status, headers, body: denial.body.as_bytes().into(), details });
        }
    }

    /// A JSON object of names that the configuration has: no value of a request is in it.
    fn state(
        &self,
        verdict: Verdict,
        reason: Option<&Bounded<'_>>,
        audits: &[String],
        tried: &[String],
        would: Option<bool>,
    ) -> String {
        let mut text = String::with_capacity(128);
        let word = |is_allow| if is_allow { "allow" } else { "deny" };
        text.push_str("{\"verdict\":\"");
        text.push_str(word(verdict.is_allow()));
        text.push('"');
        let mut member = |name: &str, values: &[String], is_list: bool| {
            if values.is_empty() {
                return;
            }
            for part in
                [",\"", name, "\":", if is_list { "[" } else { "" }, "\"", &values.join("\",\""), "\""]
            {
                text.push_str(part);
            }
            text.push_str(if is_list { "]" } else { "" });
        };
        member("policy", &verdict.rule().map(|rule| self.id(rule)).into_iter().collect::<Vec<_>>(), false);
        match verdict {
            Verdict::Undecided(_) => member("cause", &["error".to_owned()], false),
            Verdict::NotAllowed => member("cause", &["no_allow_policy_matched".to_owned()], false),
            _ => {}
        }
        if let Some(reason) = reason.filter(|_| !verdict.is_allow()) {
            member("reason", &[reason.as_str().to_owned()], false);
        }
        member("audit", audits, true);
        member("dry_run", tried, true);
        if let Some(would) = would {
            member("dry_run_verdict", &[word(would).to_owned()], false);
        }
        text.push('}');
        text
    }

    fn count(&self, rule: u32, action: Action, result: &'static str, effects: &mut Effects<'_>) {
        let values = vec![Bounded::own(self.id(rule)), Bounded::own(action.name()), Bounded::own(result)];
        effects.measure(MetricChange::Labelled(self.record.decisions, values, 1));
    }
}

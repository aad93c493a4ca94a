//! What is told of decisions: filter state, the verdict's header, metrics.

use crate::{
    Policy,
    bucket::Bucket,
    line::Request,
    program::Action,
    tally::{Tally, Verdict},
    truth::Truth,
};
use filter_kit::{
    Bounded, Effects, HeaderName, MetricChange, Reply, View,
    metrics::{FamilyId, Kind, Metrics, SeriesId},
    settings::Field,
};

/// The key of the record in filter state.
pub const STATE: &str = "outrigger.policy";

/// How many records a second are written to the proxy's log where the configuration says nothing, in one VM.
const PER_SECOND: i64 = 10;

/// Where decisions are told of.
#[derive(Debug)]
pub struct Record {
    verdict_header: Option<HeaderName>,
    /// Whether a request that a rule allows is told of too.
    is_of_allowed: bool,
    /// Records of AUDIT and dry-run policies in the proxy's log.
    pub log: Option<DecisionLog>,
    decisions: FamilyId,
    /// Requests that no policy was against.
    pub passed: SeriesId,
    /// Requests that no ALLOW policy matched.
    not_allowed: SeriesId,
    /// Whether the configuration has a candidate that was refused.
    pub refused: SeriesId,
}

/// Records in the proxy's log, so many a second.
#[derive(Debug)]
pub struct DecisionLog {
    bucket: Bucket,
    dropped: SeriesId,
}

impl DecisionLog {
    /// Reads `{"enabled": true, "per_second": 10}`.
    fn read(field: &Field<'_, '_>, metrics: &mut Metrics) -> Option<Self> {
        field.only(&["enabled", "per_second"]);
        let per_second = field.get("per_second").whole(1, 1000).unwrap_or(PER_SECOND);
        field.get("enabled").flag(true).then(|| {
            let dropped = metrics.family(Kind::Counter, "policy_records_dropped_total", &[]);
            Self { bucket: Bucket::new(per_second.unsigned_abs()), dropped: metrics.series(dropped, &[]) }
        })
    }
}

impl Record {
    /// Reads it from the filter's configuration.
    pub fn new(metrics: &mut Metrics, root: &Field<'_, '_>) -> Self {
        let decisions =
            metrics.family(Kind::Counter, "policy_decisions_total", &["policy", "action", "result"]);
        let mut series = |action: &'static str, result: &'static str| {
            metrics.series(decisions, &["", action, result].map(Bounded::own))
        };
        let (passed, not_allowed) = (series("none", "allowed"), series("allow", "denied"));
        let refused = metrics.family(Kind::Gauge, "policy_candidate_refused", &[]);
        let log = DecisionLog::read(&root.get("decision_log"), metrics);
        Self {
            log,
            refused: metrics.series(refused, &[]),
            verdict_header: root.get("verdict_header").header(true),
            is_of_allowed: root.get("record_allowed").flag(false),
            passed,
            not_allowed,
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
    /// Leaves records to the access log, which has them in its lines.
    pub fn leave_log(&mut self) {
        self.record.log = None;
    }

    /// Tells of a verdict, and answers where the request is denied.
    pub fn settle<'a>(&'a self, tally: &Tally, verdict: Verdict, view: &View<'_>, effects: &mut Effects<'a>) {
        if tally.is_empty() && verdict == Verdict::Allow(None) && !self.live.policies.has_dry_allow {
            effects.count(self.record.passed);
        } else {
            self.tell(tally, verdict, None, (view, None), effects);
        }
        self.mark(verdict, effects);
    }

    /// Tells of a verdict that the body or the response led to, and answers where it denies.
    pub fn settle_late<'a>(
        &'a self,
        tally: &Tally,
        verdict: Verdict,
        is_too_long: bool,
        of: (&View<'_>, Option<&Request<'_>>),
        effects: &mut Effects<'a>,
    ) {
        let status = is_too_long.then_some(413);
        if tally.is_empty() && verdict == Verdict::Allow(None) {
            effects.count(self.record.passed);
        } else {
            self.tell(tally, verdict, status, of, effects);
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
    fn tell<'a>(
        &'a self,
        tally: &Tally,
        verdict: Verdict,
        status: Option<u16>,
        of: (&View<'_>, Option<&Request<'_>>),
        effects: &mut Effects<'a>,
    ) {
        let set = &self.live;
        let mut audits = Vec::new();
        for (rule, truth) in tally.said(&set.program, Action::Audit, false) {
            let result = if truth == Truth::True { "audited" } else { "error" };
            self.count(rule, Action::Audit, result, effects);
            audits.push(self.live.id(rule));
        }
        let mut tried = Vec::new();
        for action in [Action::Deny, Action::Allow, Action::Audit] {
            for (rule, truth) in tally.said(&set.program, action, true) {
                let result = if truth == Truth::True { "dry_run" } else { "dry_run_error" };
                self.count(rule, action, result, effects);
                tried.push(self.live.id(rule));
            }
        }
        let would = (!tried.is_empty() || self.live.policies.has_dry_allow)
            .then(|| set.verdict(tally, true).is_allow());
        match verdict {
            Verdict::Allow(None) => effects.count(self.record.passed),
            Verdict::Allow(Some(rule)) => self.count(rule, Action::Allow, "allowed", effects),
            Verdict::NotAllowed => effects.count(self.record.not_allowed),
            Verdict::Deny(rule) => self.count(rule, Action::Deny, "denied", effects),
            Verdict::Undecided(rule) => {
                let action = self.live.rule(rule).map_or(Action::Deny, |rule| rule.action);
                self.count(rule, action, "error", effects);
            }
        }
        let denial = verdict
            .rule()
            .and_then(|rule| self.live.rule(rule))
            .and_then(|rule| self.live.policies.list.get(rule.policy as usize)?.denial.as_deref());
        let denial = denial.unwrap_or(&self.denial);
        let is_told =
            !verdict.is_allow() || !audits.is_empty() || would.is_some() || self.record.is_of_allowed;
        if is_told {
            let record = self.state(verdict, denial.reason.as_ref(), &audits, &tried, would);
            let is_logged = !audits.is_empty() || would == Some(false);
            if let Some(log) = self.record.log.as_ref().filter(|_| is_logged) {
                let (view, request) = of;
                if log.bucket.take(view.now()) {
                    self.log("policy_record", &record, view, request, effects);
                } else {
                    effects.count(log.dropped);
                }
            }
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
                Some(rule) => self.live.id(rule).into(),
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
        member(
            "policy",
            &verdict.rule().map(|rule| self.live.id(rule)).into_iter().collect::<Vec<_>>(),
            false,
        );
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
        let values =
            vec![Bounded::own(self.live.id(rule)), Bounded::own(action.name()), Bounded::own(result)];
        effects.measure(MetricChange::Labelled(self.record.decisions, values, 1));
    }
}

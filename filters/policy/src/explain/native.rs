//! Why a request is allowed or denied, clause by clause: every rule is asked, whatever the index says and whichever rule comes first, and every test of
//! it. What comes of the clauses is compared with what the filter does, by a property test and by the tool.

use super::seen;
use crate::{
    Policy,
    address::Address,
    extension::Part,
    facts::{Facts, Known},
    fields::Body,
    pattern::{Form, Pattern, SPIFFE},
    pending::Incoming,
    policy_set::PolicySet,
    program::{Action, Attribute, Rule, Test},
    tally::{Tally, Verdict},
    truth::Truth,
};
use filter_kit::{
    View,
    explain::{Clause, listed},
};
use std::net::IpAddr;

/// Why a request is allowed or denied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained {
    /// Whether it goes on.
    pub is_allowed: bool,
    /// The rule that decides, by Istio's id; none where no rule does.
    pub rule: Option<String>,
    /// The clauses of each rule, behind them the rule as a whole, and at the end what comes of all.
    pub clauses: Vec<Clause>,
}

/// What an exchange has, as far as it has come: the request's headers, its body and the response's headers.
#[derive(Clone, Copy)]
pub struct Seen<'v> {
    /// In the callback of request headers.
    pub request: &'v View<'v>,
    /// The whole body; empty where there is none.
    pub body: &'v [u8],
    /// In the callback of response headers.
    pub response: &'v View<'v>,
}

impl Policy {
    /// The body of an exchange, as rules read it.
    pub(crate) fn body_of<'v>(&self, seen: Seen<'v>) -> Body<'v> {
        let is_empty = seen.body.is_empty() || seen.request.is_last();
        let is_read = seen.body.len() <= self.shared.limit_bytes;
        if is_empty { Body::Empty } else { Incoming::of(seen.request).read(is_read.then_some(seen.body)) }
    }

    /// Asks every rule about an exchange.
    pub fn explain(&self, seen: Seen<'_>) -> Explained {
        let known = Known::new(seen.request);
        let set = &self.live;
        let facts = set.facts(&known);
        let body = self.body_of(seen);
        let (mut headers, mut request, mut response) = (Tally::default(), Tally::default(), Tally::default());
        let mut may_allow_by_body = false;
        let mut clauses = Vec::new();
        for (rule, number) in self.live.program.rules.iter().zip(0..) {
            let at = PolicySet::place(rule);
            let mut truth = set.each_clause(rule, &at, &facts, &mut |path, said, test| {
                clauses.push(clause(path, said, &self.reason(test, said, &facts)));
            });
            let extension = rule.extension.as_deref();
            if let Some(extension) = extension {
                let at = [&at, ".outrigger"].concat();
                extension.each(&facts, &set.sets, &self.shared.pii, &mut |part, said| {
                    let path = [at.as_str(), &part.path()].concat();
                    if let Part::Match(place) = part {
                        extension.explain_match(place, seen.request, &path, &mut clauses);
                    } else {
                        let reason = extension.reason(part, said == Truth::True, seen.request);
                        clauses.push(clause(&path, said, &reason));
                    }
                    truth = truth.and(said);
                    true
                });
                if let Some(fields) = &extension.body {
                    may_allow_by_body |=
                        truth != Truth::False && rule.action == Action::Allow && !rule.is_dry;
                    let said = fields.hold(&body);
                    clauses.push(clause(
                        &[&at, ".body"].concat(),
                        said,
                        "what its fields say of the request's body",
                    ));
                    truth = truth.and(said);
                }
            }
            let late = extension.and_then(|extension| extension.response.as_ref());
            if let Some(wanted) = late {
                let said = wanted.holds(seen.response);
                clauses.push(clause(
                    &[&at, ".outrigger.response"].concat(),
                    said,
                    "what it says of the response",
                ));
                truth = truth.and(said);
                response.note(number, truth);
            } else {
                request.note(number, truth);
                if extension.is_none_or(|extension| extension.body.is_none()) {
                    headers.note(number, truth);
                }
            }
            clauses.push(clause(&at, truth, &self.told(rule, truth)));
        }
        // What is denied by the headers for good does not wait for the body.
        let verdict = |tally: &Tally| set.verdict(tally, false);
        let is_denial = |rule: u32| {
            self.live
                .program
                .rules
                .get(rule as usize)
                .is_some_and(|rule| rule.action == Action::Deny && !rule.is_dry)
        };
        let by_headers = verdict(&headers);
        let is_decided = match by_headers {
            Verdict::Allow(_) => false,
            Verdict::Deny(_) => true,
            Verdict::Undecided(rule) if is_denial(rule) => true,
            Verdict::Undecided(_) | Verdict::NotAllowed => !may_allow_by_body,
        };
        let mut verdict = if is_decided { by_headers } else { verdict(&request) };
        if verdict.is_allow() && !response.is_empty() {
            verdict = match set.verdict(&response, false) {
                // Whether an ALLOW policy matches was decided before.
                Verdict::NotAllowed | Verdict::Allow(_) => verdict,
                denied => denied,
            };
        }
        let rule = verdict
            .rule()
            .and_then(|rule| self.live.program.rules.get(rule as usize))
            .map(|rule| self.live.policies.id(rule));
        clauses.push(Clause::new(
            "policies",
            verdict.is_allow(),
            conclusion(verdict, rule.as_deref(), self.live.policies.has_allow),
        ));
        Explained { is_allowed: verdict.is_allow(), rule, clauses }
    }

    /// What a rule comes to.
    fn told(&self, rule: &Rule, truth: Truth) -> String {
        let said = match truth {
            Truth::True => " matches",
            Truth::False => " does not match",
            Truth::Error => " cannot say whether it matches",
        };
        let action = match rule.action {
            Action::Audit => "AUDIT",
            Action::Deny => "DENY",
            Action::Allow => "ALLOW",
        };
        let dry = if rule.is_dry { "dry run: " } else { "" };
        [dry, action, " rule ", &self.live.policies.id(rule), said].concat()
    }

    /// What a test saw, and what it asks for.
    fn reason(&self, test: &Test, said: Truth, facts: &Facts<'_>) -> String {
        let patterns: Vec<String> =
            self.live.program.patterns(test).iter().map(|pattern| self.written(*pattern)).collect();
        let wanted = listed(patterns.iter().map(String::as_bytes));
        let texts = seen(test.attribute, facts);
        let seen = listed(texts.iter().map(Vec::as_slice));
        if said == Truth::Error {
            let why = match test.attribute {
                Attribute::Path => "the path has two readings",
                Attribute::Peer
                | Attribute::Remote
                | Attribute::DestinationIp
                | Attribute::DestinationPort => "the host does not say the address",
                _ => "the value is of another type",
            };
            return [why, ": it cannot be said whether it is one of ", &wanted].concat();
        }
        let holds = (said == Truth::True) != test.is_negated;
        let is = if holds { " is one of " } else { " is none of " };
        if seen.is_empty() {
            ["there is none, and so it", is, &wanted].concat()
        } else {
            [&seen, is, &wanted].concat()
        }
    }

    /// A pattern as it is written in a policy.
    pub(crate) fn written(&self, pattern: Pattern) -> String {
        let bytes = self.live.program.texts.get(pattern.text);
        let text = String::from_utf8_lossy(bytes);
        let scheme = String::from_utf8_lossy(SPIFFE);
        let text = text.strip_prefix(&*scheme).unwrap_or(&text);
        match pattern.form {
            Form::Present | Form::Any => "*".to_owned(),
            Form::Prefix => [text, "*"].concat(),
            Form::Suffix | Form::SpiffeSuffix => ["*", text].concat(),
            Form::Port => match bytes {
                [high, low] => u16::from_be_bytes([*high, *low]).to_string(),
                _ => String::new(),
            },
            Form::Block => block(bytes).unwrap_or_default(),
            Form::Exact | Form::Namespace | Form::ServiceAccount | Form::TrustDomain | Form::Template => {
                text.to_owned()
            }
        }
    }
}

/// A block by its key: the count of the address' bits, that of those that count, and the address.
fn block(key: &[u8]) -> Option<String> {
    let (bits, rest) = key.split_first()?;
    let (length, bytes) = rest.split_first()?;
    let address = match bits {
        32 => IpAddr::from(bytes.first_chunk::<4>().copied()?),
        _ => IpAddr::from(bytes.first_chunk::<16>().copied()?),
    };
    // An address reads back, so that nothing is told that is no block.
    Address::read(address.to_string().as_bytes())?;
    Some(if length == bits {
        address.to_string()
    } else {
        [&address.to_string(), "/", &length.to_string()].concat()
    })
}

fn clause(path: &str, truth: Truth, reason: &str) -> Clause {
    let result = match truth {
        Truth::True => Some(true),
        Truth::False => Some(false),
        Truth::Error => None,
    };
    Clause::new(path, result, reason)
}

fn conclusion(verdict: Verdict, rule: Option<&str>, has_allow: bool) -> String {
    let rule = rule.unwrap_or_default();
    match verdict {
        Verdict::Deny(_) => ["denied by ", rule].concat(),
        Verdict::Undecided(_) => ["denied, for it cannot be said whether ", rule, " matches"].concat(),
        Verdict::NotAllowed => "denied: there are ALLOW policies, and no rule of them matches".to_owned(),
        Verdict::Allow(Some(_)) => ["allowed by ", rule].concat(),
        Verdict::Allow(None) if has_allow => "allowed".to_owned(),
        Verdict::Allow(None) => "allowed: no DENY rule matches, and there is no ALLOW policy".to_owned(),
    }
}

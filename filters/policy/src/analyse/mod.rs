//! What policies mean, without a request: rules that never match, rules that others stand for, DENY rules that an odd path gets past.
//!
//! Whatever is said of a rule is proved from its values ([`relation`], [`way`]) or shown by a request that the policies were asked about ([`witness`]). What
//! can neither be proved nor shown is not said.

mod overlap;
mod relation;
mod slip;
#[cfg(test)]
mod tests;
mod usage;
mod way;
mod within;
mod witness;

pub use usage::Said;

use crate::{
    Policy,
    facts::{Facts, Known as Request},
    pattern::{Form, Pattern},
    program::{Action, Attribute, Rule},
    tally::{Tally, Verdict},
    truth::Truth,
};
use filter_kit::fake::Stream;
use relation::{never, values};
use std::collections::BTreeSet;
use way::{Contradiction, Way, field, ways, written};

/// A rule by its place among the policies of the configuration and in its policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The place of the policy.
    pub policy: usize,
    /// The place of the rule; `None` for the policy as a whole.
    pub rule: Option<usize>,
}

/// What is wrong with a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// No request matches it.
    NeverMatches,
    /// One of its values is no request's.
    ValueNever,
    /// A method is written in lower case.
    MethodCase,
    /// Another rule of its action matches whatever it matches.
    Shadowed,
    /// It allows, and a DENY rule denies whatever it matches.
    AllowDenied,
    /// An ALLOW policy has no rule.
    AllowsNothing,
    /// A DENY rule lets through a path that servers take for one that it denies.
    DenySlips,
    /// A host has no variant with a port.
    HostPort,
    /// A DENY rule and an ALLOW rule match the same requests.
    Overlap,
}

/// Of which requests a finding does not speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Caveat {
    /// Of those of which the rule can say neither that it matches nor that it does not: an address that the host does not say, a path with two readings.
    pub unknown: bool,
    /// Of those whose certificate has several names.
    pub several_names: bool,
}

/// Something about a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What.
    pub kind: Kind,
    /// Which rule.
    pub place: Place,
    /// Of which requests it does not speak.
    pub caveat: Caveat,
    /// The rules that it names.
    pub others: Vec<Place>,
    /// What is so, in words: at most some hundred characters of the configuration's own values.
    pub message: String,
}

/// What there is to say of policies.
#[derive(Debug, Default)]
pub struct Analysis {
    /// In the order of the configuration.
    pub findings: Vec<Finding>,
    /// How many rules were not compared with all others: too many of the others may concern any request.
    pub uncompared: usize,
}

/// What is known of a rule before it is compared with others.
struct Known<'p> {
    number: u32,
    rule: &'p Rule,
    ways: Option<Vec<Way<'p>>>,
    is_dead: bool,
}

impl Policy {
    /// What there is to say of the policies. The cost grows with the rules, and with those alone that may concern a request together.
    pub fn analyse(&self) -> Analysis {
        let mut analysis = Analysis::default();
        let mut known = Vec::with_capacity(self.live.program.rules.len());
        for (rule, number) in self.live.program.rules.iter().zip(0..) {
            let ways = ways(&self.live.program, rule);
            let dead = ways.as_deref().and_then(|ways| self.never_matches(ways));
            if let (Some(dead), Some(ways)) = (&dead, &ways) {
                let more = match ways.len() {
                    1 => "",
                    _ => "; none of its other combinations matches either",
                };
                analysis.say(
                    Kind::NeverMatches,
                    self.place(rule),
                    format!("{}{more}", dead.reason),
                    |finding| {
                        finding.caveat =
                            Caveat { unknown: dead.may_be_unknown, several_names: dead.is_of_one_name };
                    },
                );
            } else {
                self.odd_values(rule, &mut analysis);
            }
            known.push(Known { number, rule, ways, is_dead: dead.is_some() });
        }
        self.empty_policies(&mut analysis);
        self.compare_rules(&known, &mut analysis);
        self.slips(&known, &mut analysis);
        self.hosts(&known, &mut analysis);
        self.overlaps(&known, &mut analysis);
        analysis.findings.sort_by_key(|finding| (finding.place, finding.kind));
        analysis
    }

    #[expect(clippy::unused_self, reason = "it belongs to a policy's rules")]
    fn place(&self, rule: &Rule) -> Place {
        Place { policy: rule.policy as usize, rule: Some(rule.number as usize) }
    }

    /// Why none of the ways of a rule comes true: the reason of the first.
    fn never_matches(&self, ways: &[Way<'_>]) -> Option<Contradiction> {
        let mut all: Option<Contradiction> = None;
        for way in ways {
            let found = way.contradiction(self)?;
            all = Some(match all {
                None => found,
                Some(first) => Contradiction {
                    may_be_unknown: first.may_be_unknown || found.may_be_unknown,
                    is_of_one_name: first.is_of_one_name || found.is_of_one_name,
                    ..first
                },
            });
        }
        all
    }

    /// Values that are no request's, beside others that are.
    fn odd_values(&self, rule: &Rule, analysis: &mut Analysis) {
        let mut told = BTreeSet::new();
        for group in rule.from.clone().chain(rule.to.clone()).chain([rule.when]) {
            for test in self.live.program.group(group) {
                for value in values(&self.live.program, test) {
                    let field = field(self, test);
                    let text = written(self, test, value);
                    if let Some(why) = never(&self.live.program, test.attribute, value)
                        && told.insert((field.clone(), text.clone()))
                    {
                        let effect = if test.is_negated { "excludes nothing" } else { "never matches" };
                        let message = format!("{text} in {field} {effect}: {why}");
                        analysis.say(Kind::ValueNever, self.place(rule), message, |_| {});
                    }
                    if test.attribute == Attribute::Method
                        && let [Pattern { form: Form::Exact, text: lower, .. }] = value
                        && let Some(upper) = standard_method(self.live.program.texts.get(*lower))
                        && told.insert((field.clone(), text.clone()))
                    {
                        let message = format!(
                            "{text} in {field} is not {upper}: case counts, and Envoy refuses it over HTTP/1"
                        );
                        analysis.say(Kind::MethodCase, self.place(rule), message, |_| {});
                    }
                }
            }
        }
    }

    /// ALLOW policies in force of which no rule was read.
    fn empty_policies(&self, analysis: &mut Analysis) {
        let with_rules: BTreeSet<u32> = self.live.program.rules.iter().map(|rule| rule.policy).collect();
        let allows = |rule: &&Rule| rule.action == Action::Allow && !rule.is_dry;
        let others = self.live.program.rules.iter().filter(allows).count();
        for (policy, place) in self.live.policies.list.iter().zip(0..) {
            if !policy.allows || with_rules.contains(&place) {
                continue;
            }
            let message = if others == 0 {
                "allows nothing, and so every request is denied: no other ALLOW policy here has a rule"
            } else {
                "allows nothing: what no other ALLOW policy allows is denied"
            };
            let place = Place { policy: place as usize, rule: None };
            analysis.say(Kind::AllowsNothing, place, message.to_owned(), |_| {});
        }
    }

    /// Whether a rule holds for a request's headers, as far as Istio's conditions and those beyond it go.
    fn asks(&self, rule: &Rule, stream: &Stream) -> Truth {
        let view = stream.request_view(true);
        let request = Request::new(&view);
        self.holds(rule, &self.live.facts(&request))
    }

    /// What a rule says of a request's headers.
    fn holds(&self, rule: &Rule, facts: &Facts<'_>) -> Truth {
        self.live.holds(rule, facts, &self.shared.pii)
    }

    /// The rules that a request may concern, in the order of rules.
    fn candidates(&self, facts: &Facts<'_>) -> Vec<u32> {
        let mut candidates = Vec::new();
        self.live
            .index
            .each_candidate(facts, self.live.program.rules.len(), &mut |rule| candidates.push(rule));
        candidates.sort_unstable();
        candidates.dedup();
        candidates
    }

    /// What becomes of a request without a body by the policies in force; `None` where a rule waits for the response.
    fn verdict_on(&self, stream: &Stream) -> Option<Verdict> {
        let view = stream.request_view(true);
        let request = Request::new(&view);
        let facts = self.live.facts(&request);
        let mut tally = Tally::default();
        for number in self.candidates(&facts) {
            let rule = self.live.program.rules.get(number as usize)?;
            let waits = rule
                .extension
                .as_deref()
                .is_some_and(|extension| extension.body.is_some() || extension.response.is_some());
            let truth = self.holds(rule, &facts);
            if waits && truth != Truth::False {
                return None;
            }
            tally.note(number, truth);
        }
        Some(tally.verdict(&self.live.program, &self.live.policies, self.live.on_error, false))
    }
}

impl Analysis {
    fn say(&mut self, kind: Kind, place: Place, message: String, more: impl FnOnce(&mut Finding)) {
        let caveat = Caveat { unknown: false, several_names: false };
        let mut finding = Finding { kind, place, caveat, others: Vec::new(), message };
        more(&mut finding);
        self.findings.push(finding);
    }
}

/// The method of RFC 9110 and 5789 that a word in lower case stands for.
fn standard_method(word: &[u8]) -> Option<&'static str> {
    let methods = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];
    let is_lower = |method: &&str| word != method.as_bytes() && word.eq_ignore_ascii_case(method.as_bytes());
    methods.into_iter().find(is_lower)
}

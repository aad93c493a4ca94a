//! Rules of which another one says all: found by a request that the rule matches, which the other must match too, and then proved from the values of both.

use super::{Analysis, Kind, Known, Way, witness::Witness};
use crate::{
    Policy,
    facts::Known as Request,
    policies::Answer,
    program::{Action, Rule},
    truth::Truth,
};

/// How many rules are asked about one request, and how many about all: one that no index finds is asked about every request.
const ASKED: usize = 2_000;
const ASKED_OF_ALL: usize = 8_000_000;
/// How many rules that match a request are compared with the one that it is made for.
const COMPARED: usize = 64;

impl Policy {
    /// Compares each rule with those that match what it matches.
    pub(super) fn compare_rules(&self, known: &[Known<'_>], analysis: &mut Analysis) {
        let mut left = ASKED_OF_ALL;
        for own in known.iter().filter(|own| !own.is_dead) {
            let Some(ways) = own.ways.as_deref().filter(|_| own.rule.action != Action::Audit) else {
                continue;
            };
            // What never comes true in one way is in the others'.
            let Some(way) = ways.iter().find(|way| way.contradiction(self).is_none()) else { continue };
            let Some(witness) = Witness::of(&self.live.program, way) else { continue };
            let stream = witness.stream();
            let view = stream.request_view(true);
            let request = Request::new(&view);
            let facts = self.live.facts(&request);
            let candidates = self.candidates(&facts);
            let others = candidates.iter().filter_map(|number| known.get(*number as usize));
            let may = |other: &&Known<'_>| {
                other.number != own.number
                    && other.rule.extension.is_none()
                    && !other.is_dead
                    && (is_alike(own.rule, other.rule) || self.denies_all_of(own.rule, other.rule))
            };
            let (mut asked, mut compared) = (0, 0);
            for other in others.filter(may) {
                if asked == ASKED || left == 0 || compared == COMPARED {
                    analysis.uncompared += 1;
                    break;
                }
                asked += 1;
                left -= 1;
                if self.holds(other.rule, &facts) != Truth::True {
                    continue;
                }
                compared += 1;
                let Some(others) = other.ways.as_deref() else { continue };
                if !self.is_within(ways, others) {
                    continue;
                }
                let id = self.live.policies.id(other.rule);
                if is_alike(own.rule, other.rule) {
                    // Of two that say the same the later one is told of, and where the answer of the earlier one is its own it says more.
                    let is_same = self.is_within(others, ways) && own.rule.extension.is_none();
                    if is_same && place(own.rule) < place(other.rule) || self.answers_itself(own, other) {
                        continue;
                    }
                    let verb =
                        if is_same { "says the same" } else { "matches every request that it matches" };
                    self.shadowed(Kind::Shadowed, own, other, format!("{id} {verb}"), analysis);
                } else {
                    self.shadowed(
                        Kind::AllowDenied,
                        own,
                        other,
                        format!("{id} denies every request that it matches"),
                        analysis,
                    );
                }
                break;
            }
        }
    }

    fn shadowed(
        &self,
        kind: Kind,
        own: &Known<'_>,
        other: &Known<'_>,
        message: String,
        analysis: &mut Analysis,
    ) {
        let other = self.place(other.rule);
        analysis.say(kind, self.place(own.rule), message, |finding| finding.others.push(other));
    }

    /// Whether each way of a rule is within one of another's. A way that is always false is within all.
    fn is_within(&self, ways: &[Way<'_>], others: &[Way<'_>]) -> bool {
        ways.len().saturating_mul(others.len()) <= 4096
            && ways.iter().all(|way| {
                others.iter().any(|other| way.is_within(other, &self.live.program))
                    || way
                        .contradiction(self)
                        .is_some_and(|found| !found.may_be_unknown && !found.is_of_one_name)
            })
    }

    /// Whether a DENY rule in force, where it matches all that an ALLOW rule does, leaves it nothing.
    fn denies_all_of(&self, own: &Rule, other: &Rule) -> bool {
        own.action == Action::Allow
            && !own.is_dry
            && other.action == Action::Deny
            && !other.is_dry
            && self.live.on_error.deny == Answer::Deny
    }

    /// Whether a request that both rules deny would be answered otherwise without the first one.
    fn answers_itself(&self, own: &Known<'_>, other: &Known<'_>) -> bool {
        let has_answer = |known: &Known<'_>| {
            self.live
                .policies
                .list
                .get(known.rule.policy as usize)
                .is_some_and(|policy| policy.denial.is_some())
        };
        own.rule.action == Action::Deny
            && own.number < other.number
            && own.rule.policy != other.rule.policy
            && (has_answer(own) || has_answer(other))
    }
}

/// Whether what one rule does the other does too.
fn is_alike(own: &Rule, other: &Rule) -> bool {
    own.action == other.action && own.is_dry == other.is_dry
}

fn place(rule: &Rule) -> (u32, u32) {
    (rule.policy, rule.number)
}

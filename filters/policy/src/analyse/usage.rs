//! Which rules match a request, all of them, and which one allows it: what recorded traffic uses of a set of policies.

use super::Place;
use crate::{
    Policy,
    explain::Seen,
    facts::{Facts, Known as Request},
    policies::Answer,
    program::{Action, Rule},
    truth::Truth,
};

/// What a rule says of an exchange; a rule that is not told of does not match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Said {
    /// The number of the rule, in the order in which the rules of an action are tried.
    pub rule: u32,
    /// Whether it matches; `false` where it can say neither.
    pub matches: bool,
}

impl Policy {
    /// The ids of all rules with their actions, by number. A rule that is only tried (dry run) has none of the effects of its action.
    pub fn rules(&self) -> impl Iterator<Item = (String, &'static str, bool)> {
        self.live
            .program
            .rules
            .iter()
            .map(|rule| (self.live.policies.id(rule), rule.action.name(), rule.is_dry))
    }

    /// Where the rule of a number stands.
    pub fn place_of(&self, number: u32) -> Option<Place> {
        self.live.program.rules.get(number as usize).map(|rule| self.place(rule))
    }

    /// What one rule says of an exchange; `None` where it cannot say whether it matches.
    pub fn says(&self, number: u32, seen: Seen<'_>) -> Option<bool> {
        let request = Request::new(seen.request);
        let facts = self.live.facts(&request);
        let rule = self.live.program.rules.get(number as usize)?;
        match self.truth(rule, &facts, seen) {
            Truth::True => Some(true),
            Truth::False => Some(false),
            Truth::Error => None,
        }
    }

    /// What all rules say of an exchange that do not say that they do not match, in the order of rules.
    pub fn matching(&self, seen: Seen<'_>) -> Vec<Said> {
        let request = Request::new(seen.request);
        let facts = self.live.facts(&request);
        let mut said = Vec::new();
        for number in self.candidates(&facts) {
            let Some(rule) = self.live.program.rules.get(number as usize) else { continue };
            match self.truth(rule, &facts, seen) {
                Truth::False => {}
                truth => said.push(Said { rule: number, matches: truth == Truth::True }),
            }
        }
        said
    }

    /// Of what rules say, those that allow: ALLOW rules in force that match, or that cannot say whether they do where `on_error` lets those through. The
    /// first that matches is the one that allows, and where none does the first of the others.
    pub fn allowing(&self, said: &[Said]) -> Vec<Said> {
        let is_allow = |said: &&Said| {
            self.live
                .program
                .rules
                .get(said.rule as usize)
                .is_some_and(|rule| rule.action == Action::Allow && !rule.is_dry)
        };
        let counts = |said: &&Said| said.matches || self.live.on_error.allow == Answer::Allow;
        let mut allowing: Vec<Said> = said.iter().filter(is_allow).filter(counts).copied().collect();
        allowing.sort_by_key(|said| (!said.matches, said.rule));
        allowing
    }

    fn truth(&self, rule: &Rule, facts: &Facts<'_>, seen: Seen<'_>) -> Truth {
        let mut truth = self.holds(rule, facts);
        if let Some(extension) = rule.extension.as_deref().filter(|_| truth != Truth::False) {
            if let Some(fields) = &extension.body {
                truth = truth.and(fields.hold(&self.body_of(seen)));
            }
            if let Some(wanted) = &extension.response {
                truth = truth.and(wanted.holds(seen.response));
            }
        }
        truth
    }
}

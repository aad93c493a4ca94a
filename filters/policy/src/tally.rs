//! The order of evaluation: AUDIT notes, any DENY that matches denies, and where there is an ALLOW policy one must match.

use crate::{
    policies::{Answer, OnError, Policies},
    program::{Action, Program},
    truth::Truth,
};

/// What the rules said of a request so far. Rules may come in any order.
#[derive(Debug, Default)]
pub struct Tally {
    /// Rules by what they said, each kept once, in the order of rules.
    said: Vec<(u32, Truth)>,
    /// Rules that wait for the body or the response, with what the rest of their conditions says.
    pub waiting: Vec<(u32, Truth)>,
}

/// What is done, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on: by a rule, or because no rule is against it.
    Allow(Option<u32>),
    /// It is denied by a rule.
    Deny(u32),
    /// It is denied because a rule cannot say whether it matches.
    Undecided(u32),
    /// It is denied because no ALLOW policy matches.
    NotAllowed,
}

impl Default for Verdict {
    fn default() -> Self {
        Self::Allow(None)
    }
}

impl Verdict {
    /// Whether the request goes on.
    pub fn is_allow(self) -> bool {
        matches!(self, Self::Allow(_))
    }

    /// The rule that it is from.
    pub fn rule(self) -> Option<u32> {
        match self {
            Self::Allow(rule) => rule,
            Self::Deny(rule) | Self::Undecided(rule) => Some(rule),
            Self::NotAllowed => None,
        }
    }
}

impl Tally {
    /// Notes what a rule says.
    pub fn note(&mut self, rule: u32, truth: Truth) {
        if truth != Truth::False {
            self.said.push((rule, truth));
        }
    }

    /// What rules of an action said.
    pub fn said(
        &self,
        program: &Program,
        action: Action,
        is_dry: bool,
    ) -> impl Iterator<Item = (u32, Truth)> {
        self.said.iter().copied().filter(move |(rule, _)| {
            let rule = program.rules.get(*rule as usize);
            rule.is_some_and(|rule| rule.action == action && rule.is_dry == is_dry)
        })
    }

    /// Whether nothing was said.
    pub fn is_empty(&self) -> bool {
        self.said.is_empty()
    }

    /// What is done: with the policies in force, or with those that are only tried.
    pub fn verdict(
        &self,
        program: &Program,
        policies: &Policies,
        on_error: OnError,
        is_dry: bool,
    ) -> Verdict {
        let first = |action, truth: Truth| {
            let mut rules = self.said(program, action, is_dry).filter(move |(_, said)| *said == truth);
            rules.next().map(|(rule, _)| rule)
        };
        if let Some(rule) = first(Action::Deny, Truth::True) {
            return Verdict::Deny(rule);
        }
        if on_error.deny == Answer::Deny
            && let Some(rule) = first(Action::Deny, Truth::Error)
        {
            return Verdict::Undecided(rule);
        }
        let must_be_allowed = if is_dry { policies.has_dry_allow } else { policies.has_allow };
        if !must_be_allowed {
            return Verdict::Allow(None);
        }
        if let Some(rule) = first(Action::Allow, Truth::True) {
            return Verdict::Allow(Some(rule));
        }
        match first(Action::Allow, Truth::Error) {
            Some(rule) if on_error.allow == Answer::Allow => Verdict::Allow(Some(rule)),
            Some(rule) => Verdict::Undecided(rule),
            None => Verdict::NotAllowed,
        }
    }

    /// Puts what was said into the order of rules.
    pub fn sort(&mut self) {
        filter_kit::sort(&mut self.said);
    }
}

//! What goes beyond Istio's language: `outrigger` in a rule.

use crate::{facts::Facts, program::Action, truth::Truth};
use filter_kit::{
    Environment,
    matcher::{self, Matcher},
    settings::Field,
};

/// What rules name that stands beside the policies.
#[derive(Debug, Default)]
pub struct Shared {}

impl Shared {
    /// Reads it from the filter's configuration.
    pub fn read(_root: &Field<'_, '_>, _environment: &Environment<'_>) -> Self {
        Self {}
    }
}

/// Conditions of a rule beyond Istio's. All must hold.
#[derive(Debug)]
pub struct Extension {
    matchers: Vec<Matcher>,
}

impl Extension {
    /// Reads them.
    pub fn read(field: &Field<'_, '_>, _action: Action, _shared: &Shared) -> Self {
        field.only(&["match"]);
        Self { matchers: matcher::compile_all(&field.get("match")) }
    }

    /// What they say of a request.
    pub fn holds(&self, facts: &Facts<'_>, _shared: &Shared) -> Truth {
        Truth::all(self.matchers.iter().map(|matcher| matcher.matches(facts.view()).into()))
    }
}

//! A way in which a rule can match: one of its sources, one of its operations and all of its conditions.

use super::relation::{are_apart, covers, is_single, may_be_unknown, never, values};
use crate::{
    Policy,
    pattern::{Form, Pattern},
    program::{Attribute, Program, Rule, Test},
};

/// The most ways of a rule that are looked at.
const WAYS: usize = 1024;
/// The most pairs of values of two tests that are looked at.
const PAIRS: usize = 1 << 20;

/// One way in which a rule can match: all of the tests hold.
#[derive(Debug, Clone)]
pub struct Way<'p> {
    /// The tests.
    pub tests: Vec<&'p Test>,
}

/// Why a way never comes true.
#[derive(Debug, Clone)]
pub struct Contradiction {
    /// What stands against what.
    pub reason: String,
    /// Whether it is so only of callers with one name in their certificate.
    pub is_of_one_name: bool,
    /// Whether there are requests of which it cannot be said.
    pub may_be_unknown: bool,
}

/// All ways of a rule; `None` where they are too many.
pub fn ways<'p>(program: &'p Program, rule: &Rule) -> Option<Vec<Way<'p>>> {
    let groups = |range: &std::ops::Range<u32>| -> Vec<Option<u32>> {
        if range.is_empty() { vec![None] } else { range.clone().map(Some).collect() }
    };
    let (from, to) = (groups(&rule.from), groups(&rule.to));
    if from.len().saturating_mul(to.len()) > WAYS {
        return None;
    }
    let mut ways = Vec::with_capacity(from.len() * to.len());
    for source in &from {
        for operation in &to {
            let groups = [*source, *operation, Some(rule.when)];
            let tests = groups.into_iter().flatten().flat_map(|group| program.group(group)).collect();
            ways.push(Way { tests });
        }
    }
    Some(ways)
}

impl<'p> Way<'p> {
    /// The tests on an attribute that must hold, or those of which no value may.
    pub fn on(&self, attribute: Attribute, is_negated: bool) -> impl Iterator<Item = &'p Test> {
        let tests = self.tests.iter().copied();
        tests.filter(move |test| test.attribute == attribute && test.is_negated == is_negated)
    }

    /// The attributes that it looks at, each once.
    pub fn attributes(&self) -> Vec<Attribute> {
        let mut attributes: Vec<_> = self.tests.iter().map(|test| test.attribute).collect();
        attributes.sort_unstable();
        attributes.dedup();
        attributes
    }

    /// Why it never comes true, if so; one that is always false before one that may be unknown.
    pub fn contradiction(&self, policy: &Policy) -> Option<Contradiction> {
        let found = self.attributes().into_iter().filter_map(|attribute| self.against(policy, attribute));
        found.min_by_key(|found| (found.may_be_unknown, found.is_of_one_name))
    }

    /// What of an attribute stands against each other.
    fn against(&self, policy: &Policy, attribute: Attribute) -> Option<Contradiction> {
        let program = &policy.live.program;
        let found = |reason: String, is_of_one_name| {
            Some(Contradiction { reason, is_of_one_name, may_be_unknown: may_be_unknown(program, attribute) })
        };
        let excluded: Vec<(&Test, &[Pattern])> = self
            .on(attribute, true)
            .flat_map(|test| values(program, test).map(move |value| (test, value)))
            .collect();
        let everything = |value: &[Pattern]| value.iter().all(|pattern| pattern.form == Form::Present);
        if attribute == Attribute::Method && excluded.iter().any(|(_, value)| everything(value)) {
            return found("every request has a method, and `*` excludes it".to_owned(), false);
        }
        let wanted: Vec<&Test> = self.on(attribute, false).collect();
        for test in &wanted {
            let field = field(policy, test);
            if values(program, test).all(|value| never(program, attribute, value).is_some()) {
                let value = values(program, test).next()?;
                let why = never(program, attribute, value)?;
                return found(format!("{field} has {}, and {why}", written(policy, test, value)), false);
            }
            if values(program, test).count().saturating_mul(excluded.len()) > PAIRS {
                continue;
            }
            let by = |value: &[Pattern]| {
                excluded.iter().find(|(_, other)| covers(program, attribute, other, value))
            };
            let is_out = |value| never(program, attribute, value).is_some() || by(value).is_some();
            if !excluded.is_empty() && values(program, test).all(is_out) {
                let value = values(program, test).find(|value| by(value).is_some())?;
                let (other_test, other) = by(value)?;
                let other_field = self::field(policy, other_test);
                let reason = format!(
                    "{field} asks for {}, and {other_field} excludes {}",
                    written(policy, test, value),
                    if is_told(attribute, program) {
                        written(policy, other_test, other)
                    } else {
                        "it".to_owned()
                    }
                );
                return found(reason, false);
            }
        }
        let is_of_one_name = attribute == Attribute::Principal;
        if !is_single(program, attribute) && !is_of_one_name {
            return None;
        }
        for (place, one) in wanted.iter().enumerate() {
            for other in wanted.iter().skip(place + 1) {
                let others = values(program, other);
                let is_small = values(program, one).count().saturating_mul(others.clone().count()) <= PAIRS;
                let apart = |value| others.clone().all(|other| are_apart(program, attribute, value, other));
                if is_small && values(program, one).all(apart) {
                    let (value, other_value) = (values(program, one).next()?, others.clone().next()?);
                    let [first, second] = [one, other].map(|test| field(policy, test));
                    let reason = format!(
                        "nothing is one of {first} ({}) and one of {second} ({}) at once",
                        written(policy, one, value),
                        written(policy, other, other_value)
                    );
                    return found(reason, is_of_one_name);
                }
            }
        }
        None
    }

    /// Whether this way is one of another's: where it holds the other one does, and where it cannot be said, the other one holds or cannot be said either.
    pub fn is_within(&self, other: &Self, program: &Program) -> bool {
        other.tests.iter().all(|test| self.implies(test, program))
    }

    fn implies(&self, test: &Test, program: &Program) -> bool {
        let attribute = test.attribute;
        let few =
            |own: &Test| values(program, own).count().saturating_mul(values(program, test).count()) <= PAIRS;
        let is_covered = |value: &[Pattern], by: &Test| {
            values(program, by).any(|other| covers(program, attribute, other, value))
        };
        let same = |own: &&Test| own.patterns == test.patterns || few(own);
        if test.is_negated {
            let is_apart = |value: &[Pattern], from: &Test| {
                values(program, from).all(|other| are_apart(program, attribute, value, other))
            };
            return self.on(attribute, true).filter(same).any(|own| {
                own.patterns == test.patterns || values(program, test).all(|value| is_covered(value, own))
            }) || is_single(program, attribute)
                && self
                    .on(attribute, false)
                    .filter(same)
                    .any(|own| values(program, own).all(|value| is_apart(value, test)));
        }
        self.on(attribute, false).filter(same).any(|own| {
            own.patterns == test.patterns || values(program, own).all(|value| is_covered(value, test))
        })
    }
}

/// Whether the values of an attribute are told: not those of headers and claims, which may be secrets.
fn is_told(attribute: Attribute, program: &Program) -> bool {
    !matches!(attribute, Attribute::Metadata(_))
        && (!matches!(attribute, Attribute::Header(_)) || is_single(program, attribute))
}

/// A value as it is written in a policy, short.
pub fn written(policy: &Policy, test: &Test, value: &[Pattern]) -> String {
    if !is_told(test.attribute, &policy.live.program) {
        return "a value".to_owned();
    }
    let parts: Vec<String> = value.iter().map(|pattern| policy.written(*pattern)).collect();
    let short: String = parts.join("/").chars().take(80).collect();
    format!("`{short}`")
}

/// The field of a test, without the dot.
pub fn field(policy: &Policy, test: &Test) -> String {
    let field = policy.live.field(test, false);
    // What no field says is a condition alone: `[KEY].values`.
    match field.strip_prefix('[').and_then(|field| field.rsplit_once("].")) {
        Some((key, list)) => format!("{key} {list}"),
        None => field.trim_start_matches('.').to_owned(),
    }
}

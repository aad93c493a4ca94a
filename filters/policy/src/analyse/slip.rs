//! What gets past a rule though it means the same: a path in another spelling, a host with a port. Each is shown by a request that the policies let through.

use super::{
    Analysis, Kind, Known, Way,
    relation::values,
    way::{field, written},
    witness::Witness,
};
use crate::{
    Policy,
    facts::Known as Request,
    normal,
    pattern::{Form, Pattern},
    program::{Action, Attribute, Test},
    truth::Truth,
};

/// The most ways, values of a way and ALLOW rules that requests are made of.
const WAYS: usize = 8;
const VALUES: usize = 8;
const ALLOWS: usize = 8;
/// How many values are named.
const NAMED: usize = 3;
/// A character that Envoy leaves in a path as it is, and that no template matches: `"`, `{` and what is not ASCII it escapes, where it normalises paths.
const BRACKET: u8 = b'[';

impl Policy {
    /// Looks for paths that get past DENY rules in force.
    pub(super) fn slips(&self, known: &[Known<'_>], analysis: &mut Analysis) {
        let is_of = |known: &&Known<'_>, action| {
            known.rule.action == action
                && !known.rule.is_dry
                && !known.is_dead
                && known.rule.extension.is_none()
        };
        let allows: Vec<&Way<'_>> = known
            .iter()
            .filter(|known| is_of(known, Action::Allow))
            .filter_map(|known| known.ways.as_deref()?.first())
            .take(ALLOWS)
            .collect();
        for own in known.iter().filter(|known| is_of(known, Action::Deny)) {
            let ways = own.ways.iter().flatten().take(WAYS);
            let Some((path, past)) = ways.clone().find_map(|way| self.past(own, way, &allows)) else {
                continue;
            };
            let show = |path: &[u8]| -> String {
                let short: String = path.escape_ascii().to_string().chars().take(80).collect();
                format!("`{short}`")
            };
            let (odd, same): (Vec<_>, Vec<_>) = past.iter().partition(|other| other.contains(&BRACKET));
            let same: Vec<String> = same.iter().map(|other| show(other)).collect();
            let mut message = format!("denies {}", show(&path));
            if !same.is_empty() {
                let and =
                    format!(" and lets {} through, which servers may take for the same", same.join(", "));
                message.push_str(&and);
            }
            if let Some(odd) = odd.first() {
                let and = if same.is_empty() { " and lets" } else { "; lets" };
                message.extend([and, " ", &show(odd), " through, for a template's characters have no `[`"]);
            }
            analysis.say(Kind::DenySlips, self.place(own.rule), message, |_| {});
        }
    }

    /// A path that a way denies, and others that get past it.
    fn past(&self, own: &Known<'_>, way: &Way<'_>, allows: &[&Way<'_>]) -> Option<(Vec<u8>, Vec<Vec<u8>>)> {
        let patterns =
            way.on(Attribute::Path, false).flat_map(|test| values(&self.live.program, test).flatten());
        patterns.take(VALUES).find_map(|pattern| {
            let path = self.path_of(way, *pattern)?;
            let denied = Witness::with_path(&self.live.program, way, &path)?;
            if self.asks(own.rule, &denied.stream()) != Truth::True {
                return None;
            }
            let template = pattern.form == Form::Template;
            let past: Vec<_> = spellings(&path, template)
                .into_iter()
                .filter(|other| self.lets_through(own, way, allows, other))
                .collect();
            // Case alone is the server's own: few fold it.
            let is_other = |other: &Vec<u8>| !other.eq_ignore_ascii_case(&path);
            past.iter().any(is_other).then_some((path, past))
        })
    }

    /// A path of a pattern, as Envoy hands it over, that the other tests of paths leave.
    fn path_of(&self, way: &Way<'_>, pattern: Pattern) -> Option<Vec<u8>> {
        if matches!(pattern.form, Form::Any | Form::Present) {
            return None;
        }
        let paths = super::witness::samples(&self.live.program, pattern).into_iter();
        let is_plain = |path: &Vec<u8>| {
            path.starts_with(b"/")
                && path.len() > 1
                && normal::canonical(path).as_deref() == Some(path.as_slice())
        };
        let fits = |path: &Vec<u8>| {
            let stream = Witness::with_path(&self.live.program, way, path).map(|witness| witness.stream());
            stream.is_some_and(|stream| {
                let view = stream.request_view(true);
                let request = Request::new(&view);
                let facts = self.live.facts(&request);
                let tests = way.tests.iter().filter(|test| test.attribute == Attribute::Path);
                tests.map(|test| facts.test(test)).all(|truth| truth == Truth::True)
            })
        };
        paths.into_iter().filter(is_plain).find(fits)
    }

    /// Whether a request with this path, otherwise as the way asks for, is none of the rule's and goes on.
    fn lets_through(&self, own: &Known<'_>, way: &Way<'_>, allows: &[&Way<'_>], path: &[u8]) -> bool {
        let goes_on = |witness: Option<Witness>| {
            witness.is_some_and(|witness| {
                let stream = witness.stream();
                self.asks(own.rule, &stream) == Truth::False
                    && self.verdict_on(&stream).is_some_and(crate::tally::Verdict::is_allow)
            })
        };
        goes_on(Witness::with_path(&self.live.program, way, path))
            || self.live.policies.has_allow
                && allows.iter().any(|allow| {
                    let tests = way.tests.iter().chain(&allow.tests).copied().collect();
                    goes_on(Witness::with_path(&self.live.program, &Way { tests }, path))
                })
    }

    /// Says which hosts of rules are those of requests without a port alone.
    pub(super) fn hosts(&self, known: &[Known<'_>], analysis: &mut Analysis) {
        if self.live.program.is_strict {
            return;
        }
        for own in known.iter().filter(|known| !known.is_dead) {
            let groups = own.rule.to.clone();
            let tests = groups.flat_map(|group| self.live.program.group(group));
            for test in tests.filter(|test| test.attribute == Attribute::Host) {
                let is_loose = own.rule.action == Action::Deny && !test.is_negated
                    || own.rule.action == Action::Allow && test.is_negated;
                let without: Vec<(&[Pattern], Vec<u8>)> = values(&self.live.program, test)
                    .filter_map(|value| Some((value, self.with_port(test, value, is_loose)?)))
                    .collect();
                let Some((_, example)) = without.first() else { continue };
                let named: Vec<String> =
                    without.iter().take(NAMED).map(|(value, _)| written(self, test, value)).collect();
                let more = without.len().saturating_sub(NAMED);
                let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                let does = match (own.rule.action, test.is_negated) {
                    (Action::Deny, false) => "is not denied by it",
                    (Action::Deny, true) => "is denied by it",
                    (Action::Allow, false) => "is not allowed by it",
                    (Action::Allow, true) => "is not excluded from what it allows",
                    (Action::Audit, _) => "is another host to it",
                };
                let message = format!(
                    "{}{more} in {} without a port: `{}` {does}",
                    named.join(", "),
                    field(self, test),
                    example.escape_ascii()
                );
                analysis.say(Kind::HostPort, self.place(own.rule), message, |_| {});
            }
        }
    }

    /// A host with a port that a value means and its test does not have.
    fn with_port(&self, test: &Test, value: &[Pattern], is_loose: bool) -> Option<Vec<u8>> {
        let [pattern] = value else { return None };
        let named = self.live.program.texts.get(pattern.text);
        let host = match pattern.form {
            Form::Exact => named.to_vec(),
            // There is no value of Istio's for a suffix with any port, so that an ALLOW has none to add.
            Form::Suffix if is_loose => [b"x", named].concat(),
            _ => return None,
        };
        if normal::has_port(named)
            || named.contains(&b'*')
            || super::never(&self.live.program, Attribute::Host, value).is_some()
        {
            return None;
        }
        // A port that nobody thinks of, so that a list of some ports is not taken for all.
        let with = |port: &[u8]| [&host[..], port].concat();
        let holds = |host: &[u8]| {
            values(&self.live.program, test).flatten().any(|pattern| {
                crate::pattern::holds(pattern.form, self.live.program.texts.get(pattern.text), host, false)
            })
        };
        (!holds(&with(b":8080")) && !holds(&with(b":80"))).then(|| with(b":8080"))
    }
}

/// Other spellings of a path that Envoy leaves as they are, with Istio's default normalisation (`[` goes through it, as do `//`, `;` and `%2F`; tried on
/// Envoy 1.40).
fn spellings(path: &[u8], is_of_template: bool) -> Vec<Vec<u8>> {
    let mut spellings = Vec::new();
    let with = |before: &[u8], after: &[u8]| [before, path, after].concat();
    match path.strip_suffix(b"/") {
        Some(shorter) => spellings.push(shorter.to_vec()),
        None => spellings.push(with(b"", b"/")),
    }
    spellings.push(with(b"/", b""));
    if let Some(at) = path.iter().rposition(|byte| *byte == b'/').filter(|at| *at > 0) {
        let (before, after) = (path.get(..at).unwrap_or_default(), path.get(at + 1..).unwrap_or_default());
        spellings.push([before, b"%2F", after].concat());
        spellings.push([before, b";v/", after].concat());
    }
    if !path.ends_with(b"/") {
        spellings.push(with(b"", b";v"));
        if is_of_template {
            spellings.push(with(b"", &[BRACKET]));
        }
    }
    if let Some(at) = path.iter().position(u8::is_ascii_lowercase) {
        let mut upper = path.to_vec();
        if let Some(byte) = upper.get_mut(at) {
            byte.make_ascii_uppercase();
        }
        spellings.push(upper);
    }
    spellings
}

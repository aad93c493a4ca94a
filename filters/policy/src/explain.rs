//! What each clause of a rule says of a request, and a trace of it for the proxy's log.

#[cfg(not(target_arch = "wasm32"))]
mod native;

#[cfg(not(target_arch = "wasm32"))]
pub use native::{Explained, Seen};

use crate::{
    Policy,
    facts::{Facts, Known},
    line,
    pattern::Form,
    policy_set::PolicySet,
    program::{Attribute, Rule, Test},
    rules::CLAIMS,
    truth::Truth,
};
use filter_kit::{View, json};
use pii::Place;
use std::ops::Range;

/// The most bytes of a trace: of the clauses that would go beyond, only the count of rules is told.
const TRACE: usize = 6144;
/// The most bytes of a value in it, and the most values of one clause.
const VALUE: usize = 80;
const VALUES: usize = 4;

impl PolicySet {
    /// Calls `each` with every clause of `from`, `to` and `when`: where it stands, what it says, and its test. What they say together.
    pub fn each_clause(
        &self,
        rule: &Rule,
        at: &str,
        facts: &Facts<'_>,
        each: &mut dyn FnMut(&str, Truth, &Test),
    ) -> Truth {
        let mut group = |at: &str, group: u32| {
            let mut truth = Truth::True;
            for test in self.program.group(group) {
                let said = facts.test(test);
                each(&[at, &self.field(test, at.ends_with("when"))].concat(), said, test);
                truth = truth.and(said);
            }
            truth
        };
        let mut any = |name: &str, inner: &str, groups: &Range<u32>| {
            if groups.is_empty() {
                return Truth::True;
            }
            let one = |(place, number): (usize, u32)| {
                group(&[at, ".", name, "[", &place.to_string(), "].", inner].concat(), number)
            };
            groups.clone().enumerate().map(one).fold(Truth::False, Truth::or)
        };
        let from = any("from", "source", &rule.from);
        let to = any("to", "operation", &rule.to);
        from.and(to).and(group(&[at, ".when"].concat(), rule.when))
    }

    /// Where a rule stands in the configuration.
    pub fn place(rule: &Rule) -> String {
        ["policies[", &rule.policy.to_string(), "].spec.rules[", &rule.number.to_string(), "]"].concat()
    }

    /// The field of a source, an operation or a condition that a test is of.
    pub(crate) fn field(&self, test: &Test, is_condition: bool) -> String {
        let read = |text| String::from_utf8_lossy(self.program.texts.get(text)).into_owned();
        let form = self.program.patterns(test).first().map(|pattern| pattern.form);
        let key: String = match test.attribute {
            Attribute::Header(name) => ["request.headers[", &read(name), "]"].concat(),
            Attribute::Metadata(path) => {
                let path = read(path);
                match path.strip_prefix(CLAIMS).map(|rest| rest.trim_start_matches('\0')) {
                    Some("aud") => "request.auth.audiences".to_owned(),
                    Some("azp") => "request.auth.presenter".to_owned(),
                    Some(claims) => ["request.auth.claims[", &claims.replace('\0', "]["), "]"].concat(),
                    None => ["experimental.", &path.replacen('\0', "[", 1), "]"].concat(),
                }
            }
            Attribute::DestinationIp => "destination.ip".to_owned(),
            Attribute::Sni => "connection.sni".to_owned(),
            attribute => {
                let (field, key) = match (attribute, form) {
                    (Attribute::Path, _) => ("paths", ""),
                    (Attribute::Host, _) => ("hosts", ""),
                    (Attribute::Method, _) => ("methods", ""),
                    (Attribute::DestinationPort, _) => ("ports", "destination.port"),
                    (Attribute::Peer, _) => ("ipBlocks", "source.ip"),
                    (Attribute::Remote, _) => ("remoteIpBlocks", "remote.ip"),
                    (Attribute::RequestPrincipal, _) => ("requestPrincipals", "request.auth.principal"),
                    (_, Some(Form::Namespace)) => ("namespaces", "source.namespace"),
                    (_, Some(Form::ServiceAccount)) => ("serviceAccounts", "source.serviceAccount"),
                    (_, Some(Form::TrustDomain)) => ("trustDomains", "source.trustDomain"),
                    _ => ("principals", "source.principal"),
                };
                if !is_condition {
                    let (first, rest) = field.split_at_checked(1).unwrap_or_default();
                    return if test.is_negated {
                        [".not", &first.to_ascii_uppercase(), rest].concat()
                    } else {
                        [".", field].concat()
                    };
                }
                key.to_owned()
            }
        };
        ["[", &key, if test.is_negated { "].notValues" } else { "].values" }].concat()
    }
}

/// What a request has of an attribute.
fn seen(attribute: Attribute, facts: &Facts<'_>) -> Vec<Vec<u8>> {
    let mut texts: Vec<Vec<u8>> = Vec::new();
    let mut note = |text: &[u8]| texts.push(text.to_vec());
    match attribute {
        Attribute::Peer => facts.peer().into_iter().for_each(note),
        Attribute::Remote => facts.remote().into_iter().for_each(note),
        Attribute::DestinationIp | Attribute::DestinationPort => {
            facts.destination().into_iter().for_each(note);
        }
        Attribute::RequestPrincipal => note(b"the token's issuer and subject"),
        _ => facts.each_text(attribute, &mut note),
    }
    texts
}

/// Adds a clause to a trace: where it stands, what it says, and why.
fn add(out: &mut String, path: &str, said: Truth, reason: &str) {
    out.push_str(if out.is_empty() { "[{\"path\":" } else { ",{\"path\":" });
    json::string(out, path);
    out.push_str(match said {
        Truth::True => ",\"result\":true",
        Truth::False => ",\"result\":false",
        Truth::Error => ",\"result\":\"error\"",
    });
    if !reason.is_empty() {
        line::member(out, "reason", reason);
    }
    out.push('}');
}

impl Policy {
    /// The clauses of the live set's rules, those first that the index finds, as a list of JSON. What stands in a request is redacted and cut; what
    /// rules say of the body and of the response is not known yet.
    #[cold]
    #[inline(never)]
    pub fn trace(&self, view: &View<'_>) -> String {
        let set = &self.live;
        let known = Known::new(view);
        let facts = set.facts(&known);
        let mut found = set.found(&known);
        filter_kit::sort_unique(&mut found);
        let others = (0..).take(set.program.rules.len()).filter(|rule| found.binary_search(rule).is_err());
        let mut out = String::new();
        let mut told = 0;
        for number in found.iter().copied().chain(others) {
            let Some(rule) = set.rule(number) else { continue };
            let mut of_rule = out.clone();
            let at = PolicySet::place(rule);
            let mut truth = set.each_clause(rule, &at, &facts, &mut |path, said, test| {
                add(&mut of_rule, path, said, &self.reason_of(test, &facts));
            });
            if let Some(extension) = rule.extension.as_deref() {
                extension.each(&facts, &set.sets, &self.shared.pii, &mut |part, said| {
                    add(&mut of_rule, &[&at, ".outrigger", &part.path()].concat(), said, "");
                    truth = truth.and(said);
                    true
                });
                let late = [(extension.body.is_some(), "body"), (extension.response.is_some(), "response")];
                for (_, name) in late.into_iter().filter(|(is_there, _)| *is_there) {
                    add(&mut of_rule, &[&at, ".outrigger.", name].concat(), Truth::Error, "not known yet");
                    truth = truth.and(Truth::Error);
                }
            }
            let dry = if rule.is_dry { "dry run of " } else { "" };
            let reason = [dry, rule.action.name(), ": ", &set.id(number)].concat();
            add(&mut of_rule, &at, truth, &reason);
            if of_rule.len() > TRACE {
                break;
            }
            (out, told) = (of_rule, told + 1);
        }
        out.push_str(if out.is_empty() { "[]" } else { "]" });
        let left = set.program.rules.len() - told;
        let course = set.begin(set.judge(&known, &self.shared.pii, found, false), view.is_last());
        let verdict = match course.verdict.is_allow() {
            _ if course.waits_for_body() => "waits for the body",
            true => "allow",
            false => "deny",
        };
        let mut trace = String::new();
        line::member(&mut trace, "verdict", verdict);
        line::member(&mut trace, "policy", &set.told(course.verdict));
        for part in [",\"rules_left_out\":", &left.to_string(), ",\"clauses\":", &out, "}"] {
            trace.push_str(part);
        }
        trace
    }

    /// What a test saw, redacted.
    fn reason_of(&self, test: &Test, facts: &Facts<'_>) -> String {
        let name = match test.attribute {
            Attribute::Header(name) => Some(self.live.program.texts.get(name)),
            _ => None,
        };
        let place = name.map_or(Place::Text, Place::Field);
        let texts = seen(test.attribute, facts);
        let shown: Vec<String> =
            texts.iter().take(VALUES).map(|text| self.shown(text, place, facts.view(), VALUE)).collect();
        shown.join(", ")
    }
}

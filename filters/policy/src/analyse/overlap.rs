//! DENY and ALLOW rules that match the same request, shown by one that both match.

use super::witness::Witness;
use super::{Analysis, Kind, Known};
use crate::{
    Policy,
    facts::Facts,
    program::{Action, Attribute},
    truth::Truth,
};
use std::collections::{BTreeMap, BTreeSet};

/// How many rules are asked about one request.
const ASKED: usize = 500;
/// How many ALLOW rules are named.
const NAMED: usize = 3;

impl Policy {
    /// Says of each DENY rule which ALLOW rules match some of what it denies.
    pub(super) fn overlaps(&self, known: &[Known<'_>], analysis: &mut Analysis) {
        let mut pairs: BTreeMap<u32, BTreeMap<u32, String>> = BTreeMap::new();
        let is_told: BTreeSet<_> = analysis
            .findings
            .iter()
            .filter(|finding| finding.kind == Kind::AllowDenied)
            .map(|finding| finding.place)
            .collect();
        let is_in_force = |own: &&Known<'_>| {
            !own.rule.is_dry
                && !own.is_dead
                && own.rule.extension.is_none()
                && own.rule.action != Action::Audit
        };
        for own in known.iter().filter(is_in_force) {
            let Some(way) = own.ways.iter().flatten().find(|way| way.contradiction(self).is_none()) else {
                continue;
            };
            let Some(witness) = Witness::of(&self.program, way) else { continue };
            let stream = witness.stream();
            let view = stream.request_view(true);
            let facts = Facts::new(&self.program, &view);
            if self.holds(own.rule, &facts) != Truth::True {
                continue;
            }
            let about = about(own);
            let others = self.candidates(&facts).into_iter().filter_map(|number| known.get(number as usize));
            for other in others.filter(is_in_force).take(ASKED) {
                let (deny, allow) = match (own.rule.action, other.rule.action) {
                    (Action::Deny, Action::Allow) => (own, other),
                    (Action::Allow, Action::Deny) => (other, own),
                    _ => continue,
                };
                if self::about(other).is_disjoint(&about)
                    || is_told.contains(&self.place(allow.rule))
                    || self.holds(other.rule, &facts) != Truth::True
                {
                    continue;
                }
                let with_host = about.contains(&Attribute::Host);
                pairs
                    .entry(deny.number)
                    .or_default()
                    .entry(allow.number)
                    .or_insert_with(|| witness.told(with_host));
            }
        }
        for (deny, allows) in pairs {
            let named =
                allows.iter().filter_map(|(allow, example)| Some((known.get(*allow as usize)?, example)));
            let texts: Vec<String> = named
                .clone()
                .take(NAMED)
                .map(|(allow, example)| format!("{} (`{example}`)", self.policies.id(allow.rule)))
                .collect();
            let more = allows.len().saturating_sub(NAMED);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            let message = format!("denies some of what is allowed by {}{more}", texts.join(", "));
            let Some(deny) = known.get(deny as usize) else { continue };
            analysis.say(Kind::Overlap, self.place(deny.rule), message, |finding| {
                finding.others = named.map(|(allow, _)| self.place(allow.rule)).collect();
            });
        }
    }
}

/// The attributes that a rule asks something of: rules that ask of different ones are about different things.
fn about(known: &Known<'_>) -> BTreeSet<Attribute> {
    let tests = known.ways.iter().flatten().flat_map(|way| &way.tests);
    tests.filter(|test| !test.is_negated).map(|test| test.attribute).collect()
}

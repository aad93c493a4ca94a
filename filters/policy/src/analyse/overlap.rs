//! DENY and ALLOW rules that match the same request, shown by one that both match.

use super::{Analysis, Kind, Known, Way, witness::Witness};
use crate::{
    Policy,
    facts::Known as Request,
    program::{Action, Attribute},
    truth::Truth,
};
use std::collections::{BTreeMap, BTreeSet};

/// How many pairs are all tried; of more, those whose rules may concern a request that one of them matches.
const PAIRS: usize = 4096;
/// How many rules are tried with one.
const TRIED: usize = 200;
/// How many ALLOW rules are named.
const NAMED: usize = 3;

impl Policy {
    /// Says of each DENY rule which ALLOW rules match some of what it denies.
    pub(super) fn overlaps(&self, known: &[Known<'_>], analysis: &mut Analysis) {
        let is_told: BTreeSet<_> = analysis
            .findings
            .iter()
            .filter(|finding| finding.kind == Kind::AllowDenied)
            .map(|finding| finding.place)
            .collect();
        let of = |action| -> Vec<&Known<'_>> {
            let is_in_force = |own: &&Known<'_>| {
                own.rule.action == action
                    && !own.rule.is_dry
                    && !own.is_dead
                    && own.rule.extension.is_none()
                    && !is_told.contains(&self.place(own.rule))
            };
            known.iter().filter(is_in_force).collect()
        };
        let (denies, allows) = (of(Action::Deny), of(Action::Allow));
        let mut pairs: BTreeMap<u32, BTreeMap<u32, String>> = BTreeMap::new();
        let mut meet = |deny: &Known<'_>, allow: &Known<'_>| {
            let is_told = is_told.contains(&self.place(allow.rule));
            if let Some(example) = self.meeting(deny, allow).filter(|_| !is_told) {
                pairs.entry(deny.number).or_default().insert(allow.number, example);
            }
        };
        if denies.len().saturating_mul(allows.len()) <= PAIRS {
            for deny in &denies {
                for allow in &allows {
                    meet(deny, allow);
                }
            }
        } else {
            for own in denies.iter().chain(&allows) {
                for other in self.near(own, known) {
                    match (own.rule.action, other.rule.action) {
                        (Action::Deny, Action::Allow) => meet(own, other),
                        (Action::Allow, Action::Deny) => meet(other, own),
                        _ => {}
                    }
                }
            }
        }
        for (deny, allows) in pairs {
            let named =
                allows.iter().filter_map(|(allow, example)| Some((known.get(*allow as usize)?, example)));
            let texts: Vec<String> = named
                .clone()
                .take(NAMED)
                .map(|(allow, example)| format!("{} (`{example}`)", self.live.policies.id(allow.rule)))
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

    /// A request that both rules match, where both ask something of the same attribute: rules that ask of different ones are about different things.
    fn meeting(&self, deny: &Known<'_>, allow: &Known<'_>) -> Option<String> {
        let about = about(deny);
        if self::about(allow).is_disjoint(&about) {
            return None;
        }
        let ways = deny.ways.iter().flatten().take(4);
        ways.flat_map(|way| allow.ways.iter().flatten().take(4).map(move |other| (way, other))).find_map(
            |(way, other)| {
                let tests = way.tests.iter().chain(&other.tests).copied().collect();
                let witness = Witness::of(&self.live.program, &Way { tests })?;
                let stream = witness.stream();
                let is_met = |own: &Known<'_>| self.asks(own.rule, &stream) == Truth::True;
                (is_met(deny) && is_met(allow)).then(|| witness.told(about.contains(&Attribute::Host)))
            },
        )
    }

    /// The rules that a request may concern which one of them matches.
    fn near<'k, 'p>(&self, own: &Known<'_>, known: &'k [Known<'p>]) -> Vec<&'k Known<'p>> {
        let way = own.ways.iter().flatten().find(|way| way.contradiction(self).is_none());
        let Some(witness) = way.and_then(|way| Witness::of(&self.live.program, way)) else {
            return Vec::new();
        };
        let stream = witness.stream();
        let view = stream.request_view(true);
        let request = Request::new(&view);
        let candidates = self.candidates(&self.live.facts(&request));
        let others = candidates.into_iter().filter_map(|number| known.get(number as usize));
        let is_in_force = |other: &&Known<'_>| {
            other.rule.action != own.rule.action
                && !other.rule.is_dry
                && !other.is_dead
                && other.rule.extension.is_none()
        };
        others.filter(is_in_force).take(TRIED).collect()
    }
}

/// The attributes that a rule asks something of.
fn about(known: &Known<'_>) -> BTreeSet<Attribute> {
    let tests = known.ways.iter().flatten().flat_map(|way| &way.tests);
    tests.filter(|test| !test.is_negated).map(|test| test.attribute).collect()
}

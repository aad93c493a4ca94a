//! Why a request gets the arms that it gets, clause by clause. What decides is asked again, one part at a time; nobody else's words are taken for it,
//! and a property test compares what comes of the clauses with what the filter does.

use super::{NONE, Pass};
use crate::AbRouting;
use experiments::{
    bucket::{Bucketer, Ranges, Shown},
    experiment::{Experiment, Reason, Special},
    overrides::Asked,
};
use filter_kit::{Effects, View, explain::Clause};

/// What became of a request in one experiment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained {
    /// The experiment.
    pub experiment: String,
    /// The request header that says the arm.
    pub header: String,
    /// The arm that it gets; none where it is in none.
    pub arm: Option<String>,
    /// Why: the last clause is the one that decided.
    pub clauses: Vec<Clause>,
}

impl AbRouting {
    /// Takes a request through all experiments, in the order in which they are tried, and says why it is in which arm. The view is one of request
    /// headers.
    pub fn explain(&self, view: &View<'_>) -> (Vec<Clause>, Vec<Explained>) {
        let all = &self.0;
        let (mut first, mut explained, mut effects) = (Vec::new(), Vec::new(), Effects::default());
        let mut pass = Pass::new(all, view);
        let found = all.overrides.as_ref().map(|overrides| (overrides, overrides.find(view)));
        let asked = match &found {
            Some((overrides, (Some(list), places))) => {
                let asked = overrides.honour(list, view);
                pass.settle(overrides, *places, asked.is_some(), &mut effects);
                let reason = if asked.is_some() {
                    "arms are asked for by somebody who may"
                } else {
                    "arms are asked for without a signature that holds, by nobody who is trusted, or too late"
                };
                first.push(Clause::new("overrides", asked.is_some(), reason));
                asked
            }
            _ => None,
        };
        if let Some(propagation) = &all.propagation {
            pass.carry(propagation, &mut effects);
        }
        let mut written = 0;
        for (place, experiment) in all.all.iter().enumerate() {
            let Some(header) = all.headers.get(experiment.header) else { break };
            let path = ["experiments.", &experiment.name].concat();
            let mut clauses = Clauses { path, list: Vec::new() };
            let mut arm = None;
            if written & header.bit == 0 {
                arm = pass.explain(experiment, asked, &mut clauses);
                pass.enter_specially(place, experiment, header, asked, &mut effects);
            } else {
                let reason = ["an experiment before it has written ", header.name.as_str()].concat();
                clauses.add(".header", false, reason);
            }
            if arm.is_some() {
                written |= header.bit;
            }
            let name =
                arm.and_then(|arm| experiment.arms.get(usize::from(arm))).map(|arm| arm.name.to_string());
            let Clauses { list: clauses, .. } = clauses;
            explained.push(Explained {
                experiment: experiment.name.to_string(),
                header: header.name.as_str().to_owned(),
                arm: name,
                clauses,
            });
        }
        (first, explained)
    }
}

/// The clauses of one experiment.
struct Clauses {
    path: String,
    list: Vec<Clause>,
}

impl Clauses {
    /// Notes a clause, and says what it says.
    fn add(&mut self, path: &str, result: bool, reason: impl Into<String>) -> bool {
        self.list.push(Clause::new([&self.path, path].concat(), result, reason));
        result
    }
}

impl<'a> Pass<'a> {
    /// The arm that comes of an experiment's clauses. The first that does not hold is the last that is noted.
    fn explain(
        &mut self,
        experiment: &'a Experiment,
        asked: Option<Asked<'_>>,
        clauses: &mut Clauses,
    ) -> Option<u8> {
        let told = if experiment.enabled { "the experiment is on" } else { "the experiment is switched off" };
        if !clauses.add(".enabled", experiment.enabled, told) {
            return None;
        }
        for (place, matcher) in experiment.matchers.iter().enumerate() {
            let path = [&clauses.path, ".match[", &place.to_string(), "]"].concat();
            matcher.explain(self.view, &path, &mut clauses.list);
            if !matcher.matches(self.view) {
                return None;
            }
        }
        if let Some(arm) = asked.and_then(|asked| asked.arm(experiment)) {
            let name = experiment.arm_name(arm);
            clauses.add("", true, ["a tester asks for arm ", name].concat());
            return u8::try_from(arm).ok();
        }
        let special = experiment.special.as_deref();
        if special.is_some_and(|special| !self.explain_window(special, clauses)) {
            return None;
        }
        let carried = self.more.as_ref().and_then(|more| more.carried.arm(experiment));
        if let Some(arm) = carried {
            let name = experiment.arm_name(arm);
            clauses.add("", true, ["another hop has decided for arm ", name].concat());
            return u8::try_from(arm).ok();
        }
        if special.is_some_and(|special| !self.explain_requirements(special, clauses)) {
            return None;
        }
        let key = self.explain_key(experiment, clauses)?;
        match special {
            Some(special) => self.explain_specially(experiment, special, &key, clauses),
            None => explain_draw(experiment, &key, clauses),
        }
    }

    /// The time.
    fn explain_window(&self, special: &Special, clauses: &mut Clauses) -> bool {
        if let Some((start, end)) = special.window {
            let now = self.view.now();
            if start > 0
                && !clauses.add(
                    ".start",
                    now >= start,
                    if now >= start { "it has begun" } else { "it has not begun" },
                )
            {
                return false;
            }
            if end < u64::MAX
                && !clauses.add(".end", now < end, if now < end { "it is not over" } else { "it is over" })
            {
                return false;
            }
        }
        true
    }

    /// The arms of other experiments.
    fn explain_requirements(&self, special: &Special, clauses: &mut Clauses) -> bool {
        let arms = self.more.as_ref().map(|more| more.arms.as_slice()).unwrap_or_default();
        special.requires.iter().enumerate().all(|(place, required)| {
            let other = self.filter.all.get(required.experiment);
            let name = |arm: u8| {
                other.and_then(|other| other.arms.get(usize::from(arm))).map_or("no arm", |arm| &*arm.name)
            };
            let arm = arms.get(required.experiment).copied().unwrap_or(NONE);
            let wanted: Vec<&str> = required.arms.iter().map(|arm| name(*arm)).collect();
            let who = other.map(|other| &*other.name).unwrap_or_default();
            let reason =
                ["in ", who, " it has ", name(arm), ", and must have ", &wanted.join(" or ")].concat();
            clauses.add(
                &[".requires[", &place.to_string(), "]"].concat(),
                required.arms.contains(&arm),
                reason,
            )
        })
    }

    /// The key, and where it stands. It is somebody's name: no clause says it.
    fn explain_key(&mut self, experiment: &'a Experiment, clauses: &mut Clauses) -> Option<Vec<u8>> {
        let key = self.key(experiment.keys).map(<[u8]>::to_vec);
        let list = self.filter.keys.get(experiment.keys);
        let source =
            list.and_then(|list| list.sources.iter().find(|source| source.read(self.view).is_some()));
        let cookie = list.and_then(|list| self.filter.cookies.get(list.visitor_cookie?));
        let place = match (source, cookie) {
            (Some(source), _) if source.header() == source.name() => {
                ["the key stands in header ", source.name()].concat()
            }
            (Some(source), _) => ["the key stands in ", source.header(), " (", source.name(), ")"].concat(),
            (None, Some(cookie)) if self.view.cookie(&cookie.name).is_some() => {
                ["the visitor's id stands in cookie ", &cookie.name].concat()
            }
            (None, Some(cookie)) => ["a new visitor, who gets cookie ", &cookie.name].concat(),
            (None, None) => "the key stands nowhere".to_owned(),
        };
        match key {
            Ok(key) => {
                clauses.add(".key", true, place);
                Some(key)
            }
            Err(reason) => {
                clauses.add(".key", false, [&place, ": ", name(reason)].concat());
                None
            }
        }
    }

    fn explain_specially(
        &mut self,
        experiment: &'a Experiment,
        special: &'a Special,
        key: &[u8],
        clauses: &mut Clauses,
    ) -> Option<u8> {
        if !special.forced.is_empty() {
            let forced = special.forced.iter().find(|(other, _)| **other == *key).map(|(_, arm)| *arm);
            if let Some(arm) = forced {
                let name = experiment.arm_name(usize::from(arm));
                clauses.add(".force", true, ["the key is forced into arm ", name].concat());
                return Some(arm);
            }
        }
        if special.sticky.is_none() {
            return self.explain_gates(experiment, special, key, clauses);
        }
        let kept = |pass: &Self| pass.pending.as_ref().and_then(|pending| pending.sticky.clone());
        let before = kept(self);
        let decided = self.decide_by_key(experiment, special).map(|decision| decision.arm);
        if decided.as_ref().err() == Some(&Reason::OldVersion) {
            clauses.add(".sticky", false, "an arm is kept that is older than min_bucket_version");
            return None;
        }
        let name = |arm: u8| experiment.arm_name(usize::from(arm));
        if let Ok(arm) = decided
            && kept(self) == before
        {
            clauses.add(".sticky", true, ["the cookie keeps arm ", name(arm)].concat());
            return Some(arm);
        }
        let at = clauses.list.len();
        let drawn = self.explain_gates(experiment, special, key, clauses);
        if let Ok(arm) = decided
            && drawn != Some(arm)
        {
            // It was kept under another of the user's keys, and no hash is asked.
            clauses.list.truncate(at);
            clauses.add(
                ".sticky",
                true,
                ["the cookie keeps arm ", name(arm), " for another key of the user"].concat(),
            );
            return Some(arm);
        }
        let told =
            Clause::new([&clauses.path, ".sticky"].concat(), false, "no arm is kept: the hashes decide");
        clauses.list.insert(at, told);
        drawn
    }

    /// The hashes that must fall into ranges, and then the arm's own.
    fn explain_gates(
        &mut self,
        experiment: &'a Experiment,
        special: &'a Special,
        key: &[u8],
        clauses: &mut Clauses,
    ) -> Option<u8> {
        for gate in &special.gates {
            let path = match gate.reason {
                Reason::HeldOut => ".holdouts",
                Reason::OtherLayer => ".layer",
                Reason::NotCovered => ".coverage",
                _ => ".filters",
            };
            let own = match gate.keys {
                None => Ok(key.to_vec()),
                Some(keys) => self.key(keys).map(<[u8]>::to_vec),
            };
            let lets_in = match &own {
                Ok(key) => clauses.add(
                    path,
                    gate.lets_in(key),
                    told(&gate.bucketer, &gate.ranges, key, 0, gate.is_inside),
                ),
                Err(reason) => clauses.add(path, false, name(*reason)),
            };
            if !lets_in {
                return None;
            }
        }
        explain_draw(experiment, key, clauses)
    }
}

/// The coverage, and the arm whose the value is.
fn explain_draw(experiment: &Experiment, key: &[u8], clauses: &mut Clauses) -> Option<u8> {
    let bucket = experiment.bucketer.of(key);
    let (place, coverage) = (bucket.place.to_string(), experiment.coverage.to_string());
    let reason = ["the key's place is ", &place, " of 10000, and the coverage ", &coverage].concat();
    let is_own = experiment.bucketer.total() == u64::from(experiments::SLOTS)
        && experiment.coverage < experiments::SLOTS;
    if (is_own || bucket.place >= experiment.coverage)
        && !clauses.add(".coverage", bucket.place < experiment.coverage, reason)
    {
        return None;
    }
    let owner = experiment.ranges.owner(bucket.value);
    let value = show(&experiment.bucketer, bucket.value);
    let Some(arm) = owner.and_then(|owner| u8::try_from(owner).ok()) else {
        clauses.add(".arms", false, ["the key's value is ", &value, ", which is no arm's"].concat());
        return None;
    };
    let name = experiment.arm_name(usize::from(arm));
    let ranges = ranges(&experiment.bucketer, &experiment.ranges, u16::from(arm));
    let reason = ["the key's value is ", &value, ", and arm ", name, " has ", &ranges].concat();
    clauses.add(&[".arms.", name].concat(), true, reason);
    Some(arm)
}

/// What a gate's hash says of a key.
fn told(bucketer: &Bucketer, all: &Ranges, key: &[u8], owner: u16, is_inside: bool) -> String {
    let wanted = if is_inside { ", and must be in " } else { ", and must not be in " };
    let value = show(bucketer, bucketer.of(key).value);
    ["the key's value is ", &value, wanted, &ranges(bucketer, all, owner)].concat()
}

/// A value as the SDK shows it.
fn show(bucketer: &Bucketer, value: u64) -> String {
    match bucketer.show(value) {
        Shown::Whole(value) => value.to_string(),
        Shown::Share(share) => share.to_string(),
    }
}

/// The ranges of an owner: at most four of them.
fn ranges(bucketer: &Bucketer, all: &Ranges, owner: u16) -> String {
    const MOST: usize = 4;
    let own = all.of(owner);
    let text = |(start, end): &(u64, u64)| [&show(bucketer, *start), "..", &show(bucketer, *end)].concat();
    let texts: Vec<String> = own.iter().take(MOST).map(text).collect();
    let more = if own.len() > MOST {
        [" and ", &(own.len() - MOST).to_string(), " more"].concat()
    } else {
        String::new()
    };
    [&texts.join(", "), more.as_str()].concat()
}

/// A reason as metrics name it.
fn name(reason: Reason) -> &'static str {
    Reason::NAMES.get(reason as usize).copied().unwrap_or_default()
}

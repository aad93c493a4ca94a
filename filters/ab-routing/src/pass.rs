//! One request on its way through the experiments.

#[cfg(not(target_arch = "wasm32"))]
pub(crate) mod explain;

use crate::response::{Mark, Pending};
use experiments::{
    ArmHeader, Experiments, KEY_LIMIT,
    carried::{Carried, Propagation},
    cookie::{self, VisitorId},
    experiment::{Experiment, Reason, Special},
    exposure,
    key::KeyList,
    overrides::{Asked, Overrides},
    sticky::{Kept, Owner, Versions},
};
use filter_kit::{Effects, View, metrics::SeriesId};
use std::borrow::Cow;

/// No arm.
const NONE: u8 = u8::MAX;

/// What became of a request so far.
pub(crate) struct Pass<'a> {
    filter: &'a Experiments,
    view: &'a View<'a>,
    /// The key that was looked for last, and by which list: most experiments have the same.
    key: Result<Cow<'a, [u8]>, Reason>,
    list: usize,
    /// What is left to do when the response comes.
    pending: Option<Box<Pending>>,
    /// What most requests do not have.
    more: Option<Box<More>>,
}

/// What most requests do not have.
#[derive(Default)]
struct More {
    /// The arms that requirements look at and that travel; empty where nothing of it is asked for.
    arms: Vec<u8>,
    /// What came with the request.
    carried: Carried,
    /// The request target, where it changes.
    target: Option<Vec<u8>>,
    /// Why the request is no exposure, once it is known.
    kind: Option<RequestKind>,
}

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RequestKind {
    User,
    Bot,
    Prefetch,
}

/// An arm that was decided for.
struct Decision {
    arm: u8,
    how: How,
}

/// How an arm was decided for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    /// By the user's key, or what was kept of it.
    Drawn,
    /// By name, for a tester or a key.
    Forced,
    /// By another hop.
    Carried,
    /// It is control, for the guardrail has closed the user's arm.
    Closed,
    /// It is control, for the user's arm has no host.
    NoHost,
}

impl<'a> Pass<'a> {
    #[inline]
    pub(crate) fn new(filter: &'a Experiments, view: &'a View<'a>) -> Self {
        Self { filter, view, key: Err(Reason::NoKey), list: usize::MAX, pending: None, more: None }
    }

    /// Takes the request through one experiment. Says whether an arm is written.
    #[expect(
        clippy::inline_always,
        reason = "it is called in one place, and most of a request's time is spent here"
    )]
    #[inline(always)]
    pub(crate) fn enter(
        &mut self,
        experiment: &'a Experiment,
        header: &'a ArmHeader,
        effects: &mut Effects<'a>,
    ) -> bool {
        if !experiment.is_for(self.view) {
            return false;
        }
        let arm = self.key(experiment.keys).and_then(|key| experiment.assign(key));
        match arm.map(|arm| experiment.arms.get(usize::from(arm))) {
            Ok(Some(arm)) => {
                effects.set_request_header(&header.name, arm.name.as_bytes());
                effects.count(arm.exposures);
                true
            }
            Ok(None) => false,
            Err(reason) => {
                effects.count(experiment.skipped[reason]);
                false
            }
        }
    }

    /// As [`enter`](Self::enter), with all that most experiments do not have.
    #[inline(never)]
    pub(crate) fn enter_specially(
        &mut self,
        place: usize,
        experiment: &'a Experiment,
        header: &'a ArmHeader,
        asked: Option<Asked<'_>>,
        effects: &mut Effects<'a>,
    ) -> bool {
        let filter = self.filter;
        let is_for = experiment.enabled && experiment.is_for(self.view);
        let decided = if is_for { self.decide(experiment, asked) } else { None };
        let decided = if experiment.health.is_some() {
            self.heed(place, experiment, decided, effects)
        } else {
            decided
        };
        match &decided {
            Some(Ok(Decision { arm, how })) => {
                let Some(arm) = experiment.arms.get(usize::from(*arm)) else { return false };
                effects.set_request_header(&header.name, arm.name.as_bytes());
                effects.count(self.uncounted(experiment, *how).unwrap_or(arm.exposures));
                if let Some(change) = &arm.change {
                    change.apply(&filter.names.authority, effects);
                    if change.is_of_target() {
                        let view = self.view;
                        let more = self.more();
                        let target = more.target.take().unwrap_or_else(|| view.target().to_vec());
                        more.target = Some(change.target(target));
                    }
                }
            }
            Some(Err(reason)) => effects.count(experiment.skipped[*reason]),
            None => {}
        }
        let arm = decided.and_then(Result::ok).map(|decision| decision.arm);
        if filter.notes_arms || experiment.response.is_some() {
            self.note(place, experiment, is_for, arm);
        }
        arm.is_some()
    }

    /// What is decided, or control in its place where the arm is closed or has no host. A tester gets what was asked for.
    #[cold]
    fn heed(
        &mut self,
        place: usize,
        experiment: &Experiment,
        decided: Option<Result<Decision, Reason>>,
        effects: &mut Effects<'a>,
    ) -> Option<Result<Decision, Reason>> {
        let (Some(health), Some(Ok(Decision { arm, how }))) = (&experiment.health, &decided) else {
            return decided;
        };
        if *how == How::Forced {
            return decided;
        }
        let control = |how| Some(Ok(Decision { arm: health.control, how }));
        if *arm != health.control {
            if health.is_closed(*arm) {
                return control(How::Closed);
            }
            if health.is_alone(*arm, || self.view.now()) {
                effects.count(
                    health.arms.get(usize::from(*arm)).map(|series| series.fallbacks).unwrap_or_default(),
                );
                return control(How::NoHost);
            }
        }
        if self.uncounted(experiment, *how).is_none() {
            health.expose(*arm);
        }
        let now = self.view.now();
        let pending = self.pending();
        pending.began = now;
        if let Ok(place) = u8::try_from(place) {
            pending.watched.push(place, *arm);
        }
        decided
    }

    /// Notes an arm for requirements, for other hops and for the response.
    #[cold]
    fn note(&mut self, place: usize, experiment: &Experiment, is_for: bool, arm: Option<u8>) {
        let arms = &mut self.more().arms;
        arms.resize(place + 1, NONE);
        if let (Some(noted), Some(arm)) = (arms.last_mut(), arm) {
            *noted = arm;
        }
        if let (Some(marks), Ok(place)) = (&experiment.response, u8::try_from(place))
            && (is_for || marks.is_always)
        {
            let has_cookie = marks.cookie.as_ref().is_none_or(|cookie| {
                let name =
                    arm.and_then(|arm| experiment.arms.get(usize::from(arm))).map(|arm| arm.name.as_bytes());
                name.is_none() || self.view.cookie(&cookie.name) == name
            });
            self.pending().marks.push(Mark { experiment: place, arm, has_cookie });
        }
    }

    /// The arm that the request gets, or why it gets none, or nothing where the experiment does not run.
    #[inline]
    fn decide(
        &mut self,
        experiment: &'a Experiment,
        asked: Option<Asked<'_>>,
    ) -> Option<Result<Decision, Reason>> {
        if let Some(asked) = asked {
            let arm = asked.arm(experiment);
            if let Some(arm) = arm.and_then(|arm| u8::try_from(arm).ok()) {
                return Some(Ok(Decision { arm, how: How::Forced }));
            }
        }
        let carried = if self.filter.propagation.is_some() { self.carried(experiment) } else { None };
        if let Some(special) = &experiment.special {
            return self.decide_specially(experiment, special, carried);
        }
        if let Some(arm) = carried {
            return Some(Ok(Decision { arm, how: How::Carried }));
        }
        let decided = self.key(experiment.keys).and_then(|key| experiment.assign(key));
        Some(decided.map(|arm| Decision { arm, how: How::Drawn }))
    }

    /// The arm that came with the request.
    #[cold]
    fn carried(&self, experiment: &Experiment) -> Option<u8> {
        let arm = self.more.as_ref()?.carried.arm(experiment)?;
        u8::try_from(arm).ok()
    }

    #[inline(never)]
    fn decide_specially(
        &mut self,
        experiment: &'a Experiment,
        special: &'a Special,
        carried: Option<u8>,
    ) -> Option<Result<Decision, Reason>> {
        if let Some((start, end)) = special.window
            && !(start..end).contains(&self.view.now())
        {
            return None;
        }
        if let Some(arm) = carried {
            return Some(Ok(Decision { arm, how: How::Carried }));
        }
        let arms = self.more.as_ref().map(|more| more.arms.as_slice()).unwrap_or_default();
        let has = |arm: Option<&u8>, arms: &[u8]| arm.is_some_and(|arm| arms.contains(arm));
        let met = special.requires.iter().all(|required| has(arms.get(required.experiment), &required.arms));
        if !met {
            return Some(Err(Reason::Prerequisite));
        }
        Some(self.decide_by_key(experiment, special))
    }

    fn decide_by_key(
        &mut self,
        experiment: &'a Experiment,
        special: &'a Special,
    ) -> Result<Decision, Reason> {
        self.key(experiment.keys)?;
        let key = self.key.clone()?;
        if let Ok(place) = special.forced.binary_search_by(|(other, _)| (**other).cmp(&*key))
            && let Some((_, arm)) = special.forced.get(place)
        {
            return Ok(Decision { arm: *arm, how: How::Forced });
        }
        if let Some(versions) = special.sticky {
            return self.decide_stickily(experiment, special, versions, &key);
        }
        let arm = self.draw(experiment, special, &key)?;
        Ok(Decision { arm, how: How::Drawn })
    }

    /// The arm by the hashes.
    fn draw(&mut self, experiment: &Experiment, special: &'a Special, key: &[u8]) -> Result<u8, Reason> {
        for gate in &special.gates {
            let lets_in = match gate.keys {
                None => gate.lets_in(key),
                Some(keys) => self.key(keys).is_ok_and(|key| gate.lets_in(key)),
            };
            if !lets_in {
                return Err(gate.reason);
            }
        }
        experiment.assign(key)
    }

    /// The arm that was kept for the user, or else one by the hashes, which is kept then.
    #[cold]
    fn decide_stickily(
        &mut self,
        experiment: &'a Experiment,
        special: &'a Special,
        versions: Versions,
        key: &[u8],
    ) -> Result<Decision, Reason> {
        let filter = self.filter;
        let (Some(sticky), Some(list)) = (&filter.sticky, filter.keys.get(experiment.keys)) else {
            return Err(Reason::NoKey);
        };
        let mut found: Vec<(&str, Cow<'_, [u8]>)> = Vec::new();
        for source in &list.sources {
            found.extend(source.read(self.view).map(|key| (source.name(), key)));
        }
        if let Some(cookie) = list.visitor_cookie.and_then(|cookie| filter.cookies.get(cookie)) {
            // A new visitor's cookie is not yet with the request.
            let visitor = self.view.cookie(&cookie.name).or(found.is_empty().then_some(key));
            found.extend(visitor.map(|key| (&*cookie.name, Cow::Borrowed(key))));
        }
        found.retain(|(_, key)| (1..=KEY_LIMIT).contains(&key.len()));
        let owners: Vec<Owner<'_>> = found.iter().map(|(name, key)| (*name, &**key)).collect();
        let before = self.pending.as_ref().and_then(|pending| pending.sticky.clone());
        let value = before.as_deref().map(str::as_bytes).or_else(|| self.view.cookie(&sticky.cookie.name));
        let value = value.unwrap_or_default();
        let (arm, is_kept) = match sticky.kept(value, &experiment.name, versions, &owners) {
            Kept::Blocked => return Err(Reason::OldVersion),
            Kept::Nothing => (None, false),
            Kept::Arm(name, owner) => (experiment.arms.iter().position(|arm| *arm.name == *name), owner == 0),
        };
        let (arm, is_kept) = match arm.and_then(|arm| u8::try_from(arm).ok()) {
            Some(arm) => (arm, is_kept),
            None => (self.draw(experiment, special, key)?, false),
        };
        if let (false, Some(name)) = (is_kept, experiment.arms.get(usize::from(arm)).map(|arm| &*arm.name)) {
            let is_known = |name: &str| filter.all.iter().any(|experiment| *experiment.name == *name);
            let value = sticky.keep(value, &experiment.name, versions, name, &owners, is_known);
            self.pending().sticky = Some(value);
        }
        Ok(Decision { arm, how: How::Drawn })
    }

    /// The key that a list finds.
    #[inline]
    fn key(&mut self, list: usize) -> Result<&[u8], Reason> {
        if self.list != list {
            self.look_for_key(list);
        }
        match &self.key {
            Ok(key) => Ok(key),
            Err(reason) => Err(*reason),
        }
    }

    #[inline(never)]
    fn look_for_key(&mut self, list: usize) {
        self.key = match self.filter.keys.get(list) {
            Some(keys) => self.find_key(keys),
            None => Err(Reason::NoKey),
        };
        self.list = list;
    }

    /// The first source that is present, or else the visitor's cookie, or else a new visitor's id.
    fn find_key(&mut self, keys: &'a KeyList) -> Result<Cow<'a, [u8]>, Reason> {
        let view = self.view;
        if let Some(key) = keys.sources.iter().find_map(|source| source.read(view)) {
            return match key.len() {
                0 => Err(Reason::EmptyKey),
                1..=KEY_LIMIT => Ok(key),
                _ => Err(Reason::KeyTooLong),
            };
        }
        let cookie = keys.visitor_cookie.and_then(|index| Some((index, self.filter.cookies.get(index)?)));
        let (index, cookie) = cookie.ok_or(Reason::NoKey)?;
        // A visitor whose cookie holds nothing, or more than this filter ever gave, is a new one.
        match view.cookie(&cookie.name) {
            Some(key) if (1..=KEY_LIMIT).contains(&key.len()) => Ok(Cow::Borrowed(key)),
            _ => self.welcome(index).map(|id| Cow::Owned(id.to_vec())),
        }
    }

    /// The id of a new visitor, who gets this cookie.
    #[cold]
    fn welcome(&mut self, cookie: usize) -> Result<VisitorId, Reason> {
        let known = self.pending.as_ref().and_then(|pending| pending.visitor);
        let id = known.or_else(|| cookie::new_visitor(self.view)).ok_or(Reason::NoRandom)?;
        let pending = self.pending();
        pending.visitor = Some(id);
        pending.cookies |= 1 << cookie;
        Ok(id)
    }

    /// The series that a request counts in which is no exposure.
    #[cold]
    fn uncounted(&mut self, experiment: &Experiment, how: How) -> Option<SeriesId> {
        let series = experiment.uncounted;
        match how {
            How::Forced => return series.forced,
            How::Carried => return series.carried,
            How::Closed => return series.closed,
            How::NoHost => return series.no_host,
            How::Drawn if series.bot.is_none() && series.prefetch.is_none() => return None,
            How::Drawn => {}
        }
        let view = self.view;
        let kind = *self.more().kind.get_or_insert_with(|| {
            if series.prefetch.is_some() && exposure::is_prefetch(view) {
                RequestKind::Prefetch
            } else if series.bot.is_some() && exposure::is_bot(view) {
                RequestKind::Bot
            } else {
                RequestKind::User
            }
        });
        match kind {
            RequestKind::User => None,
            RequestKind::Bot => series.bot,
            RequestKind::Prefetch => series.prefetch,
        }
    }

    /// Reads what came with the request.
    #[cold]
    pub(crate) fn carry(&mut self, propagation: &Propagation, effects: &mut Effects<'a>) {
        self.more().carried = propagation.find(self.view, effects);
    }

    /// Counts and takes out what a tester asked for.
    #[cold]
    pub(crate) fn settle(
        &mut self,
        overrides: &'a Overrides,
        places: [bool; 3],
        is_honoured: bool,
        effects: &mut Effects<'a>,
    ) {
        effects.count(if is_honoured { overrides.honoured } else { overrides.refused });
        let target = overrides.strip(places, self.view, &self.filter.names.cookie, effects);
        self.more().target = target;
    }

    /// Whether the request target changes, or something is left to do when the response comes.
    #[inline]
    pub(crate) fn is_open(&self) -> bool {
        self.more.is_some() || self.pending.is_some()
    }

    /// Writes what other hops are to know and the request target where it changes, and gives what is left to do when the response comes.
    #[cold]
    pub(crate) fn finish(&mut self, effects: &mut Effects<'a>) -> Option<Box<Pending>> {
        let pending = self.pending.take();
        let Some(more) = self.more.take() else { return pending };
        if let Some(propagation) = &self.filter.propagation {
            let arms = self.filter.all.iter().zip(&more.arms);
            let own = arms.filter_map(|(experiment, arm)| {
                let arm = experiment.arms.get(usize::from(*arm))?;
                Some((&*experiment.name, &*arm.name))
            });
            propagation.write(&more.carried, own, self.view, effects);
        }
        if let Some(target) = more.target {
            effects.set_request_header(&self.filter.names.path, target);
        }
        pending
    }

    fn more(&mut self) -> &mut More {
        self.more.get_or_insert_default()
    }

    fn pending(&mut self) -> &mut Pending {
        self.pending.get_or_insert_default()
    }
}

//! How the arms of an experiment do, over all workers of a proxy.
//!
//! A worker counts by itself and adds what it has counted to a record in shared data, by compare-and-swap: after [`DUE`] responses, and by its timer. Whoever
//! adds asks the guardrail, and what it closes stays closed for all workers: over a VM's reload and over pushes of configurations, as long as the proxy runs.

use crate::guardrail::{Counts, Guardrail, Measure, ratio};
use filter_kit::{View, metrics::SeriesId};
use std::cell::{Cell, RefCell};

/// After how many responses a worker adds its counts to those of the others.
const DUE: u64 = 16;

/// How often a worker tries again where another one was faster. What it could not add it keeps.
const TRIES: usize = 8;

/// The words of the record before those of the arms, and of each arm.
const HEAD: usize = 6;
const OF_ARM: usize = 7;

/// What begins a record.
const MAGIC: u64 = u64::from_le_bytes(*b"abhealt1");

/// What is watched of an experiment's arms.
#[derive(Debug)]
pub struct Health {
    /// The guardrail, if there is one.
    pub guardrail: Option<Box<Guardrail>>,
    /// The arm that others fall back to, by its place.
    pub control: u8,
    /// How long an arm is left alone whose cluster had no healthy host, in nanoseconds.
    pub fallback: u64,
    /// The arms' series, by their places.
    pub arms: Vec<ArmSeries>,
    /// The p-value of the exposures' ratio, in thousandths.
    pub ratio_series: SeriesId,
    /// How many requests of one user say no more than one.
    pub per_user: u64,
    /// The record's key in shared data.
    pub(crate) key: Box<str>,
    /// What share of the keys each arm has, as whole numbers of any sum.
    pub(crate) weights: Vec<u64>,
    /// Which arms there are; and which weights they have, and what the guardrail is.
    pub(crate) marks: [u64; 2],
    pub(crate) state: RefCell<State>,
    /// Arms that the guardrail has closed, as bits.
    pub(crate) closed: Cell<u128>,
    /// Until when arms are left alone that had no host, in nanoseconds since 1970; empty where none was.
    pub(crate) alone: RefCell<Vec<u64>>,
}

/// An arm's series.
#[derive(Debug)]
pub struct ArmSeries {
    /// Counts responses by class: 1xx, 2xx, 3xx, 4xx, 5xx.
    pub responses: [SeriesId; 5],
    /// How long the response's headers took, in milliseconds.
    pub duration: SeriesId,
    /// Whether the guardrail has closed it.
    pub closed: Option<SeriesId>,
    /// Counts requests that went to control since it had no host.
    pub fallbacks: SeriesId,
}

/// What a worker knows.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// What it has counted and not yet added.
    fresh: Vec<Tally>,
    responses: u64,
    is_fresh: bool,
}

/// What is counted of an arm.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Tally {
    exposures: u64,
    requests: u64,
    errors: u64,
    slow: u64,
}

/// What all workers know: of each arm what was counted in all, and of that what was counted when the window began.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Record {
    closed: u128,
    window: u64,
    arms: Vec<(Tally, Tally)>,
}

/// What came of an exchange with the other workers.
#[derive(Debug, Default)]
pub struct News {
    /// Arms that this worker has closed, as bits.
    pub closed: u128,
}

impl Tally {
    fn plus(self, other: Self) -> Self {
        Self {
            exposures: self.exposures.saturating_add(other.exposures),
            requests: self.requests.saturating_add(other.requests),
            errors: self.errors.saturating_add(other.errors),
            slow: self.slow.saturating_add(other.slow),
        }
    }

    fn counts(self, measure: Measure) -> Counts {
        let bad = match measure {
            Measure::Errors => self.errors,
            Measure::Latency => self.slow,
        };
        Counts { requests: self.requests, bad }
    }
}

impl Record {
    /// Reads a record of these arms; none of others'. Of other weights or another guardrail what is closed stays closed, and all is counted anew: while
    /// weights move, sums of before and after compare what was not there at one time.
    fn decode(bytes: &[u8], [arms, rules]: [u64; 2], count: usize) -> Option<Self> {
        let (words, rest) = bytes.as_chunks::<8>();
        let word = |place: usize| words.get(place).map(|word| u64::from_le_bytes(*word));
        let is_whole = rest.is_empty() && words.len() == HEAD + OF_ARM * count;
        if !is_whole || word(0)? != MAGIC || word(1)? != arms {
            return None;
        }
        let closed = u128::from(word(3)?) | u128::from(word(4)?) << 64;
        if word(2)? != rules {
            return Some(Self { closed, window: 0, arms: vec![<_>::default(); count] });
        }
        let mut record = Self { closed, window: word(5)?, arms: Vec::with_capacity(count) };
        for arm in words.get(HEAD..)?.as_chunks::<OF_ARM>().0 {
            let [exposures, requests, errors, slow, requests_began, errors_began, slow_began] =
                arm.map(u64::from_le_bytes);
            record.arms.push((
                Tally { exposures, requests, errors, slow },
                Tally { exposures: 0, requests: requests_began, errors: errors_began, slow: slow_began },
            ));
        }
        Some(record)
    }

    fn encode(&self, [arms, rules]: [u64; 2]) -> Vec<u8> {
        let low = u64::try_from(self.closed & u128::from(u64::MAX)).unwrap_or_default();
        let high = u64::try_from(self.closed >> 64).unwrap_or_default();
        let mut bytes = Vec::with_capacity((HEAD + OF_ARM * self.arms.len()) * 8);
        let mut write = |words: &[u64]| {
            for word in words {
                bytes.extend_from_slice(&word.to_le_bytes());
            }
        };
        write(&[MAGIC, arms, rules, low, high, self.window]);
        for (now, began) in &self.arms {
            write(&[now.exposures, now.requests, now.errors, now.slow]);
            write(&[began.requests, began.errors, began.slow]);
        }
        bytes
    }

    fn add(&mut self, fresh: &[Tally]) {
        for ((now, _), fresh) in self.arms.iter_mut().zip(fresh) {
            *now = now.plus(*fresh);
        }
    }

    /// Asks the guardrail of each arm that is open, and begins a window where one is over. The arms that it closes, as bits.
    fn judge(&mut self, guardrail: &Guardrail) -> u128 {
        let mut closes = 0;
        for measure in Measure::ALL {
            // Where nothing was bad there is nothing to ask.
            if !guardrail.watches(measure) || self.arms.iter().all(|(now, _)| now.counts(measure).bad == 0) {
                continue;
            }
            let now: Vec<Counts> = self.arms.iter().map(|(now, _)| now.counts(measure)).collect();
            let began: Vec<Counts> = self.arms.iter().map(|(_, began)| began.counts(measure)).collect();
            for arm in 0..self.arms.len() {
                let bit = 1_u128 << arm;
                if (self.closed | closes) & bit == 0
                    && guardrail.closes(measure, arm, &now, &began, self.window)
                {
                    closes |= bit;
                }
            }
        }
        self.closed |= closes;
        let sum = |of: fn(&(Tally, Tally)) -> u64| self.arms.iter().map(of).fold(0, u64::saturating_add);
        if guardrail.is_over(sum(|(now, _)| now.requests), sum(|(_, began)| began.requests)) {
            for (now, began) in &mut self.arms {
                *began = *now;
            }
            self.window = self.window.saturating_add(1);
        }
        closes
    }
}

impl Health {
    /// Makes the record where there is none of these arms. Says whether it was made, and which arms are closed.
    pub fn prepare(&self, view: &View<'_>) -> (bool, u128) {
        let found = view.shared(&self.key).and_then(|(bytes, _)| self.decode(&bytes));
        let is_new = found.is_none();
        let record = found.unwrap_or_else(|| self.empty());
        if is_new {
            view.set_shared(&self.key, &record.encode(self.marks), 0);
        }
        self.closed.set(record.closed);
        (is_new, record.closed)
    }

    fn empty(&self) -> Record {
        Record { arms: vec![<_>::default(); self.arms.len()], ..Record::default() }
    }

    fn decode(&self, bytes: &[u8]) -> Option<Record> {
        Record::decode(bytes, self.marks, self.arms.len())
    }

    /// Whether the guardrail has closed an arm.
    #[inline]
    pub fn is_closed(&self, arm: u8) -> bool {
        self.closed.get() >> (arm & 127) & 1 != 0
    }

    /// Whether an arm is left alone since its cluster had no host.
    pub fn is_alone(&self, arm: u8, now: impl FnOnce() -> u64) -> bool {
        let alone = self.alone.borrow();
        !alone.is_empty() && alone.get(usize::from(arm)).is_some_and(|until| *until > 0 && now() < *until)
    }

    /// Leaves an arm alone from now on. Says whether it was not yet.
    pub fn leave_alone(&self, arm: u8, now: u64) -> bool {
        let mut alone = self.alone.borrow_mut();
        alone.resize(self.arms.len(), 0);
        let until = now.saturating_add(self.fallback);
        alone.get_mut(usize::from(arm)).is_some_and(|before| std::mem::replace(before, until) < now)
    }

    /// Counts an exposure.
    pub fn expose(&self, arm: u8) {
        self.note(arm, |tally| tally.exposures += 1);
    }

    /// Counts a response. Says whether it is time to tell the other workers.
    pub fn respond(&self, arm: u8, status: u16, milliseconds: u64) -> bool {
        let is_error = u64::from(status >= 500);
        let over = self.guardrail.as_ref().map_or(u64::MAX, |guardrail| guardrail.over_ms);
        self.note(arm, |tally| {
            tally.requests += 1;
            tally.errors += is_error;
            tally.slow += u64::from(milliseconds > over);
        });
        let mut state = self.state.borrow_mut();
        state.responses += 1;
        state.responses >= DUE
    }

    fn note(&self, arm: u8, count: impl FnOnce(&mut Tally)) {
        let mut state = self.state.borrow_mut();
        state.fresh.resize(self.arms.len(), Tally::default());
        state.is_fresh = true;
        if let Some(tally) = state.fresh.get_mut(usize::from(arm)) {
            count(tally);
        }
    }

    /// Adds what this worker has counted to the record, asks the guardrail, and takes over what others have closed.
    pub fn exchange(&self, view: &View<'_>) -> News {
        let mut state = self.state.borrow_mut();
        for _ in 0..TRIES {
            let (mut record, change) = match view.shared(&self.key) {
                Some((bytes, change)) => (self.decode(&bytes).unwrap_or_else(|| self.empty()), change),
                None => (self.empty(), 0),
            };
            if !state.is_fresh {
                self.closed.set(record.closed);
                return News::default();
            }
            record.add(&state.fresh);
            let closed = self.guardrail.as_ref().map_or(0, |guardrail| record.judge(guardrail));
            if view.set_shared(&self.key, &record.encode(self.marks), change) {
                state.fresh.fill(Tally::default());
                (state.responses, state.is_fresh) = (0, false);
                self.closed.set(record.closed);
                return News { closed };
            }
        }
        // As soon as it is due again.
        state.responses = 0;
        News::default()
    }

    /// The p-value of the ratio of exposures, in thousandths; none where nothing is shared, or there is one arm.
    pub fn ratio(&self, view: &View<'_>) -> Option<u64> {
        let record = self.decode(&view.shared(&self.key)?.0)?;
        let arms = record.arms.iter().zip(&self.weights);
        let shares: Vec<ratio::Share> = arms
            .map(|((now, _), weight)| ratio::Share { exposures: now.exposures, weight: *weight })
            .collect();
        (shares.len() > 1).then(|| ratio::sequential(&shares, self.per_user))
    }
}

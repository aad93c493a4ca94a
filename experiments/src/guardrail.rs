//! Whether an arm does worse than control, asked after each request.
//!
//! An arm is worse when its rate of bad requests is above control's by more than a margin. The answer depends on counts alone, which workers add up, and
//! may be asked for as often as anybody likes: [`Guardrail::closes`] says yes of an arm that is not worse with a probability of at most alpha, over all
//! requests that will ever come, all arms of the experiment and all proxies. `docs/guardrail.md` has the proof, the sources and what was measured.

mod evidence;
mod gamma;
mod logarithm;
pub mod ratio;
#[cfg(test)]
mod tests;

pub use evidence::Evidence;
pub use gamma::{ln_gamma, upper_gamma};

use crate::{SLOTS, config};
use filter_kit::settings::Field;
use logarithm::ln;

/// Requests of an arm, and how many of them were bad. Workers' counts are merged by adding them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// All requests.
    pub requests: u64,
    /// Those that were bad; no more than all.
    pub bad: u64,
}

impl Counts {
    /// Counts one request.
    pub fn count(&mut self, is_bad: bool) {
        *self = self.plus(Self { requests: 1, bad: u64::from(is_bad) });
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let requests = self.requests.saturating_add(other.requests);
        Self { requests, bad: self.bad.saturating_add(other.bad) }
    }

    /// What has come since these counts were `before`.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        let requests = self.requests.saturating_sub(before.requests);
        Self { requests, bad: self.bad.saturating_sub(before.bad) }
    }
}

/// What makes a request bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// Its response is an error.
    Errors,
    /// It took longer than [`Guardrail::over_ms`].
    Latency,
}

impl Measure {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Errors, Self::Latency];
}

/// A guardrail, compiled.
#[derive(Debug)]
pub struct Guardrail {
    /// The arm that the others are compared with, by its place.
    pub control: usize,
    /// A request that took longer, in milliseconds, is slow; 0 where latency is not watched.
    pub over_ms: u64,
    /// A window is over after so many requests of all arms together.
    pub window: u64,
    /// How many requests of one user say no more than one.
    pub per_user: u64,
    /// By how much the rate of bad requests may be above control's, by measure; none where it is not watched.
    pub(crate) margins: [Option<f64>; 2],
    /// How many requests an arm and control must have had before anything is said of the arm.
    pub(crate) least: u64,
    /// The natural logarithm of the evidence that closes an arm, over all that it was counted.
    pub(crate) limit: f64,
    /// The statistic.
    pub(crate) evidence: Evidence,
}

/// What is made of a guardrail's numbers.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The most probable that a false alarm may be, of 10,000.
    pub alpha: u64,
    /// How many proxies decide by themselves; at least 1.
    pub proxies: u64,
    /// How many arms there are, without control.
    pub arms: u64,
    /// The margin of each measure, of 10,000; none where it is not watched.
    pub margins: [Option<u64>; 2],
    /// How many requests an arm and control must have had before anything is said of the arm.
    pub least: u64,
    /// How many requests of one user say no more than one; at least 1.
    pub per_user: u64,
}

impl Guardrail {
    /// A guardrail of these numbers.
    pub fn new(control: usize, over_ms: u64, window: u64, limits: &Limits) -> Self {
        let slots = f64::from(SLOTS);
        let measures = number(limits.margins.iter().flatten().count() as u64);
        // Each arm, measure and proxy has its share of alpha (Bonferroni), of which one half is for all that is counted and the other for the windows.
        let shares = 2.0 * measures * number(limits.arms) * number(limits.proxies);
        Self {
            control,
            over_ms,
            window,
            per_user: limits.per_user,
            margins: limits.margins.map(|margin| margin.map(|margin| number(margin) / slots)),
            least: limits.least,
            limit: ln(shares * slots / number(limits.alpha)),
            evidence: Evidence::new(limits.per_user),
        }
    }

    /// Reads a guardrail of an experiment with these arms; none where there is none.
    pub fn read(field: &Field<'_, '_>, arms: &Field<'_, '_>) -> Option<Box<Self>> {
        config::read_guardrail(field, arms)
    }

    /// What counts were made for: those of other numbers say nothing.
    pub(crate) fn rules(&self) -> [u64; 5] {
        let [errors, latency] = self.margins.map(|margin| margin.unwrap_or(0.0).to_bits());
        [errors, latency, self.over_ms, self.window, self.control as u64]
    }

    /// Whether anything is said of this measure.
    pub fn watches(&self, measure: Measure) -> bool {
        self.margin(measure).is_some()
    }

    /// Whether an arm is to be closed: of the arms' counts by `measure`, `now` and when the window began. The first window has the number 0.
    pub fn closes(
        &self,
        measure: Measure,
        arm: usize,
        now: &[Counts],
        began: &[Counts],
        window: u64,
    ) -> bool {
        let (Some(margin), Some(control_now), Some(arm_now)) =
            (self.margin(measure), now.get(self.control), now.get(arm))
        else {
            return false;
        };
        if arm == self.control || control_now.requests.min(arm_now.requests) < self.least {
            return false;
        }
        let is_worse =
            |control, arm, window| self.evidence.reaches(control, arm, margin, self.limit + price(window));
        if is_worse(*control_now, *arm_now, None) {
            return true;
        }
        let (Some(control_began), Some(arm_began)) = (began.get(self.control), began.get(arm)) else {
            return false;
        };
        is_worse(control_now.since(*control_began), arm_now.since(*arm_began), Some(window))
    }

    /// Whether a window is over, of the requests of all arms now and when it began. Then the counts of now begin the next one.
    pub fn is_over(&self, now: u64, began: u64) -> bool {
        now.saturating_sub(began) >= self.window
    }

    /// How near an arm is to being closed by all that was counted of it, in thousandths; from 1000 on it is.
    pub fn nearness(&self, measure: Measure, control: Counts, arm: Counts) -> u64 {
        let Some(margin) = self.margin(measure) else { return 0 };
        let evidence = self.evidence.of(control, arm, margin);
        thousandths(evidence / self.limit)
    }

    fn margin(&self, measure: Measure) -> Option<f64> {
        let [errors, latency] = self.margins;
        match measure {
            Measure::Errors => errors,
            Measure::Latency => latency,
        }
    }
}

/// What the evidence of a window must have beyond that of all that was counted: there are any number of windows, and their shares of alpha add up to
/// one. That of window j is `1 / (SUM * (j + 2) * ln(j + 2)^2)`.
fn price(window: Option<u64>) -> f64 {
    let Some(window) = window else { return 0.0 };
    let place = number(window) + 2.0;
    ln(WINDOWS * place) + 2.0 * ln(ln(place))
}

/// No less than the sum of `1 / (n * ln(n)^2)` from 2 on, which is 2.10974.
const WINDOWS: f64 = 2.11;

/// A number below 1 in thousandths, rounded down; more than 18 digits are cut.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it is from 0 on, and the cast saturates"
)]
fn thousandths(number: f64) -> u64 {
    (number * 1000.0) as u64
}

/// A count as a number; it is off by at most 2^-53 of itself.
#[expect(clippy::cast_precision_loss, reason = "nothing here depends on the last digit of 16")]
fn number(count: u64) -> f64 {
    count as f64
}

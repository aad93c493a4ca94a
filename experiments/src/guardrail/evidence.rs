//! The evidence that an arm's rate is above control's by more than a margin.
//!
//! For a rate `p`, and odds that are `l` times those of `p`, the likelihood ratio after `n` requests with `s` bad ones is `l^s / (1 + p (l - 1))^n`.
//! Under `p` it is a nonnegative martingale that begins at 1, and so is a mixture of several `l`. Control's mixture has `l` below 1 and speaks against
//! rates that are too high for control; an arm's has `l` above 1 and speaks against rates that are too low for the arm. Their product speaks against
//! a pair of rates, and the least of it over all pairs that are no reason to close (the arm's at most control's plus the margin) is what all of them
//! allow: where it reaches 1/alpha, each of them has been refused by a test that refuses the true one with a probability of at most alpha (Ville).
//!
//! The arm's mixture falls in its rate, so the least is on the line `arm = control + margin`. Each logarithm is `-n ln(1 + p c)` and a constant, convex in
//! `p`; so are the logarithm of a sum of exponentials of convex functions, and the sum of two such. The least of a convex function is between a value of
//! it and where two of its tangents meet, so what is answered does not hang on how near the search comes to it.

use super::{
    Counts,
    logarithm::{exp, ln},
    number,
};

/// By how much control's odds may be below those of the rate in question. The first says nothing: where control has had few requests, or the rate is
/// control's own, the mixture is no less than its weight.
pub(super) const BELOW: [f64; 6] = [1.0, 0.3, 0.5, 0.7, 0.85, 0.93];

/// By how much an arm's odds may be above those of the rate in question.
pub(super) const ABOVE: [f64; 10] = [1.02, 1.05, 1.1, 1.2, 1.4, 1.8, 2.5, 4.0, 8.0, 20.0];

/// How many standard deviations of control's rate are a few.
const DEVIATIONS: f64 = 4.0;

/// How often the bracket of the least is narrowed at most.
const STEPS: usize = 64;

/// A logarithm that is so much below another adds nothing to a sum: `e^-36` is the last digit of one.
const NOTHING: f64 = 36.0;

/// How near the evidence is found, in nats.
const NEAR: f64 = 1e-9;

/// Odds that are so many times those of a rate, in a mixture.
#[derive(Debug, Clone, Copy)]
struct Tilt {
    /// The logarithm of the factor.
    log: f64,
    /// The factor less 1.
    excess: f64,
    /// The logarithm of the weight in the mixture.
    weight: f64,
}

/// The statistic. It is made once, and allocates nothing.
#[derive(Debug)]
pub struct Evidence {
    /// What one request counts.
    share: f64,
    below: [Tilt; BELOW.len()],
    above: [Tilt; ABOVE.len()],
}

/// A convex function at a place.
#[derive(Debug, Clone, Copy)]
struct Point {
    at: f64,
    value: f64,
    slope: f64,
}

/// Between what the least is.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    lower: f64,
    upper: f64,
}

impl Evidence {
    /// The statistic, where so many requests of a user say no more than one.
    ///
    /// Each likelihood ratio is raised to the power of 1 by `per_user`. However the requests of a user hang together, the mean of the product of
    /// `per_user` such powers is at most 1 (Hölder's inequality).
    pub fn new(per_user: u64) -> Self {
        Self { share: 1.0 / number(per_user.max(1)), below: tilts(BELOW), above: tilts(ABOVE) }
    }

    /// The evidence that an arm's rate is above control's by more than the margin, in nats: a lower bound that is at most 1e-9 too low, but for
    /// rounding, which is below 1e-3 up to 10^12 requests. It is 0 where the arm's own rate is within the margin.
    pub fn of(&self, control: Counts, arm: Counts, margin: f64) -> f64 {
        let bounds = self.search(control, arm, margin, |bounds| bounds.upper - bounds.lower < NEAR);
        bounds.lower.max(0.0)
    }

    /// Whether the evidence is at least `enough`, which is above 0.
    pub fn reaches(&self, control: Counts, arm: Counts, margin: f64, enough: f64) -> bool {
        let is_settled = |bounds: Bounds| bounds.upper < enough || bounds.lower >= enough;
        self.search(control, arm, margin, is_settled).lower >= enough
    }

    /// Narrows the bounds of the least until that will do.
    fn search(
        &self,
        control: Counts,
        arm: Counts,
        margin: f64,
        is_settled: impl Fn(Bounds) -> bool,
    ) -> Bounds {
        let mut bounds = Bounds { lower: f64::NEG_INFINITY, upper: 0.0 };
        let (control_rate, arm_rate) = (rate(control), rate(arm));
        // At control's own rate no ratio of control is above 1, nor one of the arm where its own rate is below: there the evidence is none.
        let limit = control_rate + margin;
        if arm_rate <= limit || arm.requests == 0 || control.requests == 0 {
            return bounds;
        }
        // Nor is one of the arm above that of its own rate, whose logarithm is a divergence (Kullback-Leibler) that chi-square bounds. Most looks end here.
        let off = arm_rate - limit;
        bounds.upper = number(arm.requests) * self.share * off * off / (limit * (1.0 - limit));
        if is_settled(bounds) {
            return bounds;
        }
        let at = |at: f64| self.at(control, arm, margin, at);
        let first = at(control_rate);
        bounds.upper = bounds.upper.min(first.value);
        if is_settled(bounds) {
            return bounds;
        }
        // Most often the least is between the rate of control and what is a few standard deviations above it, or else below the rate of the arm; it is
        // between 0 and all that the margin leaves.
        let (mut low, mut high) = (first, first);
        if first.slope < 0.0 {
            let deviation = (limit * (1.0 - limit) / (number(control.requests) * self.share)).sqrt();
            let near = (control_rate + DEVIATIONS * deviation).min(arm_rate - margin);
            for end in [near, arm_rate - margin, 1.0 - margin] {
                high = at(end);
                if high.slope >= 0.0 {
                    break;
                }
                low = high;
            }
        } else {
            low = at(0.0);
        }
        for step in 0..STEPS {
            bounds.upper = bounds.upper.min(low.value).min(high.value);
            if low.slope >= 0.0 || high.slope <= 0.0 {
                // It is at an end.
                bounds.lower = if low.slope >= 0.0 { low.value } else { high.value };
                return bounds;
            }
            let (meet, lower) = meet(low, high);
            bounds.lower = bounds.lower.max(lower);
            if is_settled(bounds) {
                break;
            }
            let next = at(if step % 2 == 0 { meet } else { f64::midpoint(low.at, high.at) });
            if next.slope < 0.0 { low = next } else { high = next }
        }
        bounds
    }

    /// The logarithm of the product for control's rate and the one at the margin above it.
    fn at(&self, control: Counts, arm: Counts, margin: f64, at: f64) -> Point {
        let mixture = |tilts, counts, at| mixture(tilts, counts, self.share, at);
        let (below, above) = (mixture(&self.below, control, at), mixture(&self.above, arm, at + margin));
        Point { at, value: below.value + above.value, slope: below.slope + above.slope }
    }
}

fn tilts<const COUNT: usize>(factors: [f64; COUNT]) -> [Tilt; COUNT] {
    let weight = -ln(number(COUNT as u64));
    factors.map(|factor| Tilt { log: ln(factor), excess: factor - 1.0, weight })
}

/// The rate of bad requests; 0 without any request.
fn rate(counts: Counts) -> f64 {
    number(counts.bad.min(counts.requests)) / number(counts.requests.max(1))
}

/// The logarithm of a mixture of likelihood ratios against a rate, and its slope in the rate.
fn mixture(tilts: &[Tilt], counts: Counts, share: f64, at: f64) -> Point {
    let (requests, bad) = (number(counts.requests) * share, number(counts.bad.min(counts.requests)) * share);
    // Sums of exponentials, less the greatest exponent so far.
    let (mut top, mut sum, mut slope) = (f64::NEG_INFINITY, 0.0, 0.0);
    for tilt in tilts {
        let change = 1.0 + at * tilt.excess;
        let exponent = tilt.weight + bad * tilt.log - requests * ln(change);
        if exponent < top - NOTHING {
            continue;
        }
        let steepness = -requests * tilt.excess / change;
        if exponent > top {
            let scale = exp(top - exponent);
            (sum, slope) = (sum * scale + 1.0, slope * scale + steepness);
            top = exponent;
        } else {
            let share = exp(exponent - top);
            (sum, slope) = (sum + share, slope + share * steepness);
        }
    }
    Point { at, value: top + ln(sum), slope: slope / sum }
}

/// Where the tangents of two points meet, of which the first falls and the second rises, and their value there.
fn meet(low: Point, high: Point) -> (f64, f64) {
    let width = high.at - low.at;
    let step = (high.value - low.value - high.slope * width) / (low.slope - high.slope);
    let step = step.clamp(0.0, width.max(0.0));
    (low.at + step, low.value + low.slope * step)
}

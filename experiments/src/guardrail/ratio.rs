//! Whether the arms' exposures are in the proportion of their weights: the check of the sample ratio.

use super::{
    gamma::{ln_gamma, upper_gamma},
    logarithm::{exp, ln},
    number, thousandths,
};

/// How concentrated around the weights the proportions are that the mixture is made of. The first finds gross deviations at once, the second small
/// ones: the standard deviation of a share of a half is 5 % and 0.5 %.
const CONCENTRATIONS: [f64; 2] = [100.0, 10_000.0];

/// An arm's exposures, and its weight. The weights may have any sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// How often the arm was exposed.
    pub exposures: u64,
    /// Its weight when that was counted.
    pub weight: u64,
}

/// The p-value of the exposures, which may be looked at as often as anybody likes, in thousandths, rounded down: where the weights hold, it is ever
/// below `n` with a probability of at most `n` thousandths.
///
/// It is the inverse of a mixture of multinomial likelihood ratios, by Dirichlet priors whose mean is the weights (M. Lindon and A. Malek, "Anytime-Valid
/// Inference for Multinomial Count Data", 2022).
///
/// Where so many exposures of one user say no more than one, the evidence is that root of what it would be (Hölder's inequality).
pub fn sequential(shares: &[Share], per_user: u64) -> u64 {
    thousandths(exp(-log_evidence(shares) / number(per_user.max(1))).min(1.0))
}

/// The p-value of Pearson's chi-square test, in thousandths, rounded down. It holds for one look alone: who looks again and again sees it below any
/// number in the end.
pub fn chi_square(shares: &[Share]) -> u64 {
    let (exposures, weights) = sums(shares);
    if exposures <= 0.0 {
        return 1000;
    }
    let (mut statistic, mut freedom) = (0.0, -1.0);
    for share in shares {
        let expected = exposures * number(share.weight) / weights;
        if expected > 0.0 {
            let off = number(share.exposures) - expected;
            statistic += off * off / expected;
            freedom += 1.0;
        } else if share.exposures > 0 {
            return 0;
        }
    }
    if freedom < 1.0 { 1000 } else { thousandths(upper_gamma(freedom / 2.0, statistic / 2.0)) }
}

/// The natural logarithm of the evidence that the exposures are in another proportion than the weights. It is infinite where an arm without weight has
/// exposures.
pub fn log_evidence(shares: &[Share]) -> f64 {
    let (exposures, weights) = sums(shares);
    let mut sum = 0.0;
    let mut top = f64::NEG_INFINITY;
    for concentration in CONCENTRATIONS {
        let mut log = ln_gamma(concentration) - ln_gamma(concentration + exposures);
        for share in shares {
            let (count, weight) = (number(share.exposures), number(share.weight) / weights);
            if weight > 0.0 {
                let prior = concentration * weight;
                log += ln_gamma(prior + count) - ln_gamma(prior) - count * ln(weight);
            } else if share.exposures > 0 {
                return f64::INFINITY;
            }
        }
        (sum, top) = if log > top { (sum * exp(top - log) + 1.0, log) } else { (sum + exp(log - top), top) };
    }
    top + ln(sum / number(CONCENTRATIONS.len() as u64))
}

/// All exposures, and all weights.
fn sums(shares: &[Share]) -> (f64, f64) {
    shares.iter().fold((0.0, 0.0), |(exposures, weights), share| {
        (exposures + number(share.exposures), weights + number(share.weight))
    })
}

//! Which shares GrowthBook gives to variations.

/// The range of a variation: from the first share to before the second.
pub type Share = (f64, f64);

/// As many equal weights.
#[expect(clippy::cast_precision_loss, reason = "nobody has 2^52 arms")]
pub fn equal_weights(count: usize) -> Vec<f64> {
    vec![1.0 / count as f64; count]
}

/// Whether weights are ones that the SDK takes as they are: as many as variations, with a sum of about 1.
pub fn are_usable(weights: &[f64], count: usize) -> bool {
    let sum: f64 = weights.iter().sum();
    weights.len() == count && (0.99..=1.01).contains(&sum)
}

/// The ranges of variations. As in the SDK the coverage is brought into 0 to 1, and weights that are not usable give way to equal ones; the
/// filter's configuration refuses both.
pub fn ranges(count: usize, coverage: f64, weights: Option<&[f64]>) -> Vec<Share> {
    let coverage = coverage.clamp(0.0, 1.0);
    let equal = equal_weights(count);
    let weights = weights.filter(|weights| are_usable(weights, count)).unwrap_or(&equal);
    let mut sum = 0.0;
    let range = |weight: &f64| {
        let start = sum;
        sum += weight;
        (start, start + coverage * weight)
    };
    weights.iter().map(range).collect()
}

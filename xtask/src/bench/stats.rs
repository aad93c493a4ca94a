//! Medians and what is round them.

use serde::Serialize;

/// A sample's median and quartiles.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Summary {
    /// A quarter is below.
    pub lower: f64,
    /// Half is below.
    pub median: f64,
    /// Three quarters are below.
    pub upper: f64,
}

impl Summary {
    /// Summarises a sample; an empty one is all zeros.
    pub fn of(mut sample: Vec<f64>) -> Self {
        sample.sort_by(f64::total_cmp);
        Self { lower: quantile(&sample, 1), median: quantile(&sample, 2), upper: quantile(&sample, 3) }
    }

    /// The distance of the quartiles as a part of the median.
    pub fn spread(&self) -> f64 {
        if self.median == 0.0 { 0.0 } else { (self.upper - self.lower) / self.median.abs() }
    }
}

/// The quartile of a sorted sample, by linear interpolation (Hyndman and Fan, 1996, definition 7).
#[expect(clippy::cast_precision_loss, reason = "samples are small")]
fn quantile(sorted: &[f64], quarters: usize) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return 0.0 };
    let (place, rest) = (last * quarters / 4, last * quarters % 4);
    let (below, above) = (sorted[place], sorted[(place + 1).min(last)]);
    below + (above - below) * rest as f64 / 4.0
}

#[cfg(test)]
mod tests {
    use super::Summary;

    #[test]
    #[expect(clippy::float_cmp, reason = "these are whole")]
    fn quartiles_are_those_of_the_textbook() {
        let summary = Summary::of(vec![5.0, 1.0, 3.0, 2.0, 4.0]);
        assert_eq!([summary.lower, summary.median, summary.upper], [2.0, 3.0, 4.0]);
        let even = Summary::of(vec![1.0, 2.0, 3.0, 4.0]);
        assert_eq!([even.lower, even.median, even.upper], [1.75, 2.5, 3.25]);
        assert_eq!(Summary::of(vec![7.0]).median, 7.0);
        assert_eq!(Summary::of(Vec::new()).median, 0.0);
    }
}

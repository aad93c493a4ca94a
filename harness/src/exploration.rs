//! What a test is explored with: how far, and what of an outcome may depend on it.

/// Runs of one scenario that must come out the same: bodies that are split otherwise, callouts that are answered in another order; and runs whose
/// callouts fail, in which nothing may trap, hang or break a lint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exploration {
    /// The most exchanges that all runs may have together.
    pub budget: usize,
    /// What the random splits come from.
    pub seed: u64,
    /// Whether the lines of the log may differ, as those of a plugin that logs each part of a body do.
    pub ignores_log: bool,
    /// Whether metrics may differ.
    pub ignores_metrics: bool,
}

impl Default for Exploration {
    /// 20,000 exchanges, seed 0, and everything is compared.
    fn default() -> Self {
        Self { budget: 20_000, seed: 0, ignores_log: false, ignores_metrics: false }
    }
}

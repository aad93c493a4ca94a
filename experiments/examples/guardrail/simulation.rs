//! Experiments of which the truth is known, and a guardrail that looks after each request.

use experiments::guardrail::{Counts, Guardrail, Limits, Measure, ln_gamma};

/// The margin of all simulations, of 10,000: half a percent.
pub const MARGIN: u64 = 50;

/// SplitMix64 (G. L. Steele, D. Lea and C. H. Flood, 2014).
pub struct Random(pub u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let word = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// Evenly between 0 and 1.
    #[allow(clippy::cast_precision_loss, reason = "53 bits are a whole number")]
    pub fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// True with this probability.
    pub fn is(&mut self, rate: f64) -> bool {
        self.share() < rate
    }

    /// A place, by the weights, whose sum is 1.
    pub fn arm(&mut self, weights: &[f64]) -> usize {
        let mut left = self.share();
        for (place, weight) in weights.iter().enumerate() {
            if left < *weight {
                return place;
            }
            left -= weight;
        }
        0
    }
}

/// How it is decided whether an arm is closed.
pub enum Rule {
    /// As the filter does it.
    Guardrail(Box<Guardrail>),
    /// By a test of two proportions for one look, with this quantile of the normal distribution, after each request: what must not be done.
    OneLook(f64),
    /// By the product of two beta-binomial mixtures (Jeffreys' prior) and all requests: the usual choice, which needs more requests.
    BetaBinomial,
}

impl Rule {
    /// A guardrail of errors at 1 %, with so many arms without control.
    pub fn guardrail(arms: u64, proxies: u64, window: u64) -> Self {
        Self::for_users(arms, proxies, window, 1)
    }

    /// As before, where so many requests of a user count as one.
    pub fn for_users(arms: u64, proxies: u64, window: u64, per_user: u64) -> Self {
        let limits = Limits { alpha: 100, proxies, arms, margins: [Some(MARGIN), None], least: 0, per_user };
        Self::Guardrail(Box::new(Guardrail::new(0, 0, window, &limits)))
    }
}

/// What a proxy knows of an experiment.
pub struct Watch<'r> {
    rule: &'r Rule,
    now: Vec<Counts>,
    began: Vec<Counts>,
    window: u64,
}

impl<'r> Watch<'r> {
    /// Nothing yet, of so many arms.
    pub fn new(rule: &'r Rule, arms: usize) -> Self {
        Self { rule, now: vec![Counts::default(); arms], began: vec![Counts::default(); arms], window: 0 }
    }

    /// The requests of an arm.
    pub fn requests(&self, arm: usize) -> u64 {
        self.now.get(arm).map_or(0, |counts| counts.requests)
    }

    /// Counts a request and looks at all arms of which it says something: whether one is to be closed.
    pub fn closes(&mut self, arm: usize, is_bad: bool) -> bool {
        if let Some(counts) = self.now.get_mut(arm) {
            counts.count(is_bad);
        }
        let arms = if arm == 0 { 1..self.now.len() } else { arm..arm + 1 };
        for arm in arms {
            if self.looks(arm) {
                return true;
            }
        }
        if let Rule::Guardrail(guardrail) = self.rule {
            let sum = |counts: &[Counts]| counts.iter().map(|counts| counts.requests).sum();
            if guardrail.is_over(sum(&self.now), sum(&self.began)) {
                self.began.clone_from(&self.now);
                self.window += 1;
            }
        }
        false
    }

    fn looks(&self, arm: usize) -> bool {
        let (Some(control), Some(counts)) = (self.now.first(), self.now.get(arm)) else { return false };
        match self.rule {
            Rule::Guardrail(guardrail) => {
                guardrail.closes(Measure::Errors, arm, &self.now, &self.began, self.window)
            }
            Rule::OneLook(quantile) => one_look(*control, *counts, *quantile),
            Rule::BetaBinomial => beta_binomial(*control, *counts) >= 100.0_f64.ln(),
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "simulated counts are far below 2^52")]
fn numbers(counts: Counts) -> (f64, f64) {
    (counts.requests as f64, counts.bad as f64)
}

#[allow(clippy::cast_precision_loss, reason = "it is below 10,000")]
fn margin() -> f64 {
    MARGIN as f64 / 10_000.0
}

/// The rate of bad requests.
fn rate(counts: Counts) -> f64 {
    let (requests, bad) = numbers(counts);
    bad / requests.max(1.0)
}

/// Two proportions that differ by the margin, by a normal approximation, once there are ten bad requests in all.
fn one_look(control: Counts, arm: Counts, quantile: f64) -> bool {
    if control.requests.min(arm.requests) < 100 || control.bad + arm.bad < 10 {
        return false;
    }
    let variance = |counts| rate(counts) * (1.0 - rate(counts)) / numbers(counts).0;
    rate(arm) - rate(control) - margin() > quantile * (variance(control) + variance(arm)).sqrt()
}

/// The logarithm of the least of the product over all pairs of rates within the margin.
fn beta_binomial(control: Counts, arm: Counts) -> f64 {
    if control.requests == 0 || arm.requests == 0 || rate(arm) <= rate(control) + margin() {
        return 0.0;
    }
    let beta = |a: f64, b: f64| ln_gamma(a) + ln_gamma(b) - ln_gamma(a + b);
    let times = |count: f64, of: f64| if count > 0.0 { count * of.ln() } else { 0.0 };
    let ratio = |counts, rate: f64| {
        let (requests, bad) = numbers(counts);
        let mixed = beta(0.5 + bad, 0.5 + requests - bad) - beta(0.5, 0.5);
        mixed - times(bad, rate) - times(requests - bad, 1.0 - rate)
    };
    let value = |at: f64| ratio(control, at) + ratio(arm, at + margin());
    let (mut low, mut high) = (rate(control), rate(arm) - margin());
    for _ in 0..30 {
        let (left, right) = (low + 0.382 * (high - low), low + 0.618 * (high - low));
        if value(left) < value(right) { high = right } else { low = left }
    }
    value(f64::midpoint(low, high))
}

/// Arms that have 10 % of the requests each, control the rest.
pub fn weights(arms: usize) -> Vec<f64> {
    let mut weights = vec![0.1; arms];
    if let Some(control) = weights.first_mut() {
        *control = 1.0;
        for _ in 1..arms {
            *control -= 0.1;
        }
    }
    weights
}

/// In how many of so many experiments, of so many requests each, an arm is closed: `each` says what the nth request of an experiment is.
pub fn alarms(
    rule: &Rule,
    arms: usize,
    runs: u64,
    requests: u64,
    each: impl Fn(&mut Random, u64) -> (usize, bool),
) -> u64 {
    let mut alarms = 0;
    for run in 0..runs {
        let (mut random, mut watch) = (Random(run << 32), Watch::new(rule, arms));
        alarms += u64::from((0..requests).any(|place| {
            let (arm, is_bad) = each(&mut random, place);
            watch.closes(arm, is_bad)
        }));
    }
    alarms
}

/// After how many requests an arm was closed.
#[derive(Clone, Copy)]
pub struct Caught {
    /// Of all arms, since its rate had changed.
    pub all: u64,
    /// Of the arm.
    pub arm: u64,
}

/// An arm whose rate of errors changes.
pub struct Jump {
    /// How many arms there are.
    pub arms: usize,
    /// The rate of all before, and of the others after.
    pub from: f64,
    /// The last arm's rate after.
    pub to: f64,
    /// After how many requests of all arms it changes.
    pub after: u64,
}

/// When the arm is closed, in so many runs, sorted; a run in which an arm is closed before the change, or none in a million requests after it, is left
/// out.
pub fn caught(rule: &Rule, jump: &Jump, runs: u64) -> Vec<Caught> {
    const PATIENCE: u64 = 1_000_000;
    let weights = weights(jump.arms);
    let mut caught = Vec::new();
    for run in 0..runs {
        let (mut random, mut watch) = (Random((run << 32) + 1), Watch::new(rule, jump.arms));
        let mut before = 0;
        for place in 0..jump.after + PATIENCE {
            let arm = random.arm(&weights);
            let is_changed = place >= jump.after;
            let rate = if is_changed && arm + 1 == jump.arms { jump.to } else { jump.from };
            if place == jump.after {
                before = watch.requests(jump.arms - 1);
            }
            let is_bad = random.is(rate);
            if watch.closes(arm, is_bad) {
                if is_changed {
                    let arm = watch.requests(jump.arms - 1) - before;
                    caught.push(Caught { all: place + 1 - jump.after, arm });
                }
                break;
            }
        }
    }
    caught.sort_by_key(|caught| caught.all);
    caught
}

/// What so many percent of the runs stay at or below.
pub fn quantile(sorted: &[u64], percent: usize) -> u64 {
    sorted.get((sorted.len() * percent).div_ceil(100).saturating_sub(1)).copied().unwrap_or(0)
}

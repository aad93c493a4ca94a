//! The parts, and what they remember.

use ab_routing::AbRouting;
use access_log::AccessLog;
use filter_kit::{Effects, Filter, Phase};
use metrics::MetricsFilter;
use policy::Policy;

/// The parts, in the order in which a request meets them.
pub const METRICS: (u32, u32) = (0, COUNT);
pub const ACCESS_LOG: (u32, u32) = (1, COUNT);
pub const POLICY: (u32, u32) = (2, COUNT);
pub const AB_ROUTING: (u32, u32) = (3, COUNT);
/// How many there are.
pub const COUNT: u32 = 4;

/// What the parts remember of one exchange.
#[derive(Debug, Default)]
pub struct Streams {
    pub(crate) metrics: Option<<MetricsFilter as Filter>::Stream>,
    pub(crate) access_log: Option<<AccessLog as Filter>::Stream>,
    pub(crate) policy: Option<<Policy as Filter>::Stream>,
    pub(crate) ab_routing: Option<<AbRouting as Filter>::Stream>,
    /// Whether the policy holds the request's headers, so that the part behind it has not seen them.
    pub(crate) is_held: bool,
    /// How many bytes of the request's body the policy holds.
    pub(crate) held_body: usize,
}

impl Streams {
    /// The access log learns what the policy has left in filter state.
    #[inline]
    pub fn note_record(&mut self, effects: &Effects<'_>) {
        if let (Some(seen), Some(record)) = (&mut self.access_log, effects.state(policy::STATE)) {
            seen.note_record(record);
        }
    }

    /// Whether a part remembers anything.
    pub fn is_worth_keeping(&self) -> bool {
        self.metrics.is_some()
            || self.access_log.is_some()
            || self.policy.is_some()
            || self.ab_routing.is_some()
    }
}

/// Whether a part takes part in a callback.
#[inline]
pub fn wants<F: Filter>(is_remembered: bool, phase: Phase) -> bool {
    let callback = phase.callback();
    F::CALLBACKS.contains(callback) && (is_remembered || !F::ONLY_REMEMBERED.contains(callback))
}

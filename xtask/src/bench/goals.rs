//! What filters may cost beside peers.

use super::{COPIES, measure::Round, stats::Summary};
use serde::Serialize;

/// A variant, a peer, and the most that the one may cost as a part of the other.
const GOALS: [(&str, &str, f64); 13] = [
    ("ab-routing", "Lua get and set", 0.95),
    ("ab-routing three", "Lua get and set", 1.2),
    ("policy 10 rules", "RBAC, 10 rules", 2.0),
    ("policy 10 rules, a candidate", "policy 10 rules", 1.4),
    ("policy 1000 rules", "RBAC, 1000 rules", 0.03),
    ("metrics", "SDK, two counters and a histogram", 1.9),
    ("access-log", "SDK, ten properties in on_log", 0.45),
    ("all-in-one", "all-in-one as four modules", 0.55),
    ("ab-routing, empty", "raw, exports of ab-routing", 1.15),
    ("access-log, empty", "raw, exports of access-log", 1.15),
    ("metrics, empty", "raw, exports of metrics", 1.15),
    ("policy, empty", "raw, exports of policy", 1.15),
    ("all-in-one, empty", "raw, exports of all-in-one", 1.15),
];

/// A variant, what it does not have of that, a peer, and the most that the difference may be as a part of the peer's cost.
const ADDED: [(&str, &str, &str, f64); 1] = [("ab-routing watched", "ab-routing", "Lua get and set", 0.5)];

/// How a bound was kept.
#[derive(Debug, Serialize)]
pub struct Goal {
    /// The variant.
    pub variant: &'static str,
    /// The peer.
    pub peer: &'static str,
    /// The variant's cost as a part of the peer's, in the same round.
    pub ratio: Summary,
    /// The most that it may be.
    pub at_most: f64,
}

impl Goal {
    /// Whether the bound was kept, by the median.
    pub fn is_met(&self) -> bool {
        self.ratio.median <= self.at_most
    }
}

/// Works out the bounds of the variants that were measured.
#[expect(clippy::cast_precision_loss, reason = "eight copies")]
pub fn all(rounds: &[Round]) -> Vec<Goal> {
    let cost =
        |round: &Round, name: &str| round.get(name).map(|(own, beside)| (own - beside) / COPIES as f64);
    let goals = GOALS.into_iter().map(|(variant, peer, at_most)| {
        let ratio = |round: &Round| Some(cost(round, variant)? / cost(round, peer)?);
        let ratio = Summary::of(rounds.iter().filter_map(ratio).collect());
        Goal { variant, peer, ratio, at_most }
    });
    let added = ADDED.into_iter().map(|(variant, without, peer, at_most)| {
        let ratio =
            |round: &Round| Some((cost(round, variant)? - cost(round, without)?) / cost(round, peer)?);
        let ratio = Summary::of(rounds.iter().filter_map(ratio).collect());
        Goal { variant: "what watching adds to ab-routing", peer, ratio, at_most }
    });
    goals.chain(added).filter(|goal| goal.ratio.median != 0.0).collect()
}

//! What became of the records.

/// Counts since the exporter was made. `pushed` is the sum of `sent`, `queued`, and what was dropped: `queue_full`, `rejected`, `refused` and `expired`.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Records that were pushed.
    pub pushed: u64,
    /// Records that the collector took.
    pub sent: u64,
    /// Batches that the collector took.
    pub batches: u64,
    /// Requests that were not the first of their batch.
    pub retried: u64,
    /// Records that wait, or are on their way.
    pub queued: u64,
    /// Records dropped when they were pushed, since the queue was full.
    pub queue_full: u64,
    /// Records dropped by the collector, which took the rest of their batch.
    pub rejected: u64,
    /// Records dropped with their batch, since the collector's answer was none that allows another attempt.
    pub refused: u64,
    /// Records dropped with their batch, since the time for attempts was over.
    pub expired: u64,
}

//! Log records to an OpenTelemetry collector: OTLP over HTTP, in JSON (OTLP specification 1.9.0).
//!
//! A state machine without a clock, a random source or a connection of its own. Records are [pushed](Exporter::push) into the body of a batch; a
//! batch that is full, or old enough, is [asked for](Exporter::poll) and sent by the host; its [answer](Exporter::answered) says what becomes of
//! it. At most one batch is on its way at a time.
//!
//! # Configuration
//!
//! ```json
//! {
//!   "cluster": "otel-collector",
//!   "authority": "otel-collector:4318",
//!   "path": "/v1/logs",
//!   "timeout_ms": 10000,
//!   "batch": {"records": 512, "bytes": 262144, "interval_ms": 1000},
//!   "queue_bytes": 1048576,
//!   "headers": {"x-tenant": "a"},
//!   "headers_env": {"authorization": "OTLP_AUTHORIZATION"},
//!   "resource": {"service.name": "shop"},
//!   "retry": {"initial_ms": 500, "max_ms": 30000, "elapsed_ms": 300000}
//! }
//! ```
//!
//! Only `cluster` has to be given. The numbers are the defaults; `authority` is the cluster's name and `service.name` is `unknown_service` where
//! nothing is said. A header that holds a secret is refused in `headers`: `headers_env` takes its value from a variable of the VM's environment.
//!
//! # What becomes of a batch
//!
//! | answer | outcome |
//! |---|---|
//! | 200 to 299 | sent; records that `partialSuccess` rejects are dropped and never sent again |
//! | 429, 502, 503, 504, or none | sent again, after `Retry-After` or else a back-off, until `elapsed_ms` after the first time |
//! | all others | dropped |
//!
//! The back-off doubles from `initial_ms` to `max_ms`, and half of it is drawn by lot. It counts failures since the collector last took a batch,
//! so that a batch given up does not make the next one eager. `Retry-After` is honoured up to an hour, with up to `initial_ms` on top so that
//! proxies do not come back as one. It holds for the next batch too.
//!
//! # Bounds
//!
//! What waits takes at most `queue_bytes` of bodies, envelopes included, and what is on its way at most `batch.bytes`, or one record if that is
//! more; while it is handed to the host, as much again. When the queue is full the **newest** record is dropped, and what waits stays. [`Counts`] says
//! what became of every record: `pushed = sent + dropped + queued`, always.

mod answer;
mod batch;
mod config;
mod counts;
mod delay;
#[cfg(test)]
mod tests;

pub use answer::LIMIT as ANSWER_LIMIT;
pub use counts::Counts;

use answer::Answer;
use batch::{Batch, Envelope};
use config::{Destination, Limits};
use delay::{MILLISECOND, Pause};
use filter_kit::{Callout, Environment, settings::Field};
use std::{borrow::Cow, cell::RefCell, collections::VecDeque, rc::Rc, time::Duration};

/// How long after its timeout an answer is waited for, which Envoy gives by then: 10 s.
const GRACE: u64 = 10_000 * MILLISECOND;

/// What to do after a record was pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// It is kept, and nothing is to be sent before the next call of [`Exporter::poll`].
    Later,
    /// It is kept, and a batch is full: [`Exporter::poll`] has it.
    Now,
    /// It was dropped and counted: the queue is full.
    Refused,
}

/// Sends log records to a collector.
///
/// Its methods take `&self`, as a filter's do, and the callout borrows from it but for the body, which is kept for another attempt.
#[derive(Debug)]
pub struct Exporter {
    destination: Destination,
    envelope: Envelope,
    limits: Limits,
    /// That of the exporters before it too, whose streams may still leave records.
    state: Rc<RefCell<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// The batch that grows, those that are full, and the bytes of them all.
    open: Option<Batch>,
    full: VecDeque<Batch>,
    bytes: usize,
    /// The batch that was sent, and when, or that waits to be sent again.
    current: Option<Batch>,
    sent_at: Option<u64>,
    /// Whether it was sent by an exporter before this one, with which Envoy may have ended the callout.
    is_handed_over: bool,
    /// Failures since the collector last took or refused a batch, and how long to wait for them.
    failures: u32,
    pause: Option<Pause>,
    counts: Counts,
}

impl Exporter {
    /// Reads where to, how much and how often; `None` where nothing is given, or no cluster.
    #[inline(never)]
    pub fn read(config: &Field<'_, '_>, environment: &Environment<'_>) -> Option<Self> {
        if !config.is_given() {
            return None;
        }
        let (destination, envelope, limits) = config::read(config, environment)?;
        Some(Self { destination, envelope, limits, state: Rc::default() })
    }

    /// Goes on with what another exporter has not sent yet. From then on the two have one queue, by the limits of the one that is asked.
    pub fn inherit(&mut self, old: &Self) {
        if let Ok(mut state) = old.state.try_borrow_mut() {
            // What was written for another resource stays in a batch of its own.
            state.close();
            state.is_handed_over = state.sent_at.is_some();
        }
        self.state = Rc::clone(&old.state);
    }

    /// How often [`poll`](Self::poll) has to be called for batches to be sent in time: at 5,000 records a second half a megabyte has come until then.
    pub fn period(&self) -> Duration {
        Duration::from_nanos(self.limits.interval.min(100 * MILLISECOND))
    }

    /// Takes a log record: one finished JSON object, in OTLP's form of a `LogRecord`. `now` is in nanoseconds since 1970.
    pub fn push(&self, record: &str, now: u64) -> Due {
        let Ok(mut state) = self.state.try_borrow_mut() else { return Due::Refused };
        let limits = &self.limits;
        state.counts.pushed += 1;
        let is_fitting = |open: &Batch| {
            open.records() < limits.records && open.body_size() + 1 + record.len() <= limits.batch_bytes
        };
        let joins = state.open.as_ref().is_some_and(is_fitting);
        let more = record.len() + if joins { 1 } else { self.envelope.size() };
        if state.bytes + more > limits.queue_bytes {
            state.counts.queue_full += 1;
            return Due::Refused;
        }
        if !joins {
            state.close();
        }
        state.bytes += more;
        state.counts.queued += 1;
        let open = state.open.get_or_insert_with(|| self.envelope.open(now));
        open.push(record);
        if open.records() >= limits.records || open.body_size() >= limits.batch_bytes {
            state.close();
        }
        let has_to_wait = state.full.is_empty() || state.sent_at.is_some() || state.pause.is_some();
        if has_to_wait { Due::Later } else { Due::Now }
    }

    /// The batch to send now, if one is due and none is on its way. `random` is asked at most once, for the time until another attempt.
    ///
    /// The callout's `tag` is 0: a filter that makes others gives it one of its own.
    pub fn poll(&self, now: u64, random: impl FnOnce() -> u64) -> Option<Callout<'_>> {
        let mut state = self.state.try_borrow_mut().ok()?;
        if let Some(sent_at) = state.sent_at {
            if now.saturating_sub(sent_at) <= self.limits.timeout.saturating_add(GRACE) {
                return None;
            }
            // Envoy answers 504 when the time is up: this answer is lost.
            state.failed(None, now, &self.limits);
        }
        if let Some(pause) = &mut state.pause {
            if pause.is_on(now, random) {
                return None;
            }
            state.pause = None;
        }
        if state.current.is_none() {
            state.current = Some(state.take(now, &self.limits)?);
        } else {
            state.counts.retried += 1;
        }
        state.sent_at = Some(now);
        let batch = state.current.as_mut()?;
        batch.first_sent.get_or_insert(now);
        let body = Cow::Owned(batch.body().into());
        Some(self.destination.callout(body, Duration::from_nanos(self.limits.timeout)))
    }

    /// Says what became of the callout: its status, or `None` without an answer, the answer's `retry-after` header and body. An answer that nobody
    /// waits for is left out.
    pub fn answered(&self, status: Option<u16>, retry_after: Option<&[u8]>, body: &[u8], now: u64) {
        let Ok(mut state) = self.state.try_borrow_mut() else { return };
        if state.sent_at.is_none() {
            return;
        }
        if std::mem::take(&mut state.is_handed_over) && status.is_none() {
            // Nobody has failed: it is sent again at once.
            state.sent_at = None;
            return;
        }
        match answer::read(status, body) {
            Answer::Taken { rejected } => {
                state.forget_failures();
                let records = state.finish();
                let rejected = rejected.min(records);
                state.counts.batches += 1;
                state.counts.sent += records - rejected;
                state.counts.rejected += rejected;
            }
            Answer::Refused => {
                state.forget_failures();
                state.counts.refused += state.finish();
            }
            Answer::Later => {
                let wait = retry_after.and_then(|value| delay::retry_after(value, now));
                state.failed(wait, now, &self.limits);
            }
        }
    }

    /// What became of the records so far.
    pub fn counts(&self) -> Counts {
        self.state.try_borrow().map_or_else(|_| Counts::default(), |state| state.counts)
    }
}

impl State {
    /// Takes the batch that grows for full.
    fn close(&mut self) {
        if let Some(mut open) = self.open.take() {
            open.close();
            self.full.push_back(open);
        }
    }

    /// Takes the next batch that is due out of the queue.
    fn take(&mut self, now: u64, limits: &Limits) -> Option<Batch> {
        if self.full.is_empty() {
            // A clock that was set back makes a batch due.
            let since = self.open.as_ref()?.since;
            if (since..since.saturating_add(limits.interval)).contains(&now) {
                return None;
            }
            self.close();
        }
        let batch = self.full.pop_front()?;
        self.bytes = self.bytes.saturating_sub(batch.body_size());
        Some(batch)
    }

    /// The batch that was sent is done with; how many records it had.
    fn finish(&mut self) -> u64 {
        self.sent_at = None;
        let records = self.current.take().map_or(0, |batch| batch.records() as u64);
        self.counts.queued -= records;
        records
    }

    fn forget_failures(&mut self) {
        self.failures = 0;
        self.pause = None;
    }

    /// The batch that was sent has to be sent again, or its time is over.
    fn failed(&mut self, wait: Option<u64>, now: u64, limits: &Limits) {
        self.sent_at = None;
        self.failures = self.failures.saturating_add(1);
        let pause = Pause::new(now, wait, self.failures, limits);
        let first_sent = self.current.as_ref().and_then(|batch| batch.first_sent).unwrap_or(now);
        if now.saturating_sub(first_sent).saturating_add(pause.least()) >= limits.elapsed {
            self.counts.expired += self.finish();
        }
        self.pause = Some(pause);
    }
}

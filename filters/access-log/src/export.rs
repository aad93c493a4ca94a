//! The exporter in the filter: batches as callouts, and its counts as metrics.

use crate::otlp::{ANSWER_LIMIT, Counts, Exporter};
use filter_kit::{
    Bounded, Effects, Environment, MetricChange, View,
    metrics::{Kind, Metrics, SeriesId},
    settings::Field,
};
use std::{cell::Cell, rc::Rc, time::Duration};

/// Sends records, and counts what became of them.
#[derive(Debug)]
pub struct Export {
    exporter: Exporter,
    /// What the metrics have been told of.
    told: Rc<Cell<Counts>>,
    sent: SeriesId,
    batches: SeriesId,
    retried: SeriesId,
    queue_full: SeriesId,
    rejected: SeriesId,
    refused: SeriesId,
    expired: SeriesId,
}

impl Export {
    /// Reads the configuration of an [`Exporter`]; `None` where there is none.
    pub fn read(
        config: &Field<'_, '_>,
        metrics: &mut Metrics,
        environment: &Environment<'_>,
    ) -> Option<Self> {
        let exporter = Exporter::read(config, environment)?;
        let records = metrics.family(Kind::Counter, "access_log_otlp_records_total", &["result"]);
        let batches = metrics.family(Kind::Counter, "access_log_otlp_batches_total", &[]);
        let retried = metrics.family(Kind::Counter, "access_log_otlp_retries_total", &[]);
        let (batches, retried) = (metrics.series(batches, &[]), metrics.series(retried, &[]));
        let mut record = |result: &'static str| metrics.series(records, &[Bounded::own(result)]);
        Some(Self {
            exporter,
            told: Rc::default(),
            sent: record("sent"),
            queue_full: record("queue_full"),
            rejected: record("rejected"),
            refused: record("refused"),
            expired: record("expired"),
            batches,
            retried,
        })
    }

    /// Goes on with the queue of another one.
    pub fn inherit(&mut self, old: &Self) {
        self.exporter.inherit(&old.exporter);
        self.told = Rc::clone(&old.told);
    }

    /// How often [`tick`](Self::tick) is called.
    pub fn period(&self) -> Duration {
        self.exporter.period()
    }

    /// Takes a record.
    pub fn push<'a>(&'a self, record: &str, now: u64, effects: &mut Effects<'a>) {
        self.exporter.push(record, now);
        self.tell(effects);
    }

    /// Sends a batch that is due.
    pub fn tick<'a>(&'a self, view: &View<'_>) -> Effects<'a> {
        let mut effects = Effects::default();
        self.send(view, &mut effects);
        self.tell(&mut effects);
        effects
    }

    /// A batch was answered: the next one that is due need not wait for the timer. An answer of more than [`ANSWER_LIMIT`] bytes stays with the host.
    pub fn answered<'a>(&'a self, view: &View<'_>) -> Effects<'a> {
        let mut effects = Effects::default();
        let status = view.callout_status();
        let retry_after = view.response_header("retry-after");
        let body = if view.body_size() > ANSWER_LIMIT { &[] } else { view.body() };
        self.exporter.answered(status, retry_after, body, view.now());
        if status.is_some() {
            self.send(view, &mut effects);
        }
        self.tell(&mut effects);
        effects
    }

    fn send<'a>(&'a self, view: &View<'_>, effects: &mut Effects<'a>) {
        let random = || view.random().map_or(0, u64::from_le_bytes);
        if let Some(callout) = self.exporter.poll(view.now(), random) {
            effects.call(callout);
        }
    }

    /// Brings the metrics up to the counts.
    fn tell(&self, effects: &mut Effects<'_>) {
        let counts = self.exporter.counts();
        let told = self.told.replace(counts);
        for (series, now, before) in [
            (self.sent, counts.sent, told.sent),
            (self.batches, counts.batches, told.batches),
            (self.retried, counts.retried, told.retried),
            (self.queue_full, counts.queue_full, told.queue_full),
            (self.rejected, counts.rejected, told.rejected),
            (self.refused, counts.refused, told.refused),
            (self.expired, counts.expired, told.expired),
        ] {
            if now > before {
                effects.measure(MetricChange::Known(series, now - before));
            }
        }
    }
}

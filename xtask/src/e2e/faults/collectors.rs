//! A collector that is down, slow, or answers garbage, while requests come: none of them notices, and what became of each record is counted to the last.

use super::{
    balance, client,
    collector::{Collector, Mode},
    site::{self, Plan, Site},
    upstreams::WELL,
};
use crate::parallel;
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

/// The requests while a collector fails in one way.
const REQUESTS: usize = 400;
const CONNECTIONS: usize = 8;
/// The most records of a batch.
pub const BATCH: usize = 40;
/// How long records may take to be sent when the collector is well again.
const PATIENCE: Duration = Duration::from_secs(30);

/// The ways in which it fails, one after the other.
const MODES: [Mode; 14] = [
    Mode::Well,
    Mode::Closed,
    Mode::Status(503),
    Mode::Status(429),
    Mode::Garbage,
    Mode::Well,
    Mode::Status(400),
    Mode::Status(204),
    Mode::WellInGarbage,
    Mode::Partly(3),
    Mode::Huge(4 << 20),
    Mode::Reset,
    Mode::ResetWithin,
    Mode::Slow(900),
];

/// The configuration of the filters, with records to a collector too.
pub fn config() -> Value {
    let mut config = site::config();
    config["access_log"]["outputs"]["otlp"] = json!({
        "cluster": "collector", "timeout_ms": 500, "queue_bytes": 131_072, "batch": {"records": BATCH, "bytes": 32_768, "interval_ms": 100},
        "retry": {"initial_ms": 50, "max_ms": 300, "elapsed_ms": 120_000}
    });
    config
}

/// Sends so many requests, of which nothing is wrong, on a few connections.
pub fn load(site: &Site, count: usize) -> Result<Vec<super::accounts::Sent>> {
    let sent = parallel::map(&[(); CONNECTIONS], CONNECTIONS, |()| -> Result<Vec<_>> {
        let mut connection = client::open(site.listener())?;
        let mut sent = Vec::new();
        for _ in 0..count / CONNECTIONS {
            let name = client::name();
            let seen = client::again(&mut connection, "/shop", &name)?;
            sent.push(super::accounts::Sent { name, rule: &WELL, seen });
        }
        Ok(sent)
    });
    Ok(sent.into_iter().collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
}

/// All modes in a row, at all-in-one and at the chain; in the second of them the collector is away for so long.
///
/// # Errors
/// A request noticed, or a record is not accounted for.
pub fn fail(program: &Path, plan: Plan, away: Duration) -> Result<()> {
    let collector = Collector::start()?;
    let mut site = Site::start(program, plan, &config(), |bootstrap| {
        bootstrap.set_cluster("collector", Some(collector.address()));
    })?;
    let (mut names, begun) = (Vec::new(), Instant::now());
    let before = Records::of(&site)?;
    for mode in MODES {
        collector.set(mode);
        let until = Instant::now() + if mode == Mode::Closed { away } else { Duration::from_millis(400) };
        loop {
            let sent = load(&site, REQUESTS)?;
            names.extend(sent.iter().map(|sent| sent.name.clone()));
            balance(&mut site, "collector", sent.into())
                .with_context(|| format!("while the collector is {mode:?}"))?;
            if Instant::now() > until {
                break;
            }
        }
    }
    collector.set(Mode::Well);
    let records = settled(&site, &before, names.len())?;
    check(&records, &collector, &names, 0)?;
    for change in [|records: &mut Records| records.sent += 1, |records: &mut Records| records.dropped -= 1] {
        let mut wrong = records;
        change(&mut wrong);
        ensure!(check(&wrong, &collector, &names, 0).is_err(), "a false count of records is not seen");
    }
    println!(
        "{} requests in {:.1} s: {} records were sent, {} rejected, {} refused, {} expired, {} dropped; the collector had {} batches",
        names.len(),
        begun.elapsed().as_secs_f64(),
        records.sent,
        records.rejected,
        records.refused,
        records.expired,
        records.dropped,
        collector.batches()
    );
    ensure!(records.refused > 0 && records.rejected > 0, "the collector was too kind: {records:?}");
    Ok(())
}

/// Waits until it is known what became of so many records since then; says what is known in the end.
pub fn settled(site: &Site, before: &Records, count: usize) -> Result<Records> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let records = Records::of(site)?.since(before);
        if records.all() == count || Instant::now() > deadline {
            return Ok(records);
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// What became of records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Records {
    /// The collector took them.
    pub sent: usize,
    rejected: usize,
    refused: usize,
    expired: usize,
    dropped: usize,
}

impl Records {
    /// The counters of a site.
    ///
    /// # Errors
    /// Envoy does not say.
    pub fn of(site: &Site) -> Result<Self> {
        let counts = site.plugins()?;
        let of = |result: &str| {
            let name = format!("access_log_otlp_records_total result={result}");
            usize::try_from(counts.get(&name).copied().unwrap_or(0)).unwrap_or(0)
        };
        Ok(Self {
            sent: of("sent"),
            rejected: of("rejected"),
            refused: of("refused"),
            expired: of("expired"),
            dropped: of("queue_full"),
        })
    }

    /// What has come since.
    pub fn since(self, before: &Self) -> Self {
        Self {
            sent: self.sent - before.sent,
            rejected: self.rejected - before.rejected,
            refused: self.refused - before.refused,
            expired: self.expired - before.expired,
            dropped: self.dropped - before.dropped,
        }
    }

    /// All of which it is known what became of them.
    pub fn all(&self) -> usize {
        self.sent + self.rejected + self.refused + self.expired + self.dropped
    }
}

/// Each request has one record; what the collector took is what was sent or rejected, and no more than so many twice.
pub fn check(records: &Records, collector: &Collector, names: &[String], may_repeat: usize) -> Result<()> {
    ensure!(records.all() == names.len(), "{records:?} became of {} records", names.len());
    let taken = collector.taken();
    let known: std::collections::BTreeSet<&String> = names.iter().collect();
    let strange = taken.keys().find(|name| !known.contains(name));
    ensure!(strange.is_none(), "the collector took {strange:?}, which nobody has sent");
    let twice = taken.values().filter(|times| **times > 1).count();
    ensure!(twice <= may_repeat, "the collector took {twice} records more than once");
    ensure!(
        taken.len() == records.sent + records.rejected,
        "the collector took {} records, and {records:?} were counted",
        taken.len()
    );
    Ok(())
}

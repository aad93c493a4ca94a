//! Envoy with one plugin whose configuration comes from a file, before a shop and a collector.

use super::{
    evidence,
    subjects::{REVISIONS, Subject, revision},
};
use crate::{
    bootstrap::Bootstrap,
    e2e::discovery::Discovery,
    envoy::Envoy,
    http, project,
    upstream::{Answer, Upstream},
};
use anyhow::{Context as _, Result, ensure};
use harness::{
    Bytes,
    scenario::{Chunk, Response},
    series,
};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

/// How long something is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long the shop takes: so each push comes while requests are under way.
const SERVICE_MS: u64 = 2;

/// Envoy and what is around it.
pub struct Site {
    pub envoy: Envoy,
    pub workers: u64,
    pub shop: Upstream,
    pub collector: Upstream,
    pub plugin: Discovery,
    pub listener: SocketAddr,
    /// Where Envoy's access log is.
    pub log: PathBuf,
    folder: PathBuf,
}

impl Site {
    /// Starts it with so many workers, among which connections are shared evenly, and the filter's first revision. The module, a form of the filter's, may
    /// call what the filter may, but for one capability.
    ///
    /// # Errors
    /// Envoy does not start.
    pub fn start(
        program: &Path,
        subject: &Subject,
        module: &Path,
        workers: usize,
        without: Option<&str>,
    ) -> Result<Self> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = project::scratch("pushes")?.join(format!("{}-{number}", std::process::id()));
        fs::create_dir_all(&folder)?;
        let log = folder.join("access.log");
        fs::write(&log, "")?;
        let (shop, collector) = (Upstream::start("v1", 0)?, Upstream::start("collector", 0)?);
        shop.set_answer(answer(SERVICE_MS));
        let mut bootstrap = Bootstrap::load(subject.name)?;
        bootstrap.with_free_ports();
        bootstrap.set_variant(module);
        if let Some(capability) = without {
            bootstrap.forbid(capability);
        }
        bootstrap.set_plugin_configuration(Some(subject.config(0).to_string().as_bytes()));
        for (name, upstream) in [("v1", &shop), ("v2", &shop), ("collector", &collector)] {
            bootstrap.set_cluster(name, Some(upstream.address()));
        }
        bootstrap.set_routes(&[]);
        let listener = &mut bootstrap.0["static_resources"]["listeners"][0];
        listener["connection_balance_config"] = json!({"exact_balance": {}});
        listener["filter_chains"][0]["filters"][0]["typed_config"]["access_log"] = evidence::logger(&log);
        let plugin = Discovery::take_out(&mut bootstrap, subject.plugin, &folder)?;
        let envoy = Envoy::start(program, &bootstrap.0, &["--concurrency", &workers.to_string()])?;
        let listener = envoy.listener("main")?;
        Ok(Self { workers: workers as u64, envoy, shop, collector, plugin, listener, log, folder })
    }

    /// The sum of Envoy's own stats whose name matches this.
    ///
    /// # Errors
    /// Envoy does not answer.
    pub fn stat(&self, name: &str) -> Result<u64> {
        let stats = http::get(self.envoy.admin(), &format!("/stats?format=json&filter={name}"))?;
        let stats: Value = serde_json::from_slice(&stats)?;
        Ok(stats["stats"].as_array().into_iter().flatten().filter_map(|stat| stat["value"].as_u64()).sum())
    }

    /// The sum of a metric's series, of those with this label.
    ///
    /// # Errors
    /// Envoy does not answer.
    pub fn sum(&self, name: &str, label: Option<(&str, &str)>) -> Result<u64> {
        let is_it = |stat: &str| {
            let series = series::parse(stat);
            let has = |(name, value): (&str, &str)| series.labels.get(name).is_some_and(|got| got == value);
            series.name == name && label.is_none_or(has)
        };
        let stats = self.envoy.plugin_stats()?;
        Ok(stats.iter().filter(|(stat, _)| is_it(stat)).map(|(_, value)| value.unsigned_abs()).sum())
    }

    /// How many records the collector was sent, and of how many requests.
    ///
    /// # Errors
    /// A batch cannot be read.
    pub fn collected(&self) -> Result<(u64, u64)> {
        let (mut records, mut requests) = (0, BTreeSet::new());
        for request in self.collector.take_received() {
            let body: Value = serde_json::from_str(&request.body.lossy()).context("a batch is no JSON")?;
            let batch = body["resourceLogs"][0]["scopeLogs"][0]["logRecords"].as_array();
            for record in batch.context("a batch has no records")? {
                let attributes = record["attributes"].as_array().into_iter().flatten();
                let mut ids = attributes.filter(|attribute| attribute["key"] == "request_id");
                requests.insert(ids.next().context("a record has no request_id")?["value"].to_string());
                records += 1;
            }
        }
        Ok((records, requests.len() as u64))
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The shop's answer after so many milliseconds, with a header for each revision.
pub fn answer(after_ms: u64) -> Answer {
    let header = |number| (Bytes::from(format!("x-{}", revision(number)).as_str()), Bytes::from("yes"));
    Answer::from(&Response {
        status: 200,
        headers: (0..REVISIONS).map(header).collect(),
        chunks: vec![Chunk { bytes: Bytes::from("ok"), after_ms: 0 }],
        after_ms,
        ..Response::default()
    })
}

/// Waits until something is so.
///
/// # Errors
/// It takes too long.
pub fn wait(what: &str, is_so: impl Fn() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !is_so()? {
        ensure!(Instant::now() < deadline, "waited for {} s: {what}", PATIENCE.as_secs());
        thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

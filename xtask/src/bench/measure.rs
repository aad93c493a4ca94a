//! Turns of requests, and what they cost Envoy's worker.

use super::{COPIES, variant::Variant};
use crate::{command, envoy::Envoy, progress::Work};
use anyhow::{Context as _, Result, bail, ensure};
use std::{
    collections::BTreeMap, fs, net::SocketAddr, path::PathBuf, process::Command, thread, time::Duration,
};

/// Headers of a browser: with those that Envoy and the variant add, 13 or more reach a filter.
const HEADERS: [(&str, &str); 7] = [
    ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
    ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    ("accept-language", "en-US,en;q=0.5"),
    ("accept-encoding", "gzip, deflate, br, zstd"),
    ("referer", "https://shop.example/products?page=2"),
    ("cache-control", "no-cache"),
    ("x-client-version", "7.3.1"),
];
/// The cookie of variants that bring none of their own.
const COOKIE: (&str, &str) = ("cookie", "theme=dark; visitor=5f1c0b7de8a94c3f9b2d6a107c4e8f31");

/// The nanoseconds of CPU time per request in one round, by variant: its own, and the mean of the baseline's turns beside it.
pub type Round = BTreeMap<String, (f64, f64)>;

/// An Envoy on one core and a load generator on the other.
pub struct Bench {
    listeners: BTreeMap<String, SocketAddr>,
    h2load: PathBuf,
    requests: usize,
    /// The target of all requests.
    path: String,
    /// The file in which the kernel counts the worker's CPU time, in nanoseconds.
    schedstat: PathBuf,
}

impl Bench {
    /// Finds Envoy's worker and gives it a core.
    pub fn new(envoy: &Envoy, h2load: PathBuf, requests: usize, path: &str) -> Result<Self> {
        let tasks = PathBuf::from(format!("/proc/{}/task", envoy.pid()));
        let mut worker = None;
        for task in fs::read_dir(&tasks)? {
            let task = task?.path();
            if fs::read_to_string(task.join("comm"))?.trim() == "wrk:worker_0" {
                worker = Some(task.join("schedstat"));
            }
        }
        command::run(Command::new("taskset").args(["-a", "-p", "-c", "0", &envoy.pid().to_string()]))?;
        Ok(Self {
            listeners: envoy.listeners()?,
            h2load,
            requests,
            path: path.to_owned(),
            schedstat: worker.context("Envoy has no worker")?,
        })
    }

    /// Every variant answers, and the counters of those that have one move by one for every copy: what is measured does its work.
    pub fn check(&self, envoy: &Envoy, variants: &[Variant]) -> Result<()> {
        for variant in variants {
            let sum = |stats: &BTreeMap<String, i64>, counter: &str| -> i64 {
                stats
                    .iter()
                    .filter(|(name, _)| ::harness::series::parse(name).name == counter)
                    .map(|(_, value)| *value)
                    .sum()
            };
            let before = envoy.plugin_stats()?;
            let requests = 100;
            self.load(variant, requests)?;
            let after = envoy.plugin_stats()?;
            if let Some((counter, steps)) = &variant.counter {
                let moved = sum(&after, counter) - sum(&before, counter);
                let expected = i64::try_from(requests * COPIES * steps)?;
                ensure!(
                    moved == expected,
                    "{}: {counter} moved by {moved} in {requests} requests, and must by {expected}",
                    variant.name
                );
            }
        }
        let errors: Vec<_> = envoy
            .log_since(0)
            .into_iter()
            .filter(|line| line.level == "error" || line.level == "critical")
            .collect();
        ensure!(errors.is_empty(), "Envoy logged {errors:?}");
        Ok(())
    }

    /// One turn of every variant, each between two of the baseline; every other round backwards.
    pub fn round(&self, variants: &[Variant], round: usize, work: &Work) -> Result<Round> {
        let Some((baseline, others)) = variants.split_first() else { bail!("there is no baseline") };
        let mut order: Vec<&Variant> = others.iter().collect();
        if round % 2 == 1 {
            order.reverse();
        }
        let mut before = self.turn(baseline)?;
        work.step();
        let mut costs = Round::new();
        for variant in order {
            let own = self.turn(variant)?;
            let after = self.turn(baseline)?;
            costs.insert(variant.name.clone(), (own, f64::midpoint(before, after)));
            before = after;
            work.step();
        }
        costs.insert(baseline.name.clone(), (before, before));
        Ok(costs)
    }

    /// The CPU time per request of one turn, in nanoseconds.
    #[expect(clippy::cast_precision_loss, reason = "a turn takes less than 2^53 ns")]
    pub fn turn(&self, variant: &Variant) -> Result<f64> {
        let before = self.cpu_time()?;
        self.load(variant, self.requests)?;
        Ok((self.cpu_time()? - before) as f64 / self.requests as f64)
    }

    fn cpu_time(&self) -> Result<u64> {
        // The worker has finished its work when it is seen asleep: what it does after the last answer is part of the request.
        thread::sleep(Duration::from_millis(2));
        let text = fs::read_to_string(&self.schedstat)?;
        text.split(' ').next().context("schedstat is empty")?.parse().context("schedstat holds no number")
    }

    fn load(&self, variant: &Variant, requests: usize) -> Result<()> {
        let address = self
            .listeners
            .get(&variant.name)
            .with_context(|| format!("Envoy has no listener {}", variant.name))?;
        let mut load = Command::new("taskset");
        load.args(["-c", "1"]).arg(&self.h2load).args([
            "--h1",
            "-c",
            "16",
            "-m",
            "1",
            "-n",
            &requests.to_string(),
        ]);
        let own = variant.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let cookie = variant.headers.is_empty().then_some(COOKIE);
        for (name, value) in HEADERS.into_iter().chain(cookie).chain(own) {
            load.args(["-H", &format!("{name}: {value}")]);
        }
        let printed = command::run(load.arg(format!("http://{address}{}", self.path)))?;
        let done = format!("{requests} succeeded, 0 failed");
        ensure!(printed.contains(&done), "{}: not every request was answered:\n{printed}", variant.name);
        Ok(())
    }
}

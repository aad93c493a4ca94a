//! An Envoy with all filters before an upstream that fails, and the books of what passes.

use super::{
    Tried,
    accounts::{Books, Filters},
    line::{FORMAT, Line},
    shop::Shop,
};
use crate::{
    bootstrap::Bootstrap,
    build,
    e2e::PARTS,
    envoy::{Envoy, steps},
    http, project,
};
use anyhow::{Context as _, Result, ensure};
use harness::{scenario::Scenario, series};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

/// How long Envoy may take to end what its clients have ended.
const PATIENCE: Duration = Duration::from_secs(20);

/// How the filters are loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plan {
    /// All-in-one.
    One,
    /// A chain of four modules.
    Chain,
}

/// Envoy, the upstream, and where the books stand.
pub struct Site {
    /// Envoy.
    pub envoy: Envoy,
    /// The upstream.
    pub shop: Shop,
    listener: SocketAddr,
    log: PathBuf,
    begun: Begun,
}

/// What had been counted before.
#[derive(Default)]
struct Begun {
    lines: usize,
    envoy: BTreeMap<String, i64>,
    plugins: BTreeMap<String, i64>,
}

/// The filters' configuration: bodies are read by three of them.
pub fn config() -> Value {
    json!({
        "metrics": {
            "arm": {"header": "x-arm"},
            "define": [{
                "name": "amount_total", "kind": "counter", "when": {"match": [{"on": "path", "prefix": "/orders"}]},
                "value": {"on": "body", "name": "amount"}
            }],
            "body": {"limit_bytes": 1_048_576}
        },
        "access_log": {
            "outputs": {"filter_state": {}},
            "fields": ["time", "duration", "method", "route", "status", "flags", "details", "bytes_received", "bytes_sent"],
            "headers": {"request": ["x-n"]},
            "body": {"fields": ["order.id"], "limit_bytes": 1_048_576},
            "flow": {"scan": ["body", "headers", "cookies"]},
            "arms": [{"experiment": "checkout", "header": "x-arm"}]
        },
        "policy": {
            "body": {"limit_bytes": 1_048_576},
            "policies": [{
                "metadata": {"name": "dear", "namespace": "shop"},
                "spec": {"action": "DENY", "rules": [{
                    "to": [{"operation": {"paths": ["/orders"]}}],
                    "outrigger": {"body": {"fields": [{"pointer": "/amount", "over": 1000}]}}
                }]}
            }]
        },
        "ab_routing": {"experiments": [{
            "name": "checkout", "key": [{"header": "x-n"}],
            "arms": [{"name": "control", "weight": 5000}, {"name": "b", "weight": 5000}]
        }]}
    })
}

impl Site {
    /// Starts an Envoy of this program with two workers. `change` has the last word on its bootstrap.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(
        program: &Path,
        plan: Plan,
        config: &Value,
        change: impl FnOnce(&mut Bootstrap),
    ) -> Result<Self> {
        let shop = Shop::start()?;
        let mut bootstrap = Bootstrap::load("all-in-one")?;
        bootstrap.with_free_ports();
        let text = config.to_string();
        match plan {
            Plan::One => {
                bootstrap.set_module(&build::module("all-in-one"));
                bootstrap.set_plugin_configuration(Some(text.as_bytes()));
            }
            Plan::Chain => bootstrap.set_chain(
                &PARTS.map(|(filter, field)| (field, build::module(filter))),
                &Scenario { config: Some(text.into_bytes()), ..Scenario::default() },
            ),
        }
        bootstrap.pass_trailers();
        for name in ["v1", "v2"] {
            bootstrap.set_cluster(name, Some(shop.address()));
        }
        // No request must be refused because there are many of them.
        let most =
            json!({"max_connections": 100_000, "max_pending_requests": 100_000, "max_requests": 100_000});
        for cluster in bootstrap.0["static_resources"]["clusters"].as_array_mut().into_iter().flatten() {
            cluster["circuit_breakers"] = json!({"thresholds": [most]});
        }
        let route = |prefix: &str, is_b: bool, timeout: &str| {
            let mut matches = json!({"prefix": prefix});
            if is_b {
                matches["headers"] = json!([{"name": "x-arm", "string_match": {"exact": "b"}}]);
            }
            let cluster = if is_b { "v2" } else { "v1" };
            json!({"match": matches, "route": {"cluster": cluster, "timeout": timeout}})
        };
        bootstrap.set_route_list(&json!([
            route("/impatient", true, "0.3s"),
            route("/impatient", false, "0.3s"),
            route("/", true, "15s"),
            route("/", false, "15s")
        ]));
        let log =
            project::scratch("faults")?.join(format!("{}-{}.log", std::process::id(), shop.address().port()));
        fs::write(&log, "")?;
        let manager = &mut bootstrap.0["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]
            ["typed_config"];
        manager["request_headers_timeout"] = json!("2s");
        manager["stream_idle_timeout"] = json!("4s");
        // A connection that Envoy ends lasts so long for its client.
        manager["delayed_close_timeout"] = json!("0.1s");
        manager["access_log"] = json!([{"name": "file", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
            "path": log,
            "log_format": {"text_format_source": {"inline_string": FORMAT}}
        }}]);
        change(&mut bootstrap);
        let envoy = Envoy::start(program, &bootstrap.0, &["--concurrency", "2"])?;
        let listener = envoy.listener("main")?;
        let mut site = Self { envoy, shop, listener, log, begun: Begun::default() };
        site.begin()?;
        Ok(site)
    }

    /// Where requests are sent to.
    pub fn listener(&self) -> SocketAddr {
        self.listener
    }

    /// Opens the books: what was counted until now counts no more.
    ///
    /// # Errors
    /// Envoy does not say what it has counted.
    pub fn begin(&mut self) -> Result<()> {
        self.shop.take();
        self.begun =
            Begun { lines: self.lines()?.len(), envoy: self.counters()?.0, plugins: self.plugins()? };
        Ok(())
    }

    /// Closes the books of what was sent since they were opened, when Envoy is at rest, and opens new ones.
    ///
    /// # Errors
    /// Envoy has ended, or a module has failed.
    pub fn close(&mut self, tried: Tried) -> Result<Books> {
        let expected = tried.sent.iter().filter(|sent| sent.rule.filters != Filters::Perhaps).count();
        let deadline = Instant::now() + PATIENCE;
        let (lines, counters, active) = loop {
            let lines = self.lines()?.len().saturating_sub(self.begun.lines);
            let (counters, active) = self.counters()?;
            let all = steps(&self.begun.envoy, &counters).get("downstream_rq_total").copied().unwrap_or(0);
            let is_written = lines >= expected && i64::try_from(lines)? >= all;
            if (active == 0 && is_written) || Instant::now() > deadline {
                break (self.lines()?, counters, active);
            }
            thread::sleep(Duration::from_millis(30));
        };
        let books = Books {
            sent: tried.sent,
            also: tried.also,
            lines: lines
                .get(self.begun.lines..)
                .unwrap_or_default()
                .iter()
                .map(|line| Line::parse(line))
                .collect::<Result<_>>()?,
            taken: self.shop.take(),
            envoy: steps(&self.begun.envoy, &counters),
            plugins: steps(&self.begun.plugins, &self.plugins()?),
            active,
        };
        self.is_well()?;
        self.begin()?;
        Ok(books)
    }

    /// Whether Envoy lives and no module has failed.
    ///
    /// # Errors
    /// It does not, or one has.
    pub fn is_well(&self) -> Result<()> {
        let state =
            fs::read_to_string(format!("/proc/{}/stat", self.envoy.pid())).context("Envoy has ended")?;
        ensure!(!state.contains(") Z"), "Envoy has ended:\n{}", self.envoy.log_text());
        let all: Value =
            serde_json::from_slice(&http::get(self.envoy.admin(), "/stats?format=json&filter=^wasm\\.")?)?;
        for stat in all["stats"].as_array().into_iter().flatten() {
            let (name, value) =
                (stat["name"].as_str().unwrap_or_default(), stat["value"].as_u64().unwrap_or(0));
            ensure!(value == 0 || !(name.contains("fail") || name.contains("reload")), "{name} is {value}");
        }
        let bad: Vec<String> = self
            .envoy
            .log_since(0)
            .into_iter()
            .filter(|line| matches!(line.level.as_str(), "error" | "critical"))
            .map(|line| format!("{} {} {}", line.level, line.logger, line.text))
            .collect();
        ensure!(
            bad.is_empty(),
            "Envoy's log has {} errors: {}",
            bad.len(),
            bad.first().map_or("", String::as_str)
        );
        Ok(())
    }

    /// The lines of the access log.
    fn lines(&self) -> Result<Vec<String>> {
        let text = fs::read(&self.log)?;
        let text = String::from_utf8_lossy(&text);
        // The last one may be on its way.
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        Ok(whole.lines().map(str::to_owned).collect())
    }

    /// Envoy's counters of requests, and how many of these are under way.
    fn counters(&self) -> Result<(BTreeMap<String, i64>, i64)> {
        let filter = "/stats?format=json&filter=^(http\\.main|cluster\\.v.)\\.(down|up)stream_(rq|cx)_";
        let all: Value = serde_json::from_slice(&http::get(self.envoy.admin(), filter)?)?;
        let (mut counters, mut active) = (BTreeMap::new(), 0);
        for stat in all["stats"].as_array().into_iter().flatten() {
            let (Some(name), Some(value)) = (stat["name"].as_str(), stat["value"].as_i64()) else { continue };
            let Some((of, name)) = name.split_once("stream_") else { continue };
            let name = match of {
                "http.main.down" => format!("downstream_{name}"),
                _ => format!("cluster.upstream_{name}"),
            };
            if name.ends_with("rq_active") {
                active += value;
            } else if !name.contains("_cx_") || name.ends_with("cx_total") {
                *counters.entry(name).or_default() += value;
            }
        }
        Ok((counters, active))
    }

    /// The modules' counters: by name, and by name and each label.
    ///
    /// # Errors
    /// Envoy does not say.
    pub fn plugins(&self) -> Result<BTreeMap<String, i64>> {
        let mut sums = BTreeMap::new();
        for (stat, value) in self.envoy.plugin_stats()? {
            let series = series::parse(&stat);
            for (label, text) in &series.labels {
                *sums.entry(format!("{} {label}={text}", series.name)).or_default() += value;
            }
            *sums.entry(series.name).or_default() += value;
        }
        Ok(sums)
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.log);
    }
}

//! An arm that fails, under live traffic of a real Envoy with four workers: closed once and for all of them, over a push of the configuration; and an arm
//! that loses its hosts, and has them again.

use super::Count;
use crate::{
    bootstrap::Bootstrap,
    build,
    envoy::Envoy,
    parallel, progress, project, setup,
    upstream::{Answer, Upstream, plain},
    visitor::Visitor,
};
use anyhow::{Context as _, Result, ensure};
use harness::{scenario::Response, series};
use serde_json::{Value, json};
use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

const WORKERS: &str = "4";
/// How many users ask at once.
const AT_ONCE: usize = 8;
const USERS: usize = 400;
/// How long something is waited for.
const PATIENCE: Duration = Duration::from_secs(20);
/// What the filter says when it closes an arm.
const CLOSED: &str = "the guardrail closed arm b of checkout: control";
/// The plugin, in the bootstrap and in its file.
const PLUGIN: &str = "outrigger.ab_routing";

/// Envoy with a plugin whose configuration comes from a file, as Istio's comes from its control plane.
struct Site {
    envoy: Envoy,
    listener: SocketAddr,
    shops: [Upstream; 2],
    plugin: PathBuf,
    filter: Value,
}

/// Runs both.
///
/// # Errors
/// What is seen is not what the filter's README promises.
pub fn run() -> Result<Count> {
    build::modules()?;
    let program = setup::envoy(None)?;
    let work = progress::begin("an arm that fails");
    closes(&Site::start(&program, "guardrail", &json!({"guardrail": {"errors": {"margin": 500}}}))?)?;
    drop(work);
    let work = progress::begin("an arm that is slow");
    let latency = json!({"guardrail": {"latency": {"over_ms": 150, "margin": 500}}});
    closes_what_is_slow(&Site::start(&program, "slow", &latency)?)?;
    drop(work);
    let work = progress::begin("an arm without a host");
    falls_back(&Site::start(&program, "fallback", &json!({"health": {"fallback_seconds": 1}}))?)?;
    drop(work);
    Ok(Count { passed: 3, ..Count::default() })
}

/// An arm fails from one request on.
fn closes(site: &Site) -> Result<()> {
    let well = site.ask_all()?;
    ensure!(well.iter().all(|status| *status == 200), "before anything fails: {well:?}");
    ensure!(site.sum("ab_arm_closed", "b")? == 0, "the arm is closed before it fails");
    site.shops[1].set_answer(plain(500, Vec::new()));
    let failed = site.ask_all()?.into_iter().filter(|status| *status == 500).count();
    ensure!((8..USERS / 4).contains(&failed), "{failed} requests failed before the arm was closed");
    site.wait("the arm is closed", || Ok(site.sum("ab_arm_closed", "b")? == 1))?;
    // Each worker hears of it within a second.
    thread::sleep(Duration::from_millis(1500));
    site.all_are_well("after the arm is closed")?;
    let lines = |text: &str| site.envoy.log_text().matches(text).count();
    ensure!(lines(CLOSED) == 1, "the log says {} times that the arm is closed", lines(CLOSED));
    alerts_find(&site.envoy)?;
    let before = site.sum("ab_responses_total", "b")?;
    site.push(|config| config["experiments"][0]["coverage"] = json!(9_999))?;
    site.all_are_well("after a push")?;
    ensure!(site.sum("ab_responses_total", "b")? == before, "arm b had requests after it was closed");
    ensure!(lines(CLOSED) == 1, "a push closed the arm again");
    ensure!(lines("all arms are open") == 1, "a push opened the arms");
    Ok(())
}

/// An arm answers well, and late.
fn closes_what_is_slow(site: &Site) -> Result<()> {
    site.all_are_well("before anything is slow")?;
    ensure!(site.sum("ab_arm_closed", "b")? == 0, "the arm is closed before it is slow");
    site.shops[1].set_answer(Answer::from(&Response { after_ms: 300, ..Response::default() }));
    site.all_are_well("while arm b is slow")?;
    site.wait("the slow arm is closed", || Ok(site.sum("ab_arm_closed", "b")? == 1))?;
    Ok(())
}

/// The alerts of dashboards/guardrail.yaml are rules, and of series that there are.
fn alerts_find(envoy: &Envoy) -> Result<()> {
    let path = project::root().join("dashboards/guardrail.yaml");
    let rules: Value = serde_saphyr::from_str(&fs::read_to_string(&path)?)?;
    let page = String::from_utf8_lossy(&crate::http::get(envoy.admin(), "/stats/prometheus")?).into_owned();
    let mut names = 0;
    for rule in rules["groups"][0]["rules"].as_array().into_iter().flatten() {
        let words = rule["expr"].as_str().unwrap_or_default();
        for name in words
            .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
            .filter(|word| word.starts_with("ab_"))
        {
            ensure!(
                page.contains(&format!("\n{name}{{")),
                "Envoy has no series of {name}, of which an alert is"
            );
            names += 1;
        }
    }
    ensure!(names >= 3, "{} names {names} series", path.display());
    match setup::system("promtool", "prometheus") {
        Ok(promtool) => {
            let output = std::process::Command::new(promtool).args(["check", "rules"]).arg(&path).output()?;
            ensure!(output.status.success(), "promtool: {}", String::from_utf8_lossy(&output.stderr));
        }
        Err(_) => {
            println!("SKIPPED: promtool did not read {}: install the package prometheus", path.display());
        }
    }
    Ok(())
}

/// An arm's only host is unhealthy, and then healthy.
fn falls_back(site: &Site) -> Result<()> {
    ensure!(site.ask_all()?.iter().all(|status| *status == 200), "not all is well at first");
    let shop = &site.shops[1];
    shop.set_answer(plain(503, Vec::new()));
    site.wait("users go to control", || {
        site.ask_all()?;
        Ok(site.sum("ab_fallbacks_total", "b")? > 0)
    })?;
    let lost = site.ask_all()?.into_iter().filter(|status| *status == 503).count();
    ensure!(lost <= AT_ONCE * 8, "{lost} of {USERS} requests were lost while the arm had no host");
    ensure!(site.envoy.log_text().contains("has no healthy host: control"), "the log does not say so");
    let own = shop.count();
    shop.set_answer(plain(200, Vec::new()));
    site.wait("the arm is used again", || {
        let before = site.sum("ab_exposures_total", "b")?;
        site.ask_all()?;
        Ok(site.sum("ab_exposures_total", "b")? - before > i64::try_from(USERS / 3)?)
    })?;
    ensure!(shop.count() > own, "the shop of the arm had no requests");
    Ok(())
}

impl Site {
    fn start(program: &Path, name: &str, more: &Value) -> Result<Self> {
        let shops = [Upstream::start("v1", 0)?, Upstream::start("v2", 0)?];
        let mut config = json!({"experiments": [{
            "name": "checkout",
            "key": [{"header": "x-user"}],
            "arms": [{"name": "control", "weight": 5000}, {"name": "b", "weight": 5000}]
        }]});
        for (field, value) in more.as_object().into_iter().flatten() {
            config["experiments"][0][field] = value.clone();
        }
        let mut bootstrap = Bootstrap::load("ab-routing")?;
        bootstrap.with_free_ports();
        bootstrap.set_module(&build::module("ab-routing"));
        bootstrap.set_plugin_configuration(Some(config.to_string().as_bytes()));
        for (name, shop) in ["v1", "v2"].iter().zip(&shops) {
            bootstrap.set_cluster(name, Some(shop.address()));
        }
        let clusters = bootstrap.0["static_resources"]["clusters"].as_array_mut();
        for cluster in clusters.into_iter().flatten().filter(|cluster| cluster["name"] == "v2") {
            if more.get("health").is_some() {
                cluster["health_checks"] = json!([{
                    "timeout": "1s", "interval": "0.1s", "no_traffic_interval": "0.1s", "unhealthy_interval": "0.1s",
                    "unhealthy_threshold": 1, "healthy_threshold": 1, "http_health_check": {"path": "/"}
                }]);
                cluster["common_lb_config"] = json!({"healthy_panic_threshold": {"value": 0}});
            }
        }
        let plugin = project::scratch(name)?.join("plugin.json");
        let manager = &mut bootstrap.0["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]
            ["typed_config"];
        let filters = manager["http_filters"].as_array_mut().context("the bootstrap has no filters")?;
        let place = filters.iter().position(|filter| filter["name"] == PLUGIN).context("no plugin")?;
        let filter = filters[place]["typed_config"].take();
        filters[place] = json!({"name": PLUGIN, "config_discovery": {
            "config_source": {"path_config_source": {"path": plugin}, "resource_api_version": "V3"},
            "type_urls": [filter["@type"]]
        }});
        // What comes from elsewhere than the bootstrap is asked for by a node with a name.
        bootstrap.0["node"] = json!({"id": name, "cluster": "outrigger"});
        write(&plugin, &filter, 1)?;
        let envoy = Envoy::start(program, &bootstrap.0, &["--concurrency", WORKERS])?;
        let listener = envoy.listener("main")?;
        Ok(Self { envoy, listener, shops, plugin, filter })
    }

    /// One request of each user, each on a connection of its own: the statuses.
    fn ask_all(&self) -> Result<Vec<u16>> {
        let users: Vec<usize> = (0..USERS).collect();
        let statuses = parallel::map(&users, AT_ONCE, |user| {
            let user = format!("user-{user}");
            let answer = Visitor::default().ask(self.listener, "shop.example", "/", &[("x-user", &user)])?;
            Ok(answer.status().unwrap_or_default())
        });
        statuses.into_iter().collect()
    }

    fn all_are_well(&self, when: &str) -> Result<()> {
        let lost = self.ask_all()?.into_iter().filter(|status| *status != 200).count();
        ensure!(lost == 0, "{lost} of {USERS} requests failed {when}");
        Ok(())
    }

    /// Pushes another configuration, and waits until Envoy has it.
    fn push(&self, change: impl Fn(&mut Value)) -> Result<()> {
        let mut filter = self.filter.clone();
        let text = &mut filter["config"]["configuration"]["value"];
        let mut config: Value =
            serde_json::from_str(text.as_str().context("the plugin has no configuration")?)?;
        change(&mut config);
        *text = json!(config.to_string());
        let pushed = || -> Result<i64> {
            let stats = crate::http::get(self.envoy.admin(), "/stats?format=json&filter=config_reload$")?;
            let stats: Value = serde_json::from_slice(&stats)?;
            let all = stats["stats"].as_array().into_iter().flatten();
            Ok(all.filter_map(|stat| stat["value"].as_i64()).sum())
        };
        let before = pushed()?;
        write(&self.plugin, &filter, 2)?;
        self.wait("the push is there", || Ok(pushed()? > before))
    }

    fn wait(&self, what: &str, is_so: impl Fn() -> Result<bool>) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !is_so()? {
            ensure!(
                Instant::now() < deadline,
                "waited for {} s: {what}\n{}",
                PATIENCE.as_secs(),
                self.envoy.log_text()
            );
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// The sum of a metric's series of an arm; of a gauge its value.
    fn sum(&self, name: &str, arm: &str) -> Result<i64> {
        let stats = self.envoy.plugin_stats()?;
        let of = |stat: &str| {
            let series = series::parse(stat);
            series.name == name && series.labels.get("arm").is_some_and(|other| other == arm)
        };
        Ok(stats.iter().filter(|(stat, _)| of(stat)).map(|(_, value)| *value).sum())
    }
}

/// Writes the plugin's file at once, as Envoy wants it: it watches for a move.
fn write(path: &Path, filter: &Value, version: u32) -> Result<()> {
    let response = json!({"version_info": version.to_string(), "resources": [{
        "@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
        "name": PLUGIN,
        "typed_config": filter
    }]});
    let new = path.with_extension("new");
    fs::write(&new, serde_json::to_vec(&response)?)?;
    fs::rename(&new, path).with_context(|| format!("cannot write {}", path.display()))
}

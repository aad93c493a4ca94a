//! Envoy with one experiment, between two shops.

use crate::{
    bootstrap::Bootstrap, e2e::discovery::Discovery, envoy::Envoy, parallel, project, setup,
    upstream::Upstream, visitor::Visitor,
};
use anyhow::{Context as _, Result, ensure};
use harness::series;
use serde_json::{Value, json};
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

const WORKERS: &str = "4";
/// How many users ask at once.
pub const AT_ONCE: usize = 8;
pub const USERS: usize = 400;
/// How long something is waited for.
const PATIENCE: Duration = Duration::from_secs(20);
/// Envoy with a plugin whose configuration comes from a file, as Istio's comes from its control plane.
pub struct Site {
    pub envoy: Envoy,
    pub shops: [Upstream; 2],
    program: PathBuf,
    bootstrap: Value,
    listener: SocketAddr,
    plugin: Discovery,
}

impl Site {
    /// Starts it: an experiment of two arms, and `more` of its fields.
    ///
    /// # Errors
    /// Envoy does not start.
    pub fn start(name: &str, module: &Path, more: &Value) -> Result<Self> {
        let program = setup::envoy(None)?;
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
        bootstrap.set_module(module);
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
        let folder = project::scratch(name)?;
        let plugin = Discovery::take_out(&mut bootstrap, "outrigger.ab_routing", &folder)?;
        let bootstrap = bootstrap.0;
        let envoy = Envoy::start(&program, &bootstrap, &["--concurrency", WORKERS])?;
        let listener = envoy.listener("main")?;
        Ok(Self { envoy, shops, program, bootstrap, listener, plugin })
    }

    /// Ends Envoy and starts another.
    ///
    /// # Errors
    /// It does not start.
    pub fn restart(&mut self) -> Result<()> {
        self.envoy = Envoy::start(&self.program, &self.bootstrap, &["--concurrency", WORKERS])?;
        self.listener = self.envoy.listener("main")?;
        Ok(())
    }

    /// One request of each user, each on a connection of its own: the statuses.
    ///
    /// # Errors
    /// One is not answered.
    pub fn ask_all(&self) -> Result<Vec<u16>> {
        self.ask(USERS, &[])
    }

    /// One request of so many users, each on a connection of its own, with these headers: the statuses.
    ///
    /// # Errors
    /// One is not answered.
    pub fn ask(&self, users: usize, headers: &[(&str, &str)]) -> Result<Vec<u16>> {
        let users: Vec<usize> = (0..users).collect();
        let statuses = parallel::map(&users, AT_ONCE, |user| {
            let user = format!("user-{user}");
            let headers = [&[("x-user", user.as_str())], headers].concat();
            let answer = Visitor::default().ask(self.listener, "shop.example", "/", &headers)?;
            Ok(answer.status().unwrap_or_default())
        });
        statuses.into_iter().collect()
    }

    /// Asks for all users, of whom each must be answered well.
    ///
    /// # Errors
    /// One is not.
    pub fn all_are_well(&self, when: &str) -> Result<()> {
        let lost = self.ask_all()?.into_iter().filter(|status| *status != 200).count();
        ensure!(lost == 0, "{lost} of {USERS} requests failed {when}");
        Ok(())
    }

    /// Pushes another configuration, and waits until Envoy has it.
    ///
    /// # Errors
    /// Envoy has it not in time.
    pub fn push(&self, change: impl Fn(&mut Value)) -> Result<()> {
        let text = &self.plugin.filter()["config"]["configuration"]["value"];
        let mut config: Value =
            serde_json::from_str(text.as_str().context("the plugin has no configuration")?)?;
        change(&mut config);
        let before = self.stat("config_reload$")?;
        self.plugin.write(&self.plugin.with(&config.to_string()))?;
        self.wait("the push is there", || Ok(self.stat("config_reload$")? > before))
    }

    /// The sum of Envoy's own stats whose name has this.
    ///
    /// # Errors
    /// Envoy does not answer.
    pub fn stat(&self, name: &str) -> Result<i64> {
        let stats = crate::http::get(self.envoy.admin(), &format!("/stats?format=json&filter={name}"))?;
        let stats: Value = serde_json::from_slice(&stats)?;
        let all = stats["stats"].as_array().into_iter().flatten();
        Ok(all.filter_map(|stat| stat["value"].as_i64()).sum())
    }

    /// Waits until something is so.
    ///
    /// # Errors
    /// It takes too long.
    pub fn wait(&self, what: &str, is_so: impl Fn() -> Result<bool>) -> Result<()> {
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
    ///
    /// # Errors
    /// Envoy does not answer.
    pub fn sum(&self, name: &str, arm: &str) -> Result<i64> {
        let stats = self.envoy.plugin_stats()?;
        let of = |stat: &str| {
            let series = series::parse(stat);
            series.name == name && series.labels.get("arm").is_some_and(|other| other == arm)
        };
        Ok(stats.iter().filter(|(stat, _)| of(stat)).map(|(_, value)| *value).sum())
    }
}

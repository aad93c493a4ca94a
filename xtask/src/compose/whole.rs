//! docker-compose.yml as it stands: all services that there are images for, with nobody but its own visitors, on the ports that the file names; on
//! others where another program has one of these.

use super::{docker::Daemon, images};
use crate::{
    bootstrap::Bootstrap,
    command,
    e2e::{
        Count,
        metrics::{prometheus, text::Exposition, until},
    },
    http, progress, project,
};
use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs,
    net::{SocketAddr, TcpListener},
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

/// The ports that the services listen on, by the variables of the file.
const PORTS: [(&str, u16); 8] = [
    ("ENVOY_PORT", 10_000),
    ("ENVOY_ADMIN_PORT", 9901),
    ("V1_PORT", 8081),
    ("V2_PORT", 8082),
    ("V1_CONTROL_PORT", 8091),
    ("V2_CONTROL_PORT", 8092),
    ("TRAFFIC_PORT", 8093),
    ("PROMETHEUS_PORT", 9090),
];
const GRAFANA_PORT: u16 = 3000;
/// How long services may take to be healthy.
const PATIENCE: Duration = Duration::from_mins(3);
/// How many visits are waited for.
const VISITS: u64 = 300;
/// What visitors send, and no log may have: an address of mail, a card, a telephone number.
const PERSONAL: [&str; 4] = ["joe%40example.com", "joe@example.com", "4111-1111-1111-1111", "1234567"];

/// The services of the file, and what runs them.
struct Whole<'a> {
    daemon: &'a Daemon,
    program: &'a Path,
    services: Vec<String>,
    /// The variables that differ from the file's defaults.
    variables: BTreeMap<&'static str, String>,
}

type Check = fn(&Whole<'_>) -> Result<()>;

/// Runs the file, and looks at what it must do.
///
/// # Errors
/// A port is taken, a service does not become healthy, or something does not come out as it must.
pub fn run(daemon: &Daemon, program: &Path) -> Result<Count> {
    images::shop(daemon)?;
    let mut count = Count::default();
    let mut services: Vec<String> = ["envoy", "v1", "v2", "traffic"].map(str::to_owned).into();
    if images::prometheus(daemon).is_ok() {
        services.push("prometheus".to_owned());
    }
    for (variable, image) in images::pinned()? {
        if ["GRAFANA_IMAGE", "COLLECTOR_IMAGE"].contains(&variable.as_str()) {
            if daemon.has(&image) || daemon.pull(&image) {
                services.push(variable.trim_end_matches("_IMAGE").to_lowercase());
            } else {
                println!("skipped docker-compose.yml: {image} cannot be pulled: only its files were checked");
                count.skipped += 1;
            }
        }
    }
    let whole = Whole { daemon, program, services, variables: variables()? };
    let work = progress::begin("docker-compose up");
    command::run(whole.command(&["up", "--detach"]).args(&whole.services))?;
    let checks: [(&str, Check); 5] = [
        ("all services are healthy", |whole| whole.healthy()),
        ("no service is root, writes, or is without limits", |whole| whole.confined()),
        ("visitors are answered, and every filter did its work", |whole| whole.served()),
        ("no log has personal data", |whole| whole.clean()),
        ("Prometheus has the rules, and the dashboard's queries have data", |whole| whole.observed()),
    ];
    for (what, check) in checks {
        work.now(what);
        match check(&whole) {
            Ok(()) => count.passed += 1,
            Err(error) => {
                progress::failed(&format!("docker-compose.yml: {what}"), &format!("{error:#}"));
                count.failed += 1;
            }
        }
    }
    Ok(count)
}

/// The variables for what is run: none but the images, where all ports are free. Otherwise other ports, and the files that name them.
fn variables() -> Result<BTreeMap<&'static str, String>> {
    let images = [images::ENVOY, images::SHOP, images::PROMETHEUS];
    let mut variables: BTreeMap<_, _> =
        images.into_iter().map(|(variable, image)| (variable, image.to_owned())).collect();
    let is_free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    if PORTS.iter().all(|(_, port)| is_free(*port)) {
        return Ok(variables);
    }
    let other: [SocketAddr; PORTS.len()] = super::free_addresses()?;
    println!("docker-compose.yml: another program has one of its ports, so it runs on others");
    let [listener, admin, v1, v2, ..] = other;
    let mut bootstrap = Bootstrap::load("all")?;
    bootstrap.set_ports(listener, admin);
    bootstrap.set_cluster("v1", Some(v1));
    bootstrap.set_cluster("v2", Some(v2));
    let folder = project::scratch("compose-whole")?;
    let mut file = |variable, name: &str, text: Vec<u8>| -> Result<()> {
        let path = folder.join(name);
        fs::write(&path, text)?;
        variables.insert(variable, path.display().to_string());
        Ok(())
    };
    file("ENVOY_CONFIG", "envoy.json", serde_json::to_vec_pretty(&bootstrap.0)?)?;
    let prometheus = fs::read_to_string(project::root().join("observability/prometheus.yaml"))?;
    let patched = prometheus.replace("127.0.0.1:9901", &admin.to_string());
    ensure!(patched != prometheus, "observability/prometheus.yaml does not ask 127.0.0.1:9901");
    file("PROMETHEUS_CONFIG", "prometheus.yaml", patched.into_bytes())?;
    for ((variable, _), address) in PORTS.iter().zip(other) {
        variables.insert(variable, address.port().to_string());
    }
    Ok(variables)
}

impl Whole<'_> {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.program);
        command.current_dir(project::root()).env("DOCKER_HOST", self.daemon.host());
        command.env("COMPOSE_PROFILES", "observability");
        command.envs(&self.variables);
        command.args(["--project-name", "outrigger-whole"]).args(arguments);
        command
    }

    /// Where something listens, by the variable of its port.
    fn address(&self, variable: &str) -> Result<SocketAddr> {
        let own = PORTS.iter().find(|(name, _)| *name == variable).map(|(_, port)| *port);
        let port = self.variables.get(variable).and_then(|port| port.parse().ok()).or(own);
        Ok(SocketAddr::from(([127, 0, 0, 1], port.context("no such port")?)))
    }

    /// What Docker knows of a service's container.
    fn inspect(&self, service: &str) -> Result<Value> {
        let id = command::run(&mut self.command(&["ps", "--quiet", service]))?;
        let found = command::run(self.daemon.command().args(["inspect", id.trim()]))?;
        Ok(serde_json::from_str::<Value>(&found)?[0].take())
    }

    fn healthy(&self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        for service in &self.services {
            loop {
                let state = self.inspect(service)?["State"].take();
                // The collector's image has nothing that could ask.
                let is_well = state["Health"]["Status"] == "healthy"
                    || state["Health"].is_null() && state["Running"] == true && service == "collector";
                if is_well {
                    break;
                }
                ensure!(Instant::now() < deadline, "{service} is not healthy: {state}");
                thread::sleep(Duration::from_millis(500));
            }
        }
        Ok(())
    }

    fn confined(&self) -> Result<()> {
        for service in &self.services {
            let found = self.inspect(service)?;
            let (host, user) = (&found["HostConfig"], found["Config"]["User"].as_str().unwrap_or_default());
            ensure!(!user.is_empty() && !user.starts_with('0'), "{service} runs as {user:?}");
            ensure!(host["ReadonlyRootfs"] == true, "{service} can write");
            ensure!(
                host["Memory"].as_u64().is_some_and(|bytes| bytes > 0),
                "{service} has no limit of memory"
            );
            ensure!(host["NanoCpus"].as_u64().is_some_and(|cpus| cpus > 0), "{service} has no limit of CPU");
            ensure!(
                host["PidsLimit"].as_u64().is_some_and(|pids| pids > 0),
                "{service} has no limit of processes"
            );
            ensure!(host["CapDrop"][0] == "ALL", "{service} keeps capabilities");
        }
        Ok(())
    }

    fn served(&self) -> Result<()> {
        let counts = until(|| {
            let counts: Value = serde_json::from_slice(&http::get(self.address("TRAFFIC_PORT")?, "/")?)?;
            Ok((counts["answered"].as_u64() >= Some(VISITS)).then_some(counts))
        })?;
        ensure!(counts["failed"] == 0, "visits failed: {counts}");
        let stats = Exposition::parse(&http::get(
            self.address("ENVOY_ADMIN_PORT")?,
            "/stats/prometheus?filter=wasmcustom",
        )?)?;
        let denied = [("policy", "ns[shop]-policy[no-admin]-rule[0]"), ("result", "denied")];
        for (name, labels) in [
            ("ab_exposures_total", &[("experiment", "checkout"), ("arm", "b")][..]),
            ("ab_exposures_total", &[("experiment", "checkout"), ("arm", "control")]),
            ("http_server_requests_total", &[("arm", "b"), ("http_response_status_class", "2xx")]),
            ("http_server_requests_total", &[("http_response_status_class", "4xx")]),
            ("checkouts_total", &[]),
            ("policy_decisions_total", &denied),
        ] {
            ensure!(stats.sum(name, labels) > 0, "Envoy counted no {name}{labels:?}");
        }
        Ok(())
    }

    fn clean(&self) -> Result<()> {
        let logs = command::run(&mut self.command(&["logs", "--no-color", "envoy"]))?;
        let lines = logs.lines().filter(|line| line.contains("\"request\":")).count();
        ensure!(lines > 100, "Envoy wrote {lines} lines of its access log");
        let redacted = logs.matches("[EMAIL]").count();
        ensure!(redacted > 0, "nothing was redacted in {lines} lines");
        for text in PERSONAL {
            ensure!(!logs.contains(text), "{text} is in Envoy's log");
        }
        Ok(())
    }

    fn observed(&self) -> Result<()> {
        if !self.services.iter().any(|service| service == "prometheus") {
            println!("skipped docker-compose.yml: there is no Prometheus");
            return Ok(());
        }
        let address = self.address("PROMETHEUS_PORT")?;
        let rules: Value = serde_json::from_slice(&http::get(address, "/api/v1/rules")?)?;
        let groups = rules["data"]["groups"].as_array().map_or(0, Vec::len);
        ensure!(groups >= 4, "Prometheus has {groups} groups of rules");
        let dashboard = fs::read(project::root().join("dashboards/dashboard.json"))?;
        let queries = prometheus::queries(&serde_json::from_slice(&dashboard)?);
        for query in &queries {
            ensure!(until(|| prometheus::ask(address, query)).is_ok(), "{query} has no data");
        }
        println!(
            "docker-compose.yml: {groups} groups of rules; the dashboard's {} queries have data",
            queries.len()
        );
        if self.services.iter().any(|service| service == "grafana") {
            http::get(
                SocketAddr::from(([127, 0, 0, 1], GRAFANA_PORT)),
                "/api/dashboards/uid/outrigger-metrics",
            )?;
        }
        Ok(())
    }
}

impl Drop for Whole<'_> {
    fn drop(&mut self) {
        let _ = command::output(&mut self.command(&["down", "--timeout", "2", "--remove-orphans"]));
    }
}

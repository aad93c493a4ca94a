//! A real Prometheus that scrapes Envoy's admin port.

use crate::{http, project, setup};
use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use std::{
    fs,
    io::Write as _,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// How long it may take to be ready.
const START: Duration = Duration::from_secs(30);

/// Prometheus, running. It ends when this is dropped.
pub struct Prometheus {
    child: Child,
    address: SocketAddr,
    folder: PathBuf,
}

impl Prometheus {
    /// Starts it on loopback, to scrape this address each second. `None`, said aloud, where there is none.
    pub fn start(envoy: SocketAddr) -> Result<Option<Self>> {
        let program = match setup::system("prometheus", "prometheus") {
            Ok(program) => program,
            Err(error) => {
                println!("SKIPPED: no query was asked of a real Prometheus: {error:#}");
                return Ok(None);
            }
        };
        let folder = project::scratch("prometheus-runs")?.join(std::process::id().to_string());
        fs::create_dir_all(&folder)?;
        let config = format!(
            "global: {{ scrape_interval: 1s }}\nscrape_configs:\n  - job_name: envoy\n    metrics_path: /stats/prometheus\n    static_configs: [{{ targets: [\"{envoy}\"] }}]\n"
        );
        fs::write(folder.join("prometheus.yml"), config)?;
        let address = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?;
        let child = Command::new(&program)
            .arg(format!("--config.file={}", folder.join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let mut prometheus = Self { child, address, folder };
        let deadline = Instant::now() + START;
        while http::get(address, "/-/ready").is_err() {
            if let Some(status) = prometheus.child.try_wait()? {
                bail!("Prometheus ended ({status})");
            }
            ensure!(Instant::now() < deadline, "Prometheus was not ready after {} s", START.as_secs());
            thread::sleep(Duration::from_millis(50));
        }
        Ok(Some(prometheus))
    }

    /// As [`ask`].
    pub fn query(&self, query: &str) -> Result<Option<String>> {
        ask(self.address, query)
    }
}

/// The first sample of a query's answer, as it is written; `None` where there is none.
pub fn ask(address: SocketAddr, query: &str) -> Result<Option<String>> {
    let escaped = query.bytes().fold(String::new(), |text, byte| text + &format!("%{byte:02x}"));
    let answer: Value =
        serde_json::from_slice(&http::get(address, &format!("/api/v1/query?query={escaped}"))?)?;
    Ok(answer["data"]["result"][0]["value"][1].as_str().map(str::to_owned))
}

/// The queries of a dashboard of Grafana, over a minute.
pub fn queries(dashboard: &Value) -> Vec<String> {
    let panels = dashboard["panels"].as_array().into_iter().flatten();
    let targets = panels.filter_map(|panel| panel["targets"].as_array()).flatten();
    targets
        .map(|target| target["expr"].as_str().unwrap_or_default().replace("$__rate_interval", "1m"))
        .collect()
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // Only the process that was started here, by its id.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Lets promtool read a page, where there is one: it must be valid, whatever it has against names.
pub fn check(text: &[u8]) -> Result<()> {
    let Ok(program) = setup::system("promtool", "prometheus") else {
        println!("SKIPPED: promtool did not read the exposition: install the package prometheus");
        return Ok(());
    };
    let mut child = Command::new(program)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    child.stdin.take().context("no stdin")?.write_all(text)?;
    let output = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    // 3 is what it has against names and missing help; 1 is a page that it cannot read.
    ensure!(matches!(output.status.code(), Some(0 | 3)), "promtool check metrics: {said}");
    Ok(())
}

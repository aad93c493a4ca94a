//! A real Envoy, started and ended by its process id.

use crate::{bootstrap::STATE_LOGGER, http, project};
use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// How long Envoy may take to be ready: a module of some megabytes takes a second to compile, on a busy machine several.
const START: Duration = Duration::from_mins(1);

/// What stands before each line of the log, and in no line: a message may have several.
pub const LINE_BEGINS: char = '\u{1e}';

/// Adds a line to the log. One that does not begin as lines do belongs to the message before it.
fn add_line(log: &mut Vec<Line>, line: &str) {
    match (line.strip_prefix(LINE_BEGINS), log.last_mut()) {
        (None, Some(last)) => last.text.extend(["\n", line]),
        (begins, _) => log.push(Line::parse(begins.unwrap_or(line))),
    }
}

/// A line of Envoy's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// `trace`, `debug`, `info`, `warning`, `error` or `critical`.
    pub level: String,
    /// The component, such as `wasm`.
    pub logger: String,
    /// The message.
    pub text: String,
}

/// Envoy, running. It ends when this is dropped.
pub struct Envoy {
    child: Child,
    admin: SocketAddr,
    log: Arc<Mutex<Vec<Line>>>,
    folder: PathBuf,
}

/// Lays a bootstrap into a folder of its own and says where.
fn prepare(bootstrap: &Value) -> Result<PathBuf> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let folder = project::scratch("envoy-runs")?.join(format!("{}-{number}", std::process::id()));
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("bootstrap.json"), serde_json::to_vec_pretty(bootstrap)?)?;
    Ok(folder)
}

/// Asks Envoy whether it would start with a bootstrap; what it logged is the error when it would not.
pub fn validate(program: &Path, bootstrap: &Value) -> Result<Result<(), String>> {
    let folder = prepare(bootstrap)?;
    let output = Command::new(program)
        .args(["--mode", "validate", "--log-level", "warning", "-c"])
        .arg(folder.join("bootstrap.json"))
        .output()
        .with_context(|| format!("cannot start {}", program.display()))?;
    fs::remove_dir_all(&folder)?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    Ok(if output.status.success() { Ok(()) } else { Err(text) })
}

impl Envoy {
    /// Starts Envoy and waits until it is ready.
    ///
    /// # Errors
    /// It does not start: what it logged is in the error.
    pub fn start(program: &Path, bootstrap: &Value, arguments: &[&str]) -> Result<Self> {
        let folder = prepare(bootstrap)?;
        let admin_file = folder.join("admin");
        let mut child = Command::new(program)
            .arg("-c")
            .arg(folder.join("bootstrap.json"))
            .arg("--admin-address-path")
            .arg(&admin_file)
            .args([
                "--use-dynamic-base-id",
                "--log-level",
                "warning",
                "--component-log-level",
                "wasm:info",
                "--log-format",
                &format!("{LINE_BEGINS}%l %n %v"),
                "--file-flush-interval-msec",
                "20",
            ])
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let log = Arc::new(Mutex::new(Vec::new()));
        if let Some(stderr) = child.stderr.take() {
            let log = Arc::clone(&log);
            thread::spawn(move || {
                for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
                    add_line(
                        &mut log.lock().unwrap_or_else(PoisonError::into_inner),
                        &String::from_utf8_lossy(&line),
                    );
                }
            });
        }
        let mut envoy = Self { child, admin: SocketAddr::from(([127, 0, 0, 1], 0)), log, folder };
        let deadline = Instant::now() + START;
        loop {
            if let Some(status) = envoy.child.try_wait()? {
                bail!("Envoy ended ({status}):\n{}", envoy.log_text());
            }
            if let Ok(text) = fs::read_to_string(&admin_file)
                && let Ok(address) = text.trim().parse()
            {
                envoy.admin = address;
                if http::get(address, "/ready").is_ok() {
                    return Ok(envoy);
                }
            }
            if Instant::now() > deadline {
                bail!("Envoy was not ready after {} s:\n{}", START.as_secs(), envoy.log_text());
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its memory, in bytes.
    pub fn resident(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        let kilobytes: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
        Ok(kilobytes << 10)
    }

    /// The admin interface's address.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// The addresses of the listeners, by name.
    pub fn listeners(&self) -> Result<BTreeMap<String, SocketAddr>> {
        let listeners: Value = serde_json::from_slice(&http::get(self.admin, "/listeners?format=json")?)?;
        let mut found = BTreeMap::new();
        for listener in listeners["listener_statuses"].as_array().into_iter().flatten() {
            let socket = &listener["local_address"]["socket_address"];
            if let (Some(name), Some(address), Some(port)) =
                (listener["name"].as_str(), socket["address"].as_str(), socket["port_value"].as_u64())
            {
                found.insert(name.to_owned(), SocketAddr::new(address.parse()?, u16::try_from(port)?));
            }
        }
        Ok(found)
    }

    /// The address of one listener.
    pub fn listener(&self, name: &str) -> Result<SocketAddr> {
        self.listeners()?.get(name).copied().with_context(|| format!("Envoy has no listener {name}"))
    }

    /// The stats of plugins, by their names without `wasmcustom.`.
    pub fn plugin_stats(&self) -> Result<BTreeMap<String, i64>> {
        plugin_stats(self.admin)
    }

    /// The lines that were logged since there were so many.
    pub fn log_since(&self, length: usize) -> Vec<Line> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).iter().skip(length).cloned().collect()
    }

    /// All that was logged, as text.
    pub fn log_text(&self) -> String {
        let lines: Vec<_> = self
            .log_since(0)
            .into_iter()
            .map(|line| format!("{} {} {}", line.level, line.logger, line.text))
            .collect();
        lines.join("\n")
    }
}

/// The stats of plugins, by their names without `wasmcustom.`: counters and gauges with their values, histograms with the count of samples.
pub fn plugin_stats(admin: SocketAddr) -> Result<BTreeMap<String, i64>> {
    let all: Value = serde_json::from_slice(&http::get(
        admin,
        "/stats?format=json&histogram_buckets=cumulative&filter=^wasmcustom",
    )?)?;
    let mut stats = BTreeMap::new();
    let mut keep = |name: &Value, value: Option<i64>| {
        if let (Some(name), Some(value)) =
            (name.as_str().and_then(|name| name.strip_prefix("wasmcustom.")), value)
        {
            stats.insert(name.to_owned(), value);
        }
    };
    for stat in all["stats"].as_array().into_iter().flatten() {
        keep(&stat["name"], stat["value"].as_u64().map(u64::cast_signed));
        for histogram in stat["histograms"].as_array().into_iter().flatten() {
            let buckets = histogram["totals"].as_array().or(histogram["buckets"].as_array());
            let count = buckets
                .and_then(|buckets| buckets.last())
                .map(|bucket| bucket["cumulative"].as_i64().or(bucket["count"].as_i64()));
            keep(&histogram["name"], count.flatten().or(Some(0)));
        }
    }
    Ok(stats)
}

/// The steps of stats between two moments, of those that have moved.
pub fn steps(before: &BTreeMap<String, i64>, after: &BTreeMap<String, i64>) -> BTreeMap<String, i64> {
    let step = |(name, value): (&String, &i64)| {
        (name.clone(), value.wrapping_sub(before.get(name).copied().unwrap_or(0)))
    };
    after.iter().map(step).filter(|(_, step)| *step != 0).collect()
}

impl Drop for Envoy {
    fn drop(&mut self) {
        // Only the process that was started here, by its id. Nobody waits for what it has still to say.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Line {
    /// Reads a line of the form `LEVEL LOGGER MESSAGE`.
    pub fn parse(line: &str) -> Self {
        let mut words = line.splitn(3, ' ').map(str::to_owned);
        let mut next = || words.next().unwrap_or_default();
        Self { level: next(), logger: next(), text: next() }
    }

    /// The VM's id and what a module logged in it, if this is a line of one.
    pub fn of_vm(&self) -> Option<(&str, &str)> {
        let text = self.text.strip_prefix("wasm log").filter(|_| self.logger == "wasm")?;
        let (prefix, text) = text.split_once(": ")?;
        Some((prefix.rsplit(' ').next().unwrap_or_default(), text))
    }

    /// A key of filter state and its value, if this is a line that [`Bootstrap::print_state`](crate::bootstrap::Bootstrap::print_state) asked for
    /// and there is a value.
    pub fn of_state(&self) -> Option<(&str, &str)> {
        if self.logger != STATE_LOGGER {
            return None;
        }
        self.text.split_once(' ').filter(|(_, value)| *value != "-")
    }

    /// What a module logged, if this is a line of one: `wasm log NAME ROOT VM: TEXT`.
    pub fn of_module(&self) -> Option<harness::outcome::LogLine> {
        let text = self.text.strip_prefix("wasm log").filter(|_| self.logger == "wasm")?;
        let (_, text) = text.split_once(": ")?;
        let level = if self.level == "warning" { "warn" } else { &self.level };
        Some(harness::outcome::LogLine { level: level.to_owned(), text: text.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::add_line;

    #[test]
    fn a_message_of_several_lines_is_one() {
        let mut log = Vec::new();
        for line in ["before all", "\u{1e}info wasm one", "two", "", "\u{1e}critical wasm three"] {
            add_line(&mut log, line);
        }
        let texts: Vec<_> = log.iter().map(|line| line.text.as_str()).collect();
        assert_eq!(texts, ["", "one\ntwo\n", "three"]);
    }
}

//! How long Envoy takes to start with a module, and what memory it then has.

use super::{peers, stats::Summary, variant};
use crate::{build, envoy::Envoy, progress, project, setup};
use anyhow::{Context as _, Result};
use comfy_table::Table;
use serde::Serialize;
use serde_json::{Value, json};
use std::{fs, process::ExitCode, time::Instant};

/// The numbers of workers that are measured.
const WORKERS: [usize; 3] = [1, 2, 4];
/// How often each Envoy is started: the medians count.
const TIMES: usize = 5;

/// What an Envoy with a module, or without one, took.
#[derive(Debug, Serialize)]
struct Row {
    module: String,
    bytes: usize,
    workers: usize,
    /// Seconds from its start until `/ready` answers 200.
    seconds: Summary,
    /// Megabytes of resident memory then.
    resident: Summary,
}

/// Starts Envoy without a module and with each filter's, configured as its `config.example.json` says.
///
/// # Errors
/// Something is missing, or an Envoy does not start.
pub fn run() -> Result<ExitCode> {
    let program = setup::envoy(None)?;
    build::modules()?;
    let mut modules = vec![("none".to_owned(), 0, Vec::new())];
    for filter in project::filters()? {
        let path = build::module(&filter);
        let example = project::root().join("filters").join(&filter).join("config.example.json");
        let text =
            fs::read_to_string(&example).with_context(|| format!("cannot read {}", example.display()))?;
        let config: Value = serde_json::from_str(&text)?;
        let size = fs::metadata(&path)?.len();
        modules.push((
            filter.clone(),
            usize::try_from(size)?,
            vec![variant::wasm(&filter, &path, Some(&config))],
        ));
    }
    let work = progress::begin_counted("starting Envoys", (modules.len() * WORKERS.len() * TIMES) as u64);
    let mut rows = Vec::new();
    for workers in WORKERS {
        let mut samples = vec![(Vec::new(), Vec::new()); modules.len()];
        // In turns, so that what else the machine does is the same for all.
        for _ in 0..TIMES {
            for ((_, _, filters), (seconds, resident)) in modules.iter().zip(&mut samples) {
                let begun = Instant::now();
                let envoy =
                    Envoy::start(&program, &bootstrap(filters), &["--concurrency", &workers.to_string()])?;
                seconds.push(begun.elapsed().as_secs_f64());
                resident.push(megabytes(envoy.pid())?);
                work.step();
            }
        }
        for ((module, bytes, _), (seconds, resident)) in modules.iter().zip(samples) {
            let (seconds, resident) = (Summary::of(seconds), Summary::of(resident));
            rows.push(Row { module: module.clone(), bytes: *bytes, workers, seconds, resident });
        }
    }
    drop(work);
    fs::write(project::scratch("bench")?.join("start.json"), serde_json::to_vec_pretty(&rows)?)?;
    println!("{}", table(&rows));
    Ok(ExitCode::SUCCESS)
}

fn table(rows: &[Row]) -> Table {
    let mut table = Table::new();
    table.set_header([
        "module",
        "bytes",
        "workers",
        "seconds to ready",
        "more than none",
        "resident MB",
        "more than none",
    ]);
    let none = |workers: usize| rows.iter().find(|row| row.module == "none" && row.workers == workers);
    for row in rows {
        let (seconds, resident) = none(row.workers).map_or((0.0, 0.0), |none| {
            (row.seconds.median - none.seconds.median, row.resident.median - none.resident.median)
        });
        table.add_row([
            row.module.clone(),
            row.bytes.to_string(),
            row.workers.to_string(),
            format!("{:.2}", row.seconds.median),
            format!("{seconds:+.2}"),
            format!("{:.1}", row.resident.median),
            format!("{resident:+.1}"),
        ]);
    }
    table
}

/// An Envoy with these filters that answers every request itself, on the listener `main`.
pub fn bootstrap(filters: &[Value]) -> Value {
    let socket = json!({"socket_address": {"address": "127.0.0.1", "port_value": 0}});
    let mut all: Vec<Value> =
        filters.iter().map(|filter| json!({"name": "filter", "typed_config": filter})).collect();
    all.push(json!({
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}
    }));
    let routes = json!([{"match": {"prefix": "/"}, "direct_response": peers::answer()}]);
    let manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "start",
        "route_config": {"virtual_hosts": [{"name": "start", "domains": ["*"], "routes": routes}]},
        "http_filters": all
    });
    let listener = json!({
        "name": "main",
        "address": socket,
        "filter_chains": [{"filters": [{"name": "manager", "typed_config": manager}]}]
    });
    json!({"admin": {"address": socket}, "static_resources": {"listeners": [listener]}})
}

/// Megabytes of resident memory of a process.
#[expect(clippy::cast_precision_loss, reason = "a process has less than 2^53 kB")]
fn megabytes(pid: u32) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().context("VmRSS is no number")?;
    Ok(kilobytes as f64 / 1024.0)
}

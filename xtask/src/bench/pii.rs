//! `cargo xtask bench pii`: what the pii engine costs beside one combined `regex_automata::meta` with the same entities' patterns, natively and
//! as wasm in V8, which is Envoy's engine too (here through Node.js), and what it adds to a module.
//!
//! A peer is a program: it reads the lines of the access log on stdin, and prints a line of JSON for each text that the example `bench` has,
//! `{"text","who","ns","bytes"}`, of the same names and bytes. Peers are measured in the same run, right after the engine.

use crate::{build, command, project};
use anyhow::{Context as _, Result, bail, ensure};
use comfy_table::Table;
use serde::{Deserialize, Serialize};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};

/// How much of the published access log is gone through.
const LOG: usize = 200_000;
/// Runs a WASI program of one file in Node.js.
const RUNNER: &str = r"
const { WASI } = require('wasi'), fs = require('fs');
const wasi = new WASI({ version: 'preview1', args: [], env: {} });
WebAssembly.compile(fs.readFileSync(process.argv[1]))
  .then((module) => WebAssembly.instantiate(module, { wasi_snapshot_preview1: wasi.wasiImport }))
  .then((instance) => wasi.start(instance));
";

/// One measurement, as the program prints it.
#[derive(Debug, Deserialize)]
struct Line {
    text: String,
    who: String,
    ns: f64,
    bytes: usize,
}

/// A text's costs.
#[derive(Debug, Serialize)]
struct Row {
    text: String,
    host: &'static str,
    bytes: usize,
    engine_ns: f64,
    /// Whose the other time is: `regex`, or a peer's name.
    other: String,
    other_ns: f64,
    /// The engine's time by the other's.
    ratio: f64,
}

#[derive(Debug, Serialize)]
struct Report {
    rows: Vec<Row>,
    /// The bytes that the engine adds to a module.
    added_bytes: u64,
}

/// Runs the measurement.
///
/// # Errors
/// The program or a peer does not build or run, or the published access log is not beside the repository.
pub fn run(peers: &[(String, PathBuf)]) -> Result<ExitCode> {
    let log = project::root().join("../shared/vectors/pii/apache_access.log");
    let log = fs::read(&log).with_context(|| format!("cannot read {}", log.display()))?;
    let input = project::scratch("bench")?.join("access.log");
    fs::write(&input, log.get(..LOG).unwrap_or(&log))?;
    command::run(&mut command::cargo(&[
        "build",
        "--quiet",
        "--locked",
        "--release",
        "--package",
        "pii",
        "--example",
        "bench",
    ]))?;
    let native = project::target()?.join("release/examples/bench");
    let mut rows = rows("native", &measure(&mut Command::new(native), &input)?)?;
    for (name, program) in peers {
        let lines = measure(&mut Command::new(program), &input)?;
        let peer = peer_rows(name, &rows, &lines)?;
        rows.extend(peer);
    }
    let module = build::example("pii", "bench")?;
    match command::on_path("node") {
        Some(node) => {
            let mut node = Command::new(node);
            node.args(["--no-warnings", "-e", RUNNER]).arg(&module);
            rows.extend(self::rows("wasm in V8", &measure(&mut node, &input)?)?);
        }
        None => println!("no wasm figures: there is no node on PATH"),
    }
    let size = |path: PathBuf| -> Result<u64> { Ok(fs::metadata(path)?.len()) };
    let added_bytes = size(build::example("pii", "size_with")?)?
        .saturating_sub(size(build::example("pii", "size_without")?)?);
    let report = Report { rows, added_bytes };
    let folder = project::scratch("bench")?;
    let path = folder.join("pii-report.json");
    fs::write(&path, serde_json::to_vec_pretty(&report)?).context("cannot write the report")?;
    let mut table = Table::new();
    table.set_header(["text", "host", "bytes", "engine, ns", "other", "other, ns", "ratio", "engine, MB/s"]);
    for row in &report.rows {
        #[expect(clippy::cast_precision_loss, reason = "thousands of bytes")]
        let speed = row.bytes as f64 * 1000.0 / row.engine_ns;
        let speed = if row.text == "start" { String::new() } else { format!("{speed:.0}") };
        table.add_row([
            row.text.clone(),
            row.host.to_owned(),
            row.bytes.to_string(),
            format!("{:.0}", row.engine_ns),
            row.other.clone(),
            format!("{:.0}", row.other_ns),
            format!("{:.2}", row.ratio),
            speed,
        ]);
    }
    println!("{}", path.display());
    println!("the engine adds {added_bytes} bytes to a module");
    println!("{table}");
    Ok(ExitCode::SUCCESS)
}

fn measure(program: &mut Command, input: &Path) -> Result<Vec<Line>> {
    program.stdin(Stdio::from(fs::File::open(input)?));
    let printed = command::run(program)?;
    printed.lines().map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
}

fn rows(host: &'static str, lines: &[Line]) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for pair in lines.chunks(2) {
        let [engine, regex] = pair else { bail!("a measurement is missing") };
        ensure!(
            engine.who == "engine" && regex.who == "regex" && engine.text == regex.text,
            "measurements are mixed up"
        );
        rows.push(Row {
            text: engine.text.clone(),
            host,
            bytes: engine.bytes,
            engine_ns: engine.ns,
            other: regex.who.clone(),
            other_ns: regex.ns,
            ratio: engine.ns / regex.ns,
        });
    }
    Ok(rows)
}

/// A peer's times beside those that the engine had on the same texts.
fn peer_rows(name: &str, engine: &[Row], lines: &[Line]) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for line in lines {
        let same = engine.iter().find(|row| row.text == line.text && row.bytes == line.bytes);
        let same = same.with_context(|| {
            format!("{name} has a text of its own: {} of {} bytes", line.text, line.bytes)
        })?;
        rows.push(Row {
            text: line.text.clone(),
            other: name.to_owned(),
            other_ns: line.ns,
            ratio: same.engine_ns / line.ns,
            ..*same
        });
    }
    Ok(rows)
}

//! What is logged of requests that carry personal data, beside what Envoy's own default format writes.

use crate::{
    bootstrap::Bootstrap,
    http::{Connection, write_head},
    progress,
};
use anyhow::{Context as _, Result, ensure};
use harness::Bytes;
use serde_json::{Value, json};
use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

/// Targets of requests, with what is personal in them.
const TARGETS: [(&str, &[&str]); 4] = [
    ("/users/joe%40example.com/orders/4711", &["joe%40example.com"]),
    ("/pay?card=4111-1111-1111-1111&amount=12", &["4111-1111-1111-1111"]),
    ("/login?user=joe&password=hunter2&ip=198.51.100.7", &["joe", "hunter2", "198.51.100.7"]),
    ("/find?q=am9lQGV4YW1wbGUuY29t&phone=%2B49+30+1234567", &["am9lQGV4YW1wbGUuY29t", "%2B49+30+1234567"]),
];
/// By what their lines are known.
const AGENT: &str = "logged-shopper/1.0";
/// How long lines are waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// The two logs.
pub struct Logs {
    /// With access-log.
    pub records: PathBuf,
    /// In Envoy's default format.
    plain: PathBuf,
}

/// A request in both logs.
#[derive(Debug)]
pub struct Line {
    plain: String,
    record: Value,
    personal: &'static [&'static str],
}

impl Logs {
    /// Lets the bootstrap's logger write into a file of this folder, and adds one of Envoy's default format, to compare with.
    pub fn add_to(bootstrap: &mut Bootstrap, folder: &Path) -> Result<Self> {
        let logs = Self { records: folder.join("records.log"), plain: folder.join("plain.log") };
        let file = |path: &Path| json!({"@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog", "path": path});
        let manager = &mut bootstrap.0["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]
            ["typed_config"];
        let loggers = manager["access_log"].as_array_mut().context("the bootstrap has no access log")?;
        let own = loggers.first_mut().context("the bootstrap has no access log")?;
        let format = own["typed_config"]["log_format"].take();
        own["typed_config"] = file(&logs.records);
        own["typed_config"]["log_format"] = format;
        loggers.push(json!({"name": "envoy.access_loggers.file", "typed_config": file(&logs.plain)}));
        for path in [&logs.records, &logs.plain] {
            fs::write(path, "")?;
        }
        Ok(logs)
    }

    /// Sends the requests and reads what was logged of them.
    pub fn collect(&self, listener: SocketAddr) -> Result<Vec<Line>> {
        for (target, _) in TARGETS {
            let mut connection = Connection::open(listener, PATIENCE)?;
            let headers = [("host", "shop.example"), ("user-agent", AGENT), ("connection", "close")];
            let headers = headers.map(|(name, value)| (Bytes::from(name), Bytes::from(value))).to_vec();
            write_head(connection.writer(), &format!("GET {target} HTTP/1.1"), &headers)?;
            connection.read_response("GET")?;
        }
        let (records, plain) = (lines(&self.records)?, lines(&self.plain)?);
        let line = |((plain, record), (_, personal)): ((String, String), _)| {
            let record: Value = serde_json::from_str(&record).with_context(|| record.clone())?;
            Ok(Line { plain, record: record["request"].clone(), personal })
        };
        plain.into_iter().zip(records).zip(TARGETS).map(line).collect()
    }
}

/// The lines of these requests, which others' come before.
fn lines(path: &Path) -> Result<Vec<String>> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let text = fs::read_to_string(path)?;
        let lines: Vec<String> =
            text.lines().filter(|line| line.contains(AGENT)).map(str::to_owned).collect();
        if lines.len() == TARGETS.len() && text.ends_with('\n') {
            return Ok(lines);
        }
        ensure!(
            Instant::now() < deadline,
            "{} has {} of {} lines",
            path.display(),
            lines.len(),
            TARGETS.len()
        );
        thread::sleep(Duration::from_millis(20));
    }
}

/// Prints both logs, with what is personal marked on a terminal.
pub fn print(lines: &[Line]) {
    println!("\nThe same requests in Envoy's default access log, and with access-log:");
    for line in lines {
        let request = line.plain.split('"').nth(1).unwrap_or(&line.plain);
        anstream::println!("  Envoy       {}", marked(request, line.personal));
        let field = |name: &str| line.record[name].as_str().unwrap_or_default();
        let query = field("query");
        let mark = if query.is_empty() { "" } else { "?" };
        let found: Vec<String> = line
            .record
            .as_object()
            .into_iter()
            .flatten()
            .filter_map(|(name, count)| Some(format!("{} {count}", name.strip_prefix("pii.")?)))
            .collect();
        println!(
            "  access-log  {} {}{mark}{query}   route {}; {}",
            field("method"),
            field("path"),
            field("route_template"),
            found.join(", ")
        );
    }
}

fn marked(text: &str, personal: &[&str]) -> String {
    personal.iter().fold(text.to_owned(), |text, value| {
        text.replace(value, &format!("{}{value}{:#}", progress::RED, progress::RED))
    })
}

/// What must be so.
///
/// # Errors
/// Something personal is in a record, or is not where Envoy's own format would have written it.
pub fn check(lines: &[Line]) -> Result<()> {
    for line in lines {
        let record = line.record.to_string();
        for personal in line.personal {
            ensure!(line.plain.contains(personal), "{personal} is not in {}", line.plain);
            ensure!(
                !record.contains(&format!("\"{personal}"))
                    && !record.contains(&format!("={personal}"))
                    && !record.contains(&format!("/{personal}")),
                "{personal} is in {record}"
            );
        }
    }
    Ok(())
}

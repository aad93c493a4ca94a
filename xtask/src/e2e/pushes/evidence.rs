//! What Envoy's own access log says of each request, and which revision decided it.

use super::{
    load::{CLIENTS, Load},
    subjects::{REVISIONS, Subject},
};
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufRead as _, BufReader},
    path::Path,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

/// How long the reader rests where there is nothing new.
const REST: Duration = Duration::from_millis(5);

/// What was read.
#[derive(Default)]
pub struct Evidence {
    /// The last revision that was written to the plugin's file.
    pub written: AtomicU64,
    /// The last revision that decided a request of each client.
    pub last: [AtomicU64; CLIENTS],
    /// How many lines there are.
    pub lines: AtomicU64,
    found: Mutex<Found>,
}

/// What the lines say.
#[derive(Debug, Default, Clone)]
pub struct Found {
    /// How many have which status.
    pub statuses: BTreeMap<u64, u64>,
    /// The arm of each user, without its revision.
    arms: BTreeMap<String, String>,
    /// What must not be, and the first of each.
    pub problems: Vec<String>,
}

/// A logger that writes a line of each request.
pub fn logger(path: &Path) -> Value {
    json!([{"name": "envoy.access_loggers.file", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
        "path": path,
        "log_format": {"json_format": {
            "client": "%REQ(X-CLIENT)%", "low": "%REQ(X-LOW)%", "path": "%REQ(:PATH)%", "code": "%RESPONSE_CODE%",
            "details": "%RESPONSE_CODE_DETAILS%",
            "one": "%REQ(X-ONE)%", "two": "%REQ(X-TWO)%", "served": "%RESP(X-SERVED)%", "version": "%RESP(X-VERSION)%",
            "log": "%FILTER_STATE(wasm.outrigger.log:PLAIN)%", "policy": "%FILTER_STATE(wasm.outrigger.policy:PLAIN)%"
        }}
    }}])
}

impl Evidence {
    /// What was found so far.
    pub fn found(&self) -> Found {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads lines as they come, until the load is over and as many have come as there were answers.
    ///
    /// # Errors
    /// The file cannot be read, or a line.
    pub fn read(
        &self,
        path: &Path,
        load: &Load,
        subject: &Subject,
        is_done: &dyn Fn() -> bool,
    ) -> Result<()> {
        let mut lines = BufReader::new(File::open(path)?);
        let mut line = String::new();
        loop {
            // A line that is not whole yet is gone on with.
            if lines.read_line(&mut line)? == 0 || !line.ends_with('\n') {
                if is_done() {
                    ensure!(line.is_empty(), "half a line: {line}");
                    return Ok(());
                }
                thread::sleep(REST);
                continue;
            }
            let problem = self.judge(&line, subject)?;
            self.lines.fetch_add(1, Ordering::Relaxed);
            if let Some(problem) = problem {
                let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
                found.problems.push(format!("{problem}: {}", line.trim()));
                // Who has ended it meanwhile is not to be told that it goes on.
                load.over.fetch_or(found.problems.len() > 20, Ordering::Relaxed);
            }
            line.clear();
        }
    }

    /// What is wrong with a line.
    fn judge(&self, line: &str, subject: &Subject) -> Result<Option<String>> {
        let fields: Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
        let number = |field: &str| {
            fields[field].as_u64().or_else(|| fields[field].as_str()?.parse().ok()).unwrap_or_default()
        };
        let code = number("code");
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        *found.statuses.entry(code).or_default() += 1;
        let path = fields["path"].as_str().unwrap_or_default();
        let marks = (subject.marks)(path);
        if marks == 0 {
            return Ok(None);
        }
        let revisions: Vec<u64> = line.split("rev").skip(1).filter_map(leading_digit).collect();
        let Some(first) = revisions.first().filter(|_| revisions.len() >= marks) else {
            return Ok(Some(format!("{} marks of a revision, and not {marks}", revisions.len())));
        };
        if revisions.iter().any(|other| other != first) {
            return Ok(Some("several revisions decided it".to_owned()));
        }
        // Revisions go round: it is the next one of this name, seen from what the worker had for sure when the request was sent.
        let low = number("low");
        let revision = low + (first + REVISIONS - low % REVISIONS) % REVISIONS;
        let written = self.written.load(Ordering::Acquire);
        if revision > written {
            return Ok(Some(format!("decided by an old revision, not by one of {low} to {written}")));
        }
        let client = fields["client"].as_str().unwrap_or_default();
        let last =
            client.parse().ok().and_then(|client: usize| self.last.get(client)).context("no client")?;
        if last.swap(revision, Ordering::AcqRel) > revision {
            return Ok(Some("the worker went back to an older revision".to_owned()));
        }
        if let Some((_, arm)) = fields["one"].as_str().and_then(|arm| arm.split_once('-')) {
            let kept = found.arms.entry(client.to_owned()).or_insert_with(|| arm.to_owned());
            if kept != arm {
                return Ok(Some(format!("the user had arm {kept}")));
            }
        }
        Ok(None)
    }
}

/// The number that a text begins with, of one digit.
fn leading_digit(text: &str) -> Option<u64> {
    text.chars().next()?.to_digit(10).map(u64::from)
}

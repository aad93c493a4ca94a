//! What policy denies and audits, and how it says so.

use super::seen;
use crate::{bootstrap::Bootstrap, envoy::Envoy, visitor::Visitor};
use anyhow::{Context as _, Result, ensure};
use comfy_table::Table;
use serde_json::{Value, json};
use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

/// The plugin.
const PLUGIN: &str = "outrigger.policy";
/// By what the requests' lines are known.
const AGENT: &str = "judged-shopper/1.0";
/// How long lines are waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// What is asked for, the answer's status, and what the record must say.
const REQUESTS: [(&str, u16, &str); 3] = [
    ("/admin/users", 403, "\"reason\":\"ADMIN_FROM_OUTSIDE\""),
    ("/exports/orders", 200, "\"audit\":[\"ns[shop]-policy[exports]-rule[0]\"]"),
    ("/products", 200, "-"),
];

/// Where Envoy writes policy's records.
pub struct Records(PathBuf);

/// A request, and what was said of it.
#[derive(Debug)]
pub struct Decision {
    path: &'static str,
    status: u16,
    reason: String,
    /// Response-code details and the record in filter state.
    line: String,
}

/// What came of all of them.
#[derive(Debug)]
pub struct Decisions {
    all: Vec<Decision>,
    /// How many exposures ab-routing counted meanwhile.
    exposures: i64,
    /// How often each result was counted.
    counted: [i64; 2],
    /// What the candidate would change: the result, what decides on either side, how many requests, and the path of an example.
    changes: Vec<([String; 3], i64, String)>,
}

impl Records {
    /// Adds an AUDIT policy to the bootstrap's, and a logger of the records.
    pub fn add_to(bootstrap: &mut Bootstrap, folder: &Path) -> Result<Self> {
        let path = folder.join("policy.log");
        fs::write(&path, "")?;
        let manager = &mut bootstrap.0["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]
            ["typed_config"];
        let loggers = manager["access_log"].as_array_mut().context("the bootstrap has no access log")?;
        let format =
            "%REQ(user-agent)% %RESPONSE_CODE_DETAILS% %FILTER_STATE(wasm.outrigger.policy:PLAIN)%\n";
        loggers.push(json!({"name": "envoy.access_loggers.file", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
            "path": path,
            "log_format": {"text_format_source": {"inline_string": format}}
        }}));
        let plugin = bootstrap.plugin(PLUGIN).context("the bootstrap has no policy")?;
        let text = plugin["configuration"]["value"].as_str().context("policy has no configuration")?;
        let mut config: Value = serde_json::from_str(text)?;
        let policies = config["policies"].as_array_mut().context("policy has no policies")?;
        policies.push(json!({
            "metadata": {"name": "exports", "namespace": "shop"},
            "spec": {"action": "AUDIT", "rules": [{"to": [{"operation": {"paths": ["/exports/*"]}}]}]}
        }));
        // What somebody thinks of: nothing is denied any more but the products.
        config["candidate"] = json!({"policies": [{
            "metadata": {"name": "no-products", "namespace": "shop"},
            "spec": {"action": "DENY", "rules": [{"to": [{"operation": {"paths": ["/products"]}}]}]}
        }]});
        plugin["configuration"]["value"] = json!(config.to_string());
        Ok(Self(path))
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Sends the requests, and reads what was said of them.
    pub fn collect(&self, envoy: &Envoy, listener: SocketAddr) -> Result<Decisions> {
        let exposures = || -> Result<i64> {
            Ok(seen::counters(envoy, "ab_exposures_total", ["experiment", "arm"])?.into_values().sum())
        };
        let before = exposures()?;
        let mut answers = Vec::new();
        for (path, ..) in REQUESTS {
            answers.push(Visitor::default().ask(listener, "shop.example", path, &[("user-agent", AGENT)])?);
        }
        let all = REQUESTS.into_iter().zip(answers).zip(self.lines()?).map(|(((path, ..), answer), line)| {
            let reason = answer.header("x-policy-reason").unwrap_or_default();
            let reason = String::from_utf8_lossy(reason).into_owned();
            Decision { path, status: answer.status().unwrap_or_default(), reason, line }
        });
        let results = seen::counters(envoy, "policy_decisions_total", ["policy", "result"])?;
        let of = |result: &str| {
            results.iter().filter(|([_, other], _)| other == result).map(|(_, count)| count).sum()
        };
        let counted = ["denied", "audited"].map(of);
        let all = all.collect();
        Ok(Decisions { all, exposures: exposures()? - before, counted, changes: changes(envoy)? })
    }

    /// The lines of the requests, which others' come before.
    fn lines(&self) -> Result<Vec<String>> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let text = fs::read_to_string(&self.0)?;
            let own = text.lines().filter_map(|line| line.strip_prefix(AGENT)?.strip_prefix(' '));
            let lines: Vec<String> = own.map(str::to_owned).collect();
            if lines.len() == REQUESTS.len() && text.ends_with('\n') {
                return Ok(lines);
            }
            let (count, all) = (lines.len(), REQUESTS.len());
            ensure!(Instant::now() < deadline, "{} has {count} of {all} lines", self.0.display());
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// What the candidate would change.
fn changes(envoy: &Envoy) -> Result<Vec<([String; 3], i64, String)>> {
    let text = envoy.log_text();
    let objects = text.lines().filter_map(|line| serde_json::from_str(line.get(line.find('{')?..)?).ok());
    let examples: Vec<Value> = objects.filter(|line: &Value| line["policy_candidate"].is_object()).collect();
    let counted = seen::counters(envoy, "policy_candidate_total", ["result", "live", "candidate"])?;
    let example = |labels: &[String; 3]| {
        let is_of = |line: &&Value| {
            ["result", "live", "candidate"]
                .iter()
                .zip(labels)
                .all(|(name, label)| line["policy_candidate"][name] == *label)
        };
        examples.iter().find(is_of).and_then(|line| line["path"].as_str()).unwrap_or_default().to_owned()
    };
    Ok(counted
        .into_iter()
        .map(|(labels, count)| {
            let path = example(&labels);
            (labels, count, path)
        })
        .collect())
}

impl Decisions {
    /// Prints them.
    pub fn print(&self) {
        println!("\nPolicy, before ab-routing in the chain, and its record in Envoy's access log:");
        let mut table = Table::new();
        table.set_header(["request", "answer", "x-policy-reason", "details, and the record"]);
        for Decision { path, status, reason, line } in &self.all {
            table.add_row([(*path).to_owned(), status.to_string(), reason.clone(), line.replace(' ', "\n")]);
        }
        println!("{table}");
        let ([denied, audited], exposures) = (self.counted, self.exposures);
        println!(
            "counted: {denied} denied, {audited} audited; exposures meanwhile: {exposures}, for what was denied has none"
        );
        println!("\nWhat a candidate set would change, that denies /products and nothing else:");
        let mut table = Table::new();
        table.set_header(["result", "live", "candidate", "requests", "example"]);
        for ([result, live, candidate], count, example) in &self.changes {
            table.add_row([result, live, candidate, &count.to_string(), example]);
        }
        println!("{table}");
    }

    /// What must be so.
    ///
    /// # Errors
    /// A request was decided otherwise, not told of, or counted by ab-routing though it was denied.
    pub fn check(&self) -> Result<()> {
        let mut allowed = 0;
        for (decision, (path, status, record)) in self.all.iter().zip(REQUESTS) {
            let Decision { line, reason, .. } = decision;
            ensure!(decision.status == status, "{path} was answered {}", decision.status);
            ensure!(line.contains(record), "the record of {path} is {line}");
            ensure!(reason.is_empty() == (status == 200), "the reason of {path} is {reason:?}");
            allowed += i64::from(status == 200);
        }
        ensure!(self.counted == [1, 1], "{:?} denied and audited", self.counted);
        let of = |result: &str, path: &str| {
            let is_it = |change: &&([String; 3], i64, String)| change.0[0] == result && change.2 == path;
            self.changes.iter().filter(is_it).map(|(_, count, _)| count).sum::<i64>()
        };
        let changes = [of("would_allow", "/admin/users"), of("would_deny", "/products")];
        ensure!(
            changes == [1, 1] && self.changes.len() == 2,
            "the candidate would change {:?}",
            self.changes
        );
        ensure!(self.exposures == allowed, "{} exposures of {allowed} requests", self.exposures);
        Ok(())
    }
}

//! `outrigger explain`: one request, the decision, and why.

use super::{
    change::plain,
    decision::{Clause, Decision},
    request,
    session::{Common, Session},
};
use comfy_table::Table;
use serde_json::{Value, json};
use std::{
    fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Says what a filter decides about one request, and why.
///
///   outrigger explain --filter ab-routing --config ab.json --request request.json
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    #[command(flatten)]
    common: Common,
    /// The configuration: JSON or YAML, bare or in a manifest or bootstrap.
    #[arg(long)]
    config: Option<PathBuf>,
    /// The request: a file with an object of JSON, or - for stdin.
    #[arg(long)]
    request: PathBuf,
    /// Print the decision as one line of JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// A file or the module cannot be read, or the configuration is refused: exit code 2.
pub fn run(args: &Args) -> Result<ExitCode, String> {
    let module = args.common.module().map_err(|error| error.to_string())?;
    let mut session = args.common.start(&module, args.config.as_deref())?;
    let recorded = one(&args.request)?;
    let mut decision = session.decide(&recorded);
    add(&mut session, &recorded, &mut decision)?;
    if args.json {
        anstream::println!("{}", serde_json::to_string(&decision).map_err(|error| error.to_string())?);
    } else {
        show(&decision);
    }
    Ok(ExitCode::SUCCESS)
}

/// Adds the clauses to a decision.
///
/// # Errors
/// This tool and the module are of two versions.
pub fn add(
    session: &mut Session,
    recorded: &request::Recorded,
    decision: &mut Decision,
) -> Result<(), String> {
    let said = session.why(recorded, decision)?;
    let is_said = said.is_some();
    decision.explain = said.unwrap_or_default();
    decision.explain.extend(clauses(decision, is_said));
    Ok(())
}

/// The one request of a file, which may be written over several lines.
///
/// # Errors
/// The file cannot be read, or holds no request.
pub fn one(path: &Path) -> Result<request::Recorded, String> {
    let name = path.display();
    let text =
        if path == Path::new("-") { io::read_to_string(io::stdin()) } else { fs::read_to_string(path) };
    let text = text.map_err(|error| format!("{name}: {error}"))?;
    let value: Value = serde_json::from_str(&text).map_err(|error| format!("{name}: {error}"))?;
    let (mut found, mut refused) = (None, None);
    let take = |recorded| {
        found = Some(recorded);
        Ok::<_, io::Error>(())
    };
    request::lines(value.to_string().as_bytes(), take, |_, error| refused = Some(error))
        .map_err(|error| format!("{name}: {error}"))?;
    found.ok_or_else(|| format!("{name}: {}", refused.unwrap_or_else(|| "holds no request".to_owned())))
}

/// Why, by what the filter counted; `is_said`, where policies and experiments are explained already.
fn clauses(decision: &Decision, is_said: bool) -> Vec<Clause> {
    let mut clauses = Vec::new();
    for metric in &decision.metrics {
        let label = |name: &str| metric.labels.get(name).cloned().unwrap_or_default();
        let (path, result, reason) = match metric.name.as_str() {
            "ab_exposures_total" if !is_said => (
                format!("experiments.{}", label("experiment")),
                true,
                format!("the request is in arm {}", label("arm")),
            ),
            "ab_not_bucketed_total" if !is_said => (
                format!("experiments.{}", label("experiment")),
                false,
                format!("not in the experiment: {}", label("reason")),
            ),
            "ab_uncounted_total" => (
                format!("experiments.{}", label("experiment")),
                true,
                format!("the arm is no exposure: {}", label("reason")),
            ),
            "ab_overrides_total" => (
                "overrides".to_owned(),
                label("result") == "honoured",
                format!("the arm that was asked for: {}", label("result")),
            ),
            "pii_found_total" => (
                format!("pii.{}", label("entity")),
                true,
                format!("{} found in the {} of route {}", metric.value, label("part"), label("route")),
            ),
            "access_log_sampled_out_total" => {
                ("sampling".to_owned(), false, "the exchange is not logged".to_owned())
            }
            _ => continue,
        };
        clauses.push(Clause { path, result: json!(result), reason });
    }
    if is_said {
        return clauses;
    }
    if let Some(policy) = &decision.policy {
        let verdict = decision.verdict.unwrap_or("decides");
        clauses.push(Clause {
            path: policy.clone(),
            result: json!(true),
            reason: format!("the rule matches: {verdict}"),
        });
    }
    for (experiment, arm) in &decision.arms {
        let path = format!("experiments.{experiment}");
        if arm.is_none() && !clauses.iter().any(|clause| clause.path == path) {
            let reason = "the request is not one of those that the experiment is for".to_owned();
            clauses.push(Clause { path, result: json!(false), reason });
        }
    }
    clauses
}

fn show(decision: &Decision) {
    let mut table = Table::new();
    table.set_header(["request", &plain(&decision.id)]);
    let mut row = |what: &str, value: String| {
        if !value.is_empty() {
            table.add_row([what.to_owned(), value]);
        }
    };
    let status = decision.status.map_or_else(|| "no answer".to_owned(), |status| status.to_string());
    row("decision", format!("{} {status}", decision.verdict.unwrap_or(decision.action)));
    row("policy", decision.policy.clone().unwrap_or_default());
    row("reply", decision.reply_body.clone());
    for (experiment, arm) in &decision.arms {
        row(&format!("arm of {experiment}"), arm.clone().unwrap_or_else(|| "none".to_owned()));
    }
    for (side, changes) in [("request", &decision.request_headers), ("response", &decision.response_headers)]
    {
        let set = changes.set.iter().map(|(name, value)| format!("{name}: {value}"));
        let removed = changes.removed.iter().map(|name| format!("(without {name})"));
        row(&format!("{side} headers"), set.chain(removed).collect::<Vec<_>>().join("\n"));
    }
    if let Value::Object(record) = &decision.log {
        let lines = record.iter().map(|(name, value)| format!("{name}: {}", plain(value)));
        row("log", lines.collect::<Vec<_>>().join("\n"));
    }
    for clause in &decision.explain {
        row(&clause.path, format!("{}: {}", clause.result, clause.reason));
    }
    anstream::println!("{table}");
}

//! The attempts in the harness: `outrigger replay` gets what Envoy handed to the module, and must decide as the module did there.

use super::{
    Attempt, arms,
    corpus::{Corpus, Decision},
    signed::SECRET,
    site::{Judge, Seen, caller},
    values,
};
use crate::{command, project};
use anyhow::{Context as _, Result, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use harness::{Bytes, outcome::is_added_by_proxy, scenario::Headers};
use serde_json::{Value, json};
use std::{collections::BTreeMap, fs, process::Command};

/// An attempt, what became of it, and its line.
type Line<'c> = (&'c Attempt<'c>, &'c Seen, Value);

/// Replays those that can be, and says of which group each was, and what is wrong.
///
/// # Errors
/// `outrigger` does not run.
pub fn check(
    tool: &std::path::Path,
    corpus: &Corpus,
    carried: &[(&Attempt<'_>, Seen)],
) -> Result<Vec<(String, Option<String>)>> {
    let folder = project::scratch("bypass")?;
    let mut places: BTreeMap<(&str, Judge), Vec<Line<'_>>> = BTreeMap::new();
    for (attempt, seen) in carried {
        // A trace is a line of the log in the harness, and its time another.
        let is_told = matches!(attempt.right, Decision::Status(_) | Decision::Arm(_));
        if attempt.judge != Judge::Rbac
            && is_told
            && let Some(line) = line(attempt, seen)
        {
            places.entry((attempt.set, attempt.judge)).or_default().push((attempt, seen, line));
        }
    }
    let mut found = Vec::new();
    for ((set, judge), lines) in places {
        let write = |name: &str, text: String| -> Result<String> {
            let path = folder.join(name);
            fs::write(&path, text)?;
            Ok(path.display().to_string())
        };
        let config = write("config.json", judge.config(&corpus.filter, &corpus.sets[set]).to_string())?;
        let all: Vec<String> = lines.iter().map(|(.., line)| line.to_string()).collect();
        let requests = write("requests.jsonl", all.join("\n"))?;
        let environment = format!("{}={}", SECRET.0, SECRET.1);
        let output = command::output(
            Command::new(tool)
                .args(["replay", "--filter", &corpus.filter, "--env", &environment, "--config", &config])
                .arg(&requests)
                .current_dir(project::root()),
        )?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let decisions: Vec<Value> = said
            .lines()
            .map(serde_json::from_str)
            .collect::<Result<_, _>>()
            .with_context(|| format!("{set}: {}", String::from_utf8_lossy(&output.stderr)))?;
        ensure!(
            decisions.len() == lines.len(),
            "{set}: {} of {} decisions: {}",
            decisions.len(),
            lines.len(),
            String::from_utf8_lossy(&output.stderr)
        );
        for ((attempt, seen, _), decision) in lines.iter().zip(decisions) {
            found.push((attempt.group.to_owned(), wrong(attempt, seen, &decision)));
        }
    }
    Ok(found)
}

fn wrong(attempt: &Attempt<'_>, seen: &Seen, decision: &Value) -> Option<String> {
    let status = decision["status"].as_u64().unwrap_or_default();
    if status != u64::from(seen.status) {
        return Some(format!("{attempt}: {status}, and {} on Envoy", seen.status));
    }
    let Decision::Arm(_) = attempt.right else { return None };
    let set = decision["request_headers"]["set"].as_array().into_iter().flatten();
    let told: Vec<&str> = set.filter(|pair| pair[0] == "x-arm").filter_map(|pair| pair[1].as_str()).collect();
    let on_envoy = seen.after.as_ref().map(arms).unwrap_or_default();
    // What is as it came is no change.
    let came = seen.before.as_ref().map(arms).unwrap_or_default();
    let is_gone = decision["request_headers"]["removed"]
        .as_array()
        .is_some_and(|removed| removed.iter().any(|name| name == "x-arm"));
    let harness = if told.is_empty() && !is_gone { came } else { told.join(",") };
    (harness != on_envoy).then(|| format!("{attempt}: arm {harness:?}, and {on_envoy:?} on Envoy"))
}

/// A request as it is recorded; none of one that has not reached the filter, is no text where the form has text alone, or depends on the time: replay has
/// one of its own.
fn line(attempt: &Attempt<'_>, seen: &Seen) -> Option<Value> {
    let before = seen.before.as_ref()?;
    if values(before, "x-force-arm").iter().any(|value| value.0.contains(&b'@')) {
        return None;
    }
    let text = |bytes: &Bytes| String::from_utf8(bytes.0.clone()).ok();
    let one = |name: &str| match values(before, name).as_slice() {
        [value] => text(value),
        _ => None,
    };
    let list: Headers = before
        .iter()
        .filter(|(name, _)| {
            !name.0.starts_with(b":") && (!is_added_by_proxy(&name.0) || name.0 == b"x-forwarded-for")
        })
        .cloned()
        .collect();
    let list: Option<Vec<Value>> = list
        .iter()
        .map(|(name, value)| {
            let value = match text(value) {
                Some(value) => json!(value),
                None => json!({"base64": STANDARD.encode(&value.0)}),
            };
            Some(json!([text(name)?, value]))
        })
        .collect();
    let caller = caller(attempt.row).ok()?;
    let mut line = json!({
        "method": one(":method")?, "path": one(":path")?, "authority": one(":authority")?, "headers": list?,
        "source": {"ip": caller.peer.to_string()},
        "destination": {"ip": caller.destination.ip().to_string(), "port": caller.destination.port()}
    });
    if let Some(remote) = seen.remote {
        line["remote_ip"] = json!(remote.to_string());
    }
    if let Some(uri) = &attempt.row.certificate {
        line["source"]["principal"] = json!(uri);
    }
    if let Some(claims) = &attempt.row.claims {
        line["claims"] = claims.clone();
    }
    Some(line)
}

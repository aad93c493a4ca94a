//! What the tool says of two sets of policies over recorded requests is what the module does with each by itself.

use super::{output, text};
use crate::e2e::rbac::recorded::{Recorded, recorded};
use anyhow::{Result, ensure};
use serde_json::{Value, json};
use std::{collections::BTreeMap, fs, path::Path};

/// How many pairs of sets, and how many requests each.
const SETS: u64 = 3;
const REQUESTS: usize = 1500;

/// What decides on both sides, and what comes of it.
type Way = (String, String, String);

/// Compares.
///
/// # Errors
/// A group, a count or the least set of rules is not what the module does.
pub fn check(tool: &Path, folder: &Path) -> Result<()> {
    let (mut differing, mut spared) = (0, 0);
    for seed in 0..SETS {
        let Recorded { sets: [live, candidate], requests } = recorded(seed + 11, REQUESTS);
        let file = |name: &str, config: &Value| -> Result<String> {
            let path = folder.join(format!("policies-{name}.json"));
            fs::write(&path, config.to_string())?;
            Ok(text(&path))
        };
        let all = folder.join("policies.jsonl");
        fs::write(&all, requests.iter().map(Value::to_string).collect::<Vec<_>>().join("\n"))?;
        let all = text(&all);
        let [first, second] = [file("live", &live)?, file("candidate", &candidate)?];
        let lines = |arguments: &[&str]| -> Result<Vec<Value>> {
            let said = output(tool, &[&["replay", "--filter", "policy"], arguments].concat())?;
            ensure!(said.stderr.is_empty(), "{}", String::from_utf8_lossy(&said.stderr));
            Ok(String::from_utf8(said.stdout)?.lines().map(serde_json::from_str).collect::<Result<_, _>>()?)
        };
        // The module itself names the rule that allows, where it is asked to.
        let by_itself = |name: &str, config: &Value| -> Result<Vec<Value>> {
            let mut config = config.clone();
            config["record_allowed"] = json!(true);
            lines(&["--config", &file(name, &config)?, &all])
        };
        let mut expected: BTreeMap<Way, u64> = BTreeMap::new();
        for (one, other) in by_itself("told", &live)?.iter().zip(&by_itself("told", &candidate)?) {
            if one["verdict"] != other["verdict"] {
                let result = if one["verdict"] == "allow" { "would_deny" } else { "would_allow" };
                *expected.entry((result.to_owned(), decider(one), decider(other))).or_default() += 1;
            }
        }
        let said = lines(&["--config", &first, "--against", &second, "--json", &all])?;
        let groups: BTreeMap<Way, u64> = said.iter().filter_map(group).collect();
        ensure!(groups == expected, "set {seed}: replay says {groups:#?}, the module does {expected:#?}");
        differing += groups.values().sum::<u64>();
        // With the rules alone that it says are enough, everything is decided as before.
        for (config, name) in [(&live, &first), (&candidate, &second)] {
            let usage = said.iter().find(|line| line["config"] == **name);
            let Some(usage) = usage else { anyhow::bail!("nothing is said of {name}") };
            let (less, count) = reduced(config, usage);
            spared += count;
            let again = lines(&["--config", name, "--against", &file("less", &less)?, "--json", &all])?;
            let first = again.iter().find_map(group);
            ensure!(
                first.is_none(),
                "set {seed}: without {count} rules something is decided otherwise: {first:?}"
            );
        }
    }
    ensure!(
        differing > 100 && spared > 10,
        "too little to compare: {differing} differ, {spared} rules spared"
    );
    println!(
        "policies: {SETS} pairs of sets, {REQUESTS} requests each: {differing} decided otherwise, in the groups that the module gives; without {spared} rules nothing changes"
    );
    Ok(())
}

/// What has decided, as the module's own record says it.
fn decider(decision: &Value) -> String {
    match (decision["policy"].as_str(), decision["verdict"].as_str()) {
        (Some(rule), _) => rule.to_owned(),
        (None, Some("deny")) => "no_allow_policy_matched".to_owned(),
        _ => "none".to_owned(),
    }
}

fn group(line: &Value) -> Option<(Way, u64)> {
    let field = |name: &str| line[name].as_str().map(str::to_owned);
    Some(((field("result")?, field("live")?, field("candidate")?), line["requests"].as_u64()?))
}

/// A set with those rules alone that are enough, and how many are gone.
fn reduced(config: &Value, usage: &Value) -> (Value, usize) {
    let named = |list: &Value, id: &str| list.as_array().into_iter().flatten().any(|rule| rule == id);
    let mut less = config.clone();
    let mut gone = 0;
    for policy in less["policies"].as_array_mut().into_iter().flatten() {
        let [namespace, name] =
            ["namespace", "name"].map(|field| policy["metadata"][field].as_str().unwrap_or_default());
        let is_dry = !policy["metadata"]["annotations"]["istio.io/dry-run"].is_null();
        let is_allow = policy["spec"]["action"].as_str().unwrap_or("ALLOW") == "ALLOW" && !is_dry;
        let prefix = format!("ns[{namespace}]-policy[{name}]-rule");
        let mut number = 0;
        if let Some(rules) = policy["spec"]["rules"].as_array_mut() {
            let before = rules.len();
            rules.retain(|_| {
                let id = format!("{prefix}[{number}]");
                number += 1;
                if is_allow {
                    named(&usage["least_allow"]["rules"], &id)
                } else {
                    !named(&usage["unused"], &id)
                }
            });
            gone += before - rules.len();
        }
    }
    (less, gone)
}

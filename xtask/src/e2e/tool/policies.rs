//! What the tool says of two sets of policies over recorded requests is what the module does with each by itself.

use super::{output, text};
use crate::e2e::rbac::recorded::{Recorded, recorded};
use anyhow::{Result, ensure};
use serde_json::{Value, json};
use std::{collections::BTreeMap, fs, path::Path};

/// How many pairs of sets, and how many requests each.
const SETS: u64 = 3;
const REQUESTS: usize = 1500;
/// How many requests candidates are tried on, in as many pairs of sets.
const TRIED: [usize; 8] = [2500; 8];

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
        let lines = |arguments: &[&str]| replay(tool, arguments);
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

/// What a candidate beside the live set counts in the module is what `replay --against` says of the same requests, rule by rule.
///
/// # Errors
/// A count differs.
pub fn check_candidate(tool: &Path, folder: &Path) -> Result<()> {
    let (mut differing, mut groups) = (0, 0);
    for (seed, count) in (11..).zip(TRIED) {
        let said = tried(tool, folder, seed, count)?;
        differing += said.values().sum::<u64>();
        groups += said.len();
    }
    ensure!(differing > 1000 && groups > 10, "too little to compare: {differing} in {groups} groups");
    let all: usize = TRIED.iter().sum();
    println!(
        "candidates: {all} requests, {differing} decided otherwise in {groups} groups, counted as replay says"
    );
    Ok(())
}

/// What replay says of a pair of sets, and a module with the second as its candidate has counted.
fn tried(tool: &Path, folder: &Path, seed: u64, count: usize) -> Result<BTreeMap<Way, u64>> {
    let Recorded { sets: [live, candidate], requests } = recorded(seed, count);
    let file = |name: &str, content: String| -> Result<String> {
        let path = folder.join(name);
        fs::write(&path, content)?;
        Ok(text(&path))
    };
    let all = file("tried.jsonl", requests.iter().map(Value::to_string).collect::<Vec<_>>().join("\n"))?;
    let [first, second] =
        [file("tried-live.json", live.to_string())?, file("tried-next.json", candidate.to_string())?];
    let mut both = live;
    both["candidate"] = candidate;
    // No pair of rules goes into the overflow.
    both["metrics"] = json!({"budget": 10_000});
    let both = file("tried-both.json", both.to_string())?;
    let lines = |arguments: &[&str]| replay(tool, arguments);
    let said: BTreeMap<Way, u64> = lines(&["--config", &first, "--against", &second, "--json", &all])?
        .iter()
        .filter_map(group)
        .collect();
    let mut counted: BTreeMap<Way, u64> = BTreeMap::new();
    for decision in lines(&["--config", &both, &all])? {
        for metric in decision["metrics"].as_array().into_iter().flatten() {
            if metric["name"] == "policy_candidate_total" {
                let label = |name: &str| metric["labels"][name].as_str().unwrap_or_default().to_owned();
                let way = (label("result"), label("live"), label("candidate"));
                *counted.entry(way).or_default() += metric["value"].as_u64().unwrap_or(0);
            }
        }
    }
    ensure!(counted == said, "sets {seed}: the candidate counts {counted:#?}, replay says {said:#?}");
    Ok(said)
}

/// The lines that replay prints of policies.
fn replay(tool: &Path, arguments: &[&str]) -> Result<Vec<Value>> {
    let said = output(tool, &[&["replay", "--filter", "policy"], arguments].concat())?;
    ensure!(said.stderr.is_empty(), "{}", String::from_utf8_lossy(&said.stderr));
    Ok(String::from_utf8(said.stdout)?.lines().map(serde_json::from_str).collect::<Result<_, _>>()?)
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

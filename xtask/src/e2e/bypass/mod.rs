//! `cargo xtask e2e --bypass`: attempts to get past a policy or to pick an arm, each with the right decision, on a real Envoy and in the harness.
//!
//! The decisions come from the rules: Istio's and Envoy's documents for Istio's mode, the filters' README for the rest. In Istio's mode Envoy's own RBAC
//! must decide so too.

mod corpus;
mod replay;
mod signed;
mod site;
mod timing;
mod two;

use super::Count;
use crate::{build, parallel, progress, project, setup};
use anyhow::{Result, ensure};
use comfy_table::Table;
use corpus::{Corpus, Decision, Row};
use harness::scenario::Headers;
use site::{Judge, Seen, Site};
use std::{
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

/// How many attempts are made at once.
const AT_ONCE: usize = 6;
/// How long is waited between two requests for an explanation: a VM looks at ten signatures in a second, and they go to two by turns.
const BETWEEN: Duration = Duration::from_millis(60);
/// The fewest attempts that there must be.
const LEAST: usize = 500;

/// One attempt at one thing, before one judge.
struct Attempt<'c> {
    group: &'c str,
    set: &'c str,
    judge: Judge,
    row: &'c Row,
    right: &'c Decision,
}

/// What was counted of a group.
#[derive(Debug, Default, Clone, Copy)]
struct Tally {
    attempts: usize,
    decisions: usize,
    by_envoy: usize,
    denied: usize,
    through: usize,
    in_harness: usize,
    wrong: usize,
}

/// Makes all attempts.
///
/// # Errors
/// Something that the run needs is missing, or there are too few attempts.
pub fn run() -> Result<Count> {
    let program = setup::envoy(None)?;
    build::modules()?;
    let tool = build::outrigger()?;
    let mut table = Table::new();
    table.set_header([
        "group",
        "attempts",
        "decisions",
        "refused by Envoy",
        "denied",
        "through",
        "in the harness",
        "wrong",
    ]);
    let (mut count, mut all) = (Count::default(), Tally::default());
    for (filter, file) in files()? {
        let work = progress::begin(&file.display().to_string());
        for (group, tally) in one(&program, &tool, &filter, &file)? {
            table.add_row([
                group,
                tally.attempts.to_string(),
                tally.decisions.to_string(),
                tally.by_envoy.to_string(),
                tally.denied.to_string(),
                tally.through.to_string(),
                tally.in_harness.to_string(),
                tally.wrong.to_string(),
            ]);
            all.attempts += tally.attempts;
            all.decisions += tally.decisions;
            all.in_harness += tally.in_harness;
            count.passed += (tally.decisions + tally.in_harness).saturating_sub(tally.wrong);
            count.failed += tally.wrong;
        }
        drop(work);
    }
    println!("{table}");
    count.passed += timing::check(&tool)?;
    println!(
        "bypass: {} attempts, {} decisions on Envoy, {} of them again in the harness",
        all.attempts, all.decisions, all.in_harness
    );
    ensure!(all.attempts >= LEAST, "there are only {} attempts", all.attempts);
    Ok(count)
}

/// The files of all filters.
fn files() -> Result<Vec<(String, PathBuf)>> {
    let mut files = Vec::new();
    for filter in project::filters()? {
        let folder = project::root().join("filters").join(&filter).join("bypass");
        if folder.is_dir() {
            for name in project::toml(&folder)? {
                files.push((filter.clone(), folder.join(format!("{name}.toml"))));
            }
        }
    }
    Ok(files)
}

fn one(program: &Path, tool: &Path, filter: &str, file: &Path) -> Result<Vec<(String, Tally)>> {
    let site = Site::start(program, &Corpus::load(filter, file)?)?;
    // Read again: what is signed with a time counts from now.
    let corpus = Corpus::load(filter, file)?;
    let mut attempts = Vec::new();
    for group in &corpus.groups {
        for row in &group.rows {
            for (set, [istio, strict]) in &row.decisions {
                for judge in Judge::all(filter, &corpus.sets[set]) {
                    let right = if judge == Judge::Strict { strict } else { istio };
                    attempts.push(Attempt { group: &group.name, set, judge, row, right });
                }
            }
        }
    }
    let (paced, rest): (Vec<_>, Vec<_>) =
        attempts.into_iter().partition(|attempt| matches!(attempt.right, Decision::Explained(_)));
    let ask = |attempt: &Attempt<'_>| site.ask(attempt.set, attempt.judge, attempt.row);
    // Signatures are looked at ten times a second, and no more: what came too fast would be refused for that alone.
    let mut seen = parallel::map(&paced, 1, |attempt| {
        thread::sleep(BETWEEN);
        ask(attempt)
    });
    seen.extend(parallel::map(&rest, AT_ONCE, ask));
    let attempts: Vec<Attempt<'_>> = paced.into_iter().chain(rest).collect();
    let mut tallies: Vec<(String, Tally)> = corpus
        .groups
        .iter()
        .map(|group| {
            let name = format!("{}: {}", corpus.name, group.name);
            (name, Tally { attempts: group.rows.len(), ..Tally::default() })
        })
        .collect();
    let mut carried = Vec::new();
    for (attempt, seen) in attempts.iter().zip(seen) {
        let place = corpus.groups.iter().position(|group| group.name == attempt.group).unwrap_or_default();
        let tally = &mut tallies[place].1;
        tally.decisions += 1;
        let wrong = match seen {
            Err(error) => Some(format!("{error:#}")),
            Ok(seen) => {
                match (&seen.before, seen.status) {
                    (None, _) => tally.by_envoy += 1,
                    (_, 200) => tally.through += 1,
                    _ => tally.denied += 1,
                }
                let wrong = attempt.wrong(&corpus.sets[attempt.set].never, &seen);
                carried.push((attempt, seen));
                wrong
            }
        };
        if let Some(wrong) = wrong {
            tally.wrong += 1;
            progress::failed(&attempt.to_string(), &wrong);
        }
    }
    for (group, wrong) in replay::check(tool, &corpus, &carried)? {
        let place = corpus.groups.iter().position(|other| other.name == group).unwrap_or_default();
        let tally = &mut tallies[place].1;
        tally.in_harness += 1;
        if let Some(wrong) = wrong {
            tally.wrong += 1;
            progress::failed("in the harness", &wrong);
        }
    }
    Ok(tallies)
}

/// The values of a header.
fn values<'h>(headers: &'h Headers, name: &str) -> Vec<&'h harness::Bytes> {
    headers.iter().filter(|(other, _)| other.0 == name.as_bytes()).map(|(_, value)| value).collect()
}

/// The arms that an upstream is told.
fn arms(headers: &Headers) -> String {
    values(headers, "x-arm").iter().map(|value| value.lossy()).collect::<Vec<_>>().join(",")
}

impl Attempt<'_> {
    /// What is wrong with what became of it, if anything.
    fn wrong(&self, never: &[String], seen: &Seen) -> Option<String> {
        let is_right = match self.right {
            Decision::Status(status) => seen.status == *status,
            Decision::Closed => seen.status == 0,
            Decision::Arm(arm) => seen.status == 200 && seen.after.as_ref().map(arms).as_ref() == Some(arm),
            Decision::Explained(explained) => seen.status != 0 && seen.explained == *explained,
        };
        if !is_right {
            let arms = seen.after.as_ref().map(arms);
            let target = seen.before.as_ref().map(|before| values(before, ":path"));
            return Some(format!(
                "must be {:?}, is {} (explained {}, arms {arms:?}, path at the filter {target:?})",
                self.right, seen.status, seen.explained
            ));
        }
        let after = seen.after.as_ref()?;
        if let Some(name) = never.iter().find(|name| !values(after, name).is_empty()) {
            return Some(format!("{name} gets to the upstream"));
        }
        if self.judge == Judge::Rbac {
            return None;
        }
        self.row.upstream.iter().find_map(|(name, expected)| {
            let got = values(after, name);
            (!expected.holds(&got)).then(|| format!("{name} at the upstream must be {expected}, is {got:?}"))
        })
    }
}

impl std::fmt::Display for Attempt<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}, {} ({}): ", self.group, self.set, self.judge.name())?;
        match &self.row.send {
            corpus::Send::One(bytes, _) => {
                write!(f, "{}", bytes.get(..400).unwrap_or(bytes).escape_ascii())?;
            }
            corpus::Send::Two(fields) => write!(f, "{fields:?}")?,
        }
        write!(f, " ({})", self.row.why)
    }
}

//! What modules may call (`capability_restriction_config` in envoy-configs/): nothing that they do not need, and all that they do. Every scenario
//! runs with the lists; here each capability is taken away in turn, and something must come out otherwise: a scenario, or an attempt of more than one
//! worker, of pushes, or of a trap.

mod attempts;

use super::{Count, HarnessReport, PARTS, Plan, Suite, Verdict, judge, on_harness_with};
use crate::{bootstrap::Bootstrap, build, parallel, progress, project, setup};
use anyhow::{Context as _, Result, ensure};
use harness::scenario::Scenario;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

/// How many Envoys run at once. They wait more than they work.
const AT_ONCE: usize = 4;

/// How many scenarios are tried of those that call what is taken away, and then of those that come out otherwise on the harness.
const FIRST: usize = 2;
const TRIES: usize = 4;

/// What is on the list for the sake of a refused call alone, which Envoy logs each time as an error: without it everything comes out as with it.
const LOGGED_ALONE: [(&str, &str, &str); 1] = [(
    "metrics",
    "random_get",
    "the seed of the hashes of label sets: without it they are the same in every proxy, and a client could make two sets that are one",
)];

/// How a capability is missed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Missed {
    /// A scenario comes out otherwise.
    Scenario(String),
    /// An attempt does.
    Attempt(String),
    /// Everything comes out as with it, but for Envoy's line that a call was refused.
    Logged(&'static str),
}

/// A scenario, what came of it on the harness, and the place of its suite.
type Candidate<'s> = (usize, &'s Scenario, &'s HarnessReport);

/// Takes each capability of each filter away whose name has this text.
///
/// # Errors
/// Something that the run needs is missing. A list that is too long or too short is counted as failed.
pub fn run(only: &str) -> Result<Count> {
    build::modules()?;
    let program = setup::envoy(None)?;
    let mut count = Count::default();
    same_everywhere()?;
    for filter in project::filters()?.into_iter().filter(|filter| filter.contains(only)) {
        let work = progress::begin(&format!("capabilities of {filter}"));
        let (missed, problems) = try_filter(&filter, &program)?;
        drop(work);
        let of = |is_it: fn(&Missed) -> bool| missed.values().filter(|missed| is_it(missed)).count();
        println!(
            "{filter}: {} capabilities; {} are missed by a scenario, {} by an attempt, {} in Envoy's log alone",
            missed.len() + problems.len(),
            of(|missed| matches!(missed, Missed::Scenario(_))),
            of(|missed| matches!(missed, Missed::Attempt(_))),
            of(|missed| matches!(missed, Missed::Logged(_))),
        );
        for (name, missed) in &missed {
            match missed {
                Missed::Scenario(_) => {}
                Missed::Attempt(what) => println!("  {name}: {what}"),
                Missed::Logged(why) => println!("  {name}, in the log: {why}"),
            }
        }
        for problem in &problems {
            progress::failed(&filter, problem);
        }
        if problems.is_empty() { count.passed += 1 } else { count.failed += 1 }
    }
    Ok(count)
}

/// Each bootstrap has the list that the filter's own has.
fn same_everywhere() -> Result<()> {
    for name in project::bootstraps()? {
        for (filter, list) in Bootstrap::load(&name)?.capabilities() {
            let own = of(&filter)?;
            ensure!(
                list == own,
                "envoy-configs/{name}.yaml has another list for {filter} than envoy-configs/{filter}.yaml"
            );
        }
    }
    Ok(())
}

/// The list of a filter.
fn of(filter: &str) -> Result<BTreeSet<String>> {
    let lists: BTreeMap<_, _> = Bootstrap::load(filter)?.capabilities();
    lists.get(filter).cloned().with_context(|| format!("envoy-configs/{filter}.yaml restricts nothing"))
}

/// A filter's scenarios; all-in-one has those of its parts too.
fn suites(filter: &str) -> Vec<Suite> {
    let suite = |of: &str, plan: Plan| Suite {
        name: filter.to_owned(),
        plan,
        folder: project::root().join("filters").join(of).join("scenarios"),
        bootstrap: of.to_owned(),
        without: None,
    };
    let mut suites = vec![suite(filter, Plan::One(build::module(filter)))];
    if filter == "all-in-one" {
        suites.extend(PARTS.map(|(part, field)| suite(part, Plan::Inside(build::module(filter), field))));
    }
    suites
}

/// How each capability of a filter's list is missed, and what is wrong with the list.
fn try_filter(filter: &str, program: &Path) -> Result<(BTreeMap<String, Missed>, Vec<String>)> {
    let listed = of(filter)?;
    let has = build::capabilities(&std::fs::read(build::module(filter))?)?;
    let mut problems: Vec<String> =
        listed.difference(&has).map(|name| format!("{name} is listed, and the module has it not")).collect();
    let suites = suites(filter);
    let runs: Vec<_> =
        suites.iter().map(|suite| on_harness_with(suite, &["--calls"])).collect::<Result<_>>()?;
    let all: Vec<Candidate<'_>> = runs
        .iter()
        .enumerate()
        .flat_map(|(suite, runs)| runs.iter().map(move |(scenario, report)| (suite, scenario, report)))
        .collect();
    ensure!(
        all.iter().all(|(_, scenario, report)| report.calls.is_some() || scenario.config_error.is_some()),
        "outrigger test --calls has left scenarios out"
    );
    let called: BTreeSet<&String> =
        all.iter().filter_map(|(_, _, report)| report.calls.as_ref()).flatten().collect();
    problems.extend(
        called
            .iter()
            .filter(|name| !listed.contains(**name))
            .map(|name| format!("{name} is called, and not listed")),
    );
    let taken: Vec<&String> = listed.iter().collect();
    let ways = parallel::map(&taken, AT_ONCE, |name| try_one(filter, name, &suites, &all, program));
    let mut missed = BTreeMap::new();
    for (name, way) in taken.into_iter().zip(ways) {
        match way? {
            Ok(way) => _ = missed.insert(name.clone(), way),
            Err(problem) => problems.push(problem),
        }
    }
    Ok((missed, problems))
}

/// How a capability is missed, or what was tried without missing it.
fn try_one(
    filter: &str,
    name: &str,
    suites: &[Suite],
    all: &[Candidate<'_>],
    program: &Path,
) -> Result<Result<Missed, String>> {
    let mut is_logged = false;
    let mut tried = candidates(all, |report| report.calls.as_ref().is_some_and(|calls| calls.contains(name)));
    tried.truncate(FIRST);
    let mut has_asked = false;
    let mut place = 0;
    loop {
        if place == tried.len() && !has_asked {
            // Nothing yet: the harness knows which scenarios come out otherwise there.
            has_asked = true;
            tried.extend(of_harness(name, suites, all)?);
        }
        let Some((suite, scenario, report)) = tried.get(place) else { break };
        place += 1;
        let suite = suites.get(*suite).context("no such suite")?.clone();
        let suite = Suite { without: Some(name.to_owned()), ..suite };
        match judge(scenario, report, &suite, program, None) {
            Ok(Verdict::Failed(_)) => {
                // What comes out otherwise with it too says nothing.
                let whole = Suite { without: None, ..suite };
                if let Verdict::Passed = judge(scenario, report, &whole, program, None)? {
                    return Ok(Ok(Missed::Scenario(scenario.name.clone())));
                }
            }
            // A module that refuses its configuration, or that traps while it reads it, ends Envoy.
            Err(error) if error.to_string().contains("Envoy ended") => {
                return Ok(Ok(Missed::Scenario(scenario.name.clone())));
            }
            Err(error) => return Err(error.context(format!("{} without {name}", scenario.name))),
            Ok(Verdict::Refused(_)) => is_logged = true,
            Ok(Verdict::Passed | Verdict::Skipped(_)) => {}
        }
    }
    match attempts::missed(program, filter, name) {
        Ok(None) => {}
        Ok(Some(what)) => return Ok(Ok(Missed::Attempt(what))),
        Err(error) => return Ok(Err(format!("{error:#}"))),
    }
    let alone = LOGGED_ALONE.iter().find(|(of, call, _)| *of == filter && *call == name);
    if let (Some((_, _, why)), true) = (alone, is_logged) {
        return Ok(Ok(Missed::Logged(why)));
    }
    let log = if is_logged { ", and Envoy's log alone names it" } else { "" };
    Ok(Err(format!("without {name} all comes out as with it: {place} scenarios were tried{log}")))
}

/// The scenarios that come out otherwise on a harness without this.
fn of_harness<'s>(name: &str, suites: &[Suite], all: &[Candidate<'s>]) -> Result<Vec<Candidate<'s>>> {
    let mut others = BTreeSet::new();
    for (place, suite) in suites.iter().enumerate() {
        for (scenario, report) in on_harness_with(suite, &["--without", name])? {
            if !report.failures.is_empty() {
                others.insert((place, scenario.file, scenario.line));
            }
        }
    }
    let all: Vec<Candidate<'s>> = all
        .iter()
        .filter(|(suite, scenario, _)| others.contains(&(*suite, scenario.file.clone(), scenario.line)))
        .copied()
        .collect();
    let mut picked = candidates(&all, |_| true);
    picked.truncate(TRIES);
    Ok(picked)
}

/// The scenarios on Envoy whose report is one of these: the shortest first, by turns from each file.
fn candidates<'s>(all: &[Candidate<'s>], is_one: impl Fn(&HarnessReport) -> bool) -> Vec<Candidate<'s>> {
    let mut files: BTreeMap<(usize, &Path), Vec<Candidate<'s>>> = BTreeMap::new();
    for candidate @ (suite, scenario, report) in all {
        let is_on_envoy = scenario.only_harness.is_none() && report.failures.is_empty();
        if is_on_envoy && report.outcome.is_some() && is_one(report) {
            files.entry((*suite, scenario.file.as_path())).or_default().push(*candidate);
        }
    }
    for file in files.values_mut() {
        file.sort_by_key(|(_, scenario, _)| scenario.exchanges.len());
    }
    let longest = files.values().map(Vec::len).max().unwrap_or(0);
    (0..longest).flat_map(|turn| files.values().filter_map(move |file| file.get(turn)).copied()).collect()
}

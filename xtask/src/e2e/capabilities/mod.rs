//! What modules may call (`capability_restriction_config` in envoy-configs/): nothing that they do not need, and all that they do. Every scenario
//! runs with the lists; here each capability is taken away in turn, and a scenario that needs it must fail.

use super::{Count, Plan, Suite, Verdict, judge, on_harness};
use crate::{bootstrap::Bootstrap, build, command, parallel, progress, project, setup};
use anyhow::{Context as _, Result, ensure};
use harness::scenario;
use serde::Deserialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::Command,
};

/// How many Envoys run at once.
const AT_ONCE: usize = 2;

/// How many scenarios may pass without a capability that they call, before it is said not to be needed.
const TRIES: usize = 24;

/// What no scenario on Envoy calls, and what needs it.
const WITHOUT_SCENARIO: [(&str, &str); 3] = [
    ("fd_write", "the message of a panic, of which there is none"),
    ("proxy_set_effective_context", "a push: streams that have ended are let go"),
    (
        "proxy_remove_header_map_value",
        "policy takes out the header that asks for a trace, which is signed for a minute",
    ),
];

/// What `outrigger test --calls` says of a scenario.
#[derive(Debug, Deserialize)]
struct Calls {
    calls: Option<BTreeSet<String>>,
}

/// Takes each capability of each filter away.
///
/// # Errors
/// Something that the run needs is missing. A list that is too long or too short is counted as failed.
pub fn run() -> Result<Count> {
    build::modules()?;
    let program = setup::envoy(None)?;
    let mut count = Count::default();
    same_everywhere()?;
    for filter in project::filters()? {
        let work = progress::begin(&format!("capabilities of {filter}"));
        let problems = try_filter(&filter, &program)?;
        drop(work);
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

/// What is wrong with a filter's list.
fn try_filter(filter: &str, program: &Path) -> Result<Vec<String>> {
    let listed = of(filter)?;
    let has = build::capabilities(&std::fs::read(build::module(filter))?)?;
    let mut problems: Vec<String> =
        listed.difference(&has).map(|name| format!("{name} is listed, and the module has it not")).collect();
    let folder = project::root().join("filters").join(filter).join("scenarios");
    let suite = |without: Option<&str>| Suite {
        name: filter.to_owned(),
        plan: Plan::One(build::module(filter)),
        folder: folder.clone(),
        bootstrap: filter.to_owned(),
        without: without.map(str::to_owned),
    };
    let mut outrigger = Command::new(build::outrigger()?);
    outrigger.args(["test", "--json", "--calls", "--wasm"]).arg(build::module(filter)).arg(&folder);
    let printed = command::output(&mut outrigger)?;
    let calls: Vec<Calls> = String::from_utf8_lossy(&printed.stdout)
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()
        .context("outrigger test --calls")?;
    ensure!(calls.len() == scenario::load(&folder)?.len(), "outrigger test --calls has left scenarios out");
    let called: BTreeSet<&String> = calls.iter().filter_map(|calls| calls.calls.as_ref()).flatten().collect();
    let runs = on_harness(&suite(None))?;
    problems.extend(
        called
            .iter()
            .filter(|name| !listed.contains(**name))
            .map(|name| format!("{name} is called, and not listed")),
    );
    let taken: Vec<&String> = listed.iter().collect();
    let verdicts = parallel::map(&taken, AT_ONCE, |name| -> Result<Option<String>> {
        let needs = runs.iter().zip(&calls).filter(|((scenario, report), calls)| {
            scenario.only_harness.is_none()
                && scenario.config_error.is_none()
                && report.outcome.is_some()
                && calls.calls.as_ref().is_some_and(|calls| calls.contains(*name) || !called.contains(name))
        });
        let suite = suite(Some(name));
        let mut tried = 0;
        for (run, _) in needs.take(TRIES) {
            tried += 1;
            match judge(&run.0, &run.1, &suite, program, None) {
                Ok(Verdict::Failed(_)) | Err(_) => return Ok(None),
                Ok(Verdict::Passed | Verdict::Skipped(_)) => {}
            }
        }
        let is_excused = WITHOUT_SCENARIO.iter().any(|(other, _)| other == name);
        Ok((!is_excused).then(|| format!("without {name} {tried} scenarios that call it pass")))
    });
    for verdict in verdicts {
        problems.extend(verdict?);
    }
    Ok(problems)
}

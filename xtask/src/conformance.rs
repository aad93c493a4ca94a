//! `cargo xtask conformance`: the harness against a real Envoy, cell by cell.

mod bootstrap;
mod compare;
mod site;

use crate::{build, command, progress, project, setup};
use anyhow::{Context as _, Result};
use harness::conformance::{self, Run, Sheet};
use std::{
    fs,
    path::Path,
    process::{Command, ExitCode},
};

/// The most sheets that are run again.
const AGAIN_LIMIT: usize = 20;

/// Compares the harness with a real Envoy, host call by host call and exchange by exchange, and writes harness/CONFORMANCE.md.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The version of Envoy [default: $ENVOY, the one on PATH, or the pinned one].
    #[arg(long)]
    envoy_version: Option<String>,
    /// Fail if harness/CONFORMANCE.md is not what was measured, and leave it alone.
    #[arg(long)]
    check: bool,
    /// Only sheets whose name has this text; nothing is written.
    only: Option<String>,
}

/// Runs the command.
///
/// # Errors
/// Something that the run needs is missing.
pub fn run(args: &Args) -> Result<ExitCode> {
    let program = setup::envoy(args.envoy_version.as_deref())?;
    let probes = build::probes()?;
    let folder = project::root().join("harness/conformance");
    let mut sheets = conformance::load(&folder)?;
    if let Some(only) = &args.only {
        sheets.retain(|sheet| sheet.name.contains(only.as_str()));
    }
    let (mut on_harness, mut on_envoy) = on_both(&program, &probes, &sheets)?;
    // The network of a busy machine brings two parts of a body as one. What differs for no better reason than that does not differ again.
    let again: Vec<_> = {
        let report = compare::compare(&sheets, &on_harness, &on_envoy);
        let differs = |sheet: &&Sheet| report.sheets.contains(&sheet.name);
        sheets.iter().filter(differs).cloned().collect()
    };
    if (1..=AGAIN_LIMIT).contains(&again.len()) {
        println!("run again by themselves: {} sheets that differ", again.len());
        let (one, other) = on_both(&program, &probes, &again)?;
        replace(&mut on_harness, one);
        replace(&mut on_envoy, other);
    }
    // What a difference is looked up in.
    for (side, runs) in [("harness", &on_harness), ("envoy", &on_envoy)] {
        let lines: Vec<_> = runs.iter().map(serde_json::to_string).collect::<Result<_, _>>()?;
        fs::write(project::scratch("conformance")?.join(side).with_extension("jsonl"), lines.join("\n"))?;
    }
    let report = compare::compare(&sheets, &on_harness, &on_envoy);
    for difference in &report.differences {
        println!("{difference}");
    }
    let table = project::root().join("harness/CONFORMANCE.md");
    let mut failed = report.differ > 0;
    if args.only.is_none() {
        let text = report.render();
        if args.check {
            let is_true = fs::read_to_string(&table).unwrap_or_default() == text;
            if !is_true {
                println!("harness/CONFORMANCE.md is not what was measured: run `cargo xtask conformance`");
            }
            failed |= !is_true;
        } else {
            fs::write(&table, text)?;
        }
    }
    println!("conformance: {} cells, {} differ, {} excepted", report.cells, report.differ, report.excepted);
    Ok(ExitCode::from(u8::from(failed)))
}

fn on_both(program: &Path, probes: &Path, sheets: &[Sheet]) -> Result<(Vec<Run>, Vec<Run>)> {
    let on_harness = on_harness(probes, sheets)?;
    let work = progress::begin_counted("conformance on Envoy", on_harness.len() as u64);
    let on_envoy = site::run(program, probes, sheets, &work)?;
    Ok((on_harness, on_envoy))
}

/// Puts later runs in the places of those before.
fn replace(runs: &mut [Run], later: Vec<Run>) {
    for run in later {
        if let Some(place) =
            runs.iter_mut().find(|place| (&place.sheet, place.kind) == (&run.sheet, run.kind))
        {
            *place = run;
        }
    }
}

fn on_harness(probes: &Path, sheets: &[Sheet]) -> Result<Vec<Run>> {
    let program = build::conformance()?;
    let _work = progress::begin("conformance on the harness");
    let folder = project::scratch("conformance")?;
    fs::write(folder.join("plan.sheets"), conformance::plan(sheets))?;
    let output = command::output(Command::new(program).arg(probes).arg(&folder))?;
    anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().map(serde_json::from_str).collect::<Result<_, _>>().context("the harness's runs")
}

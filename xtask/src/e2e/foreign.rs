//! `cargo xtask e2e --wasm MODULE SCENARIOS`: modules of others, with scenarios of their own, on the harness and on a real Envoy.

use super::{Count, Plan, Suite};
use crate::{project, setup};
use anyhow::{Context as _, Result, ensure};
use std::{
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

/// How long a log is quiet when a plugin has started.
const QUIET: Duration = Duration::from_millis(250);

/// Runs scenarios through one module; or each file of a folder of scenarios through the module of its name in a folder of modules, where one that is
/// not there is said and counts as skipped.
///
/// # Errors
/// Nothing is there to be run, or a scenario file cannot be used.
pub fn run(module: &Path, scenarios: &Path, version: Option<&str>) -> Result<Count> {
    let mut count = Count::default();
    let suites =
        if module.is_dir() { pairs(module, scenarios, &mut count)? } else { vec![suite(module, scenarios)?] };
    ensure!(
        !suites.is_empty(),
        "no module for a scenario of {} is in {}",
        scenarios.display(),
        module.display()
    );
    let program = setup::envoy(version)?;
    for suite in &suites {
        super::run_suite(suite, &program, &mut None, None, &mut count)?;
    }
    Ok(count)
}

/// Waits until the plugin logs nothing more: a module of some megabytes is started on the worker when Envoy is ready already. One that never stops
/// is not waited for. `logged` says how many lines there are.
pub fn settle(logged: impl Fn() -> Result<usize>) -> Result<()> {
    for _ in 0..10 {
        let before = logged()?;
        thread::sleep(QUIET);
        if logged()? == before {
            break;
        }
    }
    Ok(())
}

/// A module with its scenarios.
fn suite(module: &Path, scenarios: &Path) -> Result<Suite> {
    let whole = |path: &Path| path.canonicalize().with_context(|| format!("cannot read {}", path.display()));
    let name = module.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Suite {
        name,
        plan: Plan::Foreign(whole(module)?),
        folder: whole(scenarios)?,
        bootstrap: "ab-routing".to_owned(),
        without: None,
    })
}

/// The scenario files that have a module of their name.
fn pairs(modules: &Path, scenarios: &Path, count: &mut Count) -> Result<Vec<Suite>> {
    let mut suites = Vec::new();
    for name in project::toml(scenarios)? {
        let module = modules.join(format!("{name}.wasm"));
        let file: PathBuf = scenarios.join(format!("{name}.toml"));
        if module.is_file() {
            suites.push(suite(&module, &file)?);
        } else {
            println!("NOT THERE  {}: the scenarios of {} did not run", module.display(), file.display());
            count.skipped += harness::scenario::load(&file)?.len();
        }
    }
    Ok(suites)
}

//! An arm that fails, under live traffic of a real Envoy with four workers: closed once and for all of them, over a push of the configuration; and an arm
//! that loses its hosts, and has them again.

mod site;

use super::Count;
use crate::{
    build,
    envoy::Envoy,
    progress, project, setup,
    upstream::{Answer, plain},
};
use anyhow::{Result, ensure};
use harness::scenario::Response;
use serde_json::{Value, json};
use site::{AT_ONCE, Site, USERS};
use std::{fs, thread, time::Duration};

/// What the filter says when it closes an arm.
const CLOSED: &str = "the guardrail closed arm b of checkout: control";
/// What it says when there is nothing that it could have learned from.
const OPEN: &str = "all arms are open";
/// By when each worker has heard of what another one has closed; and by when Envoy loads a VM again (`base_interval`, 1 s, of which a tenth is by chance).
const HEARD: Duration = Duration::from_millis(1500);

/// Runs all of it.
///
/// # Errors
/// What is seen is not what the filter's README promises.
pub fn run() -> Result<Count> {
    build::modules()?;
    let module = build::module("ab-routing");
    let errors = json!({"guardrail": {"errors": {"margin": 500}}});
    let work = progress::begin("an arm that fails");
    closes(&Site::start("guardrail", &module, &errors)?)?;
    drop(work);
    let trapping = build::trapping("ab-routing")?;
    let work = progress::begin("an arm that is closed, and VMs that trap");
    outlives_traps(Site::start("reload", &trapping, &errors)?)?;
    drop(work);
    let work = progress::begin("an arm that is slow");
    let latency = json!({"guardrail": {"latency": {"over_ms": 150, "margin": 500}}});
    closes_what_is_slow(&Site::start("slow", &module, &latency)?)?;
    drop(work);
    let work = progress::begin("an arm without a host");
    falls_back(&Site::start("fallback", &module, &json!({"health": {"fallback_seconds": 1}}))?)?;
    drop(work);
    Ok(Count { passed: 4, ..Count::default() })
}

/// An arm fails from one request on.
fn closes(site: &Site) -> Result<()> {
    fails(site)?;
    alerts_find(&site.envoy)?;
    let before = site.sum("ab_responses_total", "b")?;
    site.push(|config| config["experiments"][0]["coverage"] = json!(9_999))?;
    site.all_are_well("after a push")?;
    ensure!(site.sum("ab_responses_total", "b")? == before, "arm b had requests after it was closed");
    ensure!(lines(site, CLOSED) == 1, "a push closed the arm again");
    ensure!(lines(site, OPEN) == 1, "a push opened the arms");
    Ok(())
}

/// The shop of arm b fails, until the arm is closed on all workers.
fn fails(site: &Site) -> Result<()> {
    site.all_are_well("before anything fails")?;
    ensure!(site.sum("ab_arm_closed", "b")? == 0, "the arm is closed before it fails");
    site.shops[1].set_answer(plain(500, Vec::new()));
    let failed = site.ask_all()?.into_iter().filter(|status| *status == 500).count();
    ensure!((8..USERS / 4).contains(&failed), "{failed} requests failed before the arm was closed");
    site.wait("the arm is closed", || Ok(site.sum("ab_arm_closed", "b")? == 1))?;
    thread::sleep(HEARD);
    site.all_are_well("after the arm is closed")?;
    let times = lines(site, CLOSED);
    ensure!(times == 1, "the log says {times} times that the arm is closed");
    Ok(())
}

/// How often the log says so.
fn lines(site: &Site, text: &str) -> usize {
    site.envoy.log_text().matches(text).count()
}

/// Workers' VMs trap and are loaded again: the arm stays closed. Another Envoy process knows nothing of it, and says so.
fn outlives_traps(mut site: Site) -> Result<()> {
    fails(&site)?;
    let trapped = site.ask(AT_ONCE * 2, &[("x-trap", "1")])?;
    ensure!(trapped.contains(&503), "nothing trapped: {trapped:?}");
    thread::sleep(HEARD);
    site.all_are_well("after VMs have trapped")?;
    let loaded = site.stat("vm_reload_success")?;
    ensure!(loaded >= 2, "{loaded} VMs were loaded again");
    ensure!(site.sum("ab_arm_closed", "b")? == 1, "a reload opened the arm");
    ensure!(lines(&site, OPEN) == 1, "a reload began anew");
    site.shops[1].set_answer(plain(200, Vec::new()));
    site.restart()?;
    ensure!(lines(&site, OPEN) == 1, "a new process does not say that the arms are open");
    ensure!(site.sum("ab_arm_closed", "b")? == 0, "a new process has the arm closed");
    site.all_are_well("after a restart")?;
    ensure!(site.sum("ab_responses_total", "b")? > 0, "arm b has no requests after a restart");
    Ok(())
}

/// An arm answers well, and late.
fn closes_what_is_slow(site: &Site) -> Result<()> {
    site.all_are_well("before anything is slow")?;
    ensure!(site.sum("ab_arm_closed", "b")? == 0, "the arm is closed before it is slow");
    site.shops[1].set_answer(Answer::from(&Response { after_ms: 300, ..Response::default() }));
    site.all_are_well("while arm b is slow")?;
    site.wait("the slow arm is closed", || Ok(site.sum("ab_arm_closed", "b")? == 1))?;
    Ok(())
}

/// The alerts of dashboards/guardrail.yaml are rules, and of series that there are.
fn alerts_find(envoy: &Envoy) -> Result<()> {
    let path = project::root().join("dashboards/guardrail.yaml");
    let rules: Value = serde_saphyr::from_str(&fs::read_to_string(&path)?)?;
    let page = String::from_utf8_lossy(&crate::http::get(envoy.admin(), "/stats/prometheus")?).into_owned();
    let mut names = 0;
    for rule in rules["groups"][0]["rules"].as_array().into_iter().flatten() {
        let words = rule["expr"].as_str().unwrap_or_default();
        for name in words
            .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
            .filter(|word| word.starts_with("ab_"))
        {
            ensure!(
                page.contains(&format!("\n{name}{{")),
                "Envoy has no series of {name}, of which an alert is"
            );
            names += 1;
        }
    }
    ensure!(names >= 3, "{} names {names} series", path.display());
    match setup::system("promtool", "prometheus") {
        Ok(promtool) => {
            let output = std::process::Command::new(promtool).args(["check", "rules"]).arg(&path).output()?;
            ensure!(output.status.success(), "promtool: {}", String::from_utf8_lossy(&output.stderr));
        }
        Err(_) => {
            println!("SKIPPED: promtool did not read {}: install the package prometheus", path.display());
        }
    }
    Ok(())
}

/// An arm's only host is unhealthy, and then healthy.
fn falls_back(site: &Site) -> Result<()> {
    ensure!(site.ask_all()?.iter().all(|status| *status == 200), "not all is well at first");
    let shop = &site.shops[1];
    shop.set_answer(plain(503, Vec::new()));
    site.wait("users go to control", || {
        site.ask_all()?;
        Ok(site.sum("ab_fallbacks_total", "b")? > 0)
    })?;
    let lost = site.ask_all()?.into_iter().filter(|status| *status == 503).count();
    ensure!(lost <= AT_ONCE * 8, "{lost} of {USERS} requests were lost while the arm had no host");
    ensure!(lines(site, "has no healthy host: control") > 0, "the log does not say so");
    let own = shop.count();
    shop.set_answer(plain(200, Vec::new()));
    site.wait("the arm is used again", || {
        let before = site.sum("ab_exposures_total", "b")?;
        site.ask_all()?;
        Ok(site.sum("ab_exposures_total", "b")? - before > i64::try_from(USERS / 3)?)
    })?;
    ensure!(shop.count() > own, "the shop of the arm had no requests");
    Ok(())
}

//! What `cargo xtask e2e` takes: the scenarios, or one of the larger attempts instead.

use super::{
    all, bypass, candidate, capabilities, faults, foreign, guardrail, hops, metrics, outputs, publish,
    pushes, rbac, sticky, tool, ui,
};
use anyhow::Result;
use std::{path::PathBuf, process::ExitCode};

/// Runs the scenarios of every filter on a real Envoy, and compares with the harness.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub struct Args {
    /// The version of Envoy [default: $ENVOY, the one on PATH, or the pinned one].
    #[arg(
        long,
        conflicts_with_all = ["sticky", "hops", "guardrail", "candidate", "outputs", "tool", "policy", "bypass", "capabilities", "faults", "pushes", "metrics", "publish", "ui"]
    )]
    envoy_version: Option<String>,
    /// Through docker-compose.yml.
    #[arg(long, conflicts_with = "instead")]
    compose: bool,
    /// Stickiness at scale instead: 10,000 requests of 500 users through four workers.
    #[arg(long, group = "instead")]
    sticky: bool,
    /// Two Envoys in a row instead: 10,000 requests of 500 users, one arm a user, and forged assignments.
    #[arg(long, group = "instead")]
    hops: bool,
    /// A guardrail instead: four workers, an arm that fails, a push, an arm that loses its hosts.
    #[arg(long, group = "instead")]
    guardrail: bool,
    /// Policy that is tried first instead: a candidate under four workers, records through the access log, traces for signed headers.
    #[arg(long, group = "instead")]
    candidate: bool,
    /// The ways out of access-log instead: a file, the proxy's log, an access logger without a filter, a collector that is down under load.
    #[arg(long, group = "instead")]
    outputs: bool,
    /// Faults of upstreams, clients, collectors and the clock instead, or those of which the name has the text: nothing falls over, all counts agree.
    #[arg(
        long, value_name = "TEXT", num_args = 0..=1, require_equals = true, default_missing_value = "",
        group = "instead"
    )]
    faults: Option<String>,
    /// How many seconds the collector of `--faults` is away under load.
    #[arg(long, requires = "faults", default_value_t = 1)]
    seconds: u64,
    /// The tool instead: what `outrigger replay` says beside what Envoy does, and exit codes.
    #[arg(long, group = "instead")]
    tool: bool,
    /// The policy module beside Envoy's own RBAC instead: 24,000 generated requests, of which not one may be decided otherwise.
    #[arg(
        long, value_name = "AGAINST", num_args = 0..=1, require_equals = true, default_missing_value = "module",
        group = "instead"
    )]
    rbac: Option<rbac::Against>,
    /// Policy's rows instead: tokens, certificates, forwarded addresses and paths, each with the decision that the docs name.
    #[arg(long, group = "instead")]
    policy: bool,
    /// Attempts to get past a policy or to pick an arm instead, each with the right decision: `filters/*/bypass/`.
    #[arg(long, group = "instead")]
    bypass: bool,
    /// What the generated policies and requests come from.
    #[arg(long, requires = "rbac", default_value_t = 1)]
    seed: u64,
    /// Leave out policies that have this text: `--without trustDomain` for fields that only the newest Istio has.
    #[arg(long, requires = "rbac")]
    without: Vec<String>,
    /// Metrics instead: sums of 50,000 requests in a real Prometheus, labels of any bytes, and a flood of label values.
    #[arg(long, group = "instead")]
    metrics: bool,
    /// Published modules instead: through a real registry, by the rules of Istio's agent, back into Envoy.
    #[arg(long, group = "instead")]
    publish: bool,
    /// The page instead, in a headless Chromium: live traffic, and numbers that equal Envoy's; `--ui=pictures` also takes those of the docs.
    #[arg(
        long, value_name = "WHAT", num_args = 0..=1, require_equals = true, default_missing_value = "check",
        group = "instead"
    )]
    ui: Option<ui::What>,
    /// Pushes of configurations instead, good and bad, under load; `--pushes=full` is 200 of each filter with 1, 2, 3 and 4 workers, `--pushes=traps` the traps alone.
    #[arg(
        long, value_name = "SCALE", num_args = 0..=1, require_equals = true, default_missing_value = "brief",
        group = "instead"
    )]
    pushes: Option<pushes::Scale>,
    /// What modules may call instead: each capability of each filter, or of those of which the name has the text, is taken away, and must be missed.
    #[arg(
        long, value_name = "FILTER", num_args = 0..=1, require_equals = true, default_missing_value = "",
        group = "instead"
    )]
    capabilities: Option<String>,
    /// A module of others instead, or a folder of them: the scenarios (a file, or a folder) stand behind it.
    #[arg(long, value_names = ["MODULE", "SCENARIOS"], num_args = 2, group = "instead")]
    wasm: Option<Vec<PathBuf>>,
    /// Only scenarios of which the file, the name, or the suite ("policy in all-in-one") has this text.
    #[arg(conflicts_with = "instead")]
    only: Option<String>,
}

/// Runs the command.
///
/// # Errors
/// Something that the run needs is missing. A scenario that fails is counted.
pub fn run(args: &Args) -> Result<ExitCode> {
    let count = if let Some([module, scenarios]) = args.wasm.as_deref() {
        foreign::run(module, scenarios, args.envoy_version.as_deref())?
    } else if args.sticky {
        sticky::run()?
    } else if args.hops {
        hops::run()?
    } else if args.guardrail {
        guardrail::run()?
    } else if args.candidate {
        candidate::run()?
    } else if args.outputs {
        outputs::run()?
    } else if let Some(only) = &args.faults {
        faults::run(only, args.seconds)?
    } else if args.tool {
        tool::run()?
    } else if let Some(against) = args.rbac {
        rbac::run(args.envoy_version.as_deref(), against, args.seed, &args.without)?
    } else if args.policy {
        rbac::rows::run()?
    } else if args.bypass {
        bypass::run()?
    } else if args.metrics {
        metrics::run()?
    } else if args.publish {
        publish::run()?
    } else if let Some(what) = args.ui {
        ui::run(what)?
    } else if let Some(only) = &args.capabilities {
        capabilities::run(only)?
    } else if let Some(scale) = args.pushes {
        pushes::run(scale)?
    } else {
        all(args.envoy_version.as_deref(), args.compose, args.only.as_deref())?
    };
    println!("{} passed, {} failed, {} skipped", count.passed, count.failed, count.skipped);
    Ok(ExitCode::from(u8::from(count.failed > 0)))
}

//! A forged signature takes as many instructions as any other, wherever its first wrong digit is: counted by the harness, in each place where one is
//! compared.

use super::signed::{self, SECRET};
use crate::{build, command, project};
use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use std::{collections::BTreeSet, fmt::Write as _, fs, path::Path, process::Command};

/// The digits that are wrong, each by itself.
const PLACES: [usize; 5] = [0, 1, 15, 30, 31];

/// Where a signature is compared: the name, the filter, its configuration, the header, what stands before what is signed, and how it is made.
type Place = (&'static str, &'static str, &'static str, &'static str, &'static str, &'static str);

const COMPARED: [Place; 4] = [
    (
        "a forced arm",
        "ab-routing",
        r#"{ overrides = { header = "x-force-arm", secret_env = "BYPASS" }, experiments = [{ name = "checkout", key = [{ header = "x-user-id" }], arms = [{ name = "control", weight = 10000 }, { name = "b", weight = 0 }] }] }"#,
        "x-force-arm",
        "",
        "force checkout:b",
    ),
    (
        "a carried arm, whose list is known",
        "ab-routing",
        r#"{ propagate = { header = "x-arms", secret_env = "BYPASS" }, experiments = [{ name = "checkout", key = [{ header = "x-user-id" }], arms = [{ name = "control", weight = 10000 }, { name = "b", weight = 0 }] }] }"#,
        "x-arms",
        "",
        "carried checkout:b",
    ),
    (
        "a kept arm",
        "ab-routing",
        r#"{ sticky = { secret_env = "BYPASS", cookie = { name = "arms" } }, experiments = [{ name = "checkout", key = [{ header = "x-user-id" }], sticky = { bucket_version = 1 }, arms = [{ name = "control", weight = 10000 }, { name = "b", weight = 0 }] }] }"#,
        "cookie",
        "arms=",
        "kept checkout 1 b x-user-id bob",
    ),
    (
        "an explanation",
        "policy",
        r#"{ explain = { secret_env = "BYPASS" }, policies = [] }"#,
        "x-outrigger-explain",
        "",
        "explain GET shop.example / =1795392030",
    ),
];

/// Counts, in each place.
///
/// # Errors
/// The harness does not run, or the counts of a place differ: with the counts.
pub fn check(tool: &Path) -> Result<usize> {
    let folder = project::scratch("bypass-timing")?;
    for place @ (name, filter, ..) in COMPARED {
        let file = folder.join("timing.toml");
        fs::write(&file, scenario(place)?)?;
        let output = command::output(
            Command::new(tool).args(["test", "--json"]).arg(&file).arg("--wasm").arg(build::module(filter)),
        )?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let report: Value = serde_json::from_str(said.lines().next().unwrap_or_default())
            .with_context(|| format!("{name}: {}", String::from_utf8_lossy(&output.stderr)))?;
        ensure!(report["failures"] == serde_json::json!([]), "{name}: {}", report["failures"]);
        let exchanges = report["outcome"]["exchanges"].as_array().context("there is no outcome")?;
        let counts: Vec<u64> = exchanges
            .iter()
            .filter_map(|exchange| exchange["cost"]["instructions"].as_u64())
            .skip(exchanges.len().saturating_sub(PLACES.len()))
            .collect();
        let different: BTreeSet<&u64> = counts.iter().collect();
        ensure!(counts.len() == PLACES.len(), "{name}: {} counts", counts.len());
        ensure!(different.len() == 1, "{name}: {counts:?} instructions with digit {PLACES:?} wrong");
        println!("{name}: {} instructions wherever the wrong digit is", counts[0]);
    }
    Ok(COMPARED.len())
}

/// The good one, which makes what is made once, then one that is forged in its middle, and then those that are counted.
fn scenario((name, _, config, header, before, made): Place) -> Result<String> {
    let good = String::from_utf8(signed::fill(format!("$[{made}]$").as_bytes())?)?;
    let digits = good.rfind(|character: char| !character.is_ascii_hexdigit()).map_or(0, |place| place + 1);
    let forged = |place: usize| {
        let wrong = |(at, digit): (usize, char)| match digit {
            '0' if at == digits + place => '1',
            _ if at == digits + place => '0',
            digit => digit,
        };
        good.chars().enumerate().map(wrong).collect::<String>()
    };
    // Half a minute before the time that is signed.
    let mut text = format!(
        "env = {{ {} = \"{}\" }}\nclock = \"2026-11-23T00:00:00Z\"\nconfig = {config}\n\n[[scenario]]\nname = \"{name}\"\n",
        SECRET.0, SECRET.1
    );
    let values = [good.clone(), forged(7)].into_iter().chain(PLACES.map(forged));
    for value in values {
        write!(
            text,
            "\n[[scenario.exchange]]\nrequest = {{ path = \"/\", authority = \"shop.example\", headers = {{ x-user-id = \"bob\", {header} = \"{before}{value}\" }} }}\nexpect = {{ status = 200 }}\n"
        )?;
    }
    Ok(text)
}

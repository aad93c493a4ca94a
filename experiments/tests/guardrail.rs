//! The guardrail keeps what it states, in a short version of the simulation that `cargo run -p experiments --example guardrail` makes.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]
#![allow(dead_code, reason = "the long version uses more of the simulation")]

#[path = "../examples/guardrail/simulation.rs"]
mod simulation;

use simulation::{Jump, Rule, alarms, caught, quantile, weights};

const RUNS: u64 = 300;

/// False alarms of 300 experiments at the margin itself, with so many arms.
fn false_alarms(rule: &Rule, arms: usize, base: f64, requests: u64) -> u64 {
    let weights = weights(arms);
    alarms(rule, arms, RUNS, requests, |random, _| {
        let arm = random.arm(&weights);
        let rate = if arm == 0 { base } else { base + 0.005 };
        (arm, random.is(rate))
    })
}

#[test]
fn false_alarms_are_as_rare_as_stated_however_often_one_looks() {
    for base in [0.001, 0.01, 0.05, 0.2] {
        for arms in [2, 5] {
            let rule = Rule::guardrail(arms - 1, 1, 1000);
            let alarms = false_alarms(&rule, usize::try_from(arms).unwrap(), base, 3000);
            // Of 300 at 1 %, more than 9 are a matter of 1 in 1,000.
            assert!(alarms <= 9, "{alarms} of {RUNS} at {base} with {arms} arms");
        }
    }
}

#[test]
fn the_simulation_finds_false_alarms_where_there_are_some() {
    // A test for one look at 5 %, and a guardrail that believes in a margin that is not there.
    let one_look = false_alarms(&Rule::OneLook(1.645), 2, 0.05, 20_000);
    assert!(one_look > 18, "{one_look}");
    let generous = alarms(&Rule::guardrail(1, 1, 1000), 2, RUNS, 3000, |random, _| {
        let arm = random.arm(&[0.5, 0.5]);
        (arm, random.is(if arm == 0 { 0.01 } else { 0.05 }))
    });
    assert!(generous > RUNS * 9 / 10, "{generous}");
}

#[test]
fn a_jump_of_the_error_rate_is_caught() {
    let rule = Rule::guardrail(1, 1, 50_000);
    let jump = Jump { arms: 2, from: 0.01, to: 0.05, after: 0 };
    let caught = caught(&rule, &jump, 100);
    assert_eq!(caught.len(), 100);
    let arm: Vec<u64> = caught.iter().map(|caught| caught.arm).collect();
    let all: Vec<u64> = caught.iter().map(|caught| caught.all).collect();
    assert!(quantile(&all, 50) < 4000 && quantile(&all, 95) < 9000, "{all:?}");
    assert!(arm.iter().max() < Some(&2000), "{arm:?}");
}

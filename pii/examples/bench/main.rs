//! What the engine costs beside one combined regex with the same entities' patterns, in the same run: `cargo xtask bench pii`.
//!
//! The same program runs natively and as wasm. It reads lines of text on stdin and writes one line of JSON for each measurement.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    clippy::unwrap_used,
    reason = "a measurement reads the clock and prints; one that cannot go on has failed"
)]

mod patterns;

use pii::{Engine, Place};
use regex_automata::{meta, util::syntax};
use std::{
    hint::black_box,
    io::Read as _,
    time::{Duration, Instant},
};

/// A request target of 93 bytes, with nothing personal in it.
const TARGET: &str =
    "/v2/shops/berlin-mitte/products/47110815?category=running-shoes&sort=price&page=2&color=black";
/// One with an address, an encoded email and a card.
const DENSE: &str =
    "/v2/users?email=joe.bloggs%40example.com&ip=198.51.100.7&card=4111-1111-1111-1111&session=abc1";
/// Rounds, of which the median counts.
const ROUNDS: usize = 15;

fn main() {
    let mut log = String::new();
    std::io::stdin().read_to_string(&mut log).unwrap();
    let begun = Instant::now();
    let engine = Engine::default();
    report("start", "engine", begun.elapsed().as_nanos() as f64, 1);
    let begun = Instant::now();
    let regex = meta::Builder::new()
        .syntax(syntax::Config::new().unicode(false).utf8(false))
        .build_many(patterns::PATTERNS)
        .unwrap();
    // Its automata are built as it searches.
    black_box(regex.find_iter(DENSE).count());
    report("start", "regex", begun.elapsed().as_nanos() as f64, 1);
    let lines: Vec<&str> = log.lines().collect();
    let generated: Vec<String> = (0..400)
        .map(|index| format!("{DENSE}&id={index} from joe{index}@example.org phone=+49301234{index:03}"))
        .collect();
    let dense: Vec<&str> = generated.iter().map(String::as_str).collect();
    // V8 makes fast code of what has run for a while.
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(2) {
        for text in dense.iter().chain(&lines).chain(&[TARGET]) {
            black_box(
                engine.find(text.as_bytes(), Place::Text).spans().len() + regex.find_iter(text).count(),
            );
        }
    }
    compare("93-byte target", &[TARGET], &engine, &regex);
    compare("target with four findings", &[DENSE], &engine, &regex);
    compare("access log", &lines, &engine, &regex);
    compare("dense lines", &dense, &engine, &regex);
}

fn compare(name: &str, texts: &[&str], engine: &Engine, regex: &meta::Regex) {
    let bytes: usize = texts.iter().map(|text| text.len()).sum();
    let ours =
        || texts.iter().map(|text| engine.find(black_box(text.as_bytes()), Place::Text).spans().len()).sum();
    let theirs = || texts.iter().map(|text| regex.find_iter(black_box(text.as_bytes())).count()).sum();
    let times = times(&ours);
    black_box(times.max(self::times(&theirs)));
    let (mut engine_costs, mut regex_costs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        engine_costs.push(cost(&ours, times));
        regex_costs.push(cost(&theirs, times));
    }
    report(name, "engine", median(engine_costs), bytes);
    report(name, "regex", median(regex_costs), bytes);
}

/// How often a measurement is repeated, to take 10 ms.
fn times(work: &dyn Fn() -> usize) -> u32 {
    let mut times = 1;
    loop {
        let begun = Instant::now();
        for _ in 0..times {
            black_box(work());
        }
        if begun.elapsed() > Duration::from_millis(10) {
            return times;
        }
        times *= 2;
    }
}

fn cost(work: &dyn Fn() -> usize, times: u32) -> f64 {
    let begun = Instant::now();
    for _ in 0..times {
        black_box(work());
    }
    begun.elapsed().as_nanos() as f64 / f64::from(times)
}

fn median(mut costs: Vec<f64>) -> f64 {
    costs.sort_by(f64::total_cmp);
    costs.get(costs.len() / 2).copied().unwrap_or(0.0)
}

fn report(text: &str, who: &str, nanoseconds: f64, bytes: usize) {
    println!(r#"{{"text":"{text}","who":"{who}","ns":{nanoseconds:.1},"bytes":{bytes}}}"#);
}

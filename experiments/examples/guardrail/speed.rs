//! What a look costs.

use crate::simulation::MARGIN;
use experiments::guardrail::{Counts, Guardrail, Limits, Measure};
use std::{hint::black_box, time::Instant};

/// Prints what a look costs, in nanoseconds.
pub fn print() {
    const LOOKS: u32 = 500;
    let limits =
        Limits { alpha: 100, proxies: 1, arms: 1, margins: [Some(MARGIN), None], least: 0, per_user: 1 };
    let guardrail = Guardrail::new(0, 0, 50_000, &limits);
    println!(
        "A look at one arm, of all that was counted and of the window, in nanoseconds (the least of 1000 times {LOOKS}):\n"
    );
    for (text, bad) in [
        ("as good as control", 1000),
        ("at the margin", 1510),
        ("not far from being closed", 1660),
        ("near to being closed", 1700),
        ("to be closed", 1720),
    ] {
        let now = [Counts { requests: 900_000, bad: 9000 }, Counts { requests: 100_000, bad }];
        let began =
            [Counts { requests: 855_000, bad: 8550 }, Counts { requests: 95_000, bad: bad * 95 / 100 }];
        let least = (0..1000).map(|_| {
            let start = Instant::now();
            for _ in 0..LOOKS {
                black_box(guardrail.closes(Measure::Errors, 1, black_box(&now), black_box(&began), 19));
            }
            start.elapsed().as_nanos() / u128::from(LOOKS)
        });
        let nearness = guardrail.nearness(Measure::Errors, now[0], now[1]);
        println!("{:>6}  {text} (nearness {nearness})", least.min().unwrap_or(0));
    }
    println!();
}

//! How the check of the sample ratio does.

use crate::{simulation::Random, together};
use experiments::guardrail::ratio::{self, Share};
use std::error::Error;

/// Prints how often the sample ratio's p-values are ever below 1 %, looking after each exposure.
pub fn print(runs: u64, requests: u64) -> Result<(), Box<dyn Error>> {
    let kinds = [
        ("the weights hold", 0.1, 1),
        ("the weights hold for users, who have 20 exposures each", 0.1, 20),
        ("the arm loses one in ten of its exposures", 0.09, 1),
    ];
    let results = together(&kinds, |(_, share, per_user)| low(runs, requests, *share, *per_user))?;
    println!(
        "How many of {runs} experiments of {requests} exposures, weights 90 and 10, ever have a p-value of the sample ratio below 1 %,"
    );
    println!("looking after each exposure:\n");
    println!("sequential  chi-square");
    for ((text, ..), [sequential, chi_square]) in kinds.iter().zip(results) {
        println!("{sequential:>10}  {chi_square:>10}  {text}");
    }
    Ok(())
}

/// How many experiments ever have a low p-value by either test.
fn low(runs: u64, requests: u64, share: f64, per_user: u64) -> [u64; 2] {
    let mut counts = [0, 0];
    for run in 0..runs {
        let mut random = Random((run << 32) + 2);
        let mut shares = [Share { exposures: 0, weight: 9 }, Share { exposures: 0, weight: 1 }];
        let mut place = 0;
        let mut are_low = [false; 2];
        for exposure in 0..requests {
            if exposure % per_user == 0 {
                place = usize::from(random.is(share));
            }
            if let Some(share) = shares.get_mut(place) {
                share.exposures += 1;
            }
            let tests: [fn(&[Share]) -> u64; 2] = [|shares| ratio::sequential(shares, 1), ratio::chi_square];
            for (is_low, test) in are_low.iter_mut().zip(tests) {
                *is_low = *is_low || test(&shares) < 10;
            }
        }
        for (count, is_low) in counts.iter_mut().zip(are_low) {
            *count += u64::from(is_low);
        }
    }
    counts
}

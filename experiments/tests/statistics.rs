//! Every algorithm spreads keys evenly, and hashes with another salt, seed or group know nothing of one another.
#![allow(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, as it should"
)]

use experiments::bucket::{Algorithm, Bucketer, Parameters};

const KEYS: u64 = 1_000_000;

const ALL: [Algorithm; 10] = [
    Algorithm::Outrigger,
    Algorithm::GrowthbookV1,
    Algorithm::GrowthbookV2,
    Algorithm::Unleash,
    Algorithm::UnleashVariant,
    Algorithm::Flagd,
    Algorithm::FlagdV1,
    Algorithm::Optimizely,
    Algorithm::Launchdarkly,
    Algorithm::Eppo,
];

/// A hash whose every text is the same.
fn bucketer(algorithm: Algorithm, text: &str) -> Bucketer {
    let parameters =
        Parameters { seed: text, group: text, salt: text, total: 10_000, ..Parameters::default() };
    // LaunchDarkly takes a seed in the place of the other two.
    let parameters =
        if algorithm == Algorithm::Launchdarkly { Parameters { seed: "", ..parameters } } else { parameters };
    Bucketer::new(algorithm, &parameters)
}

/// Calls `each` with the ids of users: 128 random bits (SplitMix64) as the visitor cookie has them.
fn each_key(mut each: impl FnMut(&[u8])) {
    let mut state = 0_u64;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let word = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    };
    let mut key = [0; 32];
    for _ in 0..KEYS {
        let words = [next(), next()].map(u64::to_be_bytes);
        for (digits, byte) in key.chunks_mut(2).zip(words.as_flattened()) {
            digits[0] = b"0123456789abcdef"[usize::from(byte >> 4)];
            digits[1] = b"0123456789abcdef"[usize::from(byte & 15)];
        }
        each(&key);
    }
}

/// The bin of a value, of so many.
fn bin(bucketer: &Bucketer, key: &[u8], bins: usize) -> usize {
    let value = u128::from(bucketer.of(key).value) * bins as u128 / u128::from(bucketer.total());
    usize::try_from(value).unwrap()
}

/// The 0.999 quantile of chi-square (E. B. Wilson and M. M. Hilferty, 1931).
fn limit(freedom: f64) -> f64 {
    let ninth = 2.0 / (9.0 * freedom);
    freedom * (1.0 - ninth + 3.090_232 * ninth.sqrt()).powi(3)
}

#[test]
fn every_algorithm_spreads_a_million_keys_evenly() {
    for algorithm in ALL {
        let bucketer = bucketer(algorithm, "checkout");
        let mut counts = [0_u64; 100];
        each_key(|key| counts[bin(&bucketer, key, 100)] += 1);
        let expected = KEYS as f64 / 100.0;
        let chi_square: f64 = counts.iter().map(|count| (*count as f64 - expected).powi(2) / expected).sum();
        println!("{algorithm:?}: chi-square {chi_square:.1}, limit {:.1}", limit(99.0));
        assert!(chi_square < limit(99.0), "{algorithm:?}: {chi_square}");
    }
}

#[test]
fn two_hashes_with_texts_of_their_own_are_independent() {
    let pairs = ALL.map(|algorithm| (bucketer(algorithm, "first"), bucketer(algorithm, "second")));
    // What is combined in practice: a layer or a holdout of ours, and an experiment by an SDK's hash.
    let layer = ALL.map(|algorithm| (bucketer(Algorithm::Outrigger, "layer"), bucketer(algorithm, "first")));
    for (one, other) in pairs.iter().chain(&layer) {
        let mut table = [[0_u64; 10]; 10];
        each_key(|key| table[bin(one, key, 10)][bin(other, key, 10)] += 1);
        let rows = table.map(|row| row.iter().sum::<u64>() as f64);
        let columns: [f64; 10] =
            std::array::from_fn(|column| table.iter().map(|row| row[column]).sum::<u64>() as f64);
        let mut chi_square = 0.0;
        for (row, row_sum) in table.iter().zip(rows) {
            for (count, column_sum) in row.iter().zip(columns) {
                let expected = row_sum * column_sum / KEYS as f64;
                chi_square += (*count as f64 - expected).powi(2) / expected;
            }
        }
        let names = (one.algorithm(), other.algorithm());
        println!("{names:?}: chi-square {chi_square:.1}, limit {:.1}", limit(81.0));
        assert!(chi_square < limit(81.0), "{names:?}: {chi_square}");
    }
}

#[test]
fn the_slot_and_the_place_of_our_own_are_independent() {
    let bucketer = bucketer(Algorithm::Outrigger, "checkout");
    let mut table = [[0_u64; 10]; 10];
    each_key(|key| {
        let bucket = bucketer.of(key);
        table[usize::try_from(bucket.value / 1000).unwrap()][usize::from(bucket.place / 1000)] += 1;
    });
    let expected = KEYS as f64 / 100.0;
    let chi_square: f64 =
        table.as_flattened().iter().map(|count| (*count as f64 - expected).powi(2) / expected).sum();
    assert!(chi_square < limit(99.0), "{chi_square}");
}

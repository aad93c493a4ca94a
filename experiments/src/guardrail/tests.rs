use super::{
    Counts, Evidence, Guardrail, Measure,
    evidence::{ABOVE, BELOW},
    ln_gamma, logarithm, number, price,
    ratio::{self, Share},
    upper_gamma,
};
use filter_kit::settings::{Field, Node};
use proptest::prelude::*;
use std::cell::RefCell;

const MARGIN: f64 = 0.005;

fn counts(requests: u64, bad: u64) -> Counts {
    Counts { requests, bad }
}

/// Reads a guardrail of an experiment with the arms `a`, `b` and `c`.
fn read(config: &str) -> Result<Option<Box<Guardrail>>, String> {
    let text =
        [r#"{"arms": [{"name": "a"}, {"name": "b"}, {"name": "c"}], "guardrail": "#, config, "}"].concat();
    read_whole(&text)
}

fn read_whole(text: &str) -> Result<Option<Box<Guardrail>>, String> {
    let node = Node::parse(text.as_bytes()).map_err(|error| error.to_string())?;
    let refused = RefCell::new(None);
    let root = Field::root(&node, &refused);
    let read = Guardrail::read(&root.get("guardrail"), &root.get("arms"));
    root.finish(read).map_err(|error| error.to_string())
}

/// Counts of any size: `u64` has more of the small ones than a uniform choice would give.
fn any_counts() -> impl Strategy<Value = Counts> {
    (0_u32..64, any::<u64>(), 0_u32..64, any::<u64>()).prop_map(|(cut, requests, rare, bad)| {
        let requests = requests >> cut;
        counts(requests, (bad >> rare).min(requests))
    })
}

/// Counts as a proxy may have them in years.
fn real_counts() -> impl Strategy<Value = Counts> {
    (0_u32..40, 0_u64..1 << 40, 0_u64..=1000)
        .prop_map(|(cut, requests, share)| counts(requests >> cut, (requests >> cut) * share / 1000))
}

proptest! {
    #[test]
    fn evidence_is_a_number_whatever_was_counted(control in any_counts(), arm in any_counts(), margin in 1_u32..10_000) {
        let margin = f64::from(margin) / 10_000.0;
        let evidence = Evidence::new(1).of(control, arm, margin);
        prop_assert!(evidence.is_finite() && evidence >= 0.0, "{}", evidence);
    }

    #[test]
    fn an_arm_within_the_margin_is_never_worse(control in any_counts(), requests in any::<u64>(), share in 0.0..=1.0_f64) {
        #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share below 1 of a rate")]
        let bad = (control.bad as f64 / control.requests.max(1) as f64 * share * 0.999 * requests as f64) as u64;
        prop_assert!(Evidence::new(1).of(control, counts(requests, bad), MARGIN) <= 0.0);
    }

    #[test]
    fn another_bad_request_of_an_arm_is_more_evidence_and_of_control_is_less(control in real_counts(), arm in real_counts()) {
        let evidence = Evidence::new(1);
        let before = evidence.of(control, arm, MARGIN);
        // What rounding makes of counts that are so large.
        let off = 1e-8 + 1e-14 * number(control.requests.max(arm.requests));
        if arm.bad < arm.requests {
            let after = evidence.of(control, Counts { bad: arm.bad + 1, ..arm }, MARGIN);
            prop_assert!(after >= before - off, "{} then {}", before, after);
        }
        if control.bad < control.requests {
            let after = evidence.of(Counts { bad: control.bad + 1, ..control }, arm, MARGIN);
            prop_assert!(after <= before + off, "{} then {}", before, after);
        }
    }

    #[test]
    fn what_is_reached_is_the_evidence(control in real_counts(), arm in real_counts(), enough in 0.1..50.0_f64) {
        let evidence = Evidence::new(1);
        let least = evidence.of(control, arm, MARGIN);
        // Nearer than this, the bounds may settle on either side.
        prop_assume!((least - enough).abs() > 1e-6 * least.max(1.0));
        prop_assert_eq!(evidence.reaches(control, arm, MARGIN, enough), least >= enough);
    }

    #[test]
    fn the_evidence_is_the_least_over_all_rates_of_control(control in real_counts(), arm in real_counts()) {
        let evidence = Evidence::new(1);
        let least = evidence.of(control, arm, MARGIN);
        prop_assume!(least > 0.0);
        // By golden section, of the definition alone.
        let value = |at| direct(control, at, &BELOW) + direct(arm, at + MARGIN, &ABOVE);
        let (mut low, mut high) = (0.0, 1.0 - MARGIN);
        for _ in 0..100 {
            let (left, right) = (low + 0.382 * (high - low), low + 0.618 * (high - low));
            if value(left) < value(right) { high = right } else { low = left }
        }
        let found = value(f64::midpoint(low, high)).min(value(0.0)).min(value(1.0 - MARGIN));
        let off = 1e-7 + 1e-14 * number(control.requests.max(arm.requests));
        prop_assert!((least - found).abs() <= off, "{} is not {}", least, found);
    }

    #[test]
    fn logarithms_are_those_of_the_standard_library(exponent in -600.0..600.0_f64, near in -1.0..1.0_f64) {
        for number in [exponent.exp(), near.exp(), 1.0 + near / 1e6] {
            let (expected, got) = (number.ln(), logarithm::ln(number));
            prop_assert!((got - expected).abs() <= 4e-16 * expected.abs().max(1.0), "ln({}): {} is not {}", number, got, expected);
        }
        prop_assert!((logarithm::exp(exponent) / exponent.exp() - 1.0).abs() <= 1e-13, "e^{}", exponent);
        prop_assert!((logarithm::exp(near) / near.exp() - 1.0).abs() <= 1e-15, "e^{}", near);
    }

    #[test]
    fn workers_counts_are_merged_by_adding(first in real_counts(), second in real_counts(), third in real_counts()) {
        prop_assert_eq!(first.plus(second).plus(third), third.plus(first).plus(second));
        prop_assert_eq!(first.plus(second).since(first), second);
    }

    #[test]
    fn p_values_are_thousandths_whatever_was_counted(exposures in prop::collection::vec(any::<u64>(), 0..6), weights in prop::collection::vec(any::<u32>(), 6)) {
        let shares: Vec<Share> = exposures.iter().zip(&weights).map(|(exposures, weight)| Share { exposures: *exposures, weight: u64::from(*weight) }).collect();
        prop_assert!(ratio::chi_square(&shares) <= 1000);
        prop_assert!(ratio::sequential(&shares, 1) <= 1000);
    }
}

/// The logarithm of a mixture of likelihood ratios, as it is defined, without a search or a slope.
fn direct(counts: Counts, rate: f64, factors: &[f64]) -> f64 {
    let (requests, bad) = (number(counts.requests), number(counts.bad));
    let logs = factors.iter().map(|factor| bad * factor.ln() - requests * (rate * (factor - 1.0)).ln_1p());
    let top = logs.clone().fold(f64::NEG_INFINITY, f64::max);
    top + (logs.map(|log| (log - top).exp()).sum::<f64>() / number(factors.len() as u64)).ln()
}

#[test]
fn the_mixtures_are_martingales() {
    for rate in [0.0, 0.01, 0.3, 0.9, 1.0] {
        for factors in [&BELOW[..], &ABOVE] {
            let mean = mean(12, rate, |bad| direct(counts(12, bad), rate, factors).exp());
            assert!((mean - 1.0).abs() < 1e-12, "{rate}: {mean}");
        }
    }
}

/// The mean of a function of how many of so many are bad, at a rate.
fn mean(all: u64, rate: f64, of: impl Fn(u64) -> f64) -> f64 {
    let power = |base: f64, times: u64| (0..times).map(|_| base).product::<f64>();
    let (mut mean, mut ways) = (0.0, 1.0);
    for bad in 0..=all {
        mean += ways * power(rate, bad) * power(1.0 - rate, all - bad) * of(bad);
        ways *= number(all - bad) / number(bad + 1);
    }
    mean
}

#[test]
fn an_arm_is_closed_by_its_requests_or_by_those_of_the_window() {
    let guardrail = read(r#"{"errors": {"margin": 50}}"#).unwrap().unwrap();
    let closes = |arm, now: &[Counts], began: &[Counts], window| {
        guardrail.closes(Measure::Errors, arm, now, began, window)
    };
    let none = [Counts::default(); 3];
    let failing = [counts(9000, 90), counts(9000, 90), counts(1000, 50)];
    assert!(closes(2, &failing, &none, 0));
    assert!(!closes(1, &failing, &none, 0), "it is as good as control");
    assert!(!closes(0, &failing, &none, 0), "control has nothing to be closed for");
    assert!(!closes(7, &failing, &none, 0), "there is no such arm");
    assert!(!guardrail.closes(Measure::Latency, 2, &failing, &none, 0), "latency is not watched");
    // What was good for long hides what fails now, but not from the window.
    let long = [counts(900_000, 9000), counts(900_000, 9000), counts(100_000, 1000)];
    let now: Vec<Counts> = long.iter().zip(&failing).map(|(long, failing)| long.plus(*failing)).collect();
    assert!(!closes(2, &now, &none, 0));
    assert!(closes(2, &now, &long, 9));
    // Each window has less of alpha than the one before.
    assert!(!closes(2, &now, &long, u64::MAX));
    let prices: Vec<f64> = (0..1000).map(|window| price(Some(window))).collect();
    assert!(prices.is_sorted() && prices[0] > 0.0);
    let spent: f64 = prices.iter().map(|price| (-price).exp()).sum();
    assert!((0.9..1.0).contains(&(spent + 1.0 / (2.11 * 1001.5_f64.ln()))), "{spent}");
}

#[test]
fn alpha_is_shared_by_arms_measures_and_proxies() {
    let limit = |config: &str| read(config).unwrap().unwrap().limit.exp();
    let near = |limit: f64, expected: f64| assert!((limit / expected - 1.0).abs() < 1e-12, "{limit}");
    // Two arms beside control, all requests and windows.
    near(limit(r#"{"errors": {"margin": 50}}"#), 400.0);
    near(limit(r#"{"errors": {"margin": 50}, "latency": {"over_ms": 200, "margin": 100}}"#), 800.0);
    near(limit(r#"{"errors": {"margin": 50}, "alpha": 1, "proxies": 30}"#), 1_200_000.0);
}

#[test]
fn a_least_number_of_requests_is_waited_for() {
    let guardrail = read(r#"{"errors": {"margin": 50}, "min_requests": 100}"#).unwrap().unwrap();
    let closes = |requests| {
        guardrail.closes(Measure::Errors, 1, &[counts(1000, 0), counts(requests, requests)], &[], 0)
    };
    assert!(!closes(99));
    assert!(closes(100));
}

#[test]
fn what_is_found_in_the_end_is_as_documented() {
    // In hundredths of a percent: control's rate, one of an arm that is found and one that is not.
    for (control, found, hidden) in [(10, 61, 60), (100, 156, 155), (500, 573, 572), (2000, 2126, 2124)] {
        let evidence = |arm| {
            let slot = 10_000_000;
            Evidence::new(1).of(
                counts(90_000 * slot, 9 * slot * control),
                counts(10_000 * slot, slot * arm),
                MARGIN,
            )
        };
        assert!(
            evidence(found) > 100.0 && evidence(hidden) < 2.0,
            "{control}: {} and {}",
            evidence(found),
            evidence(hidden)
        );
    }
}

#[test]
fn requests_of_a_user_may_count_as_one() {
    let (one, four) = (Evidence::new(1), Evidence::new(4));
    for bad in [0, 10, 50, 400] {
        let few = one.of(counts(9000, 90), counts(1000, bad), MARGIN);
        let many = four.of(counts(36_000, 360), counts(4000, 4 * bad), MARGIN);
        assert!((few - many).abs() < 1e-7, "{few} is not {many}");
    }
    assert!(Evidence::new(0).of(counts(9000, 90), counts(1000, 50), MARGIN).is_finite());
}

#[test]
fn nearness_is_in_thousandths_of_what_closes() {
    let guardrail = read(r#"{"errors": {"margin": 50}}"#).unwrap().unwrap();
    let control = counts(9000, 90);
    assert_eq!(guardrail.nearness(Measure::Errors, control, counts(1000, 10)), 0);
    assert_eq!(guardrail.nearness(Measure::Latency, control, counts(1000, 1000)), 0);
    let values: Vec<(u64, bool)> = (10..60)
        .map(|bad| {
            let arm = counts(1000, bad);
            let closes = guardrail.closes(Measure::Errors, 1, &[control, arm], &[], 0);
            (guardrail.nearness(Measure::Errors, control, arm), closes)
        })
        .collect();
    assert!(values.is_sorted());
    assert!(values.iter().all(|(nearness, closes)| (*nearness >= 1000) == *closes));
    assert!(values.iter().any(|(nearness, _)| (1..1000).contains(nearness)) && values[49].1);
}

#[test]
fn a_guardrail_is_read() {
    let guardrail = read(
        r#"{"control": "b", "latency": {"over_ms": 250, "margin": 200}, "window": 2000, "min_requests": 7}"#,
    );
    let guardrail = guardrail.unwrap().unwrap();
    assert_eq!((guardrail.control, guardrail.over_ms, guardrail.window, guardrail.least), (1, 250, 2000, 7));
    assert_eq!(guardrail.margins, [None, Some(0.02)]);
    assert_eq!(Measure::ALL.map(|measure| guardrail.watches(measure)), [false, true]);
    assert!(guardrail.is_over(2500, 500) && !guardrail.is_over(2499, 500) && !guardrail.is_over(0, 500));
    let usual = read(r#"{"errors": {"margin": 1}}"#).unwrap().unwrap();
    assert_eq!((usual.control, usual.over_ms, usual.window, usual.least), (0, 0, 50_000, 0));
    assert!(read("null").unwrap().is_none());
}

#[test]
fn the_documented_guardrail_has_the_usual_numbers() {
    let docs = include_str!("../../../docs/guardrail.md");
    let block = docs.split("```json").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let documented = read_whole(block).unwrap().unwrap();
    let usual = read_whole(
        r#"{"arms": [{"name": "control"}, {"name": "b"}], "guardrail": {"errors": {"margin": 50}, "latency": {"over_ms": 500, "margin": 200}}}"#,
    );
    assert_eq!(format!("{documented:?}"), format!("{:?}", usual.unwrap().unwrap()));
}

#[test]
fn what_is_wrong_with_a_guardrail_is_said_with_its_path() {
    for (config, expected) in [
        ("{}", "guardrail: must have errors or latency, got neither"),
        ("7", "guardrail: invalid type: number `7`, expected an object"),
        (r#"{"error": 5}"#, "guardrail.error: unknown field `error`"),
        (r#"{"errors": {}}"#, "guardrail.errors.margin: must be 1..=9999, got nothing"),
        (r#"{"errors": {"margin": 0}}"#, "guardrail.errors.margin: must be 1..=9999, got 0"),
        (r#"{"errors": {"margin": 10000}}"#, "guardrail.errors.margin: must be 1..=9999, got 10000"),
        (r#"{"errors": {"margin": 0.5}}"#, "guardrail.errors.margin: must be 1..=9999, got 0.5"),
        (r#"{"latency": {"margin": 5}}"#, "guardrail.latency.over_ms: must be 1..=3600000, got nothing"),
        (
            r#"{"latency": {"over_ms": 0, "margin": 5}}"#,
            "guardrail.latency.over_ms: must be 1..=3600000, got 0",
        ),
        (r#"{"latency": {"over_ms": 9}}"#, "guardrail.latency.margin: must be 1..=9999, got nothing"),
        (
            r#"{"errors": {"margin": 5}, "control": "d"}"#,
            "guardrail.control: must be the name of an arm, got \"d\"",
        ),
        (r#"{"errors": {"margin": 5}, "alpha": 0}"#, "guardrail.alpha: must be 1..=1000, got 0"),
        (r#"{"errors": {"margin": 5}, "proxies": 0}"#, "guardrail.proxies: must be 1..=1000000000, got 0"),
        (
            r#"{"errors": {"margin": 5}, "min_requests": -1}"#,
            "guardrail.min_requests: must be 0..=1000000000, got -1",
        ),
        (
            r#"{"errors": {"margin": 5}, "requests_per_user": 0}"#,
            "guardrail.requests_per_user: must be 1..=10000, got 0",
        ),
        (r#"{"errors": {"margin": 5}, "window": 0}"#, "guardrail.window: must be 1000..=1000000000, got 0"),
    ] {
        let error = read(config).unwrap_err();
        assert!(error.contains(expected), "{config}: {error}");
    }
    let error =
        read_whole(r#"{"arms": [{"name": "a"}], "guardrail": {"errors": {"margin": 5}}}"#).unwrap_err();
    assert!(
        error.contains("arms: must be at least two, of which one is control, with a guardrail, got 1"),
        "{error}"
    );
}

#[test]
fn logarithms_have_the_known_values_at_their_ends() {
    assert_eq!(
        [1.0, 2.0, 0.5].map(|number| logarithm::ln(number).to_bits()),
        [1.0_f64, 2.0, 0.5].map(|number| number.ln().to_bits())
    );
    assert_eq!(
        [-701.0, f64::NEG_INFINITY, 0.0].map(|number| logarithm::exp(number).to_bits()),
        [0.0_f64, 0.0, 1.0].map(f64::to_bits)
    );
    assert!(logarithm::exp(f64::INFINITY).is_finite());
    assert!((logarithm::ln(f64::MAX) / f64::MAX.ln() - 1.0).abs() < 1e-15);
    assert!((logarithm::ln(f64::MIN_POSITIVE) / f64::MIN_POSITIVE.ln() - 1.0).abs() < 1e-15);
}

#[test]
fn ln_gamma_has_the_known_values() {
    // Python's math.lgamma.
    for (x, expected) in [
        (1e-6, 13.815_509_980_749_43),
        (0.001, 6.907_178_885_383_854),
        (0.5, 0.572_364_942_924_700_4),
        (1.0, 0.0),
        (1.5, -0.120_782_237_635_245_43),
        (2.0, 0.0),
        (3.7, 1.428_072_326_665_388_3),
        (10.0, 12.801_827_480_081_469),
        (15.999, 27.896_530_402_760_15),
        (16.0, 27.899_271_383_840_89),
        (100.0, 359.134_205_369_575_4),
        (12_345.678, 103_959.919_905_546_06),
        (1e6, 12_815_504.569_147_611),
        (1e10, 220_258_509_288.810_58),
        (1e15, 3.353_877_639_491_067e16),
    ] {
        let off = (ln_gamma(x) - expected).abs() / f64::max(1.0, f64::abs(expected));
        assert!(off <= 1e-13, "{x}: {} is not {expected}", ln_gamma(x));
    }
}

#[test]
fn the_tail_of_chi_square_has_the_known_values() {
    // By their closed forms, with Python's math.erfc for odd degrees of freedom.
    for (freedom, statistic, expected) in [
        (1.0, 0.01, 0.920_344_325_445_942),
        (1.0, 3.841_458_820_694_124, 0.05),
        (1.0, 30.0, 4.320_463_057_827_492e-8),
        (2.0, 0.5, 0.778_800_783_071_404_9),
        (2.0, 5.991_464_547_107_979, 0.05),
        (3.0, 7.8, 0.050_331_097_859_853_36),
        (4.0, 9.48, 0.050_159_829_104_616_686),
        (9.0, 16.9, 0.050_305_190_124_310_88),
        (10.0, 3.0, 0.981_424_063_777_859_3),
        (10.0, 40.0, 1.694_474_393_006_738_5e-5),
        (98.0, 98.0, 0.481_000_693_092_807_8),
        (98.0, 130.0, 0.016_912_939_591_529_338),
        (99.0, 123.2, 0.050_160_097_019_369_42),
    ] {
        let got = upper_gamma(freedom / 2.0, statistic / 2.0);
        assert!((got - expected).abs() <= 1e-12, "{freedom}, {statistic}: {got} is not {expected}");
    }
    assert!((upper_gamma(0.5, 0.0) - 1.0).abs() < 1e-15);
    assert!(upper_gamma(49.0, 1e300).abs() < 1e-15);
}

#[test]
fn exposures_are_compared_with_weights() {
    let shares = |exposures: &[u64], weights: &[u64]| -> Vec<Share> {
        exposures
            .iter()
            .zip(weights)
            .map(|(exposures, weight)| Share { exposures: *exposures, weight: *weight })
            .collect()
    };
    for (exposures, weights, chi_square, sequential) in [
        (&[][..], &[][..], 1000, 1000),
        (&[0, 0], &[5000, 5000], 1000, 1000),
        (&[7], &[10_000], 1000, 1000),
        // Statistic 4.0: the p-value is 0.0455.
        (&[4900, 5100], &[5000, 5000], 45, 757),
        // Statistic 16.0: 6e-5.
        (&[4800, 5200], &[5000, 5000], 0, 6),
        (&[90_000, 10_000], &[9000, 1000], 1000, 1000),
        (&[80_000, 20_000], &[9000, 1000], 0, 0),
        (&[100, 0, 100], &[5000, 0, 5000], 1000, 1000),
        (&[100, 1, 100], &[5000, 0, 5000], 0, 0),
        (&[10, 10, 10], &[0, 0, 0], 0, 0),
    ] {
        let shares = shares(exposures, weights);
        let got = (ratio::chi_square(&shares), ratio::sequential(&shares, 1));
        assert_eq!(got, (chi_square, sequential), "{exposures:?} of {weights:?}");
    }
}

#[test]
fn the_sample_ratio_evidence_is_a_martingale() {
    let mean = mean(20, 0.1, |second| {
        let shares = [Share { exposures: 20 - second, weight: 9 }, Share { exposures: second, weight: 1 }];
        ratio::log_evidence(&shares).exp()
    });
    assert!((mean - 1.0).abs() < 1e-9, "{mean}");
}

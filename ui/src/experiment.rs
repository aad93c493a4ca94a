//! Experiments: what is configured, and what Envoy has counted.

use crate::{
    history::History,
    model::{Count, round},
    plugins::Plugins,
    stats::{Histograms, Reading},
};
use serde::Serialize;
use serde_json::Value;

/// An experiment of a configuration: its arms with the share of its users that each shall have.
#[derive(Debug, Clone, PartialEq)]
pub struct Configured {
    /// Its name.
    pub name: String,
    /// Arms and shares, from 0 to 1.
    pub arms: Vec<(String, f64)>,
}

/// The experiments of a configuration of ab-routing. What is not as it must be is left out: the filter itself has refused it.
pub fn configured(config: &Value) -> Vec<Configured> {
    let mut all = Vec::new();
    for experiment in config["experiments"].as_array().into_iter().flatten() {
        let Some(name) = experiment["name"].as_str() else { continue };
        let arm = |arm: &Value| Some((arm["name"].as_str()?.to_owned(), arm["weight"].as_f64()?));
        let mut arms: Vec<_> = experiment["arms"].as_array().into_iter().flatten().filter_map(arm).collect();
        let sum: f64 = arms.iter().map(|(_, weight)| weight).sum();
        if sum > 0.0 {
            for (_, weight) in &mut arms {
                *weight /= sum;
            }
        }
        all.push(Configured { name: name.to_owned(), arms });
    }
    all
}

/// An experiment, as the page shows it.
#[derive(Debug, Serialize)]
pub struct Experiment {
    name: String,
    arms: Vec<Arm>,
    exposures: u64,
    /// How likely exposures are so far from the weights by chance; none where it is not counted.
    sample_ratio_p: Option<f64>,
    /// Requests that are in no arm, by reason.
    not_bucketed: Vec<Count>,
    /// Requests in an arm that are no exposure, by reason.
    uncounted: Vec<Count>,
    /// Whether responses are counted: `health` or `guardrail` is configured.
    has_health: bool,
    /// Whether arms can be closed.
    has_guardrail: bool,
}

#[derive(Debug, Serialize)]
struct Arm {
    name: String,
    /// From 0 to 1; none where the configuration is not known.
    expected: Option<f64>,
    exposures: u64,
    share: Option<f64>,
    per_second: f64,
    requests: Option<u64>,
    errors: Option<u64>,
    p50_ms: Option<f64>,
    p95_ms: Option<f64>,
    fallbacks: u64,
    is_closed: Option<bool>,
}

/// What is configured and what is counted, joined by names.
pub fn all(
    reading: &Reading,
    histograms: &Histograms,
    plugins: &Plugins,
    history: &History,
) -> Vec<Experiment> {
    let mut found: Vec<Configured> = plugins.experiments.clone();
    for sample in reading.of("ab_exposures_total") {
        let (name, arm) = (sample.label("experiment"), sample.label("arm"));
        let place = found.iter().position(|other| other.name == name).unwrap_or_else(|| {
            found.push(Configured { name: name.to_owned(), arms: Vec::new() });
            found.len() - 1
        });
        if let Some(experiment) = found.get_mut(place)
            && !experiment.arms.iter().any(|(other, _)| other == arm)
        {
            experiment.arms.push((arm.to_owned(), f64::NAN));
        }
    }
    found.into_iter().map(|experiment| one(experiment, reading, histograms, history)).collect()
}

fn one(configured: Configured, reading: &Reading, histograms: &Histograms, history: &History) -> Experiment {
    let name = configured.name;
    let of = |metric| reading.of(metric).filter(|sample| sample.label("experiment") == name);
    let exposures: u64 = of("ab_exposures_total").map(|sample| sample.value).sum();
    let has_health = of("ab_responses_total").next().is_some();
    let arm = |(arm, expected): (String, f64)| {
        let sum = |metric| {
            of(metric).filter(|sample| sample.label("arm") == arm).map(|sample| sample.value).sum::<u64>()
        };
        let responses = of("ab_responses_total").filter(|sample| sample.label("arm") == arm);
        let (requests, errors) = responses.fold((0, 0), |(all, failed), sample| {
            (all + sample.value, failed + if sample.label("class") == "5xx" { sample.value } else { 0 })
        });
        let bins = histograms.of("ab_duration", &[(&["experiment"], &name), (&["arm"], &arm)]);
        let own = sum("ab_exposures_total");
        #[expect(clippy::cast_precision_loss, reason = "a share")]
        let share = (exposures > 0).then(|| round(own as f64 / exposures as f64, 4));
        Arm {
            expected: (!expected.is_nan()).then(|| round(expected, 4)),
            exposures: own,
            share,
            per_second: history.rate(&["arm", &name, &arm]),
            requests: has_health.then_some(requests),
            errors: has_health.then_some(errors),
            p50_ms: bins.percentile(50).map(|value| round(value, 1)),
            p95_ms: bins.percentile(95).map(|value| round(value, 1)),
            fallbacks: sum("ab_fallbacks_total"),
            is_closed: of("ab_arm_closed")
                .find(|sample| sample.label("arm") == arm)
                .map(|sample| sample.value == 1),
            name: arm,
        }
    };
    let ratio = of("ab_sample_ratio_p_value_thousandths").next();
    #[expect(clippy::cast_precision_loss, reason = "up to a thousand")]
    let sample_ratio_p = ratio.map(|sample| sample.value as f64 / 1000.0);
    let reasons = |metric| Count::list(of(metric), "reason");
    Experiment {
        arms: configured.arms.into_iter().map(arm).collect(),
        exposures,
        sample_ratio_p,
        not_bucketed: reasons("ab_not_bucketed_total"),
        uncounted: reasons("ab_uncounted_total"),
        has_health,
        has_guardrail: of("ab_arm_closed").next().is_some(),
        name,
    }
}

//! The documentation is true.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that panics has failed, as it should")]

use filter_kit::{Environment, load};
use metrics::MetricsFilter;

const README: &str = include_str!("../README.md");
const EXAMPLE: &str = include_str!("../config.example.json");

#[test]
fn the_readme_shows_the_example_and_every_configuration_in_it_loads() {
    let blocks: Vec<&str> =
        README.split("```json\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert_eq!(blocks.first(), Some(&EXAMPLE), "copy config.example.json into README.md");
    for text in blocks {
        if let Err(error) = load::<MetricsFilter>(text.as_bytes(), &Environment::EMPTY) {
            panic!("{error}\n{text}");
        }
    }
}

#[test]
fn the_readme_lists_every_metric_of_the_default_set_and_of_the_filters_own() {
    for names in ["opentelemetry", "istio"] {
        let config = format!(r#"{{"names":"{names}"}}"#);
        let filter: MetricsFilter = load(config.as_bytes(), &Environment::EMPTY).unwrap();
        for metric in filter.catalogue().metrics() {
            assert!(README.contains(&format!("`{}`", metric.name)), "{} is not in README.md", metric.name);
            for label in &metric.labels {
                assert!(README.contains(&format!("`{label}`")), "{label} is not in README.md");
            }
        }
    }
}

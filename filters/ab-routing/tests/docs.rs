//! The documentation is true.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, as it should"
)]

use ab_routing::AbRouting;
use filter_kit::{Environment, load};

const README: &str = include_str!("../README.md");
const PROJECT_README: &str = include_str!("../../../README.md");
const EXAMPLE: &str = include_str!("../config.example.json");

/// The blocks of JSON in a text.
fn json_blocks(text: &str) -> Vec<&str> {
    text.split("```json\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

#[test]
fn the_readme_shows_the_example() {
    assert_eq!(json_blocks(README), [EXAMPLE], "copy config.example.json into README.md");
}

#[test]
fn every_configuration_in_the_docs_is_one_that_the_filter_takes() {
    let blocks = json_blocks(PROJECT_README);
    assert!(!blocks.is_empty());
    for text in blocks.into_iter().chain([EXAMPLE]) {
        if let Err(error) = load::<AbRouting>(text.as_bytes(), &Environment::EMPTY) {
            panic!("{error}\n{text}");
        }
    }
}

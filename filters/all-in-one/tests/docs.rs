//! The documentation is true.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, as it should"
)]

use all_in_one::AllInOne;
use filter_kit::{Environment, load};

const README: &str = include_str!("../README.md");
const EXAMPLE: &str = include_str!("../config.example.json");

#[test]
fn the_readme_shows_the_example_and_every_configuration_in_it_loads() {
    let blocks: Vec<&str> =
        README.split("```json\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert_eq!(blocks.first(), Some(&EXAMPLE), "copy config.example.json into README.md");
    for text in blocks {
        if let Err(error) = load::<AllInOne>(text.as_bytes(), &Environment::EMPTY) {
            panic!("{error}\n{text}");
        }
    }
}

//! The documentation is true.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, as it should"
)]

use filter_kit::{Environment, load};
use policy::Policy;

const README: &str = include_str!("../README.md");
const EXAMPLE: &str = include_str!("../config.example.json");

#[test]
fn the_readme_shows_the_example_and_every_configuration_in_it_loads() {
    let blocks: Vec<&str> =
        README.split("```json\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert_eq!(blocks.first(), Some(&EXAMPLE), "copy config.example.json into README.md");
    for text in blocks {
        match load::<Policy>(text.as_bytes(), &Environment::EMPTY) {
            Ok(policy) => assert_eq!(policy.refused(), None, "{text}"),
            Err(error) => panic!("{error}\n{text}"),
        }
    }
}

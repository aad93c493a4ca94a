//! No value gets through in any of its forms.
//!
//! The encoders and the search of the output are the test's own (`common/cases.rs`); `cli/tests/redact.rs` sends the same cases through the tool.

#[path = "common/cases.rs"]
mod cases;
mod common;

use pii::{Encoding, Engine, Place};
use std::collections::BTreeMap;

/// How many cases leak, by entity, encoding and place, with the first of each.
fn leaks(engine: &Engine, count: usize) -> (usize, BTreeMap<String, (usize, String)>) {
    let (mut all, mut leaks) = (0, BTreeMap::new());
    for case in cases::all(count, 7) {
        all += 1;
        let output = engine.redact(case.text.as_bytes(), Place::Text, None);
        if let Some(form) = cases::leak(&case.value, output.as_str()) {
            let key = format!("{} | {} | {}", case.entity, case.encoding, case.place);
            let first = format!("{} | {} | {form}", case.text, output);
            leaks.entry(key).or_insert((0, first)).0 += 1;
        }
    }
    (all, leaks)
}

#[test]
fn no_value_leaks_from_any_place_in_any_encoding() {
    let (all, leaks) = leaks(&Engine::default(), 40);
    println!("{all} cases, {} of them leak", leaks.values().map(|(count, _)| count).sum::<usize>());
    for (key, (count, first)) in &leaks {
        println!("{count:4} {key}: {first}");
    }
    assert!(all >= 200_000, "{all} cases");
    assert!(leaks.is_empty(), "{} kinds of leaks", leaks.len());
}

#[test]
fn the_leak_test_fails_when_a_decoder_is_off() {
    for encoding in [Encoding::Percent, Encoding::Json, Encoding::Html, Encoding::Base64] {
        let (all, leaks) = leaks(&Engine::default().blind_to(encoding), 1);
        let leaked: usize = leaks.values().map(|(count, _)| count).sum();
        println!("without {encoding:?}: {leaked} of {all} leak");
        assert!(leaked > 50, "{encoding:?}");
    }
}

//! The request targets of the published access log: what is personal in them, and how much else is changed.
//!
//! `cargo test -p pii --test access_log -- --nocapture` prints the figures.

mod common;

use pii::{Engine, Place};

/// What is personal in the request targets, labelled by hand: line of the file, begin and end within the target, entity.
///
/// It is all names: that of the site's author in the parameters of a campaign, and that of a user's folder. A name in a value whose key does
/// not say so is what the engine does not look for (docs/pii.md), so these are here to be counted as missed.
const LABELS: &[(usize, usize, usize, &str)] = &[
    (93, 152, 165, "name"),
    (94, 149, 162, "name"),
    (340, 146, 159, "name"),
    (341, 148, 161, "name"),
    (342, 137, 150, "name"),
    (343, 129, 142, "name"),
    (344, 152, 165, "name"),
    (345, 143, 156, "name"),
    (346, 134, 147, "name"),
    (347, 139, 152, "name"),
    (348, 133, 146, "name"),
    (349, 137, 150, "name"),
    (361, 152, 165, "name"),
    (362, 149, 162, "name"),
    (685, 152, 165, "name"),
    (686, 149, 162, "name"),
    (751, 146, 159, "name"),
    (753, 148, 161, "name"),
    (754, 137, 150, "name"),
    (755, 129, 142, "name"),
    (756, 152, 165, "name"),
    (757, 143, 156, "name"),
    (758, 134, 147, "name"),
    (759, 139, 152, "name"),
    (760, 133, 146, "name"),
    (761, 137, 150, "name"),
    (917, 152, 165, "name"),
    (918, 149, 162, "name"),
    (1039, 152, 165, "name"),
    (1122, 152, 165, "name"),
    (1123, 149, 162, "name"),
    (1343, 152, 165, "name"),
    (1344, 149, 162, "name"),
    (1456, 2, 9, "name"),
    (1480, 2, 9, "name"),
    (1608, 152, 165, "name"),
    (1609, 149, 162, "name"),
    (1870, 152, 165, "name"),
    (1871, 149, 162, "name"),
    (2063, 152, 165, "name"),
    (2064, 149, 162, "name"),
    (2232, 152, 165, "name"),
    (2233, 149, 162, "name"),
    (2236, 146, 159, "name"),
    (2237, 148, 161, "name"),
    (2239, 137, 150, "name"),
    (2240, 129, 142, "name"),
    (2241, 152, 165, "name"),
    (2242, 143, 156, "name"),
    (2245, 139, 152, "name"),
    (2246, 133, 146, "name"),
    (2247, 137, 150, "name"),
    (2361, 152, 165, "name"),
    (2362, 149, 162, "name"),
    (2447, 148, 161, "name"),
    (2448, 137, 150, "name"),
    (2449, 129, 142, "name"),
    (2450, 152, 165, "name"),
    (2451, 143, 156, "name"),
    (2452, 134, 147, "name"),
    (2453, 139, 152, "name"),
    (2454, 133, 146, "name"),
    (2455, 137, 150, "name"),
    (2553, 152, 165, "name"),
    (2554, 149, 162, "name"),
    (2879, 152, 165, "name"),
    (2880, 149, 162, "name"),
    (2931, 152, 165, "name"),
];

#[test]
fn what_is_not_personal_in_request_targets_survives() {
    let engine = Engine::default();
    let (mut all, mut outside, mut found, mut targets) = (0, 0, 0, 0);
    for (index, line) in common::text("apache_access.log").lines().enumerate() {
        let Some(target) = line.split('"').nth(1).and_then(|request| request.split(' ').nth(1)) else {
            continue;
        };
        targets += 1;
        all += target.chars().count();
        let labels: Vec<_> = LABELS.iter().filter(|(line, ..)| *line == index + 1).collect();
        for span in engine.find(target.as_bytes(), Place::Text).spans() {
            if labels.iter().any(|(_, start, end, _)| span.start < *end && *start < span.end) {
                found += 1;
            } else {
                println!("line {}: {} at {}..{}", index + 1, span.entity, span.start, span.end);
                outside += span.end - span.start;
            }
        }
    }
    println!(
        "{targets} targets, {all} characters, {outside} changed outside the labels; {found} of {} labels found",
        LABELS.len()
    );
    assert!(targets > 2900 && outside * 200 < all);
}

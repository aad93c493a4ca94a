//! WCAG 2.2 AA: text has a contrast of 4.5 to what it stands on, and what draws a control or a curve one of 3, in both themes.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;

const CSS: &str = include_str!("../src/page/page.css");

/// Texts and what they stand on.
const TEXT: [(&str, &[&str]); 9] = [
    ("ink", &["ground", "surface", "sunken", "warn-soft", "bad-soft", "accent-soft"]),
    ("muted", &["ground", "surface", "sunken"]),
    ("accent", &["ground", "surface", "accent-soft"]),
    ("good", &["surface", "good-soft"]),
    ("warn", &["surface", "warn-soft"]),
    ("bad", &["surface", "bad-soft"]),
    ("violet", &["surface", "mark"]),
    // A pressed button and the skip link.
    ("surface", &["accent"]),
    ("ink", &["mark"]),
];
/// Curves, bars, borders of controls, the outline of focus.
const SHAPES: [(&str, &[&str]); 5] = [
    ("accent", &["ground", "surface", "sunken", "accent-soft"]),
    ("bad", &["surface", "bad-soft"]),
    ("violet", &["surface", "mark"]),
    ("edge", &["ground", "surface"]),
    ("ink", &["sunken"]),
];

/// The variables' colours, light and dark.
fn colours() -> BTreeMap<&'static str, [[f64; 3]; 2]> {
    let mut all = BTreeMap::new();
    for line in CSS.lines() {
        let Some((name, value)) =
            line.trim().strip_prefix("--").and_then(|line| line.split_once(": light-dark("))
        else {
            continue;
        };
        let pair = value.strip_suffix(");").unwrap();
        let colour = |text: &str| {
            let hex = text.trim().strip_prefix('#').unwrap();
            [0, 2, 4]
                .map(|place| f64::from(u8::from_str_radix(hex.get(place..place + 2).unwrap(), 16).unwrap()))
        };
        let (light, dark) = pair.split_once(',').unwrap();
        all.insert(name, [colour(light), colour(dark)]);
    }
    all
}

/// WCAG's relative luminance of a colour in sRGB.
fn luminance(colour: [f64; 3]) -> f64 {
    let [red, green, blue] = colour.map(|value| {
        let value = value / 255.0;
        if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    });
    0.2126 * red + 0.7152 * green + 0.0722 * blue
}

fn contrast(one: [f64; 3], other: [f64; 3]) -> f64 {
    let (one, other) = (luminance(one), luminance(other));
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

#[test]
fn every_pair_has_the_contrast_of_aa_in_both_themes() {
    let colours = colours();
    let mut bad = Vec::new();
    for (pairs, least) in [(&TEXT[..], 4.5), (&SHAPES[..], 3.0)] {
        for (front, grounds) in pairs {
            for ground in *grounds {
                for (theme, place) in [("light", 0), ("dark", 1)] {
                    let [front, ground] =
                        [front, ground].map(|name| colours.get(name).unwrap().get(place).copied().unwrap());
                    let ratio = contrast(front, ground);
                    if ratio < least {
                        bad.push(format!("{theme}: {front:?} on {ground:?} has {ratio:.2} of {least}"));
                    }
                }
            }
        }
    }
    assert!(bad.is_empty(), "{bad:#?}");
}

#[test]
fn no_colour_stands_outside_the_variables() {
    for line in CSS.lines().filter(|line| !line.trim().starts_with("--")) {
        let has_hex = line.split('#').skip(1).any(|rest| {
            rest.chars().take_while(char::is_ascii_hexdigit).count() >= 3
                && line.contains(':')
                && !line.trim().starts_with('#')
        });
        assert!(!has_hex && !line.contains("rgb(") && !line.contains("hsl("), "{line}");
    }
}

//! The guardrail of an experiment, from its configuration.

use crate::guardrail::{Guardrail, Limits};
use filter_kit::settings::Field;

/// The most proxies, and the most requests of a bound.
const COUNT_LIMIT: i64 = 1_000_000_000;

/// What alpha is where nothing is said: 1 %.
const ALPHA: u64 = 100;

/// After how many requests of all arms a window is over where nothing is said.
const WINDOW: u64 = 50_000;

/// Reads a guardrail of an experiment with these arms; none where there is none.
#[inline(never)]
pub(crate) fn read(field: &Field<'_, '_>, arms: &Field<'_, '_>) -> Option<Box<Guardrail>> {
    if !field.is_given() {
        return None;
    }
    field.only(&[
        "control",
        "errors",
        "latency",
        "alpha",
        "proxies",
        "min_requests",
        "requests_per_user",
        "window",
    ]);
    let (errors, latency) = (field.get("errors"), field.get("latency"));
    errors.only(&["margin"]);
    latency.only(&["over_ms", "margin"]);
    if !errors.is_given() && !latency.is_given() {
        field.refuse("must have errors or latency, got neither");
    }
    if arms.len() < 2 {
        arms.refuse_got(
            "must be at least two, of which one is control, with a guardrail",
            &arms.len().to_string(),
        );
    }
    let control = field.get("control");
    let place = match control.text() {
        Some(name) => {
            arms.items().position(|arm| arm.get("name").text() == Some(name)).unwrap_or_else(|| {
                control.refuse_text("must be the name of an arm", name);
                0
            })
        }
        None => 0,
    };
    let over = latency.get("over_ms");
    let over_ms = if latency.is_given() { needed(&over, 3_600_000) } else { 0 };
    let margin = |of: &Field<'_, '_>| of.is_given().then(|| needed(&of.get("margin"), 9_999));
    let whole = |name, least, most, otherwise| {
        field.get(name).whole(least, most).map_or(otherwise, i64::unsigned_abs)
    };
    let limits = Limits {
        alpha: whole("alpha", 1, 1_000, ALPHA),
        proxies: whole("proxies", 1, COUNT_LIMIT, 1),
        arms: (arms.len() as u64).saturating_sub(1).max(1),
        margins: [margin(&errors), margin(&latency)],
        least: whole("min_requests", 0, COUNT_LIMIT, 0),
        per_user: whole("requests_per_user", 1, 10_000, 1),
    };
    Some(Box::new(Guardrail::new(place, over_ms, whole("window", 1_000, COUNT_LIMIT, WINDOW), &limits)))
}

/// A whole number from 1 on that must be given.
fn needed(field: &Field<'_, '_>, most: i64) -> u64 {
    if !field.is_given() {
        field.refuse(&["must be 1..=", &most.to_string(), ", got nothing"].concat());
    }
    field.whole(1, most).unwrap_or(1).unsigned_abs()
}

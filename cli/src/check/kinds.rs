//! The fields of Istio's kinds: what a manifest may have, and of what type it must be.

mod shape;
#[cfg(test)]
mod tests;

use super::{
    object::{At, Object},
    report::Report,
    rule::{distance, rules},
};
use crate::document::Data;
use serde_json::Value;
use shape::{Kind, Shape};
use std::sync::LazyLock;

rules! { "Fields of Istio's kinds";
    API_VERSION "api-version" Error
        "an object of a version that Istio does not serve is refused"
        fix "write the group and a version that Istio serves, such as `security.istio.io/v1`"
        "https://istio.io/latest/docs/reference/config/";
    UNKNOWN_FIELD "unknown-field" Error
        "a field that Istio does not know is refused, or dropped without a word where nobody validates"
        fix "write a field that the kind has, and mind the letters' case"
        "https://istio.io/latest/docs/reference/config/";
    MISSING_FIELD "missing-field" Error
        "without a required field the object is refused"
        fix "write the field"
        "https://istio.io/latest/docs/reference/config/";
    WRONG_TYPE "wrong-type" Error
        "a value of another type than the field's is refused"
        fix "write a value of the field's type; a text that looks like a number or a truth value stands in quotes"
        "https://istio.io/latest/docs/reference/config/";
    INVALID_VALUE "invalid-value" Error
        "a value out of the field's range, or none of its choices, is refused"
        fix "write one of the values that the message names"
        "https://istio.io/latest/docs/reference/config/";
}

static KINDS: LazyLock<Vec<Kind>> = LazyLock::new(|| shape::parse(include_str!("kinds.txt")));

/// Checks an object of a kind that is described.
pub fn check(object: &Object<'_>, report: &mut Report) {
    let Some(kind) = KINDS.iter().find(|kind| object.is_of(kind.group, kind.name)) else { return };
    let version = object.api_version.rsplit('/').next().unwrap_or_default();
    if object.group() != kind.group || !kind.versions.contains(&version) {
        let place = object.at.get("apiVersion").unwrap_or_else(|| object.at.clone());
        let wanted: Vec<_> =
            kind.versions.iter().map(|version| format!("`{}/{version}`", kind.group)).collect();
        let message = format!("must be {}, got `{}`", wanted.join(" or "), object.api_version);
        report.add_to(object, &API_VERSION, place.node.line, &object.at.path_of("apiVersion"), message);
    }
    for (name, field) in object.at.fields() {
        if !["apiVersion", "kind", "metadata", "spec", "status"].contains(&name) {
            let message = format!("{} has no field `{name}`: what it says stands in `spec`", kind.name);
            report.add(object, &UNKNOWN_FIELD, &field, message);
        }
    }
    match object.at.get("spec") {
        Some(spec) => value(object, &spec, &kind.spec, report),
        None if kind.name == "PeerAuthentication" || kind.name == "AuthorizationPolicy" => {}
        None => report.missing(object, &MISSING_FIELD, &object.at, "spec", "must be there"),
    }
}

fn value(object: &Object<'_>, at: &At<'_>, shape: &Shape, report: &mut Report) {
    let mut wrong = |wanted: &str| {
        report.add(object, &WRONG_TYPE, at, format!("must be {wanted}, got {}", at.show()));
    };
    match (shape, &at.node.data) {
        (Shape::Any, _)
        | (Shape::Text, Data::Scalar(Value::String(_)))
        | (Shape::Truth, Data::Scalar(Value::Bool(_))) => {}
        (Shape::Number(range), Data::Scalar(Value::Number(number))) => {
            limits(object, at, *range, number.as_f64(), report);
        }
        (Shape::Integer(range), Data::Scalar(Value::Number(number))) => {
            if !number.is_i64() && number.as_f64().is_none_or(|number| number.fract() != 0.0) {
                wrong("a whole number");
            } else {
                limits(object, at, *range, number.as_f64(), report);
            }
        }
        // Istio's CRDs let a priority be null, and nothing else.
        (Shape::Integer(_), Data::Scalar(Value::Null)) if at.path.ends_with("spec.priority") => {}
        (Shape::Duration, Data::Scalar(Value::String(text))) => {
            if !is_duration(text) {
                let message = format!("must be a duration of at least 1ms, such as `2s`, got `{text}`");
                report.add(object, &INVALID_VALUE, at, message);
            }
        }
        (Shape::OneOf(words), Data::Scalar(Value::String(text))) => {
            if !words.contains(&text.as_str()) {
                let words: Vec<_> = words.iter().filter(|word| !is_placeholder(word)).copied().collect();
                let message = format!("must be one of {}, got `{text}`", words.join(", "));
                report.add(object, &INVALID_VALUE, at, message);
            }
        }
        (Shape::List(item), Data::List(_)) => at.items().for_each(|at| value(object, &at, item, report)),
        (Shape::Map(item), Data::Map(_)) => at.fields().for_each(|(_, at)| value(object, &at, item, report)),
        (Shape::Object(fields), Data::Map(_)) => members(object, at, fields, report),
        (Shape::Text | Shape::OneOf(_), _) => wrong("a text"),
        (Shape::Truth, _) => wrong("true or false"),
        (Shape::Integer(_), _) => wrong("a whole number"),
        (Shape::Number(_), _) => wrong("a number"),
        (Shape::Duration, _) => wrong("a duration, such as `2s`"),
        (Shape::List(_), _) => wrong("a list"),
        (Shape::Map(_) | Shape::Object(_), _) => wrong("a mapping"),
    }
}

/// Checks that a number is in its range.
fn limits(object: &Object<'_>, at: &At<'_>, range: shape::Range, number: Option<f64>, report: &mut Report) {
    #[expect(clippy::cast_precision_loss, reason = "limits of fields are small")]
    let (least, most) = (range.0 as f64, range.1 as f64);
    if number.is_none_or(|number| (least..=most).contains(&number)) {
        return;
    }
    let wanted = match range {
        (least, i64::MAX) => format!("{least} or more"),
        (i64::MIN, most) => format!("{most} or less"),
        (least, most) => format!("{least}..={most}"),
    };
    report.add(object, &INVALID_VALUE, at, format!("must be {wanted}, got {}", at.show()));
}

fn members(object: &Object<'_>, at: &At<'_>, fields: &[shape::Field], report: &mut Report) {
    for (name, place) in at.fields() {
        if let Some(field) = fields.iter().find(|field| field.name == name) {
            value(object, &place, &field.shape, report);
            continue;
        }
        let far = |field: &&shape::Field| distance(&field.name.to_lowercase(), &name.to_lowercase());
        let near = fields.iter().min_by_key(far).filter(|field| far(field) <= 3);
        let hint = near.map(|field| format!("; did you mean `{}`?", field.name)).unwrap_or_default();
        report.add(object, &UNKNOWN_FIELD, &place, format!("{} has no field `{name}`{hint}", at.path));
    }
    for field in fields.iter().filter(|field| field.is_required) {
        if at.get(field.name).is_none() {
            report.missing(object, &MISSING_FIELD, at, field.name, "must be there");
        }
    }
}

/// Whether a choice is only what stands for none.
fn is_placeholder(word: &str) -> bool {
    word.starts_with("UNSPECIFIED") || ["UNDEFINED", "INVALID", "UNSET"].contains(&word)
}

/// Whether a text is a duration as Go writes them, of at least a millisecond.
fn is_duration(text: &str) -> bool {
    let mut rest = text;
    let mut milliseconds = 0.0;
    while !rest.is_empty() {
        let digits =
            rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(rest.len());
        let (number, behind) = rest.split_at(digits);
        let unit =
            behind.find(|letter: char| letter.is_ascii_digit() || letter == '.').unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(unit);
        let factor = match unit {
            "h" => 3_600_000.0,
            "m" => 60_000.0,
            "s" => 1_000.0,
            "ms" => 1.0,
            "us" | "µs" => 0.001,
            "ns" => 0.000_001,
            _ => return false,
        };
        let Ok(number) = number.parse::<f64>() else { return false };
        milliseconds += number * factor;
        rest = behind;
    }
    milliseconds >= 1.0
}

//! flagd: the operator `fractional`, in both versions.

use crate::{arm, drive, json, text};
use filter_kit::fake::Stream;
use serde_json::{Value, json};

/// Scenarios that are not run, and why.
const LEFT_OUT: [(&str, &str); 3] = [
    (
        "Fractional operator with nested if expression as variant name",
        "variants that are JSON Logic: an arm is a name",
    ),
    (
        "Fractional operator with nested var expression as variant name",
        "variants that are JSON Logic: an arm is a name",
    ),
    (
        "Fractional operator with nested if expression as weight",
        "weights that are JSON Logic: a weight is a number",
    ),
];

/// An example of a scenario: its tags, its name, and the steps with the values in them.
struct Example {
    tags: Vec<String>,
    scenario: String,
    steps: Vec<String>,
}

/// Reads as much of Gherkin as the file has.
fn examples(feature: &str) -> Vec<Example> {
    let mut examples = Vec::new();
    let (mut scenario_tags, mut scenario, mut steps) = (Vec::new(), String::new(), Vec::<String>::new());
    let (mut pending, mut tags, mut heads, mut is_outline) =
        (Vec::<String>::new(), Vec::new(), Vec::<String>::new(), true);
    let finish =
        |examples: &mut Vec<Example>, tags: &[String], scenario: &str, steps: &[String], is_outline: bool| {
            if !is_outline && !steps.is_empty() {
                examples.push(Example {
                    tags: tags.to_vec(),
                    scenario: scenario.to_owned(),
                    steps: steps.to_vec(),
                });
            }
        };
    for line in feature.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if line.starts_with('@') {
            pending.extend(line.split_whitespace().map(str::to_owned));
        } else if let Some(name) = line.strip_prefix("Scenario Outline:").or(line.strip_prefix("Scenario:")) {
            finish(&mut examples, &scenario_tags, &scenario, &steps, is_outline);
            (scenario_tags, scenario, steps) =
                (std::mem::take(&mut pending), name.trim().to_owned(), Vec::new());
            is_outline = line.starts_with("Scenario Outline:");
        } else if line.starts_with("Examples:") {
            tags = scenario_tags.iter().cloned().chain(std::mem::take(&mut pending)).collect();
            heads.clear();
        } else if line.starts_with('|') {
            let cells: Vec<String> =
                line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
            if heads.is_empty() {
                heads = cells;
                continue;
            }
            let fill = |step: &String| {
                heads
                    .iter()
                    .zip(&cells)
                    .fold(step.clone(), |step, (head, cell)| step.replace(&format!("<{head}>"), cell))
            };
            let steps = steps.iter().map(fill).collect();
            examples.push(Example { tags: tags.clone(), scenario: scenario.clone(), steps });
        } else if !line.starts_with("Feature:") && !line.starts_with("Background:") {
            steps.push(line.to_owned());
        } else {
            pending.clear();
        }
    }
    finish(&mut examples, &scenario_tags, &scenario, &steps, is_outline);
    examples
}

/// The texts between quotes.
fn quoted(step: &str) -> Vec<&str> {
    step.split('"').skip(1).step_by(2).collect()
}

/// The experiment for a flag.
fn config(flag: &str, operator: &Value, algorithm: &str) -> Value {
    let items = operator.as_array().unwrap();
    // What is hashed: the flag's key and the targeting key, or an expression of its own.
    let (seed, key, items) = match &items[0] {
        Value::Array(_) => (flag, "targetingKey", items.as_slice()),
        expression => match expression["cat"].as_array() {
            Some(parts) => {
                let seed = parts[0].as_str().unwrap_or(flag);
                assert!(parts[0].is_string() || parts[0]["var"] == "$flagd.flagKey");
                (seed, parts[1]["var"].as_str().unwrap(), &items[1..])
            }
            None => ("", expression["var"].as_str().unwrap(), &items[1..]),
        },
    };
    let one = |item: &Value| {
        let mut ours = json!({"name": item[0].as_str().map_or_else(|| item[0].to_string(), str::to_owned)});
        if let Some(weight) = item.get(1) {
            ours["weight"] = weight.clone();
        }
        ours
    };
    let arms: Vec<Value> = items.iter().map(one).collect();
    let key = key.replace("user.", "").replace('_', "-");
    json!({"experiments": [{"name": "e", "algorithm": algorithm, "seed": seed, "key": [{"header": key}], "arms": arms}]})
}

#[test]
fn fractions_are_those_of_the_evaluator() {
    let flags = json("flagd/evaluator/flags/testkit-flags.json");
    let examples = examples(&text("flagd/evaluator/gherkin/fractional.feature"));
    let mut left_out: Vec<String> = Vec::new();
    let mut ran = [0, 0];
    for Example { tags, scenario, steps } in &examples {
        if LEFT_OUT.iter().any(|(other, _)| other == scenario) {
            left_out.push(scenario.clone());
            continue;
        }
        let name =
            steps.iter().find(|step| step.contains("-flag with key")).map(|step| quoted(step)[0]).unwrap();
        let flag = &flags["flags"][name];
        let mut request = Stream::get("/");
        for step in steps.iter().filter(|step| step.contains("a context containing")) {
            let (key, value) = match quoted(step).as_slice() {
                [_, inner, value] => (*inner, *value),
                [value] => ("targetingKey", *value),
                other => panic!("{other:?}"),
            };
            request = request.header(key, value);
        }
        let expected = steps
            .iter()
            .find(|step| step.contains("details value should be"))
            .map(|step| quoted(step)[0])
            .unwrap();
        let targeting = &flag["targeting"];
        let condition = targeting["if"].as_array();
        let operator = condition.map_or(&targeting["fractional"], |parts| &parts[0]["fractional"]);
        for (place, algorithm) in ["flagd-v1", "flagd"].into_iter().enumerate() {
            let is_tagged = |version: &str| tags.iter().any(|tag| tag == version);
            let other = ["@fractional-v2", "@fractional-v1"][place];
            if is_tagged(other) {
                continue;
            }
            let outcome = drive(&config(name, operator, algorithm), &request);
            let variant = match (arm(&outcome, "x-arm"), condition) {
                (Some(arm), None) => arm,
                // A fraction of `true` and `false` is a condition.
                (Some(arm), Some(parts)) => {
                    parts[if arm == "true" { 1 } else { 2 }].as_str().unwrap().to_owned()
                }
                (None, _) => flag["defaultVariant"].as_str().unwrap().to_owned(),
            };
            assert_eq!(flag["variants"][&variant], *expected, "{algorithm} {scenario}: {steps:?}");
            ran[place] += 1;
        }
    }
    left_out.dedup();
    assert_eq!(left_out, LEFT_OUT.map(|(name, _)| name));
    assert_eq!((ran, examples.len()), ([20, 26], 54));
}

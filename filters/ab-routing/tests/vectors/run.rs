//! GrowthBook: whole experiments.

use crate::{arm, drive, json, tester, try_filter};
use filter_kit::fake::Stream;
use serde_json::{Map, Value, json};

/// Rows that are not run, and why.
const LEFT_OUT: [(&str, &str); 6] = [
    ("single variation", "one arm is an experiment here: all of its keys get it"),
    ("negative forced variation", "an arm that there is not is refused: see below"),
    ("high forced variation", "an arm that there is not is refused: see below"),
    ("Skips experiments in QA mode", "a mode of the SDK, for tests of the application"),
    ("Works in QA mode if forced in context", "a mode of the SDK, for tests of the application"),
    ("Works in QA mode if forced in experiment", "a mode of the SDK, for tests of the application"),
];

/// The header of an attribute.
fn header(attribute: &str) -> String {
    format!("x-{}", attribute.to_ascii_lowercase())
}

/// A condition on attributes.
fn matches(condition: &Value, groups: &Value) -> Value {
    let one = |(attribute, test): (&String, &Value)| {
        let exact = |value: &Value| json!({"on": "header", "name": header(attribute), "exact": value});
        match test.get("$inGroup") {
            Some(group) => {
                json!({"any": groups[group.as_str().unwrap()].as_array().unwrap().iter().map(exact).collect::<Vec<_>>()})
            }
            None => exact(test),
        }
    };
    condition.as_object().unwrap().iter().map(one).collect()
}

/// The request of a context.
pub fn request(context: &Value) -> Stream {
    let url = context["url"].as_str().unwrap_or_default().trim_start_matches("http://example.com");
    let mut request = tester(Stream::get(&format!("/{}", url.trim_start_matches('/'))));
    for (name, value) in context["attributes"].as_object().into_iter().flatten() {
        if let Some(text) = value.as_str() {
            request = request.header(&header(name), text);
        }
    }
    request
}

/// An experiment of ours for one of theirs. `arms` names the arms.
pub fn experiment(theirs: &Value, key: &str, arms: &[String]) -> Map<String, Value> {
    let mut ours = Map::new();
    let version = if theirs["hashVersion"] == 2 { "growthbook-v2" } else { "growthbook-v1" };
    ours.insert("name".to_owned(), json!(key));
    ours.insert("algorithm".to_owned(), json!(version));
    let attribute = |value: &Value| json!({"header": header(value.as_str().unwrap())});
    let mut keys = vec![theirs.get("hashAttribute").map_or_else(|| json!({"header": "x-id"}), attribute)];
    keys.extend(theirs.get("fallbackAttribute").map(attribute));
    ours.insert("key".to_owned(), json!(keys));
    let mut list: Vec<Value> = arms.iter().map(|name| json!({"name": name})).collect();
    // Ranges take the place of coverage and weights.
    for (place, arm) in list.iter_mut().enumerate() {
        match (&theirs["ranges"], &theirs["weights"]) {
            (Value::Array(ranges), _) => arm["ranges"] = json!([ranges[place]]),
            (_, Value::Array(weights)) => arm["weight"] = weights[place].clone(),
            _ => {}
        }
        // A variation that is forced upon everybody who is in has all the weight.
        if let Some(forced) = theirs["force"].as_u64() {
            arm["weight"] = json!(u8::from(forced == place as u64));
        }
    }
    ours.insert("arms".to_owned(), json!(list));
    if theirs.get("ranges").is_none() {
        ours.extend(theirs.get("coverage").map(|coverage| ("coverage".to_owned(), coverage.clone())));
    }
    for (name, field) in [("seed", "seed"), ("namespace", "namespace")] {
        ours.extend(theirs.get(name).map(|value| (field.to_owned(), value.clone())));
    }
    if let Some(filters) = theirs["filters"].as_array() {
        let filter = |theirs: &Value| {
            let mut ours = json!({"seed": theirs["seed"], "ranges": theirs["ranges"]});
            if let Some(key) = theirs.get("attribute") {
                ours["key"] = json!([attribute(key)]);
            }
            ours
        };
        ours.insert("filters".to_owned(), filters.iter().map(filter).collect());
    }
    ours
}

#[test]
fn experiments_are_run_as_the_sdk_runs_them() {
    let cases = json("growthbook/cases.json");
    let rows = cases["run"].as_array().unwrap();
    let mut ran = 0;
    let mut left_out = Vec::new();
    for row in rows {
        let [name, context, theirs, value, is_in, is_counted] = row.as_array().unwrap().as_slice() else {
            panic!("{row}")
        };
        let name = name.as_str().unwrap();
        if LEFT_OUT.iter().any(|(other, _)| *other == name) {
            left_out.push(name);
            continue;
        }
        let key = theirs["key"].as_str().unwrap();
        let variations = theirs["variations"].as_array().unwrap();
        let arms: Vec<String> = (0..variations.len()).map(|arm| arm.to_string()).collect();
        let mut ours = experiment(theirs, key, &arms);
        if let Some(condition) = theirs.get("condition") {
            ours.insert("match".to_owned(), matches(condition, &context["savedGroups"]));
        }
        if context["enabled"] == false {
            ours.insert("enabled".to_owned(), json!(false));
        }
        // One that is not active has not begun; a tester may see it.
        if theirs["active"] == false {
            ours.insert("start".to_owned(), json!("2400-01-01T00:00:00Z"));
        }
        if let Some(forced) = context["forcedVariations"].get(key) {
            let force = json!([{"arm": forced.to_string(), "keys": [context["attributes"]["id"]]}]);
            ours.insert("force".to_owned(), force);
        }
        let mut all = Vec::new();
        if let Some(parent) = theirs.get("parentConditions") {
            let (flag, wanted) = (&parent[0]["id"], &parent[0]["condition"]["value"]);
            let value = &context["features"][flag.as_str().unwrap()]["defaultValue"];
            // A flag with one value is an experiment with one arm, and another that nobody gets.
            let arms = json!([{"name": value.to_string(), "weight": 10000}, {"name": (!value.as_bool().unwrap()).to_string()}]);
            all.push(json!({"name": flag, "header": "x-parent", "key": [{"header": "x-id"}], "arms": arms}));
            let requires = json!([{"experiment": flag, "arms": [wanted.to_string()]}]);
            ours.insert("requires".to_owned(), requires);
        }
        // The required experiment stands behind the one that requires it.
        all.insert(0, Value::Object(ours));
        let config = json!({
            "overrides": {"query": key, "trusted_principals": ["spiffe://test/qa"]},
            "experiments": all,
        });
        let outcome = drive(&config, &request(context));
        let got = arm(&outcome, "x-arm");
        let expected = variations.iter().position(|variation| variation == value).unwrap().to_string();
        assert_eq!(got.is_some(), *is_in, "{row}");
        assert!(got.is_none_or(|got| got == expected), "{row}");
        let exposure = format!("ab_exposures_total;experiment={key};arm={expected}");
        assert_eq!(outcome.metrics.contains_key(&exposure), *is_counted, "{row}: {:?}", outcome.metrics);
        ran += 1;
    }
    assert_eq!(left_out, LEFT_OUT.map(|(name, _)| name));
    assert_eq!((ran, rows.len()), (67, 73));
}

#[test]
fn a_forced_arm_that_there_is_not_is_refused() {
    let config = json!({"experiments": [{
        "name": "e", "algorithm": "growthbook-v1", "key": [{"header": "x-id"}], "arms": [{"name": "0"}, {"name": "1"}],
        "force": [{"arm": "25", "keys": ["1"]}],
    }]});
    assert_eq!(
        try_filter(&config).unwrap_err(),
        "experiments[0].force[0].arm: must be the name of an arm, got \"25\""
    );
}

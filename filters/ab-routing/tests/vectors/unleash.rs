//! Unleash: rollouts, variants and stickiness.

use crate::{arm, drive, json};
use filter_kit::fake::Stream;
use serde_json::{Map, Value, json};

/// Rows that are not run, and why.
const LEFT_OUT: [(&str, &str); 3] = [
    (
        "Feature.Variants.MissingToggle should be disabled missing toggle",
        "a configuration has no experiment that is not there",
    ),
    (
        "Feature.Variants.F should be disabled when variants are empty",
        "an experiment without arms is refused",
    ),
    (
        "Feature.strategy.empty.variants should return disabled variant",
        "an experiment without arms is refused",
    ),
];

/// The header of a context's field.
fn header(field: &str) -> String {
    format!("x-{}", field.to_ascii_lowercase())
}

/// The request of a context.
fn request(context: &Value) -> Stream {
    let properties = context["properties"].as_object().into_iter().flatten();
    let fields = context.as_object().unwrap().iter().chain(properties);
    fields.fold(Stream::get("/"), |request, (name, value)| match value.as_str() {
        Some(text) => request.header(&header(name), text),
        None => request,
    })
}

/// Where the key is for a stickiness.
fn insert_key(ours: &mut Map<String, Value>, stickiness: &str) {
    let named: &[&str] = match stickiness {
        "default" => &["userId", "sessionId"],
        "random" => &[],
        other => &[other],
    };
    let keys: Vec<Value> = named.iter().map(|field| json!({"header": header(field)})).collect();
    ours.insert("key".to_owned(), json!(keys));
    // Whoever has neither is put in by chance: a new visitor.
    if matches!(stickiness, "default" | "random") {
        ours.insert("visitor_cookie".to_owned(), json!({}));
    }
}

/// The percentage, the group and the stickiness of a strategy.
fn rollout(strategy: &Value, feature: &str) -> (u64, String, String) {
    let parameter = |name: &str| strategy["parameters"][name].as_str();
    let stickiness = match strategy["name"].as_str().unwrap() {
        "default" => return (100, feature.to_owned(), "random".to_owned()),
        "gradualRolloutUserId" => "userId",
        "gradualRolloutSessionId" => "sessionId",
        "gradualRolloutRandom" => "random",
        "flexibleRollout" => parameter("stickiness").unwrap(),
        other => panic!("{other}"),
    };
    let percentage = parameter("percentage").or(parameter("rollout")).unwrap().parse().unwrap();
    (percentage, parameter("groupId").unwrap_or(feature).to_owned(), stickiness.to_owned())
}

fn base(feature: &Value, place: usize, strategy: &Value) -> Map<String, Value> {
    let mut ours = Map::new();
    ours.insert("name".to_owned(), json!(format!("s{place}")));
    ours.insert("enabled".to_owned(), feature["enabled"].clone());
    let constraint = |constraint: &Value| {
        assert_eq!(constraint["operator"], "IN");
        let name = header(constraint["contextName"].as_str().unwrap());
        let exact = |value: &Value| json!({"on": "header", "name": name, "exact": value});
        json!({"any": constraint["values"].as_array().unwrap().iter().map(exact).collect::<Vec<_>>()})
    };
    let constraints: Vec<Value> =
        strategy["constraints"].as_array().into_iter().flatten().map(constraint).collect();
    ours.insert("match".to_owned(), json!(constraints));
    ours
}

/// Whether a feature is on: the first of its strategies that says so.
fn switch(feature: &Value) -> Value {
    let strategies = feature["strategies"].as_array().unwrap();
    let experiment = |(place, strategy): (usize, &Value)| {
        let mut ours = base(feature, place, strategy);
        let (percentage, group, stickiness) = rollout(strategy, feature["name"].as_str().unwrap());
        ours.insert("algorithm".to_owned(), json!("unleash"));
        ours.insert("group".to_owned(), json!(group));
        ours.insert("arms".to_owned(), json!([{"name": "on", "weight": percentage}]));
        insert_key(&mut ours, &stickiness);
        Value::Object(ours)
    };
    json!({"experiments": strategies.iter().enumerate().map(experiment).collect::<Vec<_>>()})
}

/// The variant of a feature: those of the strategy that switches it on, or else its own.
fn variants(feature: &Value) -> Value {
    let none = json!({"name": "default"});
    let name = feature["name"].as_str().unwrap();
    let strategies = feature["strategies"].as_array().unwrap();
    let strategy = strategies.first().unwrap_or(&none);
    assert!(strategies.len() <= 1);
    let (percentage, rollout_group, rollout_stickiness) = rollout(strategy, name);
    let of_strategy = strategy["variants"].as_array().filter(|variants| !variants.is_empty());
    let list = of_strategy.unwrap_or_else(|| feature["variants"].as_array().unwrap());
    let mut ours = base(feature, 0, strategy);
    ours.insert("algorithm".to_owned(), json!("unleash-variant"));
    ours.insert("group".to_owned(), json!(if of_strategy.is_some() { &rollout_group } else { name }));
    ours.insert("coverage".to_owned(), json!(percentage));
    ours.insert("rollout_group".to_owned(), json!(rollout_group));
    let variant = |variant: &Value| json!({"name": variant["name"], "weight": variant["weight"]});
    ours.insert("arms".to_owned(), list.iter().map(variant).collect());
    let own = list[0]["stickiness"].as_str().unwrap_or("default");
    insert_key(&mut ours, if of_strategy.is_some() { &rollout_stickiness } else { own });
    let force = |variant: &Value| {
        let overrides = variant["overrides"].as_array()?;
        assert!(overrides.len() == 1 && overrides[0]["contextName"] == "userId");
        Some(json!({"arm": variant["name"], "keys": overrides[0]["values"]}))
    };
    ours.insert("force".to_owned(), list.iter().filter_map(force).collect());
    json!({"experiments": [ours]})
}

#[test]
fn rollouts_and_variants_are_those_of_the_sdk() {
    let (mut switched, mut varied, mut left_out) = (0, 0, Vec::new());
    for file in [
        "03-gradual-rollout-user-id-strategy",
        "04-gradual-rollout-session-id-strategy",
        "05-gradual-rollout-random-strategy",
        "08-variants",
        "10-flexible-rollout-strategy",
        "12-custom-stickiness",
        "16-strategy-variants",
    ] {
        let specification = json(&format!("unleash/specifications/{file}.json"));
        let features = specification["state"]["features"].as_array().unwrap();
        let find = |name: &Value| features.iter().find(|feature| feature["name"] == *name).unwrap();
        for test in specification["tests"].as_array().into_iter().flatten() {
            let config = switch(find(&test["toggleName"]));
            let outcome = drive(&config, &request(&test["context"]));
            assert_eq!(json!(arm(&outcome, "x-arm").is_some()), test["expectedResult"], "{test}\n{config:#}");
            switched += 1;
        }
        for test in specification["variantTests"].as_array().into_iter().flatten() {
            let description = test["description"].as_str().unwrap();
            if LEFT_OUT.iter().any(|(other, _)| *other == description) {
                left_out.push(description.to_owned());
                continue;
            }
            let config = variants(find(&test["toggleName"]));
            let outcome = drive(&config, &request(&test["context"]));
            let expected = &test["expectedResult"];
            let expected = if expected["enabled"] == true { expected["name"].clone() } else { Value::Null };
            assert_eq!(json!(arm(&outcome, "x-arm")), expected, "{test}\n{config:#}");
            varied += 1;
        }
    }
    assert_eq!(left_out, LEFT_OUT.map(|(description, _)| description));
    assert_eq!((switched, varied), (31, 29));
}

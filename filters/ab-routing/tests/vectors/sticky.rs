//! GrowthBook: kept assignments. Their documents are entries of our cookie, signed for the attribute and its value.

use crate::{SECRET, arm, drive, json, run};
use experiments::{
    cookie::SetCookie,
    sticky::{Kept, Sticky, Versions},
};
use filter_kit::{
    Environment, Secret,
    settings::{Field, Node},
};
use serde_json::{Value, json};
use std::cell::RefCell;

/// The cookie as the filter has it.
fn sticky() -> Sticky {
    let variable = |_: &str| Some(SECRET.to_owned());
    let node = Node::parse(br#"{"secret_env": "SECRET"}"#).unwrap();
    let refused = RefCell::default();
    let field = Field::root(&node, &refused);
    let secret = Secret::read(&field, &Environment::new(&variable));
    Sticky { cookie: SetCookie::read(&field.get("cookie"), "ab-sticky"), secret }
}

/// The assignments of a document: the attribute's header, its value, and experiment, version and arm of each.
fn assignments(document: &Value) -> Vec<(String, String, String, u32, String)> {
    let header = format!("x-{}", document["attributeName"].as_str().unwrap().to_ascii_lowercase());
    let value = document["attributeValue"].as_str().unwrap();
    let one = |(key, arm): (&String, &Value)| {
        let (experiment, version) = key.split_once("__").unwrap();
        let arm = arm.as_str().unwrap().to_owned();
        (header.clone(), value.to_owned(), experiment.to_owned(), version.parse().unwrap(), arm)
    };
    document["assignments"].as_object().unwrap().iter().map(one).collect()
}

#[test]
fn assignments_are_kept_as_the_sdk_keeps_them() {
    let cases = json("growthbook/cases.json");
    let rows = cases["stickyBucket"].as_array().unwrap();
    let sticky = sticky();
    for row in rows {
        let [name, context, documents, feature, result, expected] = row.as_array().unwrap().as_slice() else {
            panic!("{row}")
        };
        let theirs = &context["features"][feature.as_str().unwrap()]["rules"][0];
        let key = theirs["key"].as_str().unwrap_or(feature.as_str().unwrap());
        let count = theirs["variations"].as_array().unwrap().len();
        let arms: Vec<String> = (0..count).map(|arm| arm.to_string()).collect();
        let mut ours = run::experiment(theirs, key, &arms);
        if theirs["disableStickyBucketing"] != true {
            let version = |name| theirs.get(name).cloned().unwrap_or_else(|| json!(0));
            let versions = json!({"bucket_version": version("bucketVersion"), "min_bucket_version": version("minBucketVersion")});
            ours.insert("sticky".to_owned(), versions);
        }
        let config = json!({"sticky": {"secret_env": "SECRET"}, "experiments": [ours]});

        let mut cookie = String::new();
        for (header, value, experiment, version, arm) in
            documents.as_array().unwrap().iter().flat_map(assignments)
        {
            let versions = Versions { current: version, least: 0 };
            let owners = [(header.as_str(), value.as_bytes())];
            let entry = sticky.keep(b"", &experiment, versions, &arm, &owners, |_| true);
            cookie = if cookie.is_empty() { entry } else { format!("{cookie}~{entry}") };
        }
        let mut request = run::request(context);
        if !cookie.is_empty() {
            request = request.header("cookie", format!("ab-sticky={cookie}"));
        }
        let outcome = drive(&config, &request);
        let expected_arm = result.get("variationId").map(ToString::to_string);
        assert_eq!(arm(&outcome, "x-arm"), expected_arm, "{name}");

        // What the client has then: for every document that is expected, its owner has these assignments.
        let set = outcome.response_header("set-cookie");
        assert!(set.len() <= 1, "{name}: {set:?}");
        if let Some(set) = set.first() {
            cookie = set.strip_prefix("ab-sticky=").unwrap().split(';').next().unwrap().to_owned();
        }
        if result["stickyBucketUsed"] == true
            && documents.as_array().unwrap().len() == expected.as_object().unwrap().len()
        {
            assert!(set.is_empty(), "{name}: {set:?}");
        }
        for (header, value, experiment, version, arm) in
            expected.as_object().unwrap().values().flat_map(assignments)
        {
            let versions = Versions { current: version, least: 0 };
            let kept = sticky.kept(cookie.as_bytes(), &experiment, versions, &[(&header, value.as_bytes())]);
            assert_eq!(kept, Kept::Arm(arm, 0), "{name}: {experiment} of {header} in {cookie}");
        }
    }
    assert_eq!(rows.len(), 13);
}

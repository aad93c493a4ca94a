use super::{
    CONFIGURATIONS, VISITS, generate,
    random::Random,
    request,
    values::{OPERATION, SOURCE},
};
use serde_json::Value;
use std::collections::BTreeSet;

/// The fields and keys of all rules of an action, with the names in brackets left out.
fn used(policies: &[Value], action: &str) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    for policy in policies.iter().filter(|policy| super::translate::action_of(policy) == action) {
        for rule in policy["spec"]["rules"].as_array().into_iter().flatten() {
            for (list, field) in [("from", "source"), ("to", "operation")] {
                for item in rule[list].as_array().into_iter().flatten() {
                    used.extend(item[field].as_object().into_iter().flatten().map(|(name, _)| name.clone()));
                }
            }
            for condition in rule["when"].as_array().into_iter().flatten() {
                let key = condition["key"].as_str().unwrap();
                for either in ["values", "notValues"] {
                    if !condition[either].is_null() {
                        used.insert(format!("{} {either}", key.split('[').next().unwrap()));
                    }
                }
            }
        }
    }
    used
}

#[test]
fn every_field_and_key_is_in_an_allow_and_in_a_deny() {
    let mut random = Random::new(1);
    let policies: Vec<Value> =
        (0..CONFIGURATIONS).flat_map(|_| generate::configuration(&mut random, &[]).policies).collect();
    assert!(policies.len() >= 200, "{}", policies.len());
    let keys = [
        "request.headers",
        "source.ip",
        "remote.ip",
        "source.namespace",
        "source.serviceAccount",
        "source.principal",
        "source.trustDomain",
        "request.auth.principal",
        "request.auth.audiences",
        "request.auth.presenter",
        "request.auth.claims",
        "destination.ip",
        "destination.port",
        "connection.sni",
    ];
    for action in ["ALLOW", "DENY"] {
        let used = used(&policies, action);
        for field in SOURCE.iter().chain(&OPERATION) {
            let (first, rest) = field.split_at(1);
            assert!(used.contains(*field), "{action} {field}");
            assert!(used.contains(&format!("not{}{rest}", first.to_uppercase())), "{action} not {field}");
        }
        for key in keys {
            assert!(used.contains(&format!("{key} values")), "{action} {key}");
        }
    }
}

#[test]
fn a_seed_gives_the_same_requests() {
    let all = || {
        let mut random = Random::new(7);
        let configuration = generate::configuration(&mut random, &[]);
        let visits: Vec<_> = (0..VISITS).map(|_| request::visit(&mut random, &configuration)).collect();
        format!("{configuration:?} {visits:?}")
    };
    assert_eq!(all(), all());
}

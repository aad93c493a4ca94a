//! What one part tells another without a configuration of it.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, as it should"
)]

use all_in_one::AllInOne;
use filter_kit::{Environment, fake::Stream, load};
use serde_json::{Value, json};

#[test]
fn the_policys_records_stand_in_the_access_logs_lines_and_nowhere_else() {
    let policies = json!([
        {"metadata": {"name": "watch"}, "spec": {"action": "AUDIT", "rules": [{"to": [{"operation": {"paths": ["/export"]}}]}]}},
        {"metadata": {"name": "no"}, "spec": {"action": "DENY", "rules": [{"to": [{"operation": {"paths": ["/denied"]}}]}]}},
    ]);
    let lines = |config: Value, path: &str| -> Vec<Value> {
        let filter: AllInOne = load(config.to_string().as_bytes(), &Environment::EMPTY).unwrap();
        let outcome = Stream::get(path).drive(&filter);
        outcome.log.iter().map(|(_, line)| serde_json::from_str(line).unwrap()).collect()
    };
    let both = json!({"access_log": {"outputs": {"log": true}, "fields": ["status"]}, "policy": {"policies": policies}});
    let watched = json!({"verdict": "allow", "audit": ["ns[default]-policy[watch]-rule[0]"]});
    assert_eq!(lines(both.clone(), "/export"), [json!({"response_code": 200, "policy_record": watched})]);
    assert_eq!(lines(both.clone(), "/other"), [json!({"response_code": 200})]);
    let denied = &lines(both, "/denied")[0];
    assert_eq!(denied["policy_record"]["policy"], "ns[default]-policy[no]-rule[0]");
    let alone = lines(json!({"policy": {"policies": policies}}), "/export");
    assert_eq!((alone.len(), &alone[0]["policy_record"]), (1, &watched));
}

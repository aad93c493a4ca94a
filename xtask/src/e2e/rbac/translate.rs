//! AuthorizationPolicies as Envoy's own RBAC, the way Istio's pilot writes them (`pilot/pkg/security/authz/{builder,model,matcher}`).
//!
//! What the policy module decides is compared with this, so it knows nothing of the module and shares no code with it.

mod attribute;
mod matcher;
mod trust;

#[cfg(test)]
mod tests;

use attribute::Attribute;
use serde_json::{Map, Value, json};

const RBAC: &str = "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC";

/// A value that Istio cannot translate, and why.
type Bad = String;

/// The two halves of a rule of RBAC, which name their sets differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    /// What is asked for.
    Permission,
    /// Who asks.
    Principal,
}

/// A field of a source or an operation, or a condition: `values` and its not-twin.
#[derive(Debug, Clone)]
struct Condition {
    attribute: Attribute,
    values: Vec<String>,
    not_values: Vec<String>,
}

/// The actions in the order in which Istio lays out their filters, with their names in RBAC and the prefix of the statistics of dry runs.
const ACTIONS: [(&str, &str, &str); 3] = [
    ("AUDIT", "LOG", ""),
    ("DENY", "DENY", "istio_dry_run_deny_"),
    ("ALLOW", "ALLOW", "istio_dry_run_allow_"),
];

impl Side {
    fn all(self, of: &[Value]) -> Value {
        match self {
            Self::Permission => json!({"and_rules": {"rules": of}}),
            Self::Principal => json!({"and_ids": {"ids": of}}),
        }
    }

    fn any(self, of: &[Value]) -> Value {
        match self {
            Self::Permission => json!({"or_rules": {"rules": of}}),
            Self::Principal => json!({"or_ids": {"ids": of}}),
        }
    }

    fn not(self, of: &Value) -> Value {
        match self {
            Self::Permission => json!({"not_rule": of}),
            Self::Principal => json!({"not_id": of}),
        }
    }
}

/// The filters of the policies: AUDIT, DENY, ALLOW, each where there is a policy of its action.
pub fn filters(policies: &[Value], trust_domains: &[String]) -> Vec<Value> {
    let mut filters = Vec::new();
    for (action, name, prefix) in ACTIONS {
        let of_action: Vec<&Value> = policies.iter().filter(|policy| action_of(policy) == action).collect();
        if of_action.is_empty() {
            continue;
        }
        let (enforced, tried): (Vec<&Value>, Vec<&Value>) =
            of_action.iter().partition(|policy| !is_dry_run(policy));
        let mut config = json!({"@type": RBAC});
        if !enforced.is_empty() {
            config["rules"] = json!({"action": name, "policies": rules(&enforced, action, trust_domains)});
        }
        if !tried.is_empty() {
            config["shadow_rules"] =
                json!({"action": name, "policies": rules(&tried, action, trust_domains)});
            config["shadow_rules_stat_prefix"] = json!(prefix);
        }
        filters.push(json!({"name": "envoy.filters.http.rbac", "typed_config": config}));
    }
    filters
}

/// The action of a policy; one that names none allows.
pub fn action_of(policy: &Value) -> &str {
    policy["spec"]["action"].as_str().unwrap_or("ALLOW")
}

/// Whether a policy is only tried: the annotation is read as Go reads a boolean.
pub fn is_dry_run(policy: &Value) -> bool {
    let annotation = policy["metadata"]["annotations"]["istio.io/dry-run"].as_str();
    annotation.is_some_and(|text| matches!(text, "1" | "t" | "T" | "true" | "TRUE" | "True"))
}

/// The rules of all policies of an action, by their names.
fn rules(policies: &[&Value], action: &str, trust_domains: &[String]) -> Map<String, Value> {
    let mut all = Map::new();
    for policy in policies {
        let namespace = policy["metadata"]["namespace"].as_str().unwrap_or_default();
        let name = policy["metadata"]["name"].as_str().unwrap_or_default();
        let id = |number: usize| format!("ns[{namespace}]-policy[{name}]-rule[{number}]");
        let list = policy["spec"]["rules"].as_array().map(Vec::as_slice).unwrap_or_default();
        if list.is_empty() {
            let never = json!({"permissions": [{"not_rule": {"any": true}}], "principals": [{"not_id": {"any": true}}]});
            all.insert(id(0), never);
        }
        for (number, rule) in list.iter().enumerate().filter(|(_, rule)| !rule.is_null()) {
            // An attribute that nobody knows, and in ALLOW any bad value, costs the whole rule.
            if let Ok(rule) = translate(rule, namespace, action, trust_domains) {
                all.insert(id(number), rule);
            }
        }
    }
    all
}

fn translate(rule: &Value, namespace: &str, action: &str, trust_domains: &[String]) -> Result<Value, Bad> {
    let mut when = (Vec::new(), Vec::new());
    for condition in items(&rule["when"]) {
        let key = condition["key"].as_str().unwrap_or_default();
        let attribute = Attribute::of_key(key)?;
        let of_side = if attribute.side() == Side::Permission { &mut when.0 } else { &mut when.1 };
        of_side.extend(Condition::new(attribute, &condition["values"], &condition["notValues"]));
    }
    let halves = [
        (Side::Permission, &rule["to"], "operation", Attribute::OF_OPERATION.as_slice(), when.0),
        (Side::Principal, &rule["from"], "source", Attribute::OF_SOURCE.as_slice(), when.1),
    ];
    let mut translated = halves.into_iter().map(|(side, list, field, attributes, when)| {
        let mut alternatives = Vec::new();
        for item in items(list) {
            let mut conditions = Vec::new();
            for (name, not_name, attribute) in attributes {
                let of = &item[field];
                conditions.extend(Condition::new(attribute.clone(), &of[*name], &of[*not_name]));
            }
            conditions.extend(when.iter().cloned());
            alternatives.push(conditions);
        }
        if alternatives.is_empty() {
            alternatives.push(when);
        }
        let all = |conditions: &Vec<Condition>| side_of(side, conditions, namespace, action, trust_domains);
        alternatives.iter().map(all).collect::<Result<Vec<Value>, Bad>>()
    });
    let mut next = || translated.next().unwrap_or_else(|| Ok(Vec::new()));
    let (permissions, principals) = (next()?, next()?);
    Ok(json!({"permissions": permissions, "principals": principals}))
}

/// All conditions of one source or operation, and of `when`.
fn side_of(
    side: Side,
    conditions: &[Condition],
    namespace: &str,
    action: &str,
    trust_domains: &[String],
) -> Result<Value, Bad> {
    let mut all = Vec::new();
    for condition in conditions {
        let attribute = &condition.attribute;
        for (values, is_not) in [(&condition.values, false), (&condition.not_values, true)] {
            let values = trust::migrate(attribute, values, trust_domains);
            if values.is_empty() {
                continue;
            }
            let matched = match attribute.of_all(&values) {
                Some(Ok(matched)) => Some(matched),
                Some(Err(bad)) => keep_if_allowing(action, bad).map(|()| None)?,
                None => {
                    let mut any = Vec::new();
                    for value in &values {
                        match attribute.of_one(value, namespace) {
                            Ok(matched) => any.push(matched),
                            Err(bad) => keep_if_allowing(action, bad)?,
                        }
                    }
                    (!any.is_empty()).then(|| side.any(&any))
                }
            };
            all.extend(matched.map(|matched| if is_not { side.not(&matched) } else { matched }));
        }
    }
    if all.is_empty() {
        all.push(json!({"any": true}));
    }
    Ok(side.all(&all))
}

/// A bad value makes an ALLOW rule bad as a whole, so that less is allowed; elsewhere it is left out, so that more is denied.
fn keep_if_allowing(action: &str, bad: Bad) -> Result<(), Bad> {
    if action == "ALLOW" { Err(bad) } else { Ok(()) }
}

impl Condition {
    /// Nothing if there is no value at all.
    fn new(attribute: Attribute, values: &Value, not_values: &Value) -> Option<Self> {
        let condition = Self { attribute, values: strings(values), not_values: strings(not_values) };
        (condition.values.len() + condition.not_values.len() > 0).then_some(condition)
    }
}

fn items(list: &Value) -> &[Value] {
    list.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn strings(list: &Value) -> Vec<String> {
    items(list).iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

//! Translations that are wrong in one thing each. The comparison must find every one of them, or it would not find the module's errors either.

use super::{
    generate::Configuration,
    values::{BAD, UNKNOWN},
};
use serde_json::{Value, json};

/// One thing that is wrong.
#[derive(Debug, Clone, Copy)]
pub struct Fault {
    /// What is wrong.
    pub name: &'static str,
    how: How,
}

#[derive(Debug, Clone, Copy)]
enum How {
    /// Before the translation.
    Configuration(fn(&mut Configuration)),
    /// In the translated filters, at every node.
    Node(fn(&mut Value)),
}

impl Fault {
    /// Changes what is translated.
    pub fn before(&self, configuration: &mut Configuration) {
        if let How::Configuration(change) = self.how {
            change(configuration);
        }
    }

    /// Changes the translation.
    pub fn after(&self, filters: &mut [Value]) {
        if let How::Node(change) = self.how {
            for filter in filters {
                each(filter, change);
            }
        }
    }
}

const fn node(name: &'static str, change: fn(&mut Value)) -> Fault {
    Fault { name, how: How::Node(change) }
}

const fn configuration(name: &'static str, change: fn(&mut Configuration)) -> Fault {
    Fault { name, how: How::Configuration(change) }
}

/// All of them.
pub const FAULTS: [Fault; 36] = [
    node("the case of methods counts for nothing", |value| {
        if value["name"] == ":method" && value["string_match"].is_object() {
            value["string_match"]["ignore_case"] = json!(true);
        }
    }),
    node("the case of hosts counts", |value| drop(remove(value, "ignore_case"))),
    node("the port of a host counts for nothing", |value| {
        if value["name"] == ":authority" && !value["string_match"]["exact"].is_null() {
            let text = value["string_match"]["exact"].as_str().unwrap_or_default().to_owned();
            value["string_match"] = json!({"prefix": text, "ignore_case": true});
        }
    }),
    node("not-twins of operations count for nothing", |value| become_any(value, "not_rule")),
    node("not-twins of sources count for nothing", |value| become_any(value, "not_id")),
    node("a path's suffix is anywhere in it", |value| {
        if let Some(text) = value.get_mut("path").and_then(|path| remove(path, "suffix")) {
            value["path"] = json!({"contains": text});
        }
    }),
    node("a path's prefix is all of it", |value| {
        if let Some(text) = value.get_mut("path").and_then(|path| remove(path, "prefix")) {
            value["path"] = json!({"exact": text});
        }
    }),
    node("the query is part of the path", |value| {
        if let Some(mut path) = remove(value, "url_path") {
            value["header"] = json!({"name": ":path", "string_match": path["path"].take()});
        }
    }),
    node("a template's {**} is one segment", |value| replace(value, "path_template", "**", "*")),
    node("a template's {*} is any path", |value| {
        if value["path_template"]
            .as_str()
            .is_some_and(|text| text.ends_with("/*") && text.matches('*').count() == 1)
        {
            replace(value, "path_template", "/*", "/**");
        }
    }),
    node("the direct peer is the client", |value| rename(value, "direct_remote_ip", "remote_ip")),
    node("the client is the direct peer", |value| rename(value, "remote_ip", "direct_remote_ip")),
    node("a block is one bit longer", |value| {
        if let Some(length) = value["prefix_len"].as_u64().filter(|length| *length % 32 != 0) {
            value["prefix_len"] = json!(length + 1);
        }
    }),
    node("the destination's address counts for nothing", |value| become_any(value, "destination_ip")),
    node("the destination's port counts for nothing", |value| become_any(value, "destination_port")),
    node("the server's name counts for nothing", |value| become_any(value, "requested_server_name")),
    node("a star's text may be empty", |value| {
        if value["regex"] == ".+" {
            value["regex"] = json!(".*");
        }
    }),
    node("an empty header is none", |value| {
        if remove(value, "present_match").is_some() {
            value["string_match"] = json!({"safe_regex": {"regex": ".+"}});
        }
    }),
    node("a header's prefix is anywhere in it", |value| {
        if value["name"].as_str().is_some_and(|name| !name.starts_with(':'))
            && let Some(matcher) = value.get_mut("string_match")
        {
            rename(matcher, "prefix", "contains");
        }
    }),
    node("a claim is no list", |value| keep_of_claim(value, 1)),
    node("a claim is a list", |value| keep_of_claim(value, 0)),
    node("the subject counts for nothing", |value| {
        if value["metadata"]["path"][1]["key"] == "sub" {
            become_any(value, "metadata");
        }
    }),
    node("nested claims are one claim", |value| {
        let path = value.get_mut("path").and_then(Value::as_array_mut);
        if let Some(path) = path.filter(|path| path.len() == 3) {
            path.pop();
        }
    }),
    node("metadata of filters is no list", |value| {
        if !value["list_match"].is_null() && value["list_match"]["one_of"]["or_match"].is_null() {
            let inner = value["list_match"]["one_of"].take();
            *value = inner;
        }
    }),
    node("a principal ends anywhere", |value| {
        if let Some(name) = value.get_mut("principal_name") {
            rename(name, "exact", "prefix");
        }
    }),
    node("a trust domain ends anywhere", |value| {
        if let Some(name) = value.get_mut("principal_name")
            && let Some(text) = name["prefix"].as_str().and_then(|text| text.strip_suffix('/'))
        {
            *name = json!({"prefix": text});
        }
    }),
    node("dots in names stand for any character", |value| replace(value, "regex", "\\.", ".")),
    node("nothing stands before an account", |value| replace(value, "regex", "(.+/|)", "")),
    node("nothing stands after an account", |value| replace(value, "regex", "(/.+)?", "")),
    configuration("trust domains have no aliases", |configuration| configuration.trust_domains.truncate(1)),
    configuration("accounts are of one namespace", |configuration| {
        for policy in &mut configuration.policies {
            policy["metadata"]["namespace"] = json!("default");
        }
    }),
    configuration("a dry run is in earnest", |configuration| {
        for policy in &mut configuration.policies {
            remove(&mut policy["metadata"], "annotations");
        }
    }),
    configuration("AUDIT denies", |configuration| {
        for policy in configuration.policies.iter_mut().filter(|policy| policy["spec"]["action"] == "AUDIT") {
            policy["spec"]["action"] = json!("DENY");
        }
    }),
    configuration("no rules are any request", |configuration| {
        for policy in configuration.policies.iter_mut().filter(|policy| policy["spec"]["rules"].is_null()) {
            policy["spec"]["rules"] = json!([{}]);
        }
    }),
    configuration("an unknown attribute costs itself alone", |configuration| {
        configuration.policies.iter_mut().for_each(|policy| {
            each(policy, |value| {
                if let Some(when) = value.get_mut("when").and_then(Value::as_array_mut) {
                    let is_known = |condition: &Value| {
                        condition["key"].as_str().is_some_and(|key| !UNKNOWN.contains(&key))
                    };
                    when.retain(is_known);
                }
            });
        });
    }),
    configuration("a bad value costs a rule of DENY", |configuration| {
        for policy in configuration.policies.iter_mut().filter(|policy| policy["spec"]["action"] == "DENY") {
            if let Some(rules) = policy["spec"]["rules"].as_array_mut() {
                let is_bad =
                    |rule: &Value| BAD.iter().any(|bad| rule.to_string().contains(&format!("\"{bad}\"")));
                rules.retain(|rule| !is_bad(rule));
            }
        }
    }),
];

fn each(value: &mut Value, change: impl Fn(&mut Value) + Copy) {
    change(value);
    match value {
        Value::Object(fields) => fields.iter_mut().for_each(|(_, value)| each(value, change)),
        Value::Array(items) => items.iter_mut().for_each(|value| each(value, change)),
        _ => {}
    }
}

fn remove(value: &mut Value, field: &str) -> Option<Value> {
    value.as_object_mut().and_then(|fields| fields.remove(field))
}

fn rename(value: &mut Value, field: &str, other: &str) {
    if let Some(inner) = remove(value, field) {
        value[other] = inner;
    }
}

/// Of a claim's two matchers, for a list and for one value, only one.
fn keep_of_claim(value: &mut Value, place: usize) {
    let both = &value["or_match"]["value_matchers"];
    if both[0]["list_match"]["one_of"] == both[1] && !both[1].is_null() {
        *value = both[place].clone();
    }
}

/// A matcher with this field becomes one that anything meets.
fn become_any(value: &mut Value, field: &str) {
    if value.get(field).is_some() {
        *value = json!({"any": true});
    }
}

fn replace(value: &mut Value, field: &str, text: &str, other: &str) {
    if let Some(old) = value.get(field).and_then(Value::as_str) {
        value[field] = json!(old.replace(text, other));
    }
}

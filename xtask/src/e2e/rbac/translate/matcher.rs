//! Envoy's matchers, as Istio writes them.

use super::Bad;
use serde_json::{Value, json};
use std::net::IpAddr;

/// All of a string.
pub fn exact(text: &str, ignore_case: bool) -> Value {
    with_case(json!({"exact": text}), ignore_case)
}

/// A string's beginning.
pub fn prefix(text: &str, ignore_case: bool) -> Value {
    with_case(json!({"prefix": text}), ignore_case)
}

/// A string's end.
pub fn suffix(text: &str, ignore_case: bool) -> Value {
    with_case(json!({"suffix": text}), ignore_case)
}

/// A regex for all of a string.
pub fn regex(text: &str) -> Value {
    json!({"safe_regex": {"regex": text}})
}

fn with_case(mut matcher: Value, ignore_case: bool) -> Value {
    if ignore_case {
        matcher["ignore_case"] = json!(true);
    }
    matcher
}

/// A value with a star at its beginning, at its end, alone, or nowhere: they are looked for in this order.
pub fn string(value: &str) -> Value {
    string_after("", value)
}

/// As [`string`], with text before what the value stands for, unless that is anything at all.
pub fn string_after(before: &str, value: &str) -> Value {
    if value == "*" {
        regex(".+")
    } else if let Some(end) = value.strip_prefix('*') {
        if before.is_empty() { suffix(end, false) } else { regex(&format!("{before}.*{}", quote(end))) }
    } else if let Some(beginning) = value.strip_suffix('*') {
        prefix(&format!("{before}{beginning}"), false)
    } else {
        exact(&format!("{before}{value}"), false)
    }
}

/// A header; a star alone asks whether it is there.
pub fn header(name: &str, value: &str) -> Value {
    header_matcher(name, value, false)
}

/// The host, whose case is nothing.
pub fn host(value: &str) -> Value {
    header_matcher(":authority", value, true)
}

fn header_matcher(name: &str, value: &str, ignore_case: bool) -> Value {
    let matcher = if value == "*" {
        return json!({"name": name, "present_match": true});
    } else if let Some(end) = value.strip_prefix('*') {
        suffix(end, ignore_case)
    } else if let Some(beginning) = value.strip_suffix('*') {
        prefix(beginning, ignore_case)
    } else {
        exact(value, ignore_case)
    };
    json!({"name": name, "string_match": matcher})
}

/// Dynamic metadata of a filter.
pub fn metadata(filter: &str, path: &[&str], value: &Value) -> Value {
    let path: Vec<Value> = path.iter().map(|key| json!({"key": key})).collect();
    json!({"filter": filter, "path": path, "value": value})
}

/// A claim of the token that is a string.
pub fn claim(name: &str, matcher: &Value) -> Value {
    let value = json!({"string_match": matcher});
    json!({"metadata": metadata("envoy.filters.http.jwt_authn", &["payload", name], &value)})
}

/// An element of a list that matches, or the value itself.
pub fn list_or_one(value: &Value) -> Value {
    json!({"or_match": {"value_matchers": [{"list_match": {"one_of": value}}, value]}})
}

/// An address, or a block of them, as Go's `netip` reads it.
pub fn cidr(value: &str) -> Result<Value, Bad> {
    let bad = || format!("invalid address {value}");
    let (address, length) = match value.split_once('/') {
        None => (value, None),
        Some((address, length)) => (address, Some(length)),
    };
    let address: IpAddr = address.parse().map_err(|_| bad())?;
    let bits = if address.is_ipv4() { 32 } else { 128 };
    let length = match length {
        None => bits,
        Some(text) => {
            let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
            let is_plain = is_number && (text.len() == 1 || !text.starts_with('0'));
            text.parse::<u32>().ok().filter(|length| is_plain && *length <= bits).ok_or_else(bad)?
        }
    };
    Ok(json!({"address_prefix": address.to_string(), "prefix_len": length}))
}

/// A text that a regex takes as it is.
pub fn quote(text: &str) -> String {
    let mut quoted = String::new();
    for character in text.chars() {
        if r"\.+*?()|[]{}^$".contains(character) {
            quoted.push('\\');
        }
        quoted.push(character);
    }
    quoted
}

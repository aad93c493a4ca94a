//! Dynamic metadata as one message, `envoy.config.core.v3.Metadata`: what Envoy answers a plugin that asks for all of it.

use serde_json::Value;
use std::collections::BTreeMap;

/// The wire types of protobuf that are needed.
const VARINT: u8 = 0;
const FIXED: u8 = 1;
const BYTES: u8 = 2;

/// The message of all filters' metadata. The order of a map is any in Envoy; here it is that of the names.
pub(crate) fn message(metadata: &BTreeMap<String, Value>) -> Vec<u8> {
    let mut all = Vec::new();
    for (filter, value) in metadata {
        entry(&mut all, filter, &fields(value));
    }
    all
}

/// The fields of a `google.protobuf.Struct`.
fn fields(value: &Value) -> Vec<u8> {
    let mut all = Vec::new();
    for (name, value) in value.as_object().into_iter().flatten() {
        entry(&mut all, name, &of(value));
    }
    all
}

/// An entry of the map that is field 1.
fn entry(into: &mut Vec<u8>, key: &str, value: &[u8]) {
    let mut entry = Vec::new();
    bytes(&mut entry, 1, key.as_bytes());
    bytes(&mut entry, 2, value);
    bytes(into, 1, &entry);
}

/// A `google.protobuf.Value`.
fn of(value: &Value) -> Vec<u8> {
    let mut message = Vec::new();
    match value {
        Value::Null => message.extend([1 << 3 | VARINT, 0]),
        Value::Number(number) => {
            message.push(2 << 3 | FIXED);
            message.extend(number.as_f64().unwrap_or(0.0).to_le_bytes());
        }
        Value::String(text) => bytes(&mut message, 3, text.as_bytes()),
        Value::Bool(value) => message.extend([4 << 3 | VARINT, u8::from(*value)]),
        Value::Object(_) => bytes(&mut message, 5, &fields(value)),
        Value::Array(items) => {
            let mut list = Vec::new();
            for item in items {
                bytes(&mut list, 1, &of(item));
            }
            bytes(&mut message, 6, &list);
        }
    }
    message
}

fn bytes(into: &mut Vec<u8>, field: u8, value: &[u8]) {
    into.push(field << 3 | BYTES);
    let mut left = value.len();
    while left > 0x7f {
        into.push(u8::try_from(left & 0x7f).unwrap_or(0) | 0x80);
        left >>= 7;
    }
    into.push(u8::try_from(left).unwrap_or(0));
    into.extend(value);
}

#[cfg(test)]
mod tests {
    use super::message;
    use serde_json::json;

    #[test]
    fn metadata_is_the_message_that_protobuf_writes() {
        let all = [("f".to_owned(), json!({"a": "b", "l": [true, null], "n": 1.0, "s": {"x": ""}}))].into();
        // As Google's own library writes it, deterministically.
        let expected = "0a420a0166123d0a080a016112031a01620a0f0a016c120a32080a0220010a0208000a0e0a016e120911000000000000f03f0a100a0173120b2a090a070a017812021a00";
        let pairs = expected.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
        let expected: Vec<u8> = pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect();
        assert_eq!(message(&all), expected);
    }
}

//! What the tests of several parts need.

use serde_json::Value;

fn tagged(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    let mut size = bytes.len();
    while size >= 0x80 {
        out.push(u8::try_from(size & 0x7f).unwrap() | 0x80);
        size >>= 7;
    }
    out.push(u8::try_from(size).unwrap());
    out.extend(bytes);
    out
}

fn fields(value: &Value) -> Vec<u8> {
    let entry = |(key, value): (&String, &Value)| {
        tagged(1, &[tagged(1, key.as_bytes()), tagged(2, &wire(value))].concat())
    };
    value.as_object().unwrap().iter().flat_map(entry).collect()
}

/// A `google.protobuf.Value` on the wire.
fn wire(value: &Value) -> Vec<u8> {
    match value {
        Value::Null => vec![0x08, 0],
        Value::Number(number) => [&[0x11][..], &number.as_f64().unwrap().to_le_bytes()].concat(),
        Value::String(text) => tagged(3, text.as_bytes()),
        Value::Bool(value) => vec![0x20, u8::from(*value)],
        Value::Object(_) => tagged(5, &fields(value)),
        Value::Array(items) => {
            tagged(6, &items.iter().flat_map(|item| tagged(1, &wire(item))).collect::<Vec<_>>())
        }
    }
}

/// An `envoy.config.core.v3.Metadata` on the wire: filters, and what each has left there.
pub fn metadata(filters: &Value) -> Vec<u8> {
    let entry = |(name, value): (&String, &Value)| {
        tagged(1, &[tagged(1, name.as_bytes()), tagged(2, &fields(value))].concat())
    };
    filters.as_object().unwrap().iter().flat_map(entry).collect()
}

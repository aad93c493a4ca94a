//! Dynamic metadata as Envoy serialises it: `envoy.config.core.v3.Metadata`, in the protobuf wire format.

use crate::settings::Node;

/// The message of what filters have left: an object of filters' names, each with an object.
pub fn metadata(filters: &Node<'_>) -> Vec<u8> {
    entries(filters, fields)
}

/// A map that is field 1 of its message.
fn entries(map: &Node<'_>, value_of: impl Fn(&Node<'_>) -> Vec<u8>) -> Vec<u8> {
    let Node::Map(entries) = map else { return Vec::new() };
    let entry = |(name, value): &(_, Node<'_>)| {
        let name: &std::borrow::Cow<'_, str> = name;
        tagged(1, &[tagged(1, name.as_bytes()), tagged(2, &value_of(value))].concat())
    };
    entries.iter().flat_map(entry).collect()
}

/// A `google.protobuf.Struct`.
fn fields(value: &Node<'_>) -> Vec<u8> {
    entries(value, wire)
}

/// A `google.protobuf.Value`.
fn wire(value: &Node<'_>) -> Vec<u8> {
    match value {
        Node::Null => vec![0x08, 0],
        Node::Number(number) => {
            [&[0x11][..], &number.parse::<f64>().unwrap_or_default().to_le_bytes()].concat()
        }
        Node::String(text) => tagged(3, text.as_bytes()),
        Node::Bool(value) => vec![0x20, u8::from(*value)],
        Node::Map(_) => tagged(5, &fields(value)),
        Node::List(items) => {
            tagged(6, &items.iter().flat_map(|item| tagged(1, &wire(item))).collect::<Vec<_>>())
        }
    }
}

/// A field of bytes, behind its number and its length.
fn tagged(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    let mut size = bytes.len();
    while size >= 0x80 {
        out.push(size.to_le_bytes().first().copied().unwrap_or_default() | 0x80);
        size >>= 7;
    }
    out.extend(size.to_le_bytes().first());
    out.extend(bytes);
    out
}

//! Dynamic metadata as Envoy serialises it: `envoy.config.core.v3.Metadata`, in the protobuf wire format.
//!
//! One host call has all of it, and the types of its values, which the host loses where it is asked for one value.

/// A value of a `google.protobuf.Struct`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'m> {
    /// A string.
    String(&'m [u8]),
    /// A list, as it is on the wire.
    List(List<'m>),
    /// A struct, as it is on the wire.
    Struct(&'m [u8]),
    /// A number, a boolean or null.
    Other,
}

/// A list, as it is on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct List<'m>(&'m [u8]);

impl<'m> List<'m> {
    /// Its strings; what else is in it is left out.
    pub fn strings(self) -> impl Iterator<Item = &'m [u8]> {
        fields(self.0).filter_map(|(number, field)| match (number, field) {
            (1, Wire::Bytes(value)) => match Value::read(value) {
                Value::String(text) => Some(text),
                _ => None,
            },
            _ => None,
        })
    }
}

impl<'m> Value<'m> {
    /// The value in the metadata of a filter under these keys, one inside the other; `None` where it is not there.
    pub fn find<'k>(metadata: &'m [u8], path: impl IntoIterator<Item = &'k [u8]>) -> Option<Self> {
        let mut path = path.into_iter();
        // Both maps are field 1 of their message: filters by name, and fields of a struct.
        let mut here = entry(metadata, path.next()?)?;
        let mut value = Self::Struct(here);
        for key in path {
            let Self::Struct(inner) = value else { return None };
            here = entry(inner, key)?;
            value = Self::read(here);
        }
        Some(value)
    }

    fn read(value: &'m [u8]) -> Self {
        let read = fields(value).last();
        match read {
            Some((3, Wire::Bytes(text))) => Self::String(text),
            // A default value is on the wire as nothing at all.
            Some((5, Wire::Bytes(inner))) => Self::Struct(inner),
            Some((6, Wire::Bytes(items))) => Self::List(List(items)),
            _ => Self::Other,
        }
    }
}

/// The value under a key of a map that is field 1 of the message.
fn entry<'m>(message: &'m [u8], key: &[u8]) -> Option<&'m [u8]> {
    let mut found = None;
    for (number, field) in fields(message) {
        if let (1, Wire::Bytes(entry)) = (number, field) {
            let mut name: &[u8] = &[];
            let mut value: &[u8] = &[];
            for part in fields(entry) {
                match part {
                    (1, Wire::Bytes(bytes)) => name = bytes,
                    (2, Wire::Bytes(bytes)) => value = bytes,
                    _ => {}
                }
            }
            if name == key {
                found = Some(value);
            }
        }
    }
    found
}

/// The content of a field.
#[derive(Debug, Clone, Copy)]
enum Wire<'m> {
    Bytes(&'m [u8]),
    Scalar,
}

/// The fields of a message, until its end or the first that is malformed.
fn fields(message: &[u8]) -> impl Iterator<Item = (u64, Wire<'_>)> {
    let mut rest = message;
    std::iter::from_fn(move || {
        let tag = varint(&mut rest)?;
        let field = match tag & 7 {
            0 => varint(&mut rest).map(|_| Wire::Scalar)?,
            1 => skip(&mut rest, 8)?,
            2 => {
                let size = usize::try_from(varint(&mut rest)?).ok()?;
                let (bytes, after) = rest.split_at_checked(size)?;
                rest = after;
                Wire::Bytes(bytes)
            }
            5 => skip(&mut rest, 4)?,
            _ => return None,
        };
        Some((tag >> 3, field))
    })
}

fn skip<'m>(rest: &mut &'m [u8], size: usize) -> Option<Wire<'m>> {
    let (_, after) = rest.split_at_checked(size)?;
    *rest = after;
    Some(Wire::Scalar)
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for place in 0..10 {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        number |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::Value;
    use filter_kit::{fake::metadata, settings::Node};
    use proptest::prelude::*;

    #[test]
    fn values_are_found_with_their_types() {
        let filters = br#"{"envoy.filters.http.jwt_authn": {"payload": {
            "iss": "https://issuer.example", "n": 7, "list": ["a", 1, "b"], "realm": {"roles": ["admin"]}, "none": null, "yes": true, "empty": ""
        }}}"#;
        let bytes = metadata(&Node::parse(filters).unwrap());
        let find = |path: &[&str]| {
            let path = ["envoy.filters.http.jwt_authn", "payload"].into_iter().chain(path.iter().copied());
            Value::find(&bytes, path.map(str::as_bytes))
        };
        assert_eq!(find(&["iss"]), Some(Value::String(b"https://issuer.example")));
        assert_eq!(find(&["empty"]), Some(Value::String(b"")));
        for other in ["n", "none", "yes"] {
            assert_eq!(find(&[other]), Some(Value::Other), "{other}");
        }
        let Some(Value::List(list)) = find(&["list"]) else { panic!("a list") };
        assert_eq!(list.strings().collect::<Vec<_>>(), [b"a", b"b"]);
        let Some(Value::List(list)) = find(&["realm", "roles"]) else { panic!("a list") };
        assert_eq!(list.strings().collect::<Vec<_>>(), [b"admin"]);
        for absent in [&["x"][..], &["iss", "x"], &["list", "0"], &["realm", "x"]] {
            assert_eq!(find(absent), None, "{absent:?}");
        }
        assert!(matches!(find(&["realm"]), Some(Value::Struct(_))));
        assert_eq!(Value::find(&[], [&b"a"[..]]), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_some_metadata(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = Value::find(&bytes, [&b""[..], &b""[..]]);
        }
    }
}

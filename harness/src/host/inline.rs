//! Headers of which Envoy keeps one line: a further value is joined to the first by a comma.

use super::abi::MapType;
use crate::{Bytes, scenario::Headers};

/// In requests (observed on Envoy 1.40.0, with the extensions that it is released with), sorted.
const REQUEST: [&[u8]; 27] = [
    b"accept",
    b"accept-encoding",
    b"access-control-request-headers",
    b"access-control-request-method",
    b"access-control-request-private-network",
    b"authorization",
    b"cache-control",
    b"cdn-loop",
    b"content-encoding",
    b"content-type",
    b"grpc-accept-encoding",
    b"grpc-timeout",
    b"if-match",
    b"if-modified-since",
    b"if-none-match",
    b"if-range",
    b"if-unmodified-since",
    b"origin",
    b"pragma",
    b"proxy-status",
    b"referer",
    b"user-agent",
    b"via",
    b"x-client-trace-id",
    b"x-forwarded-for",
    b"x-forwarded-host",
    b"x-forwarded-port",
];

/// In responses, likewise.
const RESPONSE: [&[u8]; 20] = [
    b"access-control-allow-credentials",
    b"access-control-allow-headers",
    b"access-control-allow-methods",
    b"access-control-allow-origin",
    b"access-control-allow-private-network",
    b"access-control-expose-headers",
    b"access-control-max-age",
    b"age",
    b"cache-control",
    b"content-encoding",
    b"content-type",
    b"etag",
    b"expires",
    b"grpc-message",
    b"grpc-status",
    b"last-modified",
    b"location",
    b"proxy-status",
    b"vary",
    b"via",
];

/// Adds a value to a map. The name is in lower case.
pub(crate) fn add(headers: &mut Headers, map: MapType, name: Bytes, value: &[u8]) {
    let is_inline = match map {
        MapType::RequestHeaders => REQUEST.binary_search(&name.0.as_slice()).is_ok(),
        MapType::ResponseHeaders => RESPONSE.binary_search(&name.0.as_slice()).is_ok(),
        _ => false,
    };
    match headers.iter_mut().find(|(other, _)| is_inline && *other == name) {
        Some((_, first)) => first.0.extend([b",", value].concat()),
        // Pseudo headers stand before the others.
        None if name.0.first() == Some(&b':') => {
            let place = headers.iter().take_while(|(other, _)| other.0.first() == Some(&b':')).count();
            headers.insert(place, (name, Bytes::from(value)));
        }
        None => headers.push((name, Bytes::from(value))),
    }
}

/// Headers in lower case, as they come to be in a map.
pub(crate) fn all(headers: &Headers, map: MapType) -> Headers {
    let mut added = Headers::with_capacity(headers.len());
    for (name, value) in headers {
        add(&mut added, map, Bytes(name.0.to_ascii_lowercase()), &value.0);
    }
    added
}

#[cfg(test)]
mod tests {
    use super::{REQUEST, RESPONSE};

    #[test]
    fn the_lists_are_sorted() {
        assert!(REQUEST.is_sorted() && RESPONSE.is_sorted());
    }
}

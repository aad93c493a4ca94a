//! Numbers and wire formats of ABI 0.2.1.

use crate::Bytes;
use crate::scenario::Headers;

/// The status of a host call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Status {
    /// Done.
    Ok = 0,
    /// There is no such thing.
    NotFound = 1,
    /// An argument is wrong, or the phase is.
    BadArgument = 2,
    /// A value cannot be written as bytes.
    SerializationFailure = 3,
    /// A pointer is outside the module's memory.
    InvalidMemoryAccess = 6,
    /// Somebody else has written meanwhile.
    CasMismatch = 8,
    /// The host failed.
    InternalFailure = 10,
    /// The host does not have it.
    Unimplemented = 12,
}

/// A callback of a stream or of the root context.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Callback {
    /// None: the module starts, or a memory call.
    Start,
    /// `proxy_on_configure`.
    Configure,
    /// `proxy_on_tick`.
    Tick,
    /// `proxy_on_request_headers`.
    RequestHeaders,
    /// `proxy_on_request_body`.
    RequestBody,
    /// `proxy_on_request_trailers`.
    RequestTrailers,
    /// `proxy_on_response_headers`.
    ResponseHeaders,
    /// `proxy_on_response_body`.
    ResponseBody,
    /// `proxy_on_response_trailers`.
    ResponseTrailers,
    /// `proxy_on_http_call_response`.
    Callout,
    /// `proxy_on_log`.
    Log,
    /// `proxy_on_done` and `proxy_on_delete`.
    End,
}

/// The most pairs, and the most bytes, that Envoy reads out of a module's list.
const PAIRS_LIMIT: usize = 1024;
const PAIRS_BYTES_LIMIT: usize = 1 << 20;

/// Writes a header map. An empty one is no bytes at all.
pub fn write_pairs(headers: &Headers) -> Vec<u8> {
    let length = |length: usize| u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes();
    if headers.is_empty() {
        return Vec::new();
    }
    let mut buffer = length(headers.len()).to_vec();
    for (name, value) in headers {
        buffer.extend(length(name.0.len()));
        buffer.extend(length(value.0.len()));
    }
    for bytes in headers.iter().flat_map(|(name, value)| [name, value]) {
        buffer.extend(&bytes.0);
        buffer.push(0);
    }
    buffer
}

/// Reads a list of pairs as Envoy does: one that is malformed, too long or followed by other bytes is empty.
pub fn read_pairs(buffer: &[u8]) -> Headers {
    read_strictly(buffer).unwrap_or_default()
}

fn read_strictly(buffer: &[u8]) -> Option<Headers> {
    if buffer.len() > PAIRS_BYTES_LIMIT {
        return None;
    }
    let (count, rest) = buffer.split_first_chunk()?;
    let count = u32::from_le_bytes(*count) as usize;
    if count > PAIRS_LIMIT {
        return None;
    }
    let (mut lengths, mut bytes) = rest.split_at_checked(count * 8)?;
    let mut headers = Headers::with_capacity(count);
    while let Some((name, rest)) = lengths.split_first_chunk() {
        let (value, rest) = rest.split_first_chunk()?;
        lengths = rest;
        let name = take(&mut bytes, u32::from_le_bytes(*name))?;
        let value = take(&mut bytes, u32::from_le_bytes(*value))?;
        headers.push((name, value));
    }
    bytes.is_empty().then_some(headers)
}

fn take(bytes: &mut &[u8], length: u32) -> Option<Bytes> {
    let (part, rest) = bytes.split_at_checked(length as usize)?;
    let (0, rest) = rest.split_first().map(|(nul, rest)| (*nul, rest))? else { return None };
    *bytes = rest;
    Some(Bytes::from(part))
}

#[cfg(test)]
mod tests {
    use super::{read_pairs, write_pairs};
    use crate::Bytes;

    #[test]
    fn a_list_of_pairs_is_read_as_it_was_written_and_a_malformed_one_is_empty() {
        let headers = vec![(Bytes::from("a"), Bytes::from(b"\xff\0")), (Bytes::from("b"), Bytes::from(""))];
        let buffer = write_pairs(&headers);
        assert_eq!(read_pairs(&buffer), headers);
        assert_eq!(write_pairs(&Vec::new()), Vec::<u8>::new());
        for cut in 0..buffer.len() {
            assert_eq!(read_pairs(&buffer[..cut]), Vec::new(), "{cut}");
        }
        assert_eq!(read_pairs(&[&buffer[..], b"x"].concat()), Vec::new());
        assert_eq!(read_pairs(&u32::MAX.to_le_bytes()), Vec::new());
        assert_eq!(read_pairs(&[&1025_u32.to_le_bytes()[..], &[0; 1025 * 10]].concat()), Vec::new());
    }
}

//! Numbers and wire formats of ABI 0.2.1.

use crate::Bytes;
use crate::scenario::Headers;

/// The status of a host call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Status {
    /// Done.
    Ok = 0,
    /// There is no such thing.
    NotFound = 1,
    /// An argument is wrong, or the phase is.
    BadArgument = 2,
    /// A value cannot be written as bytes.
    SerializationFailure = 3,
    /// Bytes cannot be read.
    ParseFailure = 4,
    /// A pointer is outside the module's memory.
    InvalidMemoryAccess = 6,
    /// There is nothing in it.
    Empty = 7,
    /// Somebody else has written meanwhile.
    CasMismatch = 8,
    /// The host failed.
    InternalFailure = 10,
    /// The host does not have it.
    Unimplemented = 12,
}

/// A header map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MapType {
    RequestHeaders,
    RequestTrailers,
    ResponseHeaders,
    ResponseTrailers,
    GrpcInitialMetadata,
    GrpcTrailingMetadata,
    CalloutHeaders,
    CalloutTrailers,
}

impl MapType {
    /// What it holds, in words.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::RequestHeaders => "request headers",
            Self::RequestTrailers => "request trailers",
            Self::ResponseHeaders => "response headers",
            Self::ResponseTrailers => "response trailers",
            Self::GrpcInitialMetadata => "gRPC's initial metadata",
            Self::GrpcTrailingMetadata => "gRPC's trailing metadata",
            Self::CalloutHeaders => "a callout's headers",
            Self::CalloutTrailers => "a callout's trailers",
        }
    }
}

impl TryFrom<u32> for MapType {
    type Error = Status;

    fn try_from(number: u32) -> Result<Self, Status> {
        Ok(match number {
            0 => Self::RequestHeaders,
            1 => Self::RequestTrailers,
            2 => Self::ResponseHeaders,
            3 => Self::ResponseTrailers,
            4 => Self::GrpcInitialMetadata,
            5 => Self::GrpcTrailingMetadata,
            6 => Self::CalloutHeaders,
            7 => Self::CalloutTrailers,
            _ => return Err(Status::BadArgument),
        })
    }
}

/// A buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BufferType {
    RequestBody,
    ResponseBody,
    CalloutBody,
    VmConfig,
    PluginConfig,
    /// What the client has sent over a TCP connection, and the upstream.
    Downstream,
    Upstream,
    GrpcMessage,
    /// The argument of a foreign call.
    CallData,
}

impl BufferType {
    /// What it holds, in words.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::RequestBody => "bytes of the request's body",
            Self::ResponseBody => "bytes of the response's body",
            Self::CalloutBody => "bytes of a callout's body",
            Self::VmConfig => "bytes of the VM's configuration",
            Self::PluginConfig => "bytes of the plugin's configuration",
            Self::Downstream | Self::Upstream => "bytes of a TCP connection",
            Self::GrpcMessage => "bytes of a gRPC message",
            Self::CallData => "bytes of a foreign call",
        }
    }
}

impl TryFrom<u32> for BufferType {
    type Error = Status;

    fn try_from(number: u32) -> Result<Self, Status> {
        Ok(match number {
            0 => Self::RequestBody,
            1 => Self::ResponseBody,
            4 => Self::CalloutBody,
            6 => Self::VmConfig,
            7 => Self::PluginConfig,
            2 => Self::Downstream,
            3 => Self::Upstream,
            5 => Self::GrpcMessage,
            8 => Self::CallData,
            _ => return Err(Status::BadArgument),
        })
    }
}

/// The callback that runs, as far as host calls depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Callback {
    /// None: the module is instantiated and initialised. Of the ABI's functions it may call `proxy_log` only.
    Start,
    /// `proxy_on_vm_start`.
    VmStart,
    /// `proxy_on_configure`.
    Configure,
    /// `proxy_on_log`.
    Log,
    /// `proxy_on_done` and `proxy_on_delete`.
    End,
    /// Any other.
    Other,
}

/// The most pairs, and the most bytes, that Envoy reads out of a module's list.
const PAIRS_LIMIT: usize = 1024;
const PAIRS_BYTES_LIMIT: usize = 1 << 20;

/// Writes a header map. An empty one is no bytes at all.
pub(crate) fn write_pairs(headers: &Headers) -> Vec<u8> {
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
pub(crate) fn read_pairs(buffer: &[u8]) -> Headers {
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
        assert_eq!(read_pairs(&[&1024_u32.to_le_bytes()[..], &[0; 1024 * 10]].concat()).len(), 1024);
        let large = vec![(Bytes::from("a"), Bytes(vec![b'x'; 1 << 20]))];
        assert_eq!(read_pairs(&write_pairs(&large)), Vec::new());
    }
}

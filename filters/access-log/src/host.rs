//! What Envoy says of an exchange, each by one host call of about the price of all headers.

use filter_kit::{Bounded, View, settings::Node};
use std::net::{IpAddr, SocketAddr};

/// Text of Envoy's own: names of routes and clusters, addresses of upstreams, details of a response code. No client writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostText(Bounded<'static>);

impl HostText {
    /// The longest that is logged, in bytes.
    const LONGEST: usize = 256;

    /// Reads one of Envoy's own texts; `None` where there is none.
    pub fn read(view: &View<'_>, text: OwnText) -> Option<Self> {
        let value = view.property(text.path())?;
        (!value.is_empty()).then(|| Self(Bounded::new(&value, Self::LONGEST).into_owned()))
    }

    /// A host that is an address, with a port or without: a server's, and nobody's own. Names are the client's text.
    pub fn of_address(host: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(host).ok().filter(|text| text.len() <= Self::LONGEST)?;
        let is_address = text.parse::<SocketAddr>().is_ok() || text.parse::<IpAddr>().is_ok();
        is_address.then(|| Self(Bounded::new(host, Self::LONGEST).into_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

/// The record of a decision that the policy filter leaves in filter state: a JSON object of names that its configuration has, and no value of the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyRecord(Bounded<'static>);

impl PolicyRecord {
    /// The longest that is logged, in bytes.
    const LONGEST: usize = 16_384;

    /// A record; `None` for what is no JSON object of plain ASCII, or is too long: filter state may be written by others.
    pub fn new(text: &[u8]) -> Option<Self> {
        let record = Bounded::new(text, Self::LONGEST);
        let is_whole = record.as_str().as_bytes() == text;
        (is_whole && matches!(Node::parse(text), Ok(Node::Map(_)))).then(|| Self(record.into_owned()))
    }

    /// Reads it from filter state; `None` where there is none.
    pub fn read(view: &View<'_>) -> Option<Self> {
        Self::new(&view.property(&["filter_state", "wasm.outrigger.policy"])?)
    }

    /// Whether an AUDIT policy matched, or one that is only tried would deny: such an exchange is logged, whatever the sampling says.
    pub fn is_kept(&self) -> bool {
        ["\"audit\":", "\"dry_run_verdict\":\"deny\""].iter().any(|mark| self.0.as_str().contains(mark))
    }

    /// The object.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

/// Envoy's own texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnText {
    /// The address of the upstream's host.
    UpstreamHost,
    /// The cluster.
    UpstreamCluster,
    /// The name of the route.
    RouteName,
    /// Why the response has its code.
    Details,
    /// The protocol's name and version.
    Protocol,
}

impl OwnText {
    const fn path(self) -> &'static [&'static str] {
        match self {
            Self::UpstreamHost => &["upstream", "address"],
            Self::UpstreamCluster => &["xds", "cluster_name"],
            Self::RouteName => &["xds", "route_name"],
            Self::Details => &["response", "code_details"],
            Self::Protocol => &["request", "protocol"],
        }
    }
}

/// Envoy's own numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnNumber {
    /// The bits of the response's flags.
    Flags,
    /// The bytes of the request's body.
    BytesReceived,
    /// The bytes of the response's body.
    BytesSent,
    /// When the request arrived, in nanoseconds since 1970 (UTC).
    Start,
    /// How long the exchange took, in nanoseconds.
    Duration,
}

impl OwnNumber {
    const fn path(self) -> &'static [&'static str] {
        match self {
            Self::Flags => &["response", "flags"],
            Self::BytesReceived => &["request", "size"],
            Self::BytesSent => &["response", "size"],
            Self::Start => &["request", "time"],
            Self::Duration => &["request", "duration"],
        }
    }

    /// Reads the number; `None` where there is none.
    pub fn read(self, view: &View<'_>) -> Option<u64> {
        let value = view.property(self.path())?;
        value.first_chunk().filter(|_| value.len() == 8).map(|bytes| u64::from_le_bytes(*bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::PolicyRecord;

    #[track_caller]
    fn check(text: &[u8], expected: Option<bool>) {
        assert_eq!(PolicyRecord::new(text).map(|record| record.is_kept()), expected);
    }

    #[test]
    fn what_is_no_record_gets_into_no_line() {
        check(br#"{"verdict":"deny","policy":"ns[a]-policy[b]-rule[0]"}"#, Some(false));
        check(br#"{"verdict":"allow","audit":["ns[a]-policy[b]-rule[0]"]}"#, Some(true));
        check(br#"{"verdict":"allow","dry_run":["x"],"dry_run_verdict":"deny"}"#, Some(true));
        check(br#"{"verdict":"allow","dry_run":["x"],"dry_run_verdict":"allow"}"#, Some(false));
        let long = [b"{\"audit\":\"", "a".repeat(20_000).as_bytes(), b"\"}"].concat();
        let line = b"{\"audit\":\"x\"\n}";
        for other in [&b""[..], b"[]", b"{", b"\"audit\":", "{\"audit\":\"\u{e9}\"}".as_bytes(), line, &long]
        {
            check(other, None);
        }
    }
}

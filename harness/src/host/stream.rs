//! A stream: what all filters of a chain share of it, and what each has for itself.

use super::abi::MapType;
use crate::scenario::{Connection, Headers};
use std::{borrow::Cow, cell::RefCell, collections::BTreeMap, rc::Rc};

/// Which direction of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Request,
    Response,
}

impl Way {
    pub(crate) const BOTH: [Self; 2] = [Self::Request, Self::Response];

    /// The callbacks for headers, a part of the body, and trailers.
    pub(crate) fn exports(self) -> [&'static str; 3] {
        match self {
            Self::Request => {
                ["proxy_on_request_headers", "proxy_on_request_body", "proxy_on_request_trailers"]
            }
            Self::Response => {
                ["proxy_on_response_headers", "proxy_on_response_body", "proxy_on_response_trailers"]
            }
        }
    }
}

/// One of each for a request and its response.
#[derive(Debug, Default)]
pub(crate) struct Both<T> {
    pub(crate) request: T,
    pub(crate) response: T,
}

impl<T> Both<T> {
    pub(crate) fn of(&mut self, way: Way) -> &mut T {
        match way {
            Way::Request => &mut self.request,
            Way::Response => &mut self.response,
        }
    }
}

/// What all filters share of a stream.
#[derive(Debug, Default)]
pub(crate) struct Common {
    /// When it began, in nanoseconds since 1970.
    pub(crate) started: u64,
    /// Who sends it.
    pub(crate) connection: Connection,
    /// Whether it is a TCP connection: the client's bytes are the request's body, the upstream's the response's.
    pub(crate) is_tcp: bool,
    pub(crate) request: Half,
    pub(crate) response: Half,
    /// What Envoy says of how it ended: in words, and as the bits of `response.flags`.
    pub(crate) details: Cow<'static, str>,
    pub(crate) flags: u64,
    pub(crate) filter_state: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The route's name, if there is a route, and its cluster, if there is such a one.
    pub(crate) route: Option<String>,
    pub(crate) cluster: Option<String>,
    /// Whether the upstream has refused the connection.
    pub(crate) is_refused: bool,
    /// How many milliseconds the response may take.
    pub(crate) timeout_ms: u64,
    /// Whether the request's headers have changed since the route was picked.
    pub(crate) is_route_stale: bool,
}

/// One direction of a stream.
#[derive(Debug, Default)]
pub(crate) struct Half {
    pub(crate) headers: Headers,
    pub(crate) trailers: Headers,
    pub(crate) has_headers: bool,
    pub(crate) has_trailers: bool,
    /// Whether the headers have left for the other end.
    pub(crate) are_headers_sent: bool,
    /// The length that the headers stated when they came.
    pub(crate) length: Option<usize>,
    /// How many bytes of the body have come so far, and how many have left.
    pub(crate) size: u64,
    pub(crate) sent: u64,
}

impl Common {
    pub(crate) fn half(&self, way: Way) -> &Half {
        match way {
            Way::Request => &self.request,
            Way::Response => &self.response,
        }
    }

    pub(crate) fn half_mut(&mut self, way: Way) -> &mut Half {
        match way {
            Way::Request => &mut self.request,
            Way::Response => &mut self.response,
        }
    }

    /// A map as the access log sees it: all that came to be, until the end.
    pub(crate) fn logged(&self, map: MapType) -> Option<&Headers> {
        let (half, is_there) = match map {
            MapType::RequestHeaders => (&self.request, self.request.has_headers),
            MapType::ResponseHeaders => (&self.response, self.response.has_headers),
            MapType::ResponseTrailers => (&self.response, self.response.has_trailers),
            // The access log is not given a request's trailers.
            _ => return None,
        };
        is_there.then(|| half.map(map))
    }
}

impl Half {
    pub(crate) fn map(&self, map: MapType) -> &Headers {
        match map {
            MapType::RequestHeaders | MapType::ResponseHeaders => &self.headers,
            _ => &self.trailers,
        }
    }

    pub(crate) fn map_mut(&mut self, map: MapType) -> &mut Headers {
        match map {
            MapType::RequestHeaders | MapType::ResponseHeaders => &mut self.headers,
            _ => &mut self.trailers,
        }
    }
}

/// A stream as one filter has it.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    /// The filter's root context.
    pub(crate) root: u32,
    pub(crate) common: Rc<RefCell<Common>>,
    pub(crate) request: Side,
    pub(crate) response: Side,
    /// The filter's reply, until it is sent.
    pub(crate) reply: Option<Reply>,
    /// Whether there was a reply: of several the first counts.
    pub(crate) has_replied: bool,
    /// Whether that was in place of a response that was on its way.
    pub(crate) has_replied_late: bool,
    /// Whether the filter has closed the stream.
    pub(crate) is_closed: bool,
}

impl Stream {
    /// Whether a reply counts: the first one, and one in place of a response on its way.
    pub(crate) fn may_reply(&self) -> bool {
        !self.has_replied || self.has_response() && !self.has_replied_late
    }

    /// Whether it is a TCP connection.
    pub(crate) fn is_tcp(&self) -> bool {
        self.common.borrow().is_tcp
    }

    /// Whether there is a response.
    pub(crate) fn has_response(&self) -> bool {
        self.common.borrow().response.has_headers
    }

    pub(crate) fn side(&mut self, way: Way) -> &mut Side {
        match way {
            Way::Request => &mut self.request,
            Way::Response => &mut self.response,
        }
    }

    /// The direction of a map that is at hand in this phase.
    pub(crate) fn at_hand(&self, map: MapType) -> Option<Way> {
        let (way, side) = match map {
            MapType::RequestHeaders | MapType::RequestTrailers => (Way::Request, &self.request),
            MapType::ResponseHeaders | MapType::ResponseTrailers => (Way::Response, &self.response),
            _ => return None,
        };
        let is_at_hand = match map {
            MapType::RequestHeaders | MapType::ResponseHeaders => side.are_headers_at_hand,
            _ => side.are_trailers_at_hand,
        };
        is_at_hand.then_some(way)
    }
}

/// One direction of a stream as one filter has it. What is at hand is what Envoy holds a pointer to in this phase.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own that Envoy keeps too")]
#[derive(Debug, Default)]
pub(crate) struct Side {
    /// What the filter sees of the body: the part at hand, behind what it has buffered.
    pub(crate) body: Vec<u8>,
    /// What is held back before it, and that the filter does not see.
    pub(crate) ahead: Vec<u8>,
    /// Whether the next part is added to what the filter sees.
    pub(crate) is_buffering: bool,
    pub(crate) are_headers_at_hand: bool,
    pub(crate) is_body_at_hand: bool,
    pub(crate) are_trailers_at_hand: bool,
    /// Whether the part at hand is the last of this direction.
    pub(crate) is_last: bool,
    /// Whether a call has let the direction go on.
    pub(crate) is_resumed: bool,
}

impl Side {
    /// Puts the next part of the body before the filter.
    pub(crate) fn put(&mut self, part: Vec<u8>, is_last: bool) {
        if self.is_buffering {
            self.body.extend(part);
        } else {
            self.ahead.append(&mut self.body);
            self.body = part;
        }
        self.is_last = is_last;
        self.is_body_at_hand = true;
    }

    /// Takes the body that is let go.
    pub(crate) fn release(&mut self) -> Vec<u8> {
        let mut body = std::mem::take(&mut self.ahead);
        body.append(&mut self.body);
        self.is_buffering = false;
        self.is_body_at_hand = false;
        body
    }
}

/// A response of a filter's, or of Envoy's, own.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Headers,
    pub(crate) body: Vec<u8>,
    pub(crate) details: Cow<'static, str>,
    pub(crate) flags: u64,
    /// 0 to 16, where the filter gave one.
    pub(crate) grpc_status: Option<u32>,
}

impl Reply {
    /// A reply of Envoy's own.
    pub(crate) fn of(status: u16, body: &str, details: &'static str) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: body.as_bytes().to_vec(),
            details: details.into(),
            flags: 0,
            grpc_status: None,
        }
    }

    /// With the bits of `response.flags`.
    pub(crate) fn flagged(self, flags: u64) -> Self {
        Self { flags, ..self }
    }
}

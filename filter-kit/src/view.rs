//! What a filter sees of the world.

mod parts;

use crate::{Callbacks, HeaderMap, HostBytes, Pairs, reader};
use std::{
    borrow::Cow,
    cell::{Cell, OnceCell},
};

/// Where a stream is: which callback asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// In `on_request_headers`.
    RequestHeaders,
    /// In `on_request_body`.
    RequestBody,
    /// In `on_request_trailers`.
    RequestTrailers,
    /// In `on_response_headers`.
    ResponseHeaders,
    /// In `on_response_body`.
    ResponseBody,
    /// In `on_response_trailers`.
    ResponseTrailers,
    /// In `on_log`.
    Log,
    /// In `on_callout`.
    Callout,
    /// In `on_tick`.
    Tick,
}

impl Phase {
    /// Whether Envoy lets a filter read this map in this phase. Once the header callback has let the headers go, the map is gone until the log.
    pub fn can_read(self, map: HeaderMap) -> bool {
        match map {
            HeaderMap::Request => matches!(self, Self::RequestHeaders | Self::Log | Self::Callout),
            HeaderMap::RequestTrailers => matches!(self, Self::RequestTrailers | Self::Log),
            HeaderMap::Response => matches!(self, Self::ResponseHeaders | Self::Log),
            HeaderMap::ResponseTrailers => matches!(self, Self::ResponseTrailers | Self::Log),
            HeaderMap::Callout | HeaderMap::CalloutTrailers => self == Self::Callout,
        }
    }

    /// Whether Envoy lets a filter change this map in this phase. Trailers can be added where the last part of a body passes.
    #[expect(clippy::inline_always, reason = "a call costs more than what it does here")]
    #[inline(always)]
    pub fn can_write(self, map: HeaderMap) -> bool {
        match map {
            HeaderMap::Request => matches!(self, Self::RequestHeaders | Self::Callout),
            HeaderMap::RequestTrailers => matches!(self, Self::RequestBody | Self::RequestTrailers),
            HeaderMap::Response => self == Self::ResponseHeaders,
            HeaderMap::ResponseTrailers => matches!(self, Self::ResponseBody | Self::ResponseTrailers),
            HeaderMap::Callout | HeaderMap::CalloutTrailers => false,
        }
    }

    /// Whether a filter may answer in this phase. When the stream is over, a reply would end Envoy itself (1.40), with all its connections.
    pub fn can_reply(self) -> bool {
        !matches!(self, Self::Log | Self::Tick)
    }

    /// Whether a response is on its way in this phase. A second reply there would end Envoy itself (1.40).
    pub fn is_response(self) -> bool {
        matches!(self, Self::ResponseHeaders | Self::ResponseBody | Self::ResponseTrailers)
    }

    /// The host's callback.
    pub const fn callback(self) -> Callbacks {
        match self {
            Self::RequestHeaders => Callbacks::REQUEST_HEADERS,
            Self::RequestBody => Callbacks::REQUEST_BODY,
            Self::RequestTrailers => Callbacks::REQUEST_TRAILERS,
            Self::ResponseHeaders => Callbacks::RESPONSE_HEADERS,
            Self::ResponseBody => Callbacks::RESPONSE_BODY,
            Self::ResponseTrailers => Callbacks::RESPONSE_TRAILERS,
            Self::Log => Callbacks::LOG,
            Self::Callout => Callbacks::CALLOUT,
            Self::Tick => Callbacks::TICK,
        }
    }

    /// The body that passes in this phase.
    pub fn body(self) -> Option<Buffer> {
        match self {
            Self::RequestBody => Some(Buffer::RequestBody),
            Self::ResponseBody => Some(Buffer::ResponseBody),
            Self::Callout => Some(Buffer::CalloutBody),
            _ => None,
        }
    }
}

/// A buffer of the host, with its number in the ABI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum Buffer {
    /// The part of the request's body that is at hand.
    RequestBody = 0,
    /// The part of the response's body that is at hand.
    ResponseBody = 1,
    /// The body of a callout's answer.
    CalloutBody = 4,
    /// The plugin's configuration.
    PluginConfiguration = 7,
}

/// The most request headers that are fetched one by one.
pub const SINGLE_LIMIT: usize = 2;

/// Where facts come from: the host's calls in a module, plain data in a test.
pub trait Source {
    /// The pairs of a header map; empty where the map is not readable.
    fn pairs(&self, map: HeaderMap) -> Pairs;
    /// The first value of a header. The name is in lower case.
    fn header(&self, map: HeaderMap, name: &str) -> Option<HostBytes>;
    /// A buffer's bytes from this one on; empty where it is not readable.
    fn buffer(&self, buffer: Buffer, from: usize) -> HostBytes;
    /// A property's serialised value.
    fn property(&self, path: &[&str]) -> Option<HostBytes>;
    /// Nanoseconds since 1970 (UTC).
    fn now(&self) -> u64;
    /// Fills the buffer with random bytes fit for a secret; false when there are none to be had.
    fn random(&self, bytes: &mut [u8]) -> bool;
    /// A value that all VMs of one `vm_id` share, and the number of its last change.
    ///
    /// # Errors
    /// The ABI's status: 1 where there is no such key.
    fn shared(&self, key: &str) -> Result<(HostBytes, u32), u32> {
        let _ = key;
        Err(1)
    }
    /// Sets a shared value, if the number of its last change is still this one; 0 is any. Says the ABI's status: 0 is done, 8 that it is another.
    fn set_shared(&self, key: &str, value: &[u8], change: u32) -> u32 {
        let _ = (key, value, change);
        12
    }
}

/// How many facts a view keeps.
const FACTS: usize = SINGLE_LIMIT + 5;

/// What the host answered.
#[derive(Default)]
struct Fact {
    is_there: bool,
    bytes: Pairs,
}

impl Fact {
    fn of(bytes: Option<HostBytes>) -> Self {
        Self { is_there: bytes.is_some(), bytes: Pairs::new(bytes.unwrap_or_default()) }
    }

    fn bytes(&self) -> Option<&[u8]> {
        self.is_there.then(|| self.bytes.bytes())
    }
}

/// What a filter sees of the stream in one callback.
///
/// Every fact is asked of the host when it is first wanted and kept for the callback: a map is fetched by one host call, whole, and read
/// in place, unless the filter names the few headers that it reads. In a phase where the host would refuse a map, it reads as empty without
/// a call.
pub struct View<'h> {
    source: &'h dyn Source,
    phase: Cell<Phase>,
    size: usize,
    last: bool,
    singles: &'h [Box<str>],
    #[cfg(feature = "parts")]
    parts: parts::Seen,
    /// The single headers, the request, the response, trailers, the body and the principal: of one type, so that few instructions take a view apart.
    facts: [OnceCell<Fact>; FACTS],
    /// How many bytes of the body were left out where it was read.
    body_from: Cell<usize>,
    now: OnceCell<u64>,
    /// Where the path stands in the request's map: conditions ask for it over and over.
    path: Cell<Option<(usize, usize)>>,
}

impl<'h> View<'h> {
    /// A view of `source` in `phase`. `size` is the count of headers or the bytes of body at hand, `last` whether the stream ends here.
    pub fn new(source: &'h dyn Source, phase: Phase, size: usize, last: bool) -> Self {
        Self {
            source,
            phase: Cell::new(phase),
            size,
            last,
            singles: &[],
            #[cfg(feature = "parts")]
            parts: parts::Seen::default(),
            facts: Default::default(),
            body_from: Cell::new(0),
            now: OnceCell::new(),
            path: Cell::new(None),
        }
    }

    /// A view in `on_callout` of a callout that has no answer, for which the host is not asked.
    #[cfg_attr(
        not(target_arch = "wasm32"),
        expect(dead_code, reason = "only the shell of a module makes one")
    )]
    pub(crate) fn unanswered(source: &'h dyn Source) -> Self {
        let view = Self::new(source, Phase::Callout, 0, true);
        let [_, _, _, headers, trailers, body, _] = &view.facts;
        for fact in [headers, trailers, body] {
            let _ = fact.set(Fact::default());
        }
        view
    }

    /// With these request headers fetched one by one, until the whole map is asked for, or one that is not among the first
    /// [`SINGLE_LIMIT`] of them.
    #[must_use]
    pub fn with_singles(mut self, names: &'h [Box<str>]) -> Self {
        self.singles = names;
        self
    }

    /// The callback that asks.
    pub fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// Whether nothing of this side of the stream comes after this callback.
    pub fn is_last(&self) -> bool {
        self.last
    }

    /// The bytes of body at hand, without reading them. With what was held back by [`Flow::Pause`](crate::Flow::Pause).
    pub fn body_size(&self) -> usize {
        if self.phase().body().is_some() { self.size.saturating_sub(self.skipped()) } else { 0 }
    }

    /// The body at hand: with what was held back by [`Flow::Pause`](crate::Flow::Pause), or the answer's in `on_callout`.
    pub fn body(&self) -> &[u8] {
        self.body_behind(0)
    }

    /// The body at hand without its first bytes, which the host is not asked for: what is held back would otherwise be copied again with every part
    /// that comes. Who wants more in one callback asks first; who asks later for what was left out gets nothing.
    pub fn body_behind(&self, held: usize) -> &[u8] {
        let [.., body, _] = &self.facts;
        let from = self.skipped() + held;
        let read = || {
            self.body_from.set(from);
            Fact::of(self.phase().body().map(|buffer| self.source.buffer(buffer, from)))
        };
        let bytes = body.get_or_init(read).bytes.bytes();
        from.checked_sub(self.body_from.get()).and_then(|from| bytes.get(from..)).unwrap_or_default()
    }

    /// The request's headers, the pseudo headers among them.
    pub fn request_headers(&self) -> &Pairs {
        if let Some(changed) = self.changed(HeaderMap::Request) {
            return changed;
        }
        let [_, _, request, ..] = &self.facts;
        self.map(request, HeaderMap::Request)
    }

    /// The response's headers, or in `on_callout` the answer's.
    pub fn response_headers(&self) -> &Pairs {
        let map = if self.phase() == Phase::Callout { HeaderMap::Callout } else { HeaderMap::Response };
        if let Some(changed) = self.changed(map) {
            return changed;
        }
        let [_, _, _, response, ..] = &self.facts;
        self.map(response, map)
    }

    /// The trailers that pass in this callback.
    pub fn trailers(&self) -> &Pairs {
        let map = match self.phase() {
            Phase::RequestTrailers => HeaderMap::RequestTrailers,
            Phase::Callout => HeaderMap::CalloutTrailers,
            _ => HeaderMap::ResponseTrailers,
        };
        let [_, _, _, _, trailers, ..] = &self.facts;
        self.map(trailers, map)
    }

    /// A value that all VMs of one `vm_id` share, and the number of its last change; none where there is none. Two host calls' worth: about 0.5 us.
    pub fn shared(&self, key: &str) -> Option<(HostBytes, u32)> {
        self.source.shared(key).ok()
    }

    /// Sets a shared value, if the number of its last change is still this one; 0 is any, also where there is none. Says whether it is done.
    pub fn set_shared(&self, key: &str, value: &[u8], change: u32) -> bool {
        self.source.set_shared(key, value, change) == 0
    }

    /// The first value of a request header. The name is in lower case.
    pub fn request_header(&self, name: &str) -> Option<&[u8]> {
        if self.known_request().is_none()
            && self.changed(HeaderMap::Request).is_none()
            && let Some(fact) = self.single(name)
        {
            let read = || {
                if self.phase().can_read(HeaderMap::Request) {
                    self.source.header(HeaderMap::Request, name)
                } else {
                    None
                }
            };
            return fact.get_or_init(|| Fact::of(read())).bytes();
        }
        self.request_headers().first(name)
    }

    /// The first value of a response header. The name is in lower case.
    pub fn response_header(&self, name: &str) -> Option<&[u8]> {
        self.response_headers().first(name)
    }

    /// The request's method.
    pub fn method(&self) -> &[u8] {
        self.request_header(":method").unwrap_or_default()
    }

    /// The request target: the path with the query.
    pub fn target(&self) -> &[u8] {
        self.request_header(":path").unwrap_or_default()
    }

    /// The path, without query and fragment, as it was sent.
    #[inline]
    pub fn path(&self) -> &[u8] {
        if self.changed(HeaderMap::Request).is_some() {
            return reader::path_of(self.target());
        }
        let known = self.path.get().and_then(|(start, end)| self.known_request()?.get(start..end));
        known.unwrap_or_else(|| self.find_path())
    }

    /// The request's map as the host filled it, where it was asked for.
    fn known_request(&self) -> Option<&[u8]> {
        let [_, _, request, ..] = &self.facts;
        request.get().map(|fact| fact.bytes.bytes())
    }

    #[inline(never)]
    fn find_path(&self) -> &[u8] {
        let path = reader::path_of(self.target());
        if let Some(bytes) = self.known_request() {
            let start = path.as_ptr().addr().wrapping_sub(bytes.as_ptr().addr());
            self.path.set(Some((start, start.wrapping_add(path.len()))));
        }
        path
    }

    /// The first cookie of this name, over all `cookie` headers. Names of cookies respect case (RFC 6265, 5.3).
    pub fn cookie(&self, name: &str) -> Option<&[u8]> {
        let find = |header| reader::cookie(header, name.as_bytes());
        // Clients send one such header; a second one is looked for only where the first has no such cookie.
        find(self.request_header("cookie")?)
            .or_else(|| self.request_headers().all("cookie").skip(1).find_map(find))
    }

    /// The cookies of this name, over all `cookie` headers.
    pub fn cookies(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        let all = self.request_headers().all("cookie").flat_map(reader::cookies);
        all.filter(move |(other, _)| reader::is_same(other, name.as_bytes())).map(|(_, value)| value)
    }

    /// The values of a query parameter, decoded as a form is.
    pub fn query_parameters(&self, name: &str) -> impl Iterator<Item = Cow<'_, [u8]>> {
        reader::query_parameters(self.target(), name)
    }

    /// The first value of a query parameter, decoded as a form is.
    pub fn query_parameter(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        reader::query_parameter(self.target(), name)
    }

    /// The status of the response, or in `on_callout` of the answer; `None` where there is none.
    pub fn status(&self) -> Option<u16> {
        number(self.response_header(":status")?)
    }

    /// As [`status`](Self::status), for a filter that reads nothing else of the response's headers: it costs three quarters of the whole map, unless that
    /// is known already.
    pub fn status_alone(&self) -> Option<u16> {
        let [_, _, _, response, ..] = &self.facts;
        if response.get().is_some() || self.phase() != Phase::ResponseHeaders {
            return self.status();
        }
        number(&self.source.header(HeaderMap::Response, ":status")?)
    }

    /// In `on_callout`: the status of the answer, or `None` when the callout failed without one. Envoy answers 503 itself when the cluster
    /// refuses the connection, and 504 when the time is up.
    pub fn callout_status(&self) -> Option<u16> {
        if self.phase() == Phase::Callout { self.status() } else { None }
    }

    /// A property's value, serialised as the host does. Each reading is a host call, about as dear as a whole header map.
    pub fn property(&self, path: &[&str]) -> Option<HostBytes> {
        self.source.property(path)
    }

    /// Who the client is by its certificate: the first URI of its subject alternative names, such as `spiffe://cluster.local/ns/a/sa/b`;
    /// `None` without mTLS.
    pub fn principal(&self) -> Option<&[u8]> {
        let [.., principal] = &self.facts;
        let read = || Fact::of(self.source.property(&["connection", "uri_san_peer_certificate"]));
        principal.get_or_init(read).bytes()
    }

    /// Nanoseconds since 1970 (UTC).
    pub fn now(&self) -> u64 {
        *self.now.get_or_init(|| self.source.now())
    }

    /// Random bytes fit for a secret; `None` when the host has none.
    pub fn random<const N: usize>(&self) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        self.source.random(&mut bytes).then_some(bytes)
    }

    /// Where the facts come from.
    pub(crate) fn source(&self) -> &dyn Source {
        self.source
    }

    /// Where a header is kept that is fetched by itself.
    fn single(&self, name: &str) -> Option<&OnceCell<Fact>> {
        let [first, second, ..] = &self.facts;
        let is_it = |single: &str| reader::is_same(single.as_bytes(), name.as_bytes());
        match self.singles {
            [single, ..] if is_it(single) => Some(first),
            [_, single, ..] if is_it(single) => Some(second),
            _ => None,
        }
    }

    fn map<'s>(&'s self, fact: &'s OnceCell<Fact>, map: HeaderMap) -> &'s Pairs {
        let read = || if self.phase().can_read(map) { self.source.pairs(map) } else { Pairs::default() };
        &fact.get_or_init(|| Fact { is_there: true, bytes: read() }).bytes
    }
}
/// A number of digits alone.
fn number(text: &[u8]) -> Option<u16> {
    text.iter().try_fold(0_u16, |number, byte| {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number.checked_mul(10)?.checked_add(u16::from(digit))
    })
}

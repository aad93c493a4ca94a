//! What a filter asks for.

use crate::{
    Bounded, HeaderName,
    metrics::{FamilyId, SeriesId},
};
use smallvec::SmallVec;
use std::{borrow::Cow, time::Duration};

/// How many changes of headers, and of metrics, take no memory of their own.
const INLINE: usize = 3;

/// A header map of the host, with its number in the ABI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum HeaderMap {
    /// The request's headers.
    Request = 0,
    /// The request's trailers.
    RequestTrailers = 1,
    /// The response's headers.
    Response = 2,
    /// The response's trailers.
    ResponseTrailers = 3,
    /// The headers of a callout's answer.
    Callout = 6,
    /// The trailers of a callout's answer.
    CalloutTrailers = 7,
}

/// A level of the host's log, with its number in the ABI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum Level {
    /// Of use while a filter is written.
    Debug = 1,
    /// Worth knowing.
    Info = 2,
    /// Something an operator should look at.
    Warn = 3,
    /// Something that stops the filter from doing its work.
    Error = 4,
}

/// One change of a header map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderChange<'a> {
    /// The header has this one value from now on.
    Set(&'a HeaderName, Cow<'a, [u8]>),
    /// The header has this value too.
    Add(&'a HeaderName, Cow<'a, [u8]>),
    /// The header is gone.
    Remove(&'a HeaderName),
}

/// One change of a metric. The value is the step of a counter, the value of a gauge, or a sample of a histogram.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MetricChange<'a> {
    /// A series that was known when the filter was compiled.
    Known(SeriesId, u64),
    /// A series by its labels' values, in the order of the family's labels. It may be refused by the budget and count as overflow.
    Labelled(FamilyId, Vec<Bounded<'a>>, u64),
}

/// Whether the stream goes on after a callback.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Flow {
    /// It goes on.
    #[default]
    Continue,
    /// Headers wait until [`Flow::Continue`] from a callout; a body is buffered until its next part, at most to the host's limit.
    Pause,
}

/// A response of the filter's own, in place of the upstream's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply<'a> {
    /// The status, 200 to 599.
    pub status: u16,
    /// Headers beside the ones that Envoy adds (content-length, content-type).
    pub headers: Vec<(&'a HeaderName, Bounded<'a>)>,
    /// The body.
    pub body: Cow<'a, [u8]>,
    /// What access logs show as the response code's details.
    pub details: &'static str,
}

/// An HTTP request of the filter's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Callout<'a> {
    /// The name of one of Envoy's clusters.
    pub cluster: &'a str,
    /// The method.
    pub method: &'a str,
    /// The authority.
    pub authority: &'a str,
    /// The path with its query.
    pub path: Cow<'a, str>,
    /// Further headers.
    pub headers: Vec<(&'a HeaderName, Cow<'a, [u8]>)>,
    /// The body.
    pub body: Cow<'a, [u8]>,
    /// The time until Envoy answers 504 itself; at most 2^31 - 1 ms.
    pub timeout: Duration,
    /// What `on_callout` is told, to know the callout by.
    pub tag: u32,
}

/// What a filter asks for in one callback. Nothing asked for: the stream goes on untouched.
///
/// The shell applies effects in a fixed order: headers, trailers, body, filter state, metrics, log, callouts, reply, flow. What Envoy would
/// refuse in the callback's phase is left out.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Effects<'a> {
    pub(crate) headers: SmallVec<[(HeaderMap, HeaderChange<'a>); INLINE]>,
    pub(crate) metrics: SmallVec<[MetricChange<'a>; INLINE]>,
    pub(crate) flow: Flow,
    rare: Option<Box<Rare<'a>>>,
}

/// What most callbacks do not ask for: the usual ones pay nothing for it.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Rare<'a> {
    pub(crate) body: Option<Cow<'a, [u8]>>,
    pub(crate) state: Vec<(&'a str, Bounded<'a>)>,
    pub(crate) log: Vec<(Level, Bounded<'a>)>,
    pub(crate) callouts: Vec<Callout<'a>>,
    pub(crate) reply: Option<Reply<'a>>,
}

impl<'a> Effects<'a> {
    /// Gives a request header this one value. Envoy picks the route again.
    pub fn set_request_header(&mut self, name: &'a HeaderName, value: impl Into<Cow<'a, [u8]>>) {
        self.headers.push((HeaderMap::Request, HeaderChange::Set(name, value.into())));
    }

    /// Adds a request header beside those of the same name. Envoy picks the route again.
    pub fn add_request_header(&mut self, name: &'a HeaderName, value: impl Into<Cow<'a, [u8]>>) {
        self.headers.push((HeaderMap::Request, HeaderChange::Add(name, value.into())));
    }

    /// Removes a request header. Envoy picks the route again.
    pub fn remove_request_header(&mut self, name: &'a HeaderName) {
        self.headers.push((HeaderMap::Request, HeaderChange::Remove(name)));
    }

    /// Gives a response header this one value.
    pub fn set_response_header(&mut self, name: &'a HeaderName, value: Bounded<'a>) {
        self.headers.push((HeaderMap::Response, HeaderChange::Set(name, bytes(value))));
    }

    /// Adds a response header beside those of the same name.
    pub fn add_response_header(&mut self, name: &'a HeaderName, value: Bounded<'a>) {
        self.headers.push((HeaderMap::Response, HeaderChange::Add(name, bytes(value))));
    }

    /// Removes a response header.
    pub fn remove_response_header(&mut self, name: &'a HeaderName) {
        self.headers.push((HeaderMap::Response, HeaderChange::Remove(name)));
    }

    /// Adds a request trailer; where the request has none, in the callback of the body's last part.
    pub fn add_request_trailer(&mut self, name: &'a HeaderName, value: impl Into<Cow<'a, [u8]>>) {
        self.headers.push((HeaderMap::RequestTrailers, HeaderChange::Add(name, value.into())));
    }

    /// Adds a response trailer; where the response has none, in the callback of the body's last part.
    pub fn add_response_trailer(&mut self, name: &'a HeaderName, value: Bounded<'a>) {
        self.headers.push((HeaderMap::ResponseTrailers, HeaderChange::Add(name, bytes(value))));
    }

    /// Replaces the body at hand. The filter has removed `content-length` before, in the header callback: Envoy does not mend it.
    pub fn replace_body(&mut self, body: impl Into<Cow<'a, [u8]>>) {
        self.rare().body = Some(body.into());
    }

    /// Leaves a value in filter state, where access logs find it as `%FILTER_STATE(wasm.KEY:PLAIN)%`.
    pub fn set_state(&mut self, key: &'a str, value: Bounded<'a>) {
        self.rare().state.push((key, value));
    }

    /// Changes a metric.
    pub fn measure(&mut self, change: MetricChange<'a>) {
        self.metrics.push(change);
    }

    /// Adds one to a counter's series.
    pub fn count(&mut self, series: SeriesId) {
        self.metrics.push(MetricChange::Known(series, 1));
    }

    /// Writes a line to the host's log. About 1.5 us a line where the level is on: never for every request.
    pub fn log(&mut self, level: Level, text: Bounded<'a>) {
        self.rare().log.push((level, text));
    }

    /// Sends a request of the filter's own; the answer comes to `on_callout`.
    pub fn call(&mut self, callout: Callout<'a>) {
        self.rare().callouts.push(callout);
    }

    /// Answers in the upstream's place. Of several replies in a chain the first wins. In `on_log` it is left out: the stream is over.
    pub fn reply(&mut self, reply: Reply<'a>) {
        self.rare().reply = Some(reply);
    }

    /// Holds the stream.
    pub fn pause(&mut self) {
        self.flow = Flow::Pause;
    }

    /// Whether nothing was asked for.
    pub fn is_empty(&self) -> bool {
        self.headers.is_empty()
            && self.metrics.is_empty()
            && self.rare.as_ref().is_none_or(|rare| **rare == Rare::default())
            && self.flow == Flow::Continue
    }

    /// As [`is_empty`](Self::is_empty), without looking into the parts.
    #[cfg(target_arch = "wasm32")]
    #[inline]
    pub(crate) fn is_nothing(&self) -> bool {
        self.headers.is_empty()
            && self.metrics.is_empty()
            && self.rare.is_none()
            && self.flow == Flow::Continue
    }

    /// What is seldom asked for, where anything of it is.
    #[cfg(target_arch = "wasm32")]
    pub(crate) fn seldom(&self) -> Option<&Rare<'a>> {
        self.rare.as_deref()
    }

    /// Takes out what is seldom asked for.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn take_seldom(&mut self) -> Rare<'a> {
        self.rare.take().map(|rare| *rare).unwrap_or_default()
    }

    #[cold]
    fn rare(&mut self) -> &mut Rare<'a> {
        self.rare.get_or_insert_default()
    }
}

fn bytes(value: Bounded<'_>) -> Cow<'_, [u8]> {
    match value.into_inner() {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    }
}

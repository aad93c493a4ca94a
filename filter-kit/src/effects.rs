//! What a filter asks for.

#[cfg(all(target_arch = "wasm32", feature = "parts"))]
use crate::Phase;
use crate::{
    Bounded, HeaderName,
    metrics::{FamilyId, SeriesId},
};
use std::{borrow::Cow, time::Duration};

/// How many changes of headers take no memory of their own, and how many of series.
const FIRST: usize = 3;
const FIRST_SERIES: usize = 6;

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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HeaderChange<'a> {
    pub(crate) map: HeaderMap,
    pub(crate) name: &'a HeaderName,
    pub(crate) verb: Verb,
    /// Bytes of the filter or the view, or else the place of bytes of their own among the effects'.
    value: Result<&'a [u8], usize>,
}

/// What happens to a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    /// It has this one value from now on.
    Set,
    /// It has this value too.
    Add,
    /// It is gone.
    Remove,
}

/// One change of a metric. The value is the step of a counter, the value of a gauge, or a sample of a histogram.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MetricChange<'a> {
    /// A series that was known when the filter was compiled, or that [`Metrics::find`](crate::metrics::Metrics::find) has found.
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
    /// What access logs show as the response code's details; Envoy writes `_` for a space.
    pub details: Cow<'a, str>,
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
    /// The first changes take no memory of their own, and there is nothing in them to take apart.
    headers: [Option<HeaderChange<'a>>; FIRST],
    header_count: usize,
    known: [(SeriesId, u64); FIRST_SERIES],
    known_count: usize,
    pub(crate) flow: Flow,
    rare: Option<Box<Rare<'a>>>,
}

/// What most callbacks do not ask for: the usual ones pay nothing for it.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Rare<'a> {
    /// Further changes.
    headers: Vec<HeaderChange<'a>>,
    known: Vec<(SeriesId, u64)>,
    /// The bytes of changes that have bytes of their own.
    own: Vec<Vec<u8>>,
    pub(crate) labelled: Vec<(FamilyId, Vec<Bounded<'a>>, u64)>,
    pub(crate) body: Option<Cow<'a, [u8]>>,
    pub(crate) state: Vec<(&'a str, Bounded<'a>)>,
    pub(crate) log: Vec<(Level, Bounded<'a>)>,
    pub(crate) callouts: Vec<Callout<'a>>,
    pub(crate) reply: Option<Reply<'a>>,
    /// Whether the request's headers, held until now, may be changed too.
    #[cfg(feature = "parts")]
    pub(crate) is_release: bool,
}

impl<'a> Effects<'a> {
    /// Gives a request header this one value. Envoy picks the route again.
    #[expect(
        clippy::inline_always,
        reason = "a call costs more than what it does here, for every arm of every request"
    )]
    #[inline(always)]
    pub fn set_request_header(&mut self, name: &'a HeaderName, value: impl Into<Cow<'a, [u8]>>) {
        self.change(HeaderMap::Request, name, Verb::Set, value.into());
    }

    /// Adds a request header beside those of the same name. Envoy picks the route again.
    pub fn add_request_header(&mut self, name: &'a HeaderName, value: impl Into<Cow<'a, [u8]>>) {
        self.change(HeaderMap::Request, name, Verb::Add, value.into());
    }

    /// Removes a request header. Envoy picks the route again.
    pub fn remove_request_header(&mut self, name: &'a HeaderName) {
        self.change(HeaderMap::Request, name, Verb::Remove, Cow::Borrowed(&[]));
    }

    /// Gives a response header this one value.
    pub fn set_response_header(&mut self, name: &'a HeaderName, value: Bounded<'a>) {
        self.change(HeaderMap::Response, name, Verb::Set, bytes(value));
    }

    /// Adds a response header beside those of the same name.
    pub fn add_response_header(&mut self, name: &'a HeaderName, value: Bounded<'a>) {
        self.change(HeaderMap::Response, name, Verb::Add, bytes(value));
    }

    /// Removes a response header.
    pub fn remove_response_header(&mut self, name: &'a HeaderName) {
        self.change(HeaderMap::Response, name, Verb::Remove, Cow::Borrowed(&[]));
    }

    /// Adds a request trailer; where the request has none, in the callback of the body's last part.
    pub fn add_request_trailer(&mut self, name: &'a HeaderName, value: impl Into<Cow<'a, [u8]>>) {
        self.change(HeaderMap::RequestTrailers, name, Verb::Add, value.into());
    }

    /// Adds a response trailer; where the response has none, in the callback of the body's last part.
    pub fn add_response_trailer(&mut self, name: &'a HeaderName, value: Bounded<'a>) {
        self.change(HeaderMap::ResponseTrailers, name, Verb::Add, bytes(value));
    }

    /// Replaces the body at hand. The filter has removed `content-length` before, in the header callback: Envoy does not mend it.
    pub fn replace_body(&mut self, body: impl Into<Cow<'a, [u8]>>) {
        self.rare().body = Some(body.into());
    }

    /// Leaves a value in filter state, where access logs find it as `%FILTER_STATE(wasm.KEY:PLAIN)%`.
    pub fn set_state(&mut self, key: &'a str, value: Bounded<'a>) {
        self.rare().state.push((key, value));
    }

    /// What is left in filter state under a key.
    #[cfg(feature = "parts")]
    pub fn state(&self, key: &str) -> Option<&str> {
        let mut all = self.rare.as_ref()?.state.iter();
        all.find(|(other, _)| *other == key).map(|(_, value)| value.as_str())
    }

    /// Changes a metric.
    pub fn measure(&mut self, change: MetricChange<'a>) {
        match change {
            MetricChange::Known(series, value) => self.measure_known(series, value),
            MetricChange::Labelled(family, values, value) => {
                self.rare().labelled.push((family, values, value));
            }
        }
    }

    /// Adds one to a counter's series.
    #[expect(
        clippy::inline_always,
        reason = "a call costs more than what it does here, for every arm of every request"
    )]
    #[inline(always)]
    pub fn count(&mut self, series: SeriesId) {
        self.measure_known(series, 1);
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

    /// Whether the stream is held or answered, so that no filter behind this one sees the callback.
    #[cfg(feature = "parts")]
    pub fn is_end(&self) -> bool {
        self.flow == Flow::Pause || self.rare.as_ref().is_some_and(|rare| rare.reply.is_some())
    }

    /// Asks for what another filter of the same module asks for too, behind what is asked for already: the one at a place, of so many.
    #[cfg(feature = "parts")]
    pub fn join(&mut self, (part, parts): (u32, u32), other: Effects<'a>) {
        let mut own = other.rare.map(|rare| *rare).unwrap_or_default();
        for change in other.headers.into_iter().flatten().chain(std::mem::take(&mut own.headers)) {
            let value = match change.value {
                Ok(bytes) => Cow::Borrowed(bytes),
                Err(place) => Cow::Owned(own.own.get_mut(place).map(std::mem::take).unwrap_or_default()),
            };
            self.change(change.map, change.name, change.verb, value);
        }
        for (series, value) in
            other.known.into_iter().take(other.known_count).chain(std::mem::take(&mut own.known))
        {
            self.measure_known(series.among(part, parts), value);
        }
        if other.flow == Flow::Pause {
            self.flow = Flow::Pause;
        }
        own.own.clear();
        if own == Rare::default() {
            return;
        }
        let all = self.rare();
        all.labelled.extend(
            own.labelled
                .into_iter()
                .map(|(family, values, value)| (family.among(part, parts), values, value)),
        );
        all.body = own.body.or(all.body.take());
        all.state.append(&mut own.state);
        all.log.append(&mut own.log);
        all.callouts.append(&mut own.callouts);
        all.reply = all.reply.take().or(own.reply);
    }

    /// The request's headers, held until now, go on: this callback may change them too.
    #[cfg(feature = "parts")]
    pub fn release(&mut self) {
        self.rare().is_release = true;
    }

    /// Whether nothing was asked for.
    pub fn is_empty(&self) -> bool {
        self.header_count == 0
            && self.known_count == 0
            && self.flow == Flow::Continue
            && self.rare.as_ref().is_none_or(|rare| **rare == Rare::default())
    }

    /// Whether nothing was asked for but a few changes of headers and of known series.
    #[cfg(target_arch = "wasm32")]
    #[inline]
    pub(crate) fn is_plain(&self) -> bool {
        self.rare.is_none() && self.flow == Flow::Continue
    }

    #[expect(
        clippy::inline_always,
        reason = "a call costs more than what it does here, for every arm of every request"
    )]
    #[inline(always)]
    fn change(&mut self, map: HeaderMap, name: &'a HeaderName, verb: Verb, value: Cow<'a, [u8]>) {
        let value = match value {
            Cow::Borrowed(bytes) => Ok(bytes),
            Cow::Owned(bytes) => Err(self.own(bytes)),
        };
        let change = HeaderChange { map, name, verb, value };
        match self.headers.get_mut(self.header_count) {
            Some(place) => {
                *place = Some(change);
                self.header_count += 1;
            }
            None => self.rare().headers.push(change),
        }
    }
    #[expect(
        clippy::inline_always,
        reason = "a call costs more than what it does here, for every arm of every request"
    )]
    #[inline(always)]
    fn measure_known(&mut self, series: SeriesId, value: u64) {
        match self.known.get_mut(self.known_count) {
            Some(place) => {
                *place = (series, value);
                self.known_count += 1;
            }
            None => self.rare().known.push((series, value)),
        }
    }

    #[cold]
    fn own(&mut self, bytes: Vec<u8>) -> usize {
        let own = &mut self.rare().own;
        own.push(bytes);
        own.len() - 1
    }

    /// The phase whose headers may be changed, in a callback.
    #[cfg(all(target_arch = "wasm32", feature = "parts"))]
    pub(crate) fn phase_of_headers(&self, phase: Phase) -> Phase {
        if self.rare.as_ref().is_some_and(|rare| rare.is_release) { Phase::RequestHeaders } else { phase }
    }

    /// Whether a header is changed.
    #[cfg(target_arch = "wasm32")]
    #[inline]
    pub(crate) fn has_headers(&self) -> bool {
        self.header_count > 0
    }

    /// Calls `each` with the changes of headers and their values, in order.
    #[inline]
    pub(crate) fn each_header(&self, mut each: impl FnMut(&HeaderChange<'a>, &[u8])) {
        for change in self.headers.iter().flatten() {
            match change.value {
                Ok(value) => each(change, value),
                Err(place) => each(change, self.owned(place)),
            }
        }
        if let Some(rare) = &self.rare {
            for change in &rare.headers {
                each(change, change.value.unwrap_or_else(|place| self.owned(place)));
            }
        }
    }

    #[cold]
    fn owned(&self, place: usize) -> &[u8] {
        self.rare.as_ref().and_then(|rare| rare.own.get(place)).map(Vec::as_slice).unwrap_or_default()
    }

    /// Calls `each` with the changes of known series, in order.
    #[inline]
    pub(crate) fn each_known(&self, mut each: impl FnMut(SeriesId, u64)) {
        for (series, value) in self.known.iter().take(self.known_count) {
            each(*series, *value);
        }
        if let Some(rare) = &self.rare {
            for (series, value) in &rare.known {
                each(*series, *value);
            }
        }
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

#[cfg(test)]
mod tests {
    use super::{Effects, Verb};
    use crate::{
        HeaderName,
        metrics::{Kind, Metrics},
    };

    #[test]
    fn changes_keep_their_order_however_many_they_are_and_whoever_owns_their_bytes() {
        let names: Vec<HeaderName> =
            ["a", "b", "c", "d", "e"].map(|name| HeaderName::parse(name).unwrap()).into();
        let mut metrics = Metrics::default();
        let family = metrics.family(Kind::Counter, "hits_total", &[]);
        let series: Vec<_> = names.iter().map(|_| metrics.series(family, &[])).collect();
        let mut effects = Effects::default();
        assert!(effects.is_empty());
        for (place, (name, series)) in names.iter().zip(&series).enumerate() {
            match place {
                1 | 4 => effects.set_request_header(name, format!("own {place}").into_bytes()),
                2 => effects.remove_request_header(name),
                _ => effects.add_request_header(name, &b"borrowed"[..]),
            }
            effects.count(*series);
            assert!(!effects.is_empty());
        }
        let mut headers = Vec::new();
        effects
            .each_header(|change, value| headers.push((change.name.as_str(), change.verb, value.to_vec())));
        let expected: [(&str, Verb, &[u8]); 5] = [
            ("a", Verb::Add, b"borrowed"),
            ("b", Verb::Set, b"own 1"),
            ("c", Verb::Remove, b""),
            ("d", Verb::Add, b"borrowed"),
            ("e", Verb::Set, b"own 4"),
        ];
        assert_eq!(headers, expected.map(|(name, verb, value)| (name, verb, value.to_vec())));
        let mut counted = Vec::new();
        effects.each_known(|series, step| counted.push((series, step)));
        assert_eq!(counted, series.into_iter().map(|series| (series, 1)).collect::<Vec<_>>());
    }
}

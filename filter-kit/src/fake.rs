//! Plain data in the host's place, for native tests of a filter.

use crate::{
    Buffer, Callbacks, Effects, Filter, HeaderMap, HostBytes, Level, Pairs, Phase, Source, View,
    effects::{HeaderChange, Verb},
    metrics::{Kind, SeriesId},
    settings::Node,
};
use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, VecDeque},
};

mod metadata;
mod shared;

pub use metadata::metadata;
pub use shared::Shared;

/// Names and values, in order.
pub type Headers = Vec<(String, Vec<u8>)>;

/// One exchange as plain data: what the client sends, what the upstream answers, the clock and the random source.
#[derive(Debug, Clone)]
pub struct Stream {
    request: Headers,
    response: Headers,
    properties: BTreeMap<String, Vec<u8>>,
    now: u64,
    random: Cell<Option<u64>>,
    /// What random bytes are before they come from the seed.
    drawn: RefCell<VecDeque<u8>>,
    shared: Shared,
    /// What the host holds of a body, or of an answer, and how many bytes of it were asked for.
    body: Vec<u8>,
    read: Cell<usize>,
}

/// What became of an exchange.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The request's headers as the upstream gets them.
    pub request: Headers,
    /// The response's headers as the client gets them.
    pub response: Headers,
    /// The sums that were added to each series, by the stat's name; of a gauge the last value.
    pub metrics: BTreeMap<String, u64>,
    /// The status of the filter's own reply.
    pub reply: Option<u16>,
    /// Filter state.
    pub state: BTreeMap<String, String>,
    /// Log lines.
    pub log: Vec<(Level, String)>,
}

impl Stream {
    /// A `GET` of a path, answered by a plain 200. Time stands at 0 and random bytes come from the seed 0.
    pub fn get(path: &str) -> Self {
        let header = |name: &str, value: &str| (name.to_owned(), value.as_bytes().to_vec());
        Self::of(
            vec![
                header(":authority", "shop.example"),
                header(":path", path),
                header(":method", "GET"),
                header(":scheme", "http"),
            ],
            vec![header(":status", "200")],
        )
    }

    /// A request and its response, as the host hands their headers to the first filter.
    pub fn of(request: Headers, response: Headers) -> Self {
        Self {
            request,
            response,
            properties: BTreeMap::new(),
            now: 0,
            body: Vec::new(),
            read: Cell::new(0),
            random: Cell::new(Some(0)),
            drawn: RefCell::default(),
            shared: Shared::default(),
        }
    }

    /// With another host.
    #[must_use]
    pub fn authority(self, host: &str) -> Self {
        self.with(":authority", host)
    }

    /// With another method.
    #[must_use]
    pub fn method(self, method: &str) -> Self {
        self.with(":method", method)
    }

    fn with(mut self, name: &str, text: &str) -> Self {
        self.request.retain(|(other, _)| other != name);
        self.request.push((name.to_owned(), text.as_bytes().to_vec()));
        self
    }

    /// With a further request header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.request.push((name.to_ascii_lowercase(), value.as_ref().to_vec()));
        self
    }

    /// Answered with another status.
    #[must_use]
    pub fn status(mut self, status: u16) -> Self {
        self.response.retain(|(name, _)| name != ":status");
        self.response_header(":status", status.to_string())
    }

    /// With a further response header.
    #[must_use]
    pub fn response_header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.response.push((name.to_ascii_lowercase(), value.as_ref().to_vec()));
        self
    }

    /// With a property, whose path is joined by dots.
    #[must_use]
    pub fn property(mut self, path: &str, value: impl AsRef<[u8]>) -> Self {
        self.properties.insert(path.to_owned(), value.as_ref().to_vec());
        self
    }

    /// With dynamic metadata: filters, and what each has left there.
    #[must_use]
    pub fn metadata(self, filters: &Node<'_>) -> Self {
        self.property("metadata", metadata(filters))
    }

    /// With the clock at so many nanoseconds since 1970.
    #[must_use]
    pub fn at(mut self, now: u64) -> Self {
        self.now = now;
        self
    }

    /// With random bytes from this seed.
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        self.random.set(Some(seed));
        self
    }

    /// With these random bytes, before those from the seed.
    #[must_use]
    pub fn drawing(self, bytes: impl IntoIterator<Item = u8>) -> Self {
        self.drawn.borrow_mut().extend(bytes);
        self
    }

    /// With a host that has no random bytes.
    #[must_use]
    pub fn without_random(self) -> Self {
        self.random.set(None);
        self
    }

    /// In a VM with this shared data.
    #[must_use]
    pub fn sharing(mut self, shared: &Shared) -> Self {
        self.shared = shared.clone();
        self
    }

    /// The host holds these bytes of a body, or of an answer to a callout, behind those that it has.
    pub fn hold(&mut self, bytes: &[u8]) {
        self.body.extend(bytes);
    }

    /// How many bytes of what the host holds were asked for, each as often as it was.
    pub fn bytes_read(&self) -> usize {
        self.read.get()
    }

    /// The request's headers; `is_last` where nothing follows them.
    pub fn request_view(&self, is_last: bool) -> View<'_> {
        View::new(self, Phase::RequestHeaders, self.request.len(), is_last)
    }

    /// The response's headers.
    pub fn response_view(&self) -> View<'_> {
        View::new(self, Phase::ResponseHeaders, self.response.len(), true)
    }

    /// Takes the exchange through the filter's callbacks, those it declares, in Envoy's order.
    pub fn drive<F: Filter>(&self, filter: &F) -> Outcome {
        let mut outcome =
            Outcome { request: self.request.clone(), response: self.response.clone(), ..Outcome::default() };
        let mut state = None;
        if F::CALLBACKS.contains(Callbacks::REQUEST_HEADERS) {
            let view = self.request_view(true).with_singles(filter.single_headers());
            outcome.apply(self, filter, Phase::RequestHeaders, filter.on_request_headers(&view, &mut state));
        }
        if F::CALLBACKS.contains(Callbacks::RESPONSE_HEADERS) {
            let view = self.response_view();
            outcome.apply(
                self,
                filter,
                Phase::ResponseHeaders,
                filter.on_response_headers(&view, &mut state),
            );
        }
        if F::CALLBACKS.contains(Callbacks::LOG) {
            let after =
                Self { request: outcome.request.clone(), response: outcome.response.clone(), ..self.clone() };
            let view = View::new(&after, Phase::Log, 0, true);
            outcome.apply(self, filter, Phase::Log, filter.on_log(&view, &mut state));
        }
        outcome
    }
}

impl Source for Stream {
    fn pairs(&self, map: HeaderMap) -> Pairs {
        let headers: &[(String, Vec<u8>)] = match map {
            HeaderMap::Request => &self.request,
            HeaderMap::Response => &self.response,
            _ => &[],
        };
        Pairs::new(Pairs::encode(headers.iter().map(|(name, value)| (name.as_bytes(), value.as_slice()))))
    }

    fn header(&self, map: HeaderMap, name: &str) -> Option<HostBytes> {
        self.pairs(map).first(name).map(|value| value.to_vec().into())
    }

    fn buffer(&self, _: Buffer, from: usize) -> HostBytes {
        let bytes = self.body.get(from..).unwrap_or_default().to_vec();
        self.read.set(self.read.get() + bytes.len());
        bytes.into()
    }

    fn property(&self, path: &[&str]) -> Option<HostBytes> {
        self.properties.get(&path.join(".")).map(|value| value.clone().into())
    }

    fn now(&self) -> u64 {
        self.now
    }

    fn random(&self, bytes: &mut [u8]) -> bool {
        let Some(mut seed) = self.random.get() else { return false };
        let mut drawn = self.drawn.borrow_mut();
        if drawn.len() >= bytes.len() {
            bytes.fill_with(|| drawn.pop_front().unwrap_or_default());
            return true;
        }
        // SplitMix64 (Steele, Lea and Flood, 2014).
        for chunk in bytes.chunks_mut(8) {
            seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut word = seed;
            word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            word ^= word >> 31;
            for (byte, random) in chunk.iter_mut().zip(word.to_le_bytes()) {
                *byte = random;
            }
        }
        self.random.set(Some(seed));
        true
    }

    fn shared(&self, key: &str) -> Result<(HostBytes, u32), u32> {
        self.shared.shared(key)
    }

    fn set_shared(&self, key: &str, value: &[u8], change: u32) -> u32 {
        self.shared.set_shared(key, value, change)
    }
}

impl Outcome {
    /// The values of a request header.
    pub fn request_header(&self, name: &str) -> Vec<String> {
        values(&self.request, name)
    }

    /// The values of a response header.
    pub fn response_header(&self, name: &str) -> Vec<String> {
        values(&self.response, name)
    }

    fn apply<F: Filter>(&mut self, stream: &Stream, filter: &F, phase: Phase, mut effects: Effects<'_>) {
        let named = |series: SeriesId| {
            let (part, own) = series.split(F::PARTS);
            filter.part(part)?.named(own)
        };
        effects.each_header(|change, value| {
            let headers = match change.map {
                HeaderMap::Request => &mut self.request,
                HeaderMap::Response => &mut self.response,
                _ => return,
            };
            if phase.can_write(change.map) {
                change_header(headers, change, value);
            }
        });
        effects.each_known(|series, value| {
            if let Some((kind, name)) = named(series) {
                self.measure(kind, name, value);
            }
        });
        let rare = effects.take_seldom();
        for (family, values, value) in rare.labelled {
            let (part, family) = family.split(F::PARTS);
            let Some(metrics) = filter.part(part) else { continue };
            let found = metrics.find_texts(stream, family, &values);
            if let Some((kind, name)) = metrics.named(found.first) {
                self.measure(kind, name, value);
            }
        }
        self.state
            .extend(rare.state.into_iter().map(|(key, value)| (key.to_owned(), value.as_str().to_owned())));
        self.log.extend(rare.log.into_iter().map(|(level, text)| (level, text.as_str().to_owned())));
        if let Some(reply) = rare.reply.filter(|_| phase.can_reply()) {
            self.reply.get_or_insert(reply.status);
        }
    }

    fn measure(&mut self, kind: Kind, name: String, value: u64) {
        let sum = self.metrics.entry(name).or_default();
        *sum = if kind == Kind::Gauge { value } else { *sum + value };
    }
}

fn values(headers: &Headers, name: &str) -> Vec<String> {
    let lossy = |value: &Vec<u8>| String::from_utf8_lossy(value).into_owned();
    headers.iter().filter(|(other, _)| other == name).map(|(_, value)| lossy(value)).collect()
}

fn change_header(headers: &mut Headers, change: &HeaderChange<'_>, value: &[u8]) {
    let name = change.name.as_str();
    if change.verb != Verb::Add {
        headers.retain(|(other, _)| other != name);
    }
    if change.verb != Verb::Remove {
        headers.push((name.to_owned(), value.to_vec()));
    }
}

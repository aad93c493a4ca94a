//! What is known of a request, each fact asked of the host once, and only where a rule needs it.

use crate::{
    address::{Address, Block},
    metadata::Value,
    normal,
    pattern::{Part, Pattern, holds},
    program::{Attribute, Program, Test},
    truth::Truth,
};
use filter_kit::{HostBytes, View};
use std::{borrow::Cow, cell::OnceCell};

/// What is known of a request, for the rules of a program. Several programs share it.
#[derive(Clone, Copy)]
pub struct Facts<'f> {
    program: &'f Program,
    known: &'f Known<'f>,
    view: &'f View<'f>,
}

/// What is known of a request.
pub struct Known<'f> {
    view: &'f View<'f>,
    asked: OnceCell<Box<Asked>>,
}

impl<'f> Known<'f> {
    /// Nothing yet, of the request of a view.
    pub fn new(view: &'f View<'f>) -> Self {
        Self { view, asked: OnceCell::new() }
    }
}

/// What was asked for beside the headers. Most requests need none of it, and pay nothing for it.
#[derive(Default)]
struct Asked {
    peer: OnceCell<Option<HostBytes>>,
    remote: OnceCell<Option<HostBytes>>,
    destination: OnceCell<Option<HostBytes>>,
    sni: OnceCell<Option<HostBytes>>,
    names: [OnceCell<Option<HostBytes>>; 2],
    metadata: OnceCell<Option<HostBytes>>,
    host: OnceCell<Vec<u8>>,
    canonical: OnceCell<Canonical>,
}

/// A path as the most lenient of servers reads it.
enum Canonical {
    /// None can say.
    Unknown,
    /// It is as it came.
    Same,
    Other(Vec<u8>),
}

/// The further names of a peer, which Envoy's `authenticated` principal looks at behind the URIs: the first DNS name, and the subject.
const NAMES: [&str; 2] = ["dns_san_peer_certificate", "subject_peer_certificate"];

impl<'f> Facts<'f> {
    /// The facts for a program.
    #[inline]
    pub fn new(program: &'f Program, known: &'f Known<'f>) -> Self {
        Self { program, known, view: known.view }
    }

    fn asked(&self) -> &Asked {
        self.known.asked.get_or_init(Box::default)
    }

    /// The view.
    pub fn view(&self) -> &'f View<'f> {
        self.view
    }

    /// What a test says.
    pub fn test(&self, clause: &Test) -> Truth {
        let truth = self.any(clause);
        if clause.is_negated { !truth } else { truth }
    }

    fn any(&self, clause: &Test) -> Truth {
        match clause.attribute {
            Attribute::Path => self.path(clause),
            Attribute::Host => self.host_is(clause),
            Attribute::Method => self.bytes(clause, self.view.request_header(":method")),
            Attribute::Header(name) => {
                let mut values = self.headers(self.program.texts.get(name));
                values.any(|value| self.bytes(clause, Some(value)) == Truth::True).into()
            }
            Attribute::Principal => {
                let uri = self.bytes(clause, self.view.principal());
                if uri == Truth::True {
                    return uri;
                }
                Truth::any([0, 1].map(|place| self.bytes(clause, self.name(place))))
            }
            Attribute::Peer => self.address(clause, self.peer()),
            Attribute::Remote => self.address(clause, self.remote()),
            Attribute::DestinationIp => self.address(clause, self.destination()),
            Attribute::DestinationPort => {
                let Some(text) = self.destination() else { return Truth::Error };
                let port = Address::read(text).and_then(|(_, port)| port);
                self.bytes(clause, port.map(u16::to_be_bytes).as_ref().map(|port| &port[..]))
            }
            // Without TLS, or without a name, it is empty.
            Attribute::Sni => self.bytes(clause, Some(self.sni())),
            Attribute::RequestPrincipal => self.request_principal(clause),
            Attribute::Metadata(path) => self.metadata_is(clause, self.program.texts.get(path)),
        }
    }

    fn bytes(&self, clause: &Test, value: Option<&[u8]>) -> Truth {
        let Some(value) = value else { return Truth::False };
        let is_strict = self.program.is_strict;
        let mut patterns = self.program.patterns(clause).iter();
        patterns
            .any(|pattern| holds(pattern.form, self.program.texts.get(pattern.text), value, is_strict))
            .into()
    }

    /// A path, in strict mode by both of its readings: where they differ nothing can be said.
    fn path(&self, clause: &Test) -> Truth {
        if self.view.request_header(":path").is_none() {
            return Truth::False;
        }
        let raw = self.view.path();
        let truth = self.bytes(clause, Some(raw));
        if !self.program.is_strict {
            return truth;
        }
        match self.canonical_path() {
            Some(canonical) if canonical == raw && !self.program.has_read() => truth,
            Some(canonical) if self.read_path(clause, canonical) == truth => truth,
            _ => Truth::Error,
        }
    }

    /// What a path says that has been read to its end.
    fn read_path(&self, clause: &Test, path: &[u8]) -> Truth {
        let texts = &self.program.texts;
        let mut patterns = self.program.patterns(clause).iter();
        patterns
            .any(|pattern| holds(pattern.form, texts.get(self.program.read(pattern.text)), path, true))
            .into()
    }

    /// The path as the most lenient of servers reads it; `None` where none can say.
    fn canonical_path(&self) -> Option<&[u8]> {
        let read = || match normal::canonical(self.view.path()) {
            None => Canonical::Unknown,
            Some(Cow::Borrowed(_)) => Canonical::Same,
            Some(Cow::Owned(path)) => Canonical::Other(path),
        };
        match self.asked().canonical.get_or_init(read) {
            Canonical::Unknown => None,
            Canonical::Same => Some(self.view.path()),
            Canonical::Other(path) => Some(path),
        }
    }

    /// The host in lower case.
    fn host(&self) -> Option<&[u8]> {
        let sent = self.view.request_header(":authority")?;
        if !sent.iter().any(u8::is_ascii_uppercase) {
            return Some(sent);
        }
        Some(self.asked().host.get_or_init(|| sent.to_ascii_lowercase()))
    }

    fn host_is(&self, clause: &Test) -> Truth {
        let Some(host) = self.host() else { return Truth::False };
        if !self.program.is_strict {
            return self.bytes(clause, Some(host));
        }
        if !normal::is_host(host) {
            return Truth::Error;
        }
        let name = normal::host(host);
        let mut patterns = self.program.patterns(clause).iter();
        patterns
            .any(|pattern| {
                let text = self.program.texts.get(pattern.text);
                let value = if normal::has_port(text) { host } else { name };
                holds(pattern.form, text, value, true)
            })
            .into()
    }

    /// A header's values. Envoy matches each by itself since 1.38 (`envoy.reloadable_features.rbac_match_headers_individually`); 1.37 joined them.
    pub fn headers(&self, name: &[u8]) -> impl Iterator<Item = &'f [u8]> {
        // A name that is no header's is in no request.
        let name = std::str::from_utf8(name).unwrap_or_default();
        let is_pseudo = matches!(name, ":path" | ":method" | ":authority" | ":scheme");
        let pseudo = if is_pseudo { self.view.request_header(name) } else { None };
        let others = (!is_pseudo).then(|| self.view.request_headers().all(name));
        pseudo.into_iter().chain(others.into_iter().flatten())
    }

    fn address(&self, clause: &Test, text: Option<&[u8]>) -> Truth {
        let Some(text) = text else { return Truth::Error };
        // A Unix socket has no address, and is in no block.
        let Some((address, _)) = Address::read(text) else { return Truth::False };
        let mut patterns = self.program.patterns(clause).iter();
        patterns.any(|pattern| Block::holds(self.program.texts.get(pattern.text), address)).into()
    }

    /// The direct peer, which Envoy's own `set_filter_state` leaves in filter state: no attribute has it.
    pub fn peer(&self) -> Option<&[u8]> {
        let read = || {
            self.view
                .property(&["filter_state", PEER])
                .or_else(|| self.view.property(&[PEER]))
                .filter(|peer| !peer.is_empty())
        };
        self.asked().peer.get_or_init(read).as_deref()
    }

    /// The client's address with a port.
    pub fn remote(&self) -> Option<&[u8]> {
        self.asked().remote.get_or_init(|| self.view.property(&["source", "address"])).as_deref()
    }

    /// The address that was connected to, with a port.
    pub fn destination(&self) -> Option<&[u8]> {
        self.asked().destination.get_or_init(|| self.view.property(&["destination", "address"])).as_deref()
    }

    fn sni(&self) -> &[u8] {
        let read = || self.view.property(&["connection", "requested_server_name"]);
        self.asked().sni.get_or_init(read).as_deref().unwrap_or_default()
    }

    fn name(&self, place: usize) -> Option<&[u8]> {
        let (name, cell) = (NAMES.get(place)?, self.asked().names.get(place)?);
        cell.get_or_init(|| self.view.property(&["connection", name])).as_deref()
    }

    fn metadata(&self) -> &[u8] {
        self.asked().metadata.get_or_init(|| self.view.property(&["metadata"])).as_deref().unwrap_or_default()
    }

    fn metadata_value(&self, path: &[u8]) -> Option<Value<'_>> {
        Value::find(self.metadata(), path.split(|byte| *byte == 0))
    }

    fn metadata_is(&self, clause: &Test, path: &[u8]) -> Truth {
        let Some(value) = self.metadata_value(path) else { return Truth::False };
        let any = |part: Part, value: &[u8]| {
            self.program.patterns(clause).iter().any(|pattern| {
                (pattern.part == part || pattern.part == Part::Both)
                    && holds(pattern.form, self.program.texts.get(pattern.text), value, false)
            })
        };
        match value {
            Value::String(text) => any(Part::Value, text).into(),
            Value::List(list) => list.strings().any(|text| any(Part::Element, text)).into(),
            // To Envoy a value of another type is none that matches.
            Value::Struct(_) | Value::Other => self.of_other_type(),
        }
    }

    fn of_other_type(&self) -> Truth {
        if self.program.is_strict { Truth::Error } else { Truth::False }
    }

    fn request_principal(&self, clause: &Test) -> Truth {
        let claim = |name: &str| {
            let path = ["envoy.filters.http.jwt_authn", "payload", name].map(str::as_bytes);
            match Value::find(self.metadata(), path) {
                Some(Value::String(text)) => Ok(text),
                Some(_) => Err(self.of_other_type()),
                None => Err(Truth::False),
            }
        };
        let (issuer, subject) = (claim("iss"), claim("sub"));
        let of = |pattern: &Pattern, value: Result<&[u8], Truth>| match value {
            Ok(value) => holds(pattern.form, self.program.texts.get(pattern.text), value, false).into(),
            Err(truth) => truth,
        };
        let (pairs, _) = self.program.patterns(clause).as_chunks::<2>();
        Truth::any(pairs.iter().map(|[first, second]| of(first, issuer).and(of(second, subject))))
    }

    /// Calls `each` with every text of the attribute that a test may look at: what an index is asked for.
    #[inline]
    pub fn each_text(&self, attribute: Attribute, each: &mut dyn FnMut(&[u8])) {
        match attribute {
            Attribute::Path => {
                each(self.view.path());
                if self.program.is_strict
                    && let Some(canonical) = self.canonical_path().filter(|path| *path != self.view.path())
                {
                    each(canonical);
                }
            }
            Attribute::Host => {
                if let Some(host) = self.host() {
                    each(host);
                    if self.program.is_strict && normal::host(host) != host {
                        each(normal::host(host));
                    }
                }
            }
            Attribute::Method => each(self.view.method()),
            Attribute::Header(name) => {
                self.headers(self.program.texts.get(name)).for_each(each);
            }
            Attribute::Principal => {
                let names = [self.view.principal(), self.name(0), self.name(1)];
                names.into_iter().flatten().for_each(each);
            }
            Attribute::DestinationPort => {
                let port = self.destination().and_then(Address::read).and_then(|(_, port)| port);
                if let Some(port) = port {
                    each(&port.to_be_bytes());
                }
            }
            Attribute::Sni => each(self.sni()),
            Attribute::Metadata(path) => match self.metadata_value(self.program.texts.get(path)) {
                Some(Value::String(text)) => each(text),
                Some(Value::List(list)) => list.strings().for_each(each),
                _ => {}
            },
            Attribute::Peer | Attribute::Remote | Attribute::DestinationIp | Attribute::RequestPrincipal => {}
        }
    }

    /// The address of an attribute that is one.
    pub fn address_of(&self, attribute: Attribute) -> Option<Address> {
        let text = match attribute {
            Attribute::Peer => self.peer(),
            Attribute::Remote => self.remote(),
            _ => self.destination(),
        };
        Address::read(text?).map(|(address, _)| address)
    }

    /// Whether nothing can be said of an attribute, so that no index can tell which rules it concerns.
    pub fn is_unknown(&self, attribute: Attribute) -> bool {
        match attribute {
            Attribute::Path => self.program.is_strict && self.canonical_path().is_none(),
            Attribute::Host => {
                self.program.is_strict && self.host().is_some_and(|host| !normal::is_host(host))
            }
            Attribute::Peer => self.peer().is_none(),
            Attribute::Remote => self.remote().is_none(),
            Attribute::DestinationIp | Attribute::DestinationPort => self.destination().is_none(),
            Attribute::Metadata(path) => {
                let path = self.program.texts.get(path);
                self.program.is_strict
                    && match self.metadata_value(path) {
                        Some(Value::Struct(_) | Value::Other) => true,
                        // An issuer or a subject that is a list is none that a request principal can be compared with.
                        Some(Value::List(_)) => path.ends_with(b"\0iss") || path.ends_with(b"\0sub"),
                        _ => false,
                    }
            }
            _ => false,
        }
    }
}

/// The key of the direct peer in filter state.
pub const PEER: &str = "outrigger.peer";

//! A request that meets conditions: found by trying values that are made of the conditions' own, and worth nothing until the policies have been asked.

use super::{relation::values, way::Way};
use crate::{
    address::Block,
    facts::PEER,
    pattern::{self, Form, Part, Pattern, SPIFFE},
    program::{Attribute, Program, Test},
};
use filter_kit::{
    fake::{Headers, Stream},
    settings::Node,
};
use std::{borrow::Cow, net::IpAddr};

/// The most values of a test that are tried.
const TRIED: usize = 64;

/// A request.
#[derive(Debug, Clone)]
pub struct Witness {
    /// The method.
    pub method: Vec<u8>,
    /// The path as Envoy hands it over.
    pub path: Vec<u8>,
    /// The host.
    pub host: Vec<u8>,
    headers: Headers,
    principal: Option<Vec<u8>>,
    sni: Vec<u8>,
    peer: IpAddr,
    remote: IpAddr,
    destination: IpAddr,
    port: u16,
    claims: Node<'static>,
}

impl Default for Witness {
    fn default() -> Self {
        Self {
            method: b"GET".to_vec(),
            path: b"/".to_vec(),
            host: b"shop.example".to_vec(),
            headers: Headers::new(),
            principal: None,
            sni: Vec::new(),
            peer: IpAddr::from([10, 0, 0, 1]),
            remote: IpAddr::from([203, 0, 113, 7]),
            destination: IpAddr::from([10, 0, 0, 2]),
            port: 8080,
            claims: Node::Map(Vec::new()),
        }
    }
}

impl Witness {
    /// A request that meets all tests of a way; `None` where none is found.
    pub fn of(program: &Program, way: &Way<'_>) -> Option<Self> {
        let mut witness = Self::default();
        for attribute in way.attributes() {
            witness.meet(program, attribute, way)?;
        }
        Some(witness)
    }

    /// As [`of`](Self::of), with this path, whatever the tests say of paths.
    pub fn with_path(program: &Program, way: &Way<'_>, path: &[u8]) -> Option<Self> {
        let mut witness = Self::default();
        for attribute in way.attributes().into_iter().filter(|attribute| *attribute != Attribute::Path) {
            witness.meet(program, attribute, way)?;
        }
        path.clone_into(&mut witness.path);
        Some(witness)
    }

    /// What a filter sees of it.
    pub fn stream(&self) -> Stream {
        let mut headers: Headers = vec![
            (":authority".to_owned(), self.host.clone()),
            (":path".to_owned(), self.path.clone()),
            (":method".to_owned(), self.method.clone()),
            (":scheme".to_owned(), b"http".to_vec()),
        ];
        headers.extend(self.headers.iter().cloned());
        let address = |address: IpAddr, port: u16| std::net::SocketAddr::new(address, port).to_string();
        let stream = Stream::of(headers, vec![(":status".to_owned(), b"200".to_vec())])
            .property(&["filter_state.", PEER].concat(), self.peer.to_string())
            .property("source.address", address(self.remote, 40000))
            .property("destination.address", address(self.destination, self.port))
            .property("connection.requested_server_name", &self.sni)
            .metadata(&self.claims);
        match &self.principal {
            Some(principal) => stream.property("connection.uri_san_peer_certificate", principal),
            None => stream,
        }
    }

    /// How it is told of: method, host where it is one of the conditions', and path.
    pub fn told(&self, with_host: bool) -> String {
        let text = |bytes: &[u8]| -> String { bytes.escape_ascii().to_string().chars().take(100).collect() };
        let host = if with_host { text(&self.host) } else { String::new() };
        format!("{} {host}{}", text(&self.method), text(&self.path))
    }

    fn meet(&mut self, program: &Program, attribute: Attribute, way: &Way<'_>) -> Option<()> {
        if attribute == Attribute::RequestPrincipal {
            return self.meet_token(program, way);
        }
        let fits = |value: &[u8], part: Part| {
            let holds = |test: &Test| {
                values(program, test).flatten().any(|pattern| {
                    (pattern.part == part || pattern.part == Part::Both) && is_met(program, *pattern, value)
                })
            };
            way.on(attribute, false).all(holds) && !way.on(attribute, true).any(holds)
        };
        let must_be = way.on(attribute, false).next().is_some();
        let own = self.own(program, attribute);
        if !must_be && own.as_deref().is_none_or(|value| fits(value, Part::Value)) {
            return Some(());
        }
        let patterns = way.on(attribute, false).flat_map(|test| values(program, test).flatten().take(TRIED));
        let made = patterns.flat_map(|pattern| {
            let part = if pattern.part == Part::Element { Part::Element } else { Part::Value };
            samples(program, *pattern).into_iter().map(move |text| (text, part))
        });
        let plain = plain(attribute).iter().map(|text| (text.to_vec(), Part::Value));
        let (value, part) = made.chain(plain).find(|(value, part)| fits(value, *part))?;
        self.set(program, attribute, value, part)
    }

    /// Issuer and subject are claims of one token.
    fn meet_token(&mut self, program: &Program, way: &Way<'_>) -> Option<()> {
        let holds = |test: &Test, texts: &[Vec<u8>; 2]| {
            values(program, test)
                .any(|pair| pair.iter().zip(texts).all(|(pattern, text)| is_met(program, *pattern, text)))
        };
        let positive: Vec<_> = way.on(Attribute::RequestPrincipal, false).collect();
        if positive.is_empty() {
            return Some(());
        }
        let pairs = positive.iter().flat_map(|test| values(program, test).take(TRIED));
        let texts = pairs.filter_map(|pair| {
            let [issuer, subject] = pair else { return None };
            Some([samples(program, *issuer).pop()?, samples(program, *subject).pop()?])
        });
        let [issuer, subject] = texts.into_iter().find(|texts| {
            positive.iter().all(|test| holds(test, texts))
                && !way.on(Attribute::RequestPrincipal, true).any(|test| holds(test, texts))
        })?;
        for (name, text) in [("iss", issuer), ("sub", subject)] {
            let path = [crate::rules::CLAIMS, name].join("\0");
            self.claim(&path, &text, Part::Value)?;
        }
        Some(())
    }

    /// The value that there is before anything is asked for.
    fn own(&self, program: &Program, attribute: Attribute) -> Option<Vec<u8>> {
        let key = |address: IpAddr| pattern::block(&address.to_string()).map(Vec::from);
        match attribute {
            Attribute::Path => Some(self.path.clone()),
            Attribute::Host => Some(self.host.clone()),
            Attribute::Method => Some(self.method.clone()),
            Attribute::Peer => key(self.peer),
            Attribute::Remote => key(self.remote),
            Attribute::DestinationIp => key(self.destination),
            Attribute::DestinationPort => Some(self.port.to_be_bytes().to_vec()),
            Attribute::Sni => Some(self.sni.clone()),
            Attribute::Principal => self.principal.clone(),
            Attribute::Header(name) => match program.texts.get(name) {
                b":path" => Some(self.path.clone()),
                b":method" => Some(self.method.clone()),
                b":authority" => Some(self.host.clone()),
                b":scheme" => Some(b"http".to_vec()),
                _ => None,
            },
            Attribute::RequestPrincipal | Attribute::Metadata(_) => None,
        }
    }

    fn set(&mut self, program: &Program, attribute: Attribute, value: Vec<u8>, part: Part) -> Option<()> {
        match attribute {
            Attribute::Path => self.path = value,
            Attribute::Host => self.host = value,
            Attribute::Method => self.method = value,
            Attribute::Sni => self.sni = value,
            Attribute::Principal => self.principal = Some(value),
            Attribute::Peer => self.peer = address(&value)?,
            Attribute::Remote => self.remote = address(&value)?,
            Attribute::DestinationIp => self.destination = address(&value)?,
            Attribute::DestinationPort => self.port = u16::from_be_bytes(value.try_into().ok()?),
            Attribute::Header(name) => match program.texts.get(name) {
                b":path" => self.path = value,
                b":method" => self.method = value,
                b":authority" => self.host = value,
                b":scheme" => {}
                name => self.headers.push((String::from_utf8(name.to_vec()).ok()?, value)),
            },
            Attribute::Metadata(path) => {
                let path = std::str::from_utf8(program.texts.get(path)).ok()?;
                self.claim(path, &value, part)?;
            }
            Attribute::RequestPrincipal => {}
        }
        Some(())
    }

    /// Puts a text under names joined by NUL.
    fn claim(&mut self, path: &str, text: &[u8], part: Part) -> Option<()> {
        let text = Node::String(Cow::Owned(String::from_utf8(text.to_vec()).ok()?));
        let mut here = &mut self.claims;
        for name in path.split('\0') {
            if !matches!(here, Node::Map(_)) {
                return None;
            }
            let Node::Map(fields) = here else { return None };
            let known = fields.iter().position(|(other, _)| other == name);
            if known.is_none() {
                fields.push((Cow::Owned(name.to_owned()), Node::Map(Vec::new())));
            }
            let at = known.unwrap_or(fields.len() - 1);
            here = &mut fields.get_mut(at)?.1;
        }
        *here = if part == Part::Element { Node::List(vec![text]) } else { text };
        Some(())
    }
}

/// Whether a text is as a pattern says; an address is the key of its block.
fn is_met(program: &Program, pattern: Pattern, value: &[u8]) -> bool {
    let text = program.texts.get(pattern.text);
    match pattern.form {
        Form::Block => {
            address(value).is_some_and(|address| Block::holds(text, crate::address::Address::from(address)))
        }
        form => pattern::holds(form, text, value, program.is_strict),
    }
}

/// The address of a block's key.
fn address(key: &[u8]) -> Option<IpAddr> {
    let [bits, _, bytes @ ..] = key else { return None };
    Some(match bits {
        32 => IpAddr::from(*bytes.first_chunk::<4>()?),
        _ => IpAddr::from(*bytes.first_chunk::<16>()?),
    })
}

/// Texts that a pattern holds for.
pub fn samples(program: &Program, pattern: Pattern) -> Vec<Vec<u8>> {
    let text = program.texts.get(pattern.text);
    let with = |before: &[u8], after: &[u8]| [before, text, after].concat();
    let spiffe = |rest: &[&[u8]]| [&[SPIFFE][..], rest].concat().concat();
    match pattern.form {
        Form::Present | Form::Any => vec![b"x".to_vec(), b"/x".to_vec()],
        Form::Exact | Form::Port => vec![text.to_vec()],
        Form::Block => vec![text.to_vec(), last_of(text)],
        Form::Prefix => vec![with(b"", b""), with(b"", b"x"), with(b"", b"/ns/a/sa/b"), with(b"", b"x.html")],
        Form::Suffix => vec![with(b"/x", b""), with(b"x", b""), with(b"", b"")],
        Form::SpiffeSuffix => vec![spiffe(&[b"td", text]), spiffe(&[b"td/ns/a", text])],
        Form::Namespace => {
            let name: Vec<u8> = text.iter().map(|byte| if *byte == b'*' { b'x' } else { *byte }).collect();
            vec![spiffe(&[b"cluster.local/ns/", &name, b"/sa/x"])]
        }
        Form::ServiceAccount => match text.iter().position(|byte| *byte == b'/') {
            Some(at) => {
                let (namespace, account) = text.split_at(at);
                vec![spiffe(&[b"cluster.local/ns/", namespace, b"/sa", account])]
            }
            None => Vec::new(),
        },
        Form::TrustDomain => {
            let name: Vec<u8> = text.iter().map(|byte| if *byte == b'*' { b'x' } else { *byte }).collect();
            vec![spiffe(&[&name, b"/ns/x/sa/x"])]
        }
        Form::Template => {
            let text = String::from_utf8_lossy(text);
            ["x", "y/x", ""].map(|rest| text.replace("{**}", rest).replace("{*}", "x").into_bytes()).into()
        }
    }
}

/// The last address of a block's key, as a key.
fn last_of(key: &[u8]) -> Vec<u8> {
    let mut last = key.to_vec();
    let [bits, length, bytes @ ..] = last.as_mut_slice() else { return last };
    for place in usize::from(*length)..usize::from(*bits) {
        if let Some(byte) = bytes.get_mut(place / 8) {
            *byte |= 0x80 >> (place % 8);
        }
    }
    last
}

/// Values that mean nothing, for what a condition only excludes from.
fn plain(attribute: Attribute) -> &'static [&'static [u8]] {
    match attribute {
        Attribute::Path => &[b"/x", b"/x/y", b"/y.html"],
        Attribute::Host => &[b"other.example", b"x"],
        Attribute::Method => &[b"POST", b"PUT", b"QUERY"],
        Attribute::Sni => &[b"shop.example", b"other.example"],
        Attribute::DestinationPort => &[b"\x00\x50", b"\x01\xbb", b"\x23\x82"],
        Attribute::Peer | Attribute::Remote | Attribute::DestinationIp => &[
            b" \x20\x0a\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\0",
            b" \x20\xc0\xa8\0\x01\0\0\0\0\0\0\0\0\0\0\0\0",
            b" \x20\xc6\x33\x64\x07\0\0\0\0\0\0\0\0\0\0\0\0",
        ],
        Attribute::Header(_)
        | Attribute::Principal
        | Attribute::RequestPrincipal
        | Attribute::Metadata(_) => &[],
    }
}

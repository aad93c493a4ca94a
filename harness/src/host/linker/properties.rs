//! Properties, serialised as Envoy does: strings as they are, numbers as 8 bytes little-endian, truth values as one byte.

use super::metadata::message as all_metadata;
use crate::{
    Bytes,
    host::{
        abi::{MapType, Status, write_pairs},
        memory::{Guest, answer, give, read},
        message::grpc_status,
        state::{Root, State},
        stream::Common,
    },
    lint::Lint,
    scenario::Headers,
};
use serde_json::Value;
use wasmtime::Linker;

/// The upstream's address, and that of Envoy's own end.
const LOCAL: &[u8] = b"127.0.0.1:50000";
const UPSTREAM: &[u8] = b"127.0.0.1:20000";
const UPSTREAM_PORT: u64 = 20_000;

pub(super) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.func_wrap(
        "env",
        "proxy_get_property",
        |mut guest: Guest<'_>, path: u32, size: u32, at: u32, size_at: u32| {
            answer(&mut guest, "proxy_get_property", |guest| {
                let path = read(guest, path, size)?;
                let value = property(guest.data(), &path)?;
                give(guest, &value, at, size_at)
            })
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_set_property",
        |mut guest: Guest<'_>, key: u32, key_size: u32, value: u32, size: u32| {
            answer(&mut guest, "proxy_set_property", |guest| {
                let (key, value) = (read(guest, key, key_size)?, read(guest, value, size)?);
                // On the root context there is no stream to keep it.
                let Some(stream) = guest.data().stream() else {
                    guest.data().note(Lint::CallOutOfPhase, "there is no stream to keep a property");
                    return Err(Status::NotFound.into());
                };
                let key = [b"wasm.", &key[..]].concat();
                stream.common.borrow_mut().filter_state.insert(key, value);
                Ok(())
            })
        },
    )?;
    Ok(())
}

/// Where an answer is looked for.
type Found = Result<Vec<u8>, Status>;

fn property(state: &State, path: &[u8]) -> Found {
    let parts: Vec<&[u8]> = path.split(|byte| *byte == 0).collect();
    let world = state.world.0.borrow();
    let place = &world.place;
    let root =
        |read: fn(&Root) -> &String| Ok(state.root().map(read).cloned().unwrap_or_default().into_bytes());
    match parts.as_slice() {
        [b"plugin_name"] => return root(|root| &root.plugin),
        [b"plugin_root_id"] => return root(|root| &root.id),
        [b"plugin_vm_id"] => return Ok(state.options.vm_id.clone().into_bytes()),
        // An object as a whole cannot be written as bytes, and nothing cannot.
        [b"" | b"xds"] => return Err(Status::SerializationFailure),
        [b"xds", b"node", b"id"] => return Ok(place.node_id.clone().into_bytes()),
        [b"xds", b"node", b"cluster"] => return Ok(place.node_cluster.clone().into_bytes()),
        _ => {}
    }
    let common = &*state.stream().ok_or(Status::NotFound)?.common.borrow();
    match parts.as_slice() {
        [b"request" | b"response" | b"connection" | b"source" | b"destination" | b"filter_state"] => {
            Err(Status::SerializationFailure)
        }
        [b"upstream" | b"upstream_filter_state"] if common.request.are_headers_sent => {
            Err(Status::SerializationFailure)
        }
        [b"upstream" | b"upstream_filter_state"] => Err(Status::NotFound),
        [b"request", b"time"] => Ok(number(common.started)),
        [b"request", rest @ ..] => request(state, common, rest),
        [b"response", rest @ ..] => response(state, common, rest),
        [b"source", b"address"] => Ok(common.connection.source_address().to_string().into_bytes()),
        [b"source", b"port"] => Ok(number(common.connection.source_address().port().into())),
        [b"destination", b"address"] => Ok(common.connection.destination.to_string().into_bytes()),
        [b"destination", b"port"] => Ok(number(common.connection.destination.port().into())),
        [b"connection_id"] | [b"connection", b"id"] => Ok(number(1)),
        [b"connection", b"mtls"] => Ok(vec![u8::from(common.connection.principal.is_some())]),
        [b"connection", b"uri_san_peer_certificate"] => text(common.connection.principal.as_ref()),
        [b"connection", b"requested_server_name"] => Ok(common.connection.sni.clone().into_bytes()),
        [b"upstream", rest @ ..] if common.request.are_headers_sent => upstream(common, rest),
        [b"xds", b"cluster_name"] if common.route.is_some() => text(common.cluster.as_ref()),
        [b"xds", b"route_name"] => text(common.route.as_ref()),
        [b"xds", b"virtual_host_name"] => Ok(place.virtual_host.clone().into_bytes()),
        [b"xds", b"filter_chain_name"] => Ok(place.filter_chain.clone().into_bytes()),
        [b"xds", b"listener_direction"] => Ok(number(0)),
        [b"metadata"] => Ok(all_metadata(&common.connection.metadata)),
        [b"metadata", b"filter_metadata"] if common.connection.metadata.is_empty() => {
            Ok(0_u32.to_le_bytes().to_vec())
        }
        [b"metadata", b"filter_metadata", filter, rest @ ..] => {
            metadata(common.connection.metadata.get(&*String::from_utf8_lossy(filter)), rest)
        }
        [b"filter_state", key] => common.filter_state.get(*key).cloned().ok_or(Status::NotFound),
        [key] => common.filter_state.get(&[b"wasm.", *key].concat()).cloned().ok_or(Status::NotFound),
        _ => Err(Status::NotFound),
    }
}

/// What there is of a map in this callback.
fn headers(state: &State, map: MapType) -> Option<Headers> {
    state.map_if_any(map, Clone::clone).ok()
}

fn request(state: &State, common: &Common, rest: &[&[u8]]) -> Found {
    let map = headers(state, MapType::RequestHeaders);
    let map = map.as_ref();
    let header = |name: &[u8]| map.ok_or(Status::NotFound).and_then(|map| joined(map, name));
    let target = || {
        let target = header(b":path")?;
        let at = target.iter().position(|byte| *byte == b'?').unwrap_or(target.len());
        let (path, query) = target.split_at_checked(at).unwrap_or_default();
        Ok((path.to_vec(), query.get(1..).unwrap_or_default().to_vec()))
    };
    match rest {
        [b"path"] => header(b":path"),
        [b"url_path"] => target().map(|(path, _)| path),
        [b"query"] => target().map(|(_, query)| query),
        [b"host"] => header(b":authority"),
        [b"method"] => header(b":method"),
        [b"scheme"] => header(b":scheme"),
        [b"id"] => header(b"x-request-id"),
        [b"referer"] => header(b"referer"),
        [b"useragent"] => header(b"user-agent"),
        [b"protocol"] => Ok(b"HTTP/1.1".to_vec()),
        [b"size"] => {
            // What the client announces counts as long as the headers are there to be read.
            let announced = header(b"content-length").ok();
            let announced = announced.and_then(|text| String::from_utf8(text).ok()?.parse().ok());
            Ok(number(announced.unwrap_or(common.request.size)))
        }
        [b"total_size"] => Ok(number(common.request.size + bytes(map))),
        [b"headers"] => Ok(written(map)),
        [b"headers", name] => header(&name.to_ascii_lowercase()),
        _ => Err(Status::NotFound),
    }
}

fn response(state: &State, common: &Common, rest: &[&[u8]]) -> Found {
    let map = headers(state, MapType::ResponseHeaders);
    let map = map.as_ref();
    let trailers = headers(state, MapType::ResponseTrailers);
    let trailers = trailers.as_ref();
    let value = |map: Option<&Headers>, name: &[u8]| {
        map.ok_or(Status::NotFound).and_then(|map| joined(map, &name.to_ascii_lowercase()))
    };
    let code = || {
        let status = common.response.has_headers.then(|| joined(&common.response.headers, b":status"));
        let status = status.ok_or(Status::NotFound)??;
        Ok(std::str::from_utf8(&status).ok().and_then(|status| status.parse().ok()).unwrap_or(0))
    };
    match rest {
        [b"flags"] => Ok(number(common.flags)),
        [b"size"] => Ok(number(common.response.sent)),
        [b"total_size"] => Ok(number(common.response.sent + bytes(map) + bytes(trailers))),
        [b"code"] => code().map(|code: u16| number(u64::from(code))),
        [b"code_details"] if common.details.is_empty() => Err(Status::NotFound),
        [b"code_details"] => Ok(common.details.as_bytes().to_vec()),
        [b"grpc_status"] => {
            let stated = value(trailers, b"grpc-status").or_else(|_| value(map, b"grpc-status")).ok();
            let stated = stated.and_then(|text| String::from_utf8(text).ok()?.parse().ok());
            let code = code()?;
            Ok(number(stated.unwrap_or_else(|| u64::from(grpc_status(code)))))
        }
        [b"headers"] => Ok(written(map)),
        [b"headers", name] => value(map, name),
        [b"trailers", name] => value(trailers, name),
        _ => Err(Status::NotFound),
    }
}

fn upstream(common: &Common, rest: &[&[u8]]) -> Found {
    match rest {
        [b"local_address"] if common.is_refused => Err(Status::NotFound),
        [b"transport_failure_reason"] if common.is_refused => {
            Ok(b"delayed connect error: Connection refused".to_vec())
        }
        [b"address"] => Ok(UPSTREAM.to_vec()),
        [b"port"] => Ok(number(UPSTREAM_PORT)),
        [b"local_address"] => Ok(LOCAL.to_vec()),
        [b"transport_failure_reason"] => Ok(Vec::new()),
        _ => Err(Status::NotFound),
    }
}

/// A value of metadata, by the names of members and the places in lists that lead to it.
fn metadata(value: Option<&Value>, path: &[&[u8]]) -> Found {
    let mut value = value.ok_or(Status::NotFound)?;
    for part in path {
        let part = String::from_utf8_lossy(part);
        let inner = match value {
            Value::Object(members) => members.get(&*part),
            Value::Array(items) => part.parse::<usize>().ok().and_then(|place| items.get(place)),
            _ => None,
        };
        value = inner.ok_or(Status::NotFound)?;
    }
    Ok(match value {
        Value::Null => return Err(Status::SerializationFailure),
        _ => serialised(value),
    })
}

/// Strings as they are, numbers as doubles, objects as pairs and lists as pairs without values.
fn serialised(value: &Value) -> Vec<u8> {
    let list =
        |pairs: Headers| if pairs.is_empty() { 0_u32.to_le_bytes().to_vec() } else { write_pairs(&pairs) };
    match value {
        Value::Null => Vec::new(),
        Value::Bool(value) => vec![u8::from(*value)],
        Value::Number(number) => number.as_f64().unwrap_or(0.0).to_le_bytes().to_vec(),
        Value::String(text) => text.clone().into_bytes(),
        Value::Array(items) => {
            list(items.iter().map(|item| (Bytes(serialised(item)), Bytes::default())).collect())
        }
        Value::Object(members) => {
            list(members.iter().map(|(name, value)| (Bytes::from(name), Bytes(serialised(value)))).collect())
        }
    }
}

fn text(value: Option<&String>) -> Found {
    value.map(|value| value.clone().into_bytes()).ok_or(Status::NotFound)
}

fn number(value: u64) -> Vec<u8> {
    value.to_le_bytes().to_vec()
}

/// The bytes of a map's names and values.
fn bytes(map: Option<&Headers>) -> u64 {
    map.into_iter().flatten().map(|(name, value)| (name.0.len() + value.0.len()) as u64).sum()
}

/// A map as a value: a pair for every name, with its values joined, and for a map that is not there a count of none. Envoy's order is any.
fn written(map: Option<&Headers>) -> Vec<u8> {
    let mut merged = Headers::new();
    for (name, _) in map.into_iter().flatten() {
        if !merged.iter().any(|(other, _)| other == name) {
            let value = map.and_then(|map| joined(map, &name.0).ok()).unwrap_or_default();
            merged.push((name.clone(), Bytes(value)));
        }
    }
    if merged.is_empty() { 0_u32.to_le_bytes().to_vec() } else { write_pairs(&merged) }
}

/// All values of a header, joined by commas.
fn joined(headers: &Headers, name: &[u8]) -> Found {
    let values: Vec<_> =
        headers.iter().filter(|(other, _)| other.0 == name).map(|(_, value)| value.0.as_slice()).collect();
    if values.is_empty() { Err(Status::NotFound) } else { Ok(values.join(&b',')) }
}

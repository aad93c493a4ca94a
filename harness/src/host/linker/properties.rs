//! Properties, serialised as Envoy does: strings as they are, numbers as 8 bytes little-endian, truth values as one byte.

use crate::{
    host::{
        abi::Status,
        memory::{Guest, answer, give, read},
        state::{State, Stream},
    },
    scenario::Headers,
};
use wasmtime::Linker;

/// The client's address as every stream has it.
const SOURCE: &[u8] = b"127.0.0.1:50000";
const SOURCE_PORT: u64 = 50_000;
/// The listener's.
const DESTINATION: &[u8] = b"127.0.0.1:10000";
const DESTINATION_PORT: u64 = 10_000;

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
                let stream = guest.data_mut().stream_mut().ok_or(Status::NotFound)?;
                stream.filter_state.insert([b"wasm.", &key[..]].concat(), value);
                Ok(())
            })
        },
    )?;
    Ok(())
}

fn property(state: &State, path: &[u8]) -> Result<Vec<u8>, Status> {
    let parts: Vec<&[u8]> = path.split(|byte| *byte == 0).collect();
    let options = &state.options;
    match parts.as_slice() {
        [b""] => return Err(Status::SerializationFailure),
        [b"plugin_name"] => return Ok(options.plugin_name.clone().into_bytes()),
        [b"plugin_root_id"] => return Ok(options.root_id.clone().into_bytes()),
        [b"plugin_vm_id"] => return Ok(options.vm_id.clone().into_bytes()),
        _ => {}
    }
    let stream = state.stream().ok_or(Status::NotFound)?;
    match parts.as_slice() {
        [b"request", b"time"] => Ok(number(options.clock)),
        [b"request", rest @ ..] => request(stream, rest),
        [b"response", rest @ ..] => response(stream, rest),
        [b"source", b"address"] => Ok(SOURCE.to_vec()),
        [b"source", b"port"] => Ok(number(SOURCE_PORT)),
        [b"destination", b"address"] => Ok(DESTINATION.to_vec()),
        [b"destination", b"port"] => Ok(number(DESTINATION_PORT)),
        [b"connection_id"] | [b"connection", b"id"] => Ok(number(1)),
        [b"connection", b"mtls"] => Ok(vec![0]),
        [b"connection", b"requested_server_name"] => Ok(Vec::new()),
        // The map as a whole cannot be written as bytes.
        [b"filter_state"] => Err(Status::SerializationFailure),
        [b"filter_state", key] => stream.filter_state.get(*key).cloned().ok_or(Status::NotFound),
        [key] => stream.filter_state.get(&[b"wasm.", *key].concat()).cloned().ok_or(Status::NotFound),
        _ => Err(Status::NotFound),
    }
}

fn request(stream: &Stream, rest: &[&[u8]]) -> Result<Vec<u8>, Status> {
    let header = |name: &[u8]| joined(&stream.request.headers, name);
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
        [b"size"] => Ok(number(stream.request.size)),
        [b"headers", name] => header(&name.to_ascii_lowercase()),
        _ => Err(Status::NotFound),
    }
}

fn response(stream: &Stream, rest: &[&[u8]]) -> Result<Vec<u8>, Status> {
    if !stream.response.has_headers {
        return Err(Status::NotFound);
    }
    let header = |name: &[u8]| joined(&stream.response.headers, name);
    match rest {
        [b"code"] => {
            let status = header(b":status")?;
            Ok(number(std::str::from_utf8(&status).ok().and_then(|status| status.parse().ok()).unwrap_or(0)))
        }
        [b"code_details"] => Ok(stream.details.as_bytes().to_vec()),
        [b"flags"] => Ok(number(0)),
        [b"size"] => Ok(number(stream.response.size)),
        [b"headers", name] => header(&name.to_ascii_lowercase()),
        _ => Err(Status::NotFound),
    }
}

fn number(value: u64) -> Vec<u8> {
    value.to_le_bytes().to_vec()
}

/// All values of a header, joined by commas.
fn joined(headers: &Headers, name: &[u8]) -> Result<Vec<u8>, Status> {
    let values: Vec<_> =
        headers.iter().filter(|(other, _)| other.0 == name).map(|(_, value)| value.0.as_slice()).collect();
    if values.is_empty() { Err(Status::NotFound) } else { Ok(values.join(&b',')) }
}

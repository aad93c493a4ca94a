//! Properties, serialised as Envoy does: strings as they are, numbers as 8 bytes little-endian, truth values as one byte.

use super::{
    Guest,
    guest::{answer, give, read},
};
use crate::{
    host::{abi::Status, state::State},
    scenario::Headers,
};
use wasmtime::Linker;

pub(super) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.func_wrap("env", "proxy_get_property", |mut guest: Guest<'_>, path, size, at, size_at| {
        answer(&mut guest, |guest| {
            let path = read(guest, path, size)?;
            let value = property(guest.data(), &path)?;
            give(guest, &value, at, size_at)
        })
    })?;
    linker.func_wrap("env", "proxy_set_property", |mut guest: Guest<'_>, key, key_size, value, size| {
        answer(&mut guest, |guest| {
            let (key, value) = (read(guest, key, key_size)?, read(guest, value, size)?);
            // On the root context there is no stream to keep it.
            let stream = guest.data_mut().stream.as_mut().ok_or(Status::NotFound)?;
            stream.filter_state.insert([b"wasm.", &key[..]].concat(), value);
            Ok(())
        })
    })?;
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
    let stream = state.stream.as_ref().ok_or(Status::NotFound)?;
    let request = |name: &str| header(&stream.request.headers, name.as_bytes()).ok_or(Status::NotFound);
    let path_and_query = || request(":path");
    let number = |value: u64| Ok(value.to_le_bytes().to_vec());
    match parts.as_slice() {
        [b"request", b"path"] => path_and_query(),
        [b"request", b"url_path"] => {
            path_and_query().map(|path| path.split(|byte| *byte == b'?').next().unwrap_or_default().to_vec())
        }
        [b"request", b"query"] => path_and_query()
            .map(|path| path.splitn(2, |byte| *byte == b'?').nth(1).unwrap_or_default().to_vec()),
        [b"request", b"host"] => request(":authority"),
        [b"request", b"method"] => request(":method"),
        [b"request", b"scheme"] => request(":scheme"),
        [b"request", b"id"] => request("x-request-id"),
        [b"request", b"protocol"] => Ok(b"HTTP/1.1".to_vec()),
        [b"request", b"time"] => number(options.clock),
        [b"request", b"headers", name] => {
            header(&stream.request.headers, &name.to_ascii_lowercase()).ok_or(Status::NotFound)
        }
        [b"response", b"code"] if stream.response.has_headers => {
            let status = header(&stream.response.headers, b":status").unwrap_or_default();
            number(std::str::from_utf8(&status).ok().and_then(|status| status.parse().ok()).unwrap_or(0))
        }
        [b"response", b"headers", name] if stream.response.has_headers => {
            header(&stream.response.headers, &name.to_ascii_lowercase()).ok_or(Status::NotFound)
        }
        [b"source", b"address"] => Ok(b"127.0.0.1:50000".to_vec()),
        [b"source", b"port"] => number(50_000),
        [b"connection", b"id"] => number(1),
        [b"connection", b"mtls"] => Ok(vec![0]),
        [b"filter_state", key] => stream.filter_state.get(*key).cloned().ok_or(Status::NotFound),
        [key] => stream.filter_state.get(&[b"wasm.", *key].concat()).cloned().ok_or(Status::NotFound),
        _ => Err(Status::NotFound),
    }
}

/// All values of a header, joined by commas.
fn header(headers: &Headers, name: &[u8]) -> Option<Vec<u8>> {
    let values: Vec<_> =
        headers.iter().filter(|(other, _)| other.0 == name).map(|(_, value)| value.0.as_slice()).collect();
    if values.is_empty() { None } else { Some(values.join(&b',')) }
}

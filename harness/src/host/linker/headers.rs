//! Header maps.

use crate::{
    Bytes,
    host::{
        abi::{MapType, Status, read_pairs, write_pairs},
        inline,
        memory::{Answer, Guest, answer, give, read, write_size},
        state::State,
    },
    lint::Lint,
    scenario::Headers,
};
use wasmtime::Linker;

pub(super) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.func_wrap(
        "env",
        "proxy_get_header_map_value",
        |mut guest: Guest<'_>, map: u32, name: u32, name_size: u32, at: u32, size_at: u32| {
            answer(&mut guest, "proxy_get_header_map_value", |guest| {
                let map = MapType::try_from(map)?;
                let name = named(map, read(guest, name, name_size)?);
                let state = guest.data();
                let found = state.map(map, |headers| {
                    headers.iter().find(|(other, _)| *other == name).map(|(_, value)| value.0.clone())
                });
                let value = match found.and_then(|value| value.ok_or(Status::NotFound)) {
                    // In ABI 0.1.0 what is not there is empty.
                    Err(Status::NotFound) if state.is_of_first_version => Vec::new(),
                    value => value?,
                };
                give(guest, &value, at, size_at)
            })
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_get_header_map_pairs",
        |mut guest: Guest<'_>, map: u32, at: u32, size_at: u32| {
            answer(&mut guest, "proxy_get_header_map_pairs", |guest| {
                // A map that is out of reach is an empty list, and no error.
                let pairs = guest.data().map(MapType::try_from(map)?, write_pairs).unwrap_or_default();
                give(guest, &pairs, at, size_at)
            })
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_get_header_map_size",
        |mut guest: Guest<'_>, map: u32, size_at: u32| {
            answer(&mut guest, "proxy_get_header_map_size", |guest| {
                // In bytes, not in headers. It is measured through the way for changes, so that at the end of a body it makes trailers.
                let map = MapType::try_from(map)?;
                let size = guest.data_mut().map_mut(map, |headers| {
                    headers.iter().map(|(name, value)| name.0.len() + value.0.len()).sum()
                })?;
                write_size(guest, size_at, size)
            })
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_add_header_map_value",
        |mut guest: Guest<'_>, map: u32, name: u32, name_size: u32, value: u32, size: u32| {
            answer(&mut guest, "proxy_add_header_map_value", |guest| {
                let (name, value) = (read(guest, name, name_size)?, read(guest, value, size)?);
                change(guest.data_mut(), map, name, Some(value), true)
            })
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_replace_header_map_value",
        |mut guest: Guest<'_>, map: u32, name: u32, name_size: u32, value: u32, size: u32| {
            answer(&mut guest, "proxy_replace_header_map_value", |guest| {
                let (name, value) = (read(guest, name, name_size)?, read(guest, value, size)?);
                change(guest.data_mut(), map, name, Some(value), false)
            })
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_remove_header_map_value",
        |mut guest: Guest<'_>, map: u32, name: u32, name_size: u32| {
            answer(&mut guest, "proxy_remove_header_map_value", |guest| {
                let name = read(guest, name, name_size)?;
                change(guest.data_mut(), map, name, None, false)
            })
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_set_header_map_pairs",
        |mut guest: Guest<'_>, map: u32, at: u32, size: u32| {
            answer(&mut guest, "proxy_set_header_map_pairs", |guest| {
                // A malformed list is an empty one: it clears the map.
                let pairs = read_pairs(&read(guest, at, size)?);
                let map = MapType::try_from(map)?;
                write_map(guest.data_mut(), map, |headers| *headers = inline::all(&pairs, map))
            })
        },
    )?;
    Ok(())
}

/// Takes away the values of a header, unless they are kept, and puts a value at the end of the map.
fn change(state: &mut State, map: u32, name: Vec<u8>, value: Option<Vec<u8>>, keeps_others: bool) -> Answer {
    let map = MapType::try_from(map)?;
    let name = named(map, name);
    write_map(state, map, |headers| {
        if !keeps_others {
            headers.retain(|(other, _)| *other != name);
        }
        if let Some(value) = value {
            inline::add(headers, map, name, &value);
        }
    })
}

/// Changes a map. Whatever it is in a request's headers, the route is picked anew (so Envoy has it up to ABI 0.2.1).
fn write_map(state: &mut State, map: MapType, change: impl FnOnce(&mut Headers)) -> Answer {
    state.map_mut(map, change)?;
    if let Some(stream) = state.stream() {
        let common = stream.common.borrow();
        let has_left = match map {
            MapType::RequestHeaders => common.request.are_headers_sent || common.response.has_headers,
            MapType::ResponseHeaders => common.response.are_headers_sent,
            _ => false,
        };
        if has_left {
            state.note(Lint::LateHeaderChange, format!("{} are changed when it is too late", map.words()));
        }
    }
    if let Some(stream) = state.stream().filter(|_| map == MapType::RequestHeaders) {
        stream.common.borrow_mut().is_route_stale = true;
    }
    Ok(())
}

/// A header's name as the map knows it: in lower case, and `host` of a request is `:authority`.
fn named(map: MapType, mut name: Vec<u8>) -> Bytes {
    name.make_ascii_lowercase();
    if map == MapType::RequestHeaders && name == b"host" {
        return Bytes::from(":authority");
    }
    Bytes(name)
}

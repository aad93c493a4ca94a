//! Header maps.

use super::{
    Guest,
    guest::{Answer, answer, give, read, write},
};
use crate::{
    Bytes,
    host::{
        abi::{Status, read_pairs, write_pairs},
        state::{Access, State},
    },
};
use wasmtime::Linker;

/// The highest number of a header map.
const LAST_MAP: u32 = 7;

pub(super) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.func_wrap(
        "env",
        "proxy_get_header_map_value",
        |mut guest: Guest<'_>, map, name, name_size, at, size_at| {
            answer(&mut guest, |guest| {
                let name = lower(read(guest, name, name_size)?);
                let value = readable(guest, map)?
                    .iter()
                    .find(|(other, _)| *other == name)
                    .map(|(_, value)| value.0.clone());
                give(guest, &value.ok_or(Status::NotFound)?, at, size_at)
            })
        },
    )?;
    linker.func_wrap("env", "proxy_get_header_map_pairs", |mut guest: Guest<'_>, map, at, size_at| {
        answer(&mut guest, |guest| {
            if map > LAST_MAP {
                return Err(Status::BadArgument);
            }
            // A map that is out of reach is an empty list, and no error.
            let pairs = readable(guest, map).map(|headers| write_pairs(headers)).unwrap_or_default();
            give(guest, &pairs, at, size_at)
        })
    })?;
    linker.func_wrap("env", "proxy_get_header_map_size", |mut guest: Guest<'_>, map, size_at| {
        answer(&mut guest, |guest| {
            let size =
                readable(guest, map)?.iter().map(|(name, value)| name.0.len() + value.0.len()).sum::<usize>();
            write(guest, size_at, &u32::try_from(size).unwrap_or(u32::MAX).to_le_bytes())
        })
    })?;
    linker.func_wrap(
        "env",
        "proxy_add_header_map_value",
        |mut guest: Guest<'_>, map, name, name_size, value, size| {
            change(&mut guest, map, name, name_size, value, size, true)
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_replace_header_map_value",
        |mut guest: Guest<'_>, map, name, name_size, value, size| {
            change(&mut guest, map, name, name_size, value, size, false)
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_remove_header_map_value",
        |mut guest: Guest<'_>, map, name, name_size| {
            answer(&mut guest, |guest| {
                let name = lower(read(guest, name, name_size)?);
                writable(guest, map)?.retain(|(other, _)| *other != name);
                Ok(())
            })
        },
    )?;
    linker.func_wrap("env", "proxy_set_header_map_pairs", |mut guest: Guest<'_>, map, at, size| {
        answer(&mut guest, |guest| {
            let headers = read_pairs(&read(guest, at, size)?);
            *writable(guest, map)? =
                headers.into_iter().map(|(name, value)| (lower(name.0), value)).collect();
            Ok(())
        })
    })?;
    Ok(())
}

fn change(
    guest: &mut Guest<'_>,
    map: u32,
    name: u32,
    name_size: u32,
    value: u32,
    size: u32,
    keeps_others: bool,
) -> u32 {
    answer(guest, |guest| -> Answer {
        let name = lower(read(guest, name, name_size)?);
        let value = Bytes(read(guest, value, size)?);
        let is_trailers = map == 1 || map == 3;
        let headers = writable(guest, map)?;
        if !keeps_others {
            headers.retain(|(other, _)| *other != name);
        }
        headers.push((name, value));
        if is_trailers && let Some(stream) = guest.data_mut().stream.as_mut() {
            let way = if map == 1 { &mut stream.request } else { &mut stream.response };
            way.has_trailers = true;
        }
        Ok(())
    })
}

fn readable<'g>(guest: &'g mut Guest<'_>, map: u32) -> Result<&'g mut crate::scenario::Headers, Status> {
    let state = guest.data_mut();
    match state.access(map) {
        Access::Gone => Err(Status::BadArgument),
        Access::Read | Access::Write => state.map(map).ok_or(Status::NotFound),
    }
}

fn writable<'g>(guest: &'g mut Guest<'_>, map: u32) -> Result<&'g mut crate::scenario::Headers, Status> {
    let state = guest.data_mut();
    match state.access(map) {
        Access::Write => state.map(map).ok_or(Status::BadArgument),
        Access::Gone | Access::Read => Err(Status::BadArgument),
    }
}

fn lower(mut name: Vec<u8>) -> Bytes {
    name.make_ascii_lowercase();
    Bytes(name)
}

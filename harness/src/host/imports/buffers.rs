//! Bodies and configurations.

use super::{
    Guest,
    guest::{answer, give, read, write},
};
use crate::host::{
    abi::{Callback, Status},
    state::State,
};
use wasmtime::Linker;

/// The highest number of a buffer.
const LAST_BUFFER: u32 = 8;

pub(super) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.func_wrap(
        "env",
        "proxy_get_buffer_bytes",
        |mut guest: Guest<'_>, buffer, start: u32, max: u32, at, size_at| {
            answer(&mut guest, |guest| {
                let bytes = buffer_bytes(guest.data(), buffer)?;
                start.checked_add(max).ok_or(Status::BadArgument)?;
                let part: Vec<u8> = bytes.into_iter().skip(start as usize).take(max as usize).collect();
                give(guest, &part, at, size_at)
            })
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_get_buffer_status",
        |mut guest: Guest<'_>, buffer, size_at, flags_at| {
            answer(&mut guest, |guest| {
                let size = buffer_bytes(guest.data(), buffer)?.len();
                write(guest, size_at, &u32::try_from(size).unwrap_or(u32::MAX).to_le_bytes())?;
                write(guest, flags_at, &0_u32.to_le_bytes())
            })
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_set_buffer_bytes",
        |mut guest: Guest<'_>, buffer, start: u32, size: u32, at, value_size| {
            answer(&mut guest, |guest| {
                let value = read(guest, at, value_size)?;
                let body = writable(guest.data_mut(), buffer).ok_or(Status::BadArgument)?;
                let length = body.len();
                match (start as usize, size as usize) {
                    (0, drained) => _ = body.splice(..drained.min(length), value),
                    (start, _) if start >= length => body.extend(value),
                    _ => return Err(Status::BadArgument),
                }
                Ok(())
            })
        },
    )?;
    Ok(())
}

/// A buffer's bytes. A body that is out of reach is empty, and no error; other buffers are not found.
fn buffer_bytes(state: &State, buffer: u32) -> Result<Vec<u8>, Status> {
    if buffer > LAST_BUFFER {
        return Err(Status::BadArgument);
    }
    let stream = state.stream.as_ref();
    match (buffer, state.callback) {
        (0, Callback::RequestBody) => {
            Ok(stream.map(|stream| stream.request.body.clone()).unwrap_or_default())
        }
        (1, Callback::ResponseBody) => {
            Ok(stream.map(|stream| stream.response.body.clone()).unwrap_or_default())
        }
        (0 | 1, _) => Ok(Vec::new()),
        (4, Callback::Callout) => {
            state.answer.as_ref().map(|answer| answer.body.clone()).ok_or(Status::NotFound)
        }
        (6, _) => Ok(state.options.vm_config.clone()),
        (7, Callback::Configure) => Ok(state.config.clone().unwrap_or_default()),
        _ => Err(Status::NotFound),
    }
}

fn writable(state: &mut State, buffer: u32) -> Option<&mut Vec<u8>> {
    let stream = state.stream.as_mut()?;
    match (buffer, state.callback) {
        (0, Callback::RequestBody) => Some(&mut stream.request.body),
        (1, Callback::ResponseBody) => Some(&mut stream.response.body),
        _ => None,
    }
}

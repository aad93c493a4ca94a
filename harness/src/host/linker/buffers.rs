//! Bodies and configurations.

use crate::host::{
    abi::{BufferType, Callback, Status},
    memory::{Guest, answer, give, read, write_size},
    state::State,
};
use wasmtime::Linker;

pub(super) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.func_wrap(
        "env",
        "proxy_get_buffer_bytes",
        |mut guest: Guest<'_>, buffer: u32, start: u32, max: u32, at: u32, size_at: u32| {
            answer(&mut guest, "proxy_get_buffer_bytes", |guest| {
                let bytes = guest.data_mut().buffer(BufferType::try_from(buffer)?)?.to_vec();
                let from = || format!("from {start}, at most {max}");
                guest.data().world.trace(|trace| trace.note(from(), true));
                let end = start.saturating_add(max) as usize;
                let part = bytes.get(start as usize..end.min(bytes.len())).unwrap_or_default().to_vec();
                give(guest, &part, at, size_at)
            })
        },
    )?;
    // Of ABI 0.1.0: the plugin's configuration where it is at hand, or else the VM's.
    linker.func_wrap("env", "proxy_get_configuration", |mut guest: Guest<'_>, at: u32, size_at: u32| {
        answer(&mut guest, "proxy_get_configuration", |guest| {
            let state = guest.data();
            let bytes = match state.root() {
                Some(root) if state.callback == Callback::Configure => root.config.clone(),
                _ => state.options.vm_config.clone(),
            };
            give(guest, &bytes, at, size_at)
        })
    })?;
    linker.func_wrap(
        "env",
        "proxy_get_buffer_status",
        |mut guest: Guest<'_>, buffer: u32, size_at: u32, flags_at: u32| {
            answer(&mut guest, "proxy_get_buffer_status", |guest| {
                let size = guest.data_mut().buffer(BufferType::try_from(buffer)?)?.len();
                write_size(guest, size_at, size)?;
                write_size(guest, flags_at, 0)
            })
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_set_buffer_bytes",
        |mut guest: Guest<'_>, buffer: u32, start: u32, size: u32, at: u32, value_size: u32| {
            answer(&mut guest, "proxy_set_buffer_bytes", |guest| {
                let value = read(guest, at, value_size)?;
                let from = || format!("in place of {size} from {start}");
                guest.data().world.trace(|trace| trace.note(from(), true));
                let body = guest.data_mut().buffer_mut(BufferType::try_from(buffer)?)?;
                let length = body.len();
                match (start as usize, size as usize) {
                    // Envoy drains so many bytes from the front and puts the value before the others, or appends; there is nothing between.
                    (0, drained) => _ = body.splice(..drained.min(length), value),
                    (start, _) if start >= length => body.extend(value),
                    _ => return Err(Status::BadArgument.into()),
                }
                Ok(())
            })
        },
    )?;
    Ok(())
}

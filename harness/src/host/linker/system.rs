//! Logs and the clock.

use crate::host::{
    abi::Status,
    memory::{Guest, answer, read, unrestricted, write},
    state::State,
};
use wasmtime::Linker;

/// The highest level of the log: critical.
const LAST_LEVEL: u32 = 5;

pub(super) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.func_wrap("env", "proxy_log", |mut guest: Guest<'_>, level: u32, text: u32, size: u32| {
        unrestricted(&mut guest, "proxy_log", |guest| {
            let text = read(guest, text, size)?;
            if level > LAST_LEVEL {
                return Err(Status::BadArgument.into());
            }
            guest.data_mut().log(level, &text);
            Ok(())
        })
    })?;
    linker.func_wrap("env", "proxy_get_log_level", |mut guest: Guest<'_>, at: u32| {
        answer(&mut guest, "proxy_get_log_level", |guest| {
            let level = guest.data().options.log_level;
            write(guest, at, &level.to_le_bytes())
        })
    })?;
    linker.func_wrap("env", "proxy_get_current_time_nanoseconds", |mut guest: Guest<'_>, at: u32| {
        answer(&mut guest, "proxy_get_current_time_nanoseconds", |guest| {
            let now = guest.data().world.now();
            guest.data().world.trace(|trace| trace.note(now.to_string(), false));
            write(guest, at, &now.to_le_bytes())
        })
    })?;
    Ok(())
}

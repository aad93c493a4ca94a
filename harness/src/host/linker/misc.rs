//! Contexts and the timer.

use crate::host::{
    abi::Status,
    memory::{Guest, answer},
    state::State,
    vm::ROOT,
};
use wasmtime::Linker;

pub(super) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.func_wrap("env", "proxy_set_effective_context", |mut guest: Guest<'_>, context: u32| {
        answer(&mut guest, "proxy_set_effective_context", |guest| {
            let state = guest.data_mut();
            let stream = state.stream.as_ref().map(|stream| stream.context);
            if context > ROOT && stream != Some(context) {
                return Err(Status::BadArgument.into());
            }
            state.context = context;
            Ok(())
        })
    })?;
    linker.func_wrap("env", "proxy_set_tick_period_milliseconds", |mut guest: Guest<'_>, period: u32| {
        answer(&mut guest, "proxy_set_tick_period_milliseconds", |guest| {
            guest.data_mut().tick_period = period;
            Ok(())
        })
    })?;
    // The root context's `proxy_on_done` is not called here, so that nothing is ever pending.
    linker.func_wrap("env", "proxy_done", |mut guest: Guest<'_>| {
        answer(&mut guest, "proxy_done", |_| Err(Status::NotFound.into()))
    })?;
    Ok(())
}

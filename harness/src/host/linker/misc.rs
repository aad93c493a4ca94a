//! Contexts and the timer.

use crate::host::{
    abi::Status,
    memory::{Guest, answer},
    state::State,
};
use wasmtime::Linker;

pub(super) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.func_wrap("env", "proxy_set_effective_context", |mut guest: Guest<'_>, context: u32| {
        answer(&mut guest, "proxy_set_effective_context", |guest| {
            let state = guest.data_mut();
            let is_known = state.streams.contains_key(&context) || state.roots.contains_key(&context);
            if context > 0 && !is_known {
                return Err(Status::BadArgument.into());
            }
            state.context = context;
            Ok(())
        })
    })?;
    linker.func_wrap("env", "proxy_set_tick_period_milliseconds", |mut guest: Guest<'_>, period: u32| {
        answer(&mut guest, "proxy_set_tick_period_milliseconds", |guest| {
            // On a stream it is the timer of the stream's root context.
            let state = guest.data_mut();
            let root = state.root_id();
            if let Some(root) = state.roots.get_mut(&root) {
                root.tick_period = period;
                root.is_period_new = true;
            }
            Ok(())
        })
    })?;
    linker.func_wrap("env", "proxy_done", |mut guest: Guest<'_>| {
        answer(&mut guest, "proxy_done", |guest| {
            let state = guest.data_mut();
            let root = state.root_id();
            let pending = state.roots.get_mut(&root).filter(|root| root.is_end_pending);
            pending.ok_or(Status::NotFound)?.is_end_pending = false;
            state.ended.push(root);
            Ok(())
        })
    })?;
    Ok(())
}

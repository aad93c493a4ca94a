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
            guest.data().world.trace(|trace| trace.about(context.to_string()));
            let state = guest.data_mut();
            let is_known = state.streams.contains_key(&context) || state.roots.contains_key(&context);
            if context > 0 && !is_known {
                return Err(Status::BadArgument.into());
            }
            // None is the callback's own.
            state.context = if context == 0 { state.own_context } else { context };
            Ok(())
        })
    })?;
    linker.func_wrap("env", "proxy_set_tick_period_milliseconds", |mut guest: Guest<'_>, period: u32| {
        answer(&mut guest, "proxy_set_tick_period_milliseconds", |guest| {
            // On a stream it is the timer of the stream's root context.
            guest.data().world.trace(|trace| trace.about(period.to_string()));
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
    // Emscripten's, which Envoy has too.
    linker.func_wrap("env", "emscripten_notify_memory_growth", |_: Guest<'_>, _memory: u32| {})?;
    linker.func_wrap("env", "pthread_equal", |_: Guest<'_>, one: u32, other: u32| u32::from(one == other))?;
    Ok(())
}

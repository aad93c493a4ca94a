//! Contexts, the timer and foreign functions.

use crate::host::{
    abi::Status,
    memory::{Guest, answer, read_text, write_size},
    state::State,
    vm::ROOT,
};
use wasmtime::Linker;

/// Foreign functions that Envoy 1.40 has and this host does not have yet.
const FOREIGN: [&str; 9] = [
    "compress",
    "uncompress",
    "set_envoy_filter_state",
    "declare_property",
    "expr_create",
    "expr_evaluate",
    "expr_delete",
    "sign",
    "verify_signature",
];

pub(super) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.func_wrap("env", "proxy_set_effective_context", |mut guest: Guest<'_>, context: u32| {
        answer(&mut guest, "proxy_set_effective_context", |guest| {
            let state = guest.data_mut();
            let stream = state.stream.as_ref().map(|stream| stream.context);
            if context != ROOT && stream != Some(context) {
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
    linker.func_wrap(
        "env",
        "proxy_call_foreign_function",
        |mut guest: Guest<'_>, name: u32, size: u32, _: u32, _: u32, at: u32, size_at: u32| {
            answer(&mut guest, "proxy_call_foreign_function", |guest| {
                match read_text(guest, name, size)?.as_str() {
                    "clear_route_cache" => {
                        write_size(guest, at, 0)?;
                        write_size(guest, size_at, 0)
                    }
                    known if FOREIGN.contains(&known) => Err(Status::Unimplemented.into()),
                    _ => Err(Status::NotFound.into()),
                }
            })
        },
    )?;
    Ok(())
}

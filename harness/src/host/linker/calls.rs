//! HTTP callouts.

use crate::{
    Bytes,
    host::{
        abi::{Status, read_pairs},
        memory::{Guest, answer, give, read, read_text, write},
        schedule::{self, Failure},
        state::{Callout, State},
    },
    scenario::Cluster,
};
use wasmtime::Linker;

/// Tokens of HTTP callouts are 4, 8, ...: the low bits say what a token is of.
const TOKEN_STEP: u32 = 4;

pub(super) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.func_wrap(
        "env",
        "proxy_http_call",
        |mut guest: Guest<'_>,
         cluster: u32,
         cluster_size: u32,
         headers: u32,
         headers_size: u32,
         body: u32,
         body_size: u32,
         trailers: u32,
         trailers_size: u32,
         timeout_ms: u32,
         token_at: u32| {
            answer(&mut guest, "proxy_http_call", |guest| {
                let cluster = read_text(guest, cluster, cluster_size)?;
                let headers = read_pairs(&read(guest, headers, headers_size)?);
                let body = read(guest, body, body_size)?;
                read(guest, trailers, trailers_size)?;
                let has = |name: &str| headers.iter().any(|(other, _)| *other == Bytes::from(name));
                let state = guest.data_mut();
                let target = state.world.0.borrow().clusters.get(&cluster).cloned();
                let is_fine = timeout_ms <= i32::MAX.cast_unsigned()
                    && [":method", ":path", ":authority"].into_iter().all(has);
                let Some(target) = target.filter(|_| is_fine) else {
                    write(guest, token_at, &0_u32.to_le_bytes())?;
                    return Err(Status::BadArgument.into());
                };
                state.last_token = state.last_token.wrapping_add(TOKEN_STEP);
                let failure = state.world.make_callout(|| schedule::words(&cluster, &headers));
                if target == Cluster::Empty || failure == Some(Failure::Refused) {
                    write(guest, token_at, &0_u32.to_le_bytes())?;
                    return Err(Status::InternalFailure.into());
                }
                let (token, root, origin) = (state.last_token, state.root_id(), state.origin());
                state.world.number_callout(state.serial, token);
                state.callouts.push(Callout {
                    token,
                    root,
                    origin,
                    cluster,
                    headers,
                    body,
                    timeout_ms,
                    failure,
                });
                guest.data().world.trace(|trace| {
                    trace.note(format!("{timeout_ms} ms"), true);
                    trace.note(format!("callout {token}"), false);
                });
                write(guest, token_at, &token.to_le_bytes())
            })
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_get_status",
        |mut guest: Guest<'_>, code_at: u32, at: u32, size_at: u32| {
            answer(&mut guest, "proxy_get_status", |guest| {
                let state = guest.data();
                let code = state.root().map_or(0, |root| root.status);
                let message = state.answer.status_message.clone();
                write(guest, code_at, &code.to_le_bytes())?;
                give(guest, &message, at, size_at)
            })
        },
    )?;
    Ok(())
}

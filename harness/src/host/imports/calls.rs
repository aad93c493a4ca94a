//! Local replies, flow, callouts and timers.

use super::{
    Guest,
    guest::{answer, read, read_text, write},
};
use crate::{
    Bytes,
    host::{
        abi::{Status, read_pairs},
        state::{Callout, Reply, State},
        vm::ROOT,
    },
};
use wasmtime::Linker;

pub(super) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.func_wrap(
        "env",
        "proxy_send_local_response",
        |mut guest: Guest<'_>,
         status: u32,
         details: u32,
         details_size: u32,
         body: u32,
         body_size: u32,
         headers: u32,
         headers_size: u32,
         _grpc_status: i32| {
            answer(&mut guest, |guest| {
                read(guest, details, details_size)?;
                let body = read(guest, body, body_size)?;
                let headers = read_pairs(&read(guest, headers, headers_size)?);
                let status = u16::try_from(status).map_err(|_| Status::BadArgument)?;
                if let Some(stream) = guest.data_mut().stream.as_mut() {
                    // Of several replies the first counts.
                    stream.reply.get_or_insert(Reply { status, headers, body });
                }
                Ok(())
            })
        },
    )?;
    linker.func_wrap("env", "proxy_continue_stream", |mut guest: Guest<'_>, side: u32| {
        answer(&mut guest, |guest| {
            let Some(stream) = guest.data_mut().stream.as_mut() else { return Ok(()) };
            match side {
                0 => stream.request.is_resumed = true,
                1 => stream.response.is_resumed = true,
                2 => return Ok(()),
                3 => return Err(Status::Unimplemented),
                _ => return Err(Status::BadArgument),
            }
            // The maps are out of reach at once, on both sides.
            stream.request.is_held = false;
            stream.response.is_held = false;
            Ok(())
        })
    })?;
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
         _trailers: u32,
         _trailers_size: u32,
         timeout_ms: u32,
         token_at: u32| {
            answer(&mut guest, |guest| {
                let cluster = read_text(guest, cluster, cluster_size)?;
                let headers = read_pairs(&read(guest, headers, headers_size)?);
                let body = read(guest, body, body_size)?;
                let has = |name: &str| headers.iter().any(|(other, _)| *other == Bytes::from(name));
                let state = guest.data_mut();
                let is_fine = state.options.clusters.contains(&cluster)
                    && timeout_ms <= i32::MAX.cast_unsigned()
                    && [":method", ":path", ":authority"].into_iter().all(has);
                if !is_fine {
                    return Err(Status::BadArgument);
                }
                state.last_token += 4;
                let token = state.last_token;
                state.callouts.push(Callout { token, cluster, headers, body, timeout_ms });
                write(guest, token_at, &token.to_le_bytes())
            })
        },
    )?;
    linker.func_wrap("env", "proxy_set_effective_context", |mut guest: Guest<'_>, context: u32| {
        answer(&mut guest, |guest| {
            let stream = guest.data().stream.as_ref().map(|stream| stream.context);
            if context == ROOT || stream == Some(context) { Ok(()) } else { Err(Status::BadArgument) }
        })
    })?;
    linker.func_wrap("env", "proxy_set_tick_period_milliseconds", |mut guest: Guest<'_>, period: u32| {
        answer(&mut guest, |guest| {
            guest.data_mut().tick_period = period;
            Ok(())
        })
    })?;
    Ok(())
}

//! gRPC callouts. A cluster of this host does not speak gRPC, so that a call to one fails as it does in Envoy when the connection is refused.

use crate::host::{
    abi::Status,
    memory::{Answer, Guest, HostTrap, answer, read, read_text, write},
    state::State,
};
use wasmtime::Linker;

/// What a token is of: the low bits say it.
const CALL: u32 = 1;
const STREAM: u32 = 2;

pub(super) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.func_wrap(
        "env",
        "proxy_grpc_call",
        |mut guest: Guest<'_>,
         cluster: u32,
         cluster_size: u32,
         service: u32,
         service_size: u32,
         method: u32,
         method_size: u32,
         metadata: u32,
         metadata_size: u32,
         message: u32,
         message_size: u32,
         _timeout_ms: u32,
         token_at: u32| {
            answer(&mut guest, "proxy_grpc_call", |guest| {
                let parts = [
                    (service, service_size),
                    (method, method_size),
                    (metadata, metadata_size),
                    (message, message_size),
                ];
                open(guest, (cluster, cluster_size), &parts, CALL, token_at)
            })
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_grpc_stream",
        |mut guest: Guest<'_>,
         cluster: u32,
         cluster_size: u32,
         service: u32,
         service_size: u32,
         method: u32,
         method_size: u32,
         metadata: u32,
         metadata_size: u32,
         token_at: u32| {
            answer(&mut guest, "proxy_grpc_stream", |guest| {
                let parts = [(service, service_size), (method, method_size), (metadata, metadata_size)];
                open(guest, (cluster, cluster_size), &parts, STREAM, token_at)
            })
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_grpc_send",
        |mut guest: Guest<'_>, token: u32, message: u32, size: u32, _last: u32| {
            answer(&mut guest, "proxy_grpc_send", |guest| {
                read(guest, message, size)?;
                Err(if token & 3 == STREAM { Status::NotFound } else { Status::BadArgument }.into())
            })
        },
    )?;
    for name in ["proxy_grpc_cancel", "proxy_grpc_close"] {
        linker.func_wrap("env", name, move |mut guest: Guest<'_>, token: u32| {
            answer(&mut guest, name, |_| {
                let is_grpc = matches!(token & 3, CALL | STREAM);
                Err(if is_grpc { Status::NotFound } else { Status::BadArgument }.into())
            })
        })?;
    }
    Ok(())
}

fn open(
    guest: &mut Guest<'_>,
    cluster: (u32, u32),
    parts: &[(u32, u32)],
    kind: u32,
    token_at: u32,
) -> Answer {
    let cluster = read_text(guest, cluster.0, cluster.1)?;
    for (at, size) in parts {
        read(guest, *at, *size)?;
    }
    if cluster.is_empty() {
        return Err(
            HostTrap::Crash("a gRPC service of no bytes is read as a message without a target").into()
        );
    }
    let state = guest.data_mut();
    if !state.options.clusters.contains(&cluster) {
        return Err(Status::ParseFailure.into());
    }
    let last = state.last_grpc.get_mut(kind as usize - 1).ok_or(Status::InternalFailure)?;
    *last = last.wrapping_add(4);
    let token = *last;
    write(guest, token_at, &token.to_le_bytes())
}

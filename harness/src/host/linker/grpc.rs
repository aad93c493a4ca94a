//! gRPC callouts.

use crate::{
    host::{
        abi::Status,
        memory::{Answer, Guest, HostTrap, answer, read, read_text, write},
        state::State,
    },
    scenario::Cluster,
};
use wasmtime::Linker;

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
         timeout_ms: u32,
         token_at: u32| {
            answer(&mut guest, "proxy_grpc_call", |guest| {
                let parts = [
                    (service, service_size),
                    (method, method_size),
                    (metadata, metadata_size),
                    (message, message_size),
                ];
                let cluster = target(guest, (cluster, cluster_size), &parts)?;
                let state = guest.data_mut();
                let root = state.root_id();
                let token = state.grpc.call(root, cluster, timeout_ms);
                write(guest, token_at, &token.to_le_bytes())
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
                let cluster = target(guest, (cluster, cluster_size), &parts)?;
                let state = guest.data_mut();
                let root = state.root_id();
                let token = state.grpc.stream(root, cluster);
                write(guest, token_at, &token.to_le_bytes())
            })
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_grpc_send",
        |mut guest: Guest<'_>, token: u32, message: u32, size: u32, is_last: u32| {
            answer(&mut guest, "proxy_grpc_send", |guest| {
                read(guest, message, size)?;
                Ok(guest.data_mut().grpc.send(token, is_last != 0)?)
            })
        },
    )?;
    linker.func_wrap("env", "proxy_grpc_cancel", |mut guest: Guest<'_>, token: u32| {
        answer(&mut guest, "proxy_grpc_cancel", |guest| Ok(guest.data_mut().grpc.cancel(token)?))
    })?;
    linker.func_wrap("env", "proxy_grpc_close", |mut guest: Guest<'_>, token: u32| {
        answer(&mut guest, "proxy_grpc_close", |guest| Ok(guest.data_mut().grpc.close(token)?))
    })?;
    Ok(())
}

/// The cluster that a call goes to. Envoy reads the first argument as a `GrpcService` message and, where it is none, as a cluster's name; messages
/// are not modelled.
fn target(guest: &mut Guest<'_>, cluster: (u32, u32), parts: &[(u32, u32)]) -> Answer<String> {
    let cluster = read_text(guest, cluster.0, cluster.1)?;
    for (at, size) in parts {
        read(guest, *at, *size)?;
    }
    if cluster.is_empty() {
        return Err(
            HostTrap::Crash("a gRPC service of no bytes is read as a message without a target").into()
        );
    }
    match guest.data().world.0.borrow().clusters.get(&cluster) {
        None => Err(Status::ParseFailure.into()),
        Some(Cluster::Empty) => Err(Status::InternalFailure.into()),
        Some(_) => Ok(cluster),
    }
}

//! gRPC callouts.

use crate::{
    host::{
        abi::{Status, read_pairs},
        cluster::grpc as cluster,
        grpc::Event,
        grpc_service::{self, Service},
        memory::{Answer, Guest, HostTrap, Refusal, answer, read, write},
        schedule::Failure,
        state::State,
    },
    scenario::Cluster,
};
use wasmtime::{Extern, Linker};

/// A place in memory and a size.
type Part = (u32, u32);

/// Where a call or stream goes.
enum Target {
    /// A cluster, or for none a server that Google's client is to speak to.
    Cluster(Option<String>, Option<Failure>),
    /// Nowhere, and Envoy knows it at once: what the module is told. A call is told of the close alone.
    Nowhere(Vec<Event>),
}

pub(super) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.func_wrap(
        "env",
        "proxy_grpc_call",
        |mut guest: Guest<'_>,
         service: u32,
         service_size: u32,
         name: u32,
         name_size: u32,
         method: u32,
         method_size: u32,
         metadata: u32,
         metadata_size: u32,
         message: u32,
         message_size: u32,
         timeout_ms: u32,
         token_at: u32| {
            answer(&mut guest, "proxy_grpc_call", |guest| {
                let path = [(name, name_size), (method, method_size)];
                let target = target(
                    guest,
                    (service, service_size),
                    path,
                    (metadata, metadata_size),
                    Some((message, message_size)),
                )?;
                let state = guest.data_mut();
                let (root, origin) = (state.root_id(), state.origin());
                match target {
                    Target::Cluster(cluster, failure) => {
                        let token = state.grpc.call((root, origin), cluster, timeout_ms, failure);
                        state.world.number_callout(state.serial, token);
                        write(guest, token_at, &token.to_le_bytes())
                    }
                    Target::Nowhere(mut events) => {
                        let token = state.grpc.next_call();
                        state.grpc.failed.extend(events.pop().map(|close| (root, token, close)));
                        Err(Status::InternalFailure.into())
                    }
                }
            })
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_grpc_stream",
        |mut guest: Guest<'_>,
         service: u32,
         service_size: u32,
         name: u32,
         name_size: u32,
         method: u32,
         method_size: u32,
         metadata: u32,
         metadata_size: u32,
         token_at: u32| {
            answer(&mut guest, "proxy_grpc_stream", |guest| {
                let path = [(name, name_size), (method, method_size)];
                let target = target(guest, (service, service_size), path, (metadata, metadata_size), None)?;
                let state = guest.data_mut();
                let (root, origin) = (state.root_id(), state.origin());
                match target {
                    Target::Cluster(cluster, failure) => {
                        let token = state.grpc.stream((root, origin), cluster, failure);
                        state.world.number_callout(state.serial, token);
                        write(guest, token_at, &token.to_le_bytes())
                    }
                    Target::Nowhere(mut events) => {
                        let token = state.grpc.next_stream();
                        let close = events.pop();
                        for event in events {
                            tell(guest, root, token, &event)?;
                        }
                        guest.data_mut().grpc.failed.extend(close.map(|close| (root, token, close)));
                        Err(Status::InternalFailure.into())
                    }
                }
            })
        },
    )?;
    link_tokens(linker)
}

/// The calls that are about what is open already.
fn link_tokens(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.func_wrap(
        "env",
        "proxy_grpc_send",
        |mut guest: Guest<'_>, token: u32, message: u32, size: u32, is_last: u32| {
            answer(&mut guest, "proxy_grpc_send", |guest| {
                read(guest, message, size)?;
                let root = guest.data().root_id();
                Ok(guest.data_mut().grpc.send(root, token, is_last != 0)?)
            })
        },
    )?;
    linker.func_wrap("env", "proxy_grpc_cancel", |mut guest: Guest<'_>, token: u32| {
        answer(&mut guest, "proxy_grpc_cancel", |guest| {
            let root = guest.data().root_id();
            Ok(guest.data_mut().grpc.cancel(root, token)?)
        })
    })?;
    linker.func_wrap("env", "proxy_grpc_close", |mut guest: Guest<'_>, token: u32| {
        answer(&mut guest, "proxy_grpc_close", |guest| {
            let root = guest.data().root_id();
            Ok(guest.data_mut().grpc.close(root, token)?)
        })
    })?;
    Ok(())
}

/// Reads whom something is wanted of.
fn target(
    guest: &mut Guest<'_>,
    service: Part,
    path: [Part; 2],
    metadata: Part,
    message: Option<Part>,
) -> Answer<Target> {
    let service = read(guest, service.0, service.1)?;
    let [name, method] = path;
    let path = [read(guest, name.0, name.1)?, read(guest, method.0, method.1)?].concat();
    let metadata = read_pairs(&read(guest, metadata.0, metadata.1)?);
    if let Some(message) = message {
        read(guest, message.0, message.1)?;
    }
    let name = match grpc_service::read(&service) {
        Service::Unset => {
            return Err(HostTrap::Crash(
                "the bytes of a gRPC service, or of a cluster's name, are a message without a target",
            )
            .into());
        }
        Service::Google => return Ok(Target::Cluster(None, None)),
        Service::Cluster(name) => Some(name),
        Service::NoMessage => None,
    };
    let is_message = name.is_some();
    let name = String::from_utf8_lossy(&name.unwrap_or(service)).into_owned();
    let state = guest.data();
    let cluster = state.world.0.borrow().clusters.get(&name).cloned();
    let words = || format!("gRPC {} to {name}", String::from_utf8_lossy(&path));
    let failure = cluster.as_ref().and_then(|_| state.world.make_callout(words));
    Ok(match cluster {
        None if is_message => Target::Nowhere(vec![cluster::absent()]),
        None => return Err(Status::ParseFailure.into()),
        Some(Cluster::Empty) => Target::Nowhere(cluster::without_hosts()),
        Some(_) if failure == Some(Failure::Refused) => Target::Nowhere(cluster::without_hosts()),
        Some(_) => match cluster::refused(&path, &metadata) {
            Some(events) => Target::Nowhere(events),
            None => Target::Cluster(Some(name), failure),
        },
    })
}

/// Tells of an event within the call that brings it about: the module is entered anew while it waits. What Envoy has put off until the callback ends
/// it does here already, and a close that waits there puts itself off again, for ever.
fn tell(guest: &mut Guest<'_>, root: u32, token: u32, event: &Event) -> Answer {
    let (export, number, answer) = event.callback();
    let before = guest.data_mut().enter_within(root, answer);
    let function = guest.get_export(export).and_then(Extern::into_func);
    let was_called = function.is_some();
    let called = function.map_or(Ok(()), |function| {
        function.typed::<(u32, u32, u32), ()>(&*guest)?.call(&mut *guest, (root, token, number))
    });
    guest.data_mut().leave_within(before, was_called);
    called.map_err(Refusal::Trap)?;
    if was_called && !guest.data().grpc.failed.is_empty() {
        return Err(HostTrap::Crash(
            "a gRPC stream fails at once behind a call that has, and a worker spins for ever",
        )
        .into());
    }
    Ok(())
}

//! The host's functions, a file a group. Each answers with a status; only what Envoy fails a VM for traps.

mod buffers;
mod calls;
mod foreign;
mod grpc;
mod headers;
pub(super) mod metadata;
mod metrics;
mod misc;
mod properties;
mod shared_data;
mod streams;
mod system;
mod wasi;

use super::{
    abi::Status,
    module::{LoadError, Version},
    options::Options,
    state::State,
    world::World,
};
use std::collections::BTreeSet;
use wasmtime::{Engine, Linker, Val, ValType};

/// Functions that Envoy has and this host does not: they answer Unimplemented.
const UNIMPLEMENTED: [&str; 1] = ["envoy_resolve_dns"];

/// Functions that some versions of the ABI have: from which to which.
const OF_VERSIONS: [(&str, Version, Version); 7] = [
    ("proxy_get_configuration", Version::V0_1_0, Version::V0_1_0),
    ("proxy_continue_request", Version::V0_1_0, Version::V0_1_0),
    ("proxy_continue_response", Version::V0_1_0, Version::V0_1_0),
    ("proxy_clear_route_cache", Version::V0_1_0, Version::V0_1_0),
    ("proxy_continue_stream", Version::V0_2_0, Version::V0_2_1),
    ("proxy_close_stream", Version::V0_2_0, Version::V0_2_1),
    ("proxy_get_log_level", Version::V0_2_1, Version::V0_2_1),
];

/// Links what the module imports.
///
/// # Errors
/// The functions that no host has, all of them.
pub(super) fn linker(
    engine: &Engine,
    module: &wasmtime::Module,
    version: Version,
) -> Result<Linker<State>, LoadError> {
    let mut linker = Linker::new(engine);
    let groups = [
        headers::link,
        buffers::link,
        metrics::link,
        properties::link,
        streams::link,
        calls::link,
        foreign::link,
        grpc::link,
        shared_data::link,
        system::link,
        misc::link,
        wasi::link,
    ];
    for link in groups {
        link(&mut linker).map_err(|error| LoadError::Engine(error.to_string()))?;
    }
    let mut store = wasmtime::Store::new(engine, State::new(Options::default(), World::default()));
    let defined: BTreeSet<_> =
        linker.iter(&mut store).map(|(from, name, _)| (from.to_owned(), name.to_owned())).collect();
    let mut unknown = Vec::new();
    for import in module.imports() {
        let (from, name) = (import.module(), import.name());
        let is_of_other_version = OF_VERSIONS
            .iter()
            .any(|(other, first, last)| *other == name && !(*first..=*last).contains(&version));
        if from == "env" && is_of_other_version {
            unknown.push(format!("{from}.{name}"));
            continue;
        }
        if defined.contains(&(from.to_owned(), name.to_owned())) {
            continue;
        }
        let status = match from {
            "env" if UNIMPLEMENTED.contains(&name) => Some(Status::Unimplemented as i32),
            "wasi_snapshot_preview1" | "wasi_unstable" => wasi::refusal(name),
            _ => None,
        };
        let ty = import.ty().func().filter(|ty| ty.results().all(|ty| matches!(ty, ValType::I32))).cloned();
        let added = status.zip(ty).is_some_and(|(status, ty)| {
            let called = name.to_owned();
            let stub = move |guest: wasmtime::Caller<'_, State>, _: &[Val], results: &mut [Val]| {
                wasi::check(guest.data(), &called).map_err(wasmtime::Error::new)?;
                results.fill(Val::I32(status));
                Ok(())
            };
            linker.func_new(from, name, ty, stub).is_ok()
        });
        if !added {
            unknown.push(format!("{from}.{name}"));
        }
    }
    unknown.sort();
    unknown.dedup();
    if unknown.is_empty() { Ok(linker) } else { Err(LoadError::UnknownImports(unknown)) }
}

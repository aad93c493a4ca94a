//! The host's functions, a file a group. Each answers with a status; only what Envoy fails a VM for traps.

mod buffers;
mod calls;
mod foreign;
mod grpc;
mod headers;
mod metrics;
mod misc;
mod properties;
mod shared_data;
mod streams;
mod system;
mod wasi;

use super::{abi::Status, module::LoadError, options::Options, state::State, world::World};
use std::collections::BTreeSet;
use wasmtime::{Engine, Linker, Val, ValType};

/// Functions of older versions of the ABI that Envoy has and this host does not: they answer Unimplemented.
const UNIMPLEMENTED: [&str; 1] = ["proxy_get_configuration"];

/// Links what the module imports.
///
/// # Errors
/// The functions that no host has, all of them.
pub(crate) fn linker(engine: &Engine, module: &wasmtime::Module) -> Result<Linker<State>, LoadError> {
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
            let stub = move |_: wasmtime::Caller<'_, State>, _: &[Val], results: &mut [Val]| {
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

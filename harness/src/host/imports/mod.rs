//! The host's functions, by what they are about. Each answers with a status; none can fail the VM, whatever it is handed.

mod buffers;
mod calls;
mod guest;
mod headers;
mod metrics;
mod properties;
mod shared_data;
mod system;
mod wasi;

use super::{abi::Status, module::LoadError, state::State, vm::Options};
use std::collections::BTreeSet;
use wasmtime::{Caller, Engine, Linker, Val, ValType};

/// What a host function sees of the VM that called it.
pub(crate) type Guest<'a> = Caller<'a, State>;

/// Functions that Envoy has and this host does not have yet: they answer Unimplemented.
const UNIMPLEMENTED: [&str; 17] = [
    "proxy_call_foreign_function",
    "proxy_close_stream",
    "proxy_dequeue_shared_queue",
    "proxy_done",
    "proxy_enqueue_shared_queue",
    "proxy_get_status",
    "proxy_grpc_call",
    "proxy_grpc_cancel",
    "proxy_grpc_close",
    "proxy_grpc_send",
    "proxy_grpc_stream",
    "proxy_register_shared_queue",
    "proxy_remove_shared_queue",
    "proxy_resolve_shared_queue",
    "proxy_get_header_map_size_bytes",
    "proxy_set_header_map_pairs_bytes",
    "proxy_get_configuration",
];

/// Links what the module imports.
pub(crate) fn linker(engine: &Engine, module: &wasmtime::Module) -> Result<Linker<State>, LoadError> {
    let mut linker = Linker::new(engine);
    let done = headers::link(&mut linker)
        .and_then(|()| buffers::link(&mut linker))
        .and_then(|()| metrics::link(&mut linker))
        .and_then(|()| properties::link(&mut linker))
        .and_then(|()| calls::link(&mut linker))
        .and_then(|()| shared_data::link(&mut linker))
        .and_then(|()| system::link(&mut linker))
        .and_then(|()| wasi::link(&mut linker));
    done.map_err(|error| LoadError::Engine(error.to_string()))?;
    let mut store = wasmtime::Store::new(engine, State::new(Options::default()));
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
        let Some((status, ty)) = status.zip(import.ty().func().cloned()) else {
            unknown.push(format!("{from}.{name}"));
            continue;
        };
        let added = linker.func_new(from, name, ty, move |_, _, results| {
            for result in results {
                *result = Val::I32(status);
            }
            Ok(())
        });
        if added.is_err()
            || import.ty().func().is_some_and(|ty| ty.results().any(|ty| !matches!(ty, ValType::I32)))
        {
            unknown.push(format!("{from}.{name}"));
        }
    }
    if unknown.is_empty() { Ok(linker) } else { Err(LoadError::UnknownImports(unknown)) }
}

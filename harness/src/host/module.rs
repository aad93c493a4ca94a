//! Loads a module, or says why it cannot be run.

use super::{
    cache::{self, cache_folder},
    linker,
    state::State,
};
use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};
use wasmtime::{Config, Engine, ExportType, ExternType, FuncType, InstancePre, ValType};

/// The exports that give the host memory, the first that there is.
pub(super) const ALLOCATORS: [&str; 2] = ["proxy_on_memory_allocate", "malloc"];

/// The exports that say a module's version of the ABI, the first that there is.
const VERSIONS: [(&str, Version); 3] = [
    ("proxy_abi_version_0_1_0", Version::V0_1_0),
    ("proxy_abi_version_0_2_0", Version::V0_2_0),
    ("proxy_abi_version_0_2_1", Version::V0_2_1),
];

/// A version of the ABI that Envoy knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Version {
    V0_1_0,
    V0_2_0,
    V0_2_1,
}

/// The exports that the host calls: how many arguments each takes and how many results it gives. All of them are 32-bit integers.
const EXPORTS: [(&str, usize, usize); 30] = [
    ("proxy_on_memory_allocate", 1, 1),
    ("malloc", 1, 1),
    ("_initialize", 0, 0),
    ("_start", 0, 0),
    ("proxy_on_context_create", 2, 0),
    ("proxy_on_vm_start", 2, 1),
    ("proxy_on_configure", 2, 1),
    ("proxy_on_tick", 1, 0),
    ("proxy_on_new_connection", 1, 1),
    ("proxy_on_downstream_data", 3, 1),
    ("proxy_on_upstream_data", 3, 1),
    ("proxy_on_downstream_connection_close", 2, 0),
    ("proxy_on_upstream_connection_close", 2, 0),
    ("proxy_on_request_headers", 3, 1),
    ("proxy_on_request_body", 3, 1),
    ("proxy_on_request_trailers", 2, 1),
    ("proxy_on_response_headers", 3, 1),
    ("proxy_on_response_body", 3, 1),
    ("proxy_on_response_trailers", 2, 1),
    ("proxy_on_http_call_response", 5, 0),
    ("proxy_on_grpc_receive_initial_metadata", 3, 0),
    ("proxy_on_grpc_receive", 3, 0),
    ("proxy_on_grpc_receive_trailing_metadata", 3, 0),
    ("proxy_on_grpc_close", 3, 0),
    ("proxy_on_queue_ready", 2, 0),
    ("proxy_on_log", 1, 0),
    ("proxy_on_done", 1, 1),
    ("proxy_on_delete", 1, 0),
    ("main", 2, 1),
    ("__main_void", 0, 1),
];

/// A compiled module, ready to be run in any number of VMs.
#[derive(Clone)]
pub struct Module {
    pub(super) inner: Arc<Loaded>,
}

pub(super) struct Loaded {
    pub(super) engine: Engine,
    pub(super) module: wasmtime::Module,
    pub(super) instance: InstancePre<State>,
    pub(super) version: Version,
    /// The name of its memory. A module without one is loaded, and cannot hand over anything.
    pub(super) memory: Option<Arc<str>>,
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Module").field("exports", &self.exports()).finish_non_exhaustive()
    }
}

/// Why a module cannot be run.
#[derive(Debug)]
#[non_exhaustive]
pub enum LoadError {
    /// The file cannot be read.
    Io(PathBuf, io::Error),
    /// The engine cannot be set up on this machine.
    Engine(String),
    /// The bytes are no WebAssembly module.
    Invalid(String),
    /// It exports no `proxy_abi_version_*` that Envoy knows.
    NoAbiVersion,
    /// It exports neither `proxy_on_memory_allocate` nor `malloc`.
    NoAllocator,
    /// It imports what no host has, as `module.name`.
    UnknownImports(Vec<String>),
    /// It exports one of the host's callbacks with other arguments or results than the ABI has.
    BadExport(String),
    /// It imports a function of the host's with other arguments or results than the ABI has; the engine says which.
    BadImport(String),
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(file, error) => write!(f, "{}: {error}", file.display()),
            Self::Engine(error) => write!(f, "the engine cannot be set up: {error}"),
            Self::Invalid(error) => write!(f, "is no WebAssembly module: {error}"),
            Self::NoAbiVersion => f.write_str("exports no proxy_abi_version_0_1_0, _0_2_0 or _0_2_1"),
            Self::NoAllocator => f.write_str("exports neither proxy_on_memory_allocate nor malloc"),
            Self::BadExport(name) => write!(f, "exports {name} with a signature that the ABI does not have"),
            Self::BadImport(error) => write!(f, "imports what no host has: {error}"),
            Self::UnknownImports(names) => write!(f, "imports what no host has: {}", names.join(", ")),
        }
    }
}

impl std::error::Error for LoadError {}

impl Module {
    /// Compiles a module.
    ///
    /// # Errors
    /// It is no module, or lacks what a host needs, or needs what no host has. Nothing of it has run.
    pub fn load(bytes: &[u8]) -> Result<Self, LoadError> {
        Self::compile(bytes, None)
    }

    /// Reads and compiles a module's file; what has been compiled before comes out of the [cache](cache_folder).
    ///
    /// # Errors
    /// The file cannot be read; or as [`load`](Self::load).
    pub fn open(file: impl AsRef<Path>) -> Result<Self, LoadError> {
        Self::open_with(file.as_ref(), cache_folder().as_deref())
    }

    /// As [`open`](Self::open), with the cache in this folder, or without one.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with(file: &Path, cache: Option<&Path>) -> Result<Self, LoadError> {
        let bytes = fs::read(file).map_err(|error| LoadError::Io(file.to_path_buf(), error))?;
        Self::compile(&bytes, cache)
    }

    fn compile(bytes: &[u8], cache: Option<&Path>) -> Result<Self, LoadError> {
        let mut config = Config::new();
        config.consume_fuel(true);
        let engine = Engine::new(&config).map_err(|error| LoadError::Engine(error.to_string()))?;
        let module = cache::compile(&engine, bytes, cache)
            .map_err(|error| LoadError::Invalid(format!("{error:#}")))?;
        let has = |name: &str| matches!(module.get_export(name), Some(ExternType::Func(_)));
        let version = VERSIONS.into_iter().find(|(export, _)| has(export));
        let (_, version) = version.ok_or(LoadError::NoAbiVersion)?;
        if !ALLOCATORS.into_iter().any(has) {
            return Err(LoadError::NoAllocator);
        }
        let is_memory = |export: &ExportType<'_>| matches!(export.ty(), ExternType::Memory(_));
        let memory = module.exports().find(is_memory).map(|export| Arc::from(export.name()));
        for (name, arguments, results) in EXPORTS {
            // In ABI 0.1.0 the callbacks for headers are not told whether the stream ends.
            let is_shorter = version == Version::V0_1_0 && name.ends_with("_headers");
            if let Some(ExternType::Func(ty)) = module.get_export(name)
                && !has_signature(&ty, arguments - usize::from(is_shorter), results)
            {
                return Err(LoadError::BadExport(name.to_owned()));
            }
        }
        let linker = linker::linker(&engine, &module, version)?;
        let instance = linker
            .instantiate_pre(&module)
            .map_err(|error| LoadError::BadImport(error.root_cause().to_string()))?;
        Ok(Self { inner: Arc::new(Loaded { engine, module, instance, version, memory }) })
    }

    /// What tells modules apart.
    pub(super) fn address(&self) -> usize {
        Arc::as_ptr(&self.inner) as usize
    }

    /// The names of the functions that the module exports, sorted.
    pub fn exports(&self) -> Vec<String> {
        let exports = self.inner.module.exports().filter(|export| matches!(export.ty(), ExternType::Func(_)));
        let mut names: Vec<_> = exports.map(|export| export.name().to_owned()).collect();
        names.sort();
        names
    }

    /// The functions that the module imports, as `module.name`, sorted.
    pub fn imports(&self) -> Vec<String> {
        let mut names: Vec<_> = self
            .inner
            .module
            .imports()
            .map(|import| format!("{}.{}", import.module(), import.name()))
            .collect();
        names.sort();
        names
    }
}

fn has_signature(ty: &FuncType, arguments: usize, results: usize) -> bool {
    (ty.params().len(), ty.results().len()) == (arguments, results)
        && ty.params().chain(ty.results()).all(|ty| matches!(ty, ValType::I32))
}

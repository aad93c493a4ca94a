//! Loads a module, or says why it cannot be run.

use super::imports;
use std::{fmt, sync::Arc};
use wasmtime::{Config, Engine, ExternType, Linker};

/// A compiled module, ready to be run in any number of VMs.
#[derive(Clone)]
pub struct Module {
    pub(super) inner: Arc<Loaded>,
}

pub(super) struct Loaded {
    pub(super) engine: Engine,
    pub(super) module: wasmtime::Module,
    pub(super) linker: Linker<super::state::State>,
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
    /// The engine cannot be set up on this machine.
    Engine(String),
    /// The bytes are no WebAssembly module.
    Invalid(String),
    /// It exports no `proxy_abi_version_*` that Envoy knows.
    NoAbiVersion,
    /// It exports neither `proxy_on_memory_allocate` nor `malloc`.
    NoAllocator,
    /// It exports no memory.
    NoMemory,
    /// It imports what no host has, as `module.name`.
    UnknownImports(Vec<String>),
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Engine(error) => write!(f, "the engine cannot be set up: {error}"),
            Self::Invalid(error) => write!(f, "is no WebAssembly module: {error}"),
            Self::NoAbiVersion => f.write_str("exports no proxy_abi_version_0_1_0, _0_2_0 or _0_2_1"),
            Self::NoAllocator => f.write_str("exports neither proxy_on_memory_allocate nor malloc"),
            Self::NoMemory => f.write_str("exports no memory"),
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
        let mut config = Config::new();
        config.consume_fuel(true);
        let engine = Engine::new(&config).map_err(|error| LoadError::Engine(error.to_string()))?;
        let module = wasmtime::Module::from_binary(&engine, bytes)
            .map_err(|error| LoadError::Invalid(format!("{error:#}")))?;
        let has = |name: &str| matches!(module.get_export(name), Some(ExternType::Func(_)));
        if !["proxy_abi_version_0_2_1", "proxy_abi_version_0_2_0", "proxy_abi_version_0_1_0"]
            .into_iter()
            .any(has)
        {
            return Err(LoadError::NoAbiVersion);
        }
        if !has("proxy_on_memory_allocate") && !has("malloc") {
            return Err(LoadError::NoAllocator);
        }
        if !matches!(module.get_export("memory"), Some(ExternType::Memory(_))) {
            return Err(LoadError::NoMemory);
        }
        let linker = imports::linker(&engine, &module)?;
        Ok(Self { inner: Arc::new(Loaded { engine, module, linker }) })
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

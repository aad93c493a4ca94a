//! The host: from the ABI's numbers, over the VM's state and its host functions, to streams, their chains and the proxy around them.

mod abi;
mod chain;
mod cluster;
mod events;
mod grpc;
mod grpc_service;
mod inline;
mod linker;
mod memory;
mod message;
mod metrics;
mod module;
mod options;
mod proxy;
mod random;
mod run;
mod seen;
mod state;
mod stream;
mod tcp;
#[cfg(test)]
mod tests;
mod trace;
mod vm;
mod world;

pub use module::{LoadError, Module};
pub use options::{FailurePolicy, Options, Place, Settings};
pub use proxy::{Proxy, StartError};
pub use run::{RunError, run, run_chain};
pub use seen::Seen;
pub use trace::Step;
pub use vm::{ConfigureError, Trap, Vm};

//! The host: from the ABI's numbers, over the VM's state and its host functions, to streams, their chains and the proxy around them.

mod abi;
mod cache;
mod chain;
mod cluster;
mod events;
mod explore;
mod growth;
mod grpc;
mod grpc_service;
mod inline;
mod linker;
mod memory;
mod message;
mod metrics;
mod module;
mod options;
mod plugin;
mod proxy;
mod random;
mod run;
mod schedule;
mod seen;
mod state;
mod stream;
mod tcp;
#[cfg(test)]
mod tests;
mod trace;
mod vm;
mod world;

pub use cache::{CACHE, cache_folder};
pub use explore::{Case, ExploreError, Explored, explore, explore_chain};
pub use module::{LoadError, Module};
pub use options::{FailurePolicy, Options, Place, Settings};
pub use plugin::Plugin;
pub use proxy::{Proxy, StartError};
pub use run::{RunError, calls, run, run_chain, run_without, trace};
pub use schedule::Failure;
pub use seen::Seen;
pub use trace::Step;
pub use vm::{ConfigureError, Trap, Vm};

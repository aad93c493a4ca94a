//! The host: from the ABI's numbers, over the VM's state and its host functions, to the driver of streams.

mod abi;
mod cluster;
mod driver;
mod inline;
mod linker;
mod memory;
mod message;
mod metrics;
mod module;
mod random;
mod run;
mod state;
#[cfg(test)]
mod tests;
mod vm;
mod world;

pub use cluster::Clusters;
pub use module::{LoadError, Module};
pub use run::{RunError, run};
pub use vm::{ConfigureError, FailurePolicy, Options, Place, Trap, Vm};
pub use world::World;

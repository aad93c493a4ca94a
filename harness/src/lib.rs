#![cfg_attr(feature = "host", doc = include_str!("../README.md"))]
//! # The parts
//!
//! A [`Plugin`] is what most tests need. [`run`] takes a scenario file's scenario through a module; [`Proxy`] is the host underneath it, and [`Vm`] a single VM of one.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the harness runs on a host: it may read its clock and environment"
)]

mod bytes;
pub mod conformance;
pub mod expect;
mod exploration;
#[cfg(feature = "host")]
mod host;
pub mod lint;
#[cfg(feature = "mock")]
pub mod mock;
pub mod outcome;
pub mod scenario;
pub mod series;
pub mod snapshot;

/// The Rust of the guide compiles as what is on this crate's own page.
#[cfg(all(doctest, feature = "host"))]
#[doc = include_str!("../../docs/testing-a-plugin.md")]
struct Guide;

pub use bytes::Bytes;
pub use exploration::Exploration;
#[cfg(feature = "host")]
pub use host::{
    CACHE, Case, ConfigureError, ExploreError, Explored, Failure, FailurePolicy, LoadError, Module, Options,
    Place, Plugin, Proxy, RunError, Seen, Settings, StartError, Step, Trap, Vm, cache_folder, calls, explore,
    explore_chain, run, run_chain, run_without, trace,
};
pub use lint::{Finding, Lint};

//! The seam between a filter's logic and the Proxy-Wasm ABI 0.2.1.
//!
//! A filter is plain Rust on plain data: [`Filter::compile`] turns a configuration into a filter or names what is wrong with it, and each
//! callback reads the stream through a [`View`] and answers with [`Effects`]. Host calls, contexts and memory live in the shell, which
//! [`export!`] puts around a filter in one line. Off wasm32, [`fake`] stands in for the host.

mod bounded;
#[cfg(any(target_arch = "wasm32", test))]
mod by_id;
mod callbacks;
mod concat;
mod effects;
mod environment;
mod error;
#[cfg(not(target_arch = "wasm32"))]
pub mod explain;
#[cfg(not(target_arch = "wasm32"))]
pub mod fake;
mod filter;
mod header_name;
mod host_bytes;
pub mod json;
pub mod json_body;
mod load;
pub mod matcher;
pub mod metrics;
mod pairs;
mod reader;
pub mod routes;
mod secret;
pub mod settings;
#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub mod shell;
/// The code with pointers alone, which a test runs against a host in its own process.
#[cfg(all(test, not(target_arch = "wasm32")))]
mod shell {
    pub mod abi;
}
mod sort;
mod template;
mod trace;
mod view;

pub use bounded::Bounded;
pub use callbacks::Callbacks;
pub use concat::concat;
pub use effects::{Callout, Effects, Flow, HeaderMap, Level, MetricChange, Reply};
pub use environment::Environment;
pub use error::ConfigError;
pub use filter::Filter;
pub use header_name::{HeaderName, InvalidHeaderName};
pub use host_bytes::HostBytes;
pub use load::load;
#[cfg(not(target_arch = "wasm32"))]
pub use load::load_recorded;
pub use pairs::Pairs;
pub use reader::{cookie, cookies, query_parameter, without_cookie, without_query_parameter};
pub use secret::{Secret, Signature};
pub use sort::{sort, sort_unique};
pub use template::{InvalidTemplate, Template};
pub use trace::TraceParent;
pub use view::{Buffer, Phase, SINGLE_LIMIT, Source, View};

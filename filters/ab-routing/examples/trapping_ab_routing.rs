//! ab-routing with a way to trap, which it has not: a request with the header `x-trap`.

#[cfg(target_arch = "wasm32")]
use ab_routing::AbRouting;

#[cfg(target_arch = "wasm32")]
#[path = "../../../filter-kit/trapping/mod.rs"]
mod trapping;

#[cfg(target_arch = "wasm32")]
filter_kit::export!(trapping::Trapping<AbRouting>: request_headers, response_headers, tick);
